//! What offers lead to: rows E4, E13 to E17 and E19.

use super::*;

const H264: &[(&str, &str)] = &[(
    "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack pli\r\n",
    "a=rtpmap:96 H264/90000\r\na=fmtp:96 profile-level-id=42e01f;packetization-mode=1\r\n",
)];
const TWO_VIDEOS: &[(&str, &str)] = &[
    ("BUNDLE 0", "BUNDLE 0 1"),
    (
        "a=rtpmap:96 VP8/90000\r\n",
        "a=rtpmap:96 VP8/90000\r\nm=video 9 UDP/TLS/RTP/SAVPF 97\r\na=mid:1\r\na=sendonly\r\n\
         a=rtcp-mux\r\na=rtpmap:97 VP8/90000\r\n",
    ),
];
const AUDIO: (&str, &str) = (
    "a=rtcp-fb:96 nack pli\r\n",
    "a=rtcp-fb:96 nack pli\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\na=recvonly\r\n\
     a=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n",
);
const WITH_AUDIO: &[(&str, &str)] = &[("BUNDLE 0", "BUNDLE 0 1"), AUDIO];
const AUDIO_APART: &[(&str, &str)] = &[AUDIO];
const PROBLEMS: (&str, &str) = ("accept", "application/problem+json");

pub(super) const ROWS: &[Row] = &[
    offer("E4: a publisher that only receives", "/whip/live", 422)
        .edit(&[("a=sendonly", "a=recvonly")])
        .holds(&["a publisher offers sendonly"]),
    offer("E4: a publisher that does neither", "/whip/live", 422)
        .edit(&[("a=sendonly", "a=inactive")])
        .holds(&["a publisher offers sendonly"]),
    offer("E4: a viewer that only sends", "/whep/live", 422)
        .edit(&[("a=recvonly", "a=sendonly")])
        .holds(&["a viewer offers recvonly"]),
    offer("E4: a viewer that does neither", "/whep/live", 422)
        .edit(&[("a=recvonly", "a=inactive")])
        .holds(&["a viewer offers recvonly"]),
    offer("E4: two video tracks", "/whip/live", 422)
        .edit(TWO_VIDEOS)
        .holds(&["more than one video m-line"]),
    offer("E4: no codec that we know", "/whip/live", 422)
        .edit(&[("VP8/90000", "theora/90000")])
        .holds(&["theora", "enable one of them"]),
    offer("E4: no codec of the stream", "/whep/h264", 422)
        .with(&[SDP, PROBLEMS])
        .holds(&["this stream sends H264", "your offer has VP8"]),
    offer("E4: a role that can't work", "/{kind}/live", 422)
        .edit(&[("a=setup:actpass", "a=setup:holdconn")])
        .holds(&["offer a=setup:actpass"]),
    offer("E4: media in the open", "/{kind}/live", 422)
        .edit(&[("UDP/TLS/RTP/SAVPF", "RTP/AVP")])
        .holds(&["only encrypted media"]),
    offer("E4: two lite agents", "/{kind}/live", 422)
        .edit(&[("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n")])
        .holds(&["one side must be a full ICE agent"]),
    offer("E4 E14: RTCP apart", "/{kind}/live", 422)
        .edit(&[("a=rtcp-mux\r\n", "")])
        .holds(&["a=rtcp-mux"]),
    offer("E4 E14: a section outside the bundle", "/whep/live", 422)
        .edit(AUDIO_APART)
        .holds(&["max-bundle"]),
    Row::new("E13: a player without an offer", "POST", "/whep/live", 406)
        .answers(COUNTERED)
        .holds(&["v=0\r\n", "a=setup:actpass"]),
    Row::new("E13: an offer of nothing", "POST", "/whep/live", 406)
        .with(&[SDP])
        .answers(COUNTERED)
        .holds(&["v=0\r\n"]),
    offer("E13: no codec of the stream", "/whep/h264", 406)
        .answers(COUNTERED)
        .holds(&["i=this stream sends H264", "your offer has VP8"]),
    Row::new("E14: our own offer", "POST", "/whep/live", 406)
        .holds(&[
            "a=group:BUNDLE 0 1\r\n",
            "a=sendonly\r\n",
            "a=rtcp-mux\r\n",
            "a=rtcp-mux-only\r\n",
            "a=setup:actpass\r\n",
            "a=msid:live ",
        ])
        .lacks(&["a=recvonly", "a=sendrecv", "i="]),
    offer("E13: the first reason stands", "/whep/mute", 422).holds(&["this stream sends H264"]),
    offer("E13: a codec that fits needs none", "/whep/h264", 201)
        .edit(H264)
        .holds(&["v=0"]),
    Row::new("E13: the answer to it", "PATCH", "/whep{session}", 204)
        .with(&[SDP])
        .body(OFFER)
        .edit(&[("a=setup:actpass", "a=setup:active")])
        .answers(&[("etag", ""), ("content-type", "")]),
    Row::new(
        "E13: an answer that is none",
        "PATCH",
        "/whep{session}",
        400,
    )
    .with(&[SDP])
    .body("hello"),
    Row::new(
        "E13: an answer that comes too late",
        "PATCH",
        "/whep/live/ffffffffffffffffffffffffffffffff",
        404,
    )
    .with(&[SDP])
    .body(OFFER),
    offer("E14: the answer to a publisher", "/whip/live", 201)
        .holds(&["a=group:BUNDLE 0\r\n", "a=recvonly\r\n", "a=rtcp-mux\r\n"])
        // RFC 8858 wants this in offers alone.
        .lacks(&["a=sendonly", "rtcp-mux-only", "a=msid"]),
    offer("E14: the answer to a viewer", "/whep/live", 201)
        .edit(WITH_AUDIO)
        .holds(&[
            "a=group:BUNDLE 0 1\r\n",
            "a=sendonly\r\n",
            "a=rtcp-mux\r\n",
            "a=msid:live video",
            "a=msid:live audio",
        ])
        .lacks(&["a=recvonly", "rtcp-mux-only"]),
    offer("E15: we wait for their handshake", "/{kind}/live", 201).holds(&["a=setup:passive"]),
    offer("E15: they begin", "/{kind}/live", 201)
        .edit(&[("a=setup:actpass", "a=setup:active")])
        .holds(&["a=setup:passive"]),
    offer("E15 R: they wait, against the letter", "/{kind}/live", 201)
        .edit(&[("a=setup:actpass", "a=setup:passive")])
        .holds(&["a=setup:active"]),
    offer("E16: all candidates are there", "/{kind}/live", 201).holds(&[
        "192.0.2.10 8080 typ host",
        "2001:db8::10 8080 typ host",
        "a=end-of-candidates",
    ]),
    offer("R: candidates in the offer do no harm", "/{kind}/live", 201)
        .edit(&[(
            "a=mid:0\r\n",
            "a=mid:0\r\na=candidate:1 1 udp 2113937151 8e2f.local 53124 typ host\r\n\
             a=end-of-candidates\r\n",
        )])
        .holds(&["v=0"]),
    offer("E19: a short ice-ufrag", "/{kind}/live", 400)
        .edit(&[("a=ice-ufrag:abcd", "a=ice-ufrag:abc")])
        .holds(&["a=ice-ufrag has 3 characters"]),
    offer("E19: a short ice-pwd", "/{kind}/live", 400)
        .edit(&[("0123456789012345678901", "012345678901234567890")])
        .holds(&["a=ice-pwd has 21 characters"]),
    offer("E19: a malformed fingerprint", "/{kind}/live", 400)
        .edit(&[("00:01:02", "00:01:0x")])
        .holds(&["fingerprint"]),
    offer("E19: a fingerprint of another hash", "/{kind}/live", 400)
        .edit(&[("sha-256", "sha-1")])
        .holds(&["a=fingerprint:sha-256 is missing"]),
];

const COUNTERED: &[(&str, &str)] = &[
    ("content-type", "application/sdp; valid-until=\""),
    ("content-type", " GMT\""),
    ("location", "/101112131415161718191a1b1c1d1e1f"),
    ("etag", "\"generation-1\""),
    ("accept-patch", "application/sdp"),
    ("link", "urn:ietf:params:whep:ext:core:server-sent-events"),
];

const fn offer(name: &'static str, path: &'static str, status: u16) -> Row {
    Row::new(name, "POST", path, status)
        .with(&[SDP])
        .body(OFFER)
}

#[tokio::test]
async fn offers_are_answered_or_refused_with_the_reason() {
    check_all(&open_app(), ROWS).await;
}

#[tokio::test]
async fn counter_offers_can_be_turned_off() {
    let settings = Settings {
        counter_offer: false,
        ..Settings::default()
    };
    let rows = [
        offer("E4: no codec of the stream", "/whep/h264", 422)
            .holds(&["this stream sends H264", "your offer has VP8"]),
        Row::new("E3: no offer", "POST", "/whep/live", 400)
            .with(&[SDP])
            .holds(&["v=0"]),
        Row::new("E2: nothing at all", "POST", "/whep/live", 415),
    ];
    check_all(&app(Tokens::default(), settings), &rows).await;
}

#[tokio::test]
async fn an_offer_over_a_limit_is_refused_with_the_limit() {
    let limits = crate::sdp::Limits::default();
    let line = "a=x\r\n";
    let section = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n";
    for kind in ["whip", "whep"] {
        for (more, part) in [
            (line.repeat(limits.lines), limits.lines.to_string()),
            (section.repeat(64), String::from("m-lines")),
            (
                format!("a=x:{}\r\n", "y".repeat(limits.bytes)),
                limits.bytes.to_string(),
            ),
        ] {
            let settings = Settings {
                max_body: 16 * limits.bytes,
                ..Settings::default()
            };
            let router = app(Tokens::default(), settings);
            let path = format!("/{kind}/live");
            let answer = send(&router, "POST", &path, &[SDP], format!("{OFFER}{more}")).await;
            assert_eq!(answer.status, 400, "{answer:?}");
            answer.assert_problem(&part);
            assert!(answer.body.contains(&part), "{part}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn session_urls_can_not_be_guessed() {
    let id = crate::gateway::SessionId::random().to_string();
    assert_eq!(4 * id.len(), 128);
    assert_ne!(id, crate::gateway::SessionId::random().to_string());
}
