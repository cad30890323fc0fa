//! How long a pipeline that fails is left alone before it is started anew.

use std::time::Duration;

/// Twice as long each time, until one has run for a while.
#[derive(Debug)]
pub(super) struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Pause {
    /// It has failed: the pause until the next start.
    pub(super) fn handle_failure(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST);
        pause
    }

    /// It runs, for so long by now.
    pub(super) fn handle_running(&mut self, time: Duration) {
        if time > STEADY {
            self.0 = FIRST;
        }
    }
}

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// A pipeline that ran for so long has recovered.
const STEADY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_it_runs_steadily() {
        let mut pause = Pause::default();
        let seconds: Vec<_> = (0..7).map(|_| pause.handle_failure().as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30]);
        pause.handle_running(Duration::from_secs(59));
        assert_eq!(pause.handle_failure().as_secs(), 30);
        pause.handle_running(Duration::from_secs(61));
        assert_eq!(pause.handle_failure().as_secs(), 1);
    }
}
