//! Offers: the good ones are served, the bad ones refused with a reason, whole.

use super::super::evidence::{Evidence, Probe, Response};
use super::super::offer::Case;
use super::super::rule::{Group, Judgement, Level, Protocol, Rule, Source, Verdict};
use super::super::sdp::Description;

const CREATE: Source = Source::Each {
    whip: "4.2",
    whep: "4.3.4",
};
const DIRECTION: Source = Source::Each {
    whip: "4.2",
    whep: "4.3.5",
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
        group: Group::Offer,
        level,
        source,
        title,
        judge,
    }
}

pub(super) const RULES: &[Rule] = &[
    rule(
        "offer.type-spelling",
        Level::Should,
        Source::Both("RFC 9110, 8.3.1"),
        "Content-Type is read whatever its case and parameters",
        |evidence| served(evidence, Case::OtherSpelling),
    ),
    rule(
        "offer.unknown-attributes",
        Level::Must,
        Source::Both("RFC 8866, 5.13"),
        "Attributes that the server does not know are ignored",
        |evidence| served(evidence, Case::UnknownAttributes),
    ),
    rule(
        "offer.mdns-candidate",
        Level::Should,
        Source::Each {
            whip: "4.3.2",
            whep: "4.5.2",
        },
        "A candidate with a .local name that can't be resolved does no harm",
        |evidence| served(evidence, Case::MdnsCandidate),
    ),
    rule(
        "offer.audio-only",
        Level::Should,
        Source::Whip("RFC 9725, 4.4.2"),
        "An offer with audio only is served",
        |evidence| served(evidence, Case::WithoutVideo),
    ),
    rule(
        "offer.setup-active",
        Level::Should,
        Source::Each {
            whip: "4.4.4",
            whep: "4.3.1",
        },
        "setup:active is answered with passive, or refused with 400 or 422",
        |evidence| setup(evidence, Case::SetupActive, "passive"),
    ),
    rule(
        "offer.setup-passive",
        Level::Should,
        Source::Both("RFC 8842, 5.3"),
        "setup:passive, which FFmpeg sends, is answered with active, or refused",
        |evidence| setup(evidence, Case::SetupPassive, "active"),
    ),
    rule(
        "offer.wrong-type",
        Level::Must,
        CREATE,
        "A POST of another content type is refused with 4xx",
        |evidence| refuses(evidence, Case::WrongType),
    ),
    rule(
        "offer.wrong-type-415",
        Level::Should,
        Source::Both("RFC 9110, 15.5.16"),
        "…and the status is 415",
        wrong_type_415,
    ),
    rule(
        "offer.empty",
        Level::Must,
        CREATE,
        "An empty body is refused with 4xx",
        |evidence| refuses(evidence, Case::Empty),
    ),
    rule(
        "offer.garbage",
        Level::Must,
        CREATE,
        "Text that is no SDP is refused with 4xx",
        |evidence| refuses(evidence, Case::Garbage),
    ),
    rule(
        "offer.binary",
        Level::Must,
        CREATE,
        "Bytes that are no text are refused with 4xx",
        |evidence| refuses(evidence, Case::Binary),
    ),
    rule(
        "offer.too-large",
        Level::Should,
        Source::Both("RFC 9110, 15.5.14"),
        "An offer of 4 MiB is refused with 4xx, best 413",
        |evidence| refuses(evidence, Case::TooLarge),
    ),
    rule(
        "offer.no-media",
        Level::Must,
        Source::Each {
            whip: "4.4.2",
            whep: "4.6.2",
        },
        "An offer without any media is refused with 4xx",
        |evidence| refuses(evidence, Case::NoMedia),
    ),
    rule(
        "offer.direction",
        Level::Must,
        DIRECTION,
        "An offer of the wrong direction is refused: it can't have a legal answer",
        |evidence| refuses(evidence, Case::WrongDirection),
    ),
    rule(
        "offer.inactive",
        Level::Must,
        DIRECTION,
        "An inactive offer is refused: it can't have a legal answer",
        |evidence| refuses(evidence, Case::Inactive),
    ),
    rule(
        "offer.two-videos",
        Level::Must,
        Source::Whip("RFC 9725, 4.4.2"),
        "Two video tracks are refused with 400 or 422, or both taken; never one of them",
        two_videos,
    ),
    rule(
        "offer.one-video",
        Level::Must,
        Source::Whep("WHEP-04, 4.6.2"),
        "Who offers to receive two videos gets one of them at most",
        one_video,
    ),
    rule(
        "offer.no-codec",
        Level::Should,
        Source::Each {
            whip: "4.4.3",
            whep: "4.3.1",
        },
        "An offer without a known codec is refused with 400, 422 or (WHEP) a counter-offer",
        no_codec,
    ),
    rule(
        "offer.partial",
        Level::Should,
        Source::Whip("RFC 9725, 4.4.3"),
        "If one track can't be taken, the offer is refused whole with 400 or 422",
        partial,
    ),
    rule(
        "offer.short-ufrag",
        Level::Must,
        Source::Both("RFC 8839, 5.4"),
        "An ice-ufrag of fewer than 4 characters is refused with 4xx",
        |evidence| refuses(evidence, Case::ShortUfrag),
    ),
    rule(
        "offer.short-password",
        Level::Must,
        Source::Both("RFC 8839, 5.4"),
        "An ice-pwd of fewer than 22 characters is refused with 4xx",
        |evidence| refuses(evidence, Case::ShortPassword),
    ),
    rule(
        "offer.no-credentials",
        Level::Must,
        Source::Both("RFC 8839, 5.4"),
        "An offer without ice-ufrag and ice-pwd is refused with 4xx",
        |evidence| refuses(evidence, Case::NoCredentials),
    ),
    rule(
        "offer.no-fingerprint",
        Level::Must,
        Source::Both("RFC 8842, 5.1"),
        "An offer without a fingerprint is refused with 4xx: DTLS could not be trusted",
        |evidence| refuses(evidence, Case::NoFingerprint),
    ),
    rule(
        "offer.bad-fingerprint",
        Level::Must,
        Source::Both("RFC 8122, 5"),
        "A malformed fingerprint is refused with 4xx",
        |evidence| refuses(evidence, Case::BadFingerprint),
    ),
];

/// The answer to a case. It says something only if a good offer is taken, and if it is about the offer.
fn answer(evidence: &Evidence, case: Case) -> Result<&Response, Verdict> {
    evidence.created()?;
    let response = evidence.answer(Probe::Offer(case))?;
    match response.status {
        401 | 403 | 409 | 429 | 503 => Err(Verdict::not_tested(format!(
            "the answer is not about the offer: {}",
            response.describe()
        ))),
        _ => Ok(response),
    }
}

fn served(evidence: &Evidence, case: Case) -> Judgement {
    let response = answer(evidence, case)?;
    Ok(Verdict::require(
        response.status == 201,
        "201 Created",
        response.describe(),
    ))
}

fn refuses(evidence: &Evidence, case: Case) -> Judgement {
    let response = answer(evidence, case)?;
    Ok(super::refused(response, "4xx"))
}

fn wrong_type_415(evidence: &Evidence) -> Judgement {
    let response = answer(evidence, Case::WrongType)?;
    Ok(Verdict::require(
        response.status == 415,
        "415 Unsupported Media Type",
        response.describe(),
    ))
}

fn setup(evidence: &Evidence, case: Case, expected: &str) -> Judgement {
    let response = answer(evidence, case)?;
    if matches!(response.status, 400 | 422) {
        return Ok(Verdict::pass_with(format!(
            "refused: {}",
            response.describe()
        )));
    }
    let description = description(response)?;
    let roles: Vec<&str> = description
        .accepted()
        .filter_map(|section| description.inherited(section, "setup"))
        .collect();
    Ok(Verdict::require(
        !roles.is_empty() && roles.iter().all(|role| *role == expected),
        format!("a=setup:{expected}, or 400 or 422"),
        match roles.first() {
            Some(role) => format!("a=setup:{role}"),
            None => "no a=setup".to_owned(),
        },
    ))
}

fn two_videos(evidence: &Evidence) -> Judgement {
    let response = answer(evidence, Case::TwoVideos)?;
    Ok(match response.status {
        400 | 422 => Verdict::PASS,
        201 => match videos(response)? {
            2.. => Verdict::pass_with("the server takes both"),
            taken => Verdict::fail(
                "400 or 422, or both videos taken",
                format!("201 with {taken} of two videos"),
            ),
        },
        _ => Verdict::fail("400 or 422", response.describe()),
    })
}

fn one_video(evidence: &Evidence) -> Judgement {
    let response = answer(evidence, Case::TwoVideos)?;
    Ok(match response.status {
        201 => match videos(response)? {
            0 | 1 => Verdict::pass_with("one is inactive"),
            _ => Verdict::fail("one video at most", "two"),
        },
        _ => super::refused(response, "4xx, or one video"),
    })
}

/// How many videos an answer takes.
fn videos(response: &Response) -> Result<usize, Verdict> {
    let description = description(response)?;
    let taken = description
        .accepted()
        .filter(|section| section.kind == "video" && description.direction(section) != "inactive");
    Ok(taken.count())
}

fn no_codec(evidence: &Evidence) -> Judgement {
    whole(evidence, Case::NoCommonCodec)
}

fn partial(evidence: &Evidence) -> Judgement {
    whole(evidence, Case::OneUnknownCodec)
}

/// Refused as a whole.
fn whole(evidence: &Evidence, case: Case) -> Judgement {
    let response = answer(evidence, case)?;
    Ok(match response.status {
        400 | 422 => Verdict::PASS,
        406 if evidence.protocol == Protocol::Whep => Verdict::pass_with("a counter-offer"),
        201 => {
            let description = description(response)?;
            let rejected = description.media.len() - description.accepted().count();
            Verdict::fail(
                "400 or 422",
                format!(
                    "201 with {rejected} of {} media sections rejected",
                    description.media.len()
                ),
            )
        }
        _ => Verdict::fail("400 or 422", response.describe()),
    })
}

/// The SDP of a `201`.
fn description(response: &Response) -> Result<Description, Verdict> {
    if response.status != 201 {
        return Err(Verdict::fail("201, 400 or 422", response.describe()));
    }
    Description::parse(&response.text())
        .ok_or_else(|| Verdict::fail("an SDP answer", "something else"))
}
