//! One rendition on its way into parts: samples that wait for their place, and the part that is open.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::epoch::Epoch;
use super::media::{Begin, Init, Part, Progress, Sample, Terms, fragment};
use super::pace;
use crate::egress::hls::fmp4::BoxError;
use crate::egress::hls::rendition::RenditionId;

/// The samples of one rendition.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) id: RenditionId,
    /// Those in no part yet, oldest first.
    pub(super) queue: VecDeque<Sample>,
    /// Its place in the epoch, while it takes part.
    pub(super) joined: Option<Joined>,
    /// Where its newest sample begins, in its media time.
    pub(super) newest: Option<i64>,
    /// The length of its newest sample of known length.
    pub(super) frame: i64,
    /// No more samples come for now: nobody wants it.
    pub(super) leaving: bool,
    /// It is made of the leading rendition.
    pub(super) is_derived: bool,
    /// How many samples before had the same length as the one after them.
    steady: u32,
    /// The first segment that it may be in again: one that it left early is not followed by the next.
    pub(super) from: u64,
    fragments: u32,
}

/// The place of a rendition in an epoch.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) init: Arc<Init>,
    /// The segment that it is in.
    pub(super) segment: u64,
    /// The newest instant of any rendition when it joined (wall-clock time).
    pub(super) since: i64,
    /// Where the samples that it took end, in its media time.
    pub(super) end: i64,
    open: Vec<Sample>,
    /// Where its segment begins, in its media time.
    pub(super) begun: i64,
    /// Where the open part begins.
    pub(super) start: i64,
    /// Parts of this segment that are out.
    pub(super) parts: usize,
}

impl Line {
    pub(super) fn new(id: RenditionId) -> Self {
        Self {
            id,
            queue: VecDeque::new(),
            joined: None,
            newest: None,
            frame: DEFAULT_FRAME,
            leaving: false,
            is_derived: false,
            steady: 0,
            from: 0,
            fragments: 0,
        }
    }

    /// Takes part from `segment` on; `start` is where, in its media time, and `since` when.
    pub(super) fn join(&mut self, init: Arc<Init>, segment: u64, start: i64, since: i64) {
        self.leaving = false;
        self.joined = Some(Joined {
            init,
            segment,
            since,
            end: start,
            open: Vec::new(),
            begun: start,
            start,
            parts: 0,
        });
    }

    /// Takes part no more, in the middle of the segment before.
    pub(super) fn leave(&mut self) {
        if let Some(joined) = self.joined.take() {
            self.from = joined.segment + 1;
        }
    }

    /// Forgets what waits and its place.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.joined = None;
        self.newest = None;
    }

    /// No part of it is out.
    pub(super) fn is_fresh(&self) -> bool {
        self.joined.as_ref().is_none_or(|joined| joined.parts == 0)
    }

    /// Puts what is in the open part back in the queue, and leaves; how many samples that were.
    pub(super) fn take_back(&mut self) -> usize {
        let Some(joined) = self.joined.take() else {
            return 0;
        };
        let count = joined.open.len();
        for sample in joined.open.into_iter().rev() {
            self.queue.push_front(sample);
        }
        count
    }

    /// How long the open part is.
    pub(super) fn open_duration(&self) -> i64 {
        self.joined
            .as_ref()
            .map_or(0, |joined| joined.end - joined.start)
    }

    /// How many samples the open part has.
    pub(super) fn open_samples(&self) -> usize {
        self.joined.as_ref().map_or(0, |joined| joined.open.len())
    }

    /// Puts a sample into the open part; the part goes out before it if both are too long, and with it
    /// if it is long enough and `followed`: another sample of the same segment is known.
    pub(super) fn take(
        &mut self,
        sample: Sample,
        length: i64,
        followed: bool,
        epoch: &Epoch,
        out: &mut Output<'_>,
    ) -> Result<(), BoxError> {
        let target = out.part_target();
        let goal = self.goal(epoch, target);
        let full = |duration: i64, next: i64| duration + next > goal + ROUNDING;
        let (before, gap) = (self.open_duration(), sample.dts - self.end());
        let enough = |duration: i64| duration >= pace::least(target);
        let ready = enough(before) || gap > LONGEST_GAP;
        if self.open_samples() > 0 && full(before + gap.max(0), length) && ready {
            self.emit(false, epoch, out)?;
        }
        let Some(joined) = &mut self.joined else {
            return Ok(());
        };
        if joined.open.is_empty() && gap > LONGEST_GAP {
            joined.start = sample.dts;
        }
        joined.end = sample.dts + length;
        joined.open.push(sample);
        // A picture that lasted long says nothing of the next.
        let likely = length.min(self.frame);
        let same = length.abs_diff(self.frame) < SAME_LENGTH;
        self.steady = if same {
            self.steady.saturating_add(1)
        } else {
            0
        };
        self.frame = length;
        let duration = self.open_duration();
        // The end of a sample that is too long is told by the next part, so there is one.
        let too_long = duration > target + ROUNDING;
        if too_long || (followed && enough(duration) && full(duration, likely)) {
            self.emit(false, epoch, out)?;
        }
        Ok(())
    }

    /// Whether the next sample makes a whole part of the open one, if it is as long as those before.
    pub(super) fn fills_part(&self, epoch: &Epoch, out: &Output<'_>) -> bool {
        let target = out.part_target();
        let with_next = self.open_duration() + self.frame;
        let full = with_next + self.frame > self.goal(epoch, target) + ROUNDING;
        let enough = with_next >= pace::least(target) && with_next <= target + ROUNDING;
        full && enough && self.steady >= STEADY
    }

    /// Where the samples that it took end, in its media time.
    pub(super) fn end(&self) -> i64 {
        self.joined.as_ref().map_or(0, |joined| joined.end)
    }

    /// Ends its segment: what is open goes out as the last part. The next segment is the following one.
    pub(super) fn end_segment(
        &mut self,
        epoch: &Epoch,
        out: &mut Output<'_>,
    ) -> Result<(), BoxError> {
        let begun = |joined: &Joined| joined.parts > 0 || !joined.open.is_empty();
        if self.joined.as_ref().is_some_and(begun) {
            self.emit(true, epoch, out)?;
        }
        if let Some(joined) = &mut self.joined {
            joined.segment += 1;
            joined.parts = 0;
            joined.start = joined.end;
            joined.begun = joined.end;
        }
        Ok(())
    }

    /// Lets the open part go. Of a sample that makes it longer than a part may be, the rest of the time
    /// belongs to the next part; that has no samples where the rest is as long as a part itself.
    fn emit(&mut self, last: bool, epoch: &Epoch, out: &mut Output<'_>) -> Result<(), BoxError> {
        let (id, offset) = (self.id, epoch.offset(self.id));
        let Some(joined) = &mut self.joined else {
            return Ok(());
        };
        let start = joined.start + epoch.wall(id);
        let wall = epoch.span(joined.segment).map_or(start, |span| span.start);
        let segment_begin = Begin {
            wall,
            media: wall - epoch.zero,
        };
        let target = out.part_target();
        let samples = std::mem::take(&mut joined.open);
        let mut samples = samples.as_slice();
        loop {
            self.fragments = self.fragments.wrapping_add(1);
            let rest = joined.end - joined.start - target;
            let stop = if rest > ROUNDING {
                joined.start + target
            } else {
                joined.end
            };
            let begin = samples.first().map_or(joined.end, |first| first.pts);
            let body = fragment(&joined.init, samples, joined.end, offset, self.fragments)?;
            let after_first: usize = samples.iter().skip(1).map(|next| next.data.len()).sum();
            out.parts.push_back(Part {
                rendition: id,
                segment: joined.segment,
                discontinuity: epoch.is_first(joined.segment),
                last: last && rest <= ROUNDING,
                closing: epoch.closes_with(joined.segment),
                independent: samples.first().is_some_and(|first| first.keyframe),
                time: begin + epoch.wall(id),
                correction: epoch.correction(joined.segment),
                begin: segment_begin,
                init: Arc::clone(&joined.init),
                first_sample: body.len() - after_first,
                body,
                duration: Duration::from_nanos((stop - joined.start).max(0) as u64),
                samples: samples.len(),
                terms: out.terms,
                progress: Progress {
                    zero: epoch.zero,
                    end: joined.end + offset,
                },
            });
            joined.parts += 1;
            joined.start = stop;
            if rest <= if last { ROUNDING } else { target } {
                return Ok(());
            }
            samples = &[];
        }
    }
}

/// Where parts go.
pub(super) struct Output<'a> {
    pub(super) parts: &'a mut VecDeque<Part>,
    pub(super) terms: Terms,
}

impl Output<'_> {
    /// No part is longer (ns).
    pub(super) fn part_target(&self) -> i64 {
        self.terms.part_target.as_nanos() as i64
    }
}

/// Lengths add up to a part that is longer by so much because timestamps are rounded.
const ROUNDING: i64 = 100_000;
/// So many samples of one length promise more of it.
const STEADY: u32 = 30;
/// Lengths that differ by less (ns) are the same, but for the rounding of timestamps.
const SAME_LENGTH: u64 = 500_000;
/// A longer gap between samples is in no part.
const LONGEST_GAP: i64 = 1_000_000_000;
/// The length of a picture when there is just one.
const DEFAULT_FRAME: i64 = 33_333_333;
