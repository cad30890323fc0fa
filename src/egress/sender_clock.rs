//! The publisher's clock of a track: which RTP timestamp belongs to which wall-clock time.

use std::time::{Duration, Instant};

/// A point in which the three clocks meet: the publisher's NTP time, its RTP timestamp, and our `Instant`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderClock {
    ntp: u64,
    rtp_timestamp: u32,
    at: Instant,
    clock_rate: u32,
    is_assumed: bool,
}

impl SenderClock {
    /// From a sender report that came at `at`.
    pub fn new(ntp: u64, rtp_timestamp: u32, at: Instant, clock_rate: u32) -> Self {
        Self {
            ntp,
            rtp_timestamp,
            at,
            clock_rate,
            is_assumed: false,
        }
    }

    /// From a packet that came at `at`, and what the wall clock is assumed to have said then.
    pub fn assumed(ntp: u64, rtp_timestamp: u32, at: Instant, clock_rate: u32) -> Self {
        Self {
            is_assumed: true,
            ..Self::new(ntp, rtp_timestamp, at, clock_rate)
        }
    }

    /// Whether the publisher told it: then it says when something was captured, and not just when it came.
    pub fn is_told(&self) -> bool {
        !self.is_assumed
    }

    /// How far this clock is ahead of `other`, a clock of the same track, in 32.32 fixed point seconds modulo 2^64.
    ///
    /// The two meet at one RTP timestamp, as their instants need not be those of the same packet.
    pub fn ahead_of(&self, other: &Self) -> u64 {
        let ticks = i64::from(self.rtp_timestamp.wrapping_sub(other.rtp_timestamp) as i32);
        let elapsed = (i128::from(ticks) << 32) / i128::from(self.clock_rate.max(1));
        self.ntp
            .wrapping_sub(other.ntp.wrapping_add(elapsed as u64))
    }

    /// What to add to this clock's RTP timestamps for those that `other`, another source of the same
    /// publisher, has at the same instants.
    pub fn offset_to(&self, other: &Self) -> u32 {
        let ahead = i128::from(self.ntp.wrapping_sub(other.ntp) as i64);
        let ticks = (ahead * i128::from(self.clock_rate)) >> 32;
        other
            .rtp_timestamp
            .wrapping_add(ticks as u32)
            .wrapping_sub(self.rtp_timestamp)
    }

    /// The same clock, this much later.
    #[must_use]
    pub fn moved(self, ahead: u64) -> Self {
        Self {
            ntp: self.ntp.wrapping_add(ahead),
            ..self
        }
    }

    /// How far its NTP time is ahead of `ntp`, which gives one for an instant; modulo 2^64.
    pub(super) fn ahead_of_arrival(&self, ntp: impl FnOnce(Instant) -> u64) -> u64 {
        self.ntp.wrapping_sub(ntp(self.at))
    }

    /// When it came, and its NTP time.
    pub(super) fn arrival(&self) -> (Instant, u64) {
        (self.at, self.ntp)
    }

    /// The NTP time of an RTP timestamp that is no more than half its range away.
    pub fn ntp_of(&self, rtp_timestamp: u32) -> u64 {
        let ticks = i64::from(rtp_timestamp.wrapping_sub(self.rtp_timestamp) as i32);
        let elapsed = (i128::from(ticks) << 32) / i128::from(self.clock_rate.max(1));
        self.ntp.wrapping_add(elapsed as u64)
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

/// A duration in 32.32 fixed point seconds, as NTP time has them (RFC 5905, section 6).
pub(crate) fn ntp_duration(duration: Duration) -> u64 {
    let fraction = (u64::from(duration.subsec_nanos()) << 32) / 1_000_000_000;
    (duration.as_secs() << 32) | fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sources_meet_at_the_publishers_time() {
        let start = Instant::now();
        let low = SenderClock::new(100 << 32, 1_000, start, 90_000);
        // A second later, under another offset.
        let high = SenderClock::new(101 << 32, 5_000, start, 90_000);
        assert_eq!(5_000u32.wrapping_add(high.offset_to(&low)), 91_000);
        assert_eq!(91_000u32.wrapping_add(low.offset_to(&high)), 5_000);
    }

    #[test]
    fn a_clock_moves_by_what_another_is_ahead() {
        let start = Instant::now();
        let guess = SenderClock::new(100 << 32, 1_000, start, 90_000);
        // Two seconds of media later, the publisher says that it is 3 s ahead of us.
        let told = SenderClock::new(105 << 32, 181_000, start + Duration::from_secs(2), 90_000);
        assert_eq!(told.ahead_of(&guess), 3 << 32);
        assert_eq!(guess.ahead_of(&told), (3u64 << 32).wrapping_neg());
        assert_eq!(
            guess.moved(told.ahead_of(&guess)).at(start),
            (103 << 32, 1_000)
        );
    }
}
