//! The endpoint: what it is, and that it makes sessions.

use super::super::evidence::{Evidence, Probe, Response};
use super::super::rule::{Group, Judgement, Level, Protocol, Rule, Source, Verdict};
use reqwest::header::LOCATION;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "endpoint.created",
        group: Group::Endpoint,
        level: Level::Must,
        source: Source::Each {
            whip: "4.2",
            whep: "4.3.1",
        },
        title: "A POST of an SDP offer is answered with 201",
        judge: created,
    },
    Rule {
        id: "endpoint.content-type",
        group: Group::Endpoint,
        level: Level::Must,
        source: Source::Each {
            whip: "4.2",
            whep: "4.3.1",
        },
        title: "The answer is of type application/sdp",
        judge: content_type,
    },
    Rule {
        id: "endpoint.location",
        group: Group::Endpoint,
        level: Level::Must,
        source: Source::Each {
            whip: "4.2",
            whep: "4.3.1",
        },
        title: "Location points to the session, absolute or relative to the request's URL",
        judge: location,
    },
    Rule {
        id: "endpoint.location-scheme",
        group: Group::Endpoint,
        level: Level::Should,
        source: Source::Each {
            whip: "5",
            whep: "5",
        },
        title: "Location keeps https, so that the token is never sent in the clear",
        judge: location_scheme,
    },
    Rule {
        id: "endpoint.https",
        group: Group::Endpoint,
        level: Level::Should,
        source: Source::Each {
            whip: "5",
            whep: "5",
        },
        title: "The endpoint is served over HTTPS",
        judge: https,
    },
    Rule {
        id: "endpoint.redirect",
        group: Group::Endpoint,
        level: Level::Must,
        source: Source::Each {
            whip: "4.5",
            whep: "4.7",
        },
        title: "An offer is never redirected with 301 or 302, which turn a POST into a GET",
        judge: redirect,
    },
    Rule {
        id: "endpoint.get",
        group: Group::Endpoint,
        level: Level::Must,
        source: Source::Each {
            whip: "4.1",
            whep: "4.1",
        },
        title: "A GET is answered with 2xx and no content",
        judge: get,
    },
    Rule {
        id: "endpoint.head",
        group: Group::Endpoint,
        level: Level::Should,
        source: Source::Whep("WHEP-04, 4.2"),
        title: "A HEAD is answered with 200 and the type application/sdp: this is a WHEP URL",
        judge: head,
    },
    Rule {
        id: "endpoint.options",
        group: Group::Endpoint,
        level: Level::Must,
        source: Source::Each {
            whip: "4.2",
            whep: "4.4",
        },
        title: "OPTIONS is answered with 2xx, without a token",
        judge: options,
    },
    Rule {
        id: "endpoint.accept-post",
        group: Group::Endpoint,
        level: Level::Should,
        source: Source::Each {
            whip: "4.2",
            whep: "4.4",
        },
        title: "OPTIONS names application/sdp in Accept-Post",
        judge: accept_post,
    },
    Rule {
        id: "endpoint.offline",
        group: Group::Endpoint,
        level: Level::Must,
        source: Source::Whep("WHEP-04, 4.3.8"),
        title: "While nobody publishes: 409 with Retry-After, or a session that waits",
        judge: offline,
    },
];

fn created(evidence: &Evidence) -> Judgement {
    let response = evidence.answer(Probe::Create)?;
    Ok(match response.status {
        201 => Verdict::PASS,
        // No fault of the server's: it was not asked rightly.
        401 | 403 | 409 | 429 | 503 => {
            Verdict::not_tested(format!("the server answered {}", response.describe()))
        }
        _ => Verdict::fail("201 Created", response.describe()),
    })
}

fn content_type(evidence: &Evidence) -> Judgement {
    let kind = evidence.created()?.content_type();
    let kind = kind.as_deref().unwrap_or("no Content-Type");
    Ok(Verdict::require(
        kind == "application/sdp",
        "application/sdp",
        kind,
    ))
}

fn location(evidence: &Evidence) -> Judgement {
    let response = evidence.created()?;
    let got = match response.header(LOCATION) {
        None => "no Location",
        Some(_) => "a Location that is no http or https URL",
    };
    Ok(Verdict::require(
        response.location().is_some(),
        "a Location that can be followed",
        got,
    ))
}

fn location_scheme(evidence: &Evidence) -> Judgement {
    if evidence.url.scheme() != "https" {
        return Ok(Verdict::not_applicable("the endpoint is not https"));
    }
    let location = evidence.created()?.location();
    let location = location.ok_or_else(|| Verdict::not_tested("there is no Location"))?;
    Ok(Verdict::require(
        location.scheme() == "https",
        "https",
        location.scheme(),
    ))
}

fn https(evidence: &Evidence) -> Judgement {
    if evidence.url.scheme() == "https" {
        return Ok(Verdict::PASS);
    }
    Ok(match crate::cli::signalling::is_here(&evidence.url) {
        true => Verdict::not_applicable("the server is on this machine"),
        false => Verdict::fail(
            "https",
            "http: tokens and session URLs can be read on the way",
        ),
    })
}

fn redirect(evidence: &Evidence) -> Judgement {
    let bad: Vec<String> = evidence
        .redirects
        .iter()
        .filter(|status| matches!(status, 301..=303))
        .map(u16::to_string)
        .collect();
    Ok(match (bad.is_empty(), evidence.redirects.is_empty()) {
        (_, true) => Verdict::not_applicable("no offer was redirected"),
        (true, false) => Verdict::PASS,
        (false, _) => Verdict::fail("307 or 308", bad.join(", ")),
    })
}

fn get(evidence: &Evidence) -> Judgement {
    let response = evidence.answer(Probe::Get)?;
    Ok(without_content(response))
}

/// 2xx, and nothing in it.
pub(super) fn without_content(response: &Response) -> Verdict {
    let got = match response.body.len() {
        0 => response.describe(),
        len => format!("{} with {len} bytes", response.describe()),
    };
    Verdict::require(
        response.is_success() && response.body.is_empty(),
        "2xx without content",
        got,
    )
}

fn head(evidence: &Evidence) -> Judgement {
    let response = evidence.answer(Probe::Head)?;
    let kind = response.content_type();
    let got = format!(
        "{}, {}",
        response.describe(),
        kind.as_deref().unwrap_or("no Content-Type")
    );
    Ok(Verdict::require(
        response.status == 200 && kind.as_deref() == Some("application/sdp"),
        "200 with Content-Type: application/sdp",
        got,
    ))
}

fn options(evidence: &Evidence) -> Judgement {
    let response = evidence.answer(Probe::Options)?;
    Ok(Verdict::require(
        response.is_success(),
        "2xx",
        response.describe(),
    ))
}

fn accept_post(evidence: &Evidence) -> Judgement {
    let response = evidence.answer(Probe::Options)?;
    if !response.is_success() {
        return Ok(Verdict::not_tested("OPTIONS failed"));
    }
    let accepted = response.list("accept-post");
    let names_sdp = accepted.iter().any(|kind| {
        kind.split(';')
            .next()
            .is_some_and(|kind| kind.trim() == "application/sdp")
    });
    let got = match accepted.is_empty() {
        true => "no Accept-Post".to_owned(),
        false => format!("Accept-Post: {}", accepted.join(", ")),
    };
    Ok(Verdict::require(
        names_sdp,
        "Accept-Post: application/sdp",
        got,
    ))
}

fn offline(evidence: &Evidence) -> Judgement {
    debug_assert_eq!(evidence.protocol, Protocol::Whep);
    let response = evidence.answer(Probe::Offline)?;
    let retry_after = response.header(reqwest::header::RETRY_AFTER);
    Ok(match (response.status, retry_after) {
        (409, Some(_)) => Verdict::PASS,
        (201, _) => Verdict::pass_with("the session waits for the publisher"),
        (406, _) => Verdict::pass_with("the server makes the offer"),
        (409, None) => Verdict::fail("409 with Retry-After", "409 without Retry-After"),
        _ => Verdict::fail("409 with Retry-After", response.describe()),
    })
}
