//! The verdict on what a publisher sends: figures, and what is wrong with it in words that say which
//! setting to change.
//!
//! Nothing is refused for it. Each layer is watched packet by packet (`watch`), which costs some
//! comparisons and no memory; once a second all layers are judged together.
//!
//! | file | what it holds |
//! |---|---|
//! | `report` | the figures and findings of one publisher, as the API and the metrics show them |
//! | `advice` | the findings in words, with the setting to change |
//! | `watch` | one layer: packets in, figures and findings of it out |
//! | `pictures` | order and distance of frames, keyframes, parameter sets |
//! | `rates` | the last seconds one by one: bitrate, frame rate, loss |
//! | `clock` | sender reports against the media's own clock |
//! | `offer` | what the offer shows before anything is sent |

mod advice;
mod clock;
mod offer;
mod pictures;
mod rates;
mod report;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use advice::Advice;
pub use offer::findings as findings_of_offer;
pub use report::{Defect, Finding, LayerFigures, Report};

pub(super) use watch::{Arrival, Watch};

use super::ladder::Ladder;
use super::layer::Layer;
use crate::rtp::MediaKind;
use crate::sdp::session::PublisherSpec;
use crate::stream::{LayerId, TrackId};

/// How often a publisher is judged while its media comes.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

/// A finding stays for so long after it was last made: what comes and goes is one defect, not many.
const MEMORY: Duration = Duration::from_secs(15);

/// A track of one kind may be silent for so long while another kind comes.
const SILENCE: Duration = Duration::from_secs(5);

/// Judges one publisher.
#[derive(Debug)]
pub(super) struct Judge {
    /// What the offer showed: it stays.
    of_offer: Vec<Finding>,
    /// The others, each with the time when it was last made.
    found: Vec<(Instant, Finding)>,
    /// When the first media came.
    began: Option<Instant>,
    next: Option<Instant>,
}

/// What is known of a publisher besides its layers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Totals {
    pub(super) malformed: u64,
    pub(super) unknown: u64,
    pub(super) round_trip: Option<Duration>,
}

impl Judge {
    pub(super) fn new(spec: &PublisherSpec) -> Self {
        Self {
            of_offer: offer::findings(spec),
            found: Vec::new(),
            began: None,
            next: None,
        }
    }

    /// Media has come.
    pub(super) fn handle_media(&mut self, now: Instant) {
        self.began.get_or_insert(now);
        self.next.get_or_insert(now + INTERVAL);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// The report of a publisher, when it is due. The next packet sets the next one: nothing is said
    /// of one that is silent, and it costs nothing.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        layers: &mut [Layer],
        ladders: &[Ladder],
        totals: Totals,
    ) -> Option<Arc<Report>> {
        self.next.take_if(|due| *due <= now)?;
        let mut made = Vec::new();
        let mut figures: Vec<_> = layers
            .iter_mut()
            .map(|layer| layer.judge(now, &mut made))
            .collect();
        for (source, within) in ladders.iter().filter_map(Ladder::of_source) {
            figures[source].within = Arc::clone(within);
        }
        made.extend(self.silent_tracks(now, layers));
        for finding in made {
            self.keep(now, finding);
        }
        self.found.retain(|(at, _)| now < *at + MEMORY);
        let found = self.found.iter().map(|(_, finding)| finding);
        let Totals {
            malformed,
            unknown,
            round_trip,
        } = totals;
        Some(Arc::new(Report {
            layers: figures,
            findings: self.of_offer.iter().chain(found).cloned().collect(),
            round_trip,
            malformed,
            unknown,
        }))
    }

    /// The newest figures of a defect stand for it.
    fn keep(&mut self, now: Instant, finding: Finding) {
        let same = |(_, known): &&mut (Instant, Finding)| known.is_same(&finding);
        match self.found.iter_mut().find(same) {
            Some(known) => *known = (now, finding),
            None => self.found.push((now, finding)),
        }
    }

    /// Tracks of which nothing comes while another one's media does.
    fn silent_tracks(&self, now: Instant, layers: &[Layer]) -> Vec<Finding> {
        let Some(began) = self.began else {
            return Vec::new();
        };
        let last = |track: TrackId| {
            let own = layers.iter().filter(|layer| layer.track() == track);
            own.filter_map(Layer::heard).max()
        };
        let is_silent = |track| last(track).unwrap_or(began) + SILENCE <= now;
        let mut tracks: Vec<(TrackId, MediaKind)> = layers
            .iter()
            .map(|layer| (layer.track(), layer.kind()))
            .collect();
        tracks.dedup();
        let speaking = tracks.iter().find(|(track, _)| !is_silent(*track));
        let Some((_, speaking)) = speaking else {
            return Vec::new();
        };
        tracks
            .iter()
            .filter(|(track, _)| is_silent(*track))
            .map(|(track, kind)| Finding {
                track: *track,
                layer: LayerId::default(),
                defect: Defect::SilentTrack {
                    kind: *kind,
                    other: *speaking,
                    ever: last(*track).is_some(),
                },
            })
            .collect()
    }
}
