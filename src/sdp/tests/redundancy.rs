//! Redundant audio, where it is switched on.

use super::*;

/// The clients that offer it for Opus. The others are answered as ever.
const OFFERING: [&str; 6] = [
    "whep-chromium-156-eyevinn-webrtc-player",
    "whep-chromium-156-mdns",
    "whep-safari-made-up",
    "whip-chromium-156",
    "whip-chromium-156-simulcast-vp8",
    "whip-safari-made-up",
];

fn redundant() -> Local<'static> {
    Local {
        audio_redundancy: true,
        ..local()
    }
}

/// The payload types that the audio m-line of a description lists.
fn audio(sdp: &str) -> Vec<u8> {
    let read = Offer::parse(sdp.as_bytes(), &Limits::default()).unwrap();
    let mut media = read.media.iter();
    let section = media.find(|section| section.kind == Some(MediaKind::Audio));
    let formats = &section.unwrap().formats;
    formats.iter().map(|format| format.payload_type).collect()
}

/// The answer without what redundancy adds to it.
fn without_red(answer: &str) -> String {
    let lines = answer.split_inclusive("\r\n");
    lines
        .filter(|line| !line.starts_with("a=rtpmap:63 ") && !line.starts_with("a=fmtp:63 "))
        .map(|line| line.replace("SAVPF 63 111\r\n", "SAVPF 111\r\n"))
        .collect()
}

#[test]
fn publishers_that_offer_it_are_asked_for_it_first() {
    for fixture in fixtures::offers("whip") {
        let (name, offer) = (fixture.name.as_str(), fixture.offer());
        let accepted = accept_publisher(&offer, &redundant(), &CodecPolicy::default()).unwrap();
        check_answer(name, &offer, &accepted.answer);
        let plain = publish(&offer).unwrap();
        let mut tracks = accepted.spec.tracks.iter();
        let track = tracks.find(|track| track.info.kind() == MediaKind::Audio);
        let track = track.unwrap();
        if !OFFERING.contains(&name) {
            assert_eq!(accepted, plain, "{name}");
            continue;
        }
        assert_eq!(audio(&accepted.answer), [63, 111], "{name}");
        assert!(
            accepted
                .answer
                .contains("a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n")
        );
        assert_eq!(without_red(&accepted.answer), plain.answer, "{name}");
        assert_eq!(
            (track.payload_type, track.red_payload_type),
            (111, Some(63))
        );
        assert_eq!(track.info.codec, Codec::Opus);
    }
}

#[test]
fn viewers_that_offer_it_get_it() {
    for fixture in fixtures::offers("whep") {
        let (name, offer) = (fixture.name.as_str(), fixture.offer());
        let tracks = match offers_h264(&offer) {
            true => h264_stream(),
            false => vp8_stream(),
        };
        let accept = |local| {
            let mut ssrcs = 1001..;
            accept_subscriber(&offer, &local, &tracks, &mut || ssrcs.next().unwrap()).unwrap()
        };
        let (accepted, plain) = (accept(redundant()), accept(local()));
        if !OFFERING.contains(&name) {
            assert_eq!(accepted, plain, "{name}");
            continue;
        }
        check_answer(name, &offer, &accepted.answer);
        assert_eq!(audio(&accepted.answer), [63, 111], "{name}");
        assert_eq!(without_red(&accepted.answer), plain.answer, "{name}");
        let mut lines = accepted.spec.tracks.iter();
        let track = lines.find(|track| track.kind == MediaKind::Audio).unwrap();
        assert_eq!(
            (track.payload_type, track.red_payload_type),
            (111, Some(63))
        );
    }
}

#[test]
fn who_waited_gets_it_too() {
    let offer = fixtures::offer("whep-chromium-156-mdns").offer();
    let mut ssrcs = 3001..;
    let policy = CodecPolicy::default();
    let waiting =
        accept_waiting(&offer, &redundant(), &policy, &mut || ssrcs.next().unwrap()).unwrap();
    assert_eq!(audio(&waiting.answer)[..2], [63, 111]);
    let red = |tracks: &[TrackInfo]| {
        let spec = waiting.spec.bind(tracks).unwrap();
        let mut lines = spec.tracks.iter();
        let audio = lines.find(|line| line.kind == MediaKind::Audio);
        audio.unwrap().red_payload_type
    };
    assert_eq!(red(&h264_stream()), Some(63));
    assert_eq!(red(&[track(0, Codec::Pcmu, "")]), None);
}

#[test]
fn what_is_redundant_is_not_retransmitted_in_a_way_of_its_own() {
    // No browser offers it, but another client may.
    let rtx = "a=rtpmap:63 red/48000/2\r\na=rtpmap:126 rtx/48000\r\na=fmtp:126 apt=111\r\n";
    let edits = [
        ("a=rtpmap:63 red/48000/2\r\n", rtx),
        ("a=rtpmap:126 telephone-event/8000\r\n", ""),
    ];
    let offer = edited("whep-chromium-156-mdns", &edits);
    let accept = |local| {
        let mut ssrcs = 1001..;
        let next = &mut || ssrcs.next().unwrap();
        accept_subscriber(&offer, &local, &h264_stream(), next).unwrap()
    };
    assert_eq!(audio(&accept(local()).answer), [111, 126]);
    assert_eq!(audio(&accept(redundant()).answer), [63, 111]);
}
