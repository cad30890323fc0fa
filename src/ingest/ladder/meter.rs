//! The bitrate of a layer.

use std::collections::VecDeque;
use std::time::Instant;

use super::{LOOK, WINDOW};

/// A bitrate, from a counter of bytes that only grows.
#[derive(Debug)]
pub(super) struct Meter {
    /// What the counter said, oldest first.
    marks: VecDeque<(Instant, u64)>,
}

impl Meter {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            marks: VecDeque::from([(now, 0)]),
        }
    }

    pub(super) fn mark(&mut self, now: Instant, bytes: u64) {
        self.marks.push_back((now, bytes));
        // The oldest that is kept is a window old, or as old as there is.
        while self.marks.get(1).is_some_and(|(at, _)| *at + WINDOW <= now) {
            self.marks.pop_front();
        }
    }

    /// In bit/s.
    pub(super) fn bitrate(&self) -> u64 {
        let (Some((from, before)), Some((to, now))) = (self.marks.front(), self.marks.back())
        else {
            return 0;
        };
        let micros = to.saturating_duration_since(*from).as_micros() as u64;
        (now.saturating_sub(*before) * 8_000_000)
            .checked_div(micros)
            .unwrap_or(0)
    }

    /// The window is full, of media only.
    pub(super) fn is_steady(&self) -> bool {
        let mut steps = self.marks.iter().zip(self.marks.iter().skip(1));
        self.marks.len() > (WINDOW.as_millis() / LOOK.as_millis()) as usize / 2
            && steps
                .next()
                .is_some_and(|((_, before), (_, now))| now > before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meter_forgets_what_is_older_than_its_window() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        assert_eq!(meter.bitrate(), 0);
        for tick in 1..=30u32 {
            // 1 Mbit/s for two seconds, then nothing.
            meter.mark(start + LOOK * tick, 12_500 * u64::from(tick.min(20)));
            let expected = if tick <= 20 {
                1_000_000
            } else {
                100_000 * u64::from(30 - tick)
            };
            assert_eq!(meter.bitrate(), expected, "{tick}");
        }
        assert!(meter.marks.len() <= 12);
    }
}
