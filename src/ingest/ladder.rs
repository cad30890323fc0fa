//! The layers of one track with simulcast or spatial layers: which of them come, how much of each, and
//! which is the best.
//!
//! Nothing is done per packet. Ten times a second, while media comes, the counters of the layers are
//! looked at.

mod meter;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::layer::Layer;
use super::{Event, push_event};
use crate::sdp::session::PublishedTrack;
use crate::stream::{LayerId, LayerStatus, RankedLayer, TrackId};

use meter::Meter;

/// The time between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// A layer is paused when nothing came of it for so long, while the others went on.
pub(super) const PAUSE: Duration = Duration::from_millis(300);

/// The others went on when one of them had so many frames meanwhile: at one frame a second, layers
/// are a second silent without being paused.
const FRAMES: u64 = 3;

/// What bitrates are measured over, and the shortest time between two reports.
const WINDOW: Duration = Duration::from_secs(1);

/// Of two layers without a known size, another one becomes the better one when its bitrate is higher
/// by this share: 1/4.
const MARGIN: u64 = 4;

/// The layers of one track, by measure.
#[derive(Debug)]
pub(super) struct Ladder {
    track: TrackId,
    /// Where the track's layers are among all; of a scalable source that is one.
    own: Range<usize>,
    is_scalable: bool,
    /// By [`LayerId`].
    rungs: Vec<Rung>,
    /// The best first.
    order: Vec<usize>,
    next_look: Option<Instant>,
    /// What was told last, without the figures.
    told: Arc<[RankedLayer]>,
    report_at: Option<Instant>,
    reported: Arc<[RankedLayer]>,
}

/// What came of a layer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) packets: u64,
    pub(super) frames: u64,
    /// Of payload.
    pub(super) bytes: u64,
    pub(super) size: Option<(u16, u16)>,
    pub(super) heard: Option<Instant>,
}

/// By [`LayerId`].
type AllFigures = [Figures; LayerId::MAX_LAYERS];

#[derive(Debug)]
struct Rung {
    /// The publisher has such a layer.
    exists: bool,
    rid: String,
    /// The spatial layer that it ends with, of a source that has several.
    spatial: Option<u8>,
    /// The temporal one.
    temporal: Option<u8>,
    needs_descriptor: bool,
    is_active: bool,
    meter: Meter,
    /// In bit/s, over several looks at which it was active; 0 before it was measured.
    usual: u64,
    /// At the last look.
    packets: u64,
    /// Frames of all layers when something came of this one last.
    frames: [u64; LayerId::MAX_LAYERS],
}

impl Ladder {
    /// The layers of `track`, of which `first` is the index of the first among all layers.
    pub(super) fn new(now: Instant, track: &PublishedTrack, first: usize) -> Self {
        let rids = track.layers.iter().take(LayerId::MAX_ENCODINGS);
        let rids = rids.map(|layer| layer.rid.clone().unwrap_or_default());
        let rungs: Vec<_> = rids.map(|rid| Rung::new(now, true, rid)).collect();
        Self::of(track.info.id, first..first + rungs.len(), false, rungs)
    }

    /// The layers within the one source of `track`, whose index is `source`.
    pub(super) fn of_scalable(now: Instant, track: TrackId, source: usize) -> Self {
        let rungs = (0..LayerId::MAX_LAYERS).map(|_| Rung::new(now, false, String::new()));
        Self::of(track, source..source + 1, true, rungs.collect())
    }

    fn of(track: TrackId, own: Range<usize>, is_scalable: bool, rungs: Vec<Rung>) -> Self {
        Self {
            track,
            own,
            is_scalable,
            order: (0..rungs.len()).collect(),
            rungs,
            next_look: None,
            told: Arc::new([]),
            report_at: None,
            reported: Arc::new([]),
        }
    }

    /// Whether the layer of this index is one of these.
    pub(super) fn has(&self, layer: usize) -> bool {
        self.own.contains(&layer)
    }

    /// The index of the source whose layers these are, and what was reported of them; none of a simulcast.
    pub(super) fn of_source(&self) -> Option<(usize, &Arc<[RankedLayer]>)> {
        self.is_scalable.then_some((self.own.start, &self.reported))
    }

    /// Media came of a layer. One that was paused is told of at once, as it may have begun with a
    /// keyframe.
    pub(super) fn hear(
        &mut self,
        now: Instant,
        layer: usize,
        layers: &[Layer],
        events: &mut VecDeque<Event>,
    ) {
        self.next_look.get_or_insert(now + LOOK);
        if let Some(rung) = self.rungs.get_mut(layer - self.own.start)
            && !rung.is_active
        {
            rung.is_active = true;
            let figures = self.figures(layers);
            self.tell(now, &figures, events);
        }
    }

    /// What came of each. Which layers there are within a scalable source, its packets tell.
    fn figures(&mut self, layers: &[Layer]) -> AllFigures {
        let mut all = AllFigures::default();
        let own = &layers[self.own.clone()];
        let source = own.first().filter(|_| self.is_scalable);
        let Some((source, scalable)) = source.and_then(|own| Some((own, own.source()?))) else {
            // Frames of other tracks say nothing of these layers.
            for (figures, layer) in all.iter_mut().zip(own) {
                *figures = layer.figures();
            }
            return all;
        };
        for (id, (rung, figures)) in (0..).map(LayerId).zip(self.rungs.iter_mut().zip(&mut all)) {
            rung.exists = scalable.has(id);
            rung.spatial = scalable.spatial_of(id);
            rung.temporal = scalable.temporal_of(id);
            rung.needs_descriptor = scalable.needs_descriptor(id);
            *figures = scalable.figures(id);
            if rung.exists && rung.spatial.is_none() {
                figures.size = source.figures().size; // the only one
            }
        }
        all
    }

    /// When [`Self::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next_look
    }

    /// Looks at the counters of the layers.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        layers: &[Layer],
        events: &mut VecDeque<Event>,
    ) {
        if self.next_look.is_none_or(|due| now < due) {
            return;
        }
        let figures = self.figures(layers);
        let heard = self.look(now, &figures);
        self.tell(now, &figures, events);
        let quiet = !heard && self.rungs.iter().all(|rung| rung.meter.bitrate() == 0);
        // The next packet sets it again.
        self.next_look = (!quiet).then_some(now + LOOK);
        let due = *self.report_at.get_or_insert(now + WINDOW);
        if quiet || due <= now {
            self.report_at = (!quiet).then_some(now + WINDOW);
            self.report(&figures, events);
        }
    }

    /// Returns whether anything came since the last look.
    fn look(&mut self, now: Instant, figures: &AllFigures) -> bool {
        let frames = figures.map(|figures| figures.frames);
        let mut heard_any = false;
        for (rung, figures) in self.rungs.iter_mut().zip(figures) {
            rung.meter.mark(now, figures.bytes);
            let heard = std::mem::replace(&mut rung.packets, figures.packets) != figures.packets;
            heard_any |= heard;
            if heard {
                rung.frames = frames;
            }
            let silent = figures.heard.is_none_or(|last| last + PAUSE <= now);
            let mut others = frames.iter().zip(rung.frames);
            if silent && others.any(|(now, then)| now.saturating_sub(then) >= FRAMES) {
                rung.is_active = false;
            } else if self.is_scalable && heard {
                rung.is_active = true; // only the source is told of packet by packet
            }
            if rung.is_active && rung.meter.is_steady() {
                let bitrate = rung.meter.bitrate();
                rung.usual = match rung.usual {
                    0 => bitrate,
                    usual => (3 * usual + bitrate) / 4,
                };
            }
        }
        heard_any
    }

    /// Puts the best first: an insertion sort, as what is better is not always transitive before all
    /// of them were measured.
    fn sort(&mut self, figures: &AllFigures) {
        for end in 1..self.order.len() {
            let mut at = end;
            while at > 0 && self.is_better(self.order[at], self.order[at - 1], figures) {
                self.order.swap(at, at - 1);
                at -= 1;
            }
        }
    }

    /// By the size of the picture, then by the bitrate.
    fn is_better(&self, one: usize, other: usize, figures: &AllFigures) -> bool {
        let (one_stats, other_stats) = (figures[one], figures[other]);
        let pixels = |size: (u16, u16)| u32::from(size.0) * u32::from(size.1);
        let sizes = one_stats.size.zip(other_stats.size);
        match sizes.map(|(one, other)| (pixels(one), pixels(other))) {
            Some((one, other)) if one != other => one > other,
            _ => {
                let (mut one, mut other) = (self.rungs[one].usual, self.rungs[other].usual);
                if one == 0 || other == 0 {
                    (one, other) = (one_stats.bytes, other_stats.bytes);
                }
                one > other.saturating_add(other / MARGIN)
            }
        }
    }

    /// Tells who forwards the layers, if there is news.
    fn tell(&mut self, now: Instant, figures: &AllFigures, events: &mut VecDeque<Event>) {
        self.sort(figures);
        let is_known = self
            .told
            .iter()
            .map(|told| usize::from(told.id.0))
            .eq(self.existing())
            && self.told.iter().all(|told| {
                let index = usize::from(told.id.0);
                let size = (told.status.width, told.status.height);
                (told.is_active, size) == (self.rungs[index].is_active, sizes(&figures[index]))
            });
        if !is_known {
            self.told = self.ranked(figures);
            self.report_at.get_or_insert(now + WINDOW);
            let (track, layers) = (self.track, Arc::clone(&self.told));
            push_event(events, Event::Layers { track, layers });
        }
    }

    /// Tells who watches the figures, if they are other ones.
    fn report(&mut self, figures: &AllFigures, events: &mut VecDeque<Event>) {
        let ranked = self.ranked(figures);
        let is_near = |one: u64, other: u64| one.abs_diff(other) <= other / 20;
        let is_known = ranked.len() == self.reported.len()
            && ranked.iter().zip(self.reported.iter()).all(|(now, then)| {
                is_near(now.status.bitrate, then.status.bitrate)
                    && (now.id, now.is_active, now.status.width, now.status.height)
                        == (
                            then.id,
                            then.is_active,
                            then.status.width,
                            then.status.height,
                        )
            });
        if !is_known {
            self.reported = Arc::clone(&ranked);
            let (track, layers) = (self.track, ranked);
            push_event(events, Event::LayerReport { track, layers });
        }
    }

    /// Those that there are, the best first.
    fn existing(&self) -> impl Iterator<Item = usize> {
        let order = self.order.iter().copied();
        order.filter(|index| self.rungs[*index].exists)
    }

    fn ranked(&self, figures: &AllFigures) -> Arc<[RankedLayer]> {
        let ranked = self.existing().map(|index| {
            let rung = &self.rungs[index];
            let (width, height) = sizes(&figures[index]);
            let bitrate = if rung.is_active {
                rung.meter.bitrate()
            } else {
                0
            };
            RankedLayer {
                id: LayerId(index as u8),
                is_active: rung.is_active,
                needs_descriptor: rung.needs_descriptor,
                status: LayerStatus {
                    encoding_id: rung.rid.clone(),
                    spatial: rung.spatial,
                    temporal: rung.temporal,
                    bitrate,
                    width,
                    height,
                    ..LayerStatus::default()
                },
            }
        });
        ranked.collect()
    }
}

impl Rung {
    fn new(now: Instant, exists: bool, rid: String) -> Self {
        Self {
            exists,
            rid,
            spatial: None,
            temporal: None,
            needs_descriptor: false,
            is_active: false,
            meter: Meter::new(now),
            usual: 0,
            packets: 0,
            frames: [0; LayerId::MAX_LAYERS],
        }
    }
}

fn sizes(figures: &Figures) -> (Option<u32>, Option<u32>) {
    let (width, height) = figures.size.unzip();
    (width.map(u32::from), height.map(u32::from))
}
