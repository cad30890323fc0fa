//! What the shards count of one broadcast: each on its own page of memory, read by anyone.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::ShardId;
use super::counters::Counter;
use super::standing::{StandingCounters, Standings};

/// The upper ends of the classes of [`Delays`], in microseconds; what is above the last has a class
/// of its own.
pub const DELAY_CLASSES: [u64; 12] = [
    50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000,
];

/// What leaves of one broadcast, shard by shard, and how late it comes.
#[derive(Debug)]
pub struct StreamCounters {
    shards: Box<[Outgoing]>,
    /// Microseconds, by both wall clocks; written by the publisher's shard.
    one_way: Gauge,
    capture_to_egress: Gauge,
}

/// The part of one shard; written by its thread alone. Apart from the others, whose threads would
/// wait for each other's cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Outgoing {
    /// Datagrams with media for subscribers, without retransmissions.
    pub(super) packets: Counter,
    /// Datagrams sent again.
    pub(super) retransmissions: Counter,
    /// Datagrams with the past, for subscribers who came.
    pub(super) caught_up: Counter,
    /// Requests of subscribers for keyframes that went on towards the publisher.
    pub(super) keyframe_requests: Counter,
    classes: [Counter; DELAY_CLASSES.len() + 1],
    delay_sum: Counter,
    pub(super) standings: StandingCounters,
}

/// The values of [`StreamCounters`] at one time, of all shards together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamSnapshot {
    /// Datagrams with media for subscribers, without retransmissions and the past.
    pub packets: u64,
    /// Datagrams sent again.
    pub retransmissions: u64,
    /// Datagrams with the past, for subscribers who came.
    pub caught_up: u64,
    /// Keyframes asked for.
    pub keyframe_requests: u64,
    /// From the arrival of a packet to the time when every subscriber of a shard had been sent it.
    pub delays: Delays,
    /// Which layers subscribers are to have, and what their links carry.
    pub standings: Standings,
    /// From a sender report's wall clock to ours, as it arrived: the way, and the difference of clocks.
    pub one_way: Option<SignedMicros>,
    /// From the capture of a picture or sound, by the publisher's wall clock, to its leaving, by ours.
    pub capture_to_egress: Option<SignedMicros>,
}

/// Microseconds that are below zero where the publisher's clock is ahead of ours.
pub type SignedMicros = i64;

/// How many packets of each class of delay there were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delays {
    /// By [`DELAY_CLASSES`], and those beyond.
    pub counts: [u64; DELAY_CLASSES.len() + 1],
    /// All delays together, in microseconds.
    pub sum: u64,
}

impl StreamCounters {
    /// For so many shards.
    pub fn new(shards: usize) -> Self {
        Self {
            shards: (0..shards).map(|_| Outgoing::default()).collect(),
            one_way: Gauge::default(),
            capture_to_egress: Gauge::default(),
        }
    }

    pub(super) fn of(&self, shard: ShardId) -> Option<&Outgoing> {
        self.shards.get(usize::from(shard.0))
    }

    pub(super) fn set_one_way(&self, micros: SignedMicros) {
        self.one_way.set(micros);
    }

    pub(super) fn set_capture_to_egress(&self, micros: SignedMicros) {
        self.capture_to_egress.set(micros);
    }

    /// The values now.
    pub fn snapshot(&self) -> StreamSnapshot {
        let mut snapshot = StreamSnapshot {
            one_way: self.one_way.get(),
            capture_to_egress: self.capture_to_egress.get(),
            ..StreamSnapshot::default()
        };
        for shard in &self.shards {
            snapshot.packets += shard.packets.get();
            snapshot.retransmissions += shard.retransmissions.get();
            snapshot.caught_up += shard.caught_up.get();
            snapshot.keyframe_requests += shard.keyframe_requests.get();
            shard.standings.add_to(&mut snapshot.standings);
            snapshot.delays.sum += shard.delay_sum.get();
            for (sum, class) in snapshot.delays.counts.iter_mut().zip(&shard.classes) {
                *sum += class.get();
            }
        }
        snapshot
    }
}

impl Default for StreamCounters {
    /// Of a broadcast that nobody publishes.
    fn default() -> Self {
        Self::new(0)
    }
}

impl Outgoing {
    /// A packet has left for all who take it, so long after it came.
    pub(super) fn delayed(&self, delay: Duration) {
        let micros = delay.as_micros() as u64;
        let class = DELAY_CLASSES.partition_point(|end| *end < micros);
        self.classes[class].add(1);
        self.delay_sum.add(micros);
    }
}

/// A value that may be unknown.
#[derive(Debug)]
struct Gauge(AtomicI64);

impl Gauge {
    const UNKNOWN: i64 = i64::MIN;

    fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn get(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|value| *value != Self::UNKNOWN)
    }
}

impl Default for Gauge {
    fn default() -> Self {
        Self(AtomicI64::new(Self::UNKNOWN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_count_apart_and_are_read_together() {
        let counters = StreamCounters::new(2);
        for shard in [ShardId(0), ShardId(1)] {
            let own = counters.of(shard).unwrap();
            own.packets.add(3);
            own.delayed(Duration::from_micros(50));
            own.delayed(Duration::from_micros(51));
            own.delayed(Duration::from_secs(1));
        }
        assert!(counters.of(ShardId(2)).is_none());
        let snapshot = counters.snapshot();
        assert_eq!(snapshot.packets, 6);
        assert_eq!(snapshot.delays.counts[..3], [2, 2, 0]);
        assert_eq!(snapshot.delays.counts.last(), Some(&2));
        assert_eq!(snapshot.delays.sum, 2 * 1_000_101);
        assert_eq!(snapshot.one_way, None);
        counters.set_one_way(-5);
        assert_eq!(counters.snapshot().one_way, Some(-5));
    }
}
