//! CORS: what a page of another origin needs (the Fetch standard).

use super::super::client::ORIGIN;
use super::super::evidence::{Evidence, Probe, Response};
use super::super::rule::{Group, Judgement, Level, Rule, Source, Verdict};

const ALLOW_ORIGIN: &str = "access-control-allow-origin";

const fn rule(
    id: &'static str,
    level: Level,
    title: &'static str,
    judge: fn(&Evidence) -> Judgement,
) -> Rule {
    Rule {
        id,
        group: Group::Cors,
        level,
        source: Source::Each {
            whip: "4.2; Fetch",
            whep: "4.4; Fetch",
        },
        title,
        judge,
    }
}

pub(super) const RULES: &[Rule] = &[
    rule(
        "cors.preflight",
        Level::Must,
        "A preflight of the endpoint passes without a token",
        |evidence| preflight(evidence, Probe::Preflight),
    ),
    rule(
        "cors.headers",
        Level::Must,
        "…and allows Authorization and Content-Type",
        |evidence| {
            allows_headers(
                evidence,
                Probe::Preflight,
                &["authorization", "content-type"],
            )
        },
    ),
    rule(
        "cors.session-preflight",
        Level::Must,
        "A preflight of a session passes without a token",
        |evidence| preflight(evidence, Probe::SessionPreflight),
    ),
    rule(
        "cors.session-methods",
        Level::Must,
        "…and allows PATCH and DELETE",
        methods,
    ),
    rule(
        "cors.session-headers",
        Level::Must,
        "…and allows Authorization, Content-Type and If-Match",
        |evidence| {
            let names = ["authorization", "content-type", "if-match"];
            allows_headers(evidence, Probe::SessionPreflight, &names)
        },
    ),
    rule(
        "cors.answer",
        Level::Must,
        "The 201 may be read by the page",
        answer,
    ),
    rule(
        "cors.expose-location",
        Level::Must,
        "The page may read Location, without which it can't end the session",
        |evidence| exposes(evidence, &["location"]),
    ),
    rule(
        "cors.expose",
        Level::Should,
        "The page may read ETag and Link too",
        |evidence| exposes(evidence, &["etag", "link"]),
    ),
    Rule {
        id: "cors.no-ice-servers",
        group: Group::Cors,
        level: Level::Should,
        source: Source::Whip("RFC 9725, 4.6"),
        title: "A preflight gets no STUN and TURN servers: their credentials cost something",
        judge: no_ice_servers,
    },
];

/// A preflight that a browser would let pass.
fn passed(evidence: &Evidence, probe: Probe) -> Result<&Response, Verdict> {
    let response = evidence.answer(probe)?;
    match response.is_success() && allows_origin(response) {
        true => Ok(response),
        false => Err(Verdict::not_tested("the preflight failed")),
    }
}

fn allows_origin(response: &Response) -> bool {
    let allowed = response.list(ALLOW_ORIGIN);
    allowed
        .iter()
        .any(|origin| origin == "*" || origin == ORIGIN)
}

fn origin(response: &Response) -> String {
    match &response.list(ALLOW_ORIGIN)[..] {
        [] => format!(
            "{} without Access-Control-Allow-Origin",
            response.describe()
        ),
        origins => format!("{}, only for {}", response.describe(), origins.join(", ")),
    }
}

fn preflight(evidence: &Evidence, probe: Probe) -> Judgement {
    let response = evidence.answer(probe)?;
    Ok(match (response.is_success(), allows_origin(response)) {
        (true, true) => Verdict::PASS,
        // An allow-list is a choice of whoever runs the server.
        (true, false) if !response.list(ALLOW_ORIGIN).is_empty() => {
            Verdict::not_offered("the server allows other origins only")
        }
        _ => Verdict::fail("2xx with Access-Control-Allow-Origin", origin(response)),
    })
}

fn allows_headers(evidence: &Evidence, probe: Probe, names: &[&str]) -> Judgement {
    let response = passed(evidence, probe)?;
    let allowed = response.list("access-control-allow-headers");
    let any = allowed.iter().any(|name| name == "*");
    let missing: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| {
            // The asterisk does not cover Authorization (Fetch, "CORS non-wildcard request-header name").
            let covered = any && *name != "authorization";
            !covered && !allowed.iter().any(|allowed| allowed == name)
        })
        .collect();
    Ok(Verdict::require(
        missing.is_empty(),
        format!("{} in Access-Control-Allow-Headers", names.join(", ")),
        format!("without {}", missing.join(", ")),
    ))
}

fn methods(evidence: &Evidence) -> Judgement {
    let response = passed(evidence, Probe::SessionPreflight)?;
    let allowed = response.list("access-control-allow-methods");
    let missing: Vec<&str> = ["patch", "delete"]
        .into_iter()
        .filter(|name| {
            !allowed
                .iter()
                .any(|allowed| allowed == name || allowed == "*")
        })
        .collect();
    Ok(Verdict::require(
        missing.is_empty(),
        "PATCH, DELETE in Access-Control-Allow-Methods",
        format!("without {}", missing.join(", ").to_ascii_uppercase()),
    ))
}

/// The answer to an offer of a page.
fn to_page(evidence: &Evidence) -> Result<&Response, Verdict> {
    evidence.created()?;
    let response = evidence.answer(Probe::CreateFromPage)?;
    match response.status {
        201 | 406 => Ok(response),
        _ => Err(Verdict::not_offered(format!(
            "pages of other origins get {}",
            response.describe()
        ))),
    }
}

fn answer(evidence: &Evidence) -> Judgement {
    let response = to_page(evidence)?;
    Ok(match allows_origin(response) {
        true => Verdict::PASS,
        false if !response.list(ALLOW_ORIGIN).is_empty() => {
            Verdict::not_offered("the server allows other origins only")
        }
        false => Verdict::fail("Access-Control-Allow-Origin", "none"),
    })
}

fn exposes(evidence: &Evidence, names: &[&str]) -> Judgement {
    let response = to_page(evidence)?;
    if !allows_origin(response) {
        return Ok(Verdict::not_tested("the page may not read the answer"));
    }
    let exposed = response.list("access-control-expose-headers");
    let missing: Vec<&str> = names
        .iter()
        .copied()
        // What is not sent need not be shown.
        .filter(|name| response.headers.contains_key(*name))
        .filter(|name| {
            !exposed
                .iter()
                .any(|exposed| exposed == name || exposed == "*")
        })
        .collect();
    Ok(Verdict::require(
        missing.is_empty(),
        format!("{} in Access-Control-Expose-Headers", names.join(", ")),
        format!("without {}", missing.join(", ")),
    ))
}

fn no_ice_servers(evidence: &Evidence) -> Judgement {
    let response = passed(evidence, Probe::Preflight)?;
    let links = super::super::link_header::Links::of(&response.headers);
    Ok(Verdict::require(
        links.find("ice-server").is_none(),
        "no Link with rel=\"ice-server\"",
        "one",
    ))
}
