//! What of a stream is in files, beyond what memory holds. Somebody else writes them; here is known which
//! there are, so that playlists list them. Pure.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::resource::{Resource, content_type};
use super::shelf::Filing;
use super::state::State;
use super::{Library, LibrarySettings, Presentation};
use crate::egress::hls::rendition::RenditionId;

/// A whole segment that is in no file yet.
#[derive(Debug)]
pub struct Unfiled {
    /// Of what it is.
    pub rendition: RenditionId,
    /// Its number.
    pub number: u64,
    /// The bytes, in pieces.
    pub body: Arc<[Bytes]>,
}

/// A segment that is only in a file.
#[derive(Clone, Debug)]
pub struct Filed {
    /// Its media type.
    pub content_type: &'static str,
    /// Where it is.
    pub path: PathBuf,
    /// How long the file is.
    pub bytes: usize,
}

/// How much of all streams is in files.
#[derive(Debug, Default)]
pub struct FilingCounters {
    bytes: AtomicU64,
    segments: AtomicU64,
    failures: AtomicU64,
}

/// The same at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilingFigures {
    /// Bytes that are in files.
    pub bytes: u64,
    /// Segments that are.
    pub segments: u64,
    /// How often a file could not be written or removed.
    pub failures: u64,
}

impl FilingCounters {
    /// Says what there is now.
    pub fn set(&self, bytes: u64, segments: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.segments.store(segments, Ordering::Relaxed);
    }

    /// Counts a failure.
    pub fn handle_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted.
    pub fn figures(&self) -> FilingFigures {
        FilingFigures {
            bytes: self.bytes.load(Ordering::Relaxed),
            segments: self.segments.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }
}

/// The name of the file of a segment, in the folder of its stream.
pub fn file_name(rendition: RenditionId, number: u64) -> String {
    format!("{rendition}-{number}.m4s")
}

impl Library {
    /// The streams whose past is kept in files.
    pub fn filing(&self) -> Vec<Arc<Presentation>> {
        let mut all = self.presentations();
        all.retain(|presentation| presentation.keeps_past());
        all
    }

    /// Whether there may be such streams.
    pub fn keeps_past(&self) -> bool {
        let windows = self.settings.dvr_windows.iter();
        let mut all = windows.map(|(_, window)| window);
        !self.settings.dvr_window.is_zero() || all.any(|window| !window.is_zero())
    }

    /// How much is in files.
    pub fn filing_counters(&self) -> &FilingCounters {
        &self.filing
    }
}

impl Presentation {
    /// A number that no other presentation of this library has.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether its past is kept in files.
    pub fn keeps_past(&self) -> bool {
        !self.dvr_window.is_zero()
    }

    /// The oldest whole segment that is to be in a file and is not.
    pub fn unfiled(&self) -> Option<Unfiled> {
        let state = self.lock();
        let all = state.shelves.iter().flat_map(|shelf| {
            let due = |segment: &&_| is_due(segment);
            shelf.kept().find(due).map(|segment| (shelf.id, segment))
        });
        let (rendition, segment) = all.min_by_key(|(_, segment)| segment.number)?;
        Some(Unfiled {
            rendition,
            number: segment.number,
            body: segment.body(),
        })
    }

    /// A segment is in a file of this folder, by its [`file_name`].
    pub fn set_filed(&self, rendition: RenditionId, number: u64, folder: &Arc<Path>) {
        let mut state = self.lock();
        state.folder = Some(Arc::clone(folder));
        let mut kept = state.shelves[rendition.index()].kept_mut();
        // One that the playlists have given up meanwhile must not come back.
        if let Some(segment) = kept.find(|segment| segment.number == number)
            && segment.filing == Filing::Not
        {
            segment.filing = Filing::Filed;
        }
    }

    /// The segments up to `number` are in no file any more and will not be: what is not in memory is gone.
    pub fn unfile_through(&self, number: u64) {
        let mut state = self.lock();
        for shelf in &mut state.shelves {
            for segment in shelf.kept_mut().filter(|segment| segment.number <= number) {
                segment.filing = Filing::Lost;
            }
        }
        let kept = state.shelves.iter().flat_map(|shelf| shelf.kept().next());
        let oldest = kept.map(|segment| segment.number).min();
        state.drop_before((number + 1).min(oldest.unwrap_or(u64::MAX)));
        state.changes += 1;
    }

    /// The oldest segment that there is, in memory or in a file.
    pub fn oldest(&self) -> Option<u64> {
        let state = self.lock();
        let first = state
            .shelves
            .iter()
            .flat_map(|shelf| shelf.segments.front());
        first.map(|segment| segment.number).min()
    }
}

fn is_due(segment: &super::shelf::Stored) -> bool {
    segment.complete && segment.filing == Filing::Not
}

impl State {
    /// Segments before `number` leave the memory; those that are in files stay so.
    pub(super) fn release_before(&mut self, number: u64, window: Duration) {
        if window.is_zero() {
            self.drop_before(number);
            return;
        }
        // A gap in one rendition ends the past of all.
        let leaving = self.shelves.iter().flat_map(|shelf| shelf.kept());
        let lost = leaving
            .filter(|segment| segment.number < number && segment.complete)
            .filter(|segment| segment.filing != Filing::Filed)
            .map(|segment| segment.number)
            .max();
        if let Some(lost) = lost {
            self.drop_before(lost + 1);
        }
        for shelf in &mut self.shelves {
            shelf.release_before(number);
        }
    }

    /// Gives up segments that are in no file when playlists leave them out: they must not list them again.
    pub(super) fn close_filing(&mut self) {
        let Some(listed) = self.listed else {
            return;
        };
        for shelf in &mut self.shelves {
            let kept = shelf.kept_mut().rev();
            let whole = kept.filter(|segment| segment.complete);
            for segment in whole.skip(listed) {
                if segment.filing == Filing::Not {
                    segment.filing = Filing::Lost;
                }
            }
        }
    }

    /// Drops what is older than the window, as seen from the newest segment.
    pub(super) fn trim_past(&mut self, window: Duration, settings: &LibrarySettings) {
        let current = |last: u64| last + 2 >= self.next_number;
        let all = self.shelves.iter().filter(|shelf| {
            let last = shelf.segments.back();
            last.is_some_and(|last| current(last.number))
        });
        // All are cut at the same instants.
        let Some(longest) = all.max_by_key(|shelf| shelf.segments.len()) else {
            return;
        };
        let mut length = Duration::ZERO;
        let mut newest = longest.segments.iter().rev();
        let since = newest.find(|segment| {
            length += segment.duration;
            length >= window
        });
        let Some(since) = since.map(|segment| segment.number) else {
            return;
        };
        self.past_since = since;
        let oldest = since.saturating_sub(settings.spare as u64);
        let kept = self.shelves.iter().flat_map(|shelf| shelf.kept().next());
        let kept = kept.map(|segment| segment.number).min();
        self.drop_before(oldest.min(kept.unwrap_or(u64::MAX)));
    }

    /// A whole segment, wherever it is.
    pub(super) fn whole(&self, id: RenditionId, number: u64) -> Option<Resource> {
        let shelf = &self.shelves[id.index()];
        if let Some(media) = shelf.segment(number) {
            return Some(Resource::Media(media));
        }
        let bytes = shelf.released(number)?;
        let path = self.folder.as_ref()?.join(file_name(id, number));
        Some(Resource::Filed(Filed {
            content_type: content_type(id),
            path,
            bytes,
        }))
    }
}
