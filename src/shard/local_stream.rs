//! What a shard holds of a stream: the publisher's side, or a replica for its own subscribers.

use std::sync::Arc;
use std::time::Instant;

use super::{Config, ShardId};
use crate::egress::SenderClock;
use crate::media::HlsFeed;
use crate::rtp::MediaKind;
use crate::stream::{Packet, Recycler, Ring, TrackId, TrackInfo};

/// The room that a new packet gets for its payload: an Ethernet frame's worth.
const PAYLOAD_CAPACITY: usize = 1500;

/// One stream on one shard.
pub(super) struct LocalStream {
    /// By [`TrackId`].
    pub(super) tracks: Vec<LocalTrack>,
    /// The slots of the connected subscribers of this shard.
    pub(super) subscribers: Vec<usize>,
    /// The subscriber sessions of this shard, connected or not: a replica is kept as long as there is one.
    pub(super) sessions: usize,
    pub(super) source: Source,
}

/// Where a stream's packets come from on this shard.
pub(super) enum Source {
    /// From the publisher, who is here.
    Publisher {
        /// The publisher's slot.
        slot: usize,
        /// Packets to be filled.
        recycler: Recycler,
        /// The other shards that have subscribers.
        targets: Vec<ShardId>,
        /// The HLS branch, when the stream has one.
        hls: Option<HlsFeed>,
    },
    /// From the shard that the publisher is on.
    Replica(ShardId),
}

/// One track of a stream on one shard.
pub(super) struct LocalTrack {
    pub(super) kind: MediaKind,
    pub(super) clock_rate: u32,
    pub(super) ring: Ring,
    /// Packets that have not been sent on yet.
    pub(super) fresh: Vec<Arc<Packet>>,
    pub(super) clock: Option<SenderClock>,
    /// The clock is ours, as the publisher has not told its own yet.
    pub(super) guessed: bool,
    /// When a replica last asked for a keyframe, until one begins.
    pub(super) asked: Option<Instant>,
}

impl LocalStream {
    pub(super) fn new(tracks: &[TrackInfo], source: Source, config: &Config) -> Self {
        let tracks = tracks
            .iter()
            .map(|track| LocalTrack {
                kind: track.kind(),
                clock_rate: track.codec.clock_rate(),
                ring: Ring::new(match track.kind() {
                    MediaKind::Video => config.video_ring,
                    MediaKind::Audio => config.audio_ring,
                }),
                fresh: Vec::with_capacity(64),
                clock: None,
                guessed: false,
                asked: None,
            })
            .collect();
        Self {
            tracks,
            subscribers: Vec::new(),
            sessions: 0,
            source,
        }
    }

    pub(super) fn track(&self, track: TrackId) -> Option<&LocalTrack> {
        self.tracks.get(usize::from(track.0))
    }

    pub(super) fn track_mut(&mut self, track: TrackId) -> Option<&mut LocalTrack> {
        self.tracks.get_mut(usize::from(track.0))
    }

    /// Audio first: a packet of it is small and must not wait behind a keyframe.
    pub(super) fn in_sending_order(&self) -> impl Iterator<Item = (TrackId, &LocalTrack)> {
        let numbered = || {
            self.tracks
                .iter()
                .enumerate()
                .map(|(index, track)| (TrackId(index as u8), track))
        };
        numbered()
            .filter(|(_, track)| track.kind == MediaKind::Audio)
            .chain(numbered().filter(|(_, track)| track.kind == MediaKind::Video))
    }

    /// Keeps a packet for retransmission and to be sent on with the next flush. Returns whether it is the first such.
    pub(super) fn push(&mut self, packet: Arc<Packet>) -> bool {
        let first = self.tracks.iter().all(|track| track.fresh.is_empty());
        let Some(track) = self.tracks.get_mut(usize::from(packet.track.0)) else {
            return false;
        };
        if packet.keyframe {
            track.asked = None;
        }
        track.fresh.push(Arc::clone(&packet));
        let old = track.ring.insert(packet);
        if let (Some(old), Source::Publisher { recycler, .. }) = (old, &mut self.source) {
            recycler.put(old);
        }
        first
    }
}

/// A packet with nothing in it yet.
pub(super) fn empty_packet(now: Instant) -> Packet {
    Packet {
        payload: Vec::with_capacity(PAYLOAD_CAPACITY),
        ..Packet::empty(now)
    }
}
