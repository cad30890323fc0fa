//! Viewers who come, as `shard::catch_up` treats them.

use std::time::{Duration, Instant};

use super::gateway::Gateway;
use super::outlet::outlet;
use super::tracks::Track;
use crate::egress::SenderClock;
use crate::stream::{KeyframeCache, LayerId, LayersByTrack, Ring, TrackId};

/// The default.
pub(super) const CACHE: KeyframeCache = KeyframeCache {
    bytes: 8 * 1024 * 1024,
    age: Duration::from_secs(12),
};
const PACE: u64 = 30_000_000;

fn ring(tracks: &[Track], track: TrackId, layer: LayerId) -> Option<&Ring> {
    let track = tracks.get(usize::from(track.0))?;
    Some(&track.layers.get(usize::from(layer.0))?.ring)
}

fn clock(tracks: &[Track], track: TrackId, layer: LayerId) -> Option<SenderClock> {
    let track = tracks.get(usize::from(track.0))?;
    track.layers.get(usize::from(layer.0))?.clock
}

impl Gateway {
    /// A connected viewer begins with what there is, and asks for what there is not.
    pub(super) fn begin(&mut self, now: Instant, session: usize) {
        let (tracks, subscriber) = (&self.tracks, &mut self.subscribers[session - 1]);
        let mut wanted =
            subscriber.begin_catch_up(now, PACE, |track, layer| ring(tracks, track, layer));
        wanted.extend(&subscriber.waiting_for_keyframe());
        self.ask_for(now, &wanted);
    }

    pub(super) fn catch_up(&mut self, now: Instant) {
        let (tracks, mut waiting) = (&self.tracks, LayersByTrack::default());
        let viewers = self.subscribers.iter_mut().zip(&mut self.transports[1..]);
        for (index, (subscriber, transport)) in viewers.enumerate() {
            if subscriber.catch_up_at().is_some_and(|at| at <= now)
                && let Some(mut outlet) = outlet(index + 1, transport, &mut self.outbox)
            {
                let ring = |track, layer| ring(tracks, track, layer);
                let clock = |track, layer| clock(tracks, track, layer);
                subscriber.catch_up(now, ring, clock, &mut outlet);
                if subscriber.catch_up_at().is_none() {
                    waiting.extend(&subscriber.waiting_for_keyframe());
                }
            }
        }
        self.ask_for(now, &waiting);
    }
}
