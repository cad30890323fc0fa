//! Offers and answers together: golden answers to captured offers, refusals, hostile bytes.

use std::fs;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::rtp::{Codec, Extension, MediaKind};
use crate::stream::{StreamName, TrackId, TrackInfo};

mod counter_offer;
mod redundancy;
mod waiting;

static ICE: LazyLock<IceCredentials> = LazyLock::new(|| IceCredentials {
    ufrag: "tidegate".to_owned(),
    pwd: "not-a-secret-of-any-session".to_owned(),
});
static FINGERPRINT: Fingerprint = Fingerprint([0xA5; 32]);
static CANDIDATES: LazyLock<Vec<Candidate>> = LazyLock::new(|| {
    let addresses = ["192.0.2.1:8443", "[2001:db8::1]:8443"];
    Candidate::list(addresses.map(|address| address.parse().unwrap()))
});
static STREAM: LazyLock<StreamName> = LazyLock::new(|| "stage-1".parse().unwrap());

fn local() -> Local<'static> {
    Local {
        ice: &ICE,
        fingerprint: &FINGERPRINT,
        candidates: &CANDIDATES,
        session_id: 4_242_424_242,
        stream: &STREAM,
        leniency: Leniency::default(),
        audio_redundancy: false,
    }
}

fn track(id: u8, codec: Codec, fmtp: &str) -> TrackInfo {
    TrackInfo {
        id: TrackId(id),
        codec,
        fmtp: fmtp.to_owned(),
        channels: if codec == Codec::Opus { 2 } else { 1 },
    }
}

/// Opus and H264 in the way of OBS.
fn h264_stream() -> Vec<TrackInfo> {
    let fmtp = "profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1";
    vec![
        track(0, Codec::Opus, "minptime=10;stereo=1"),
        track(1, Codec::H264, fmtp),
    ]
}

fn vp8_stream() -> Vec<TrackInfo> {
    vec![track(0, Codec::Vp8, ""), track(1, Codec::Opus, "")]
}

fn publish(offer: &Offer) -> Result<Accepted<PublisherSpec>, Refusal> {
    accept_publisher(offer, &local(), &CodecPolicy::default())
}

fn subscribe(offer: &Offer, tracks: &[TrackInfo]) -> Result<Accepted<SubscriberSpec>, Refusal> {
    let mut ssrcs = 1001..;
    accept_subscriber(offer, &local(), tracks, &mut || ssrcs.next().unwrap())
}

fn parse(body: &str) -> Offer {
    Offer::parse(body.as_bytes(), &Limits::default()).unwrap()
}

/// A fixture with some of its text replaced, all of which must be there.
fn edited(name: &str, edits: &[(&str, &str)]) -> Offer {
    let mut body = String::from_utf8(fixtures::offer(name).body).unwrap();
    for (from, to) in edits {
        assert!(body.contains(from), "{name} has no {from:?}");
        body = body.replace(from, to);
    }
    parse(&body)
}

fn offers_h264(offer: &Offer) -> bool {
    let mut formats = offer.media.iter().flat_map(|section| &section.formats);
    formats.any(|format| format.codec == Some(Codec::H264))
}

/// The answer beside the offer.
fn check_answer_file(name: &str, answer: &str) {
    check_golden(&format!("{name}.answer.sdp"), answer);
}

/// What the file holds, or a new one when `UPDATE_GOLDEN` is set.
fn check_golden(file: &str, text: &str) {
    let path = fixtures::folder().join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text, golden,
        "{file}: UPDATE_GOLDEN=1 takes the change over"
    );
}

/// What every answer owes to every offer.
fn check_answer(name: &str, offer: &Offer, answer: &str) {
    assert!(
        answer.starts_with("v=0\r\n") && answer.ends_with("\r\n"),
        "{name}"
    );
    assert!(answer.len() < 8192, "{name}: {} bytes", answer.len());
    assert_eq!(answer.matches('\n').count(), answer.matches("\r\n").count());
    let read = rtc::sdp::SessionDescription::unmarshal(&mut std::io::Cursor::new(answer)).unwrap();
    assert_eq!(
        read.attribute("group").unwrap(),
        &format!("BUNDLE {}", offer.bundle.join(" "))
    );
    assert!(read.has_attribute("ice-lite"));
    assert_eq!(read.media_descriptions.len(), offer.media.len());
    for (offered, media) in offer.media.iter().zip(&read.media_descriptions) {
        assert_eq!(media.media_name.media, offered.media, "{name}");
        assert_eq!(media.media_name.port.value, 9, "{name}");
        assert_eq!(media.media_name.protos.join("/"), offered.protocol);
        assert_eq!(media.attribute("mid").flatten(), Some(offered.mid.as_str()));
        assert!(media.has_attribute("rtcp-mux"), "{name}");
        assert!(media.has_attribute("fingerprint"), "{name}");
    }
    assert_eq!(answer.matches("a=candidate:").count(), CANDIDATES.len());
}

#[test]
fn every_captured_publisher_is_accepted() {
    for fixture in fixtures::offers("whip") {
        let (name, offer) = (&fixture.name, fixture.offer());
        let accepted = publish(&offer).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        check_answer(name, &offer, &accepted.answer);
        assert_eq!(
            accepted.answer.matches("a=recvonly\r\n").count(),
            2,
            "{name}"
        );
        assert_eq!(
            accepted.answer.contains("a=simulcast:recv "),
            name.contains("simulcast"),
            "{name}"
        );
        let tracks = &accepted.spec.tracks;
        assert_eq!(tracks.len(), 2, "{name}");
        for (index, track) in tracks.iter().enumerate() {
            assert_eq!(usize::from(track.info.id.0), index);
            assert_eq!(track.mid, offer.media[index].mid);
            let line = format!("a=rtpmap:{} ", track.payload_type);
            assert!(accepted.answer.contains(&line), "{name}");
        }
        check_answer_file(name, &accepted.answer);
    }
}

#[test]
fn every_captured_subscriber_is_accepted() {
    for fixture in fixtures::offers("whep") {
        let (name, offer) = (&fixture.name, fixture.offer());
        let h264 = offers_h264(&offer);
        let tracks = if h264 { h264_stream() } else { vp8_stream() };
        let accepted =
            subscribe(&offer, &tracks).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        check_answer(name, &offer, &accepted.answer);
        assert_eq!(
            accepted.answer.matches("a=sendonly\r\n").count(),
            2,
            "{name}"
        );
        assert_eq!(
            accepted.answer.matches("a=msid:stage-1 ").count(),
            2,
            "{name}"
        );
        for track in &accepted.spec.tracks {
            assert_eq!(track.rtx_ssrc.is_some(), track.rtx_payload_type.is_some());
            let line = format!("a=ssrc:{} cname:stage-1\r\n", track.ssrc);
            assert!(accepted.answer.contains(&line), "{name}");
        }
        check_answer_file(name, &accepted.answer);
    }
}

#[test]
fn subscribers_that_take_vp8_get_a_vp8_stream() {
    let mut count = 0;
    for fixture in fixtures::offers("whep") {
        let offer = fixture.offer();
        let mut formats = offer.media.iter().flat_map(|section| &section.formats);
        if formats.any(|format| format.codec == Some(Codec::Vp8)) {
            let accepted = subscribe(&offer, &vp8_stream()).unwrap();
            check_answer(&fixture.name, &offer, &accepted.answer);
            assert_eq!(accepted.spec.tracks.len(), 2, "{}", fixture.name);
            count += 1;
        }
    }
    assert!(count >= 5);
}

#[test]
fn publishers_are_known_by_what_they_announce() {
    let spec = |name: &str| publish(&fixtures::offer(name).offer()).unwrap().spec;
    let ffmpeg = spec("whip-ffmpeg-9.0.2");
    let [audio, video] = &ffmpeg.tracks[..] else {
        panic!()
    };
    assert_eq!((audio.payload_type, video.payload_type), (111, 106));
    assert_eq!(audio.info.channels, 2);
    let layer = |ssrc, rtx_ssrc| PublishedLayer {
        rid: None,
        ssrc: Some(ssrc),
        rtx_ssrc,
    };
    assert_eq!(audio.layers, [layer(4251216141, None)]);
    assert_eq!(video.layers, [layer(4251216142, Some(4251216143))]);
    assert_eq!(video.rtx_payload_type, Some(105));
    assert!(video.feedback.nack && !video.feedback.pli);

    let chromium = spec("whip-chromium-156");
    let video = &chromium.tracks[1];
    assert_eq!(video.info.codec, Codec::Vp8);
    assert!(video.feedback.transport_cc && video.feedback.pli && video.feedback.fir);
    let extensions = &video.extensions;
    for extension in [Extension::Mid, Extension::TransportSequenceNumber] {
        assert!(extensions.id(extension).is_some());
    }
    for extension in [
        Extension::AbsSendTime,
        Extension::RtpStreamId,
        Extension::VideoOrientation,
    ] {
        assert_eq!(extensions.id(extension), None, "{extension:?}");
    }
}

#[test]
fn every_layer_of_a_browser_is_taken() {
    let chromium = publish(&fixtures::offer("whip-chromium-156-simulcast-vp8").offer()).unwrap();
    let rids = |video: &PublishedTrack| -> Vec<Option<String>> {
        video.layers.iter().map(|layer| layer.rid.clone()).collect()
    };
    let all = ["l", "m", "h"].map(|rid| Some(rid.to_owned()));
    let video = &chromium.spec.tracks[1];
    assert_eq!(rids(video), all);
    assert!(video.layers.iter().all(|layer| layer.ssrc.is_none()));
    for (extension, id) in [
        (Extension::Mid, 4),
        (Extension::RtpStreamId, 10),
        (Extension::RepairedRtpStreamId, 11),
    ] {
        assert_eq!(video.extensions.id(extension), Some(id));
        let line = format!("a=extmap:{id} {}\r\n", extension.uri());
        assert!(chromium.answer.contains(&line));
    }
    for rid in ["l", "m", "h"] {
        assert!(chromium.answer.contains(&format!("a=rid:{rid} recv\r\n")));
    }
    assert!(chromium.answer.contains("a=simulcast:recv l;m;h\r\n"));
    assert_eq!(rids(&chromium.spec.tracks[0]), [None]);

    let firefox = publish(&fixtures::offer("whip-firefox-153-simulcast-vp8").offer()).unwrap();
    let video = &firefox.spec.tracks[1];
    assert_eq!(rids(video), all);
    let last = &video.layers[2];
    assert_eq!(
        (last.ssrc, last.rtx_ssrc),
        (Some(3_154_266_719), Some(2_831_588_134))
    );
    assert!(firefox.answer.contains("a=simulcast:recv l;m;h\r\n"));
    assert!(firefox.answer.contains("a=extmap:9/recvonly urn:"));
}

#[test]
fn obs_gets_all_of_its_layers_back() {
    let mut lines =
        "a=mid:1\r\na=extmap:9 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n".to_owned();
    lines.push_str("a=rid:0 send\r\na=rid:1 send\r\na=rid:2 send\r\na=rid:3 send\r\na=simulcast:send 0;1;2;3\r\n");
    let offer = edited("whip-obs-30.2.3", &[("a=mid:1\r\n", &lines)]);
    let accepted = publish(&offer).unwrap();
    assert!(accepted.answer.contains("a=simulcast:recv 0;1;2;3\r\n"));
    let video = &accepted.spec.tracks[1];
    assert_eq!(video.layers.len(), 4);
    assert!(
        video.layers.iter().all(|layer| layer.ssrc.is_none()),
        "one SSRC of four"
    );
    assert_eq!(video.extensions.id(Extension::RepairedRtpStreamId), None);
}

#[test]
fn layers_that_nothing_tells_apart_are_not_taken() {
    let chromium = edited(
        "whip-chromium-156-simulcast-vp8",
        &[("sdes:rtp-stream-id", "sdes:something-else")],
    );
    let accepted = publish(&chromium).unwrap();
    assert!(!accepted.answer.contains("a=simulcast") && !accepted.answer.contains("a=rid"));
    assert_eq!(accepted.spec.tracks[1].layers, [PublishedLayer::default()]);
    // Firefox announces the SSRCs as well.
    let firefox = edited(
        "whip-firefox-153-simulcast-vp8",
        &[("sdes:rtp-stream-id", "sdes:something-else")],
    );
    let accepted = publish(&firefox).unwrap();
    assert!(accepted.answer.contains("a=simulcast:recv l;m;h"));
}

#[test]
fn transport_feedback_needs_its_extension() {
    // It offers the feedback, but not the sequence numbers.
    let accepted = publish(&fixtures::offer("whip-gst-plugins-rs-0.15.4-whipsink").offer());
    let accepted = accepted.unwrap();
    assert!(!accepted.spec.tracks[0].feedback.transport_cc);
    assert!(!accepted.answer.contains("transport-cc"));
}

#[test]
fn extensions_that_go_the_other_way_are_not_agreed_on() {
    let offer = fixtures::offer("whip-firefox-153-h264").offer();
    let accepted = publish(&offer).unwrap();
    let video = &accepted.spec.tracks[1];
    assert_eq!(video.extensions.id(Extension::PlayoutDelay), None);

    let accepted = subscribe(&fixtures::offer("whep-firefox-153").offer(), &vp8_stream()).unwrap();
    let video = &accepted.spec.tracks[0];
    assert_eq!(video.extensions.id(Extension::PlayoutDelay), Some(6));
    assert!(accepted.answer.contains("a=extmap:6/sendonly http"));
}

#[test]
fn the_role_is_the_one_that_is_left() {
    let accepted = publish(&fixtures::offer("whip-ffmpeg-8.0").offer()).unwrap();
    assert_eq!(accepted.dtls_role, DtlsRole::Client);
    assert!(accepted.answer.contains("a=setup:active\r\n"));
    let accepted = publish(&fixtures::offer("whip-obs-30.2.3").offer()).unwrap();
    assert_eq!(accepted.dtls_role, DtlsRole::Server);
    assert!(accepted.answer.contains("a=setup:passive\r\n"));
    assert_eq!(accepted.remote.ufrag, "9RQr");
    assert!(
        accepted
            .remote_fingerprint
            .to_string()
            .starts_with("10:1A:BC:F5")
    );
}

#[test]
fn a_passive_offer_is_taken_only_where_that_is_allowed() {
    let strict = Local {
        leniency: Leniency {
            passive_setup: false,
            ..Leniency::default()
        },
        ..local()
    };
    for fixture in fixtures::offers("whip") {
        let offer = fixture.offer();
        let accepted = accept_publisher(&offer, &strict, &CodecPolicy::default());
        let is_passive = fixture.name.starts_with("whip-ffmpeg");
        assert_eq!(offer.setup == Setup::Passive, is_passive);
        assert_eq!(accepted.is_ok(), !is_passive, "{}", fixture.name);
        if let Err(refusal) = accepted {
            assert_eq!(
                refusal.to_string(),
                "a=setup:passive is for answers; offer a=setup:actpass, \
                 or have compatibility.passive_setup switched on"
            );
        }
    }
}

#[test]
fn lines_without_a_track_are_inactive() {
    let offer = fixtures::offer("whep-chromium-156-mdns").offer();
    let accepted = subscribe(&offer, &h264_stream()[..1]).unwrap();
    check_answer("audio only", &offer, &accepted.answer);
    assert_eq!(accepted.answer.matches("a=inactive\r\n").count(), 1);
    assert_eq!(accepted.spec.tracks.len(), 1);
    assert_eq!(accepted.spec.tracks[0].mid, "1");

    // One video track, two video lines.
    let offer = edited(
        "whep-gstreamer-1.22-webrtcbin",
        &[("m=audio 0", "m=video 0"), ("OPUS/48000/2", "H264/90000")],
    );
    let accepted = subscribe(&offer, &h264_stream()).unwrap();
    assert_eq!(accepted.spec.tracks.len(), 1);
    assert!(accepted.answer.contains("a=group:BUNDLE video0 audio1\r\n"));
    assert_eq!(accepted.answer.matches("a=inactive\r\n").count(), 1);
}

#[test]
fn an_inactive_half_does_not_keep_the_other_from_being_published() {
    let whole = String::from_utf8(fixtures::offer("whip-obs-30.2.3").body).unwrap();
    let (audio, video) = whole.split_once("m=video").unwrap();
    let silence = |half: &str| {
        assert!(half.contains("a=sendonly"));
        half.replace("a=sendonly", "a=inactive")
    };
    for (offer, kind, mid) in [
        (
            format!("{}m=video{video}", silence(audio)),
            MediaKind::Video,
            "1",
        ),
        (
            format!("{audio}m=video{}", silence(video)),
            MediaKind::Audio,
            "0",
        ),
    ] {
        let offer = parse(&offer);
        let accepted = publish(&offer).unwrap();
        check_answer("one half", &offer, &accepted.answer);
        assert_eq!(accepted.answer.matches("a=inactive\r\n").count(), 1);
        assert_eq!(accepted.answer.matches("a=recvonly\r\n").count(), 1);
        assert!(accepted.answer.contains("a=group:BUNDLE 0 1\r\n"));
        let tracks = accepted.spec.tracks;
        assert_eq!(tracks.len(), 1);
        assert_eq!((tracks[0].info.kind(), &*tracks[0].mid), (kind, mid));
        assert_eq!(tracks[0].info.id, TrackId(0));
    }
}

#[test]
fn data_channels_are_tolerated_and_rejected() {
    let obs = String::from_utf8(fixtures::offer("whip-obs-30.2.3").body).unwrap();
    let obs = obs.replace("BUNDLE 0 1", "BUNDLE 0 1 2");
    let offer = parse(&format!(
        "{obs}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\na=sctp-port:5000\r\n"
    ));
    let accepted = publish(&offer).unwrap();
    assert!(
        accepted
            .answer
            .contains("m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n")
    );
    assert!(accepted.answer.contains("a=group:BUNDLE 0 1\r\n"));
    assert_eq!(accepted.spec.tracks.len(), 2);
}

#[test]
fn one_line_alone_needs_no_bundle() {
    let whole = String::from_utf8(fixtures::offer("whip-obs-30.2.3").body).unwrap();
    let (audio, _) = whole.split_once("m=video").unwrap();
    let offer = parse(
        &audio
            .replace("a=group:BUNDLE 0 1\r\n", "")
            .replace("a=mid:0\r\n", ""),
    );
    let accepted = publish(&offer).unwrap();
    assert!(!accepted.answer.contains("a=group") && !accepted.answer.contains("a=mid"));
    assert_eq!(accepted.spec.tracks[0].mid, "0");
}

#[test]
fn publishers_are_told_what_to_change() {
    let obs = |edits: &[(&str, &str)]| publish(&edited("whip-obs-30.2.3", edits)).unwrap_err();
    for (refusal, message) in [
        (
            obs(&[("a=sendonly", "a=recvonly")]),
            "the audio m-line is recvonly; a publisher offers sendonly",
        ),
        (
            obs(&[("a=sendonly", "a=inactive")]),
            "the audio m-line is inactive; a publisher offers sendonly",
        ),
        (
            obs(&[("m=audio", "m=video"), ("opus/48000/2", "VP8/90000")]),
            "the offer has more than one video m-line; publish one audio and one video track",
        ),
        (
            obs(&[("H264/90000", "theora/90000")]),
            "the video m-line offers theora; this server takes H264, VP9, AV1, H265, VP8: \
             enable one of them",
        ),
        (
            obs(&[("a=rtcp-mux\r\n", "")]),
            "the audio m-line has no a=rtcp-mux; RTP and RTCP must share one port",
        ),
        (
            obs(&[("a=group:BUNDLE 0 1\r\n", "")]),
            "the audio m-line is not in a=group:BUNDLE; set the bundle policy to max-bundle, \
             so that all m-lines share one transport",
        ),
        (
            obs(&[("BUNDLE 0 1", "BUNDLE 0")]),
            "the video m-line is not in a=group:BUNDLE; set the bundle policy to max-bundle, \
             so that all m-lines share one transport",
        ),
        (
            obs(&[("a=setup:actpass", "a=setup:holdconn")]),
            "a=setup:holdconn can't work; offer a=setup:actpass",
        ),
        (
            obs(&[("t=0 0", "t=0 0\r\na=ice-lite")]),
            "a=ice-lite can't work: this server has it too, and one side must be a full ICE agent",
        ),
        (
            obs(&[("UDP/TLS/RTP/SAVPF 96", "RTP/AVP 96")]),
            "the video m-line is not UDP/TLS/RTP/SAVPF; only encrypted media is taken",
        ),
        (
            obs(&[("m=audio", "m=text"), ("m=video", "m=image")]),
            "the offer has no audio or video m-line; add a track to the peer connection",
        ),
    ] {
        assert_eq!(refusal.to_string(), message);
    }
}

#[test]
fn the_policy_is_named_to_publishers() {
    let policy = CodecPolicy {
        allowed: vec![Codec::H264, Codec::Opus],
        deprioritized: Vec::new(),
    };
    let offer = fixtures::offer("whip-simple-whip-client").offer();
    let refusal = accept_publisher(&offer, &local(), &policy).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the video m-line offers VP8; this server takes H264: enable one of them"
    );
}

#[test]
fn subscribers_are_told_what_to_change() {
    let firefox = fixtures::offer("whep-firefox-153").offer();
    let refused = |edits: &[(&str, &str)]| {
        let offer = edited("whep-gstreamer-1.22-webrtcbin", edits);
        subscribe(&offer, &h264_stream()).unwrap_err().to_string()
    };
    assert_eq!(
        subscribe(&firefox, &h264_stream()).unwrap_err().to_string(),
        "this stream sends H264 Constrained Baseline 3.1; the video m-line of your offer has \
         VP8, VP9, AV1 only: use a player that takes H264, or publish in a codec that this one has"
    );
    let nothing = "no audio or video m-line of the offer receives; a viewer offers recvonly";
    assert_eq!(refused(&[("a=recvonly", "a=sendonly")]), nothing);
    assert_eq!(refused(&[("a=recvonly", "a=inactive")]), nothing);
    let audio = [("m=video", "m=text")];
    let offer = edited("whep-gstreamer-1.22-webrtcbin", &audio);
    assert_eq!(
        subscribe(&offer, &h264_stream()[1..])
            .unwrap_err()
            .to_string(),
        "the stream has no track for any m-line of the offer; it has video only"
    );
    let vp9 = vec![track(0, Codec::Vp9, "profile-id=9")];
    let chromium = fixtures::offer("whep-chromium-156-mdns").offer();
    let Err(Refusal::CodecNotReceived {
        sent,
        offered,
        kind,
        ..
    }) = subscribe(&chromium, &vp9)
    else {
        panic!();
    };
    assert_eq!(kind, MediaKind::Video);
    assert_eq!(sent.to_string(), "VP9 profile 9");
    assert_eq!(
        offered.to_string(),
        "VP8, VP9 profile 0, VP9 profile 2, VP9 profile 1, VP9 profile 3, H264, AV1"
    );
}

#[test]
fn an_answer_that_clients_would_not_read_is_not_given() {
    let long = format!("a=fmtp:111 {}", "x".repeat(9000));
    let edits = [("a=rtcp-fb:111 transport-cc", long.as_str())];
    let offer = edited("whep-gstreamer-1.22-webrtcbin", &edits);
    let refusal = subscribe(&offer, &h264_stream()).unwrap_err();
    assert!(matches!(refusal, Refusal::AnswerTooLong { max: 8191, .. }));
}

/// Whatever a body is, reading it and answering it ends without a panic.
fn digest(body: &[u8]) {
    let limits = Limits::default();
    let _ = Fragment::parse(body, &limits);
    if let Ok(offer) = Offer::parse(body, &limits) {
        for answer in [
            publish(&offer).map(|accepted| accepted.answer),
            subscribe(&offer, &h264_stream()).map(|accepted| accepted.answer),
            subscribe(&offer, &vp8_stream()).map(|accepted| accepted.answer),
        ] {
            match answer {
                Ok(answer) => {
                    assert!(answer.len() < 8192);
                    let again = Offer::parse(answer.as_bytes(), &limits);
                    assert!(again.is_ok(), "{again:?}\n{answer}");
                }
                Err(refusal) => assert!(refusal.to_string().len() < 1024, "{refusal}"),
            }
        }
    }
}

/// A change of a body that keeps most of it.
#[derive(Clone, Debug)]
enum Mutation {
    Byte(prop::sample::Index, u8),
    DropLine(prop::sample::Index),
    RepeatLine(prop::sample::Index, usize),
    CutLine(prop::sample::Index, prop::sample::Index),
    SwapLines(prop::sample::Index, prop::sample::Index),
    Number(prop::sample::Index, u64),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        (index(), any::<u8>()).prop_map(|(at, byte)| Mutation::Byte(at, byte)),
        index().prop_map(Mutation::DropLine),
        (index(), 1..200usize).prop_map(|(at, times)| Mutation::RepeatLine(at, times)),
        (index(), index()).prop_map(|(at, end)| Mutation::CutLine(at, end)),
        (index(), index()).prop_map(|(one, other)| Mutation::SwapLines(one, other)),
        (index(), any::<u64>()).prop_map(|(at, number)| Mutation::Number(at, number)),
    ]
}

fn mutate(lines: &mut Vec<Vec<u8>>, mutation: &Mutation) {
    if lines.is_empty() {
        return;
    }
    let count = lines.len();
    match mutation {
        Mutation::Byte(at, byte) => {
            let line = &mut lines[at.index(count)];
            if !line.is_empty() {
                let position = at.index(line.len());
                line[position] = *byte;
            }
        }
        Mutation::DropLine(at) => drop(lines.remove(at.index(count))),
        Mutation::RepeatLine(at, times) => {
            let line = lines[at.index(count)].clone();
            lines.splice(
                at.index(count)..at.index(count),
                std::iter::repeat_n(line, *times),
            );
        }
        Mutation::CutLine(at, end) => {
            let line = &mut lines[at.index(count)];
            line.truncate(end.index(line.len() + 1));
        }
        Mutation::SwapLines(one, other) => lines.swap(one.index(count), other.index(count)),
        Mutation::Number(at, number) => {
            let line = String::from_utf8_lossy(&lines[at.index(count)]).into_owned();
            if let Some(digit) = line.find(|c: char| c.is_ascii_digit()) {
                let rest = line[digit..].trim_start_matches(|c: char| c.is_ascii_digit());
                lines[at.index(count)] = format!("{}{number}{rest}", &line[..digit]).into_bytes();
            }
        }
    }
}

static BODIES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let offers = fixtures::offers("wh").into_iter();
    offers.map(|fixture| fixture.body).collect()
});

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(body in prop::collection::vec(any::<u8>(), 0..512)) {
        digest(&body);
    }

    #[test]
    fn arbitrary_lines_do_no_harm(
        lines in prop::collection::vec("[amvc]=[a-z0-9:/;= *-]{0,40}", 0..40)
    ) {
        digest(format!("v=0\n{}", lines.join("\n")).as_bytes());
    }

    #[test]
    fn mutated_offers_do_no_harm(
        body in prop::sample::select(&**BODIES),
        mutations in prop::collection::vec(mutation(), 1..6),
    ) {
        let mut lines: Vec<_> = body.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        for mutation in &mutations {
            mutate(&mut lines, mutation);
        }
        digest(&lines.join(&b'\n'));
    }
}
