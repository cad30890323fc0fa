//! Trickle ICE: entity tags, candidates, and what is no fragment.

use reqwest::header::ETAG;

use super::super::evidence::{Evidence, Probe, Response};
use super::super::rule::{Group, Judgement, Level, Rule, Source, Verdict};
use super::{not_offered, refused};

const fn rule(
    id: &'static str,
    level: Level,
    source: Source,
    title: &'static str,
    judge: fn(&Evidence) -> Judgement,
) -> Rule {
    Rule {
        id,
        group: Group::Ice,
        level,
        source,
        title,
        judge,
    }
}

const PATCH: Source = Source::Each {
    whip: "4.3.1",
    whep: "4.5.1",
};
const TRICKLE: Source = Source::Each {
    whip: "4.3.2",
    whep: "4.5.2",
};

pub(super) const RULES: &[Rule] = &[
    rule(
        "ice.etag",
        Level::Must,
        PATCH,
        "The 201 has an ETag, if the server takes ICE restarts",
        etag,
    ),
    rule(
        "ice.etag-strong",
        Level::Must,
        PATCH,
        "The ETag is strong, and in quotes",
        etag_strong,
    ),
    rule(
        "ice.trickle",
        Level::Should,
        TRICKLE,
        "A PATCH with a candidate and the right If-Match is answered with 204",
        trickle,
    ),
    rule(
        "ice.trickle-bare",
        Level::Must,
        TRICKLE,
        "…and the 204 has neither a body nor an ETag",
        trickle_bare,
    ),
    rule(
        "ice.trickle-unusable",
        Level::Must,
        TRICKLE,
        "Candidates that the server can't use are passed over, the rest is taken",
        |evidence| taken(evidence, Probe::TrickleUnusable),
    ),
    rule(
        "ice.trickle-end",
        Level::Should,
        Source::Both("RFC 8840, 4.4"),
        "A fragment with just end-of-candidates is taken",
        |evidence| taken(evidence, Probe::TrickleEnd),
    ),
    rule(
        "ice.if-match-missing",
        Level::Should,
        PATCH,
        "A PATCH without If-Match is answered with 428",
        |evidence| precondition(evidence, Probe::TrickleWithoutIfMatch, 428),
    ),
    rule(
        "ice.if-match-stale",
        Level::Must,
        PATCH,
        "A PATCH with another If-Match is answered with 412",
        |evidence| precondition(evidence, Probe::TrickleStale, 412),
    ),
    rule(
        "ice.wrong-type",
        Level::Must,
        PATCH,
        "A PATCH of another content type is refused with 4xx",
        |evidence| refuses(evidence, Probe::TrickleWrongType),
    ),
    rule(
        "ice.malformed",
        Level::Must,
        PATCH,
        "A malformed fragment is refused with 4xx",
        |evidence| refuses(evidence, Probe::TrickleMalformed),
    ),
];

/// The tag of the `201`.
pub(super) fn tag(evidence: &Evidence) -> Result<Option<&str>, Verdict> {
    Ok(evidence.created()?.header(ETAG))
}

fn etag(evidence: &Evidence) -> Judgement {
    if tag(evidence)?.is_some() {
        return Ok(Verdict::PASS);
    }
    let restarts = evidence
        .find(Probe::Restart)
        .is_some_and(|response| response.status == 200);
    Ok(match restarts {
        true => Verdict::fail("an ETag", "none, but ICE restarts are taken"),
        false => Verdict::not_offered("no ETag, and no ICE restarts"),
    })
}

fn etag_strong(evidence: &Evidence) -> Judgement {
    let Some(tag) = tag(evidence)? else {
        return Ok(Verdict::not_applicable("there is no ETag"));
    };
    Ok(Verdict::require(
        is_strong(tag),
        "a tag such as \"xyzzy\"",
        tag,
    ))
}

/// RFC 9110, section 8.8.3.
pub(super) fn is_strong(tag: &str) -> bool {
    let content = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    content.is_some_and(|content| !content.contains('"'))
}

/// The answer to a good trickle PATCH, or the verdict of who has no trickle ICE.
fn offered(evidence: &Evidence) -> Result<&Response, Verdict> {
    let response = evidence.answer(Probe::Trickle)?;
    match not_offered(response, "no trickle ICE") {
        Some(verdict) => Err(verdict),
        None => Ok(response),
    }
}

fn trickle(evidence: &Evidence) -> Judgement {
    let response = offered(evidence)?;
    Ok(Verdict::require(
        response.status == 204,
        "204 No Content",
        response.describe(),
    ))
}

fn trickle_bare(evidence: &Evidence) -> Judgement {
    let response = offered(evidence)?;
    if !response.is_success() {
        return Ok(Verdict::not_tested("the candidate was not taken"));
    }
    let got = match (response.body.len(), response.header(ETAG)) {
        (0, None) => return Ok(Verdict::PASS),
        (0, Some(_)) => "an ETag".to_owned(),
        (len, _) => format!("a body of {len} bytes"),
    };
    Ok(Verdict::fail("neither", got))
}

fn taken(evidence: &Evidence, probe: Probe) -> Judgement {
    if !offered(evidence)?.is_success() {
        return Ok(Verdict::not_tested("no candidate is taken at all"));
    }
    let response = evidence.answer(probe)?;
    Ok(Verdict::require(
        response.is_success(),
        "204 No Content",
        response.describe(),
    ))
}

fn precondition(evidence: &Evidence, probe: Probe, status: u16) -> Judgement {
    offered(evidence)?;
    if tag(evidence)?.is_none() {
        return Ok(Verdict::not_applicable("there is no ETag to match"));
    }
    let response = evidence.answer(probe)?;
    let expected = match status {
        428 => "428 Precondition Required",
        _ => "412 Precondition Failed",
    };
    Ok(Verdict::require(
        response.status == status,
        expected,
        response.describe(),
    ))
}

fn refuses(evidence: &Evidence, probe: Probe) -> Judgement {
    evidence.created()?;
    Ok(refused(evidence.answer(probe)?, "4xx"))
}
