mod redundancy;
mod repair;

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::rtp::{Extension, ExtensionMap, Header, MediaKind};
use crate::sdp::{Feedback, SubscribedTrack};
use crate::stream::testing::packet;
use crate::stream::{ExtensionValues, KeyframeCache, Ring};

const VIDEO: TrackId = TrackId(0);
const LAYER: LayerId = LayerId(0);

/// Keeps what was sent, unsealed.
#[derive(Default)]
struct Sent(Vec<(u64, Vec<u8>)>);

impl Outlet for Sent {
    fn send(&mut self, len: usize, header_len: usize, index: u64, write: impl FnOnce(&mut [u8])) {
        let mut bytes = vec![0; len];
        write(&mut bytes);
        assert_eq!(Header::parse(&bytes).unwrap().len(), header_len);
        assert_eq!(Header::parse(&bytes).unwrap().sequence_number, index as u16);
        self.0.push((index, bytes));
    }
}

fn video(rtx: bool) -> SubscribedTrack {
    let mut extensions = ExtensionMap::default();
    extensions.set(Extension::PlayoutDelay, 5);
    SubscribedTrack {
        track: VIDEO,
        kind: MediaKind::Video,
        clock_rate: 90_000,
        mid: "0".into(),
        payload_type: 102,
        red_payload_type: None,
        rtx_payload_type: rtx.then_some(103),
        ssrc: 1111,
        rtx_ssrc: rtx.then_some(2222),
        extensions,
        feedback: Feedback::default(),
    }
}

fn subscriber(rtx: bool, entropy: u32) -> Subscriber {
    Subscriber::new(
        &SubscriberSpec {
            tracks: vec![video(rtx)],
        },
        "demo",
        || entropy,
    )
}

fn send(subscriber: &mut Subscriber, now: Instant, packets: &[Packet], sent: &mut Sent) {
    subscriber.forward(now, VIDEO, LAYER, packets, |_| None, sent);
}

fn keyframe(sequence: u64) -> Packet {
    Packet {
        keyframe: true,
        ..packet(sequence)
    }
}

fn pli(ssrc: u32) -> Vec<u8> {
    use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
    use rtc::shared::marshal::Marshal as _;
    PictureLossIndication {
        sender_ssrc: 0,
        media_ssrc: ssrc,
    }
    .marshal()
    .unwrap()
    .to_vec()
}

fn nack(ssrc: u32, lost: u16) -> Vec<u8> {
    use rtc::rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};
    use rtc::shared::marshal::Marshal as _;
    let nacks = vec![NackPair {
        packet_id: lost,
        lost_packets: 0,
    }];
    TransportLayerNack {
        sender_ssrc: 1,
        media_ssrc: ssrc,
        nacks,
    }
    .marshal()
    .unwrap()
    .to_vec()
}

#[test]
fn video_begins_at_a_keyframe_and_numbers_stay_dense() {
    let (mut sent, now) = (Sent::default(), Instant::now());
    let mut subscriber = subscriber(false, 7);
    assert_eq!(
        subscriber.waiting_for_keyframe().iter().collect::<Vec<_>>(),
        [(VIDEO, LAYER)]
    );
    send(
        &mut subscriber,
        now,
        &[
            packet(70_000),
            keyframe(70_001),
            packet(70_002),
            packet(70_004),
        ],
        &mut sent,
    );
    assert_eq!(subscriber.waiting_for_keyframe().iter().count(), 0);
    let numbers: Vec<_> = sent.0.iter().map(|(index, _)| *index).collect();
    // A gap of the publisher stays a gap, so that the player can ask for it.
    assert_eq!(numbers, [7, 8, 10]);
    // What came before the keyframe stays out, also when it comes late.
    send(&mut subscriber, now, &[packet(70_000)], &mut sent);
    assert_eq!(sent.0.len(), 3);
}

#[test]
fn the_header_is_the_subscribers_own() {
    let mut sent = Sent::default();
    let mut subscriber = subscriber(false, 50);
    let mut extensions = ExtensionValues::default();
    extensions.push(Extension::PlayoutDelay, &[1, 2, 3]);
    extensions.push(Extension::AudioLevel, &[9]);
    let packet = Packet {
        marker: true,
        extensions,
        payload: vec![1, 2, 3, 4],
        ..keyframe(65_600)
    };
    send(
        &mut subscriber,
        Instant::now(),
        std::slice::from_ref(&packet),
        &mut sent,
    );
    let bytes = &sent.0[0].1;
    let header = Header::parse(bytes).unwrap();
    assert_eq!(
        (header.payload_type, header.ssrc, header.marker),
        (102, 1111, true)
    );
    assert_eq!(header.timestamp, packet.timestamp.wrapping_add(50));
    assert_eq!(header.payload(bytes).unwrap(), [1, 2, 3, 4]);
    assert_eq!(
        header.extensions(bytes).collect::<Vec<_>>(),
        [(5, &[1, 2, 3][..])]
    );
}

#[test]
fn another_publishers_track_goes_on_under_the_same_ssrc() {
    let (mut sent, now) = (Sent::default(), Instant::now());
    let mut subscriber = subscriber(true, 100);
    send(&mut subscriber, now, &[keyframe(70_000)], &mut sent);
    let other = TrackId(1);
    let spec = SubscriberSpec {
        tracks: vec![SubscribedTrack {
            track: other,
            payload_type: 96,
            red_payload_type: None,
            rtx_payload_type: None,
            ..video(true)
        }],
    };
    subscriber.rebind(&spec, || 0);
    assert_eq!(
        subscriber.waiting_for_keyframe().iter().collect::<Vec<_>>(),
        [(other, LAYER)]
    );
    send(&mut subscriber, now, &[keyframe(70_001)], &mut sent);
    assert_eq!(sent.0.len(), 1, "what still comes of the old one");
    let packets = [packet(5), keyframe(6)];
    subscriber.forward(now, other, LAYER, &packets, |_| None, &mut sent);
    let header = Header::parse(&sent.0[1].1).unwrap();
    assert_eq!(
        (sent.0[1].0, header.payload_type, header.ssrc),
        (101, 96, 1111)
    );
    assert_eq!(
        subscriber.poll_timeout(),
        Some(now),
        "it is reported at once"
    );
    // Without RTX for this codec, the packet itself comes again.
    let mut ring = Ring::new(8, KeyframeCache::OFF);
    ring.insert(keyframe(6).into(), drop);
    subscriber.handle_rtcp(now, &nack(1111, 101), |_, _| Some(&ring), &mut sent);
    assert_eq!(sent.0[2], sent.0[1]);
    // Nobody publishes video now; later somebody does.
    subscriber.rebind(&SubscriberSpec { tracks: Vec::new() }, || 0);
    assert_eq!(subscriber.waiting_for_keyframe().iter().count(), 0);
    subscriber.rebind(
        &SubscriberSpec {
            tracks: vec![video(true)],
        },
        || 0,
    );
    send(&mut subscriber, now, &[keyframe(9)], &mut sent);
    assert_eq!(sent.0[3].0, 102);
}

#[test]
fn a_viewer_follows_the_layers_of_its_track() {
    let (mut sent, now) = (Sent::default(), Instant::now());
    let mut subscriber = subscriber(false, 10);
    let layers = |high: bool| {
        let layer = |id, rid: &str, is_active, bitrate| RankedLayer {
            id: LayerId(id),
            is_active,
            needs_descriptor: false,
            status: crate::stream::LayerStatus {
                encoding_id: rid.to_owned(),
                bitrate,
                ..Default::default()
            },
        };
        [layer(1, "h", high, 900), layer(0, "l", true, 100)]
    };
    let all = |layers: LayersByTrack| layers.iter().map(|(_, layer)| layer.0).collect::<Vec<_>>();
    subscriber.set_layers(VIDEO, &layers(true));
    assert_eq!(all(subscriber.waiting_for_keyframe()), [1]);
    subscriber.forward(now, VIDEO, LayerId(0), &[keyframe(9)], |_| None, &mut sent);
    assert_eq!(sent.0.len(), 0);
    assert!(subscriber.forward(now, VIDEO, LayerId(1), &[keyframe(7)], |_| None, &mut sent));
    assert_eq!(all(subscriber.needs()), [1]);

    subscriber.set_layers(VIDEO, &layers(false));
    assert_eq!(all(subscriber.needs()), [0, 1]);
    assert!(subscriber.forward(now, VIDEO, LayerId(0), &[keyframe(10)], |_| None, &mut sent));
    subscriber.set_layers(VIDEO, &layers(true));
    assert_eq!(all(subscriber.waiting_for_keyframe()), [1]);

    let low = |media_id: &str| LayerChoice {
        media_id: Some(media_id.to_owned()),
        rid: Some("l".to_owned()),
        ..LayerChoice::default()
    };
    let present = layers(true);
    subscriber.select(&low("7"), |_| Some(&present));
    assert_eq!(all(subscriber.needs()), [0, 1], "of another m-line");
    subscriber.select(&low("0"), |_| Some(&present));
    assert_eq!(all(subscriber.needs()), [0]);
    subscriber.select(&LayerChoice::default(), |_| Some(&present));
    assert_eq!(all(subscriber.needs()), [0, 1]);
}

#[test]
fn a_choice_before_there_is_a_track_is_kept_for_it() {
    let nothing = SubscriberSpec { tracks: Vec::new() };
    let mut subscriber = Subscriber::new(&nothing, "demo", || 0);
    let layer = |id, rid: &str, bitrate| RankedLayer {
        id: LayerId(id),
        is_active: true,
        needs_descriptor: false,
        status: crate::stream::LayerStatus {
            encoding_id: rid.to_owned(),
            bitrate,
            ..Default::default()
        },
    };
    let layers = [layer(1, "h", 900), layer(0, "l", 100)];
    for (mid, rid) in [(None, "h"), (Some("0"), "l"), (Some("9"), "h")] {
        let choice = LayerChoice {
            media_id: mid.map(str::to_owned),
            rid: Some(rid.to_owned()),
            ..LayerChoice::default()
        };
        subscriber.select(&choice, |_| None);
    }
    let spec = SubscriberSpec {
        tracks: vec![video(true)],
    };
    subscriber.rebind(&spec, || 0);
    subscriber.set_layers(VIDEO, &layers);
    let needs: Vec<_> = subscriber.needs().iter().collect();
    assert_eq!(needs, [(VIDEO, LayerId(0))]);
    // What viewers make up is not kept for ever.
    for mid in 0..100 {
        let choice = LayerChoice {
            media_id: Some(mid.to_string()),
            ..LayerChoice::default()
        };
        subscriber.select(&choice, |_| None);
    }
    assert_eq!(subscriber.choices.len(), MAX_CHOICES);
}

#[test]
fn sender_reports_are_on_the_publishers_clock() {
    let (mut sent, start) = (Sent::default(), Instant::now());
    let mut subscriber = subscriber(false, 1_000);
    assert_eq!(subscriber.poll_timeout(), None);
    send(&mut subscriber, start, &[keyframe(70_000)], &mut sent);
    assert_eq!(subscriber.poll_timeout(), Some(start));
    let clock = SenderClock::new(5 << 32, 90_000, start, 90_000);
    let mut compound = Vec::new();
    let later = start + Duration::from_millis(500);
    assert!(subscriber.handle_timeout(later, |_, _| Some(&clock), &mut compound));
    let ntp = u64::from_be_bytes(compound[8..16].try_into().unwrap());
    assert_eq!(ntp, 5 << 32 | 1 << 31);
    assert_eq!(
        u32::from_be_bytes(compound[16..20].try_into().unwrap()),
        90_000 + 45_000 + 1_000
    );
    assert_eq!(u32::from_be_bytes(compound[20..24].try_into().unwrap()), 1);
    assert!(!subscriber.handle_timeout(later, |_, _| Some(&clock), &mut compound));
}

proptest! {
    #[test]
    fn any_extension_values_make_a_readable_header(
        values in proptest::collection::vec((0usize..Extension::COUNT, proptest::collection::vec(any::<u8>(), 0..40)), 0..8),
        first_id in 1u8..=20,
    ) {
        let mut track = video(false);
        for (number, extension) in Extension::ALL.into_iter().enumerate() {
            let id = first_id + number as u8;
            track.extensions.set(extension, if id == 15 { 200 } else { id });
        }
        let mut extensions = ExtensionValues::default();
        for (kind, value) in &values {
            extensions.push(Extension::ALL[*kind], value);
        }
        let expected: Vec<(u8, Vec<u8>)> = extensions
            .iter()
            .map(|(extension, value)| (track.extensions.id(extension).unwrap(), value.to_vec()))
            .collect();
        let mut sent = Sent::default();
        let mut subscriber = Subscriber::new(&SubscriberSpec { tracks: vec![track] }, "demo", || 0);
        send(&mut subscriber, Instant::now(), &[Packet { extensions, ..keyframe(70_000) }], &mut sent);
        let bytes = &sent.0[0].1;
        let header = Header::parse(bytes).unwrap();
        let read: Vec<(u8, Vec<u8>)> = header.extensions(bytes).map(|(id, value)| (id, value.to_vec())).collect();
        prop_assert_eq!(read, expected);
        prop_assert_eq!(header.payload(bytes).unwrap(), &[0xAB; 100]);
    }
}
