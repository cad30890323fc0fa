//! What viewers ask for: packets again, and keyframes.

use super::*;

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
fn a_layer_that_is_held_ends_its_past() {
    let mut lost = Lost::new();
    assert!(!lost.ask(Duration::from_millis(500)));
    lost.subscriber.forwarders[0].hold(None);
    assert!(!lost.subscriber.is_catching_up());
    assert_eq!(lost.past(), []);
    let waiting = lost.subscriber.waiting_for_keyframe();
    assert!(waiting.iter().eq([(VIDEO, LAYER)]));
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
