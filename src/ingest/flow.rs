//! Whether the media of a publisher comes, or has stalled.
//!
//! Of all tracks together: a muted microphone or a picture that stands still is no stall, as long as
//! something comes.

use std::time::{Duration, Instant};

/// Watches one publisher, from the time when it has connected.
#[derive(Debug)]
pub struct Flow {
    stall_after: Duration,
    state: State,
}

#[derive(Debug)]
enum State {
    Idle,
    Flowing { last: Instant },
    Stalled,
}

impl Flow {
    /// One that is not connected yet. Without media for `stall_after` it has stalled.
    pub fn new(stall_after: Duration) -> Self {
        let state = State::Idle;
        Self { stall_after, state }
    }

    /// Media may come from now on.
    pub fn handle_connected(&mut self, now: Instant) {
        self.state = State::Flowing { last: now };
    }

    /// A packet of media has come. Returns whether it is the first after a stall.
    pub fn handle_media(&mut self, now: Instant) -> bool {
        let before = std::mem::replace(&mut self.state, State::Flowing { last: now });
        matches!(before, State::Stalled)
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Flowing { last } => Some(last + self.stall_after),
            State::Idle | State::Stalled => None,
        }
    }

    /// Returns whether the media has stalled just now.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        let stalls = self.poll_timeout().is_some_and(|due| due <= now);
        if stalls {
            self.state = State::Stalled;
        }
        stalls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_millis(500);

    #[test]
    fn silence_is_told_once_and_its_end_once() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut flow = Flow::new(STALL);
        assert_eq!(flow.poll_timeout(), None, "nothing is expected yet");
        flow.handle_connected(at(0));
        assert!(!flow.handle_media(at(100)));
        assert_eq!(flow.poll_timeout(), Some(at(600)));
        assert!(!flow.handle_timeout(at(599)));
        assert!(flow.handle_timeout(at(600)));
        assert!(!flow.handle_timeout(at(5_000)));
        assert_eq!(flow.poll_timeout(), None);
        assert!(flow.handle_media(at(6_000)));
        assert!(!flow.handle_media(at(6_001)));
    }

    #[test]
    fn one_that_connects_and_sends_nothing_stalls() {
        let start = Instant::now();
        let mut flow = Flow::new(STALL);
        flow.handle_connected(start);
        assert!(flow.handle_timeout(start + STALL));
    }
}
