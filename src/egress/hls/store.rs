//! The segments of all streams in memory, by the paths that players ask for.
//!
//! Reading creates nothing: a path is looked up among what is there. Writing is done by one
//! [`Recording`] a stream at a time; a newer one takes over and the older one is ignored.

mod figures;
mod filing;
mod listing;
mod manifest;
mod numbers;
mod periods;
mod rates;
mod resource;
mod shelf;
mod state;
mod waiting;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::rendition::RenditionId;
use super::segmenter::{Part, Progress, Terms};
use crate::stream::{StreamName, StreamPattern};

pub use figures::Figures;
pub use filing::{Filed, FilingCounters, FilingFigures, Unfiled, file_name};
use numbers::Forgotten;
pub use numbers::first_number;
pub use resource::{Directives, File, Media, MediaFile, Rendered, Resource, Sound};
use state::{Answer, State};
use waiting::Seat;
pub use waiting::{Gone, Growing, Waiting};

/// How much is kept.
#[derive(Clone, Debug)]
pub struct LibrarySettings {
    /// Segments in a playlist.
    pub window: usize,
    /// Segments kept beyond that, for players that fetch late.
    pub spare: usize,
    /// How far behind the newest part players stay; never less than three parts.
    pub hold_back: Duration,
    /// Bytes of a stream; the oldest segments go first.
    pub max_bytes: usize,
    /// How long a stream waits for another publisher before its playlists end. What comes then would
    /// not be played: players take the end for good.
    pub grace: Duration,
    /// The same for some streams. The first whose pattern matches holds.
    pub graces: Vec<(StreamPattern, Duration)>,
    /// How long a stream stays after its end.
    pub linger: Duration,
    /// How much of the past is kept in files, as seen from the newest segment; zero: nothing.
    pub dvr_window: Duration,
    /// The same for some streams. The first whose pattern matches holds.
    pub dvr_windows: Vec<(StreamPattern, Duration)>,
    /// Requests of all streams that may wait for what comes next.
    pub waiting: usize,
    /// How long a rendition is made after somebody asked for it last.
    pub demand: Duration,
}

impl Default for LibrarySettings {
    fn default() -> Self {
        Self {
            window: 10,
            spare: 4,
            hold_back: Duration::ZERO,
            max_bytes: 64 << 20,
            grace: Duration::ZERO,
            graces: Vec::new(),
            linger: Duration::from_secs(30),
            dvr_window: Duration::ZERO,
            dvr_windows: Vec::new(),
            waiting: 20_000,
            demand: Duration::from_secs(30),
        }
    }
}

/// A rendition that is made when somebody asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its `CODECS` value.
    pub codecs: String,
    /// Its channels.
    pub channels: u8,
    /// What it will take.
    pub bits_per_second: u64,
}

/// What a request gets: at once, or later.
#[derive(Debug)]
pub enum Answered {
    /// This.
    Now(Resource),
    /// What this resolves to.
    Later(Waiting),
}

/// The streams that can be played by HLS. Clones are the same library.
#[derive(Clone, Debug)]
pub struct Library {
    settings: Arc<LibrarySettings>,
    streams: Arc<RwLock<HashMap<StreamName, Arc<Presentation>>>>,
    waiting: waiting::Count,
    filing: Arc<FilingCounters>,
    ids: Arc<AtomicU64>,
    forgotten: Forgotten,
}

impl Library {
    /// An empty library.
    pub fn new(settings: LibrarySettings) -> Self {
        Self {
            settings: Arc::new(settings),
            streams: Arc::default(),
            waiting: Arc::default(),
            filing: Arc::default(),
            ids: Arc::default(),
            forgotten: Forgotten::default(),
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

    fn presentation(&self, stream: &StreamName, first_number: u64) -> Presentation {
        let of = |some: &[(StreamPattern, Duration)], every| {
            let own = some.iter().find(|(pattern, _)| pattern.matches(stream));
            own.map_or(every, |(_, own)| *own)
        };
        let settings = &self.settings;
        let dvr_window = of(&settings.dvr_windows, settings.dvr_window);
        let listed = (!dvr_window.is_zero()).then_some(settings.window);
        Presentation {
            id: self.ids.fetch_add(1, Ordering::Relaxed),
            grace: of(&settings.graces, settings.grace),
            dvr_window,
            settings: Arc::clone(&self.settings),
            waiting: Arc::clone(&self.waiting),
            state: Mutex::new(State::new(self.forgotten.above(first_number), listed)),
        }
    }

    fn presentations(&self) -> Vec<Arc<Presentation>> {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        streams.values().cloned().collect()
    }

    /// Begins to record a stream. A presentation that is there goes on with a discontinuity.
    ///
    /// `first_number` is that of the first segment of a new presentation, if no presentation before had numbers
    /// from there on: see [`first_number()`].
    pub fn record(&self, stream: &StreamName, first_number: u64) -> Recording {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        let presentation = streams
            .entry(stream.clone())
            .or_insert_with(|| Arc::new(self.presentation(stream, first_number)));
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
            let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
            streams.retain(|_, presentation| {
                let over = over(presentation);
                if over {
                    self.forgotten.add(presentation.lock().next_number);
                }
                !over
            });
        }
    }
}

/// One stream as players see it.
#[derive(Debug)]
pub struct Presentation {
    settings: Arc<LibrarySettings>,
    id: u64,
    grace: Duration,
    dvr_window: Duration,
    waiting: waiting::Count,
    state: Mutex<State>,
}

impl Presentation {
    /// A file as it is now, or once it has come. A wait has no limit of time: the caller's is
    /// [`Self::patience`].
    pub fn ask(self: Arc<Self>, file: File, directives: Directives, now: Instant) -> Answered {
        let mut state = self.lock();
        match state.answer(file, directives, &self.settings, now) {
            Answer::Ready(resource) => Answered::Now(resource),
            Answer::Grows(rendition, number) => {
                let seat = Seat::take(&self, &mut state, rendition);
                drop(state);
                Answered::Now(Growing::of(seat, number))
            }
            Answer::After(_) => {
                drop(state);
                Answered::Later(Waiting {
                    presentation: self,
                    file,
                    directives,
                    asked: now,
                    seat: None,
                })
            }
        }
    }

    /// A file as it is now.
    pub fn get(&self, file: File, now: Instant) -> Resource {
        match self
            .lock()
            .answer(file, Directives::default(), &self.settings, now)
        {
            Answer::Ready(resource) => resource,
            Answer::After(_) | Answer::Grows(..) => Resource::NotYet,
        }
    }

    /// The length that no segment exceeds, in seconds, once it is known.
    pub fn target_duration(&self) -> Option<u64> {
        self.lock().terms.and_then(|terms| terms.target_duration)
    }

    /// How long a request may wait: three target durations (rfc8216bis, section 6.2.5.2).
    pub fn patience(&self) -> Duration {
        Duration::from_secs(3 * self.target_duration().unwrap_or(2))
    }

    /// What making it costs; none of a recording that has not said it yet.
    pub fn figures(&self) -> Option<Figures> {
        self.lock().figures
    }

    /// Bytes of media that are kept.
    pub fn bytes(&self) -> usize {
        self.lock().bytes()
    }

    fn begin(&self) -> u64 {
        let mut state = self.lock();
        let generation = state.begin();
        self.wake_all(state);
        generation
    }

    fn handle_timeout(&self, now: Instant) {
        let mut state = self.lock();
        if state
            .abandoned
            .is_some_and(|since| now >= since + self.grace)
        {
            state.end(now);
            self.wake_all(state);
        }
    }

    fn ends(&self) -> Option<Instant> {
        self.lock().ended.map(|since| since + self.settings.linger)
    }

    /// Everybody looks again.
    fn wake_all(&self, mut state: MutexGuard<'_, State>) {
        let wakers = state.take_all_wakers();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
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
    /// Adds a part; ignored once another recording of the stream has one.
    pub fn push(&self, part: Part) {
        let mut state = self.presentation.lock();
        let takes_over = !state.writes(self.generation);
        if takes_over && !state.may_write(self.generation) {
            return;
        }
        let rendition = part.rendition;
        let presentation = &self.presentation;
        state.push(part, presentation.dvr_window, &presentation.settings);
        let wakers = match takes_over {
            true => state.take_all_wakers(),
            false => state.take_wakers(rendition),
        };
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// What the playlists promise already, for the segmenter of this recording.
    pub fn terms(&self) -> Option<Terms> {
        self.presentation.lock().terms
    }

    /// How far the media of the publishers before has come, for the segmenter of this recording.
    pub fn progress(&self) -> Option<Progress> {
        self.presentation.lock().progress
    }

    /// Says that a rendition would be made if somebody asked for it: the multivariant playlist lists it.
    /// None takes the offer back.
    pub fn offer(&self, rendition: RenditionId, offer: Option<Offer>) {
        let mut state = self.presentation.lock();
        state.set_offer(self.generation, rendition, offer);
    }

    /// Whether somebody asked for a rendition's playlist lately: look from time to time. Where the past is
    /// kept all are wanted, as one that was not made would be missing there.
    pub fn is_wanted(&self, rendition: RenditionId, now: Instant) -> bool {
        if self.presentation.keeps_past() {
            return true;
        }
        let state = self.presentation.lock();
        let asked = state.asked[rendition.index()];
        asked
            .is_some_and(|at| now.saturating_duration_since(at) < self.presentation.settings.demand)
    }

    /// Says what making the stream costs.
    pub fn set_figures(&self, figures: Figures) {
        let mut state = self.presentation.lock();
        if state.writes(self.generation) {
            state.figures = Some(figures);
        }
    }

    /// Says why the stream can't be played by HLS.
    pub fn refuse(&self, reason: &str) {
        let mut state = self.presentation.lock();
        if state.may_write(self.generation) {
            state.unavailable = Some(reason.to_owned());
            self.presentation.wake_all(state);
        }
    }

    /// The publisher has gone: after the grace the playlists end, unless another recording has begun,
    /// and after the linger time the stream is removed.
    pub fn end(&self, now: Instant) {
        let mut state = self.presentation.lock();
        let last = state.leave(self.generation, now);
        self.presentation.wake_all(state);
        if last && self.presentation.grace.is_zero() {
            self.presentation.handle_timeout(now);
        }
    }
}

#[cfg(test)]
mod tests;
