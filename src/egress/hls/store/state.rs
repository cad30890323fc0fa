//! What is kept of one stream, and what its playlists say.

mod recordings;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use slab::Slab;

use super::periods::Periods;
use super::resource::{Directives, File, Rendered, Resource, Sound};
use super::shelf::{Shape, Shelf};
use super::{Figures, LibrarySettings, Offer};
use crate::egress::hls::rendition::RenditionId;
use crate::egress::hls::segmenter::pace::least;
use crate::egress::hls::segmenter::{Part, Progress, Terms};

#[derive(Debug)]
pub(super) struct State {
    /// Which recording writes.
    generation: u64,
    /// The one that has begun last. What the one before has hinted at is still to come, so that goes on until
    /// this one has its first part.
    newest: u64,
    /// Since when its recording has ended, while it may get another.
    pub(super) abandoned: Option<Instant>,
    pub(super) ended: Option<Instant>,
    pub(super) unavailable: Option<String>,
    pub(super) figures: Option<Figures>,
    /// What the playlists promise, once it is settled.
    pub(super) terms: Option<Terms>,
    /// How far all recordings have come.
    pub(super) progress: Option<Progress>,
    /// By [`RenditionId::index`].
    pub(super) shelves: Vec<Shelf>,
    /// Renditions that would be made if somebody asked for them.
    pub(super) offers: [Option<Offer>; RenditionId::COUNT],
    /// The same of the newest recording before it writes.
    next_offers: [Option<Offer>; RenditionId::COUNT],
    /// When each rendition was last asked for.
    pub(super) asked: [Option<Instant>; RenditionId::COUNT],
    /// Who waits for the next part of each rendition.
    pub(super) waiting: [Slab<Option<Waker>>; RenditionId::COUNT],
    /// The number of segment 0 of the recording.
    base: u64,
    /// The first number that no segment has.
    pub(super) next_number: u64,
    pub(super) first_number: u64,
    /// The newest segments, each with the discontinuities up to it and its own.
    pub(super) cuts: VecDeque<(u64, u64)>,
    /// By [`Sound`].
    pub(super) indexes: [Option<Arc<Rendered>>; Sound::COUNT],
    /// The same of DASH.
    pub(super) manifests: [Option<Arc<Rendered>>; Sound::COUNT],
    pub(super) periods: Periods,
    /// Somebody knows what they are.
    pub(super) manifest_seen: bool,
    /// The date of the newest manifest, ns since 1970.
    pub(super) published: i64,
    /// The folder of the segments that are in files, once there are any.
    pub(super) folder: Option<Arc<Path>>,
    /// Playlists list segments in files from this one on.
    pub(super) past_since: u64,
    /// Whole segments that playlists list in any case, where they list those in files too.
    pub(super) listed: Option<usize>,
    /// Counts changes, to name states.
    pub(super) changes: u64,
}

/// An answer, or the rendition whose next part must come first.
pub(super) enum Answer {
    Ready(Resource),
    After(RenditionId),
    /// A segment that grows.
    Grows(RenditionId, u64),
}

impl State {
    pub(super) fn new(first_number: u64, listed: Option<usize>) -> Self {
        Self {
            generation: 0,
            newest: 0,
            abandoned: None,
            ended: None,
            unavailable: None,
            figures: None,
            terms: None,
            progress: None,
            shelves: RenditionId::all().map(Shelf::new).collect(),
            offers: std::array::from_fn(|_| None),
            next_offers: std::array::from_fn(|_| None),
            asked: [None; RenditionId::COUNT],
            waiting: std::array::from_fn(|_| Slab::new()),
            base: first_number,
            next_number: first_number,
            first_number,
            cuts: VecDeque::new(),
            indexes: Default::default(),
            manifests: Default::default(),
            periods: Periods::default(),
            manifest_seen: false,
            published: i64::MIN,
            folder: None,
            past_since: 0,
            listed,
            changes: 0,
        }
    }

    /// Nothing more comes of the open segments.
    pub(super) fn close(&mut self) {
        self.periods.close(self.media_end());
        self.manifests = Default::default();
        self.shelves.iter_mut().for_each(Shelf::close);
        self.close_filing();
        self.changes += 1;
    }

    pub(super) fn end(&mut self, now: Instant) {
        self.abandoned = None;
        self.ended = Some(now);
        self.close();
        self.forget_rendered();
    }

    fn forget_rendered(&mut self) {
        self.indexes = Default::default();
        self.manifests = Default::default();
        for shelf in &mut self.shelves {
            shelf.rendered = Default::default();
        }
    }

    /// Adds a part; `window` is how much of the past is kept in files.
    pub(super) fn push(&mut self, part: Part, window: Duration, settings: &LibrarySettings) {
        let number = self.base + part.segment;
        let discontinuity = part.discontinuity && number > self.first_number;
        if number >= self.next_number {
            self.begin_segment(&part, number, discontinuity);
            self.next_number = number + 1;
            let before = self.cuts.back().map_or(0, |(_, count)| *count);
            self.cuts
                .push_back((number, before + u64::from(discontinuity)));
            self.trim(window, settings);
        }
        self.promise(part.terms);
        let end = self.progress.map_or(0, |progress| progress.end);
        self.progress = Some(Progress {
            end: part.progress.end.max(end),
            ..part.progress
        });
        self.changes += 1;
        if part.last {
            self.indexes = Default::default();
            self.manifests = Default::default();
        }
        let rendition = part.rendition;
        if let Some(shelf) = self.shelves.get_mut(rendition.index()) {
            shelf.push(part, number, discontinuity);
            let newest = shelf.segments.back();
            let init = newest.map_or(number, |last| last.init_number);
            self.periods.handle_part(rendition, number, init);
            // What began without a keyframe is told at once.
            if newest.is_some_and(|last| last.parts.len() <= 1 && !last.is_independent()) {
                self.indexes = Default::default();
            }
        }
        self.close_filing();
    }

    /// Takes what the segmenter promises, until the playlists promise it: what an earlier publisher left
    /// must keep it too.
    fn promise(&mut self, new: Terms) {
        let part_target = self
            .terms
            .map_or(new.part_target, |terms| terms.part_target);
        if self
            .terms
            .is_some_and(|terms| terms.target_duration.is_some())
        {
            return;
        }
        let kept = self.shelves.iter().flat_map(|shelf| &shelf.segments);
        let longest = kept.map(|segment| rounded(segment.duration)).max();
        let target_duration = new
            .target_duration
            .map(|target| target.max(longest.unwrap_or(0)));
        self.terms = Some(Terms {
            part_target,
            target_duration,
        });
    }

    fn trim(&mut self, window: Duration, settings: &LibrarySettings) {
        let keep = (settings.window + settings.spare) as u64;
        let mut oldest = self.next_number.saturating_sub(keep + 1);
        while self.bytes() > settings.max_bytes && oldest + LEAST_SEGMENTS < self.next_number {
            self.release_before(oldest, window);
            oldest += 1;
        }
        self.release_before(oldest, window);
        // DASH has what is in memory.
        self.periods.drop_before(oldest);
        if !window.is_zero() {
            self.trim_past(window, settings);
        }
    }

    /// Drops segments, wherever they are.
    pub(super) fn drop_before(&mut self, number: u64) {
        for shelf in &mut self.shelves {
            shelf.drop_before(number);
        }
        // The one before the oldest says how many discontinuities there were before it.
        while self.cuts.len() > 1 && self.cuts.get(1).is_some_and(|(next, _)| *next < number) {
            self.cuts.pop_front();
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.shelves.iter().map(|shelf| shelf.bytes).sum()
    }

    /// It is live, and has less than a player needs to begin.
    pub(super) fn is_too_young(&self) -> bool {
        let settled = self
            .terms
            .is_some_and(|terms| terms.target_duration.is_some());
        self.ended.is_none() && !settled
    }

    /// What a request gets now. `now` is noted for renditions that are made on demand.
    pub(super) fn answer(
        &mut self,
        file: File,
        directives: Directives,
        settings: &LibrarySettings,
        now: Instant,
    ) -> Answer {
        if let Some(reason) = &self.unavailable {
            return Answer::Ready(Resource::Unavailable(reason.clone()));
        }
        let media = match file {
            File::Index(sound) => return Answer::Ready(self.index(sound, settings)),
            File::Playlist(id) => {
                self.ask_for(id, now);
                return self.playlist(id, directives, settings);
            }
            File::IFrames(id) => return Answer::Ready(self.iframes(id, settings)),
            File::Manifest(sound) => return self.manifest(sound, settings, now),
            File::Growing(id, number) => return self.growing(id, number),
            File::Init(id, number) => self.shelves[id.index()].init(number),
            File::Segment(id, number) => {
                let found = self.whole(id, number);
                return Answer::Ready(found.unwrap_or(Resource::NotFound));
            }
            File::Part(id, number, part) => {
                let shelf = &self.shelves[id.index()];
                let found = shelf.part(number, part);
                // The hint named it, so it will come, unless the rendition has gone.
                let hinted = shelf.next_part() == Some((number, part));
                let goes_on = self.ended.is_none() && number + 1 >= self.next_number;
                if found.is_none() && hinted && goes_on {
                    return Answer::After(id);
                }
                found
            }
        };
        Answer::Ready(media.map_or(Resource::NotFound, Resource::Media))
    }

    /// Somebody has asked for a rendition. Who waits asks again with the time at which that began, and others may have
    /// asked since.
    pub(super) fn ask_for(&mut self, id: RenditionId, asked: Instant) {
        let last = &mut self.asked[id.index()];
        *last = (*last).max(Some(asked));
    }

    fn playlist(
        &mut self,
        id: RenditionId,
        directives: Directives,
        settings: &LibrarySettings,
    ) -> Answer {
        if let Some(answer) = self.awaited(id, settings) {
            return answer;
        }
        let shelf = &self.shelves[id.index()];
        if let Some(number) = directives.segment.filter(|_| self.ended.is_none()) {
            match self.reaches(shelf, number, directives.part) {
                Reach::There => {}
                Reach::Ahead => return Answer::After(id),
                Reach::TooFar => return Answer::Ready(Resource::TooFarAhead),
            }
        }
        let shape = match directives.skip {
            true => Shape::Delta,
            false => Shape::Whole,
        };
        let rendered = self.render(id, shape, settings);
        Answer::Ready(rendered.map_or(Resource::NotFound, Resource::Playlist))
    }

    /// What is answered while a rendition can't be played; none when it can.
    pub(super) fn awaited(&self, id: RenditionId, settings: &LibrarySettings) -> Option<Answer> {
        let offered = self.offers[id.index()].is_some();
        if self.is_too_young() {
            return Some(Answer::Ready(Resource::NotYet));
        }
        let shelf = &self.shelves[id.index()];
        // Players begin with some segments, and one that is only just being made gets them soon.
        let least = if offered { FIRST_SEGMENTS } else { 1 };
        let run = shelf.run(settings.window);
        let whole = run.filter(|segment| segment.complete).take(least).count() == least;
        // One that is made on demand and was not wanted for a while is not there.
        let stale = offered
            && shelf
                .segments
                .back()
                .is_none_or(|last| last.number + 2 < self.next_number);
        if !whole || (stale && self.ended.is_none()) {
            let coming = offered || shelf.kept().next().is_some();
            return Some(if coming && self.ended.is_none() {
                Answer::After(id)
            } else {
                Answer::Ready(Resource::NotFound)
            });
        }
        None
    }

    /// Whether the playlist holds a part; without one, the first of the segment.
    fn reaches(&self, shelf: &Shelf, number: u64, part: Option<usize>) -> Reach {
        let Some(last) = shelf.segments.back() else {
            return Reach::Ahead;
        };
        let advance = self.terms.map_or(3, advance_limit);
        let wanted = part.unwrap_or(0);
        let count = last.parts.len();
        if number < last.number {
            Reach::There
        } else if number == last.number {
            match wanted < count {
                true => Reach::There,
                // After the last part of a segment comes the first of the next.
                false if wanted < count + advance => Reach::Ahead,
                false => Reach::TooFar,
            }
        } else if number <= last.number + 2 && wanted <= advance {
            Reach::Ahead
        } else {
            Reach::TooFar
        }
    }
}

enum Reach {
    There,
    Ahead,
    TooFar,
}

/// RFC 8216, section 4.3.3.1: durations are compared rounded to whole seconds.
pub(super) fn rounded(duration: Duration) -> u64 {
    (duration.as_millis() as u64 + 500) / 1000
}

/// The Advance Part Limit (rfc8216bis, section 6.2.5.2), but no fewer parts than a segment may have: hls.js without its
/// low latency asks for the last part of a segment that it has not seen yet, by the number that the one before had.
fn advance_limit(terms: Terms) -> usize {
    let length = Duration::from_secs(terms.target_duration.unwrap_or(3)).max(ADVANCE);
    let least = least(terms.part_target.as_nanos() as i64).max(1) as u128;
    length.as_nanos().div_ceil(least).max(3) as usize
}

/// Parts that come within this time may be asked for in any case.
const ADVANCE: Duration = Duration::from_secs(3);

/// Chromium's own player never begins with fewer.
const FIRST_SEGMENTS: usize = 3;

/// A player of a live stream needs three segments: so many stay, however large they are.
const LEAST_SEGMENTS: u64 = 4;
