//! What the HLS branch gets of a stream: of each track the best layer, as one line of packets, and the
//! other layers as they are.
//!
//! The best layer is whichever is the best that comes: players that can't choose see no gap when the
//! publisher pauses a layer. The others keep the place that they had in the ranking at first. Of a source
//! with spatial layers the whole is always the best, and goes as it is.

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
    /// By [`TrackId`]; none for a track of one layer, as far as is known.
    ladders: Vec<Option<Ladder>>,
}

/// A track with layers.
#[derive(Default)]
struct Ladder {
    /// None for the layers of one source, of which the first is the best: its packets go as they are.
    best: Option<Splice>,
    /// By [`LayerId`]: the lines of their own.
    lines: [Option<Line>; LayerId::MAX_LAYERS],
}

impl HlsTap {
    /// A tap that has taken nothing yet. `tracks` are those of the stream, by [`TrackId`].
    pub(super) fn new(feed: HlsFeed, tracks: &[LocalTrack]) -> Self {
        let ladder = |track: &LocalTrack| {
            let best = Splice::new(track.kind, track.clock_rate, FIRST_SEQUENCE, 0);
            track.is_layered.then(|| Ladder {
                best: Some(best),
                ..Ladder::default()
            })
        };
        let ladders: Vec<_> = tracks.iter().map(ladder).collect();
        if ladders.iter().any(Option::is_some) {
            // The queue is empty.
            let _ = feed.set_layered(Layers::Sources);
        }
        let mut tap = Self { ladders, feed };
        for (id, track) in (0..).map(TrackId).zip(tracks) {
            // The branch asks for the keyframes that it needs to begin.
            tap.set_layers(id, &track.ranked);
        }
        tap
    }

    /// Takes the layers of a source one by one from now on, if it has some. Its packets tell it, mostly the first one.
    fn find_parts(&mut self, track: TrackId, ranked: &[RankedLayer]) {
        let ladder = self.ladders.get_mut(usize::from(track.0));
        if let Some(none @ None) = ladder
            && self.feed.parts_sources()
            && ranked.iter().any(|layer| layer.status.spatial.is_some())
            && self.feed.set_layered(Layers::Parts)
        {
            *none = Some(Ladder::default());
        }
    }

    /// The layers that the branch takes or waits for. It needs keyframes of all of them at once: players
    /// go from one to another where both have one.
    pub(super) fn layers(&self, track: TrackId) -> LayersByTrack {
        let mut layers = LayersByTrack::default();
        match self.ladder(track) {
            None => layers.insert(track, LayerId::default()),
            Some(ladder) => {
                layers.insert(track, ladder.best());
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
        self.find_parts(track, ranked);
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
        let ladder = self.ladders.get_mut(usize::from(id.0));
        let mut ladder = ladder.and_then(Option::as_mut);
        if ladder.as_ref().is_none_or(|ladder| ladder.best.is_none()) {
            for packet in track.layers.iter().take(1).flat_map(|layer| &layer.fresh) {
                lost += u64::from(!feed.push(Line::MAIN, packet));
            }
        }
        let Some(ladder) = &mut ladder else {
            return lost;
        };
        let clock = |layer| track.layer(layer).and_then(|layer| layer.clock);
        for (layer, local) in (0..).map(LayerId).zip(&track.layers) {
            let fresh = local.fresh.iter().map(Arc::as_ref);
            // A copy, as the others go on with the numbers of the layer. Few streams have layers.
            if let Some(best) = &mut ladder.best {
                let _ = best.pass(layer, fresh, clock, |packet, own, shift| {
                    let copy = Packet {
                        sequence: own,
                        timestamp: packet.timestamp.wrapping_add(shift.timestamp),
                        ..packet.clone()
                    };
                    lost += u64::from(!feed.push(Line::MAIN, &Arc::new(copy)));
                });
            }
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
        let ladder = self.ladder(track);
        let splice = ladder.and_then(|ladder| Some((ladder, ladder.best.as_ref()?)));
        let Some((ladder, best)) = splice else {
            // The layers of one source have one clock.
            if layer == LayerId::default() {
                report(Line::MAIN, timestamp);
            }
            return;
        };
        if best.current() == Some(layer) {
            let offset = best.timestamp_offset().unwrap_or(0);
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
        let Some(splice) = &mut self.best else {
            return self.set_parts(ranked, most);
        };
        let Some(best) = best(ranked) else {
            return false;
        };
        splice.aim(best);
        let mut needed = splice.waits_for_keyframe();
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

    /// Gives the spatial layers within a source lines that are free, fewer than `most` of them; true when there is one
    /// more, and a keyframe is needed. Temporal ones are of no use to players that get whole segments.
    fn set_parts(&mut self, ranked: &[RankedLayer], most: u8) -> bool {
        let mut needed = false;
        for layer in ranked.iter().filter(|layer| layer.id.0 > 0) {
            let has_all_pictures = ranked.iter().all(|other| {
                other.status.spatial != layer.status.spatial
                    || other.status.temporal <= layer.status.temporal
            });
            let free = (1..most)
                .map(Line)
                .find(|line| !self.lines.contains(&Some(*line)));
            if let Some(own) = self.lines.get_mut(usize::from(layer.id.0))
                && own.is_none()
                && layer.is_active
                && has_all_pictures
            {
                *own = free;
                needed |= free.is_some();
            }
        }
        needed
    }

    /// The layer that goes on as the best one.
    fn best(&self) -> LayerId {
        self.best.as_ref().map_or(LayerId(0), Splice::target)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::LayerStatus;

    fn ranked(layers: &[(u8, u8, Option<u8>)]) -> Vec<RankedLayer> {
        let layer = |&(id, spatial, temporal): &(u8, u8, Option<u8>)| RankedLayer {
            id: LayerId(id),
            is_active: true,
            needs_descriptor: false,
            status: LayerStatus {
                spatial: Some(spatial),
                temporal,
                ..LayerStatus::default()
            },
        };
        layers.iter().map(layer).collect()
    }

    fn lines(ladder: &Ladder) -> Vec<(u8, u8)> {
        let lines = (0..).zip(&ladder.lines);
        lines
            .filter_map(|(layer, line)| Some((layer, (*line)?.0)))
            .collect()
    }

    #[test]
    fn spatial_layers_of_a_source_have_lines_and_temporal_ones_have_none() {
        let all = ranked(&[
            (0, 2, Some(2)),
            (2, 1, Some(2)),
            (3, 0, Some(2)),
            (4, 0, Some(1)),
            (5, 0, Some(0)),
        ]);
        let mut ladder = Ladder::default();
        assert!(ladder.set_parts(&all, 4));
        assert_eq!(lines(&ladder), [(2, 1), (3, 2)]);
        assert!(!ladder.set_parts(&all, 4), "no news");
        assert_eq!(ladder.best(), LayerId(0));

        let mut bounded = Ladder::default();
        assert!(bounded.set_parts(&all, 2));
        assert_eq!(lines(&bounded), [(2, 1)]);
        assert!(!bounded.set_parts(&all, 2));
    }

    #[test]
    fn a_spatial_layer_that_comes_later_has_a_line_of_its_own() {
        let mut ladder = Ladder::default();
        assert!(ladder.set_parts(&ranked(&[(0, 1, None), (3, 0, None)]), 4));
        assert!(ladder.set_parts(&ranked(&[(0, 2, None), (2, 1, None), (3, 0, None)]), 4));
        assert_eq!(lines(&ladder), [(2, 2), (3, 1)]);
    }
}
