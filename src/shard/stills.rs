//! Still pictures: the newest keyframe of a stream, for who asks the publisher's shard.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::StreamKey;
use super::state::State;
use crate::stream::{LayerId, Packet, Still, TrackId};

/// Where the packets of a keyframe go; none when there is no whole one, and one was asked for.
pub type StillReply = oneshot::Sender<Option<Vec<Arc<Packet>>>>;

impl State {
    pub(super) fn take_still(
        &mut self,
        now: Instant,
        key: StreamKey,
        track: TrackId,
        reply: StillReply,
    ) {
        let Some(local) = self
            .streams
            .get(&key)
            .and_then(|stream| stream.track(track))
        else {
            return;
        };
        let best = local.ranked.iter().find(|layer| layer.is_active);
        let layer = best.map_or(LayerId::default(), |best| best.id);
        let ring = local.layer(layer).map(|layer| &layer.ring);
        let packets = ring.and_then(Still::packets_of);
        if packets.is_none() {
            self.request_keyframe(now, key, track, layer);
        }
        // Who asked may be gone.
        let _ = reply.send(packets);
    }
}
