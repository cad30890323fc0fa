//! Deadlines of sessions: the earliest first, changed lazily.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use super::SessionKey;

/// A heap of deadlines. A session has one that counts, the one it remembers itself; an entry that
/// is not it is passed over when its time comes, which is cheaper than finding it in the heap.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, SessionKey)>>,
}

impl Timers {
    /// Sees to it that `session` is woken at `deadline`. `scheduled` is the deadline it has in the
    /// heap; a later one is not entered, because the earlier one will lead to it.
    pub(super) fn schedule(
        &mut self,
        session: SessionKey,
        scheduled: &mut Option<Instant>,
        deadline: Option<Instant>,
    ) {
        let Some(deadline) = deadline else { return };
        if scheduled.is_none_or(|at| deadline < at) {
            *scheduled = Some(deadline);
            self.heap.push(Reverse((deadline, session)));
        }
    }

    /// When [`Self::pop`] has something next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// A session whose deadline has come, with that deadline.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Instant, SessionKey)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_earlier_deadline_replaces_a_later_one_and_not_the_other_way() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let (mut timers, mut scheduled) = (Timers::default(), None);
        timers.schedule(SessionKey(1), &mut scheduled, Some(at(50)));
        timers.schedule(SessionKey(1), &mut scheduled, Some(at(80)));
        timers.schedule(SessionKey(1), &mut scheduled, Some(at(20)));
        timers.schedule(SessionKey(1), &mut scheduled, None);
        assert_eq!(scheduled, Some(at(20)));
        assert_eq!(timers.pop(at(10)), None);
        assert_eq!(timers.pop(at(60)), Some((at(20), SessionKey(1))));
        assert_eq!(timers.pop(at(60)), Some((at(50), SessionKey(1))));
        assert_eq!(timers.pop(at(60)), None);
    }
}
