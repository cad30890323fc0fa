//! The SDP answer to the good offer.

use super::super::evidence::Evidence;
use super::super::rule::{Group, Judgement, Level, Protocol, Rule, Source, Verdict};
use super::super::sdp::{Description, Section};
use super::reach::reachable;

const fn rule(
    id: &'static str,
    level: Level,
    source: Source,
    title: &'static str,
    judge: fn(&Evidence) -> Judgement,
) -> Rule {
    Rule {
        id,
        group: Group::Answer,
        level,
        source,
        title,
        judge,
    }
}

pub(super) const RULES: &[Rule] = &[
    rule(
        "answer.sections",
        Level::Must,
        Source::Both("RFC 3264, 6"),
        "It has the media sections of the offer, in their order and of their kinds",
        sections,
    ),
    rule(
        "answer.whole",
        Level::Should,
        Source::Whip("RFC 9725, 4.4.3"),
        "No media section is rejected",
        whole,
    ),
    rule(
        "answer.direction",
        Level::Must,
        Source::Each {
            whip: "4.2",
            whep: "4.3.5",
        },
        "Its direction is recvonly (WHIP) or sendonly (WHEP)",
        direction,
    ),
    rule(
        "answer.bundle",
        Level::Must,
        Source::Each {
            whip: "4.4.1",
            whep: "4.6.1",
        },
        "All media is in one BUNDLE group, by the mids of the offer",
        bundle,
    ),
    rule(
        "answer.rtcp-mux",
        Level::Must,
        Source::Each {
            whip: "4.4.1",
            whep: "4.6.1",
        },
        "Every section has rtcp-mux",
        rtcp_mux,
    ),
    rule(
        "answer.msid",
        Level::Must,
        Source::Whep("WHEP-04, 4.6.2"),
        "Every section has an msid of the same MediaStream",
        msid,
    ),
    rule(
        "answer.setup",
        Level::Must,
        Source::Both("RFC 8842, 5.3"),
        "Its setup is active or passive",
        setup,
    ),
    rule(
        "answer.credentials",
        Level::Must,
        Source::Both("RFC 8839, 5.4"),
        "ice-ufrag has 4 characters or more, ice-pwd 22 or more",
        credentials,
    ),
    rule(
        "answer.fingerprint",
        Level::Must,
        Source::Both("RFC 8122, 5"),
        "It has a well-formed fingerprint of SHA-256 or better",
        fingerprint,
    ),
    rule(
        "answer.codecs",
        Level::Must,
        Source::Both("RFC 9429, 5.3.1"),
        "Its payload types are of the offer, and mean the same codecs",
        codecs,
    ),
    rule(
        "answer.extensions",
        Level::Must,
        Source::Both("RFC 8285, 6"),
        "Its header extensions are of the offer, with the same ids",
        extensions,
    ),
    rule(
        "answer.candidates",
        Level::Must,
        Source::Each {
            whip: "4.3.2",
            whep: "4.5.2",
        },
        "It holds candidates that can be used: the server can't send more later",
        candidates,
    ),
    rule(
        "answer.reachable",
        Level::Should,
        Source::Both("RFC 8445, 5.1.1"),
        "One of its candidates can be reached from where the server's URL can be",
        reachable,
    ),
];

/// Judges every section that is not rejected; names the first that is at fault.
fn each(
    description: &Description,
    expected: &str,
    judge: impl Fn(&Section) -> Option<String>,
) -> Verdict {
    let mut accepted = description.accepted().peekable();
    if accepted.peek().is_none() {
        return Verdict::not_tested("no media section is accepted");
    }
    for (index, section) in accepted.enumerate() {
        if let Some(got) = judge(section) {
            return Verdict::fail(
                expected,
                format!("{got} (section {index}, {})", section.kind),
            );
        }
    }
    Verdict::PASS
}

fn sections(evidence: &Evidence) -> Judgement {
    let created = evidence.created()?;
    let Some(answer) = Description::parse(&created.text()) else {
        return Ok(Verdict::fail("SDP that begins with v=0", "something else"));
    };
    let offer = offer(evidence)?;
    let kinds = |description: &Description| -> String {
        let kinds = description
            .media
            .iter()
            .map(|section| section.kind.as_str());
        kinds.collect::<Vec<_>>().join(", ")
    };
    let (expected, got) = (kinds(&offer), kinds(&answer));
    Ok(Verdict::require(expected == got, expected, got))
}

fn offer(evidence: &Evidence) -> Result<Description, Verdict> {
    Description::parse(&evidence.offer).ok_or_else(|| Verdict::not_tested("there was no offer"))
}

fn whole(evidence: &Evidence) -> Judgement {
    let answer = evidence.description()?;
    let rejected = answer.media.iter().filter(|section| !section.is_accepted());
    let kinds: Vec<&str> = rejected.map(|section| section.kind.as_str()).collect();
    Ok(Verdict::require(
        kinds.is_empty(),
        "every section accepted",
        format!("{} rejected", kinds.join(", ")),
    ))
}

fn direction(evidence: &Evidence) -> Judgement {
    let answer = evidence.description()?;
    let expected = match evidence.protocol {
        Protocol::Whip => "recvonly",
        Protocol::Whep => "sendonly",
    };
    Ok(each(&answer, expected, |section| {
        let got = answer.direction(section);
        (got != expected).then(|| got.to_owned())
    }))
}

fn bundle(evidence: &Evidence) -> Judgement {
    let (answer, offer) = (evidence.description()?, offer(evidence)?);
    let Some(group) = answer.bundle() else {
        return Ok(Verdict::fail("a=group:BUNDLE", "no BUNDLE group"));
    };
    for (section, offered) in answer.media.iter().zip(&offer.media) {
        let (mid, expected) = (section.attribute("mid"), offered.attribute("mid"));
        if mid != expected {
            let expected = format!("a=mid:{}", expected.unwrap_or_default());
            let got = mid.map_or("no mid".to_owned(), |mid| format!("a=mid:{mid}"));
            return Ok(Verdict::fail(expected, got));
        }
    }
    Ok(each(&answer, "every mid in the BUNDLE group", |section| {
        let mid = section.attribute("mid").unwrap_or_default();
        (!group.contains(&mid)).then(|| format!("BUNDLE {}", group.join(" ")))
    }))
}

fn rtcp_mux(evidence: &Evidence) -> Judgement {
    let answer = evidence.description()?;
    Ok(each(&answer, "a=rtcp-mux", |section| {
        let has = section.attribute("rtcp-mux").is_some();
        (!has).then(|| "none".to_owned())
    }))
}

fn msid(evidence: &Evidence) -> Judgement {
    let answer = evidence.description()?;
    let stream = |section: &Section| {
        let msid = section.attribute("msid")?;
        msid.split(' ').next().map(str::to_owned)
    };
    let first = answer.accepted().next().and_then(stream);
    Ok(each(
        &answer,
        "a=msid with one stream for all",
        |section| match stream(section) {
            None => Some("no msid".to_owned()),
            found if found != first => Some("another stream".to_owned()),
            Some(_) => None,
        },
    ))
}

fn setup(evidence: &Evidence) -> Judgement {
    let answer = evidence.description()?;
    Ok(each(&answer, "active or passive", |section| {
        match answer.inherited(section, "setup") {
            Some("active" | "passive") => None,
            Some(other) => Some(other.to_owned()),
            None => Some("no setup".to_owned()),
        }
    }))
}

fn credentials(evidence: &Evidence) -> Judgement {
    let answer = evidence.description()?;
    Ok(each(&answer, "4 and 22 characters or more", |section| {
        let len = |name| answer.inherited(section, name).map_or(0, str::len);
        let (ufrag, password) = (len("ice-ufrag"), len("ice-pwd"));
        (ufrag < 4 || password < 22).then(|| format!("{ufrag} and {password} characters"))
    }))
}

fn fingerprint(evidence: &Evidence) -> Judgement {
    let answer = evidence.description()?;
    Ok(each(
        &answer,
        "sha-256, sha-384 or sha-512 with its bytes",
        |section| {
            let own: Vec<&str> = section.attributes("fingerprint").collect();
            let all = match own.is_empty() {
                true => answer.attribute("fingerprint").into_iter().collect(),
                false => own,
            };
            let is_good = all.iter().any(|value| is_fingerprint(value));
            (!is_good).then(|| match all.first() {
                Some(value) => (*value).to_owned(),
                None => "no fingerprint".to_owned(),
            })
        },
    ))
}

fn is_fingerprint(value: &str) -> bool {
    let Some((hash, bytes)) = value.split_once(' ') else {
        return false;
    };
    let len = match hash.to_ascii_lowercase().as_str() {
        "sha-256" => 32,
        "sha-384" => 48,
        "sha-512" => 64,
        _ => return false,
    };
    let is_byte = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let bytes: Vec<&str> = bytes.trim().split(':').collect();
    bytes.len() == len && bytes.iter().all(|byte| is_byte(byte))
}

fn codecs(evidence: &Evidence) -> Judgement {
    let (answer, offer) = (evidence.description()?, offer(evidence)?);
    for (section, offered) in answer.media.iter().zip(&offer.media) {
        if !section.is_accepted() {
            continue;
        }
        if section.formats.is_empty() {
            return Ok(Verdict::fail("payload types", "none"));
        }
        for format in &section.formats {
            let expected = offered.codec(format);
            // A static payload type needs no rtpmap (RFC 3551, section 6).
            let got = section.codec(format).or_else(|| expected.clone());
            // Opus may be written with or without its channels, names in any case.
            if expected.is_none() || got != expected {
                return Ok(Verdict::fail(
                    format!(
                        "payload type {format} as {}",
                        expected.as_deref().unwrap_or("not at all")
                    ),
                    got.unwrap_or_else(|| "a codec without rtpmap".to_owned()),
                ));
            }
        }
    }
    Ok(Verdict::PASS)
}

fn extensions(evidence: &Evidence) -> Judgement {
    let (answer, offer) = (evidence.description()?, offer(evidence)?);
    for (section, offered) in answer.media.iter().zip(&offer.media) {
        let known = offered.extensions();
        for extension in section.extensions() {
            if !known.contains(&extension) {
                let (id, uri) = extension;
                return Ok(Verdict::fail(
                    "extensions of the offer",
                    format!("{id} {uri}"),
                ));
            }
        }
    }
    Ok(Verdict::PASS)
}

fn candidates(evidence: &Evidence) -> Judgement {
    let candidates = evidence.description()?.candidates();
    let usable = candidates.iter().filter(|c| c.is_usable()).count();
    let unusable = candidates.iter().find(|c| !c.is_usable());
    Ok(match (usable, unusable) {
        (0, None) => Verdict::fail("a candidate", "none"),
        (0, Some(c)) => Verdict::fail(
            "a candidate that can be used",
            format!("{} {}:{}", c.transport, c.address, c.port),
        ),
        (_, Some(c)) => Verdict::pass_with(format!(
            "one is of no use: {} {}:{}",
            c.transport, c.address, c.port
        )),
        (_, None) => Verdict::PASS,
    })
}
