//! The wall clock that a viewer sees in our sender reports: that of its first publisher.
//!
//! A publisher that follows another has its own clock, and tells it only after some seconds in which we
//! assume something else; and one may set its clock. Players align sound and picture by a clock that does not
//! jump, but for once, when the first publisher tells the time for the first time.

use std::time::{Duration, Instant};

use crate::egress::ntp_duration;

/// A clock that says something else by more than this has jumped; below, it is jitter and drift.
const MAX_STEP: Duration = Duration::from_millis(500);

/// A clock that does not jump.
#[derive(Debug, Default)]
pub(super) struct WallClock {
    /// What is added to the publisher's time, in 32.32 fixed point seconds; it wraps.
    shift: u64,
    /// What was said last, and when.
    last: Option<(u64, Instant)>,
    /// It goes on whatever publishers say.
    holds: bool,
}

impl WallClock {
    /// Another publisher follows: from now on its clock is taken for the one that was told before.
    pub(super) fn hold(&mut self) {
        self.holds = self.last.is_some();
    }

    /// Whether it may differ from the publisher's.
    pub(super) fn holds(&self) -> bool {
        self.holds
    }

    /// The time to say at `now`, where the publisher's clock says `ntp`, or is assumed to. All tracks of a viewer
    /// are shifted by the same, so that they stay together.
    pub(super) fn read(&mut self, now: Instant, ntp: u64, is_told: bool) -> u64 {
        let mut shifted = ntp.wrapping_add(self.shift);
        if let (Some((last, at)), true) = (self.last, self.holds) {
            let expected = last.wrapping_add(ntp_duration(now.saturating_duration_since(at)));
            let step = (shifted.wrapping_sub(expected) as i64).unsigned_abs();
            if step > ntp_duration(MAX_STEP) {
                self.shift = expected.wrapping_sub(ntp);
                shifted = expected;
            }
        }
        self.last = Some((shifted, now));
        self.holds |= is_told;
        shifted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1 << 32;

    #[test]
    fn a_publisher_with_another_clock_changes_nothing_for_the_viewer() {
        let (mut wall, start) = (WallClock::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(wall.read(at(0), 1_000 * SECOND, true), 1_000 * SECOND);
        assert_eq!(wall.read(at(2), 1_002 * SECOND, true), 1_002 * SECOND);
        // Another one, which lives in another century.
        wall.hold();
        assert_eq!(wall.read(at(10), 77 * SECOND, false), 1_010 * SECOND);
        // Its audio is half a second behind its video at the time of the report, and stays so.
        assert_eq!(
            wall.read(at(10), 77 * SECOND - SECOND / 4, true),
            1_010 * SECOND - SECOND / 4
        );
        assert_eq!(wall.read(at(12), 79 * SECOND, true), 1_012 * SECOND);
    }

    #[test]
    fn the_first_publisher_tells_its_own_clock_after_what_was_assumed() {
        let (mut wall, start) = (WallClock::default(), Instant::now());
        wall.hold(); // there was nothing before it
        assert_eq!(wall.read(start, 5 * SECOND, false), 5 * SECOND);
        assert_eq!(wall.read(start, 9_000 * SECOND, true), 9_000 * SECOND);
        // It is set.
        assert_eq!(wall.read(start, 77 * SECOND, true), 9_000 * SECOND);
    }

    #[test]
    fn drift_is_followed() {
        let (mut wall, start) = (WallClock::default(), Instant::now());
        wall.read(start, 5 * SECOND, true);
        wall.hold();
        let mut ntp = 5 * SECOND;
        for step in 0..1_000_u64 {
            let now = start + Duration::from_secs(2 * step);
            assert_eq!(wall.read(now, ntp, true), ntp);
            ntp += 2 * SECOND + SECOND / 100;
        }
    }
}
