//! When the publisher is asked for a keyframe.

use std::time::{Duration, Instant};

use crate::stream::TrackId;

/// Requests for keyframes: not too many, and repeated while none comes.
pub(super) struct Keyframes {
    ask: Box<dyn Fn(TrackId) + Send + Sync>,
    track: Option<TrackId>,
    /// Wanted, and not come yet.
    open: bool,
    last: Option<Instant>,
    unanswered: u32,
}

impl Keyframes {
    pub(super) fn new(ask: Box<dyn Fn(TrackId) + Send + Sync>, track: Option<TrackId>) -> Self {
        Self {
            ask,
            track,
            open: false,
            last: None,
            unanswered: 0,
        }
    }

    pub(super) fn want(&mut self) {
        self.open = true;
    }

    pub(super) fn came(&mut self) {
        (self.open, self.unanswered) = (false, 0);
    }

    /// Asks when it is time to; true once, when nobody seems to answer.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        let pause = if self.unanswered == 0 {
            KEYFRAME_PAUSE
        } else {
            KEYFRAME_REPEAT
        };
        let early = self
            .last
            .is_some_and(|last| now.saturating_duration_since(last) < pause);
        let Some(track) = self.track.filter(|_| self.open && !early) else {
            return false;
        };
        (self.ask)(track);
        self.last = Some(now);
        self.unanswered += 1;
        self.unanswered == IGNORED
    }
}

/// At most two requests a second.
const KEYFRAME_PAUSE: Duration = Duration::from_millis(500);
/// Time for an answer.
const KEYFRAME_REPEAT: Duration = Duration::from_secs(1);
/// So many requests without an answer are a publisher that does not answer.
const IGNORED: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn requests_are_repeated_but_few() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let ask = Box::new(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let (mut keyframes, start) = (Keyframes::new(ask, Some(TrackId(3))), Instant::now());
        keyframes.want();
        let at = |millis| start + Duration::from_millis(millis);
        let warnings = (0..60)
            .filter(|step| keyframes.handle_timeout(at(step * 100)))
            .count();
        assert_eq!((asked.load(Ordering::Relaxed), warnings), (6, 1));
        keyframes.came();
        assert!(!keyframes.handle_timeout(at(9_000)));
        keyframes.want();
        keyframes.handle_timeout(at(9_100));
        keyframes.want();
        keyframes.handle_timeout(at(9_200));
        assert_eq!(asked.load(Ordering::Relaxed), 7);
    }
}
