//! A run of segments with the same alignment of the renditions, and where each of them begins and ends.

use std::collections::VecDeque;

use super::media::{Correction, Sample};
use crate::egress::hls::rendition::RenditionId;
use crate::egress::hls::timeline::Walls;

/// A run of segments whose cuts one rendition decides.
#[derive(Debug)]
pub(super) struct Epoch {
    pub(super) walls: Walls,
    /// The rendition that decides.
    pub(super) leader: RenditionId,
    /// Wall-clock time that is time zero in the segments.
    pub(super) zero: i64,
    /// What its dates lack: samples keep their places.
    pub(super) correction: Correction,
    /// Segments that some rendition still works at, in order; the last may have no end yet.
    pub(super) spans: VecDeque<Span>,
    /// The number of its first segment.
    pub(super) first: u64,
    /// No segment follows the last one.
    pub(super) closing: bool,
    /// How many samples in the leader's queue have their segment.
    pub(super) placed: usize,
    /// No sample of the leader that has no segment yet is older (wall-clock time).
    pub(super) frontier: i64,
}

/// One segment of all renditions. Times are wall-clock times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) number: u64,
    pub(super) start: i64,
    /// The same for a leader with pictures: decode time, in its media time.
    pub(super) dts: i64,
    /// [`Correction::since`] when it began: a segment has one date in all renditions.
    pub(super) since: i64,
    /// How long it is likely to be (ns).
    pub(super) expected: i64,
    pub(super) end: Option<End>,
}

/// Where a segment ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) time: i64,
    /// The same for a leader with pictures: decode time, in its media time.
    pub(super) dts: i64,
}

/// Where a sample belongs, seen from a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Here,
    Later,
    Unknown,
}

impl Epoch {
    /// The wall-clock time of media time zero of a rendition.
    pub(super) fn wall(&self, rendition: RenditionId) -> i64 {
        self.walls.get(rendition).unwrap_or(0)
    }

    /// What the date of a segment lacks.
    pub(super) fn correction(&self, segment: u64) -> Correction {
        Correction {
            since: self.span(segment).map_or(0, |span| span.since),
            ..self.correction
        }
    }

    /// Corrects dates by these walls: for all of the epoch while nobody has seen it (`is_promised`), and later by
    /// steps, as players go by the dates of what they have.
    pub(super) fn correct(&mut self, walls: &Walls, is_promised: bool) {
        let pair = self.walls.get(self.leader).zip(walls.get(self.leader));
        let Some((own, known)) = pair else {
            return;
        };
        let lacks = known - own - self.correction.ns();
        match is_promised {
            true => self.correction.since += lacks.clamp(-LARGEST_STEP, LARGEST_STEP),
            false => self.correction.from_start += lacks,
        }
    }

    /// What turns media time of a rendition into time of the segments.
    pub(super) fn offset(&self, rendition: RenditionId) -> i64 {
        self.wall(rendition) - self.zero
    }

    pub(super) fn is_first(&self, segment: u64) -> bool {
        segment == self.first
    }

    /// Whether no segment follows this one.
    pub(super) fn closes_with(&self, segment: u64) -> bool {
        let last = self.spans.back().map(|span| span.number);
        self.closing && last == Some(segment)
    }

    pub(super) fn span(&self, number: u64) -> Option<Span> {
        self.spans
            .iter()
            .find(|span| span.number == number)
            .copied()
    }

    /// Where picture number `index` of a line's queue belongs.
    pub(super) fn place_picture(
        &self,
        rendition: RenditionId,
        index: usize,
        sample: &Sample,
        span: &Span,
    ) -> Place {
        if rendition == self.leader {
            return match span.end {
                Some(end) if sample.dts >= end.dts => Place::Later,
                Some(_) => Place::Here,
                None if index < self.placed => Place::Here,
                None => Place::Unknown,
            };
        }
        let wall = self.wall(rendition);
        // A keyframe goes by when it is shown, as the leader's does.
        let time = if sample.keyframe {
            sample.pts + wall + NEAR
        } else {
            sample.dts + wall
        };
        place(time, span, self.frontier)
    }

    /// Where a frame of audio belongs.
    pub(super) fn place_sound(&self, rendition: RenditionId, time: i64, span: &Span) -> Place {
        let time = time + self.wall(rendition) + ROUNDING;
        place(time, span, self.frontier)
    }
}

fn place(time: i64, span: &Span, frontier: i64) -> Place {
    match span.end {
        Some(end) if time >= end.time => Place::Later,
        Some(_) => Place::Here,
        None if time < frontier => Place::Here,
        None => Place::Unknown,
    }
}

/// Keyframes of layers so close to each other are of the same picture.
const NEAR: i64 = 15_000_000;
/// Rounding of timestamps.
const ROUNDING: i64 = 1_000_000;
/// By so much the date of a segment may be off from what follows of the one before (ns). hls.js places the segments of
/// another layer by their dates; with 10 ms it sometimes stalled at a change of layers.
const LARGEST_STEP: i64 = 1_000_000;
