//! Media: that it connects, flows, stays and ends.

use std::time::Duration;

use super::super::evidence::{Evidence, Media, Probe};
use super::super::rule::{Group, Judgement, Level, Rule, Source, Verdict};

/// A keyframe that comes later than this is late for whoever joins.
const KEYFRAME: Duration = Duration::from_secs(3);

const fn rule(
    id: &'static str,
    level: Level,
    source: Source,
    title: &'static str,
    judge: fn(&Evidence) -> Judgement,
) -> Rule {
    Rule {
        id,
        group: Group::Media,
        level,
        source,
        title,
        judge,
    }
}

const END: Source = Source::Each {
    whip: "4.2",
    whep: "4.3.8",
};

pub(super) const RULES: &[Rule] = &[
    rule(
        "media.answer",
        Level::Must,
        Source::Both("RFC 9429, 5.3.1"),
        "A WebRTC stack takes the answer",
        answer,
    ),
    rule(
        "media.ice",
        Level::Must,
        Source::Both("RFC 8445"),
        "ICE connects",
        ice,
    ),
    rule(
        "media.dtls",
        Level::Must,
        Source::Both("RFC 8827, 6.5"),
        "DTLS connects, by the fingerprint of the answer",
        dtls,
    ),
    rule(
        "media.packets",
        Level::Must,
        Source::Whep("RFC 8834"),
        "RTP packets arrive",
        packets,
    ),
    rule(
        "media.keyframe",
        Level::Should,
        Source::Whep("RFC 8834, 5.1"),
        "A keyframe comes within 3 s, so that there is a picture",
        keyframe,
    ),
    rule(
        "media.reports",
        Level::Must,
        Source::Whip("RFC 8834, 4.1"),
        "RTCP receiver reports come back",
        reports,
    ),
    rule(
        "media.consent",
        Level::Must,
        Source::Both("RFC 7675, 5.1"),
        "The connection is kept up while both sides are there",
        consent,
    ),
    rule(
        "media.restart-broken",
        Level::Must,
        Source::Each {
            whip: "4.3.3",
            whep: "4.5.3",
        },
        "Media goes on after an ICE restart that failed",
        restart_broken,
    ),
    rule(
        "media.goodbye",
        Level::Must,
        END,
        "A DELETE closes DTLS at once, so that the other side sees it",
        goodbye,
    ),
];

/// The media, connected.
fn connected(evidence: &Evidence) -> Result<&Media, Verdict> {
    let media = evidence.media()?;
    match media.connected {
        Some(_) => Ok(media),
        None => Err(Verdict::not_tested("there is no connection")),
    }
}

fn after(time: Duration) -> String {
    format!("after {} ms", time.as_millis())
}

fn answer(evidence: &Evidence) -> Judgement {
    let media = evidence.media()?;
    Ok(match &media.unusable {
        Some(reason) => Verdict::fail("an answer that can be used", reason.clone()),
        None => Verdict::PASS,
    })
}

fn ice(evidence: &Evidence) -> Judgement {
    let media = evidence.media()?;
    if media.unusable.is_some() {
        return Ok(Verdict::not_tested("the answer can't be used"));
    }
    Ok(match media.ice {
        Some(time) => Verdict::pass_with(after(time)),
        None => Verdict::fail(
            "a pair of addresses that works",
            "none in 10 s: check the UDP port and the candidates",
        ),
    })
}

fn dtls(evidence: &Evidence) -> Judgement {
    let media = evidence.media()?;
    if media.ice.is_none() {
        return Ok(Verdict::not_tested("ICE did not connect"));
    }
    Ok(match media.connected {
        Some(time) => Verdict::pass_with(after(time)),
        None => Verdict::fail("a DTLS handshake", "none in 10 s"),
    })
}

fn packets(evidence: &Evidence) -> Judgement {
    let media = connected(evidence)?;
    Ok(match media.first_packet {
        Some(time) => Verdict::pass_with(format!(
            "{} in all, the first {}",
            media.packets,
            after(time)
        )),
        None => Verdict::fail("RTP packets", "none"),
    })
}

fn keyframe(evidence: &Evidence) -> Judgement {
    let media = connected(evidence)?;
    if !media.video {
        return Ok(Verdict::not_applicable("the answer has no video"));
    }
    Ok(match media.first_keyframe {
        Some(time) if time <= KEYFRAME => Verdict::pass_with(after(time)),
        Some(time) => Verdict::fail("a keyframe within 3 s", after(time)),
        None => Verdict::fail("a keyframe within 3 s", "none"),
    })
}

fn reports(evidence: &Evidence) -> Judgement {
    let media = connected(evidence)?;
    if media.sent == 0 {
        return Ok(Verdict::not_tested(
            "nothing could be sent: the server chose none of VP8, H264 and Opus",
        ));
    }
    let requests = match media.keyframe_requests {
        0 => String::new(),
        count => format!(", {count} requests for a keyframe"),
    };
    Ok(match media.reports {
        0 => Verdict::fail(
            "receiver reports within 10 s",
            format!("none, {} other RTCP packets", media.rtcp),
        ),
        count => Verdict::pass_with(format!("{count} reports{requests}")),
    })
}

fn consent(evidence: &Evidence) -> Judgement {
    let media = connected(evidence)?;
    let kept = format!("{:.0} s", media.kept.as_secs_f64());
    Ok(match media.lost {
        false => Verdict::pass_with(kept),
        true => Verdict::fail(
            "a connection that lasts",
            format!("it was lost within {kept}"),
        ),
    })
}

fn restart_broken(evidence: &Evidence) -> Judgement {
    let media = connected(evidence)?;
    let response = evidence.answer(Probe::MediaRestartBroken)?;
    if response.is_success() {
        return Ok(Verdict::not_tested("the broken restart was not refused"));
    }
    Ok(match media.after_restart {
        None => Verdict::not_tested("nothing was looked at after it"),
        Some(_) if media.lost => Verdict::fail("a connection that lasts", "it was lost"),
        // A publisher gets a report now and then only.
        Some(0) if evidence.protocol == super::super::rule::Protocol::Whep && media.packets > 0 => {
            Verdict::fail("media as before", "no packet in 2 s")
        }
        Some(_) => Verdict::PASS,
    })
}

fn goodbye(evidence: &Evidence) -> Judgement {
    let media = connected(evidence)?;
    let deleted = evidence.answer(Probe::MediaDelete)?;
    if !deleted.is_success() || media.lost {
        return Ok(Verdict::not_tested("there was nothing left to end"));
    }
    Ok(match media.closed {
        Some(time) => Verdict::pass_with(after(time)),
        None => Verdict::fail("a DTLS close_notify within 2 s", "none"),
    })
}
