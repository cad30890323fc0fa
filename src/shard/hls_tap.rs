//! What the HLS branch gets of a stream: of each track the best layer, as one line of packets.

use std::sync::Arc;

use super::local_stream::LocalTrack;
use crate::egress::splice::Splice;
use crate::media::HlsFeed;
use crate::stream::{LayerId, Packet, RankedLayer, TrackId};

/// Where the line of a track with layers begins; the branch takes any number.
const FIRST_SEQUENCE: u64 = 1 << 16;

/// The way from the layers of the tracks to the HLS branch.
pub(super) struct HlsTap {
    feed: HlsFeed,
    /// By [`TrackId`]; none for a track of one layer, whose packets go as they are.
    splices: Vec<Option<Splice>>,
}

impl HlsTap {
    /// A tap that has taken nothing yet. `tracks` are those of the stream, by [`TrackId`].
    pub(super) fn new(feed: HlsFeed, tracks: &[LocalTrack]) -> Self {
        let splice = |track: &LocalTrack| {
            track.is_layered.then(|| {
                let mut splice = Splice::new(track.kind, track.clock_rate, FIRST_SEQUENCE, 0);
                if let Some(layer) = best(&track.ranked) {
                    splice.aim(layer);
                }
                splice
            })
        };
        Self {
            feed,
            splices: tracks.iter().map(splice).collect(),
        }
    }

    /// The layer that the branch takes or waits for.
    pub(super) fn layer(&self, track: TrackId) -> LayerId {
        self.splice(track).map(Splice::target).unwrap_or_default()
    }

    /// The layers of a track are these now, the best first. Returns the layer that a keyframe is needed
    /// of, if the branch turns to another.
    pub(super) fn set_layers(&mut self, track: TrackId, ranked: &[RankedLayer]) -> Option<LayerId> {
        let splice = self.splices.get_mut(usize::from(track.0))?.as_mut()?;
        splice.aim(best(ranked)?);
        splice.waits_for_keyframe().then(|| splice.target())
    }

    /// Gives the branch what is fresh of a track; returns how many packets found its queue full.
    pub(super) fn push(&mut self, id: TrackId, track: &LocalTrack) -> u64 {
        let (feed, mut lost) = (&self.feed, 0);
        let Some(Some(splice)) = self.splices.get_mut(usize::from(id.0)) else {
            for packet in track.layers.iter().flat_map(|layer| &layer.fresh) {
                lost += u64::from(!feed.push(packet));
            }
            return lost;
        };
        let clock = |layer| track.layer(layer).and_then(|layer| layer.clock);
        for (layer, local) in (0..).map(LayerId).zip(&track.layers) {
            let fresh = local.fresh.iter().map(Arc::as_ref);
            // A copy, as the others go on with the numbers of the layer. Few streams have layers, and
            // one layer of them comes here.
            let _ = splice.pass(layer, fresh, clock, |packet, own, shift| {
                let copy = Packet {
                    sequence: own,
                    timestamp: packet.timestamp.wrapping_add(shift.timestamp),
                    ..packet.clone()
                };
                lost += u64::from(!feed.push(&Arc::new(copy)));
            });
        }
        lost
    }

    /// Tells the branch of a sender report, if it is of the layer that it takes.
    pub(super) fn sender_report(&self, track: TrackId, layer: LayerId, timestamp: u32, ntp: u64) {
        let offset = match self.splice(track) {
            Some(splice) if splice.current() != Some(layer) => return,
            Some(splice) => splice.timestamp_offset().unwrap_or(0),
            None => 0,
        };
        self.feed
            .sender_report(track, timestamp.wrapping_add(offset), ntp);
    }

    fn splice(&self, track: TrackId) -> Option<&Splice> {
        self.splices.get(usize::from(track.0))?.as_ref()
    }
}

/// The best layer that is active.
fn best(ranked: &[RankedLayer]) -> Option<LayerId> {
    let active = ranked.iter().find(|layer| layer.is_active);
    active.map(|layer| layer.id)
}
