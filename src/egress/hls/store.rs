//! The segments of all streams in memory, by the paths that players ask for.
//!
//! Reading creates nothing: a path is looked up among what is there. Writing is done by one
//! [`Recording`] a stream at a time; a newer one takes over and the older one is ignored.

mod state;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::playlist::PlaylistError;
use super::segmenter::Segment;
use crate::stream::StreamName;

use state::State;

/// How much is kept.
#[derive(Clone, Debug)]
pub struct LibrarySettings {
    /// Segments in a playlist.
    pub window: usize,
    /// Segments kept beyond that, for players that fetch late.
    pub spare: usize,
    /// Bytes of a stream; the oldest segments go first.
    pub max_bytes: usize,
    /// How long a stream waits for another publisher before its playlists end. What comes then would
    /// not be played: players take the end for good.
    pub grace: Duration,
    /// How long a stream stays after its end.
    pub linger: Duration,
}

impl Default for LibrarySettings {
    fn default() -> Self {
        Self {
            window: 10,
            spare: 4,
            max_bytes: 64 << 20,
            grace: Duration::ZERO,
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
    /// The stream is live, but has too few segments yet: ask again in a second.
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

    fn presentations(&self) -> Vec<Arc<Presentation>> {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        streams.values().cloned().collect()
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

    /// Ends the streams that got no other publisher, and forgets those whose time is over. Call it
    /// about once a second.
    pub fn handle_timeout(&self, now: Instant) {
        for presentation in self.presentations() {
            presentation.handle_timeout(now);
        }
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
}

/// One stream as players see it.
#[derive(Debug)]
pub struct Presentation {
    settings: Arc<LibrarySettings>,
    state: Mutex<State>,
}

impl Presentation {
    /// What is at `path`: `index.m3u8`, `video.m3u8`, `audio.m3u8`, `video-init-7.mp4`, `audio-9.m4s` and so on.
    ///
    /// The playlists of a live stream are there from its third segment on. Chromium's own player fails for
    /// good on a live playlist of one or two. A stream that has ended is played however short it was.
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
        if state.is_too_young() {
            return Resource::NotYet;
        }
        match playlist {
            Some(body) => Resource::Found {
                content_type: "application/vnd.apple.mpegurl",
                body: body.clone(),
                cache_seconds: 1,
            },
            None => Resource::NotFound,
        }
    }

    fn new(settings: Arc<LibrarySettings>, first_number: u64) -> Self {
        let state = State::new(first_number);
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
        state.abandoned = None;
        let ended = state.ended.take().is_some();
        if ended && let Err(error) = state.write_playlists(self.settings.window) {
            tracing::error!(%error, "hls playlist");
        }
        state.generation
    }

    fn handle_timeout(&self, now: Instant) {
        let mut state = self.lock();
        if state
            .abandoned
            .is_some_and(|since| now >= since + self.settings.grace)
        {
            state.abandoned = None;
            state.ended = Some(now);
            if let Err(error) = state.write_playlists(self.settings.window) {
                tracing::error!(%error, "hls playlist");
            }
        }
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

    /// The publisher has gone: after the grace the playlists end, unless another recording has begun,
    /// and after the linger time the stream is removed.
    pub fn end(&self, now: Instant) {
        if let Some(mut state) = self.state() {
            state.abandoned = Some(now);
        }
        if self.presentation.settings.grace.is_zero() {
            self.presentation.handle_timeout(now);
        }
    }

    fn state(&self) -> Option<MutexGuard<'_, State>> {
        Some(self.presentation.lock()).filter(|state| state.generation == self.generation)
    }
}

#[cfg(test)]
mod tests;
