//! How often a viewer may make us ask the publisher for a keyframe.

use std::time::{Duration, Instant};

use crate::stream::LayerId;

/// So many are granted at once: a picture that is lost again and again is a bad moment, not a habit.
const BURST: u32 = 3;

/// Bounds what one viewer costs all the others: a keyframe goes to each of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pleas {
    /// One is granted every so often, in the long run.
    interval: Duration,
    /// When as many as [`BURST`] may come again; none before the first.
    full_at: Option<Instant>,
    /// What was lost up to this number of ours needs no other keyframe than the one that was asked for.
    covered: Option<u64>,
    /// The keyframe that the viewer was given again last.
    repeated: Option<(LayerId, u64)>,
}

impl Pleas {
    /// None were made yet.
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            full_at: None,
            covered: None,
            repeated: None,
        }
    }

    /// Takes a plea, if it may be granted.
    pub(super) fn grant(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.map_or(now, |at| at.max(now));
        let granted = full_at <= now + self.interval * (BURST - 1);
        if granted {
            self.full_at = Some(full_at + self.interval);
        }
        granted
    }

    /// Takes it for a plea that packet `own` is missed and can't be sent again, where the packets up to `newest`
    /// were sent. One plea does for all of them: its keyframe comes after.
    pub(super) fn grant_for_loss(&mut self, now: Instant, own: u64, newest: u64) -> bool {
        if self.covered.is_some_and(|covered| own <= covered) || !self.grant(now) {
            return false;
        }
        self.covered = Some(newest);
        true
    }

    /// Whether this keyframe was not given again before. If that did not help, nor will the next time.
    pub(super) fn repeats(&mut self, keyframe: (LayerId, u64)) -> bool {
        self.repeated.replace(keyframe) != Some(keyframe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(3);

    #[test]
    fn some_pleas_are_granted_at_once_and_then_one_each_interval() {
        let start = Instant::now();
        let mut pleas = Pleas::new(INTERVAL);
        let granted = |pleas: &mut Pleas, millis: u64| {
            let now = start + Duration::from_millis(millis);
            (0..5).filter(|_| pleas.grant(now)).count()
        };
        assert_eq!(granted(&mut pleas, 0), 3);
        assert_eq!(granted(&mut pleas, 2_999), 0);
        assert_eq!(granted(&mut pleas, 3_000), 1);
        assert_eq!(granted(&mut pleas, 9_000), 2);
        assert_eq!(granted(&mut pleas, 100_000), 3);
    }

    #[test]
    fn losses_before_a_keyframe_that_was_asked_for_are_one_plea() {
        let now = Instant::now();
        let mut pleas = Pleas::new(INTERVAL);
        assert!(pleas.grant_for_loss(now, 10, 20));
        for own in [10, 11, 9, 20] {
            assert!(!pleas.grant_for_loss(now, own, 30));
        }
        assert!(pleas.grant_for_loss(now, 21, 30));
        assert!(pleas.grant_for_loss(now, 31, 40));
        // The bound holds, and what was refused is not covered.
        assert!(!pleas.grant_for_loss(now, 41, 50));
        assert!(pleas.grant_for_loss(now + INTERVAL, 41, 50));
    }
}
