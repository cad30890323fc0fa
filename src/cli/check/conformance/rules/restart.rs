//! ICE restarts: what a good one gives, and what a broken one leaves.

use reqwest::header::ETAG;

use super::super::evidence::{Evidence, Probe, Response};
use super::super::rule::{Group, Judgement, Level, Rule, Source, Verdict};
use super::super::sdp::Description;
use super::ice::{is_strong, tag};
use super::{not_offered, refused};

/// What a fragment has to have in common with the answer.
const ATTRIBUTES: [&str; 3] = ["ice-lite", "ice-options", "ice-pacing"];

const fn rule(
    id: &'static str,
    level: Level,
    title: &'static str,
    judge: fn(&Evidence) -> Judgement,
) -> Rule {
    Rule {
        id,
        group: Group::Ice,
        level,
        source: Source::Each {
            whip: "4.3.3",
            whep: "4.5.3",
        },
        title,
        judge,
    }
}

pub(super) const RULES: &[Rule] = &[
    rule(
        "ice.restart",
        Level::Should,
        "A PATCH with a new ufrag and password and If-Match: * is answered with 200",
        restart,
    ),
    rule(
        "ice.restart-type",
        Level::Must,
        "…with a fragment of type application/trickle-ice-sdpfrag",
        restart_type,
    ),
    rule(
        "ice.restart-credentials",
        Level::Must,
        "…that holds a new ufrag and a new password of the server",
        credentials,
    ),
    rule(
        "ice.restart-etag",
        Level::Must,
        "…and with a new ETag",
        new_etag,
    ),
    rule(
        "ice.restart-attributes",
        Level::Must,
        "…and with the ice-lite, ice-options and ice-pacing of the answer",
        attributes,
    ),
    rule(
        "ice.restart-old-etag",
        Level::Must,
        "The ETag from before a restart no longer matches",
        old_etag,
    ),
    rule(
        "ice.restart-quoted",
        Level::Should,
        "If-Match: \"*\", as the document's example has it, restarts too",
        quoted,
    ),
    rule(
        "ice.restart-broken",
        Level::Must,
        "A restart that can't work is refused with 4xx",
        broken,
    ),
    rule(
        "ice.restart-broken-keeps",
        Level::Must,
        "…and leaves the session and its ETag as they were",
        broken_keeps,
    ),
];

/// The answer to a good restart, or the verdict of who has none.
fn offered(evidence: &Evidence) -> Result<&Response, Verdict> {
    evidence.created()?;
    let response = evidence.answer(Probe::Restart)?;
    match not_offered(response, "no ICE restarts") {
        Some(verdict) => Err(verdict),
        None => Ok(response),
    }
}

/// The answer to a restart that came about.
fn restarted(evidence: &Evidence) -> Result<&Response, Verdict> {
    let response = offered(evidence)?;
    match response.status {
        200 => Ok(response),
        _ => Err(Verdict::not_tested("there was no ICE restart")),
    }
}

fn restart(evidence: &Evidence) -> Judgement {
    let response = offered(evidence)?;
    Ok(Verdict::require(
        response.status == 200,
        "200 OK",
        response.describe(),
    ))
}

fn restart_type(evidence: &Evidence) -> Judgement {
    let kind = restarted(evidence)?.content_type();
    let kind = kind.as_deref().unwrap_or("no Content-Type");
    Ok(Verdict::require(
        kind == "application/trickle-ice-sdpfrag",
        "application/trickle-ice-sdpfrag",
        kind,
    ))
}

/// An attribute anywhere in a fragment.
fn find<'a>(fragment: &'a str, name: &str) -> Option<&'a str> {
    fragment.lines().find_map(|line| {
        let rest = line.trim_end().strip_prefix("a=")?.strip_prefix(name)?;
        match rest.strip_prefix(':') {
            Some(value) => Some(value.trim()),
            None => rest.is_empty().then_some(""),
        }
    })
}

fn credentials(evidence: &Evidence) -> Judgement {
    let fragment = restarted(evidence)?.text();
    let answer = evidence.description()?;
    for (name, len) in [("ice-ufrag", 4), ("ice-pwd", 22)] {
        let old = first(&answer, name);
        match find(&fragment, name) {
            None => return Ok(Verdict::fail(format!("a=ice-… with {name}"), "none")),
            Some(new) if new.len() < len => {
                return Ok(Verdict::fail(
                    format!("{len} characters or more of {name}"),
                    format!("{}", new.len()),
                ));
            }
            new if new == old => {
                return Ok(Verdict::fail(
                    format!("a new {name}"),
                    "the one of the answer",
                ));
            }
            Some(_) => {}
        }
    }
    Ok(Verdict::PASS)
}

/// An attribute of the session or of the first section that has it.
fn first<'a>(answer: &'a Description, name: &str) -> Option<&'a str> {
    answer.attribute(name).or_else(|| {
        answer
            .media
            .iter()
            .find_map(|section| section.attribute(name))
    })
}

fn new_etag(evidence: &Evidence) -> Judgement {
    let new = restarted(evidence)?.header(ETAG);
    Ok(match (new, tag(evidence)?) {
        (None, _) => Verdict::fail("a new ETag", "none"),
        (new, old) if new == old => Verdict::fail("a new ETag", "the one of the 201"),
        (Some(new), _) => Verdict::require(is_strong(new), "a tag such as \"xyzzy\"", new),
    })
}

fn attributes(evidence: &Evidence) -> Judgement {
    let fragment = restarted(evidence)?.text();
    let answer = evidence.description()?;
    for name in ATTRIBUTES {
        let (expected, got) = (first(&answer, name), find(&fragment, name));
        if words(expected) != words(got) {
            let line = |value: Option<&str>| match value {
                None => format!("no {name}"),
                Some("") => format!("a={name}"),
                Some(value) => format!("a={name}:{value}"),
            };
            return Ok(Verdict::fail(line(expected), line(got)));
        }
    }
    Ok(Verdict::PASS)
}

/// The words of a value, in any order.
fn words(value: Option<&str>) -> Option<Vec<&str>> {
    let mut words: Vec<&str> = value?.split_whitespace().collect();
    words.sort_unstable();
    Some(words)
}

fn old_etag(evidence: &Evidence) -> Judgement {
    restarted(evidence)?;
    let response = evidence.answer(Probe::TrickleBeforeRestart)?;
    Ok(Verdict::require(
        response.status == 412,
        "412 Precondition Failed",
        response.describe(),
    ))
}

fn quoted(evidence: &Evidence) -> Judgement {
    restarted(evidence)?;
    let response = evidence.answer(Probe::RestartQuoted)?;
    Ok(Verdict::require(
        response.status == 200,
        "200 OK",
        response.describe(),
    ))
}

fn broken(evidence: &Evidence) -> Judgement {
    offered(evidence)?;
    Ok(refused(evidence.answer(Probe::RestartBroken)?, "4xx"))
}

fn broken_keeps(evidence: &Evidence) -> Judgement {
    offered(evidence)?;
    if evidence.answer(Probe::RestartBroken)?.is_success() {
        return Ok(Verdict::not_tested("the broken restart was not refused"));
    }
    let gone = |response: &Response| matches!(response.status, 404 | 410 | 412);
    for probe in [Probe::GetAfterBroken, Probe::TrickleAfterBroken] {
        let response = evidence.answer(probe)?;
        if gone(response) {
            return Ok(Verdict::fail(
                "the session as it was",
                format!("afterwards {}", response.describe()),
            ));
        }
    }
    Ok(Verdict::PASS)
}
