//! The publisher's clock of a track: which RTP timestamp belongs to which wall-clock time.

use std::time::{Duration, Instant};

/// A point in which the three clocks meet: the publisher's NTP time, its RTP timestamp, and our `Instant`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderClock {
    ntp: u64,
    rtp_timestamp: u32,
    at: Instant,
    clock_rate: u32,
}

impl SenderClock {
    /// From a sender report that came at `at`, or from a packet and our own wall clock before there is one.
    pub fn new(ntp: u64, rtp_timestamp: u32, at: Instant, clock_rate: u32) -> Self {
        Self {
            ntp,
            rtp_timestamp,
            at,
            clock_rate,
        }
    }

    /// NTP time and RTP timestamp of `now` (RFC 3550, section 6.4.1).
    pub fn at(&self, now: Instant) -> (u64, u32) {
        let elapsed = now.saturating_duration_since(self.at);
        let ticks = elapsed.as_nanos() * u128::from(self.clock_rate) / 1_000_000_000;
        (
            self.ntp.wrapping_add(ntp_duration(elapsed)),
            self.rtp_timestamp.wrapping_add(ticks as u32),
        )
    }
}

/// A duration in 32.32 fixed point seconds.
fn ntp_duration(duration: Duration) -> u64 {
    let fraction = (u64::from(duration.subsec_nanos()) << 32) / 1_000_000_000;
    (duration.as_secs() << 32) | fraction
}
