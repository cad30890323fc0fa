//! What was seen of a server: every probe with its answer, and the media.
//!
//! Pure. It is gathered by [`gather`](super::gather) and judged by [`rules`](super::rules); tests make
//! it up.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName};

use super::offer::Case;
use super::rule::{Protocol, Verdict};
use super::sdp::Description;
use crate::cli::signalling::Refusal;

/// One request that is sent, named by what it tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Probe {
    /// The endpoint, with and without a body.
    Options,
    Get,
    Head,
    Put,
    /// A CORS preflight of the endpoint.
    Preflight,
    /// The offer whose session most of the rest is tried on.
    Create,
    /// The good offer, from a web page of another origin.
    CreateFromPage,
    /// An offer, good or bad, of which nothing but the answer is wanted.
    Offer(Case),
    /// The session.
    SessionGet,
    SessionPreflight,
    UnknownDelete,
    UnknownPatch,
    /// Trickle ICE.
    TrickleWithoutIfMatch,
    TrickleStale,
    TrickleWrongType,
    TrickleMalformed,
    Trickle,
    TrickleUnusable,
    TrickleEnd,
    /// An ICE restart that can't work, and what is left after it.
    RestartBroken,
    GetAfterBroken,
    TrickleAfterBroken,
    /// ICE restarts, by `*` and by `"*"`.
    Restart,
    TrickleBeforeRestart,
    RestartQuoted,
    /// Without the token.
    PatchAnonymous,
    DeleteAnonymous,
    GetAfterAnonymous,
    /// The end, with an `If-Match` that means nothing.
    Delete,
    DeleteAgain,
    GetDeleted,
    /// Offers without the token and with a wrong one.
    PostAnonymous,
    PostWrongToken,
    /// Requests that no HTTP library sends.
    NoHost,
    Expect,
    /// The extensions of WHEP.
    EventsCreate,
    EventsRead,
    EventsUnknown,
    EventsDelete,
    EventsReadDeleted,
    LayerAutomatic,
    LayerMalformed,
    /// A counter-offer: asked for, answered with nonsense, answered.
    CounterOffer,
    CounterNonsense,
    CounterAnswer,
    CounterDelete,
    /// The session that media goes through.
    MediaCreate,
    MediaRestartBroken,
    MediaDelete,
    /// A player that comes before the publisher.
    Offline,
}

/// An answer, whole.
#[derive(Clone, Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// The URL that gave it, after redirects: what `Location` is relative to.
    pub(super) url: Url,
}

impl Response {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(super) fn is_client_error(&self) -> bool {
        (400..500).contains(&self.status)
    }

    /// A header field that is text.
    pub(super) fn header(&self, name: impl Into<HeaderName>) -> Option<&str> {
        self.headers.get(name.into())?.to_str().ok()
    }

    /// Every element of a header field that is a list, in lower case.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        self.headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|element| element.trim().to_ascii_lowercase())
            .filter(|element| !element.is_empty())
            .collect()
    }

    /// The media type without its parameters, in lower case.
    pub(super) fn content_type(&self) -> Option<String> {
        let value = self.header(reqwest::header::CONTENT_TYPE)?;
        let essence = value.split(';').next().unwrap_or(value);
        Some(essence.trim().to_ascii_lowercase())
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Where `Location` leads, if it is a URL that can be followed.
    pub(super) fn location(&self) -> Option<Url> {
        let location = self.header(reqwest::header::LOCATION)?;
        let url = self.url.join(location).ok()?;
        matches!(url.scheme(), "http" | "https").then_some(url)
    }

    /// Status and reason, for a person.
    pub(super) fn describe(&self) -> String {
        let status = reqwest::StatusCode::from_u16(self.status).ok();
        let phrase = status.and_then(|status| status.canonical_reason());
        let mut text = match phrase {
            Some(phrase) => format!("{} {phrase}", self.status),
            None => self.status.to_string(),
        };
        if !self.is_success() {
            let status = status.unwrap_or_default();
            let refusal = Refusal::new(status, &self.headers, &self.text());
            if let Some(detail) = refusal.detail {
                text = format!("{text}: {detail}");
            }
        }
        text
    }
}

/// No answer came: why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unanswered(pub(super) String);

/// What a request led to.
pub(super) type Exchange = Result<Response, Unanswered>;

/// What there is to judge.
#[derive(Debug)]
pub(super) struct Evidence {
    pub(super) protocol: Protocol,
    /// The URL that is checked.
    pub(super) url: Url,
    /// The offer of [`Probe::Create`].
    pub(super) offer: String,
    /// The statuses of redirects that a POST met.
    pub(super) redirects: Vec<u16>,
    /// Session URLs of different sessions.
    pub(super) sessions: Vec<Url>,
    pub(super) media: Result<Media, String>,
    exchanges: BTreeMap<Probe, Exchange>,
    /// Why probes were not sent: one, or all that are left.
    skipped: BTreeMap<Probe, String>,
    rest: Option<String>,
}

impl Evidence {
    pub(super) fn new(protocol: Protocol, url: Url) -> Self {
        Self {
            protocol,
            url,
            offer: String::new(),
            redirects: Vec::new(),
            sessions: Vec::new(),
            media: Err("it was not tried".to_owned()),
            exchanges: BTreeMap::new(),
            skipped: BTreeMap::new(),
            rest: None,
        }
    }

    /// Keeps what a probe led to.
    pub(super) fn add(&mut self, probe: Probe, exchange: Exchange) {
        self.exchanges.insert(probe, exchange);
    }

    /// Says why a probe was not sent.
    pub(super) fn skip(&mut self, probes: &[Probe], why: &str) {
        for probe in probes {
            self.skipped.insert(*probe, why.to_owned());
        }
    }

    /// Says why nothing else was sent.
    pub(super) fn skip_rest(&mut self, why: &str) {
        self.rest.get_or_insert_with(|| why.to_owned());
    }

    /// The answer to a probe, or the verdict of a rule that needs it: not tested if it was not sent, a
    /// failure if no answer came.
    pub(super) fn answer(&self, probe: Probe) -> Result<&Response, Verdict> {
        match self.exchanges.get(&probe) {
            Some(Ok(response)) => Ok(response),
            Some(Err(Unanswered(reason))) => Err(Verdict::fail("an answer", reason.clone())),
            None => Err(Verdict::NotTested(self.why_not(probe))),
        }
    }

    /// The answer to a probe, if one came.
    pub(super) fn find(&self, probe: Probe) -> Option<&Response> {
        self.exchanges.get(&probe)?.as_ref().ok()
    }

    fn why_not(&self, probe: Probe) -> String {
        let skipped = self.skipped.get(&probe).or(self.rest.as_ref());
        skipped.map_or_else(|| "it was not tried".to_owned(), Clone::clone)
    }

    /// Everything that was tried.
    pub(super) fn all(&self) -> impl Iterator<Item = (Probe, &Exchange)> {
        self.exchanges.iter().map(|(probe, seen)| (*probe, seen))
    }

    /// The `201` of the main session.
    pub(super) fn created(&self) -> Result<&Response, Verdict> {
        let response = self.answer(Probe::Create)?;
        match response.status {
            201 => Ok(response),
            _ => Err(Verdict::NotTested(self.rest.clone().unwrap_or_else(|| {
                format!("no session; the server answered {}", response.status)
            }))),
        }
    }

    /// The SDP of the `201`.
    pub(super) fn description(&self) -> Result<Description, Verdict> {
        let text = self.created()?.text();
        Description::parse(&text).ok_or_else(|| Verdict::not_tested("the answer is not SDP"))
    }

    /// What came of the media.
    pub(super) fn media(&self) -> Result<&Media, Verdict> {
        let media = self.media.as_ref();
        media.map_err(|why| Verdict::NotTested(why.clone()))
    }
}

/// What came of the media session. Times count from its answer on.
#[derive(Clone, Debug, Default)]
pub(super) struct Media {
    /// A pair of addresses works.
    pub(super) ice: Option<Duration>,
    /// DTLS is done.
    pub(super) connected: Option<Duration>,
    /// The answer could not be used, and why.
    pub(super) unusable: Option<String>,
    /// Whether the server accepted video.
    pub(super) video: bool,
    /// RTP packets that came.
    pub(super) packets: u64,
    pub(super) first_packet: Option<Duration>,
    pub(super) first_keyframe: Option<Duration>,
    /// RTP packets that were sent.
    pub(super) sent: u64,
    /// RTCP packets that came: reports of what was received, and all.
    pub(super) reports: u64,
    pub(super) rtcp: u64,
    /// RTCP requests for a keyframe that came.
    pub(super) keyframe_requests: u64,
    /// How long it was kept up after it was connected, and whether it still was then.
    pub(super) kept: Duration,
    pub(super) lost: bool,
    /// What came (WHEP) or was reported (WHIP) after a broken ICE restart.
    pub(super) after_restart: Option<u64>,
    /// How long after the `DELETE` the DTLS `close_notify` came.
    pub(super) closed: Option<Duration>,
}
