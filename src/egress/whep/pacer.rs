//! Packets that wait for a link that is nearly full. They wait in the ring of their layer, where they
//! are anyway: what waits is known by its first number alone, and nothing is copied or allocated.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::bandwidth::{OVERHEAD, Pace};
use crate::egress::SenderClock;
use crate::egress::splice::{Passed, Shift, Splice};
use crate::rtp::header;
use crate::stream::{LayerId, Packet, Ring};

/// The time between two portions.
const INTERVAL: Duration = Duration::from_millis(2);

/// What a portion that comes late may make up for.
const LATEST: Duration = Duration::from_millis(10);

/// What a packet has beyond its payload, in bytes.
const HEADERS: u64 = (header::FIXED_LEN + OVERHEAD) as u64;

/// After a rest nothing begins with a past that takes longer to be sent: a new keyframe comes sooner.
const LONGEST_PAST: Duration = Duration::from_millis(500);

/// The queue of one track on its way to one viewer.
#[derive(Debug)]
pub(super) struct Pacer {
    /// None while nothing is paced: then what waits leaves at once.
    pace: Option<Pace>,
    /// The layer and the number of the first packet that waits, or will.
    next: Option<(LayerId, u64)>,
    /// What waits, in bytes of the link.
    waiting: u64,
    /// Bytes that may go now; below zero for what the last packet took too much.
    allowance: i64,
    /// When that was so.
    counted: Instant,
    rest: Option<Rest>,
}

/// A time in which nothing goes on: the link empties its queue.
#[derive(Debug)]
struct Rest {
    until: Instant,
    /// It ends with what is in the ring, so that no keyframe need be asked for.
    has_past: bool,
}

impl Pacer {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            pace: None,
            next: None,
            waiting: 0,
            allowance: 0,
            counted: now,
            rest: None,
        }
    }

    /// How fast packets leave from now on.
    pub(super) fn set_pace(&mut self, pace: Option<Pace>) {
        self.pace = pace;
    }

    /// Whether packets go by here.
    pub(super) fn is_used(&self) -> bool {
        self.pace.is_some() || self.waiting > 0 || self.rest.is_some()
    }

    /// Whether the packets that have just come go by here. Where they don't, they are sent without its knowledge: it
    /// forgets where it has stopped, as what is sent twice would have one SRTP index and two sets of numbers.
    pub(super) fn takes(&mut self) -> bool {
        let takes = self.is_used();
        if !takes {
            self.clear();
        }
        takes
    }

    /// When [`Self::portion`] is due, or the rest is over.
    pub(super) fn at(&self) -> Option<Instant> {
        match &self.rest {
            Some(rest) => Some(rest.until),
            None => (self.waiting > 0).then(|| self.counted + INTERVAL),
        }
    }

    /// The layer whose packets wait, or will.
    pub(super) fn layer(&self) -> Option<LayerId> {
        self.next.map(|(layer, _)| layer)
    }

    /// Takes packets of `layer` that have just come: they wait, unless they are late. A layer that
    /// begins does so with its keyframe's first packet at once.
    pub(super) fn pass<'p>(
        &mut self,
        layer: LayerId,
        packets: impl IntoIterator<Item = &'p Packet>,
        splice: &mut Splice,
        clock: impl Fn(LayerId) -> Option<SenderClock>,
        mut send: impl FnMut(&Packet, u64, &Shift),
    ) -> Passed {
        let mut packets = packets.into_iter();
        let mut passed = Passed::default();
        if self.rest.is_some() {
            return passed;
        }
        if !splice.follows(layer) {
            // From the other layer's ring, when what waits of this one has been sent.
            if splice.target() != layer || splice.is_turning() {
                return passed;
            }
            let Some(first) = packets.find(|packet| packet.keyframe) else {
                return passed;
            };
            passed = splice.pass(layer, [first], &clock, &mut send);
            self.begin(layer, first);
        }
        let next = match self.next {
            Some((waiting, next)) if waiting == layer => next,
            _ => {
                let newest = splice.newest().and_then(|own| splice.origin(own as u16));
                let next = newest.map_or(0, |newest| newest.source + 1);
                (self.next, self.waiting) = (Some((layer, next)), 0);
                next
            }
        };
        let waiting = &mut self.waiting;
        let late = packets.filter(|packet| {
            let is_late = packet.sequence < next;
            *waiting += if is_late { 0 } else { cost(packet) };
            is_late
        });
        passed.packets += splice.pass(layer, late, clock, send).packets;
        passed
    }

    /// `first` of a layer has been sent: all that comes after it waits.
    fn begin(&mut self, layer: LayerId, first: &Packet) {
        (self.next, self.waiting) = (Some((layer, first.sequence + 1)), 0);
        self.allowance -= cost(first) as i64;
    }

    /// Nothing waits any more: what did is left out.
    pub(super) fn clear(&mut self) {
        (self.next, self.waiting) = (None, 0);
    }

    /// Whether more waits than may.
    pub(super) fn is_full(&self) -> bool {
        self.pace.is_some_and(|pace| {
            self.waiting > pace.most_bytes || pace.time_of(self.waiting) > pace.most_time
        })
    }

    /// Leaves out what waits, and takes nothing before `until`: the link empties its queue.
    pub(super) fn rest(&mut self, until: Instant) {
        self.clear();
        self.rest = Some(Rest {
            until,
            has_past: false,
        });
    }

    /// Nothing is to come any more of what this was for.
    pub(super) fn reset(&mut self) {
        self.clear();
        self.rest = None;
    }

    /// Looks whether the rest ends with what `ring` has. Until then a new keyframe would be of no use.
    pub(super) fn expect_past(&mut self, ring: &Ring) {
        let pace = self.pace;
        if let Some(rest) = &mut self.rest {
            let past = ring.start().map(|start| start.bytes as u64);
            // As much again may come until then.
            rest.has_past = past
                .zip(pace)
                .is_some_and(|(past, pace)| 2 * pace.time_of(past) < LONGEST_PAST);
        }
    }

    /// Whether the rest ends with what a ring has.
    pub(super) fn expects_past(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| rest.has_past)
    }

    /// Ends a rest whose time has come. Returns whether it is over just now.
    pub(super) fn wake(&mut self, now: Instant) -> bool {
        let is_over = self.rest.as_ref().is_some_and(|rest| rest.until <= now);
        if is_over {
            self.rest = None;
            self.counted = now;
        }
        is_over
    }

    /// Begins with the last keyframe in the `ring` of a layer: what came after it waits. Does nothing
    /// where that is too much.
    pub(super) fn begin_with_past(
        &mut self,
        layer: LayerId,
        ring: &Ring,
        splice: &mut Splice,
        clock: impl Fn(LayerId) -> Option<SenderClock>,
        send: impl FnMut(&Packet, u64, &Shift),
    ) -> Passed {
        let ends = ring.start().zip(ring.newest());
        let Some((start, newest)) = ends else {
            return Passed::default();
        };
        let bytes = start.bytes as u64;
        let span = self.pace.map_or(Duration::ZERO, |pace| pace.time_of(bytes));
        let (Some(first), Some(present)) = (ring.get(start.sequence), ring.get(newest)) else {
            return Passed::default();
        };
        if span > LONGEST_PAST {
            return Passed::default();
        }
        let passed = splice.begin_with_past(layer, (first, present), span, clock, send);
        self.begin(layer, first);
        let behind = ring.packets_from(start.sequence + 1);
        self.waiting = behind.map(|packet| cost(packet)).sum();
        passed
    }

    /// Lets the line know whether it can go over to another layer at the next picture that leads there: `ring` is that
    /// of the layer that is left, `other` that of the other.
    pub(super) fn look_over(&self, splice: &mut Splice, ring: &Ring, other: Option<&Ring>) {
        let (Some(other), Some((_, next))) = (other, self.next) else {
            return;
        };
        let target = splice.target();
        let leads = ring
            .packets_from(next)
            .find(|packet| packet.leads_to.contains(target));
        if leads.is_some_and(|packet| other.picture(packet.timestamp).is_some()) {
            splice.approach();
        }
    }

    /// Goes on with the other layer, where the line has stopped for it: what came of that since waits.
    pub(super) fn go_over(
        &mut self,
        ring: &Ring,
        splice: &mut Splice,
        clock: impl Fn(LayerId) -> Option<SenderClock>,
        send: impl FnMut(&Packet, u64, &Shift),
    ) -> Passed {
        let (layer, first) = (
            splice.target(),
            splice.turn().and_then(|at| ring.picture(at)),
        );
        let Some(first) = first else {
            return Passed::default();
        };
        let passed = splice.pass(layer, [&**first], clock, send);
        self.begin(layer, first);
        let behind = ring.packets_from(first.sequence + 1);
        self.waiting = behind.map(|packet| cost(packet)).sum();
        passed
    }

    /// The numbers that may leave now; they do not wait any more.
    pub(super) fn portion(&mut self, now: Instant, ring: &Ring) -> Range<u64> {
        let (Some((layer, next)), Some(newest)) = (self.next, ring.newest()) else {
            return 0..0;
        };
        let elapsed = now.saturating_duration_since(self.counted).min(LATEST);
        self.counted = now;
        // Older ones have left the ring.
        let from = next.max(newest.saturating_sub(ring.capacity() as u64));
        let mut to = from;
        match self.pace {
            None => to = newest + 1,
            Some(pace) => {
                // What is not used is not saved for later, but for one portion.
                let most = pace.bytes_in(INTERVAL, self.waiting) as i64;
                self.allowance =
                    (self.allowance + pace.bytes_in(elapsed, self.waiting) as i64).min(most);
                while to <= newest && self.allowance > 0 {
                    if let Some(packet) = ring.get(to) {
                        self.allowance -= cost(packet) as i64;
                        self.waiting = self.waiting.saturating_sub(cost(packet));
                    }
                    to += 1;
                }
            }
        }
        if to > newest {
            self.waiting = 0;
        }
        self.next = Some((layer, to.max(next)));
        from..to
    }
}

/// What a packet takes of the link, in bytes.
fn cost(packet: &Packet) -> u64 {
    packet.payload.len() as u64 + HEADERS
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::rtp::MediaKind;
    use crate::stream::KeyframeCache;
    use crate::stream::testing::packet;

    const LAYER: LayerId = LayerId(0);
    /// 1 byte in a microsecond.
    const PACE: Pace = Pace {
        bitrate: 8_000_000,
        sustained: 8_000_000,
        most_time: Duration::from_millis(100),
        most_bytes: 50_000,
    };
    const CACHE: KeyframeCache = KeyframeCache {
        bytes: 1 << 20,
        age: Duration::from_secs(12),
    };

    struct Stage {
        ring: Ring,
        splice: Splice,
        pacer: Pacer,
        now: Instant,
        next: u64,
        /// What was sent, with the time.
        sent: Vec<(Instant, u64)>,
    }

    impl Stage {
        fn new() -> Self {
            let now = Instant::now();
            let mut pacer = Pacer::new(now);
            pacer.set_pace(Some(PACE));
            Self {
                ring: Ring::new(256, CACHE),
                splice: Splice::new(MediaKind::Video, 90_000, 0, 0),
                pacer,
                now,
                next: 1 << 16,
                sent: Vec::new(),
            }
        }

        /// A frame of packets that take a millisecond each.
        fn frame(&mut self, packets: u64, keyframe: bool) {
            let first = self.next;
            let packets: Vec<_> = (0..packets)
                .map(|index| {
                    Arc::new(Packet {
                        timestamp: first as u32,
                        keyframe: keyframe && index == 0,
                        received: self.now,
                        payload: vec![0; 1_000 - HEADERS as usize],
                        ..packet(first + index)
                    })
                })
                .collect();
            for packet in &packets {
                self.ring.insert(Arc::clone(packet), drop);
                self.next += 1;
            }
            self.pass(packets.iter().map(|packet| &**packet));
        }

        fn pass<'p>(&mut self, packets: impl IntoIterator<Item = &'p Packet>) {
            let (now, sent) = (self.now, &mut self.sent);
            let send = |packet: &Packet, _: u64, _: &Shift| sent.push((now, packet.sequence));
            let (pacer, splice) = (&mut self.pacer, &mut self.splice);
            let _ = pacer.pass(LAYER, packets, splice, |_| None, send);
        }

        fn portion(&mut self) -> Range<u64> {
            let portion = self.pacer.portion(self.now, &self.ring);
            self.sent
                .extend(portion.clone().map(|number| (self.now, number)));
            portion
        }

        /// Until nothing waits.
        fn drain(&mut self) {
            while let Some(at) = self.pacer.at() {
                self.now = self.now.max(at);
                let portion = self.portion();
                assert!(portion.end - portion.start <= 3, "{portion:?}");
            }
        }

        fn numbers(&self) -> Vec<u64> {
            self.sent.iter().map(|(_, number)| *number).collect()
        }
    }

    #[test]
    fn packets_leave_at_the_pace_and_each_once() {
        let mut stage = Stage::new();
        let begin = stage.now;
        stage.frame(40, true);
        stage.drain();
        assert_eq!(stage.numbers(), (1 << 16..stage.next).collect::<Vec<_>>());
        let took = stage.now - begin;
        let expected = Duration::from_millis(38)..=Duration::from_millis(44);
        assert!(expected.contains(&took), "{took:?}");
        assert!(stage.pacer.is_used(), "it is paced still");
    }

    #[test]
    fn a_late_packet_does_not_wait() {
        let mut stage = Stage::new();
        stage.frame(10, true);
        let late = packet(1 << 16);
        let early = packet((1 << 16) + 9);
        stage.pass([&late, &early]);
        assert_eq!(stage.numbers(), [1 << 16, 1 << 16]);
    }

    #[test]
    fn without_a_pace_all_that_waits_leaves_at_once() {
        let mut stage = Stage::new();
        stage.frame(40, true);
        stage.pacer.set_pace(None);
        assert!(stage.pacer.is_used(), "some waits");
        stage.portion();
        assert_eq!(stage.sent.len(), 40);
        assert!(!stage.pacer.is_used() && stage.pacer.at().is_none());
    }

    #[test]
    fn what_went_on_without_it_is_not_sent_again() {
        let mut stage = Stage::new();
        stage.frame(40, true);
        stage.pacer.set_pace(None);
        stage.portion();
        assert!(!stage.pacer.takes());
        // As of a forwarder that has no use for it.
        let direct = stage.next;
        for sequence in direct..direct + 20 {
            let packet = Arc::new(packet(sequence));
            stage.ring.insert(Arc::clone(&packet), drop);
            let (now, sent) = (stage.now, &mut stage.sent);
            let send = |packet: &Packet, _: u64, _: &Shift| sent.push((now, packet.sequence));
            let _ = stage.splice.pass(LAYER, [&*packet], |_| None, send);
        }
        stage.next += 20;
        stage.pacer.set_pace(Some(PACE));
        assert!(stage.pacer.takes());
        stage.frame(10, false);
        stage.drain();
        assert_eq!(stage.numbers(), (1 << 16..stage.next).collect::<Vec<_>>());
    }

    #[test]
    fn what_waits_has_bounds_in_time_and_bytes() {
        let mut stage = Stage::new();
        stage.frame(51, true);
        assert!(!stage.pacer.is_full());
        stage.pacer.set_pace(Some(Pace {
            sustained: 3_900_000,
            ..PACE
        }));
        assert!(stage.pacer.is_full(), "it would take 103 ms");
        stage.pacer.set_pace(Some(PACE));
        stage.frame(1, false);
        assert!(stage.pacer.is_full(), "it is 51,000 bytes");
    }

    #[test]
    fn a_rest_leaves_out_what_waits_and_ends_with_the_last_keyframe() {
        let mut stage = Stage::new();
        stage.frame(20, true);
        stage.splice.hold();
        let until = stage.now + Duration::from_millis(300);
        stage.pacer.rest(until);
        assert_eq!(stage.pacer.at(), Some(until));
        stage.now += Duration::from_millis(100);
        let keyframe = stage.next;
        stage.frame(10, true);
        stage.frame(5, false);
        assert_eq!(stage.sent.len(), 1, "nothing but the first packet of all");
        stage.pacer.expect_past(&stage.ring);
        assert!(stage.pacer.expects_past());
        assert!(!stage.pacer.wake(stage.now));
        stage.now = until;
        assert!(stage.pacer.wake(until) && !stage.pacer.wake(until));
        let sent = &mut stage.sent;
        let send = |packet: &Packet, _: u64, _: &Shift| sent.push((until, packet.sequence));
        let (ring, splice) = (&stage.ring, &mut stage.splice);
        let passed = stage
            .pacer
            .begin_with_past(LAYER, ring, splice, |_| None, send);
        assert!(passed.switched);
        stage.drain();
        assert_eq!(
            stage.numbers()[1..],
            (keyframe..stage.next).collect::<Vec<_>>()
        );
    }

    #[test]
    fn too_much_of_a_past_is_not_begun_with() {
        let mut stage = Stage::new();
        stage.frame(560, true);
        stage.splice.hold();
        stage.pacer.rest(stage.now);
        stage.pacer.expect_past(&stage.ring);
        assert!(!stage.pacer.expects_past());
        let (ring, splice) = (&stage.ring, &mut stage.splice);
        let send = |_: &Packet, _: u64, _: &Shift| panic!("nothing is sent");
        let passed = stage
            .pacer
            .begin_with_past(LAYER, ring, splice, |_| None, send);
        assert_eq!(passed, Passed::default());
    }

    #[test]
    fn what_has_left_the_ring_is_passed_over() {
        let mut stage = Stage::new();
        stage.frame(2, true);
        stage.ring.insert(Arc::new(packet(100_000)), drop);
        stage.pacer.set_pace(None);
        let portion = stage.portion();
        assert_eq!(portion.end, 100_001);
        assert!(portion.end - portion.start <= stage.ring.capacity() as u64 + 1);
    }
}
