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
fn a_lost_packet_is_repeated_over_rtx() {
    let (mut sent, now) = (Sent::default(), Instant::now());
    let mut subscriber = subscriber(true, 100);
    let mut ring = Ring::new(64, KeyframeCache::OFF);
    for sequence in 0..10 {
        ring.insert(keyframe(70_000 + sequence).into(), drop);
        send(
            &mut subscriber,
            now,
            &[keyframe(70_000 + sequence)],
            &mut sent,
        );
    }
    sent.0.clear();
    subscriber.handle_rtcp(now, &nack(1111, 103), |_, _| Some(&ring), &mut sent);
    let (_, bytes) = &sent.0[0];
    let header = Header::parse(bytes).unwrap();
    assert_eq!((header.payload_type, header.ssrc), (103, 2222));
    assert_eq!(header.payload(bytes).unwrap()[..2], 103u16.to_be_bytes());
    assert_eq!(header.payload(bytes).unwrap()[2..], packet(0).payload);
    // Asked again at once: once is enough. After a while: again, under the next number.
    subscriber.handle_rtcp(now, &nack(1111, 103), |_, _| Some(&ring), &mut sent);
    assert_eq!(sent.0.len(), 1);
    subscriber.handle_rtcp(
        now + Duration::from_millis(50),
        &nack(1111, 103),
        |_, _| Some(&ring),
        &mut sent,
    );
    assert_eq!(sent.0[1].0, sent.0[0].0 + 1);
}

#[test]
fn without_rtx_the_very_same_bytes_are_repeated() {
    let (mut sent, now) = (Sent::default(), Instant::now());
    let mut subscriber = subscriber(false, 100);
    let mut ring = Ring::new(64, KeyframeCache::OFF);
    ring.insert(keyframe(70_000).into(), drop);
    send(&mut subscriber, now, &[keyframe(70_000)], &mut sent);
    subscriber.handle_rtcp(now, &nack(1111, 100), |_, _| Some(&ring), &mut sent);
    assert_eq!(sent.0[0], sent.0[1]);
}

#[test]
fn nacks_for_what_was_never_sent_get_nothing() {
    let (mut sent, now) = (Sent::default(), Instant::now());
    let mut subscriber = subscriber(true, 100);
    let mut ring = Ring::new(64, KeyframeCache::OFF);
    ring.insert(keyframe(70_000).into(), drop);
    subscriber.handle_rtcp(now, &nack(1111, 100), |_, _| Some(&ring), &mut sent);
    send(&mut subscriber, now, &[keyframe(70_000)], &mut sent);
    for number in [99, 101, 40_000] {
        subscriber.handle_rtcp(now, &nack(1111, number), |_, _| Some(&ring), &mut sent);
    }
    subscriber.handle_rtcp(now, &nack(9999, 100), |_, _| Some(&ring), &mut sent);
    assert_eq!(sent.0.len(), 1);
}

#[test]
fn a_flood_of_nacks_is_bounded_by_what_is_sent() {
    let (mut sent, mut now) = (Sent::default(), Instant::now());
    let mut subscriber = subscriber(true, 0);
    let mut ring = Ring::new(1024, KeyframeCache::OFF);
    for sequence in 0..1000 {
        ring.insert(keyframe(70_000 + sequence).into(), drop);
        send(
            &mut subscriber,
            now,
            &[keyframe(70_000 + sequence)],
            &mut sent,
        );
    }
    sent.0.clear();
    for round in 0..20u16 {
        now += Duration::from_secs(1);
        for number in 0..1000 {
            subscriber.handle_rtcp(now, &nack(1111, number), |_, _| Some(&ring), &mut sent);
        }
        assert!(sent.0.len() <= 2048, "round {round}: {}", sent.0.len());
    }
    let (_, tally) = subscriber.tallies().next().unwrap();
    assert_eq!(tally.retransmissions, 2048);
    assert_eq!(tally.retransmissions_refused, 20_000 - 2048);
}

#[test]
fn nacks_in_vain_cost_nothing_of_the_budget() {
    let (mut sent, now) = (Sent::default(), Instant::now());
    let mut subscriber = subscriber(true, 0);
    let mut ring = Ring::new(64, KeyframeCache::OFF);
    for packet in [keyframe(70_000), keyframe(70_001)] {
        ring.insert(packet.clone().into(), drop);
        send(&mut subscriber, now, &[packet], &mut sent);
    }
    sent.0.clear();
    // One is repeated too soon each time, the other was never sent.
    for _ in 0..1_000 {
        for number in [0, 2] {
            subscriber.handle_rtcp(now, &nack(1111, number), |_, _| Some(&ring), &mut sent);
        }
    }
    assert_eq!(sent.0.len(), 1);
    subscriber.handle_rtcp(now, &nack(1111, 1), |_, _| Some(&ring), &mut sent);
    assert_eq!(sent.0.len(), 2);
    let (_, tally) = subscriber.tallies().next().unwrap();
    assert_eq!(tally.retransmissions_missed, 1_999);
    assert_eq!(tally.retransmissions_refused, 0);
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
fn pictures_are_asked_for_by_track() {
    let pli = pli(1111);
    let mut subscriber = subscriber(true, 0);
    let mut ask = |now| {
        let sent = &mut Sent::default();
        let wanted = subscriber.handle_rtcp(now, &pli, |_, _| None, sent);
        wanted.iter().collect::<Vec<_>>()
    };
    let start = Instant::now();
    // Who lost pictures is helped at once; who goes on asking does not get one each time.
    for _ in 0..3 {
        assert_eq!(ask(start), [(VIDEO, LAYER)]);
    }
    assert_eq!(ask(start + Duration::from_secs(1)), []);
    assert_eq!(ask(start + Duration::from_secs(3)), [(VIDEO, LAYER)]);
    let (_, tally) = subscriber.tallies().next().unwrap();
    assert_eq!(tally.keyframes_refused, 1);
    assert_eq!(
        subscriber.waiting_for_keyframe().iter().count(),
        1,
        "what it needs to begin is not limited"
    );
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

#[test]
fn a_lost_packet_that_no_ring_has_any_more_costs_one_keyframe() {
    let (mut sent, now) = (Sent::default(), Instant::now());
    let mut subscriber = subscriber(true, 0);
    let cache = KeyframeCache {
        bytes: 64 * 1024,
        age: Duration::from_secs(5),
    };
    let picture = |index: u64, keyframe| Packet {
        keyframe,
        timestamp: index as u32 * 3_000,
        received: now + Duration::from_millis(33 * index),
        ..packet(70_000 + index)
    };
    let pass = |subscriber: &mut Subscriber, ring: &mut Ring, sent: &mut Sent, packet: Packet| {
        send(
            subscriber,
            packet.received,
            std::slice::from_ref(&packet),
            sent,
        );
        ring.insert(packet.into(), drop);
    };
    let mut ring = Ring::new(16, cache);
    // So long that the keyframe is too old to be kept.
    for index in 0..200 {
        pass(
            &mut subscriber,
            &mut ring,
            &mut sent,
            picture(index, index == 0),
        );
    }
    let mut ask = |subscriber: &mut Subscriber, ring: &Ring, number| {
        let wanted = subscriber.handle_rtcp(now, &nack(1111, number), |_, _| Some(ring), &mut sent);
        wanted.iter().collect::<Vec<_>>()
    };
    assert_eq!(ask(&mut subscriber, &ring, 190), [], "it is repeated");
    assert_eq!(ask(&mut subscriber, &ring, 300), [], "it was never sent");
    assert_eq!(ask(&mut subscriber, &ring, 100), [(VIDEO, LAYER)]);
    // The one that was asked for mends these, too.
    for number in [100, 101, 99] {
        assert_eq!(ask(&mut subscriber, &ring, number), []);
    }
    let mut sent = Sent::default();
    for index in 200..240 {
        pass(
            &mut subscriber,
            &mut ring,
            &mut sent,
            picture(index, index == 210),
        );
    }
    let wanted = subscriber.handle_rtcp(now, &nack(1111, 205), |_, _| Some(&ring), &mut sent);
    assert_eq!(wanted.iter().count(), 0, "a keyframe has come since");
    let (_, tally) = subscriber.tallies().next().unwrap();
    assert_eq!((tally.retransmissions, tally.keyframes_refused), (1, 0));
}

#[test]
fn a_viewer_may_ask_for_as_much_as_is_set() {
    let (mut sent, now) = (Sent::default(), Instant::now());
    let mut subscriber = subscriber(true, 0);
    subscriber.set_limits(&Arc::new(ViewerLimits {
        retransmissions: 2,
        keyframe_interval: Duration::from_secs(10),
    }));
    let mut ring = Ring::new(16, KeyframeCache::OFF);
    for sequence in 70_000..70_004 {
        let packet = keyframe(sequence);
        send(
            &mut subscriber,
            now,
            std::slice::from_ref(&packet),
            &mut sent,
        );
        ring.insert(packet.into(), drop);
    }
    for number in 0..4 {
        subscriber.handle_rtcp(now, &nack(1111, number), |_, _| Some(&ring), &mut sent);
    }
    let granted = (0..60).filter(|second| {
        let now = now + Duration::from_secs(*second);
        let wanted = subscriber.handle_rtcp(now, &pli(1111), |_, _| Some(&ring), &mut sent);
        wanted.iter().count() == 1
    });
    assert_eq!(
        granted.count(),
        3 + 5,
        "three at once, and one each ten seconds"
    );
    let (_, tally) = subscriber.tallies().next().unwrap();
    let repeated = (tally.retransmissions, tally.retransmissions_refused);
    assert_eq!(repeated, (2, 2));
}

/// A viewer of ten pictures, the first of which is a keyframe, that has lost what it shows at some time after it.
struct Lost {
    subscriber: Subscriber,
    ring: Ring,
    start: Instant,
    sent: Sent,
}

impl Lost {
    const PACE: u64 = 30_000_000;

    fn new() -> Self {
        let cache = KeyframeCache {
            bytes: 1 << 20,
            age: Duration::from_secs(12),
        };
        let mut lost = Self {
            subscriber: subscriber(true, 0),
            ring: Ring::new(1024, cache),
            start: Instant::now(),
            sent: Sent::default(),
        };
        let (ring, start) = (&lost.ring, lost.start);
        let _ = lost
            .subscriber
            .begin_catch_up(start, Self::PACE, |_, _| Some(ring));
        (0..10).for_each(|index| lost.picture(index));
        lost
    }

    fn picture(&mut self, index: u32) {
        let packet = Packet {
            keyframe: index == 0,
            timestamp: 3000 * index,
            received: self.start + Duration::from_millis(33) * index,
            ..packet(70_000 + u64::from(index))
        };
        let (now, packets) = (packet.received, [packet]);
        send(&mut self.subscriber, now, &packets, &mut self.sent);
        let [packet] = packets;
        self.ring.insert(packet.into(), drop);
    }

    /// Asks for a keyframe. Returns whether the publisher is to be asked.
    fn ask(&mut self, after: Duration) -> bool {
        let (now, ring) = (self.start + after, &self.ring);
        let rings = |_, _| Some(ring);
        let wanted = self
            .subscriber
            .handle_rtcp(now, &pli(1111), rings, &mut self.sent);
        wanted.iter().any(|wanted| wanted == (VIDEO, LAYER))
    }

    /// Sends what is due of the past. Returns its numbers and timestamps.
    fn past(&mut self) -> Vec<(u64, u32)> {
        let before = self.sent.0.len();
        while let Some(now) = self.subscriber.catch_up_at() {
            let ring = &self.ring;
            let rings = |_, _| Some(ring);
            self.subscriber
                .catch_up(now, rings, |_, _| None, &mut self.sent);
        }
        let past = self.sent.0[before..].iter();
        past.map(|(number, bytes)| (*number, Header::parse(bytes).unwrap().timestamp))
            .collect()
    }
}

#[test]
fn a_lost_picture_comes_back_from_the_cache() {
    let mut lost = Lost::new();
    let newest = |lost: &Lost| {
        let (number, bytes) = lost.sent.0.last().unwrap();
        (*number, Header::parse(bytes).unwrap().timestamp)
    };
    let before = newest(&lost);
    assert!(!lost.ask(Duration::from_millis(500)));
    assert!(lost.subscriber.is_catching_up());
    assert!(!lost.ask(Duration::from_millis(500)), "it is on its way");
    // What comes meanwhile is sent out of the ring, once.
    lost.picture(10);
    let past = lost.past();
    let numbers: Vec<_> = past.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (before.0 + 1..=before.0 + 11).collect::<Vec<_>>());
    let times = std::iter::once(before).chain(past).map(|(_, time)| time);
    let times: Vec<_> = times.collect();
    assert!(times.is_sorted_by(|one, other| one < other), "{times:?}");
    assert!(times[11] - times[0] < 2 * 3000, "{times:?}");
    // What comes next goes on from there.
    lost.picture(11);
    let expected = (before.0 + 12, times[11] + 3000);
    assert_eq!(newest(&lost), expected);
}

#[test]
fn a_keyframe_that_does_not_help_is_asked_for() {
    // The newest is still on its way.
    let mut lost = Lost::new();
    assert!(lost.ask(Duration::from_millis(200)));
    assert_eq!(lost.past(), []);
    // It was sent again, and the viewer asks again.
    assert!(!lost.ask(Duration::from_millis(400)));
    assert_eq!(lost.past().len(), 10);
    assert!(lost.ask(Duration::from_millis(900)));
    assert_eq!(lost.past(), []);
    // An old one is sent, since the publisher may not answer.
    let mut lost = Lost::new();
    assert!(lost.ask(Duration::from_secs(5)));
    assert_eq!(lost.past().len(), 10);
    // Nobody has one any more.
    let mut lost = Lost::new();
    lost.ring.forget_start();
    assert!(lost.ask(Duration::from_millis(500)));
    assert_eq!(lost.past(), []);
}

#[test]
fn a_viewer_who_asks_all_the_time_gets_each_keyframe_once_more() {
    let mut lost = Lost::new();
    let mut repeated = 0;
    for tenth in 4..100 {
        lost.ask(Duration::from_millis(100) * tenth);
        repeated += lost.past().len();
    }
    assert_eq!(repeated, 10);
}
