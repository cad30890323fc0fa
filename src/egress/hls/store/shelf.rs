//! What is kept of one rendition: its newest segments, in parts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::resource::{Media, MediaFile, Rendered, content_type};
use crate::egress::hls::playlist::{Bits, Entry, IFrame, PartEntry};
use crate::egress::hls::rendition::RenditionId;
use crate::egress::hls::segmenter::{Begin, Init, Part};
use crate::rtp::MediaKind;

/// The segments of one rendition.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) id: RenditionId,
    pub(super) segments: VecDeque<Stored>,
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
    /// The wall-clock time of its first sample, ns since 1970.
    pub(super) time: i64,
    pub(super) begin: Begin,
    pub(super) duration: Duration,
    pub(super) samples: usize,
    pub(super) bytes: usize,
    /// Bytes up to the end of the keyframe that it begins with.
    pub(super) keyframe: Option<usize>,
    pub(super) parts: Vec<StoredPart>,
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
                begin: part.begin,
                duration: Duration::ZERO,
                samples: 0,
                bytes: 0,
                keyframe: part.independent.then_some(part.first_sample),
                parts: Vec::new(),
            });
        }
        let Some(segment) = self.segments.back_mut() else {
            return;
        };
        segment.complete = part.last;
        segment.closing = part.last && part.closing;
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
                self.bytes -= first.bytes;
                // A rendition that has stopped may still list it.
                self.rendered = Default::default();
            }
        }
    }

    pub(super) fn get(&self, number: u64) -> Option<&Stored> {
        // Few, and without gaps most of the time.
        self.segments
            .iter()
            .rev()
            .find(|segment| segment.number == number)
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

    /// Its newest whole segments without a gap between them, `window` at most, and the open one.
    pub(super) fn run(&self, window: usize) -> impl DoubleEndedIterator<Item = &Stored> + Clone {
        let mut wanted = self.segments.back().map(|last| last.number);
        let mut whole = 0;
        let mut count = 0;
        for segment in self.segments.iter().rev() {
            if wanted != Some(segment.number) || whole + usize::from(segment.complete) > window {
                break;
            }
            whole += usize::from(segment.complete);
            count += 1;
            wanted = segment.number.checked_sub(1);
        }
        self.segments.range(self.segments.len() - count..)
    }

    /// What the segments take that have the newest one's format.
    pub(super) fn rates(&self, window: usize) -> Rates {
        let newest = self.segments.back().map(|last| last.init_number);
        let run = self.run(window);
        Self::rates_of(run.filter(|segment| Some(segment.init_number) == newest))
    }

    /// What these segments take; an open one counts where there is no whole one.
    pub(super) fn rates_of<'a>(segments: impl Iterator<Item = &'a Stored> + Clone) -> Rates {
        let any = segments.clone().any(|segment| segment.complete);
        let same = segments.filter(|segment| segment.complete || !any);
        let (mut all, mut iframes, mut samples) = (Sum::default(), Sum::default(), 0.0);
        for segment in same {
            let length = segment.duration.as_secs_f64();
            samples += segment.samples as f64;
            all.add(segment.bytes, length);
            if let Some(bytes) = segment.keyframe {
                iframes.add(bytes, length);
            }
        }
        Rates {
            pictures: samples / all.seconds.max(0.001),
            iframes: (iframes.seconds > 0.0).then(|| iframes.bits()),
            all: all.bits(),
        }
    }

    /// How a playlist lists a segment; `parts`: each part too.
    pub(super) fn entry(&self, segment: &Stored, parts: bool) -> Entry {
        let (id, number) = (self.id, segment.number);
        let listed = segment.parts.iter().enumerate().filter(|_| parts);
        Entry {
            uri: format!("{id}-{number}.m4s"),
            map: format!("{id}-init-{}.mp4", segment.init_number),
            duration: segment.duration,
            time: segment.time,
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
            map: format!("{id}-init-{}.mp4", segment.init_number),
            bytes: segment.keyframe,
            duration: segment.duration,
            time: segment.time,
            discontinuity: segment.discontinuity,
        }
    }

    /// An init segment.
    pub(super) fn init(&self, number: u64) -> Option<Media> {
        let mut segments = self.segments.iter();
        let segment = segments.find(|segment| segment.init_number == number)?;
        Some(self.media(MediaFile::Init, [segment.init.body.clone()].into()))
    }

    /// A whole segment.
    pub(super) fn segment(&self, number: u64) -> Option<Media> {
        let segment = self.get(number).filter(|segment| segment.complete)?;
        let parts = segment.parts.iter().map(|part| part.body.clone());
        Some(self.media(MediaFile::Segment, parts.collect()))
    }

    /// A part.
    pub(super) fn part(&self, number: u64, part: usize) -> Option<Media> {
        let body = self.get(number)?.parts.get(part)?.body.clone();
        Some(self.media(MediaFile::Part, [body].into()))
    }

    fn media(&self, kind: MediaFile, body: Arc<[Bytes]>) -> Media {
        Media {
            content_type: content_type(self.id),
            kind,
            body,
        }
    }
}

/// What a rendition takes.
#[derive(Debug)]
pub(super) struct Rates {
    pub(super) all: Bits,
    /// The keyframes alone, when there are any.
    pub(super) iframes: Option<Bits>,
    /// Samples a second.
    pub(super) pictures: f64,
}

#[derive(Default)]
struct Sum {
    bits: f64,
    seconds: f64,
    peak: f64,
}

impl Sum {
    fn add(&mut self, bytes: usize, seconds: f64) {
        let bits = bytes as f64 * 8.0;
        self.bits += bits;
        self.seconds += seconds;
        self.peak = self.peak.max(bits / seconds.max(0.001));
    }

    fn bits(&self) -> Bits {
        Bits {
            peak: self.peak.ceil() as u64,
            average: (self.bits / self.seconds.max(0.001)).ceil() as u64,
        }
    }
}

impl Stored {
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

    /// It can be decoded without those before it.
    pub(super) fn is_independent(&self) -> bool {
        self.keyframe.is_some()
    }
}
