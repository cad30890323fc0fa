//! Our own offers and the answers of players to them.

use super::*;

fn offer_with(tracks: &[TrackInfo], reason: Option<&str>) -> CounterOffer {
    let mut ssrcs = 2001..;
    counter_offer(tracks, &local(), reason, &mut || ssrcs.next().unwrap()).unwrap()
}

fn our_offer() -> CounterOffer {
    offer_with(&h264_stream(), None)
}

fn read(answer: &str) -> Result<Answer, DescriptionError> {
    Answer::parse(answer.as_bytes(), &Limits::default())
}

/// What a player makes of our offer when it takes all of it.
fn answer_of(offer: &CounterOffer) -> String {
    offer
        .sdp
        .replace("a=ice-lite\r\n", "")
        .replace("a=sendonly", "a=recvonly")
        .replace("a=setup:actpass", "a=setup:active")
        .replace("a=rtcp-mux-only\r\n", "")
}

/// The answer to [`our_offer`] with some of its text replaced, all of which must be there.
fn edited(edits: &[(&str, &str)]) -> String {
    let mut answer = answer_of(&our_offer());
    for (from, to) in edits {
        assert!(answer.contains(from), "no {from:?} in\n{answer}");
        answer = answer.replace(from, to);
    }
    answer
}

fn accept(edits: &[(&str, &str)]) -> Result<Agreed, Refusal> {
    our_offer().accept(&read(&edited(edits)).unwrap())
}

#[test]
fn an_offer_of_ours_is_what_the_stream_has() {
    let offer = offer_with(&h264_stream(), Some("this stream sends H264"));
    check_golden("ours-h264.offer.sdp", &offer.sdp);
    check_golden("ours-vp8.offer.sdp", &offer_with(&vp8_stream(), None).sdp);
}

#[test]
fn an_offer_of_ours_is_one_that_we_could_take() {
    let fmtp = "profile-level-id=640028;packetization-mode=1;sprop-parameter-sets=Z2QAKA==,aO4=";
    for tracks in [
        h264_stream(),
        vp8_stream(),
        vec![track(0, Codec::H264, fmtp)],
        vec![track(0, Codec::G722, ""), track(1, Codec::Av1, "profile=1")],
        vec![track(0, Codec::Pcmu, ""), track(1, Codec::H265, "")],
    ] {
        let offer = offer_with(&tracks, None);
        let read = parse(&offer.sdp);
        assert!(read.ice_lite);
        assert_eq!(read.setup, Setup::Actpass);
        assert_eq!(read.media.len(), tracks.len());
        for (section, track) in read.media.iter().zip(&tracks) {
            assert!(section.is_bundled && section.rtcp_mux && section.direction.sends());
            let [format, rtx @ ..] = &section.formats[..] else {
                panic!("{}", offer.sdp);
            };
            assert_eq!(format.codec, Some(track.codec));
            assert_eq!(format.channel_count(), track.channels);
            let is_video = track.kind() == MediaKind::Video;
            assert_eq!(rtx.len(), usize::from(is_video));
            assert_eq!(section.rtx_of(format.payload_type).is_some(), is_video);
            assert_eq!(section.ssrcs.len(), 1 + rtx.len());
        }
        assert!(!offer.sdp.contains("sprop-parameter-sets"));
        assert_eq!(
            offer.sdp.matches("a=msid:stage-1 ").count(),
            tracks.len(),
            "on the media level, one common stream"
        );
        assert_eq!(
            offer.sdp.matches("a=rtcp-mux-only\r\n").count(),
            tracks.len()
        );
    }
}

#[test]
fn a_reason_stays_on_its_line() {
    let offer = offer_with(&h264_stream(), Some(" no\r\na=evil:1\u{2028}\tcodec "));
    assert!(
        offer
            .sdp
            .contains("s=-\r\ni=no  a=evil:1  codec\r\nt=0 0\r\n")
    );
    let offer = offer_with(&h264_stream(), Some(&"ä".repeat(1000)));
    assert!(offer.sdp.contains(&format!("i={}\r\n", "ä".repeat(256))));
    assert!(
        !offer_with(&h264_stream(), Some("\r\n"))
            .sdp
            .contains("\r\ni=")
    );
}

#[test]
fn a_player_that_takes_all_gets_all() {
    let agreed = accept(&[]).unwrap();
    assert_eq!(agreed.dtls_role, DtlsRole::Server);
    assert_eq!(agreed.remote, *ICE);
    let [audio, video] = &agreed.spec.tracks[..] else {
        panic!();
    };
    assert_eq!((audio.payload_type, audio.rtx_payload_type), (111, None));
    assert_eq!((audio.ssrc, audio.rtx_ssrc), (2001, None));
    assert_eq!((video.payload_type, video.rtx_payload_type), (96, Some(97)));
    assert_eq!((video.ssrc, video.rtx_ssrc), (2002, Some(2003)));
    assert!(video.feedback.nack && video.feedback.pli && video.feedback.fir);
    assert_eq!(video.extensions.id(Extension::PlayoutDelay), Some(3));
    assert_eq!(video.extensions.id(Extension::AudioLevel), None);
    assert_eq!(audio.extensions.id(Extension::AudioLevel), Some(1));
    let agreed = accept(&[("a=setup:active", "a=setup:passive")]).unwrap();
    assert_eq!(agreed.dtls_role, DtlsRole::Client);
}

#[test]
fn a_player_that_tells_of_each_packet_gets_numbers() {
    let video = accept(&[]).unwrap().spec.tracks.remove(1);
    assert_eq!(
        video.extensions.id(Extension::TransportSequenceNumber),
        Some(7)
    );
    assert!(video.feedback.transport_cc && !video.feedback.remb);
    for lacks in [
        "a=rtcp-fb:96 transport-cc\r\n",
        "a=extmap:7 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n",
    ] {
        let video = accept(&[(lacks, "")]).unwrap().spec.tracks.remove(1);
        let numbers = video.extensions.id(Extension::TransportSequenceNumber);
        assert_eq!(numbers, None, "without {lacks}");
        assert!(!video.feedback.transport_cc && video.feedback.remb);
    }
}

#[test]
fn opus_is_offered_with_redundancy_too() {
    let mut ssrcs = 2001..;
    let local = Local {
        audio_redundancy: true,
        ..local()
    };
    let offer = counter_offer(&h264_stream(), &local, None, &mut || ssrcs.next().unwrap());
    let offer = offer.unwrap();
    assert!(offer.sdp.contains("SAVPF 111 63\r\n"), "{}", offer.sdp);
    assert!(offer.sdp.contains("a=fmtp:63 111/111\r\n"));
    let audio_of = |answer: &str| {
        let agreed = offer.accept(&read(answer).unwrap()).unwrap();
        agreed.spec.tracks.into_iter().next().unwrap()
    };
    let answer = answer_of(&offer);
    let audio = audio_of(&answer);
    assert_eq!(
        (audio.payload_type, audio.red_payload_type),
        (111, Some(63))
    );
    let plain = answer
        .replace("111 63\r\n", "111\r\n")
        .replace("a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n", "");
    assert_eq!(audio_of(&plain).red_payload_type, None);
    // Nothing is taken that was not offered.
    let unasked = answer_of(&our_offer())
        .replace("SAVPF 111\r\n", "SAVPF 111 63\r\n")
        .replace(
            "a=rtpmap:111 opus/48000/2\r\n",
            "a=rtpmap:111 opus/48000/2\r\na=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n",
        );
    let agreed = our_offer().accept(&read(&unasked).unwrap()).unwrap();
    assert_eq!(agreed.spec.tracks[0].red_payload_type, None);
}

#[test]
fn a_player_may_take_less() {
    let agreed = accept(&[
        ("96 97\r\n", "96\r\n"),
        ("a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n", ""),
        ("a=rtcp-fb:96 ccm fir\r\n", ""),
        ("a=extmap:3 ", "a=extmap:9 "),
        ("a=extmap:4 ", "a=extmap:4/sendonly "),
    ]);
    let video = &agreed.unwrap().spec.tracks[1];
    assert_eq!((video.rtx_payload_type, video.rtx_ssrc), (None, None));
    assert!(video.feedback.nack && !video.feedback.fir);
    for extension in [Extension::PlayoutDelay, Extension::VideoContentType] {
        assert_eq!(video.extensions.id(extension), None, "{extension:?}");
    }

    let video = "m=video 9 UDP/TLS/RTP/SAVPF";
    for edits in [
        [
            (video, "m=video 0 UDP/TLS/RTP/SAVPF"),
            ("BUNDLE 0 1", "BUNDLE 0"),
        ],
        [("a=mid:1\r\na=recvonly", "a=mid:1\r\na=inactive"), ("", "")],
    ] {
        let spec = accept(&edits).unwrap().spec;
        assert_eq!(spec.tracks.len(), 1);
        assert_eq!(spec.tracks[0].kind, MediaKind::Audio);
    }
}

#[test]
fn an_answer_may_number_the_codec_in_its_own_way() {
    let agreed = accept(&[
        ("96 97\r\n", "102 103\r\n"),
        ("rtpmap:96 ", "rtpmap:102 "),
        (
            "fmtp:96 profile-level-id=42e01f",
            "fmtp:102 profile-level-id=640c1f",
        ),
        ("rtcp-fb:96 ", "rtcp-fb:102 "),
        ("rtpmap:97 ", "rtpmap:103 "),
        ("fmtp:97 apt=96", "fmtp:103 apt=102"),
    ]);
    let video = &agreed.unwrap().spec.tracks[1];
    assert_eq!(
        (video.payload_type, video.rtx_payload_type),
        (102, Some(103))
    );
    assert!(video.feedback.pli);
}

#[test]
fn players_are_told_what_their_answer_lacks() {
    let no_video = edited(&[])
        .split_once("m=video")
        .map(|(audio, _)| audio.replace("BUNDLE 0 1", "BUNDLE 0"))
        .unwrap();
    let refusal = our_offer().accept(&read(&no_video).unwrap()).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the answer has 1 m-lines where the offer has 2; answer each m-line of the offer, in its order"
    );
    for (edits, message) in [
        (
            &[("a=mid:1", "a=mid:v"), ("BUNDLE 0 1", "BUNDLE 0 v")][..],
            "the answer has another m-line where the offer has video with a=mid:1; \
             keep the order and the mids of the offer",
        ),
        (
            &[("m=video", "m=text")],
            "the answer has another m-line where the offer has video with a=mid:1; \
             keep the order and the mids of the offer",
        ),
        (
            &[("a=recvonly", "a=sendonly")],
            "the audio m-line of the answer is sendonly; a viewer answers recvonly",
        ),
        (
            &[("H264/90000", "VP8/90000")],
            "this stream sends H264 Constrained Baseline 3.1; the video m-line of the answer has \
             VP8 only: answer with the payload types of the offer, or reject the m-line with port 0",
        ),
        (
            &[("a=recvonly", "a=inactive")],
            "the answer takes nothing; answer recvonly to audio and video, \
             or send DELETE to end the session",
        ),
        (
            &[("a=rtcp-mux\r\n", "")],
            "the audio m-line has no a=rtcp-mux; RTP and RTCP must share one port",
        ),
        (
            &[("a=group:BUNDLE 0 1\r\n", "")],
            "the audio m-line is not in a=group:BUNDLE; set the bundle policy to max-bundle, \
             so that all m-lines share one transport",
        ),
        (
            &[("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n")],
            "a=ice-lite can't work: this server has it too, and one side must be a full ICE agent",
        ),
    ] {
        assert_eq!(accept(edits).unwrap_err().to_string(), message);
    }
}

#[test]
fn what_is_no_answer_is_refused_before() {
    for setup in [
        "a=setup:actpass\r\n",
        "a=setup:holdconn\r\n",
        "a=x:no-setup\r\n",
    ] {
        let answer = edited(&[("a=setup:active\r\n", setup)]);
        assert_eq!(read(&answer), Err(DescriptionError::AnswerSetup), "{setup}");
    }
    // As browsers reject all m-lines: without a transport.
    let rejected = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
        m=audio 0 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=inactive\r\n\
        m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=inactive\r\n";
    assert_eq!(read(rejected), Err(DescriptionError::AllDisabled));
    assert!(matches!(
        read(&edited(&[("a=ice-pwd:", "a=ice-pwd:short\r\na=x:")])),
        Err(DescriptionError::Transport(
            TransportError::IceLength { .. }
        ))
    ));
}

/// What a real player made of an offer of ours.
fn real_answer(name: &str) -> Result<Answer, DescriptionError> {
    let mut fixtures = fixtures::offers("answer").into_iter();
    let fixture = fixtures.find(|fixture| fixture.name == name).unwrap();
    Answer::parse(&fixture.body, &Limits::default())
}

#[test]
fn a_browser_takes_our_offer() {
    for (name, tracks) in [
        ("answer-chromium-156", h264_stream()),
        ("answer-chromium-156-vp8", vp8_stream()),
    ] {
        let offer = offer_with(&tracks, None);
        let agreed = offer.accept(&real_answer(name).unwrap()).unwrap();
        assert_eq!(agreed.dtls_role, DtlsRole::Server);
        let kinds: Vec<_> = agreed.spec.tracks.iter().map(|track| track.kind).collect();
        assert!(kinds.iter().copied().eq(tracks.iter().map(TrackInfo::kind)));
        let mut tracks = agreed.spec.tracks.iter();
        let video = tracks.find(|track| track.kind == MediaKind::Video).unwrap();
        assert_eq!((video.payload_type, video.rtx_payload_type), (96, Some(97)));
        assert!(video.feedback.nack && video.feedback.pli && video.feedback.fir);
        assert_eq!(video.extensions.iter().count(), 5, "{name}");
    }
}

#[test]
fn a_browser_that_lacks_the_codec_rejects_the_line() {
    let offer = offer_with(
        &[track(0, Codec::Opus, ""), track(1, Codec::H265, "")],
        None,
    );
    let answer = real_answer("answer-chromium-156-rejects-video").unwrap();
    let spec = offer.accept(&answer).unwrap().spec;
    assert_eq!(spec.tracks.len(), 1);
    assert_eq!(spec.tracks[0].kind, MediaKind::Audio);
    let all = real_answer("answer-chromium-156-rejects-all");
    assert_eq!(all, Err(DescriptionError::AllDisabled));
}
