//! What the HLS branch gets of a stream: of each track the best layer, as one line of packets, and the
//! other layers as they are.
//!
//! The best layer is whichever is the best that comes: players that can't choose see no gap when the
//! publisher pauses a layer. The others keep the place that they had in the ranking at first.

use std::sync::Arc;

use super::local_stream::LocalTrack;
use crate::egress::splice::Splice;
use crate::media::{HlsFeed, Layers, Line};
use crate::stream::{LayerId, LayersByTrack, Packet, RankedLayer, TrackId};

/// Where the line of a track with layers begins; the branch takes any number.
const FIRST_SEQUENCE: u64 = 1 << 16;

/// The way from the layers of the tracks to the HLS branch.
pub(super) struct HlsTap {
    feed: HlsFeed,
    /// By [`TrackId`]; none for a track of one layer, whose packets go as they are.
    ladders: Vec<Option<Ladder>>,
}

/// A track with layers.
struct Ladder {
    best: Splice,
    /// By [`LayerId`]: the lines of their own.
    lines: [Option<Line>; LayerId::MAX_LAYERS],
}

impl HlsTap {
    /// A tap that has taken nothing yet. `tracks` are those of the stream, by [`TrackId`].
    pub(super) fn new(feed: HlsFeed, tracks: &[LocalTrack]) -> Self {
        let most = feed.layers();
        let ladder = |track: &LocalTrack| {
            track.is_layered.then(|| {
                let best = Splice::new(track.kind, track.clock_rate, FIRST_SEQUENCE, 0);
                let lines = [None; LayerId::MAX_LAYERS];
                let mut ladder = Ladder { best, lines };
                ladder.set_layers(&track.ranked, most);
                ladder
            })
        };
        if tracks.iter().any(|track| track.is_layered) {
            // The queue is empty.
            let _ = feed.set_layered(Layers::Sources);
        }
        Self {
            ladders: tracks.iter().map(ladder).collect(),
            feed,
        }
    }

    /// The layers that the branch takes or waits for. It needs keyframes of all of them at once: players
    /// go from one to another where both have one.
    pub(super) fn layers(&self, track: TrackId) -> LayersByTrack {
        let mut layers = LayersByTrack::default();
        match self.ladder(track) {
            None => layers.insert(track, LayerId::default()),
            Some(ladder) => {
                layers.insert(track, ladder.best.target());
                for (layer, line) in (0..).map(LayerId).zip(&ladder.lines) {
                    if line.is_some() {
                        layers.insert(track, layer);
                    }
                }
            }
        }
        layers
    }

    /// The layers of a track are these now, the best first. Returns those that a keyframe is needed of, if
    /// the branch turns to another or takes one more.
    pub(super) fn set_layers(&mut self, track: TrackId, ranked: &[RankedLayer]) -> LayersByTrack {
        let most = self.feed.layers();
        let ladder = self.ladders.get_mut(usize::from(track.0));
        let ladder = ladder.and_then(Option::as_mut);
        match ladder.is_some_and(|ladder| ladder.set_layers(ranked, most)) {
            true => self.layers(track),
            false => LayersByTrack::default(),
        }
    }

    /// Gives the branch what is fresh of a track; returns how many packets found its queue full.
    pub(super) fn push(&mut self, id: TrackId, track: &LocalTrack) -> u64 {
        let (feed, mut lost) = (&self.feed, 0);
        let Some(Some(ladder)) = self.ladders.get_mut(usize::from(id.0)) else {
            // The whole of a source with spatial layers, which is the first.
            for packet in track.layers.iter().take(1).flat_map(|layer| &layer.fresh) {
                lost += u64::from(!feed.push(Line::MAIN, packet));
            }
            return lost;
        };
        let clock = |layer| track.layer(layer).and_then(|layer| layer.clock);
        for (layer, local) in (0..).map(LayerId).zip(&track.layers) {
            let fresh = local.fresh.iter().map(Arc::as_ref);
            // A copy, as the others go on with the numbers of the layer. Few streams have layers.
            let _ = ladder.best.pass(layer, fresh, clock, |packet, own, shift| {
                let copy = Packet {
                    sequence: own,
                    timestamp: packet.timestamp.wrapping_add(shift.timestamp),
                    ..packet.clone()
                };
                lost += u64::from(!feed.push(Line::MAIN, &Arc::new(copy)));
            });
            if let Some(line) = ladder.line(layer) {
                for packet in &local.fresh {
                    lost += u64::from(!feed.push(line, packet));
                }
            }
        }
        lost
    }

    /// Tells the branch of a sender report, if it is of a layer that it takes.
    pub(super) fn sender_report(&self, track: TrackId, layer: LayerId, timestamp: u32, ntp: u64) {
        let report = |line, timestamp| self.feed.sender_report(track, line, timestamp, ntp);
        let Some(ladder) = self.ladder(track) else {
            if layer == LayerId::default() {
                report(Line::MAIN, timestamp);
            }
            return;
        };
        if ladder.best.current() == Some(layer) {
            let offset = ladder.best.timestamp_offset().unwrap_or(0);
            report(Line::MAIN, timestamp.wrapping_add(offset));
        }
        if let Some(line) = ladder.line(layer) {
            report(line, timestamp);
        }
    }

    fn ladder(&self, track: TrackId) -> Option<&Ladder> {
        self.ladders.get(usize::from(track.0))?.as_ref()
    }
}

impl Ladder {
    /// Aims at the best layer, and gives those below it lines, fewer than `most` of them; true when a
    /// keyframe is needed.
    fn set_layers(&mut self, ranked: &[RankedLayer], most: u8) -> bool {
        let Some(best) = best(ranked) else {
            return false;
        };
        self.best.aim(best);
        let mut needed = self.best.waits_for_keyframe();
        for (place, layer) in (0..most).zip(ranked).skip(1) {
            let line = Line(place);
            let taken = self.lines.contains(&Some(line));
            if let Some(own) = self.lines.get_mut(usize::from(layer.id.0))
                && own.is_none()
                && layer.is_active
                && layer.id != best
                && !taken
            {
                *own = Some(line);
                needed = true;
            }
        }
        needed
    }

    /// The line of a layer that is not the best one only.
    fn line(&self, layer: LayerId) -> Option<Line> {
        *self.lines.get(usize::from(layer.0))?
    }
}

/// The best layer that is active.
fn best(ranked: &[RankedLayer]) -> Option<LayerId> {
    let active = ranked.iter().find(|layer| layer.is_active);
    active.map(|layer| layer.id)
}
