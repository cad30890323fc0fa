//! When packets arrived, by the wall clock.

use std::time::{Instant, SystemTime};

/// Turns an instant of arrival into wall-clock time.
#[derive(Debug)]
pub(super) struct ArrivalClock {
    instant: Instant,
    unix: i64,
}

impl ArrivalClock {
    pub(super) fn start() -> Self {
        let unix = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            instant: Instant::now(),
            unix: unix.as_nanos() as i64,
        }
    }

    /// Nanoseconds since 1970.
    pub(super) fn unix(&self, instant: Instant) -> i64 {
        let after = instant.saturating_duration_since(self.instant).as_nanos() as i64;
        let before = self.instant.saturating_duration_since(instant).as_nanos() as i64;
        self.unix + after - before
    }
}
