//! The past for somebody who has just come: the last keyframe and all that came after it, out of the ring,
//! faster than it was made and slower than would drown the way there, until it is the present.
//!
//! Who catches up gets nothing of the present meanwhile but through the ring, so nothing is sent twice and
//! nothing is left out.

use std::time::{Duration, Instant};

use crate::egress::SenderClock;
use crate::egress::splice::{Passed, Shift, Splice};
use crate::stream::{LayerId, Packet, Ring, Start};

/// The time between two portions.
const INTERVAL: Duration = Duration::from_millis(2);

/// However slow it may be, the present is reached: the past is sent so many times faster than it was made, in
/// hundredths; over a link whose limit is known, not much faster.
const LEAST_SPEED: u64 = 300;
const LEAST_SPEED_OF_KNOWN: u64 = 125;

/// A link whose limit is known, or soon will be, is not filled with the past for longer than this.
const MOST_OF_KNOWN: Duration = Duration::from_millis(250);

/// Nor any other link, for a viewer that has seen it before.
const MOST_AGAIN: Duration = Duration::from_secs(1);

/// What may go at once beside the keyframe, in bytes.
const BURST: u64 = 16 * 1024;

/// A keyframe that is older than this is better followed by a new one soon: a player has to decode all
/// that came after it before it shows the present.
const OLD: Duration = Duration::from_secs(4);

/// How fast somebody gets the past.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// bit/s
    bitrate: u64,
    /// So many hundredths of the speed at which it was made, at least: or the present is never reached.
    least: u64,
    /// Bytes: more of the past is not worth having, and a new keyframe is waited for.
    most: u64,
}

impl Pace {
    /// At `wanted` bit/s, and no faster than a link is `believed` to carry.
    pub(super) fn new(wanted: u64, believed: Option<u64>) -> Self {
        match believed {
            None => Self {
                bitrate: wanted,
                least: LEAST_SPEED,
                most: u64::MAX,
            },
            Some(believed) => Self {
                bitrate: wanted.min(believed),
                least: LEAST_SPEED_OF_KNOWN,
                most: believed / 8 * MOST_OF_KNOWN.as_millis() as u64 / 1000,
            },
        }
    }

    /// The same for a viewer that has lost the picture.
    pub(super) fn again(wanted: u64, believed: Option<u64>) -> Self {
        let pace = Self::new(wanted, believed);
        let most = wanted / 8 * MOST_AGAIN.as_millis() as u64 / 1000;
        Self {
            most: pace.most.min(most),
            ..pace
        }
    }
}

/// Somebody who catches up with one layer.
#[derive(Debug)]
pub(super) struct CatchUp {
    layer: LayerId,
    /// The next packet to be sent; none before the first.
    next: Option<u64>,
    /// Bytes a second.
    rate: u64,
    /// Bytes that may go now.
    allowance: u64,
    /// When that was so.
    counted: Instant,
    wants_keyframe: bool,
}

impl CatchUp {
    /// From the keyframe that `ring` begins with; none when there is no such keyframe.
    pub(super) fn new(now: Instant, layer: LayerId, ring: &Ring, pace: Pace) -> Option<Self> {
        let start = ring.start()?;
        if start.bytes as u64 > pace.most {
            return None;
        }
        let packets = start.sequence..=ring.newest()?;
        let age = now.saturating_duration_since(start.received);
        let made = start.bytes as u64 * 1000 / (age.as_millis() as u64).max(100);
        let keyframe = packets
            .clone()
            .map_while(|sequence| {
                let packet = ring.get(sequence);
                packet
                    .is_none_or(|packet| packet.timestamp == start.timestamp)
                    .then(|| packet.map_or(0, |packet| packet.payload.len() as u64))
            })
            .sum::<u64>();
        let has_holes = packets
            .into_iter()
            .any(|sequence| ring.get(sequence).is_none());
        Some(Self {
            layer,
            next: None,
            rate: (pace.bitrate / 8).max(made * pace.least / 100),
            allowance: keyframe + BURST,
            counted: now,
            wants_keyframe: has_holes || age > OLD,
        })
    }

    pub(super) fn layer(&self) -> LayerId {
        self.layer
    }

    /// Whether a keyframe of now would be better to have as well.
    pub(super) fn wants_keyframe(&self) -> bool {
        self.wants_keyframe
    }

    /// When [`Self::step`] is due.
    pub(super) fn at(&self) -> Instant {
        match self.next {
            None => self.counted,
            Some(_) => self.counted + INTERVAL,
        }
    }

    /// Whether a packet that has just come is sent on at once: what is still to come out of the ring is not.
    pub(super) fn passes(&self, layer: LayerId, packet: &Packet) -> bool {
        layer != self.layer || self.next.is_some_and(|next| packet.sequence < next)
    }

    /// Sends a portion. Returns what went, and whether there is more.
    pub(super) fn step(
        &mut self,
        now: Instant,
        ring: &Ring,
        splice: &mut Splice,
        clock: impl Fn(LayerId) -> Option<SenderClock>,
        mut send: impl FnMut(&Packet, u64, &Shift),
    ) -> (Passed, bool) {
        let mut passed = Passed::default();
        let (Some(newest), start) = (ring.newest(), ring.start()) else {
            return (passed, false);
        };
        // A shard that is late must not become later by making up for it.
        let waited = now.saturating_duration_since(self.counted);
        let waited = waited.min(2 * INTERVAL);
        self.counted = now;
        self.allowance += self.rate * waited.as_micros() as u64 / 1_000_000;
        // What lies before a keyframe is no use any more.
        let jumps = start.filter(|start| self.next.is_none_or(|next| next < start.sequence));
        if let Some(start) = jumps {
            let (Some(first), Some(present)) = (ring.get(start.sequence), ring.get(newest)) else {
                return (passed, false);
            };
            let span = self.span(&start);
            let ends = (&**first, &**present);
            passed = splice.begin_with_past(self.layer, ends, span, &clock, &mut send);
            self.spend(first);
            self.next = Some(start.sequence + 1);
        }
        let Some(from) = self.next else {
            // The cache was given up before anything was sent.
            return (passed, false);
        };
        let mut to = from;
        while to <= newest && self.allowance > 0 {
            if let Some(packet) = ring.get(to) {
                self.spend(packet);
            }
            to += 1;
        }
        self.next = Some(to);
        let portion = (from..to).filter_map(|sequence| ring.get(sequence));
        let sent = splice.pass(self.layer, portion.map(|packet| &**packet), clock, send);
        passed.packets += sent.packets;
        (passed, to <= newest)
    }

    /// The time that all behind the keyframe takes.
    fn span(&self, start: &Start) -> Duration {
        let rest = (start.bytes as u64).saturating_sub(self.allowance);
        Duration::from_micros(rest * 1_000_000 / self.rate.max(1))
    }

    fn spend(&mut self, packet: &Packet) {
        self.allowance = self.allowance.saturating_sub(packet.payload.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::rtp::MediaKind;
    use crate::stream::KeyframeCache;
    use crate::stream::testing::packet;

    const LAYER: LayerId = LayerId(0);
    const CACHE: KeyframeCache = KeyframeCache {
        bytes: 8 * 1024 * 1024,
        age: Duration::from_secs(12),
    };
    /// Packets of a keyframe and of any other picture.
    const SIZES: [u64; 2] = [80, 8];
    const PACKET: usize = 1000;

    /// What a viewer has got, with the time.
    type Got = Vec<(Instant, u64)>;

    struct Stage {
        ring: Ring,
        splice: Splice,
        now: Instant,
        next: u64,
        picture: u32,
        got: Got,
    }

    impl Stage {
        fn new() -> Self {
            Self {
                ring: Ring::new(1024, CACHE),
                splice: Splice::new(MediaKind::Video, 90_000, 0, 0),
                now: Instant::now(),
                next: 1 << 16,
                picture: 0,
                got: Got::new(),
            }
        }

        /// The next picture, a thirtieth of a second later.
        fn picture(&mut self, keyframe: bool) {
            self.now += Duration::from_micros(33_333);
            self.picture += 1;
            for index in 0..SIZES[usize::from(!keyframe)] {
                let packet = Packet {
                    timestamp: self.picture * 3000,
                    keyframe: keyframe && index == 0,
                    received: self.now,
                    payload: vec![0; PACKET],
                    ..packet(self.next)
                };
                self.next += 1;
                self.ring.insert(Arc::new(packet), drop);
            }
        }

        fn pictures(&mut self, count: usize) {
            self.picture(true);
            (1..count).for_each(|_| self.picture(false));
        }

        fn begin(&self, pace: u64) -> Option<CatchUp> {
            CatchUp::new(self.now, LAYER, &self.ring, Pace::new(pace, None))
        }

        /// Until all is sent, with more pictures coming.
        fn run(&mut self, catch_up: &mut CatchUp) {
            let mut next_picture = self.now + Duration::from_micros(33_333);
            loop {
                self.now = catch_up.at();
                if self.now >= next_picture {
                    self.now = next_picture - Duration::from_micros(33_333);
                    self.picture(false);
                    next_picture += Duration::from_micros(33_333);
                }
                let (now, got) = (self.now, &mut self.got);
                let send = |packet: &Packet, _: u64, _: &Shift| got.push((now, packet.sequence));
                let (_, more) = catch_up.step(now, &self.ring, &mut self.splice, |_| None, send);
                if !more {
                    break;
                }
            }
        }
    }

    #[test]
    fn the_keyframe_goes_at_once_and_the_rest_at_its_pace_until_the_present() {
        let mut stage = Stage::new();
        stage.pictures(60);
        let began = stage.now;
        let mut catch_up = stage.begin(30_000_000).unwrap();
        assert!(!catch_up.wants_keyframe());
        assert_eq!(catch_up.at(), began);
        stage.run(&mut catch_up);
        let first = 1 << 16;
        let numbers: Vec<_> = stage.got.iter().map(|(_, number)| *number).collect();
        assert_eq!(numbers, (first..stage.next).collect::<Vec<_>>());
        let at_once = stage.got.iter().filter(|(at, _)| *at == began).count();
        assert!((80..=80 + 17).contains(&at_once), "{at_once}");
        // 472 packets at 3.75 MB/s, and what came meanwhile.
        let took = stage.now - began;
        let expected = Duration::from_millis(110)..Duration::from_millis(160);
        assert!(expected.contains(&took), "{took:?}");
    }

    #[test]
    fn a_pace_below_the_streams_own_is_raised() {
        let mut stage = Stage::new();
        stage.pictures(60);
        let began = stage.now;
        let mut catch_up = stage.begin(1).unwrap();
        stage.run(&mut catch_up);
        assert!(stage.now - began < Duration::from_secs(1));
        assert_eq!(stage.got.last().unwrap().1, stage.next - 1);
    }

    #[test]
    fn a_new_keyframe_makes_the_past_no_use() {
        let mut stage = Stage::new();
        stage.pictures(60);
        let mut catch_up = stage.begin(1_000_000).unwrap();
        let (now, ring) = (stage.now, &stage.ring);
        let _ = catch_up.step(now, ring, &mut stage.splice, |_| None, |_, _, _| {});
        let keyframe = stage.next;
        stage.picture(true);
        stage.run(&mut catch_up);
        let first = stage.got.first().unwrap().1;
        assert_eq!(first, keyframe, "what is left of the past is left out");
    }

    #[test]
    fn a_hole_or_an_old_keyframe_wants_a_new_one() {
        let mut stage = Stage::new();
        assert!(stage.begin(1).is_none(), "there is nothing");
        stage.pictures(30);
        stage.next += 1;
        stage.picture(false);
        assert!(stage.begin(1).unwrap().wants_keyframe());
        stage.pictures(5 * 30);
        assert!(stage.begin(1).unwrap().wants_keyframe());
        stage.pictures(30);
        assert!(!stage.begin(1).unwrap().wants_keyframe());
    }

    #[test]
    fn one_that_has_had_no_turn_when_the_cache_is_given_up_gets_nothing() {
        let mut stage = Stage::new();
        stage.pictures(30);
        let mut catch_up = stage.begin(1).unwrap();
        stage.now += CACHE.age;
        stage.picture(false);
        assert_eq!(stage.ring.start(), None);
        let (now, ring) = (stage.now, &stage.ring);
        let (passed, more) = catch_up.step(now, ring, &mut stage.splice, |_| None, |_, _, _| {});
        assert_eq!((passed, more), (Passed::default(), false));
        assert!(stage.splice.waits_for_keyframe());
    }

    #[test]
    fn a_late_packet_is_sent_on_unless_its_turn_is_still_to_come() {
        let mut stage = Stage::new();
        stage.pictures(60);
        let mut catch_up = stage.begin(1_000_000).unwrap();
        let (first, last) = (packet(1 << 16), packet(stage.next - 1));
        assert!(!catch_up.passes(LAYER, &first));
        let (now, ring) = (stage.now, &stage.ring);
        let _ = catch_up.step(now, ring, &mut stage.splice, |_| None, |_, _, _| {});
        assert!(catch_up.passes(LAYER, &first));
        assert!(!catch_up.passes(LAYER, &last));
        assert!(catch_up.passes(LayerId(1), &last));
    }
}
