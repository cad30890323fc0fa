//! What a rule is: data about it, and one function that judges what was seen.
//!
//! Pure. A rule knows nothing of sockets: it looks at an [`Evidence`].

use std::fmt;

use super::evidence::Evidence;

/// Which protocol a server is checked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Protocol {
    /// RFC 9725.
    Whip,
    /// draft-ietf-wish-whep-04.
    Whep,
}

impl Protocol {
    /// As in a URL.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Whip => "whip",
            Self::Whep => "whep",
        }
    }
}

/// How strong the requirement is (RFC 2119).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Must,
    Should,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
        })
    }
}

/// Where a rule is written, and so for which protocol it is one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// The same text for both.
    Both(&'static str),
    /// Each protocol says it in a section of its own: of RFC 9725, and of the WHEP draft.
    Each {
        whip: &'static str,
        whep: &'static str,
    },
    /// Of WHIP only.
    Whip(&'static str),
    /// Of WHEP only.
    Whep(&'static str),
}

impl Source {
    /// The document and section, or `None` if the rule is not one of `protocol`.
    pub(super) fn of(self, protocol: Protocol) -> Option<String> {
        match (self, protocol) {
            (Self::Both(text) | Self::Whip(text), Protocol::Whip)
            | (Self::Both(text) | Self::Whep(text), Protocol::Whep) => Some(text.to_owned()),
            (Self::Each { whip, .. }, Protocol::Whip) => Some(format!("RFC 9725, {whip}")),
            (Self::Each { whep, .. }, Protocol::Whep) => Some(format!("WHEP-04, {whep}")),
            (Self::Whip(_), Protocol::Whep) | (Self::Whep(_), Protocol::Whip) => None,
        }
    }
}

/// The part of a server's duty that a rule is about; what is printed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    Endpoint,
    Cors,
    Offer,
    Answer,
    Session,
    Ice,
    Auth,
    Http,
    Link,
    CounterOffer,
    Media,
}

impl Group {
    /// In the order of the report.
    pub(super) const ALL: [Self; 11] = [
        Self::Endpoint,
        Self::Offer,
        Self::Answer,
        Self::Session,
        Self::Ice,
        Self::Media,
        Self::Cors,
        Self::Auth,
        Self::Http,
        Self::Link,
        Self::CounterOffer,
    ];

    /// What the ids of its rules begin with.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::Cors => "cors",
            Self::Offer => "offer",
            Self::Answer => "answer",
            Self::Session => "session",
            Self::Ice => "ice",
            Self::Auth => "auth",
            Self::Http => "http",
            Self::Link => "link",
            Self::CounterOffer => "counter-offer",
            Self::Media => "media",
        }
    }

    /// Its heading.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Endpoint => "The endpoint",
            Self::Cors => "Web pages of other origins",
            Self::Offer => "Offers, good and bad",
            Self::Answer => "The answer",
            Self::Session => "The session",
            Self::Ice => "Trickle ICE and ICE restarts",
            Self::Auth => "Tokens",
            Self::Http => "HTTP",
            Self::Link => "Links and extensions",
            Self::CounterOffer => "Counter-offers",
            Self::Media => "Media",
        }
    }
}

/// One thing that a client may rely on.
pub(super) struct Rule {
    /// `group.name`. Never changes its meaning.
    pub(super) id: &'static str,
    pub(super) group: Group,
    pub(super) level: Level,
    pub(super) source: Source,
    /// What the server does when it keeps the rule, as a sentence without a full stop.
    pub(super) title: &'static str,
    /// `Err` is the way out for [`Evidence`]'s own verdicts: nothing was tried, or no answer came.
    pub(super) judge: fn(&Evidence) -> Judgement,
}

impl Rule {
    /// Its verdict.
    pub(super) fn verdict(&self, evidence: &Evidence) -> Verdict {
        (self.judge)(evidence).unwrap_or_else(|early| early)
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

/// What a judging function returns; both arms hold a verdict, so that `?` can end it early.
pub(super) type Judgement = Result<Verdict, Verdict>;

/// What came of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Kept, with something worth to know about it or not.
    Pass(Option<String>),
    /// Broken.
    Fail {
        /// What should have come.
        expected: String,
        /// What came.
        got: String,
    },
    /// Optional, and the server does not have it.
    NotOffered(String),
    /// It can't be broken here.
    NotApplicable(String),
    /// It could not be found out.
    NotTested(String),
}

impl Verdict {
    pub(super) const PASS: Self = Self::Pass(None);

    pub(super) fn pass_with(note: impl Into<String>) -> Self {
        Self::Pass(Some(note.into()))
    }

    pub(super) fn fail(expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self::Fail {
            expected: expected.into(),
            got: got.into(),
        }
    }

    pub(super) fn not_offered(why: impl Into<String>) -> Self {
        Self::NotOffered(why.into())
    }

    pub(super) fn not_applicable(why: impl Into<String>) -> Self {
        Self::NotApplicable(why.into())
    }

    pub(super) fn not_tested(why: impl Into<String>) -> Self {
        Self::NotTested(why.into())
    }

    /// Pass if `kept`, else a failure.
    pub(super) fn require(kept: bool, expected: impl Into<String>, got: impl Into<String>) -> Self {
        if kept {
            Self::PASS
        } else {
            Self::fail(expected, got)
        }
    }

    /// As in the JSON report.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Pass(_) => "pass",
            Self::Fail { .. } => "fail",
            Self::NotOffered(_) => "not_offered",
            Self::NotApplicable(_) => "not_applicable",
            Self::NotTested(_) => "not_tested",
        }
    }
}
