//! The segments of all streams in memory, by the paths that players ask for.
//!
//! Reading creates nothing: a path is looked up among what is there. Writing is done by one
//! [`Recording`] a stream at a time; a newer one takes over and the older one is ignored.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::playlist::{Entry, MediaList, PlaylistError, Variant};
use super::segmenter::{Init, Media, Segment};
use crate::rtp::MediaKind;
use crate::stream::StreamName;

/// How much is kept.
#[derive(Clone, Debug)]
pub struct LibrarySettings {
    /// Segments in a playlist.
    pub window: usize,
    /// Segments kept beyond that, for players that fetch late.
    pub spare: usize,
    /// Bytes of a stream; the oldest segments go first.
    pub max_bytes: usize,
    /// How long a stream stays after its publisher has gone.
    pub linger: Duration,
}

impl Default for LibrarySettings {
    fn default() -> Self {
        Self {
            window: 10,
            spare: 4,
            max_bytes: 64 << 20,
            linger: Duration::from_secs(30),
        }
    }
}

/// The answer to a player's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// It is there.
    Found {
        /// Its media type.
        content_type: &'static str,
        /// Its bytes.
        body: Bytes,
        /// How long a cache may keep it.
        cache_seconds: u32,
    },
    /// The stream is live, but has no segment yet: ask again in a second.
    NotYet,
    /// The stream can't be played by HLS; the text is for the user.
    Unavailable(String),
    /// There is no such thing, or no more.
    NotFound,
}

/// The streams that can be played by HLS. Clones are the same library.
#[derive(Clone, Debug)]
pub struct Library {
    settings: Arc<LibrarySettings>,
    streams: Arc<RwLock<HashMap<StreamName, Arc<Presentation>>>>,
}

impl Library {
    /// An empty library.
    pub fn new(settings: LibrarySettings) -> Self {
        Self {
            settings: Arc::new(settings),
            streams: Arc::default(),
        }
    }

    /// The presentation of a stream, when it is live or lingers.
    pub fn get(&self, stream: &StreamName) -> Option<Arc<Presentation>> {
        self.streams
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(stream)
            .cloned()
    }

    /// Begins to record a stream. A presentation that is there goes on with a discontinuity.
    ///
    /// `first_number` is that of the first segment of a new presentation. Seconds since 1970 make it one that
    /// no cache has seen, as segments are longer than a second.
    pub fn record(&self, stream: &StreamName, first_number: u64) -> Recording {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        let presentation = streams.entry(stream.clone()).or_insert_with(|| {
            Arc::new(Presentation::new(Arc::clone(&self.settings), first_number))
        });
        let presentation = Arc::clone(presentation);
        // Under the lock of the directory, so that it can't be removed meanwhile.
        let generation = presentation.begin();
        Recording {
            presentation,
            generation,
        }
    }

    /// Forgets the streams whose time is over. Call it about once a second.
    pub fn handle_timeout(&self, now: Instant) {
        let over = |presentation: &Presentation| presentation.ends().is_some_and(|end| now >= end);
        let any = self
            .streams
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .any(|p| over(p));
        if any {
            self.streams
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .retain(|_, p| !over(p));
        }
    }

    /// When [`Self::handle_timeout`] has something to do, as far as it is known now.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.streams
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .filter_map(|p| p.ends())
            .min()
    }
}

/// One stream as players see it.
#[derive(Debug)]
pub struct Presentation {
    settings: Arc<LibrarySettings>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Which recording may write.
    generation: u64,
    /// The recording has not written yet.
    fresh: bool,
    ended: Option<Instant>,
    unavailable: Option<String>,
    segments: VecDeque<Stored>,
    next_number: u64,
    discontinuities: u64,
    /// Seconds; only grows.
    target_duration: u64,
    // The playlists as they are served, made once a segment.
    index: Option<Bytes>,
    video: Option<Bytes>,
    audio: Option<Bytes>,
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

impl Presentation {
    /// What is at `path`: `index.m3u8`, `video.m3u8`, `audio.m3u8`, `video-init-7.mp4`, `audio-9.m4s` and so on.
    pub fn get(&self, path: &str) -> Resource {
        let state = self.lock();
        if let Some(reason) = &state.unavailable {
            return Resource::Unavailable(reason.clone());
        }
        let playlist = match path {
            "index.m3u8" => &state.index,
            "video.m3u8" => &state.video,
            "audio.m3u8" => &state.audio,
            _ => return state.media(path),
        };
        match playlist {
            Some(body) => Resource::Found {
                content_type: "application/vnd.apple.mpegurl",
                body: body.clone(),
                cache_seconds: 1,
            },
            None if state.index.is_none() && state.ended.is_none() => Resource::NotYet,
            None => Resource::NotFound,
        }
    }

    fn new(settings: Arc<LibrarySettings>, first_number: u64) -> Self {
        let state = State {
            generation: 0,
            fresh: true,
            ended: None,
            unavailable: None,
            segments: VecDeque::new(),
            next_number: first_number,
            discontinuities: 0,
            target_duration: 0,
            index: None,
            video: None,
            audio: None,
        };
        Self {
            settings,
            state: Mutex::new(state),
        }
    }

    fn begin(&self) -> u64 {
        let mut state = self.lock();
        state.generation += 1;
        state.fresh = true;
        state.unavailable = None;
        let ended = state.ended.take().is_some();
        if ended && let Err(error) = state.write_playlists(self.settings.window) {
            tracing::error!(%error, "hls playlist");
        }
        state.generation
    }

    fn ends(&self) -> Option<Instant> {
        self.lock().ended.map(|since| since + self.settings.linger)
    }

    /// What a panic left behind is whole: every change of the state is complete before the next begins.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to write a presentation.
#[derive(Debug)]
pub struct Recording {
    presentation: Arc<Presentation>,
    generation: u64,
}

impl Recording {
    /// Adds a segment; ignored once another recording of the stream has begun.
    ///
    /// # Errors
    ///
    /// [`PlaylistError`]; the playlists stay as they were before.
    pub fn push(&self, segment: Segment) -> Result<(), PlaylistError> {
        let settings = &self.presentation.settings;
        match self.state() {
            Some(mut state) => {
                state.push(segment, settings);
                state.write_playlists(settings.window)
            }
            None => Ok(()),
        }
    }

    /// Says why the stream can't be played by HLS.
    pub fn refuse(&self, reason: &str) {
        if let Some(mut state) = self.state() {
            state.unavailable = Some(reason.to_owned());
        }
    }

    /// The publisher has gone: the playlists end, and after the linger time the stream is removed.
    pub fn end(&self, now: Instant) {
        if let Some(mut state) = self.state() {
            state.ended = Some(now);
            if let Err(error) = state.write_playlists(self.presentation.settings.window) {
                tracing::error!(%error, "hls playlist");
            }
        }
    }

    fn state(&self) -> Option<MutexGuard<'_, State>> {
        Some(self.presentation.lock()).filter(|state| state.generation == self.generation)
    }
}

impl State {
    fn push(&mut self, mut segment: Segment, settings: &LibrarySettings) {
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
    fn media(&self, path: &str) -> Resource {
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

    fn write_playlists(&mut self, window: usize) -> Result<(), PlaylistError> {
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
/// So many segments stay, however large they are: a player needs three.
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
