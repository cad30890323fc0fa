//! The playlists of a stream as they are now, each made once.

use std::sync::Arc;
use std::time::Duration;

use super::LibrarySettings;
use super::resource::{Rendered, Resource, Sound};
use super::shelf::{Shape, Stored};
use super::state::{State, rounded};
use crate::egress::hls::playlist::{
    AudioVariant, Bits, IFrameList, MediaList, Multivariant, PlaylistError, VideoVariant,
};
use crate::egress::hls::rendition::RenditionId;
use crate::egress::hls::tags;
use crate::rtp::MediaKind;

impl State {
    /// The playlist of a rendition; none when it can't be written.
    pub(super) fn render(
        &mut self,
        id: RenditionId,
        shape: Shape,
        settings: &LibrarySettings,
    ) -> Option<Arc<Rendered>> {
        let slot = shape as usize;
        if let Some(known) = &self.shelves[id.index()].rendered[slot] {
            return Some(Arc::clone(known));
        }
        let (text, name) = match shape {
            Shape::IFrames => (self.iframe_list(id, settings).write(), "f"),
            Shape::Whole | Shape::Delta => {
                let list = self.list(id, shape == Shape::Delta, settings);
                let skips = list.as_ref().is_ok_and(|list| list.skipped > 0);
                let name = if skips { "s" } else { "p" };
                (list.and_then(|list| list.write()), name)
            }
        };
        let text = written(text)?;
        let tag = format!("{name}{:x}-{:x}", self.first_number, self.changes);
        let rendered = Arc::new(Rendered::new(text, tag));
        self.shelves[id.index()].rendered[slot] = Some(Arc::clone(&rendered));
        Some(rendered)
    }

    /// The I-frame playlist of a rendition, once it has a whole segment.
    pub(super) fn iframes(&mut self, id: RenditionId, settings: &LibrarySettings) -> Resource {
        if self.is_too_young() {
            return Resource::NotYet;
        }
        let segments = &self.shelves[id.index()].segments;
        if !segments.iter().any(|segment| segment.complete) {
            return Resource::NotFound;
        }
        let rendered = self.render(id, Shape::IFrames, settings);
        rendered.map_or(Resource::NotFound, Resource::Playlist)
    }

    /// Whole segments only: a keyframe is listed with the time until the next one.
    fn iframe_list(&self, id: RenditionId, settings: &LibrarySettings) -> IFrameList {
        let shelf = &self.shelves[id.index()];
        let whole = shelf
            .run(settings.window)
            .filter(|segment| segment.complete);
        let first = whole.clone().next();
        IFrameList {
            target_duration: self.target_duration(whole.clone().map(|segment| segment.duration)),
            first: first.map_or(0, |segment| segment.number),
            discontinuities: first.map_or(0, |segment| self.discontinuities_before(segment)),
            ended: self.ended.is_some(),
            frames: whole.map(|segment| shelf.iframe(segment)).collect(),
        }
    }

    /// What no segment exceeds, in seconds: as it is promised, or as these are.
    fn target_duration(&self, durations: impl Iterator<Item = Duration>) -> u64 {
        let promised = self.terms.and_then(|terms| terms.target_duration);
        let target = promised.or_else(|| durations.map(rounded).max());
        target.unwrap_or(1).max(1)
    }

    fn list(
        &self,
        id: RenditionId,
        skip: bool,
        settings: &LibrarySettings,
    ) -> Result<MediaList, PlaylistError> {
        let shelf = &self.shelves[id.index()];
        let run = shelf.run_since(settings.window, self.past_since);
        let count = run.clone().count();
        let whole = run.clone().filter(|segment| segment.complete).count();
        let terms = self.terms;
        let target_duration = self.target_duration(run.clone().map(|segment| segment.duration));
        let ended = self.ended.is_some();
        let first = run.clone().next();
        let entry = |(index, segment)| {
            let with_parts = !ended && index + LISTED_PARTS >= whole;
            shelf.entry(segment, with_parts)
        };
        let hint = shelf.hinted().filter(|_| !ended);
        let others = RenditionId::all().filter(|other| *other != id && !ended);
        let skipped = match skip && !ended {
            true => skippable(run.clone().map(|segment| segment.duration), target_duration),
            false => 0,
        };
        let skipped = skipped.min(count.saturating_sub(1));
        let mut told = skipped;
        let mut older = String::new();
        for segment in run.clone().skip(skipped) {
            let Some(lines) = &segment.lines else {
                break;
            };
            match told {
                0 => older.push_str(&shelf.entry(segment, false).lines(true)?),
                _ => older.push_str(lines),
            }
            told += 1;
        }
        let before = told.checked_sub(1).and_then(|last| run.clone().nth(last));
        let reports = others.filter_map(|other| {
            let shelf = &self.shelves[other.index()];
            let (segment, part) = shelf.last_part()?;
            let current = segment + 2 >= self.next_number;
            current.then(|| (format!("{other}.m3u8"), segment, part))
        });
        Ok(MediaList {
            target_duration,
            part_target: terms.map_or(Duration::from_secs(1), |terms| terms.part_target),
            hold_back: settings.hold_back,
            first: first.map_or(0, |segment| segment.number),
            discontinuities: first.map_or(0, |segment| self.discontinuities_before(segment)),
            independent: run.clone().all(Stored::is_independent),
            ended,
            skipped,
            older,
            map: before.map(|before| shelf.map(before)),
            segments: run.enumerate().skip(told).map(entry).collect(),
            hint: hint.map(|(segment, part)| format!("{id}-{segment}.{part}.m4s")),
            reports: reports.collect(),
        })
    }

    /// How many discontinuities there were before a segment, its own not counted.
    fn discontinuities_before(&self, segment: &Stored) -> u64 {
        let mut cuts = self.cuts.iter().rev();
        let cut = cuts.find(|(cut, _)| *cut <= segment.number);
        cut.map_or(0, |(_, count)| *count - u64::from(segment.discontinuity))
    }

    /// The multivariant playlist.
    pub(super) fn index(&mut self, sound: Sound, settings: &LibrarySettings) -> Resource {
        if self.is_too_young() {
            return Resource::NotYet;
        }
        if let Some(known) = &self.indexes[sound as usize] {
            return Resource::Playlist(Arc::clone(known));
        }
        let all = self.multivariant(sound, settings);
        let lacks_aac = sound == Sound::Aac && all.audios.is_empty();
        if lacks_aac || all.videos.is_empty() && all.audios.is_empty() {
            return Resource::NotFound;
        }
        let Some(text) = written(all.write()) else {
            return Resource::NotFound;
        };
        let tag = format!("i{:x}-{:x}", self.first_number, self.changes);
        let rendered = Arc::new(Rendered::new(text, tag));
        self.indexes[sound as usize] = Some(Arc::clone(&rendered));
        Resource::Playlist(rendered)
    }

    /// The renditions that have the newest segments, and those that would be made.
    fn multivariant(&self, sound: Sound, settings: &LibrarySettings) -> Multivariant {
        let mut all = Multivariant {
            independent: true,
            ..Multivariant::default()
        };
        let listed = |id: &RenditionId| id.kind() == MediaKind::Video || sound.has(*id);
        for id in RenditionId::all().filter(listed) {
            let shelf = &self.shelves[id.index()];
            let last = shelf.segments.back();
            let current = last.filter(|last| last.number + 2 >= self.next_number);
            let uri = format!("{id}.m3u8");
            let rates = shelf.rates(settings.window);
            match (id.kind(), current, &self.offers[id.index()]) {
                (MediaKind::Video, Some(last), _) => {
                    let mut run = shelf.run_since(settings.window, self.past_since);
                    all.independent &= run.all(Stored::is_independent);
                    let (codecs, size) = (last.init.format.codecs.clone(), last.init.format.size);
                    all.videos.push(VideoVariant {
                        iframes: rates
                            .iframes
                            .map(|bits| (format!("{id}-iframes.m3u8"), bits)),
                        uri,
                        codecs,
                        size,
                        rate: rates.pictures,
                        bits: rates.all,
                    });
                }
                (MediaKind::Audio, Some(last), _) => {
                    let (codecs, channels) =
                        (last.init.format.codecs.clone(), last.init.format.channels);
                    let group = id.name();
                    all.audios.push(AudioVariant {
                        uri,
                        group,
                        codecs,
                        channels,
                        bits: rates.all,
                    });
                }
                (MediaKind::Audio, None, Some(offer)) => {
                    let bits = Bits {
                        peak: offer.bits_per_second,
                        average: offer.bits_per_second,
                    };
                    let (codecs, channels) = (offer.codecs.clone(), offer.channels);
                    let group = id.name();
                    all.audios.push(AudioVariant {
                        uri,
                        group,
                        codecs,
                        channels,
                        bits,
                    });
                }
                (MediaKind::Video, None, _) | (MediaKind::Audio, None, None) => {}
            }
        }
        all
    }
}

/// A playlist that can't be written is said once a state, and is not there.
fn written(text: Result<String, PlaylistError>) -> Option<String> {
    text.inspect_err(|error| tracing::error!(%error, "hls playlist"))
        .ok()
}

/// How many of the oldest segments a delta update may leave out.
fn skippable(durations: impl DoubleEndedIterator<Item = Duration>, target_duration: u64) -> usize {
    let boundary = tags::skip_boundary(target_duration);
    let mut after = Duration::ZERO;
    let from_end = durations.rev().map(|duration| {
        let end = after;
        after += duration;
        end
    });
    from_end.filter(|end| *end > boundary).count()
}

/// Parts are listed of so many whole segments, and of the open one.
const LISTED_PARTS: usize = 3;
