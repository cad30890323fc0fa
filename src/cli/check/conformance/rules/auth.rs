//! Bearer tokens. Only tried when one was given.

use reqwest::header::WWW_AUTHENTICATE;

use super::super::evidence::{Evidence, Probe, Response};
use super::super::rule::{Group, Judgement, Level, Rule, Source, Verdict};

const BEARER: Source = Source::Each {
    whip: "4.7.1",
    whep: "4.9.1",
};

const fn rule(
    id: &'static str,
    level: Level,
    source: Source,
    title: &'static str,
    judge: fn(&Evidence) -> Judgement,
) -> Rule {
    Rule {
        id,
        group: Group::Auth,
        level,
        source,
        title,
        judge,
    }
}

pub(super) const RULES: &[Rule] = &[
    rule(
        "auth.missing",
        Level::Must,
        Source::Both("RFC 6750, 3"),
        "An offer without the token is answered with 401",
        missing,
    ),
    rule(
        "auth.challenge",
        Level::Must,
        Source::Both("RFC 9110, 11.6.1"),
        "…with WWW-Authenticate: Bearer",
        challenge,
    ),
    rule(
        "auth.wrong",
        Level::Must,
        Source::Both("RFC 6750, 3.1"),
        "An offer with a wrong token is answered with 401 or 403",
        wrong,
    ),
    rule(
        "auth.patch",
        Level::Should,
        BEARER,
        "A PATCH without the token is refused as the offer was",
        |evidence| on_session(evidence, Probe::PatchAnonymous),
    ),
    rule(
        "auth.delete",
        Level::Should,
        BEARER,
        "A DELETE without the token is refused as the offer was, and ends nothing",
        delete,
    ),
];

/// What an offer without the token gets, if the server asks for one.
fn asked(evidence: &Evidence) -> Result<&Response, Verdict> {
    let response = super::unauthorized(evidence, Probe::PostAnonymous)?;
    match response.status {
        201 | 406 => Err(Verdict::not_offered("the server asks for no token")),
        _ => Ok(response),
    }
}

fn missing(evidence: &Evidence) -> Judgement {
    let response = asked(evidence)?;
    Ok(Verdict::require(
        response.status == 401,
        "401 Unauthorized",
        response.describe(),
    ))
}

fn challenge(evidence: &Evidence) -> Judgement {
    let response = asked(evidence)?;
    if response.status != 401 {
        return Ok(Verdict::not_tested("the answer is not 401"));
    }
    let challenges = response.headers.get_all(WWW_AUTHENTICATE).iter();
    let challenges: Vec<&str> = challenges.filter_map(|value| value.to_str().ok()).collect();
    let is_bearer = |value: &&str| {
        let scheme = value.split_whitespace().next().unwrap_or_default();
        scheme.trim_end_matches(',').eq_ignore_ascii_case("bearer")
    };
    let got = match challenges.is_empty() {
        true => "no WWW-Authenticate".to_owned(),
        false => challenges.join("; "),
    };
    Ok(Verdict::require(
        challenges.iter().any(is_bearer),
        "WWW-Authenticate: Bearer",
        got,
    ))
}

fn wrong(evidence: &Evidence) -> Judgement {
    asked(evidence)?;
    let response = evidence.answer(Probe::PostWrongToken)?;
    Ok(Verdict::require(
        matches!(response.status, 401 | 403),
        "401 Unauthorized or 403 Forbidden",
        response.describe(),
    ))
}

fn on_session(evidence: &Evidence, probe: Probe) -> Judgement {
    let response = evidence.answer(probe)?;
    asked(evidence)?;
    Ok(Verdict::require(
        matches!(response.status, 401 | 403),
        "401 Unauthorized",
        response.describe(),
    ))
}

fn delete(evidence: &Evidence) -> Judgement {
    let verdict = on_session(evidence, Probe::DeleteAnonymous)?;
    let left = evidence.answer(Probe::GetAfterAnonymous)?;
    Ok(match left.status {
        404 | 410 if verdict == Verdict::PASS => {
            Verdict::fail("a session that lives on", "it is gone")
        }
        _ => verdict,
    })
}
