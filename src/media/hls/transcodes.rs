//! How many streams are encoded anew at once, for each needs 0.1 to 0.3 of a core at 720p30.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of streams that may be encoded anew. Clones count together.
#[derive(Clone, Debug)]
pub struct Transcodes {
    limit: usize,
    running: Arc<AtomicUsize>,
}

impl Transcodes {
    /// At most so many; with 0 none is.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            running: Arc::default(),
        }
    }

    /// Whether any stream is.
    pub fn any(&self) -> bool {
        self.limit > 0
    }

    /// How many there are now.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// How many there may be.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// The right to encode one stream, if there is one left.
    pub(super) fn take(&self) -> Option<Permit> {
        let taken = self
            .running
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |running| {
                Some(running + 1).filter(|running| *running <= self.limit)
            });
        taken.ok().map(|_| Permit(Arc::clone(&self.running)))
    }
}

/// A right that goes back when it is dropped.
#[derive(Debug)]
pub(super) struct Permit(Arc<AtomicUsize>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_that_is_given_back_can_be_taken_again() {
        let transcodes = Transcodes::new(1);
        let permit = transcodes.take().unwrap();
        assert!(transcodes.clone().take().is_none());
        drop(permit);
        assert_eq!(transcodes.running(), 0);
        assert!(transcodes.take().is_some());
        assert!(Transcodes::new(0).take().is_none());
    }
}
