//! What playlists may promise: measured first, then kept.

use std::time::Duration;

use super::Segmenter;

impl Segmenter {
    /// Fixes the part target once pictures of such a part are known: as many as make a part of at least
    /// the length that was set, so that a whole number of a steady rate fills one.
    pub(super) fn settle_part_target(&mut self) {
        let Some(epoch) = self.epoch.as_ref().filter(|_| !self.settled) else {
            return;
        };
        let Some(line) = self.line(epoch.leader) else {
            return;
        };
        let waiting = line.queue.iter().take(epoch.placed);
        let times: Vec<_> = waiting.map(|sample| sample.dts).collect();
        let mut steps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let part = self.settings.part.as_nanos() as i64;
        // An encoder that starts makes pictures at odd times, so a few must be known, and the middle counts.
        steps.sort_unstable();
        let Some(frame) = steps.get(steps.len() / 2).map(|frame| (*frame).max(1)) else {
            self.settled = epoch.closing;
            return;
        };
        let known = steps.iter().sum::<i64>();
        let enough = known + frame >= part && steps.len() >= STEPS || known >= LONGEST_WAIT;
        if !enough && !epoch.closing {
            return;
        }
        let pictures = (part - part / 100 + frame - 1) / frame;
        let target = (pictures * frame).clamp(part, part + part / 2);
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
            let longest = (self.longest + self.margin() + SECOND / 2) / SECOND;
            let target = self.settings.target.as_nanos() as i64;
            let target = (target + SECOND - 1) / SECOND;
            self.terms.target_duration = Some(longest.max(target) as u64);
        }
    }

    /// How long a segment may be (ns).
    pub(super) fn limit(&self) -> i64 {
        match self.terms.target_duration {
            Some(target) => target as i64 * SECOND + SECOND / 2 - self.margin() - 1,
            None => LONGEST,
        }
    }

    /// By how much the sound of a segment may be longer than its pictures (ns): the frame that is heard at the cut is
    /// whole.
    fn margin(&self) -> i64 {
        let frame = self.longest_frame.min(LONGEST_FRAME) + UNFILLED;
        frame.max(LEAST_MARGIN)
    }
}

/// So many pictures after the first tell their rate, or those of so long (ns).
const STEPS: usize = 5;
const LONGEST_WAIT: i64 = 1_500_000_000;
/// A segment without a further keyframe ends here while nothing is promised yet.
const LONGEST: i64 = 10_000_000_000;
/// Frames of Opus are no longer (ns), and those of AAC are shorter.
const LONGEST_FRAME: i64 = 120_000_000;
/// A frame is taken for longer by what is missing after it, where that is less than a frame of silence; and cuts are rounded.
const UNFILLED: i64 = 30_000_000;
/// Also for the frames of most publishers, before there are any.
const LEAST_MARGIN: i64 = 70_000_000;
const SECOND: i64 = 1_000_000_000;
