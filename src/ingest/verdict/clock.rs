//! A layer's sender reports: whether they come, and whether the media's clock keeps up with them.

use std::time::{Duration, Instant};

use super::report::Defect;

/// Without a report for so long there are none.
const SILENCE: Duration = Duration::from_secs(10);
/// Reports are compared over at least this time: they are off by a millisecond or two each.
const BASELINE: Duration = Duration::from_secs(30);
/// More than this many parts per million are no rounding: a second in an hour.
const DRIFT: i32 = 280;
/// A difference beyond this is a step of the wall clock.
const STEP: i32 = 20_000;

#[derive(Debug, Default)]
pub(super) struct Clock {
    base: Option<Point>,
    last: Option<Instant>,
    pub(super) reports: u64,
    pub(super) drift: Option<i32>,
}

/// One instant on both clocks.
#[derive(Clone, Copy, Debug)]
struct Point {
    ntp: u64,
    timestamp: u32,
}

impl Clock {
    /// A sender report of the source that sends now. `timestamp` counts units of `clock_rate`.
    pub(super) fn handle_report(
        &mut self,
        now: Instant,
        ntp: u64,
        timestamp: u32,
        clock_rate: u32,
    ) {
        self.reports += 1;
        self.last = Some(now);
        let point = Point { ntp, timestamp };
        let base = *self.base.get_or_insert(point);
        // 32.32 fixed point seconds; a wall clock that went back wraps and is a step.
        let wall = ntp.wrapping_sub(base.ntp) as f64 / 2f64.powi(32);
        if wall < BASELINE.as_secs_f64() {
            return;
        }
        let media = f64::from(timestamp.wrapping_sub(base.timestamp)) / f64::from(clock_rate);
        let ppm = ((media / wall - 1.0) * 1e6) as i32;
        if ppm.abs() > STEP {
            (self.base, self.drift) = (Some(point), None);
        } else {
            self.drift = Some(ppm);
        }
        // The timestamp must not wrap within the time that is compared: after 13 hours at 90 kHz.
        if wall > 3_600.0 {
            self.base = Some(point);
        }
    }

    /// Another source sends from now on.
    pub(super) fn restart(&mut self) {
        (self.base, self.drift) = (None, None);
    }

    /// What is wrong, of a layer whose media comes since `began`.
    pub(super) fn judge(&self, now: Instant, began: Instant, found: &mut Vec<Defect>) {
        if self.last.unwrap_or(began).max(began) + SILENCE <= now {
            found.push(Defect::NoSenderReports);
        }
        if let Some(ppm) = self.drift
            && ppm.abs() > DRIFT
        {
            found.push(Defect::ClockDrift { ppm });
        }
    }
}
