//! Offers, answers and fragments.

use std::sync::LazyLock;

use crate::rtp::Codec;
use crate::sdp::{
    Answer, Candidate, CodecPolicy, CounterOffer, Direction, Fingerprint, Fragment, IceCredentials,
    Leniency, Limits, Local, Offer, PayloadFormat, Refusal, SubscribedTrack, SubscriberSpec,
    accept_publisher, accept_subscriber, accept_waiting, counter_offer,
};
use crate::stream::{StreamName, TrackId, TrackInfo};

/// What clients read at most.
const MAX_ANSWER: usize = 8191;
/// What people read at most.
const MAX_MESSAGE: usize = 1024;

static ICE: LazyLock<IceCredentials> = LazyLock::new(|| IceCredentials {
    ufrag: "tidegate".to_owned(),
    pwd: "not-a-secret-of-any-session".to_owned(),
});
static CANDIDATES: LazyLock<Vec<Candidate>> =
    LazyLock::new(|| Candidate::list(["192.0.2.1:8443".parse().expect("an address")]));
static STREAM: LazyLock<StreamName> = LazyLock::new(|| "stage-1".parse().expect("a name"));
static STREAMS: LazyLock<Vec<Vec<TrackInfo>>> = LazyLock::new(|| {
    let h264 = "profile-level-id=640028;packetization-mode=1";
    vec![
        vec![
            track(0, Codec::Opus, "stereo=1"),
            track(1, Codec::H264, h264),
        ],
        vec![
            track(0, Codec::Vp9, "profile-id=2"),
            track(1, Codec::Pcmu, ""),
        ],
        vec![track(0, Codec::Av1, "")],
        vec![track(0, Codec::Vp8, ""), track(1, Codec::G722, "")],
    ]
});
static OFFERS: LazyLock<Vec<CounterOffer>> = LazyLock::new(|| {
    let offer = |tracks: &Vec<TrackInfo>| {
        let reason = Some("this stream sends H264");
        counter_offer(tracks, &local(), reason, &mut ssrcs()).expect("an offer of ours")
    };
    STREAMS.iter().map(offer).collect()
});

fn track(id: u8, codec: Codec, fmtp: &str) -> TrackInfo {
    TrackInfo {
        id: TrackId(id),
        codec,
        fmtp: fmtp.to_owned(),
        channels: if codec == Codec::Opus { 2 } else { 1 },
    }
}

fn local() -> Local<'static> {
    const FINGERPRINT: &Fingerprint = &Fingerprint([0xA5; 32]);
    Local {
        ice: &ICE,
        fingerprint: FINGERPRINT,
        candidates: &CANDIDATES,
        session_id: 4_242_424_242,
        stream: &STREAM,
        leniency: Leniency::default(),
        audio_redundancy: true,
    }
}

fn ssrcs() -> impl FnMut() -> u32 {
    let mut last = 1000;
    move || {
        last += 1;
        last
    }
}

/// An offer, answered as that of a publisher, a viewer and a viewer who waits.
pub(super) fn offer(data: &[u8]) {
    let offer = match Offer::parse(data, &Limits::default()) {
        Ok(offer) => offer,
        Err(error) => return assert!(error.to_string().len() < MAX_MESSAGE),
    };
    let policy = CodecPolicy::default();
    match accept_publisher(&offer, &local(), &policy) {
        Ok(accepted) => check_answer(&offer, &accepted.answer),
        Err(refusal) => check_refusal(&refusal),
    }
    let waiting = accept_waiting(&offer, &local(), &policy, &mut ssrcs());
    match &waiting {
        Ok(waiting) => check_answer(&offer, &waiting.answer),
        Err(refusal) => check_refusal(refusal),
    }
    for tracks in STREAMS.iter() {
        let accepted = accept_subscriber(&offer, &local(), tracks, &mut ssrcs());
        match &accepted {
            Ok(accepted) => {
                check_answer(&offer, &accepted.answer);
                check_spec(&accepted.spec);
            }
            Err(refusal) => check_refusal(refusal),
        }
        // Who waited gets what it would have got at once.
        if let (Ok(waiting), Ok(accepted)) = (&waiting, &accepted) {
            let late = waiting.spec.bind(tracks).expect("the same as at once");
            check_spec(&late);
            assert_eq!(without_ssrcs(&late), without_ssrcs(&accepted.spec));
        }
    }
}

/// An answer to each of our offers.
pub(super) fn answer(data: &[u8]) {
    let answer = match Answer::parse(data, &Limits::default()) {
        Ok(answer) => answer,
        Err(error) => return assert!(error.to_string().len() < MAX_MESSAGE),
    };
    for (offer, tracks) in OFFERS.iter().zip(STREAMS.iter()) {
        match offer.accept(&answer) {
            Ok(agreed) => {
                check_spec(&agreed.spec);
                assert!(agreed.spec.tracks.len() <= tracks.len());
                for subscribed in &agreed.spec.tracks {
                    let track = &tracks[usize::from(subscribed.track.0)];
                    assert_eq!(subscribed.kind, track.kind());
                }
            }
            Err(refusal) => check_refusal(&refusal),
        }
    }
}

/// A fragment, answered as an ICE restart.
pub(super) fn fragment(data: &[u8]) {
    let limits = Limits::default();
    let fragment = match Fragment::parse(data, &limits) {
        Ok(fragment) => fragment,
        Err(error) => return assert!(error.to_string().len() < MAX_MESSAGE),
    };
    assert!(fragment.candidates.len() <= limits.lines);
    let answer = fragment.restart_answer(&ICE, &CANDIDATES);
    assert!(answer.len() <= data.len() + 1024);
    let read = Fragment::parse(
        answer.as_bytes(),
        &Limits {
            bytes: usize::MAX,
            ..limits
        },
    )
    .expect("our own fragment");
    assert!(read.ice.as_ref() == Some(&*ICE) && read.end_of_candidates);
    assert_eq!(read.candidates.len(), CANDIDATES.len());
}

fn check_answer(offer: &Offer, answer: &str) {
    assert!(answer.len() <= MAX_ANSWER);
    let read = Offer::parse(answer.as_bytes(), &Limits::default()).expect("our own answer");
    assert!(read.ice_lite && read.ice == *ICE);
    assert_eq!(read.media.len(), offer.media.len());
    for (answered, offered) in read.media.iter().zip(&offer.media) {
        assert_eq!(answered.media, offered.media);
        if offered.has_mid {
            assert_eq!(answered.mid, offered.mid);
        }
        for format in &answered.formats {
            // An m-line that is off keeps a payload type, since it must have one, and no codec.
            let is_on = answered.is_active() && answered.direction != Direction::Inactive;
            let is_offered = |other: &PayloadFormat| {
                other.payload_type == format.payload_type && (!is_on || other.codec == format.codec)
            };
            assert!(offered.formats.iter().any(is_offered));
        }
    }
}

fn check_refusal(refusal: &Refusal) {
    let message = refusal.to_string();
    assert!(message.len() < MAX_MESSAGE, "{message}");
}

fn check_spec(spec: &SubscriberSpec) {
    assert!(!spec.tracks.is_empty());
    for (index, track) in spec.tracks.iter().enumerate() {
        assert_eq!(track.rtx_payload_type.is_some(), track.rtx_ssrc.is_some());
        assert_ne!(track.rtx_payload_type, Some(track.payload_type));
        assert_ne!(track.red_payload_type, Some(track.payload_type));
        assert!(track.red_payload_type.is_none() || track.rtx_payload_type.is_none());
        assert_ne!(track.rtx_ssrc, Some(track.ssrc));
        for other in &spec.tracks[..index] {
            assert!(other.ssrc != track.ssrc && other.track != track.track);
        }
    }
}

fn without_ssrcs(spec: &SubscriberSpec) -> Vec<SubscribedTrack> {
    let bare = |track: &SubscribedTrack| SubscribedTrack {
        ssrc: 0,
        rtx_ssrc: None,
        ..track.clone()
    };
    spec.tracks.iter().map(bare).collect()
}
