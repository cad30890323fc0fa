//! The DASH manifest of a stream as it is now, made once for each state, and the segments as it has them.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::LibrarySettings;
use super::periods::{NewSegment, Period};
use super::resource::{Rendered, Resource, Sound};
use super::shelf::{Shelf, Stored};
use super::state::{Answer, State};
use crate::egress::dash::{Addressing, Manifest, Period as Written, Representation, TimelineEntry};
use crate::egress::hls::rendition::RenditionId;
use crate::egress::hls::segmenter::Part;
use crate::egress::hls::tags;
use crate::rtp::MediaKind;

impl State {
    /// The manifest. It says how long segments are, so that players come back for it seldom; asking for the
    /// one with AAC makes that.
    pub(super) fn manifest(
        &mut self,
        sound: Sound,
        settings: &LibrarySettings,
        now: Instant,
    ) -> Answer {
        if self.is_too_young() {
            return Answer::Ready(Resource::NotYet);
        }
        if sound == Sound::Aac {
            self.ask_for(RenditionId::Aac, now);
            if let Some(answer) = self.awaited(RenditionId::Aac, settings) {
                return answer;
            }
        }
        if let Some(known) = &self.manifests[sound as usize] {
            return Answer::Ready(Resource::Playlist(Arc::clone(known)));
        }
        self.manifest_seen = true;
        let mut manifest = self.described(sound, settings);
        // A manifest is never older than the one before it, whatever a publisher's clock does.
        self.published = self.published.max(manifest.published);
        manifest.published = self.published;
        if manifest.periods.is_empty() {
            return Answer::Ready(Resource::NotFound);
        }
        let tag = format!("m{:x}-{:x}", self.first_number, self.changes);
        let rendered = Arc::new(Rendered::new(manifest.write(), tag));
        self.manifests[sound as usize] = Some(Arc::clone(&rendered));
        Answer::Ready(Resource::Playlist(rendered))
    }

    /// A segment, of which more may come. One that is the next is waited for: players go by the clock, which is
    /// a little ahead.
    pub(super) fn growing(&self, id: RenditionId, number: u64) -> Answer {
        let shelf = &self.shelves[id.index()];
        let last = shelf.segments.back().map(|last| last.number);
        let goes_on = self.ended.is_none() && self.abandoned.is_none();
        if let Some(whole) = self.whole(id, number) {
            Answer::Ready(whole)
        } else if last == Some(number) {
            Answer::Grows(id, number)
        } else if goes_on && last.is_some_and(|last| last + 1 == number) {
            Answer::After(id)
        } else {
            Answer::Ready(Resource::NotFound)
        }
    }

    /// A segment begins with its first part of any rendition.
    pub(super) fn begin_segment(&mut self, part: &Part, number: u64, discontinuity: bool) {
        let new = NewSegment {
            number,
            begin: part.begin,
            discontinuity,
            end: self.media_end(),
            unseen: !self.manifest_seen,
        };
        let mut newest = [None; RenditionId::COUNT];
        for shelf in self
            .shelves
            .iter()
            .filter(|shelf| shelf.id != RenditionId::Aac)
        {
            let last = shelf.segments.back();
            newest[shelf.id.index()] = last.map(|last| (last.number, last.init_number));
        }
        self.periods.handle_segment(&new, newest);
        self.manifests = Default::default();
    }

    /// Where the newest segments end, in media time (ns).
    pub(super) fn media_end(&self) -> Option<i64> {
        let newest = self
            .shelves
            .iter()
            .filter_map(|shelf| shelf.segments.back());
        let newest = newest.filter(|last| last.number + 1 == self.next_number);
        newest
            .map(|last| last.begin.media + last.duration.as_nanos() as i64)
            .max()
    }

    fn described(&self, sound: Sound, settings: &LibrarySettings) -> Manifest {
        let terms = self.terms;
        let part = terms.map_or(Duration::from_secs(1), |terms| terms.part_target);
        let target = terms.and_then(|terms| terms.target_duration).unwrap_or(1);
        let segment = Duration::from_secs(target);
        let oldest = self.next_number.saturating_sub(settings.window as u64 + 1);
        let mut periods = Vec::new();
        for (period, next) in self.periods.shown() {
            let next = next.unwrap_or(self.next_number);
            periods.push(self.written(period, sound, period.first.max(oldest)..next));
        }
        // The first one shown has none before it that it could go on from.
        periods.retain(|period| !period.representations.is_empty());
        if let Some(first) = periods.first_mut() {
            first.continuous = false;
        }
        let newest = self
            .shelves
            .iter()
            .filter_map(|shelf| shelf.segments.back());
        let newest = newest.map(|last| last.begin.media).max().unwrap_or(0);
        let published = periods.last().map_or(0, |last| {
            let length = last.duration.unwrap_or(i64::MAX);
            last.start + (newest - last.media).clamp(0, length)
        });
        let ends = periods
            .last()
            .map(|last| last.start + last.duration.unwrap_or(0));
        Manifest {
            published,
            end: ends.filter(|_| self.ended.is_some()),
            update: segment,
            depth: segment * u32::try_from(settings.window).unwrap_or(u32::MAX),
            segment,
            part,
            latency: tags::hold_back(part, settings.hold_back),
            periods,
        }
    }

    fn written(&self, period: &Period, sound: Sound, segments: Range<u64>) -> Written {
        let listed = |id: &RenditionId| id.kind() == MediaKind::Video || sound.has(*id);
        let representations = RenditionId::all().filter(listed).filter_map(|id| {
            let shelf = &self.shelves[id.index()];
            let init = match id {
                // It comes and goes within a period, and its init segments are all the same.
                RenditionId::Aac => shelf.segments.back()?.init_number,
                _ => period.inits[id.index()]?,
            };
            representation(shelf, period, init, &segments)
        });
        Written {
            first: period.first,
            start: period.start,
            media: period.media,
            correction: self.correction(period, &segments),
            duration: period.duration(),
            continuous: period.continuous,
            representations: representations.collect(),
        }
    }

    /// How much later the newest segment with one of these numbers is dated than its place in the period says (ns).
    fn correction(&self, period: &Period, segments: &Range<u64>) -> i64 {
        let stored = self.shelves.iter().flat_map(|shelf| {
            let kind = shelf.id.kind();
            shelf.kept().map(move |segment| (kind, segment))
        });
        let own = stored.filter(|(_, segment)| segments.contains(&segment.number));
        let newest = own.max_by_key(|(_, segment)| segment.number);
        newest.map_or(0, |(kind, segment)| {
            segment.date() - period.start - (segment.media_time(kind) - period.media)
        })
    }
}

/// A rendition in a period; none when nothing is left of it.
fn representation(
    shelf: &Shelf,
    period: &Period,
    init: u64,
    segments: &Range<u64>,
) -> Option<Representation> {
    let stored = shelf.kept();
    let same = stored.filter(|segment| segment.init_number == init);
    let format = Arc::clone(&same.clone().next()?.init.format);
    let rates = Shelf::rates_of(same.clone());
    let addressing = match period.steady {
        Some(duration) => Addressing::Number { duration },
        None => {
            let goes_on = period.end.is_none();
            timeline(shelf.id.kind(), same, segments, goes_on)?
        }
    };
    Some(Representation {
        name: shelf.id.name(),
        kind: shelf.id.kind(),
        init,
        codecs: format.codecs.clone(),
        bandwidth: rates.all.peak,
        timescale: format.timescale,
        size: format.size,
        rate: rates.pictures,
        channels: format.channels,
        addressing,
    })
}

/// The segments of a rendition with these numbers, up to one that is missing, and the next one where its
/// begin is known: one that has begun in another rendition comes of this one too.
fn timeline<'a>(
    kind: MediaKind,
    segments: impl Iterator<Item = &'a Stored>,
    numbers: &Range<u64>,
    goes_on: bool,
) -> Option<Addressing> {
    let mut first = None;
    let mut entries: Vec<TimelineEntry> = Vec::new();
    let mut next: Option<(u64, TimelineEntry)> = None;
    for segment in segments.filter(|segment| segment.number < numbers.end) {
        let start = segment.media_time(kind);
        let mut length = segment.duration.as_nanos() as i64;
        if let Some((number, expected)) = next {
            if number != segment.number && first.is_some() {
                break;
            }
            if let Some(before) = entries.last_mut() {
                before.end = start;
            }
            // How long an open one will be is not known yet.
            if !segment.complete {
                length = length.max(expected.end - expected.start);
            }
        }
        let end = start + length;
        let after = TimelineEntry {
            start: end,
            end: end + length,
        };
        next = Some((segment.number + 1, after));
        if segment.number >= numbers.start {
            first.get_or_insert(segment.number);
            entries.push(TimelineEntry { start, end });
        }
    }
    let (number, expected) = next?;
    if goes_on && numbers.contains(&number) {
        first.get_or_insert(number);
        entries.push(expected);
    }
    Some(Addressing::Timeline {
        first: first?,
        segments: entries,
    })
}
