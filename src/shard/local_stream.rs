//! What a shard holds of a stream: the publisher's side, or a replica for its own subscribers.

use std::sync::Arc;
use std::time::Instant;

use super::hls_tap::HlsTap;
use super::turns::Line;
use super::{Config, ShardId, StreamCounters};
use crate::egress::{SenderClock, StreamClocks};
use crate::rtp::{Codec, MediaKind};
use crate::sdp::PublisherSpec;
use crate::stream::{
    KeyframeCache, LayerId, LayersByTrack, Packet, RankedLayer, Recycler, Ring, TrackId, TrackInfo,
};

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
    pub(super) counters: Arc<StreamCounters>,
    /// The next flush is to say how long after its capture the media leaves.
    pub(super) is_timed: bool,
    /// Video that waits so that sound need not.
    pub(super) line: Line,
    /// There are packets that have not been sent on yet.
    is_fresh: bool,
    /// Packets of some track keep what the one before held.
    keeps_previous: bool,
    /// Buffers for that. Packets of all tracks are filled again and again, but only some need one.
    spares: Vec<Vec<u8>>,
}

/// Where a stream's packets come from on this shard.
pub(super) enum Source {
    /// From the publisher, who is here.
    Publisher {
        /// The publisher's slot.
        slot: usize,
        /// Packets to be filled.
        recycler: Recycler,
        /// Its clocks, told or assumed.
        clocks: Box<StreamClocks>,
        /// The other shards that have subscribers.
        targets: Vec<Target>,
        /// The HLS branch, when the stream has one.
        hls: Option<HlsTap>,
    },
    /// From the shard that the publisher is on.
    Replica {
        /// That shard.
        origin: ShardId,
        /// What it was told that we need.
        needs: LayersByTrack,
    },
}

/// A shard that gets some of a stream.
pub(super) struct Target {
    pub(super) shard: ShardId,
    /// What its subscribers need.
    pub(super) needs: LayersByTrack,
}

/// One track of a stream on one shard.
pub(super) struct LocalTrack {
    pub(super) kind: MediaKind,
    pub(super) clock_rate: u32,
    /// By [`LayerId`]; one at first, the others when something comes of them.
    pub(super) layers: Vec<LocalLayer>,
    /// The publisher agreed on simulcast; known on its shard alone.
    pub(super) is_layered: bool,
    /// The layers of a track with simulcast, the best first.
    pub(super) ranked: Arc<[RankedLayer]>,
    /// Its packets keep what the one before held.
    keeps_previous: bool,
    /// Packets that each ring holds.
    ring: usize,
    cache: KeyframeCache,
}

/// One layer of a track on one shard.
pub(super) struct LocalLayer {
    pub(super) ring: Ring,
    /// Packets that have not been sent on yet.
    pub(super) fresh: Vec<Arc<Packet>>,
    pub(super) clock: Option<SenderClock>,
    /// When a replica last asked for a keyframe, until one begins.
    pub(super) asked: Option<Instant>,
}

impl LocalTrack {
    pub(super) fn layer(&self, layer: LayerId) -> Option<&LocalLayer> {
        self.layers.get(usize::from(layer.0))
    }

    /// Makes room for the layer where there is none yet.
    pub(super) fn layer_mut(&mut self, layer: LayerId) -> Option<&mut LocalLayer> {
        let index = usize::from(layer.0);
        if index >= self.layers.len() && index < LayerId::MAX_LAYERS {
            let (ring, cache) = (self.ring, self.cache);
            self.layers
                .resize_with(index + 1, || LocalLayer::new(ring, cache));
        }
        self.layers.get_mut(index)
    }
}

impl LocalLayer {
    fn new(ring: usize, cache: KeyframeCache) -> Self {
        Self {
            ring: Ring::new(ring, cache),
            fresh: Vec::with_capacity(64),
            clock: None,
            asked: None,
        }
    }
}

impl LocalStream {
    pub(super) fn new(
        tracks: &[TrackInfo],
        source: Source,
        counters: Arc<StreamCounters>,
        config: &Config,
    ) -> Self {
        let track = |track: &TrackInfo| {
            let (ring, cache) = match track.kind() {
                MediaKind::Video => (config.video_ring, config.keyframe_cache),
                MediaKind::Audio => (config.audio_ring, KeyframeCache::OFF),
            };
            LocalTrack {
                kind: track.kind(),
                clock_rate: track.codec.clock_rate(),
                layers: vec![LocalLayer::new(ring, cache)],
                is_layered: false,
                ranked: Arc::new([]),
                keeps_previous: config.audio_redundancy && track.codec == Codec::Opus,
                ring,
                cache,
            }
        };
        let tracks: Vec<_> = tracks.iter().map(track).collect();
        Self {
            keeps_previous: tracks.iter().any(|track| track.keeps_previous),
            spares: Vec::new(),
            tracks,
            subscribers: Vec::new(),
            sessions: 0,
            source,
            counters,
            is_timed: false,
            line: Line::default(),
            is_fresh: false,
        }
    }

    /// The stream of a publisher of this shard.
    pub(super) fn published(
        spec: &PublisherSpec,
        counters: Arc<StreamCounters>,
        config: &Config,
    ) -> Self {
        let tracks: Vec<TrackInfo> = spec.tracks.iter().map(|track| track.info.clone()).collect();
        let clock_rates = tracks.iter().map(|track| track.codec.clock_rate());
        let source = Source::Publisher {
            slot: usize::MAX,
            recycler: Recycler::default(),
            clocks: Box::new(StreamClocks::new(clock_rates)),
            targets: Vec::new(),
            hls: None,
        };
        let mut stream = Self::new(&tracks, source, counters, config);
        for (local, track) in stream.tracks.iter_mut().zip(&spec.tracks) {
            local.is_layered = track.layers.iter().any(|layer| layer.rid.is_some());
        }
        stream
    }

    pub(super) fn track(&self, track: TrackId) -> Option<&LocalTrack> {
        self.tracks.get(usize::from(track.0))
    }

    pub(super) fn track_mut(&mut self, track: TrackId) -> Option<&mut LocalTrack> {
        self.tracks.get_mut(usize::from(track.0))
    }

    pub(super) fn layer(&self, track: TrackId, layer: LayerId) -> Option<&LocalLayer> {
        self.track(track)?.layer(layer)
    }

    pub(super) fn layer_mut(&mut self, track: TrackId, layer: LayerId) -> Option<&mut LocalLayer> {
        self.track_mut(track)?.layer_mut(layer)
    }

    /// Whether there is anything to choose between.
    pub(super) fn has_layers(&self) -> bool {
        self.tracks.iter().any(|track| track.layers.len() > 1)
    }

    /// How many subscribers of this shard have a use for `packet`, as far as that depends on its layer.
    pub(super) fn viewers_of(&self, shard: ShardId, packet: &Packet) -> usize {
        if !self.has_layers() {
            return self.subscribers.len();
        }
        let outgoing = self.counters.of(shard);
        outgoing.map_or(0, |outgoing| {
            outgoing.standings.need(packet.track, packet.layer)
        })
    }

    pub(super) fn numbered(&self) -> impl Iterator<Item = (TrackId, LayerId, &LocalLayer)> {
        (0..)
            .map(TrackId)
            .zip(&self.tracks)
            .flat_map(|(id, track)| {
                let layers = (0..).map(LayerId).zip(&track.layers);
                layers.map(move |(layer, local)| (id, layer, local))
            })
    }

    /// What has not been sent on of the tracks of one kind, layer by layer.
    pub(super) fn fresh(
        &self,
        kind: MediaKind,
    ) -> impl Iterator<Item = (TrackId, LayerId, &LocalTrack, &[Arc<Packet>])> + Clone {
        let tracks = (0..).map(TrackId).zip(&self.tracks);
        tracks
            .filter(move |(_, track)| track.kind == kind)
            .flat_map(|(id, track)| {
                let layers = (0..).map(LayerId).zip(&track.layers);
                layers.map(move |(layer, local)| (id, layer, track, &*local.fresh))
            })
            .filter(|(.., packets)| !packets.is_empty())
    }

    /// Keeps a packet for retransmission and to be sent on with the next flush. Returns whether it is the first such.
    pub(super) fn push(&mut self, packet: Arc<Packet>) -> bool {
        let Some(layer) = self.layer_mut(packet.track, packet.layer) else {
            return false;
        };
        if packet.keyframe {
            layer.asked = None;
        }
        layer.fresh.push(Arc::clone(&packet));
        self.keep(packet);
        !std::mem::replace(&mut self.is_fresh, true)
    }

    /// Gives a packet that is new what the one before held, where that may be of use: see [`Packet::keep_previous`].
    pub(super) fn add_previous(&mut self, packet: &mut Arc<Packet>) {
        if !self.keeps_previous {
            return;
        }
        // Nobody else has it yet.
        let Some(packet) = Arc::get_mut(packet) else {
            return;
        };
        let track = self.tracks.get(usize::from(packet.track.0));
        let Some(track) = track.filter(|track| track.keeps_previous) else {
            self.spares.extend(packet.previous.take_buffer());
            return;
        };
        let before = track
            .layer(packet.layer)
            .zip(packet.sequence.checked_sub(1))
            .and_then(|(layer, before)| layer.ring.get(before));
        packet.previous.ensure_buffer(|| self.spares.pop());
        packet.keep_previous(before.map(Arc::as_ref));
    }

    /// Keeps a packet for those who come later or lose it.
    pub(super) fn keep(&mut self, packet: Arc<Packet>) {
        let (track, layer) = (usize::from(packet.track.0), packet.layer);
        let Some(local) = self.tracks.get_mut(track) else {
            return;
        };
        let Some(layer) = local.layer_mut(layer) else {
            return;
        };
        let source = &mut self.source;
        layer.ring.insert(packet, |old| {
            if let Source::Publisher { recycler, .. } = source {
                recycler.put(old);
            }
        });
    }

    /// What was fresh has been sent on.
    pub(super) fn clear_fresh(&mut self) {
        self.is_fresh = false;
        for layer in self.tracks.iter_mut().flat_map(|track| &mut track.layers) {
            layer.fresh.clear();
        }
    }
}

/// A packet with nothing in it yet.
pub(super) fn empty_packet(now: Instant) -> Packet {
    Packet {
        payload: Vec::with_capacity(PAYLOAD_CAPACITY),
        ..Packet::empty(now)
    }
}
