//! What playlists may promise: measured first, then kept.

use std::time::Duration;

use super::Segmenter;

impl Segmenter {
    /// Fixes the part target once pictures of such a part are known: as many as make a part of at least
    /// the length that was set, so that parts of a steady rate are all as long as they may be.
    pub(super) fn settle_part_target(&mut self) {
        let Some(epoch) = self.epoch.as_ref().filter(|_| !self.settled) else {
            return;
        };
        let Some(line) = self.line(epoch.leader) else {
            return;
        };
        let waiting = line.queue.iter().take(epoch.placed);
        let steps: Vec<_> = waiting.map(|sample| sample.dts).collect();
        let part = self.settings.part.as_nanos() as i64;
        let [first, .., last] = steps[..] else {
            self.settled = epoch.closing;
            return;
        };
        let frame = ((last - first) / (steps.len() as i64 - 1)).max(1);
        if last - first + frame < part && !epoch.closing {
            return;
        }
        let pictures = (part - part / 100 + frame - 1) / frame;
        let target = (pictures * frame).clamp(part, part.max(LONGEST_PART));
        // Whole milliseconds, so that a playlist says just this.
        let target = (target + 999_999) / 1_000_000;
        self.terms.part_target = Duration::from_millis(target as u64);
        self.settled = true;
    }

    /// Learns what playlists can promise from the first segments.
    pub(super) fn measure(&mut self, length: i64) {
        if self.terms.target_duration.is_some() {
            return;
        }
        self.longest = self.longest.max(length);
        self.measured.0 += 1;
        self.measured.1 += length;
        if self.measured.0 >= 3 || (self.measured.0 >= 2 && self.measured.1 >= LONGEST) {
            let longest = (self.longest + MARGIN + SECOND / 2) / SECOND;
            let target = self.settings.target.as_nanos() as i64;
            let target = (target + SECOND - 1) / SECOND;
            self.terms.target_duration = Some(longest.max(target) as u64);
        }
    }

    /// How long a segment may be (ns).
    pub(super) fn limit(&self) -> i64 {
        match self.terms.target_duration {
            Some(target) => target as i64 * SECOND + SECOND / 2 - MARGIN - 1,
            None => LONGEST,
        }
    }
}

/// The part target is never more, unless it is set so.
const LONGEST_PART: i64 = 2_000_000_000;
/// A segment without a further keyframe ends here while nothing is promised yet.
const LONGEST: i64 = 10_000_000_000;
/// By how much the sound of a segment may be longer than its pictures: a frame of Opus.
const MARGIN: i64 = 70_000_000;
const SECOND: i64 = 1_000_000_000;
