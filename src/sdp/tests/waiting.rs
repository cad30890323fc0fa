//! Viewers that come before their publisher.

use super::*;

fn wait(offer: &Offer) -> Result<Accepted<WaitingSpec>, Refusal> {
    let mut ssrcs = 3001..;
    let policy = CodecPolicy::default();
    accept_waiting(offer, &local(), &policy, &mut || ssrcs.next().unwrap())
}

#[test]
fn every_captured_subscriber_can_wait() {
    for fixture in fixtures::offers("whep") {
        let (name, offer) = (&fixture.name, fixture.offer());
        let waiting = wait(&offer).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        check_answer(name, &offer, &waiting.answer);
        let text = &waiting.answer;
        assert_eq!(text.matches("a=sendonly\r\n").count(), 2, "{name}");
        let read = Offer::parse(text.as_bytes(), &Limits::default()).unwrap();
        for (answered, offered) in read.media.iter().zip(&offer.media) {
            let known = offered.formats.iter().filter(|f| f.codec.is_some());
            let answered = answered.formats.iter().filter(|f| f.codec.is_some());
            assert!(
                answered
                    .map(|f| f.payload_type)
                    .eq(known.map(|f| f.payload_type))
            );
        }
        // Whatever comes then is sent as if it had been there.
        for tracks in [h264_stream(), vp8_stream()] {
            let late = waiting.spec.bind(&tracks);
            let early = subscribe(&offer, &tracks).map(|accepted| accepted.spec);
            match (late, early) {
                (Ok(late), Ok(early)) => assert_same_media(&late, &early),
                (late, early) => assert_eq!(late.err(), early.err(), "{name}"),
            }
        }
    }
}

/// The same but for what was random.
fn assert_same_media(late: &SubscriberSpec, early: &SubscriberSpec) {
    assert_eq!(late.tracks.len(), early.tracks.len());
    for (late, early) in late.tracks.iter().zip(&early.tracks) {
        let with_ssrcs = SubscribedTrack {
            ssrc: early.ssrc,
            rtx_ssrc: early.rtx_ssrc,
            ..late.clone()
        };
        assert_eq!(&with_ssrcs, early);
        assert_eq!(late.rtx_ssrc.is_some(), late.rtx_payload_type.is_some());
    }
}

#[test]
fn a_publisher_with_less_leaves_lines_silent() {
    let offer = fixtures::offer("whep-chromium-156-mdns").offer();
    let waiting = wait(&offer).unwrap();
    let spec = waiting.spec.bind(&h264_stream()[..1]).unwrap();
    assert_eq!(spec.tracks.len(), 1);
    assert_eq!(spec.tracks[0].kind, MediaKind::Audio);
    let again = waiting.spec.bind(&vp8_stream()).unwrap();
    assert_eq!(again.tracks.len(), 2);
    assert_eq!(
        again.tracks[1].ssrc, spec.tracks[0].ssrc,
        "the answer announced it"
    );
}

#[test]
fn a_publisher_that_does_not_fit_is_told_by_its_codec() {
    let offer = fixtures::offer("whep-firefox-153").offer();
    let waiting = wait(&offer).unwrap();
    assert_eq!(
        waiting.spec.bind(&h264_stream()).unwrap_err().to_string(),
        "this stream sends H264 Constrained Baseline 3.1; the video m-line of your offer has \
         VP8, VP9, AV1 only: use a player that takes H264, or publish in a codec that this one has"
    );
    assert_eq!(
        waiting.spec.bind(&[]),
        Err(Refusal::NoTrack(MediaKinds::of([])))
    );
}

#[test]
fn nobody_waits_for_what_can_never_come() {
    let offer = edited(
        "whep-gstreamer-1.22-webrtcbin",
        &[("H264/90000", "theora/90000")],
    );
    assert_eq!(
        wait(&offer).unwrap_err().to_string(),
        "the video m-line offers theora; this server takes H264, VP9, AV1, H265, VP8: \
         enable one of them"
    );
    let offer = edited(
        "whep-gstreamer-1.22-webrtcbin",
        &[("a=recvonly", "a=inactive")],
    );
    assert_eq!(wait(&offer), Err(Refusal::NothingReceived));
}

#[test]
fn only_one_line_of_a_kind_waits() {
    let offer = edited(
        "whep-gstreamer-1.22-webrtcbin",
        &[("m=audio 0", "m=video 0"), ("OPUS/48000/2", "H264/90000")],
    );
    let waiting = wait(&offer).unwrap();
    assert_eq!(waiting.answer.matches("a=inactive\r\n").count(), 1);
    assert_eq!(waiting.spec.bind(&h264_stream()).unwrap().tracks.len(), 1);
}
