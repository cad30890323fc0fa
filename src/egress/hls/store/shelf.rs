//! What is kept of one rendition: its newest segments, in parts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::resource::{Media, MediaFile, Rendered, content_type};
use crate::egress::hls::playlist::{Entry, IFrame, PartEntry};
use crate::egress::hls::rendition::RenditionId;
use crate::egress::hls::segmenter::{Begin, Correction, Init, Part};
use crate::rtp::MediaKind;

/// The segments of one rendition.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) id: RenditionId,
    pub(super) segments: VecDeque<Stored>,
    /// So many of the oldest segments are only in files.
    released: usize,
    /// What the others take in memory.
    pub(super) bytes: usize,
    /// Its playlists of now, by [`Shape`].
    pub(super) rendered: [Option<Arc<Rendered>>; Shape::COUNT],
}

/// The playlists of one rendition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// All segments.
    Whole,
    /// As a delta update.
    Delta,
    /// The keyframes only.
    IFrames,
}

impl Shape {
    /// How many there are.
    const COUNT: usize = 3;
}

/// A segment.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) number: u64,
    pub(super) discontinuity: bool,
    /// No part will be added.
    pub(super) complete: bool,
    /// What follows is another publisher's, or in another format.
    closing: bool,
    /// The number of the segment that first used the same init segment.
    pub(super) init_number: u64,
    pub(super) init: Arc<Init>,
    /// The wall-clock time of its first sample, ns since 1970, and what makes a date of that.
    pub(super) time: i64,
    pub(super) correction: Correction,
    pub(super) begin: Begin,
    pub(super) duration: Duration,
    pub(super) samples: usize,
    pub(super) bytes: usize,
    /// Bytes up to the end of the keyframe that it begins with.
    pub(super) keyframe: Option<usize>,
    /// None of a segment that is only in a file.
    pub(super) parts: Vec<StoredPart>,
    pub(super) filing: Filing,
    /// How playlists list it after the one before, once it is only in a file.
    pub(super) lines: Option<Box<str>>,
}

/// Whether a segment is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filing {
    /// Not yet.
    Not,
    /// It is.
    Filed,
    /// It was, or would not fit.
    Lost,
}

#[derive(Debug)]
pub(super) struct StoredPart {
    pub(super) body: Bytes,
    pub(super) duration: Duration,
    pub(super) independent: bool,
}

impl Shelf {
    pub(super) fn new(id: RenditionId) -> Self {
        Self {
            id,
            segments: VecDeque::new(),
            released: 0,
            bytes: 0,
            rendered: Default::default(),
        }
    }

    /// Adds a part to segment `number`, which it may begin.
    pub(super) fn push(&mut self, part: Part, number: u64, discontinuity: bool) {
        self.rendered = Default::default();
        let size = part.body.len();
        if self
            .segments
            .back()
            .is_none_or(|last| last.number != number)
        {
            self.complete();
            let known = self
                .segments
                .back()
                .filter(|last| Arc::ptr_eq(&last.init, &part.init));
            let init_number = known.map_or(number, |last| last.init_number);
            self.segments.push_back(Stored {
                number,
                discontinuity,
                complete: false,
                closing: false,
                init_number,
                init: Arc::clone(&part.init),
                time: part.time,
                correction: part.correction,
                begin: part.begin,
                duration: Duration::ZERO,
                samples: 0,
                bytes: 0,
                keyframe: part.independent.then_some(part.first_sample),
                parts: Vec::new(),
                filing: Filing::Not,
                lines: None,
            });
        }
        self.correct(part.correction.from_start);
        let Some(segment) = self.segments.back_mut() else {
            return;
        };
        segment.complete = part.last;
        segment.closing = part.last && part.closing;
        // Only says that the segment is whole: its last picture is out already, as another was expected to follow.
        if part.samples == 0 && part.duration.is_zero() {
            return;
        }
        segment.duration += part.duration;
        segment.samples += part.samples;
        segment.bytes += size;
        self.bytes += size;
        segment.parts.push(StoredPart {
            body: part.body,
            duration: part.duration,
            independent: part.independent,
        });
    }

    /// The clock of the newest epoch became known better: all of its segments get other dates.
    fn correct(&mut self, from_start: i64) {
        for segment in self.segments.iter_mut().rev() {
            if segment.correction.from_start == from_start {
                return;
            }
            segment.correction.from_start = from_start;
            if segment.discontinuity {
                return;
            }
        }
    }

    /// Nothing more comes of the open segment.
    pub(super) fn complete(&mut self) {
        if let Some(last) = self.segments.back_mut().filter(|last| !last.complete) {
            last.complete = true;
            self.rendered = Default::default();
        }
    }

    /// Nothing more comes of this publisher.
    pub(super) fn close(&mut self) {
        self.complete();
        if let Some(last) = self.segments.back_mut().filter(|last| !last.closing) {
            last.closing = true;
            self.rendered = Default::default();
        }
    }

    /// Drops segments before `number`.
    pub(super) fn drop_before(&mut self, number: u64) {
        while self
            .segments
            .front()
            .is_some_and(|first| first.number < number)
        {
            if let Some(first) = self.segments.pop_front() {
                match self.released.checked_sub(1) {
                    Some(rest) => self.released = rest,
                    None => self.bytes -= first.bytes,
                }
                // A rendition that has stopped may still list it.
                self.rendered = Default::default();
            }
        }
    }

    /// Leaves the segments before `number` to their files. One that has none is dropped, with those before it.
    pub(super) fn release_before(&mut self, number: u64) {
        while let Some(segment) = self.segments.get(self.released)
            && segment.number < number
        {
            let before = self
                .released
                .checked_sub(1)
                .and_then(|index| self.segments.get(index));
            let same = before.is_some_and(|before| before.init_number == segment.init_number);
            let lines = self
                .entry(segment, false)
                .lines(!same || segment.discontinuity);
            let (Filing::Filed, Ok(lines)) = (segment.filing, lines) else {
                self.drop_before(segment.number + 1);
                continue;
            };
            if let Some(segment) = self.segments.get_mut(self.released) {
                segment.parts = Vec::new();
                segment.lines = Some(lines.into());
                self.bytes -= segment.bytes;
            }
            self.released += 1;
        }
    }

    /// The segments that are in memory.
    pub(super) fn kept(&self) -> impl DoubleEndedIterator<Item = &Stored> + Clone {
        self.segments.range(self.released..)
    }

    pub(super) fn kept_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut Stored> {
        self.segments.range_mut(self.released..)
    }

    pub(super) fn get(&self, number: u64) -> Option<&Stored> {
        let index = self
            .segments
            .binary_search_by_key(&number, |segment| segment.number);
        self.segments.get(index.ok()?)
    }

    /// The part that comes next: it is certain to come while the stream goes on.
    pub(super) fn next_part(&self) -> Option<(u64, usize)> {
        let last = self.segments.back()?;
        Some(if last.complete {
            (last.number + 1, 0)
        } else {
            (last.number, last.parts.len())
        })
    }

    /// The part that players may ask for before it is there. None where it can't be played with what the playlist
    /// says before it: its init segment and its place in time are not known yet.
    pub(super) fn hinted(&self) -> Option<(u64, usize)> {
        let last = self.segments.back()?;
        self.next_part().filter(|_| !last.closing)
    }

    /// Its newest part.
    pub(super) fn last_part(&self) -> Option<(u64, usize)> {
        let last = self.segments.back()?;
        Some((last.number, last.parts.len().saturating_sub(1)))
    }

    /// Its newest whole segments in memory without a gap between them, `window` at most, and the open one.
    pub(super) fn run(&self, window: usize) -> impl DoubleEndedIterator<Item = &Stored> + Clone {
        let newest = self.run_since(window, u64::MAX);
        let released = newest.clone().filter(|segment| segment.lines.is_some());
        let released = released.count();
        newest.skip(released)
    }

    /// The same, and before them those in files from `since` on.
    pub(super) fn run_since(
        &self,
        window: usize,
        since: u64,
    ) -> impl DoubleEndedIterator<Item = &Stored> + ExactSizeIterator + Clone {
        let mut wanted = self.segments.back().map(|last| last.number);
        let mut whole = 0;
        let mut count = 0;
        for segment in self.segments.iter().rev() {
            let past = segment.number >= since && segment.filing == Filing::Filed;
            let fits = past || whole + usize::from(segment.complete) <= window;
            if wanted != Some(segment.number) || !fits {
                break;
            }
            whole += usize::from(segment.complete);
            count += 1;
            wanted = segment.number.checked_sub(1);
        }
        self.segments.range(self.segments.len() - count..)
    }

    /// How a playlist lists a segment; `parts`: each part too.
    pub(super) fn entry(&self, segment: &Stored, parts: bool) -> Entry {
        let (id, number) = (self.id, segment.number);
        let listed = segment.parts.iter().enumerate().filter(|_| parts);
        Entry {
            uri: format!("{id}-{number}.m4s"),
            map: self.map(segment),
            duration: segment.duration,
            time: segment.date(),
            discontinuity: segment.discontinuity,
            parts: listed
                .map(|(index, part)| PartEntry {
                    uri: format!("{id}-{number}.{index}.m4s"),
                    duration: part.duration,
                    independent: part.independent,
                })
                .collect(),
            open: !segment.complete,
        }
    }

    /// How the I-frame playlist lists a segment.
    pub(super) fn iframe(&self, segment: &Stored) -> IFrame {
        let (id, number) = (self.id, segment.number);
        IFrame {
            uri: format!("{id}-{number}.m4s"),
            map: self.map(segment),
            bytes: segment.keyframe,
            duration: segment.duration,
            time: segment.date(),
            discontinuity: segment.discontinuity,
        }
    }

    /// An init segment.
    pub(super) fn init(&self, number: u64) -> Option<Media> {
        let mut segments = self.segments.iter();
        let segment = segments.find(|segment| segment.init_number == number)?;
        Some(self.media(MediaFile::Init, [segment.init.body.clone()].into()))
    }

    /// A whole segment that is in memory.
    pub(super) fn segment(&self, number: u64) -> Option<Media> {
        let segment = self.get(number).filter(|segment| segment.complete)?;
        let kept = segment.lines.is_none();
        kept.then(|| self.media(MediaFile::Segment, segment.body()))
    }

    /// The bytes of a segment that is only in a file.
    pub(super) fn released(&self, number: u64) -> Option<usize> {
        let segment = self.get(number)?;
        segment.lines.is_some().then_some(segment.bytes)
    }

    /// A part.
    pub(super) fn part(&self, number: u64, part: usize) -> Option<Media> {
        let body = self.get(number)?.parts.get(part)?.body.clone();
        Some(self.media(MediaFile::Part, [body].into()))
    }

    /// Where an init segment is, relative to the playlist.
    pub(super) fn map(&self, segment: &Stored) -> String {
        format!("{}-init-{}.mp4", self.id, segment.init_number)
    }

    fn media(&self, kind: MediaFile, body: Arc<[Bytes]>) -> Media {
        Media {
            content_type: content_type(self.id),
            kind,
            body,
        }
    }
}

impl Stored {
    /// The date of its first sample, ns since 1970.
    pub(super) fn date(&self) -> i64 {
        self.time + self.correction.ns()
    }

    /// Where its first sample is shown or heard, in media time (ns).
    pub(super) fn media_time(&self, kind: MediaKind) -> i64 {
        let offset = self.time - self.begin.wall;
        // Pictures are shown from the cut on, decoded before it; a layer that joins may be late.
        let offset = match kind {
            MediaKind::Video => offset.max(0),
            MediaKind::Audio => offset,
        };
        self.begin.media + offset
    }

    /// What there is of it in memory.
    pub(super) fn body(&self) -> Arc<[Bytes]> {
        self.parts.iter().map(|part| part.body.clone()).collect()
    }

    /// It can be decoded without those before it.
    pub(super) fn is_independent(&self) -> bool {
        self.keyframe.is_some()
    }
}
