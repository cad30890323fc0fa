//! The layers of one track with simulcast: which of them come, how much of each, and which is the
//! best.
//!
//! Nothing is done per packet. Ten times a second, while media comes, the counters of the layers are
//! looked at.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::layer::Layer;
use super::{Event, push_event};
use crate::sdp::session::PublishedTrack;
use crate::stream::{LayerId, LayerStatus, RankedLayer, TrackId};

/// The time between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// A layer is paused when nothing came of it for so long, while the others went on.
const PAUSE: Duration = Duration::from_millis(300);

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
    /// The index of the first layer.
    first: usize,
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

#[derive(Debug)]
struct Rung {
    rid: String,
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
        let rungs: Vec<_> = track
            .layers
            .iter()
            .take(LayerId::MAX_LAYERS)
            .map(|layer| Rung {
                rid: layer.rid.clone().unwrap_or_default(),
                is_active: false,
                meter: Meter::new(now),
                usual: 0,
                packets: 0,
                frames: [0; LayerId::MAX_LAYERS],
            })
            .collect();
        Self {
            track: track.info.id,
            first,
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
        (self.first..self.first + self.rungs.len()).contains(&layer)
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
        if let Some(rung) = self.rungs.get_mut(layer - self.first)
            && !rung.is_active
        {
            rung.is_active = true;
            self.tell(now, layers, events);
        }
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
        // Frames of other tracks say nothing of these layers.
        let own = self.first..self.first + self.rungs.len();
        let heard = self.look(now, &layers[own]);
        self.tell(now, layers, events);
        let quiet = !heard && self.rungs.iter().all(|rung| rung.meter.bitrate() == 0);
        // The next packet sets it again.
        self.next_look = (!quiet).then_some(now + LOOK);
        let due = *self.report_at.get_or_insert(now + WINDOW);
        if quiet || due <= now {
            self.report_at = (!quiet).then_some(now + WINDOW);
            self.report(layers, events);
        }
    }

    /// Returns whether anything came since the last look. `layers` are those of this track alone.
    fn look(&mut self, now: Instant, layers: &[Layer]) -> bool {
        let mut frames = [0; LayerId::MAX_LAYERS];
        for (count, layer) in frames.iter_mut().zip(layers) {
            *count = layer.stats().frames;
        }
        let mut heard_any = false;
        for (rung, layer) in self.rungs.iter_mut().zip(layers) {
            let stats = layer.stats();
            rung.meter.mark(now, stats.bytes);
            let heard = std::mem::replace(&mut rung.packets, stats.packets) != stats.packets;
            heard_any |= heard;
            if heard {
                rung.frames = frames;
            }
            let silent = layer.heard().is_none_or(|last| last + PAUSE <= now);
            let mut others = frames.iter().zip(rung.frames);
            if silent && others.any(|(now, then)| now - then >= FRAMES) {
                rung.is_active = false;
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
    fn sort(&mut self, layers: &[Layer]) {
        for end in 1..self.order.len() {
            let mut at = end;
            while at > 0 && self.is_better(self.order[at], self.order[at - 1], layers) {
                self.order.swap(at, at - 1);
                at -= 1;
            }
        }
    }

    /// By the size of the picture, then by the bitrate.
    fn is_better(&self, one: usize, other: usize, layers: &[Layer]) -> bool {
        let stats = |index: usize| layers[self.first + index].stats();
        let (one_stats, other_stats) = (stats(one), stats(other));
        let pixels = |size: (u16, u16)| u32::from(size.0) * u32::from(size.1);
        let sizes = one_stats.picture_size.zip(other_stats.picture_size);
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
    fn tell(&mut self, now: Instant, layers: &[Layer], events: &mut VecDeque<Event>) {
        self.sort(layers);
        let is_known = self
            .told
            .iter()
            .map(|told| usize::from(told.id.0))
            .eq(self.order.iter().copied())
            && self.told.iter().all(|told| {
                let index = usize::from(told.id.0);
                let size = (told.status.width, told.status.height);
                (told.is_active, size) == (self.rungs[index].is_active, self.size(index, layers))
            });
        if !is_known {
            self.told = self.ranked(layers);
            self.report_at.get_or_insert(now + WINDOW);
            let (track, layers) = (self.track, Arc::clone(&self.told));
            push_event(events, Event::Layers { track, layers });
        }
    }

    /// Tells who watches the figures, if they are other ones.
    fn report(&mut self, layers: &[Layer], events: &mut VecDeque<Event>) {
        let ranked = self.ranked(layers);
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

    fn ranked(&self, layers: &[Layer]) -> Arc<[RankedLayer]> {
        let ranked = self.order.iter().map(|index| {
            let rung = &self.rungs[*index];
            let (width, height) = self.size(*index, layers);
            let bitrate = if rung.is_active {
                rung.meter.bitrate()
            } else {
                0
            };
            RankedLayer {
                id: LayerId(*index as u8),
                is_active: rung.is_active,
                status: LayerStatus {
                    encoding_id: rung.rid.clone(),
                    bitrate,
                    width,
                    height,
                    ..LayerStatus::default()
                },
            }
        });
        ranked.collect()
    }

    fn size(&self, index: usize, layers: &[Layer]) -> (Option<u32>, Option<u32>) {
        let size = layers[self.first + index].stats().picture_size;
        let (width, height) = size.unzip();
        (width.map(u32::from), height.map(u32::from))
    }
}

/// A bitrate, from a counter of bytes that only grows.
#[derive(Debug)]
struct Meter {
    /// What the counter said, oldest first.
    marks: VecDeque<(Instant, u64)>,
}

impl Meter {
    fn new(now: Instant) -> Self {
        Self {
            marks: VecDeque::from([(now, 0)]),
        }
    }

    fn mark(&mut self, now: Instant, bytes: u64) {
        self.marks.push_back((now, bytes));
        // The oldest that is kept is a window old, or as old as there is.
        while self.marks.get(1).is_some_and(|(at, _)| *at + WINDOW <= now) {
            self.marks.pop_front();
        }
    }

    /// In bit/s.
    fn bitrate(&self) -> u64 {
        let (Some((from, before)), Some((to, now))) = (self.marks.front(), self.marks.back())
        else {
            return 0;
        };
        let micros = to.saturating_duration_since(*from).as_micros() as u64;
        ((now - before) * 8_000_000)
            .checked_div(micros)
            .unwrap_or(0)
    }

    /// The window is full, of media only.
    fn is_steady(&self) -> bool {
        let mut steps = self.marks.iter().zip(self.marks.iter().skip(1));
        self.marks.len() > (WINDOW.as_millis() / LOOK.as_millis()) as usize / 2
            && steps
                .next()
                .is_some_and(|((_, before), (_, now))| now > before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meter_forgets_what_is_older_than_its_window() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        assert_eq!(meter.bitrate(), 0);
        for tick in 1..=30u32 {
            // 1 Mbit/s for two seconds, then nothing.
            meter.mark(start + LOOK * tick, 12_500 * u64::from(tick.min(20)));
            let expected = if tick <= 20 {
                1_000_000
            } else {
                100_000 * u64::from(30 - tick)
            };
            assert_eq!(meter.bitrate(), expected, "{tick}");
        }
        assert!(meter.marks.len() <= 12);
    }
}
