//! Each rule judged by made-up answers: a server without fault, and one fault at a time.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::super::evidence::{Evidence, Exchange, Media, Probe, Response, Unanswered};
use super::super::offer::{Case, Offer};
use super::super::rule::{Level, Protocol, Verdict};
use super::{all, select};

const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const PROBLEM: &str =
    r#"{"type":"about:blank","title":"No","status":400,"detail":"Send another."}"#;
const FINGERPRINT: &str = "sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF";

fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Exchange {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    Ok(Response {
        status,
        headers: map,
        body: body.as_bytes().to_vec(),
        url: Url::parse("https://media.example/whip/demo").unwrap(),
    })
}

fn plain(status: u16) -> Exchange {
    response(status, &[], "")
}

fn problem(status: u16) -> Exchange {
    response(
        status,
        &[("content-type", "application/problem+json")],
        PROBLEM,
    )
}

/// An answer to the good offer.
fn answer(protocol: Protocol) -> String {
    let direction = match protocol {
        Protocol::Whip => "recvonly",
        Protocol::Whep => "sendonly",
    };
    let mut text =
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=ice-lite\r\n"
            .to_owned();
    for (mid, media) in [
        "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n",
        "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        text.push_str(media);
        text.push_str(&format!(
            "a=mid:{mid}\r\na={direction}\r\na=msid:stream track{mid}\r\na=rtcp-mux\r\na=setup:passive\r\n\
             a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
             a=ice-ufrag:serv\r\na=ice-pwd:the-password-of-a-server\r\na=fingerprint:{FINGERPRINT}\r\n\
             a=candidate:1 1 udp 2130706431 198.51.100.7 8443 typ host\r\n"
        ));
    }
    text
}

fn created(body: &str, change: impl FnOnce(&mut Vec<(&'static str, &'static str)>)) -> Exchange {
    let mut headers = vec![
        ("content-type", "application/sdp"),
        ("location", "/whip/demo/0b8e4f7a9c2d13e65f708192a3b4c5d6"),
        ("etag", "\"one\""),
        ("access-control-allow-origin", "*"),
        ("access-control-expose-headers", "Location, ETag, Link"),
        (
            "link",
            "<turn:turn.example?transport=udp>; rel=\"ice-server\"; username=\"u\"; credential=\"c\"",
        ),
        (
            "link",
            "</events>; rel=\"urn:ietf:params:whep:ext:core:server-sent-events\"; events=\"active,layers\"",
        ),
        (
            "link",
            "</layer>; rel=\"urn:ietf:params:whep:ext:core:layer\"",
        ),
    ];
    change(&mut headers);
    response(201, &headers, body)
}

fn restarted(change: impl FnOnce(&mut String)) -> Exchange {
    let mut body =
        "a=ice-lite\r\na=ice-ufrag:again\r\na=ice-pwd:another-password-of-a-server\r\n".to_owned();
    change(&mut body);
    response(
        200,
        &[("content-type", FRAGMENT), ("etag", "\"two\"")],
        &body,
    )
}

const PREFLIGHT: [(&str, &str); 3] = [
    ("access-control-allow-origin", "*"),
    (
        "access-control-allow-headers",
        "Authorization, Content-Type, If-Match",
    ),
    ("access-control-allow-methods", "POST, PATCH, DELETE"),
];

/// The preflight without one of its fields.
fn preflight_without(name: &str) -> Exchange {
    let headers: Vec<_> = PREFLIGHT
        .into_iter()
        .filter(|(key, _)| *key != name)
        .collect();
    response(204, &headers, "")
}

/// What a server without fault shows.
fn good(protocol: Protocol) -> Evidence {
    let url = Url::parse("https://media.example/whip/demo").unwrap();
    let mut evidence = Evidence::new(protocol, url);
    evidence.offer = Offer::new(protocol).text();
    evidence.redirects = vec![307];
    evidence.sessions = [
        "https://media.example/whip/demo/0b8e4f7a9c2d13e65f708192a3b4c5d6",
        "https://media.example/whip/demo/f17c2e9b0d4a68c3e5f70819aab1c2d3",
    ]
    .map(|url| Url::parse(url).unwrap())
    .to_vec();
    evidence.media = Ok(Media {
        ice: Some(Duration::from_millis(20)),
        connected: Some(Duration::from_millis(40)),
        video: true,
        packets: 900,
        first_packet: Some(Duration::from_millis(60)),
        first_keyframe: Some(Duration::from_millis(60)),
        sent: 900,
        reports: 3,
        rtcp: 9,
        keyframe_requests: 1,
        kept: Duration::from_secs(6),
        after_restart: Some(200),
        closed: Some(Duration::ZERO),
        ..Media::default()
    });
    let sdp = answer(protocol);
    let served = created(&sdp, |_| {});
    let flipped = created(&sdp.replace("passive", "active"), |_| {});
    for case in Case::ALL {
        let exchange = match case {
            Case::OtherSpelling
            | Case::WithoutVideo
            | Case::MdnsCandidate
            | Case::UnknownAttributes
            | Case::SetupActive => served.clone(),
            Case::SetupPassive => flipped.clone(),
            Case::WrongType => problem(415),
            Case::TooLarge => problem(413),
            Case::TwoVideos | Case::NoCommonCodec | Case::OneUnknownCodec => problem(422),
            _ => problem(400),
        };
        evidence.add(Probe::Offer(case), exchange);
    }
    let events = "event: active\ndata: {}\n\n";
    let probes = [
        (
            Probe::Options,
            response(200, &[("accept-post", "application/sdp")], ""),
        ),
        (Probe::Get, plain(204)),
        (
            Probe::Head,
            response(200, &[("content-type", "application/sdp")], ""),
        ),
        (Probe::Put, response(405, &[("allow", "POST")], "")),
        (Probe::Preflight, response(204, &PREFLIGHT, "")),
        (Probe::CreateFromPage, served.clone()),
        (Probe::Create, served),
        (Probe::SessionGet, plain(204)),
        (Probe::SessionPreflight, response(204, &PREFLIGHT, "")),
        (Probe::UnknownDelete, problem(404)),
        (Probe::UnknownPatch, problem(404)),
        (Probe::TrickleWithoutIfMatch, problem(428)),
        (Probe::TrickleStale, problem(412)),
        (Probe::TrickleWrongType, problem(415)),
        (Probe::TrickleMalformed, problem(400)),
        (Probe::Trickle, plain(204)),
        (Probe::TrickleUnusable, plain(204)),
        (Probe::TrickleEnd, plain(204)),
        (Probe::RestartBroken, problem(400)),
        (Probe::GetAfterBroken, plain(204)),
        (Probe::TrickleAfterBroken, plain(204)),
        (Probe::Restart, restarted(|_| {})),
        (Probe::TrickleBeforeRestart, problem(412)),
        (Probe::RestartQuoted, restarted(|_| {})),
        (Probe::PatchAnonymous, problem(401)),
        (Probe::DeleteAnonymous, problem(401)),
        (Probe::GetAfterAnonymous, plain(204)),
        (Probe::Delete, plain(200)),
        (Probe::DeleteAgain, problem(404)),
        (Probe::GetDeleted, problem(404)),
        (
            Probe::PostAnonymous,
            response(
                401,
                &[
                    ("www-authenticate", "Bearer"),
                    ("content-type", "application/problem+json"),
                ],
                PROBLEM,
            ),
        ),
        (Probe::PostWrongToken, problem(403)),
        (Probe::NoHost, plain(400)),
        (Probe::Expect, plain(100)),
        (
            Probe::EventsCreate,
            response(201, &[("location", "/events/1")], ""),
        ),
        (
            Probe::EventsRead,
            response(200, &[("content-type", "text/event-stream")], events),
        ),
        (Probe::EventsUnknown, problem(400)),
        (Probe::EventsDelete, plain(200)),
        (Probe::EventsReadDeleted, problem(404)),
        (Probe::LayerAutomatic, plain(200)),
        (Probe::LayerMalformed, problem(400)),
        (
            Probe::CounterOffer,
            counter_offer("Wed, 09 Oct 2024 10:00:00 GMT", "actpass"),
        ),
        (Probe::CounterNonsense, problem(400)),
        (Probe::CounterAnswer, plain(204)),
        (Probe::CounterDelete, plain(200)),
        (Probe::MediaRestartBroken, problem(400)),
        (Probe::MediaDelete, plain(200)),
        (Probe::Offline, response(409, &[("retry-after", "2")], "")),
        // A server that was busy once, and said how long.
        (
            Probe::MediaCreate,
            response(429, &[("retry-after", "1")], ""),
        ),
    ];
    for (probe, exchange) in probes {
        evidence.add(probe, exchange);
    }
    evidence
}

fn counter_offer(valid_until: &str, setup: &str) -> Exchange {
    let kind = format!("application/sdp; valid-until=\"{valid_until}\"");
    let offer = answer(Protocol::Whep).replace("passive", setup);
    response(
        406,
        &[("content-type", &kind), ("location", "/s/1")],
        &offer,
    )
}

/// Changes the answer to the good offer.
fn in_answer(evidence: &mut Evidence, from: &str, to: &str) {
    let text = answer(evidence.protocol);
    assert!(text.contains(from), "{from}");
    evidence.add(Probe::Create, created(&text.replacen(from, to, 1), |_| {}));
}

/// Changes the header of the 201.
fn in_created(
    evidence: &mut Evidence,
    change: impl FnOnce(&mut Vec<(&'static str, &'static str)>),
) {
    let text = answer(evidence.protocol);
    evidence.add(Probe::Create, created(&text, change));
}

fn without(evidence: &mut Evidence, name: &str) {
    in_created(evidence, |headers| headers.retain(|(key, _)| *key != name));
}

fn with(evidence: &mut Evidence, name: &'static str, value: &'static str) {
    in_created(evidence, |headers| {
        headers.retain(|(key, _)| *key != name);
        headers.push((name, value));
    });
}

fn media(evidence: &mut Evidence, change: impl FnOnce(&mut Media)) {
    change(evidence.media.as_mut().unwrap());
}

type Fault = (&'static str, Protocol, fn(&mut Evidence));

/// For each rule one fault at least that only a broken server has.
fn faults() -> Vec<Fault> {
    use Probe::*;
    use Protocol::{Whep, Whip};
    fn offer(evidence: &mut Evidence, case: Case, exchange: Exchange) {
        evidence.add(Offer(case), exchange);
    }
    /// The server serves what it should have refused.
    macro_rules! serves {
        ($id:literal, $case:ident) => {
            ($id, Whip, |e: &mut Evidence| {
                let served = created(&answer(Whip), |_| {});
                offer(e, Case::$case, served);
            })
        };
    }
    macro_rules! refuses {
        ($id:literal, $case:ident) => {
            ($id, Whip, |e: &mut Evidence| {
                offer(e, Case::$case, problem(400))
            })
        };
    }
    macro_rules! says {
        ($id:literal, $protocol:ident, $probe:ident, $exchange:expr) => {
            ($id, $protocol, |e: &mut Evidence| e.add($probe, $exchange))
        };
    }
    vec![
        says!("endpoint.created", Whip, Create, plain(200)),
        says!(
            "endpoint.created",
            Whip,
            Create,
            Err(Unanswered("gone".to_owned()))
        ),
        ("endpoint.content-type", Whip, |e| {
            with(e, "content-type", "text/plain");
        }),
        ("endpoint.content-type", Whip, |e| {
            without(e, "content-type");
        }),
        ("endpoint.location", Whip, |e| without(e, "location")),
        ("endpoint.location", Whip, |e| {
            with(e, "location", "file:///s/1");
        }),
        ("endpoint.location-scheme", Whip, |e| {
            with(e, "location", "http://media.example/s/1");
        }),
        ("endpoint.https", Whip, |e| {
            e.url = Url::parse("http://media.example/").unwrap();
        }),
        ("endpoint.redirect", Whip, |e| e.redirects.push(302)),
        says!("endpoint.get", Whip, Get, plain(405)),
        says!("endpoint.get", Whip, Get, response(200, &[], "<html>")),
        says!("endpoint.head", Whep, Head, plain(405)),
        says!("endpoint.head", Whep, Head, plain(200)),
        says!("endpoint.options", Whip, Options, plain(401)),
        says!("endpoint.accept-post", Whip, Options, plain(200)),
        says!("endpoint.offline", Whep, Offline, plain(409)),
        says!("endpoint.offline", Whep, Offline, plain(404)),
        refuses!("offer.type-spelling", OtherSpelling),
        refuses!("offer.unknown-attributes", UnknownAttributes),
        refuses!("offer.mdns-candidate", MdnsCandidate),
        refuses!("offer.audio-only", WithoutVideo),
        ("offer.setup-active", Whip, |e| {
            let wrong = created(&answer(Whip).replace("passive", "active"), |_| {});
            offer(e, Case::SetupActive, wrong);
        }),
        serves!("offer.setup-passive", SetupPassive),
        serves!("offer.wrong-type", WrongType),
        refuses!("offer.wrong-type-415", WrongType),
        serves!("offer.empty", Empty),
        serves!("offer.garbage", Garbage),
        ("offer.garbage", Whip, |e| {
            offer(e, Case::Garbage, plain(500));
        }),
        serves!("offer.binary", Binary),
        ("offer.too-large", Whip, |e| {
            offer(e, Case::TooLarge, Err(Unanswered("closed".to_owned())));
        }),
        serves!("offer.no-media", NoMedia),
        serves!("offer.direction", WrongDirection),
        serves!("offer.inactive", Inactive),
        serves!("offer.two-videos", TwoVideos),
        ("offer.two-videos", Whip, |e| {
            offer(e, Case::TwoVideos, plain(415));
        }),
        ("offer.one-video", Whep, |e| {
            let two = answer(Whep).replace(
                "m=audio 9 UDP/TLS/RTP/SAVPF 111",
                "m=video 9 UDP/TLS/RTP/SAVPF 96",
            );
            offer(e, Case::TwoVideos, created(&two, |_| {}));
        }),
        serves!("offer.no-codec", NoCommonCodec),
        serves!("offer.partial", OneUnknownCodec),
        serves!("offer.short-ufrag", ShortUfrag),
        serves!("offer.short-password", ShortPassword),
        serves!("offer.no-credentials", NoCredentials),
        serves!("offer.no-fingerprint", NoFingerprint),
        serves!("offer.bad-fingerprint", BadFingerprint),
        ("answer.sections", Whip, |e| {
            in_answer(e, "m=audio", "m=video");
        }),
        ("answer.sections", Whip, |e| in_answer(e, "v=0", "V=0")),
        ("answer.whole", Whip, |e| {
            in_answer(e, "m=video 9", "m=video 0");
        }),
        ("answer.direction", Whip, |e| {
            in_answer(e, "a=recvonly", "a=sendrecv");
        }),
        ("answer.direction", Whep, |e| {
            in_answer(e, "a=sendonly\r\n", "");
        }),
        ("answer.bundle", Whip, |e| {
            in_answer(e, "BUNDLE 0 1", "BUNDLE 0");
        }),
        ("answer.bundle", Whip, |e| {
            in_answer(e, "a=group:BUNDLE 0 1\r\n", "");
        }),
        ("answer.bundle", Whip, |e| {
            in_answer(e, "a=mid:1", "a=mid:video");
        }),
        ("answer.rtcp-mux", Whip, |e| {
            in_answer(e, "a=rtcp-mux\r\n", "");
        }),
        ("answer.msid", Whep, |e| {
            in_answer(e, "a=msid:stream track1\r\n", "");
        }),
        ("answer.msid", Whep, |e| {
            in_answer(e, "a=msid:stream track1", "a=msid:other track1");
        }),
        ("answer.setup", Whip, |e| {
            in_answer(e, "a=setup:passive", "a=setup:actpass");
        }),
        ("answer.credentials", Whip, |e| {
            in_answer(e, "a=ice-ufrag:serv", "a=ice-ufrag:s");
        }),
        ("answer.credentials", Whip, |e| {
            in_answer(e, "the-password-of-a-server", "short");
        }),
        ("answer.fingerprint", Whip, |e| {
            in_answer(e, "sha-256 00:", "sha-256 0:");
        }),
        ("answer.fingerprint", Whip, |e| {
            in_answer(e, "sha-256", "sha-1");
        }),
        ("answer.codecs", Whip, |e| {
            in_answer(e, "VP8/90000", "VP9/90000");
        }),
        ("answer.codecs", Whip, |e| {
            in_answer(e, "SAVPF 96\r\n", "SAVPF 96 121\r\n");
        }),
        ("answer.extensions", Whip, |e| {
            in_answer(e, "a=extmap:4 ", "a=extmap:5 ");
        }),
        ("answer.candidates", Whip, |e| {
            let text = answer(Whip).replace("a=candidate", "a=x-candidate");
            e.add(Create, created(&text, |_| {}));
        }),
        ("answer.candidates", Whip, |e| {
            let text = answer(Whip).replace("198.51.100.7", "0.0.0.0");
            e.add(Create, created(&text, |_| {}));
        }),
        ("answer.reachable", Whip, |e| {
            let text = answer(Whip).replace("198.51.100.7", "192.168.0.7");
            e.add(Create, created(&text, |_| {}));
        }),
        ("session.secret", Whip, |e| {
            e.sessions = ["https://a/s/1", "https://a/s/2"]
                .map(|url| Url::parse(url).unwrap())
                .to_vec();
        }),
        ("session.secret", Whip, |e| {
            e.sessions[1] = e.sessions[0].clone();
        }),
        says!("session.get", Whip, SessionGet, plain(405)),
        says!("session.unknown-delete", Whip, UnknownDelete, plain(200)),
        says!("session.unknown-patch", Whip, UnknownPatch, plain(204)),
        says!("session.delete", Whip, Delete, plain(412)),
        says!("session.delete-200", Whip, Delete, plain(204)),
        says!("session.delete-again", Whip, DeleteAgain, plain(200)),
        says!("session.get-deleted", Whip, GetDeleted, plain(204)),
        ("ice.etag", Whip, |e| without(e, "etag")),
        ("ice.etag-strong", Whip, |e| with(e, "etag", "one")),
        ("ice.etag-strong", Whip, |e| with(e, "etag", "W/\"one\"")),
        says!("ice.trickle", Whip, Trickle, plain(200)),
        says!(
            "ice.trickle-bare",
            Whip,
            Trickle,
            response(204, &[("etag", "\"one\"")], "")
        ),
        says!("ice.trickle-bare", Whip, Trickle, response(200, &[], "ok")),
        says!("ice.trickle-unusable", Whip, TrickleUnusable, problem(400)),
        says!("ice.trickle-end", Whip, TrickleEnd, problem(400)),
        says!(
            "ice.if-match-missing",
            Whip,
            TrickleWithoutIfMatch,
            plain(204)
        ),
        says!("ice.if-match-stale", Whip, TrickleStale, plain(204)),
        says!("ice.wrong-type", Whip, TrickleWrongType, plain(204)),
        says!("ice.malformed", Whip, TrickleMalformed, plain(204)),
        says!("ice.restart", Whip, Restart, plain(204)),
        says!("ice.restart-type", Whip, Restart, response(200, &[], "")),
        says!(
            "ice.restart-credentials",
            Whip,
            Restart,
            restarted(|body| {
                *body = body.replace("again", "serv");
            })
        ),
        says!(
            "ice.restart-credentials",
            Whip,
            Restart,
            restarted(|body| {
                *body = body.replace("another-password-of-a-server", "short");
            })
        ),
        says!(
            "ice.restart-credentials",
            Whip,
            Restart,
            restarted(String::clear)
        ),
        says!(
            "ice.restart-etag",
            Whip,
            Restart,
            response(200, &[("etag", "\"one\"")], "")
        ),
        says!("ice.restart-etag", Whip, Restart, response(200, &[], "")),
        says!(
            "ice.restart-attributes",
            Whip,
            Restart,
            restarted(|body| {
                *body = body.replace("a=ice-lite\r\n", "");
            })
        ),
        says!(
            "ice.restart-old-etag",
            Whip,
            TrickleBeforeRestart,
            plain(204)
        ),
        says!("ice.restart-quoted", Whip, RestartQuoted, problem(412)),
        says!("ice.restart-broken", Whip, RestartBroken, plain(200)),
        says!(
            "ice.restart-broken-keeps",
            Whip,
            GetAfterBroken,
            problem(404)
        ),
        says!(
            "ice.restart-broken-keeps",
            Whip,
            TrickleAfterBroken,
            problem(412)
        ),
        ("media.answer", Whip, |e| {
            media(e, |m| m.unusable = Some("no".to_owned()));
        }),
        ("media.ice", Whip, |e| {
            media(e, |m| (m.ice, m.connected) = (None, None));
        }),
        ("media.dtls", Whip, |e| media(e, |m| m.connected = None)),
        ("media.packets", Whep, |e| {
            media(e, |m| m.first_packet = None);
        }),
        ("media.keyframe", Whep, |e| {
            media(e, |m| m.first_keyframe = None);
        }),
        ("media.keyframe", Whep, |e| {
            media(e, |m| m.first_keyframe = Some(Duration::from_secs(8)));
        }),
        ("media.reports", Whip, |e| media(e, |m| m.reports = 0)),
        ("media.consent", Whip, |e| media(e, |m| m.lost = true)),
        ("media.restart-broken", Whip, |e| {
            media(e, |m| m.lost = true);
        }),
        ("media.restart-broken", Whep, |e| {
            media(e, |m| m.after_restart = Some(0));
        }),
        ("media.goodbye", Whip, |e| media(e, |m| m.closed = None)),
        says!("cors.preflight", Whip, Preflight, plain(401)),
        says!("cors.preflight", Whip, Preflight, plain(204)),
        says!(
            "cors.headers",
            Whip,
            Preflight,
            preflight_without("access-control-allow-headers")
        ),
        says!("cors.session-preflight", Whip, SessionPreflight, plain(404)),
        says!(
            "cors.session-methods",
            Whip,
            SessionPreflight,
            preflight_without("access-control-allow-methods")
        ),
        says!(
            "cors.session-headers",
            Whip,
            SessionPreflight,
            response(
                204,
                &[
                    ("access-control-allow-origin", "*"),
                    // The asterisk does not stand for Authorization.
                    ("access-control-allow-headers", "*"),
                ],
                ""
            )
        ),
        ("cors.answer", Whip, |e| {
            let headers = [("content-type", "application/sdp")];
            e.add(CreateFromPage, response(201, &headers, ""));
        }),
        ("cors.expose-location", Whip, |e| {
            let headers = [("location", "/s/1"), ("access-control-allow-origin", "*")];
            e.add(CreateFromPage, response(201, &headers, ""));
        }),
        ("cors.expose", Whip, |e| {
            let headers = [
                ("etag", "\"one\""),
                ("access-control-allow-origin", "*"),
                ("access-control-expose-headers", "Location"),
            ];
            e.add(CreateFromPage, response(201, &headers, ""));
        }),
        says!(
            "cors.no-ice-servers",
            Whip,
            Preflight,
            response(
                204,
                &[
                    ("access-control-allow-origin", "*"),
                    ("link", "<turn:turn.example>; rel=\"ice-server\""),
                ],
                ""
            )
        ),
        says!("auth.missing", Whip, PostAnonymous, plain(403)),
        says!("auth.challenge", Whip, PostAnonymous, plain(401)),
        says!("auth.wrong", Whip, PostWrongToken, plain(201)),
        says!("auth.patch", Whip, PatchAnonymous, plain(412)),
        says!("auth.delete", Whip, DeleteAnonymous, plain(200)),
        says!("auth.delete", Whip, GetAfterAnonymous, plain(404)),
        says!(
            "http.answers",
            Whip,
            SessionGet,
            Err(Unanswered("closed".to_owned()))
        ),
        says!("http.no-5xx", Whip, UnknownDelete, plain(500)),
        says!("http.method", Whip, Put, plain(405)),
        says!("http.method", Whip, Put, plain(200)),
        says!("http.no-host", Whip, NoHost, plain(204)),
        says!(
            "http.expect-continue",
            Whip,
            Expect,
            Err(Unanswered("silence".to_owned()))
        ),
        says!("http.retry-after", Whip, MediaCreate, plain(429)),
        says!("http.problem", Whip, UnknownDelete, plain(404)),
        says!(
            "http.problem",
            Whip,
            UnknownDelete,
            response(404, &[("content-type", "application/problem+json")], "{}")
        ),
        ("link.form", Whip, |e| {
            with(e, "link", "stun:stun.example; rel=\"ice-server\"");
        }),
        ("link.form", Whip, |e| {
            with(e, "link", "<stun:stun.example>");
        }),
        ("link.one-each", Whip, |e| {
            with(
                e,
                "link",
                "<stun:a>; rel=\"ice-server\", <stun:b>; rel=\"ice-server\"",
            );
        }),
        ("link.ice-server", Whip, |e| {
            with(e, "link", "<turn:a>; rel=\"ice-server\"");
        }),
        ("link.ice-server", Whip, |e| {
            with(e, "link", "<https://a>; rel=\"ice-server\"");
        }),
        says!("link.events", Whep, EventsCreate, plain(201)),
        says!("link.events-stream", Whep, EventsRead, plain(200)),
        says!(
            "link.events-stream",
            Whep,
            EventsRead,
            response(
                200,
                &[("content-type", "text/event-stream")],
                "event: layers\ndata: {\ndata: }\n\n"
            )
        ),
        says!("link.events-unknown", Whep, EventsUnknown, plain(201)),
        says!("link.events-delete", Whep, EventsDelete, plain(405)),
        says!("link.events-delete", Whep, EventsReadDeleted, plain(200)),
        says!("link.layer", Whep, LayerAutomatic, plain(404)),
        says!("link.layer-malformed", Whep, LayerMalformed, plain(200)),
        ("link.layer-events", Whep, |e| {
            with(
                e,
                "link",
                "</layer>; rel=\"urn:ietf:params:whep:ext:core:layer\"",
            );
        }),
        says!(
            "counter-offer.location",
            Whep,
            CounterOffer,
            response(406, &[("content-type", "application/sdp")], "")
        ),
        says!(
            "counter-offer.valid-until",
            Whep,
            CounterOffer,
            counter_offer("tomorrow", "actpass")
        ),
        says!(
            "counter-offer.direction",
            Whep,
            CounterOffer,
            response(406, &[("content-type", "application/sdp")], &answer(Whip))
        ),
        says!("counter-offer.malformed", Whep, CounterNonsense, plain(204)),
        says!("counter-offer.answer", Whep, CounterAnswer, plain(200)),
        says!("counter-offer.delete", Whep, CounterDelete, plain(404)),
    ]
}

#[test]
fn a_server_without_fault_passes_every_rule() {
    for protocol in [Protocol::Whip, Protocol::Whep] {
        let evidence = good(protocol);
        for rule in select(protocol, &[]).unwrap() {
            let verdict = rule.verdict(&evidence);
            assert!(matches!(verdict, Verdict::Pass(_)), "{rule:?}: {verdict:?}");
        }
    }
}

#[test]
fn each_fault_is_caught_by_its_rule() {
    for (number, (id, protocol, fault)) in faults().into_iter().enumerate() {
        let mut evidence = good(protocol);
        fault(&mut evidence);
        let rules = select(protocol, &[id.to_owned()]).unwrap();
        let [rule] = rules[..] else {
            panic!("{id} is no rule of {protocol:?}");
        };
        let verdict = rule.verdict(&evidence);
        assert!(
            matches!(verdict, Verdict::Fail { .. }),
            "fault {number}, {id}: {verdict:?}"
        );
    }
}

#[test]
fn every_rule_can_fail() {
    let caught: BTreeSet<&str> = faults().into_iter().map(|(id, ..)| id).collect();
    let missing: Vec<_> = all().filter(|rule| !caught.contains(rule.id)).collect();
    assert!(missing.is_empty(), "no fault for {missing:?}");
}

#[test]
fn nothing_is_judged_that_was_not_tried() {
    let url = Url::parse("https://media.example/whip/demo").unwrap();
    for protocol in [Protocol::Whip, Protocol::Whep] {
        let mut evidence = Evidence::new(protocol, url.clone());
        evidence.skip_rest("the reason");
        for rule in select(protocol, &[]).unwrap() {
            let verdict = rule.verdict(&evidence);
            // These look at all that was answered: nothing is nothing wrong.
            let always = ["endpoint.https", "http.answers", "http.no-5xx"];
            assert!(
                always.contains(&rule.id)
                    || !matches!(verdict, Verdict::Pass(_) | Verdict::Fail { .. }),
                "{rule:?}: {verdict:?}"
            );
        }
    }
}

#[test]
fn what_is_optional_may_be_missing() {
    let mut evidence = good(Protocol::Whip);
    for probe in [
        Probe::Trickle,
        Probe::TrickleStale,
        Probe::TrickleWithoutIfMatch,
        Probe::TrickleMalformed,
        Probe::Restart,
        Probe::RestartBroken,
        Probe::RestartQuoted,
    ] {
        evidence.add(probe, problem(405));
    }
    in_created(&mut evidence, |headers| {
        headers.retain(|(name, _)| !matches!(*name, "etag" | "link"));
    });
    for rule in select(Protocol::Whip, &[]).unwrap() {
        let verdict = rule.verdict(&evidence);
        assert!(
            !matches!(verdict, Verdict::Fail { .. }),
            "{rule:?}: {verdict:?}"
        );
    }
}

#[test]
fn a_server_that_asks_for_no_token_breaks_no_rule() {
    let mut evidence = good(Protocol::Whip);
    for probe in [Probe::PostAnonymous, Probe::PostWrongToken] {
        evidence.add(probe, created(&answer(Protocol::Whip), |_| {}));
    }
    for rule in select(Protocol::Whip, &["auth".to_owned()]).unwrap() {
        let verdict = rule.verdict(&evidence);
        assert!(
            matches!(verdict, Verdict::NotOffered(_)),
            "{rule:?}: {verdict:?}"
        );
    }
}

#[test]
fn ids_are_unique_begin_with_their_group_and_select() {
    let mut seen = BTreeSet::new();
    for rule in all() {
        assert!(seen.insert(rule.id), "{rule:?} is there twice");
        let group = rule.id.split('.').next().unwrap();
        assert_eq!(group, rule.group.name(), "{rule:?}");
        assert!(!rule.title.ends_with('.'), "{rule:?}");
    }
    let ids = |only: &[&str]| -> Vec<&str> {
        let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
        let rules = select(Protocol::Whep, &only).unwrap();
        rules.into_iter().map(|rule| rule.id).collect()
    };
    assert_eq!(ids(&["offer.empty"]), ["offer.empty"]);
    assert!(ids(&["ice"]).len() > 10);
    assert_eq!(
        select(Protocol::Whep, &["ice".to_owned(), "nonsense".to_owned()]).unwrap_err(),
        "nonsense"
    );
}

/// The table of docs/conformance.md: `UPDATE_DOCS=1` writes it anew.
#[test]
fn the_documentation_lists_every_rule() {
    use std::fmt::Write as _;
    const BEGIN: &str =
        "<!-- rules: made by a test of src/cli/check/conformance/rules/tests.rs -->\n";
    const END: &str = "<!-- end of rules -->";
    let mut table = String::new();
    for group in super::Group::ALL {
        let _ = write!(
            table,
            "\n### {}\n\n| rule | level | what the server does | WHIP | WHEP |\n|---|---|---|---|---|\n",
            group.title()
        );
        for rule in all().filter(|rule| rule.group == group) {
            let of = |protocol| rule.source.of(protocol).unwrap_or_else(|| "–".to_owned());
            let level = match rule.level {
                Level::Must => "MUST",
                Level::Should => "SHOULD",
            };
            let _ = writeln!(
                table,
                "| `{}` | {level} | {} | {} | {} |",
                rule.id,
                rule.title,
                of(Protocol::Whip),
                of(Protocol::Whep)
            );
        }
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/conformance.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once(BEGIN).unwrap();
    let (found, tail) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{table}\n{END}{tail}")).unwrap();
        return;
    }
    assert!(
        found.trim() == table.trim(),
        "docs/conformance.md is behind the rules; run this test with UPDATE_DOCS=1"
    );
}
