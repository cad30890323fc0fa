//! Counter-offers: the server refuses the player's offer and makes its own.

use super::super::evidence::{Evidence, Probe, Response};
use super::super::rule::{Group, Judgement, Level, Rule, Source, Verdict};
use super::super::sdp::Description;
use super::refused;

const fn rule(
    id: &'static str,
    level: Level,
    title: &'static str,
    judge: fn(&Evidence) -> Judgement,
) -> Rule {
    Rule {
        id,
        group: Group::CounterOffer,
        level,
        source: Source::Whep("WHEP-04, 4.3.2"),
        title,
        judge,
    }
}

pub(super) const RULES: &[Rule] = &[
    rule(
        "counter-offer.location",
        Level::Must,
        "A 406 with an offer has the Location of the session to be",
        location,
    ),
    rule(
        "counter-offer.valid-until",
        Level::Must,
        "valid-until, if it is there, is an HTTP date",
        valid_until,
    ),
    rule(
        "counter-offer.direction",
        Level::Must,
        "The offer is sendonly or sendrecv, in one BUNDLE",
        direction,
    ),
    rule(
        "counter-offer.malformed",
        Level::Must,
        "A malformed answer is refused with 4xx",
        malformed,
    ),
    rule(
        "counter-offer.answer",
        Level::Must,
        "A PATCH with the answer is answered with 204",
        answer,
    ),
    rule(
        "counter-offer.delete",
        Level::Must,
        "The session that came of it can be deleted",
        delete,
    ),
];

/// The counter-offer, if one came.
fn offered(evidence: &Evidence) -> Result<&Response, Verdict> {
    let response = evidence.answer(Probe::CounterOffer)?;
    let is_offer =
        response.status == 406 && response.content_type().as_deref() == Some("application/sdp");
    match is_offer {
        true => Ok(response),
        false => Err(Verdict::not_offered(format!(
            "an offer without known codecs is answered with {}",
            response.status
        ))),
    }
}

fn location(evidence: &Evidence) -> Judgement {
    let response = offered(evidence)?;
    Ok(Verdict::require(
        response.location().is_some(),
        "a Location that can be followed",
        "none",
    ))
}

fn valid_until(evidence: &Evidence) -> Judgement {
    let response = offered(evidence)?;
    let kind = response
        .header(reqwest::header::CONTENT_TYPE)
        .unwrap_or_default();
    let parameter = kind.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_it = name.trim().eq_ignore_ascii_case("valid-until");
        is_it.then(|| value.trim().trim_matches('"'))
    });
    Ok(match parameter {
        None => Verdict::pass_with("absent: 30 s"),
        Some(date) => {
            let is_date = chrono::NaiveDateTime::parse_from_str(date, "%a, %d %b %Y %H:%M:%S GMT");
            Verdict::require(
                is_date.is_ok(),
                "a date such as Wed, 09 Oct 2024 10:00:00 GMT",
                date,
            )
        }
    })
}

fn direction(evidence: &Evidence) -> Judgement {
    let Some(offer) = Description::parse(&offered(evidence)?.text()) else {
        return Ok(Verdict::fail("SDP that begins with v=0", "something else"));
    };
    let bundle = offer.bundle().unwrap_or_default();
    for section in &offer.media {
        let direction = offer.direction(section);
        if section.kind != "application" && !matches!(direction, "sendonly" | "sendrecv") {
            return Ok(Verdict::fail("sendonly or sendrecv", direction));
        }
        if !bundle.contains(&section.attribute("mid").unwrap_or_default()) {
            return Ok(Verdict::fail("every mid in one BUNDLE group", "one is not"));
        }
    }
    Ok(Verdict::PASS)
}

fn malformed(evidence: &Evidence) -> Judgement {
    offered(evidence)?;
    Ok(refused(evidence.answer(Probe::CounterNonsense)?, "4xx"))
}

fn answer(evidence: &Evidence) -> Judgement {
    offered(evidence)?;
    let response = evidence.answer(Probe::CounterAnswer)?;
    Ok(Verdict::require(
        response.status == 204,
        "204 No Content",
        response.describe(),
    ))
}

fn delete(evidence: &Evidence) -> Judgement {
    offered(evidence)?;
    if !evidence.answer(Probe::CounterAnswer)?.is_success() {
        return Ok(Verdict::not_tested("the answer was not taken"));
    }
    let response = evidence.answer(Probe::CounterDelete)?;
    Ok(Verdict::require(
        response.is_success(),
        "2xx",
        response.describe(),
    ))
}
