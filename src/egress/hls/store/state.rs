//! What is kept of one stream: its newest segments and the playlists that list them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::{LibrarySettings, Resource};
use crate::egress::hls::playlist::{Entry, MediaList, PlaylistError, Variant};
use crate::egress::hls::segmenter::{Init, Media, Segment};
use crate::rtp::MediaKind;

#[derive(Debug)]
pub(super) struct State {
    /// Which recording may write.
    pub(super) generation: u64,
    /// The recording has not written yet.
    pub(super) fresh: bool,
    /// Since when its recording has ended, while it may get another.
    pub(super) abandoned: Option<Instant>,
    pub(super) ended: Option<Instant>,
    pub(super) unavailable: Option<String>,
    segments: VecDeque<Stored>,
    next_number: u64,
    discontinuities: u64,
    /// Seconds; only grows.
    target_duration: u64,
    // The playlists as they are served, made once a segment.
    pub(super) index: Option<Bytes>,
    pub(super) video: Option<Bytes>,
    pub(super) audio: Option<Bytes>,
}

#[derive(Debug)]
struct Stored {
    number: u64,
    segment: Segment,
    /// Discontinuities up to and with this segment.
    discontinuities: u64,
    /// The number of the segment that first used the same init segment.
    video_init: u64,
    audio_init: u64,
}

impl State {
    pub(super) fn new(first_number: u64) -> Self {
        Self {
            generation: 0,
            fresh: true,
            abandoned: None,
            ended: None,
            unavailable: None,
            segments: VecDeque::new(),
            next_number: first_number,
            discontinuities: 0,
            target_duration: 0,
            index: None,
            video: None,
            audio: None,
        }
    }

    pub(super) fn push(&mut self, mut segment: Segment, settings: &LibrarySettings) {
        let number = self.next_number;
        self.next_number += 1;
        segment.discontinuity = (segment.discontinuity || self.fresh) && !self.segments.is_empty();
        self.fresh = false;
        self.discontinuities += u64::from(segment.discontinuity);
        let longest = [&segment.video, &segment.audio]
            .into_iter()
            .flatten()
            .map(|media| media.duration)
            .max();
        let longest = longest.unwrap_or_default();
        // RFC 8216, section 4.3.3.1: durations are compared rounded to whole seconds.
        self.target_duration = self
            .target_duration
            .max((longest.as_secs_f64().round() as u64).max(1));
        let init = |kind, init: Option<&Arc<Init>>| {
            let last = self.segments.back().filter(|last| {
                let before = media(&last.segment, kind).map(|media| &media.init);
                before
                    .zip(init)
                    .is_some_and(|(before, init)| Arc::ptr_eq(before, init))
            });
            last.map_or(number, |last| last.init_number(kind))
        };
        let video_init = init(
            MediaKind::Video,
            segment.video.as_ref().map(|media| &media.init),
        );
        let audio_init = init(
            MediaKind::Audio,
            segment.audio.as_ref().map(|media| &media.init),
        );
        let discontinuities = self.discontinuities;
        self.segments.push_back(Stored {
            number,
            segment,
            discontinuities,
            video_init,
            audio_init,
        });
        while self.segments.len() > settings.window + settings.spare
            || (self.segments.len() > LEAST_SEGMENTS && self.bytes() > settings.max_bytes)
        {
            self.segments.pop_front();
        }
    }

    /// It is live, and has fewer segments than a player needs to begin.
    pub(super) fn is_too_young(&self) -> bool {
        self.ended.is_none() && self.segments.len() < LEAST_SEGMENTS
    }

    fn bytes(&self) -> usize {
        let bodies = |stored: &Stored| {
            let both = [&stored.segment.video, &stored.segment.audio];
            both.into_iter()
                .flatten()
                .map(|media| media.body.len())
                .sum::<usize>()
        };
        self.segments.iter().map(bodies).sum()
    }

    /// An init or media segment.
    pub(super) fn media(&self, path: &str) -> Resource {
        let find = || {
            let (kind, rest) = match path.strip_prefix("video-") {
                Some(rest) => (MediaKind::Video, rest),
                None => (MediaKind::Audio, path.strip_prefix("audio-")?),
            };
            if let Some(rest) = rest.strip_prefix("init-") {
                let number = parse_number(rest.strip_suffix(".mp4")?)?;
                let stored = self.segments.iter().find(|stored| {
                    stored.init_number(kind) == number && media(&stored.segment, kind).is_some()
                })?;
                return Some((kind, media(&stored.segment, kind)?.init.body.clone()));
            }
            let number = parse_number(rest.strip_suffix(".m4s")?)?;
            let stored = self
                .segments
                .iter()
                .find(|stored| stored.number == number)?;
            Some((kind, media(&stored.segment, kind)?.body.clone()))
        };
        match find() {
            Some((kind, body)) => {
                let content_type = if kind == MediaKind::Video {
                    "video/mp4"
                } else {
                    "audio/mp4"
                };
                Resource::Found {
                    content_type,
                    body,
                    cache_seconds: MEDIA_CACHE,
                }
            }
            None => Resource::NotFound,
        }
    }

    pub(super) fn write_playlists(&mut self, window: usize) -> Result<(), PlaylistError> {
        if self.segments.is_empty() {
            return Ok(());
        }
        let video = self
            .list(MediaKind::Video, window)
            .map(|list| list.write())
            .transpose()?;
        let audio = self
            .list(MediaKind::Audio, window)
            .map(|list| list.write())
            .transpose()?;
        let index = self
            .variant(window)
            .map(|variant| variant.write())
            .transpose()?;
        self.video = video.map(Bytes::from);
        self.audio = audio.map(Bytes::from);
        self.index = index.map(Bytes::from).or(self.index.take());
        Ok(())
    }

    /// The newest segments of a rendition that have no gap between them.
    fn list(&self, kind: MediaKind, window: usize) -> Option<MediaList> {
        let newest = self
            .segments
            .iter()
            .rev()
            .skip_while(|stored| media(&stored.segment, kind).is_none());
        let mut run: Vec<_> = newest
            .map_while(|stored| Some((stored, media(&stored.segment, kind)?)))
            .take(window)
            .collect();
        run.reverse();
        let (first, _) = *run.first()?;
        let entry = |(stored, media): &(&Stored, &Media)| Entry {
            uri: format!("{kind}-{}.m4s", stored.number),
            map: format!("{kind}-init-{}.mp4", stored.init_number(kind)),
            duration: media.duration,
            time: stored.segment.time,
            discontinuity: stored.segment.discontinuity,
        };
        Some(MediaList {
            target_duration: self.target_duration,
            first: first.number,
            discontinuities: first.discontinuities - u64::from(first.segment.discontinuity),
            independent: run.iter().all(|(stored, _)| stored.segment.independent),
            ended: self.ended.is_some(),
            segments: run.iter().map(entry).collect(),
        })
    }

    /// What the newest segment has, with the rates of all listed ones that have the same.
    fn variant(&self, window: usize) -> Option<Variant<'_>> {
        let newest = self.segments.back()?;
        let (mut bits, mut seconds, mut pictures, mut peak) = (0.0, 0.0, 0.0, 0.0_f64);
        for stored in self.segments.iter().rev().take(window) {
            if (stored.video_init, stored.audio_init) != (newest.video_init, newest.audio_init) {
                break;
            }
            let both = [&stored.segment.video, &stored.segment.audio];
            let size: usize = both
                .into_iter()
                .flatten()
                .map(|media| media.body.len())
                .sum();
            let length = both
                .into_iter()
                .flatten()
                .next()?
                .duration
                .as_secs_f64()
                .max(0.001);
            let size = size as f64 * 8.0;
            (bits, seconds, peak) = (bits + size, seconds + length, peak.max(size / length));
            pictures += stored
                .segment
                .video
                .as_ref()
                .map_or(0.0, |video| video.samples as f64);
        }
        let video = newest.segment.video.as_ref();
        let audio = newest.segment.audio.as_ref();
        Some(Variant {
            video: video.map(|media| ("video.m3u8", &*media.init.format, pictures / seconds)),
            audio: audio.map(|media| ("audio.m3u8", &*media.init.format)),
            peak: peak.ceil() as u64,
            average: (bits / seconds).ceil() as u64,
        })
    }
}

impl Stored {
    fn init_number(&self, kind: MediaKind) -> u64 {
        match kind {
            MediaKind::Video => self.video_init,
            MediaKind::Audio => self.audio_init,
        }
    }
}

/// Seconds: the name of a segment is never used again.
const MEDIA_CACHE: u32 = 3600;
/// A player of a live stream needs three segments: so many stay, however large they are, and there is no
/// playlist before there are so many.
const LEAST_SEGMENTS: usize = 3;

fn media(segment: &Segment, kind: MediaKind) -> Option<&Media> {
    match kind {
        MediaKind::Video => segment.video.as_ref(),
        MediaKind::Audio => segment.audio.as_ref(),
    }
}

/// A decimal number in its one spelling, so that each resource has one address.
fn parse_number(text: &str) -> Option<u64> {
    let canonical =
        text.bytes().all(|c| c.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| canonical)
}
