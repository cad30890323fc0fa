//! Cuts samples into parts and segments, all renditions at the same instants.
//!
//! The first video layer leads: a segment begins with a keyframe of it, and everything else is cut at
//! the same time. Where no video comes, audio leads by the clock of its own samples. Time here is media
//! time only; no clock is read.
//!
//! A run of segments with the same formats and alignment is an *epoch*; where a new one begins, players
//! see a discontinuity, on all renditions at once. Other video layers and a second coding of the audio
//! may join and leave within an epoch: they have the same segment numbers, and none of what they missed.

mod cut;
mod epoch;
mod line;
mod media;
mod opening;
pub(super) mod pace;
mod pictures;
mod promise;
mod sounds;

use std::collections::VecDeque;
use std::time::Duration;

use super::fmp4::BoxError;
use super::rendition::RenditionId;
use super::timeline::Walls;
use crate::rtp::MediaKind;

use epoch::{End, Epoch, Span};
use line::{Joined, Line, Output};
pub use media::{Begin, Correction, Init, Part, Progress, Sample, Terms};

/// What the segmenter aims at.
#[derive(Clone, Debug)]
pub struct SegmenterSettings {
    /// The length of a segment, where keyframes allow it.
    pub target: Duration,
    /// The length of a part at most; what comes out may be a little more, so that whole pictures fit.
    pub part: Duration,
    /// Whether the publisher announced a video track.
    pub video: bool,
    /// What the playlists promise already, where they have an earlier publisher.
    pub terms: Option<Terms>,
    /// How far an earlier publisher's media has come.
    pub after: Option<Progress>,
}

/// Cuts the samples of one publisher.
///
/// After each `handle_*` drain [`Self::poll_part`] and ask [`Self::poll_keyframe_request`].
#[derive(Debug)]
pub struct Segmenter {
    settings: SegmenterSettings,
    walls: Walls,
    /// By [`RenditionId::index`].
    lines: Vec<Line>,
    epoch: Option<Epoch>,
    keyframe: KeyframeWish,
    /// The publisher has gone: nothing is waited for.
    ending: bool,
    /// Where the last segment ended, in time of the segments.
    end: i64,
    zero: Option<i64>,
    /// Of the next segment.
    number: u64,
    terms: Terms,
    /// The part target is final.
    settled: bool,
    /// The longest segment, how many there were and how long they were together, until that is promised.
    longest: i64,
    measured: (u32, i64),
    /// The longest frame of sound that has come (ns).
    longest_frame: i64,
    parts: VecDeque<Part>,
}

#[derive(Debug, PartialEq, Eq)]
enum KeyframeWish {
    None,
    Wanted,
    Told,
}

/// What a line did.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// It took a sample of its queue, or silence.
    Took,
    /// Something else changed.
    Again,
    /// It can't go on.
    Wait,
}

/// How far the renditions are in all.
#[derive(Debug)]
struct Clock {
    /// The newest instant that any of them has reached (wall-clock time).
    horizon: i64,
    /// Nothing more comes.
    ending: bool,
    /// No segment that goes on is shorter (ns).
    shortest: i64,
}

impl Clock {
    /// Whether the picture after this one, `frame` later, is in the same segment whatever it is.
    fn is_uncut(&self, sample: &Sample, span: &Span, frame: i64) -> bool {
        !self.ending && sample.dts + frame - span.dts < self.shortest
    }

    /// Whether what has not come of a segment is given up.
    fn is_overdue(&self, span: &Span, joined: &Joined) -> bool {
        let late = |end: End| self.horizon - end.time > PATIENCE;
        self.ending || (span.end.is_some_and(late) && !self.is_new(joined))
    }

    /// Whether a rendition joined so lately that what it missed may still be on its way.
    fn is_new(&self, joined: &Joined) -> bool {
        self.horizon - joined.since < NEWCOMER
    }
}

impl Segmenter {
    /// A segmenter without samples.
    pub fn new(settings: SegmenterSettings) -> Self {
        let terms = settings.terms.unwrap_or(Terms {
            part_target: settings.part,
            target_duration: None,
        });
        Self {
            walls: Walls::default(),
            lines: RenditionId::all().map(Line::new).collect(),
            epoch: None,
            keyframe: KeyframeWish::None,
            ending: false,
            end: settings.after.map_or(MARGIN, |after| after.end.max(MARGIN)),
            zero: settings.after.map(|after| after.zero),
            number: 0,
            terms,
            settled: settings.terms.is_some(),
            longest: 0,
            measured: (0, 0),
            longest_frame: 0,
            parts: VecDeque::new(),
            settings,
        }
    }

    /// The alignment of the renditions as it is known now. One that differs audibly begins a new epoch at
    /// the next cut; an epoch of which nothing is out takes it over.
    pub fn handle_walls(&mut self, walls: Walls) {
        self.walls = walls;
        let Some(epoch) = &mut self.epoch else {
            return;
        };
        let fresh = self.lines.iter().all(Line::is_fresh) && epoch.spans.len() == 1;
        if fresh && cut::differ(&walls, &epoch.walls) {
            let samples = self.lines.iter_mut().map(Line::take_back);
            if samples.sum::<usize>() > 0 || epoch.placed > 0 {
                self.number = epoch.first;
                self.epoch = None;
            }
            return;
        }
        // What had no packets yet is at no place that could change. The others keep theirs, whatever is known now, so
        // that it is placed by what it is away from the one that leads.
        let kept = epoch.walls.get(epoch.leader);
        let moved = kept.zip(walls.get(epoch.leader));
        let moved = moved.map_or(0, |(kept, known)| kept - known);
        for id in RenditionId::all() {
            if epoch.walls.get(id).is_none() {
                epoch.walls.set(id, walls.get(id).map(|wall| wall + moved));
            }
        }
    }

    /// Takes the next sample of a rendition, in decode order. What goes back in time is dropped.
    pub fn handle_sample(&mut self, rendition: RenditionId, sample: Sample) {
        let Some(line) = self.lines.get_mut(rendition.index()) else {
            return;
        };
        if line.newest.is_some_and(|newest| sample.dts <= newest) {
            return;
        }
        if line.joined.is_none() {
            line.leaving = false;
            let video = rendition.kind() == MediaKind::Video;
            if video && line.queue.is_empty() && !sample.keyframe {
                if !line.is_derived {
                    self.wish_keyframe();
                }
                return;
            }
        }
        if rendition.kind() == MediaKind::Audio {
            self.longest_frame = self.longest_frame.max(sample.duration);
        }
        line.newest = Some(sample.dts);
        line.queue.push_back(sample);
        if line.queue.len() > MOST_WAITING {
            line.queue.pop_front();
        }
    }

    /// These renditions, and no others, are made of the leading one and have keyframes where that has some: none
    /// is asked for them.
    pub fn set_derived(&mut self, renditions: &[RenditionId]) {
        for line in &mut self.lines {
            line.is_derived = renditions.contains(&line.id);
        }
    }

    /// Nothing more comes of a rendition for now: it leaves at the next cut.
    pub fn handle_leave(&mut self, rendition: RenditionId) {
        if let Some(line) = self.lines.get_mut(rendition.index()) {
            line.leaving = line.joined.is_some();
        }
    }

    /// The publisher has gone: what is left becomes the last segment.
    pub fn handle_end(&mut self) {
        self.ending = true;
    }

    /// Media of a track is missing from here on: what follows begins a new epoch.
    ///
    /// # Errors
    ///
    /// [`BoxError`]; what was open is lost then.
    pub fn handle_discontinuity(&mut self) -> Result<(), BoxError> {
        let ending = std::mem::replace(&mut self.ending, true);
        let result = self.advance();
        self.ending = ending;
        self.epoch = None;
        self.lines.iter_mut().for_each(Line::clear);
        result
    }

    /// The next finished part. Those of one rendition come in order.
    ///
    /// # Errors
    ///
    /// [`BoxError`]; call [`Self::handle_discontinuity`] then: what follows may work.
    pub fn poll_part(&mut self) -> Result<Option<Part>, BoxError> {
        if self.parts.is_empty() {
            self.advance()?;
        }
        Ok(self.parts.pop_front())
    }

    /// Whether the publisher should be asked for a keyframe of all its layers; true once for each reason.
    pub fn poll_keyframe_request(&mut self) -> bool {
        let wanted = self.keyframe == KeyframeWish::Wanted;
        if wanted {
            self.keyframe = KeyframeWish::Told;
        }
        wanted
    }

    fn wish_keyframe(&mut self) {
        if self.keyframe == KeyframeWish::None {
            self.keyframe = KeyframeWish::Wanted;
        }
    }

    fn line(&self, rendition: RenditionId) -> Option<&Line> {
        self.lines.get(rendition.index())
    }

    /// Moves samples as far as they can go.
    fn advance(&mut self) -> Result<(), BoxError> {
        while self.begin_epoch()? {
            let more = self.decide();
            self.settle_part_target();
            for index in 0..self.lines.len() {
                self.advance_line(index)?;
            }
            let Some(epoch) = &mut self.epoch else {
                return Ok(());
            };
            let oldest = self
                .lines
                .iter()
                .filter_map(|line| Some(line.joined.as_ref()?.segment));
            let oldest = oldest.min();
            // Some stay, for who may still join and brings what came before it was asked for.
            while epoch.spans.len() > JOINABLE
                && epoch
                    .spans
                    .front()
                    .is_some_and(|span| oldest.is_none_or(|oldest| span.number < oldest))
            {
                epoch.spans.pop_front();
            }
            if epoch.closing && oldest.is_none() {
                self.epoch = None;
            } else if !more {
                return Ok(());
            }
        }
        Ok(())
    }

    fn advance_line(&mut self, index: usize) -> Result<(), BoxError> {
        let clock = Clock {
            horizon: self.horizon(),
            ending: self.ending,
            shortest: cut::shortest(&self.settings),
        };
        let (Some(epoch), Some(line)) = (&mut self.epoch, self.lines.get_mut(index)) else {
            return Ok(());
        };
        let leads = line.id == epoch.leader;
        if !self.settled {
            return Ok(());
        }
        let mut out = Output {
            parts: &mut self.parts,
            terms: self.terms,
        };
        loop {
            let step = match line.id.kind() {
                MediaKind::Video => pictures::step(line, epoch, &clock, &mut out)?,
                MediaKind::Audio => sounds::step(line, epoch, &clock, &mut out)?,
            };
            match step {
                Step::Took if leads => epoch.placed = epoch.placed.saturating_sub(1),
                Step::Took | Step::Again => {}
                Step::Wait => return Ok(()),
            }
        }
    }
}

/// Segments begin at this time, so that pictures decoded before they are shown have one too.
const MARGIN: i64 = 1_000_000_000;
/// So long after a cut, what a rendition has not brought of it is given up.
const PATIENCE: i64 = 500_000_000;
/// So long after it joined, a rendition may still bring what came before: an encoder works at it.
const NEWCOMER: i64 = 3_000_000_000;
/// Segments that a rendition can join: what players need to begin, and the open one.
const JOINABLE: usize = 4;
/// Samples of a rendition that wait for others at most.
const MOST_WAITING: usize = 4096;
#[cfg(test)]
mod tests;
