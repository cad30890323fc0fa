//! Padding for players that only tell a bitrate. What they allow grows by 8 % a second at most, and no further
//! than what they get: so that is raised in steps, each for as long as they need to object.

/// The time between two portions of padding, in microseconds, and what a late one makes up for.
const INTERVAL: i64 = 20_000;
const LATEST: i64 = 50_000;

/// How long a step lasts at least, in microseconds, and how many quarters of it the next one has.
const STEP: i64 = 400_000;
const NEXT: u64 = 5;

/// What is allowed must begin to grow within so long of the first step, or filling was of no use.
const PATIENCE: i64 = 2_000_000;

/// What was proven counts for so long after what is allowed has grown last.
const LULL: i64 = 2_500_000;

/// Less than this share, in percent, is an objection.
const SUNK: u64 = 97;

/// The pause after a step that failed, and the longest, in microseconds.
const FIRST_BACKOFF: i64 = 1_000_000;
const LONGEST_BACKOFF: i64 = 4_000_000;

/// What is sent beyond media, and what that proves. Times are in microseconds, bitrates in bit/s.
#[derive(Debug)]
pub(super) struct Filler {
    step: Option<Step>,
    /// What was sent while the player went on to allow more; 0 for nothing beyond what it allows.
    proven: u64,
    /// The newest that it allows, and when that grew last.
    allowed: u64,
    grew: i64,
    not_before: i64,
    backoff: i64,
    pub(super) begun: u64,
    pub(super) failed: u64,
    /// All that was sent, in bytes.
    pub(super) padding: u64,
}

#[derive(Debug)]
struct Step {
    /// Media and padding together.
    target: u64,
    since: i64,
    /// When padding was reckoned last, and what is left of it, in bytes: less than none after a packet that was
    /// larger than what was due.
    paid: i64,
    credit: i64,
}

impl Default for Filler {
    fn default() -> Self {
        Self {
            step: None,
            proven: 0,
            allowed: 0,
            grew: 0,
            not_before: 0,
            backoff: FIRST_BACKOFF,
            begun: 0,
            failed: 0,
            padding: 0,
        }
    }
}

impl Filler {
    /// What passes beyond what the player allows, in bit/s.
    pub(super) fn proven(&self) -> u64 {
        self.proven
    }

    /// The player allows so much now.
    pub(super) fn handle_allowed(&mut self, now: i64, allowed: u64) {
        let before = std::mem::replace(&mut self.allowed, allowed);
        let grows = allowed > before;
        if grows {
            self.grew = now;
        }
        let lulls = self.proven > allowed && now - self.grew > LULL;
        if allowed.saturating_mul(100) < before.saturating_mul(SUNK) || lulls {
            self.object(now);
        }
        let Some(step) = &mut self.step else {
            return;
        };
        let time = now - step.since;
        if time < STEP {
            return;
        }
        if grows {
            self.proven = self.proven.max(step.target);
            step.target = (step.target.max(allowed) / 4).saturating_mul(NEXT);
            step.since = now;
        } else if step.target > allowed || time >= PATIENCE {
            // A limit that stays what it is may be meant as one.
            self.object(now);
        }
    }

    /// Nothing speaks for more than what the player allows: no more than that for a while.
    pub(super) fn object(&mut self, now: i64) {
        self.proven = 0;
        if self.step.take().is_some() {
            self.failed += 1;
            self.not_before = now + self.backoff;
            self.backoff = (2 * self.backoff).min(LONGEST_BACKOFF);
        }
        self.not_before = self.not_before.max(now + FIRST_BACKOFF);
    }

    /// More than is allowed is needed: begins, where nothing was in vain just now.
    pub(super) fn strive(&mut self, now: i64) {
        if self.step.is_none() && now >= self.not_before {
            self.begun += 1;
            self.step = Some(Step {
                target: self.allowed,
                since: now,
                paid: now,
                credit: 0,
            });
        }
    }

    /// Nothing more is needed.
    pub(super) fn finish(&mut self) {
        if self.step.take().is_some() {
            self.backoff = FIRST_BACKOFF;
        }
    }

    /// When to look next.
    pub(super) fn poll_timeout(&self) -> i64 {
        let step = self.step.as_ref();
        step.map_or(self.not_before, |step| step.paid + INTERVAL)
    }

    /// The bytes to send now beside `media` bit/s, for no more than `needed` in all.
    pub(super) fn due(&mut self, now: i64, media: u64, needed: u64) -> u64 {
        let Some(step) = self.step.as_mut() else {
            return 0;
        };
        if now < step.paid + INTERVAL {
            return 0;
        }
        let time = (now - step.paid).min(LATEST);
        step.paid = now;
        let bytes = step.target.min(needed).saturating_sub(media) / 8 * time as u64 / 1_000_000;
        step.credit = step.credit.min(0) + bytes as i64;
        step.credit.max(0) as u64
    }

    /// So much was sent.
    pub(super) fn count(&mut self, bytes: u64) {
        self.padding += bytes;
        if let Some(step) = &mut self.step {
            step.credit -= bytes as i64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A filler that has begun with 800 kbit/s.
    fn filler() -> Filler {
        let mut filler = Filler::default();
        filler.handle_allowed(0, 800_000);
        filler.strive(0);
        filler
    }

    #[test]
    fn what_grows_while_more_is_sent_is_proven_in_steps() {
        let mut filler = filler();
        let mut allowed = 800_000;
        let proven = [0, 800_000, 800_000, 1_025_000, 1_025_000, 1_281_250];
        for (tick, proven) in (1..).zip(proven) {
            allowed += 10_000;
            filler.handle_allowed(200_000 * tick, allowed);
            assert_eq!(filler.proven(), proven, "{tick}");
        }
        assert_eq!((filler.begun, filler.failed), (1, 0));
    }

    #[test]
    fn padding_is_what_a_step_has_beyond_media() {
        let mut filler = filler();
        assert_eq!(filler.due(20_000, 400_000, 9_000_000), 1_000);
        assert_eq!(filler.due(30_000, 400_000, 9_000_000), 0, "too soon");
        filler.count(1_200);
        assert_eq!(
            filler.due(40_000, 400_000, 600_000),
            300,
            "no more is needed, and some has gone"
        );
        assert_eq!(
            filler.due(900_000, 400_000, 9_000_000),
            2_500,
            "not all at once"
        );
    }

    #[test]
    fn a_limit_that_sinks_ends_it_at_once() {
        let mut filler = filler();
        filler.handle_allowed(400_000, 810_000);
        assert_eq!(filler.proven(), 800_000);
        filler.handle_allowed(500_000, 700_000);
        assert_eq!((filler.proven(), filler.failed), (0, 1));
        assert_eq!(filler.due(600_000, 0, 9_000_000), 0);
    }

    #[test]
    fn a_limit_that_stays_is_not_passed() {
        let mut filler = filler();
        filler.handle_allowed(PATIENCE - 1, 800_000);
        assert_eq!(filler.failed, 0);
        filler.handle_allowed(PATIENCE, 800_000);
        assert_eq!((filler.proven(), filler.failed), (0, 1));
        // Nor by the step after one that seemed to help.
        let now = filler.poll_timeout();
        filler.strive(now);
        filler.handle_allowed(now + STEP, 801_000);
        filler.handle_allowed(now + 2 * STEP, 801_000);
        assert_eq!((filler.proven(), filler.failed), (0, 2));
    }

    #[test]
    fn what_is_proven_counts_while_the_limit_follows() {
        let mut filler = filler();
        filler.handle_allowed(400_000, 810_000);
        filler.handle_allowed(800_000, 820_000);
        assert_eq!(filler.proven(), 1_012_500);
        filler.finish();
        filler.handle_allowed(800_000 + LULL, 820_000);
        assert_eq!(filler.proven(), 1_012_500);
        filler.handle_allowed(800_001 + LULL, 820_000);
        assert_eq!(filler.proven(), 0);
    }

    #[test]
    fn it_tries_again_later_each_time() {
        let mut filler = filler();
        let mut now = 0;
        for expected in [1, 2, 4, 4] {
            filler.strive(now);
            filler.object(now);
            assert_eq!(filler.poll_timeout(), now + expected * 1_000_000);
            filler.strive(now + 999_999);
            assert!(filler.step.is_none());
            now = filler.poll_timeout();
        }
    }
}
