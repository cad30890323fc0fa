//! HTTP itself, and the form of refusals.

use reqwest::header::{ALLOW, RETRY_AFTER};

use super::super::evidence::{Evidence, Probe, Response};
use super::super::offer::Case;
use super::super::rule::{Group, Judgement, Level, Rule, Source, Verdict};

const fn rule(
    id: &'static str,
    level: Level,
    source: Source,
    title: &'static str,
    judge: fn(&Evidence) -> Judgement,
) -> Rule {
    Rule {
        id,
        group: Group::Http,
        level,
        source,
        title,
        judge,
    }
}

pub(super) const RULES: &[Rule] = &[
    rule(
        "http.answers",
        Level::Must,
        Source::Both("RFC 9110, 15"),
        "Every request is answered: no connection is closed instead, nothing hangs",
        answers,
    ),
    rule(
        "http.no-5xx",
        Level::Must,
        Source::Both("RFC 9110, 15.6"),
        "Nothing that a client does wrong is called a fault of the server (5xx)",
        no_5xx,
    ),
    rule(
        "http.method",
        Level::Must,
        Source::Both("RFC 9110, 15.5.6"),
        "A method that makes no sense is refused; a 405 names the others in Allow",
        method,
    ),
    rule(
        "http.no-host",
        Level::Must,
        Source::Both("RFC 9112, 3.2"),
        "A request of HTTP/1.1 without Host is answered with 400",
        no_host,
    ),
    rule(
        "http.expect-continue",
        Level::Must,
        Source::Both("RFC 9110, 10.1.1"),
        "Expect: 100-continue is answered before the body comes",
        expect_continue,
    ),
    rule(
        "http.retry-after",
        Level::Should,
        Source::Both("RFC 6585, 4"),
        "A 429 or 503 says with Retry-After when to come again",
        retry_after,
    ),
    rule(
        "http.problem",
        Level::Should,
        Source::Each {
            whip: "4.1; RFC 9457",
            whep: "4.1; RFC 9457",
        },
        "Refusals are problem details: application/problem+json with a detail",
        problem,
    ),
];

fn answers(evidence: &Evidence) -> Judgement {
    for (probe, exchange) in evidence.all() {
        // These have rules of their own.
        if matches!(probe, Probe::NoHost | Probe::Expect) {
            continue;
        }
        if let Err(unanswered) = exchange {
            return Ok(Verdict::fail(
                "an answer",
                format!("{} ({})", unanswered.0, name(probe)),
            ));
        }
    }
    Ok(Verdict::PASS)
}

/// What a probe was, for a person.
fn name(probe: Probe) -> String {
    match probe {
        Probe::Offer(case) => format!("offer {case:?}"),
        probe => format!("request {probe:?}"),
    }
}

fn no_5xx(evidence: &Evidence) -> Judgement {
    let faults = evidence.all().filter_map(|(probe, exchange)| {
        let response = exchange.as_ref().ok()?;
        // 501 is a true word about a method, and 503 about the load.
        let is_fault = response.status >= 500 && !matches!(response.status, 501 | 503);
        is_fault.then(|| format!("{} ({})", response.describe(), name(probe)))
    });
    let faults: Vec<String> = faults.collect();
    Ok(Verdict::require(
        faults.is_empty(),
        "no 5xx",
        faults.join("; "),
    ))
}

fn method(evidence: &Evidence) -> Judgement {
    let response = evidence.answer(Probe::Put)?;
    Ok(match response.status {
        405 if response.header(ALLOW).is_none() => {
            Verdict::fail("405 with Allow", "405 without it")
        }
        501 => Verdict::PASS,
        _ => super::refused(response, "405 with Allow"),
    })
}

fn no_host(evidence: &Evidence) -> Judgement {
    let response = evidence.answer(Probe::NoHost)?;
    Ok(Verdict::require(
        response.status == 400,
        "400 Bad Request",
        response.describe(),
    ))
}

fn expect_continue(evidence: &Evidence) -> Judgement {
    let response = evidence.answer(Probe::Expect)?;
    Ok(match response.status {
        100 => Verdict::PASS,
        status if response.is_client_error() => {
            Verdict::pass_with(format!("refused at once: {status}"))
        }
        _ => Verdict::fail("100 Continue, or a refusal", response.describe()),
    })
}

fn retry_after(evidence: &Evidence) -> Judgement {
    let mut busy = evidence
        .all()
        .filter_map(|(_, exchange)| exchange.as_ref().ok())
        .filter(|response| matches!(response.status, 429 | 503))
        .peekable();
    if busy.peek().is_none() {
        return Ok(Verdict::not_tested(
            "the server was never too busy, and is not flooded to find out",
        ));
    }
    let silent = busy.find(|response| response.header(RETRY_AFTER).is_none());
    Ok(match silent {
        None => Verdict::PASS,
        Some(response) => Verdict::fail("Retry-After", format!("{} without it", response.status)),
    })
}

fn problem(evidence: &Evidence) -> Judgement {
    let probes = [
        Probe::Offer(Case::Garbage),
        Probe::Offer(Case::WrongType),
        Probe::Offer(Case::NoFingerprint),
        Probe::TrickleMalformed,
        Probe::UnknownDelete,
        Probe::PostAnonymous,
    ];
    let refusals: Vec<&Response> = probes
        .into_iter()
        .filter_map(|probe| evidence.find(probe))
        .filter(|response| response.is_client_error())
        .collect();
    if refusals.is_empty() {
        return Ok(Verdict::not_tested("nothing was refused"));
    }
    for response in refusals {
        let kind = response.content_type();
        if kind.as_deref() != Some("application/problem+json") {
            return Ok(Verdict::fail(
                "application/problem+json",
                format!(
                    "{} with {}",
                    response.status,
                    kind.as_deref().unwrap_or("no Content-Type")
                ),
            ));
        }
        let body = serde_json::from_slice::<serde_json::Value>(&response.body);
        let detail = body.as_ref().ok().and_then(|body| body["detail"].as_str());
        if detail.is_none_or(str::is_empty) {
            return Ok(Verdict::fail(
                "a detail that says what to change",
                format!("{} without a detail", response.status),
            ));
        }
    }
    Ok(Verdict::PASS)
}
