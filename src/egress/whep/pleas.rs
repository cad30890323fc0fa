//! How often a viewer may make us ask the publisher for a keyframe.

use std::time::{Duration, Instant};

/// One plea is granted every so often, in the long run.
const INTERVAL: Duration = Duration::from_secs(3);

/// So many are granted at once: a picture that is lost again and again is a bad moment, not a habit.
const BURST: u32 = 3;

/// Bounds what one viewer costs all the others: a keyframe goes to each of them.
#[derive(Debug, Default)]
pub(super) struct Pleas {
    /// When as many as [`BURST`] may come again; none before the first.
    full_at: Option<Instant>,
}

impl Pleas {
    /// Takes a plea, if it may be granted.
    pub(super) fn grant(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.map_or(now, |at| at.max(now));
        let granted = full_at <= now + INTERVAL * (BURST - 1);
        if granted {
            self.full_at = Some(full_at + INTERVAL);
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_pleas_are_granted_at_once_and_then_one_each_interval() {
        let start = Instant::now();
        let mut pleas = Pleas::default();
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
}
