//! What the gateway holds of a stream's tracks.

use std::sync::Arc;

use super::catch_up;
use crate::egress::SenderClock;
use crate::stream::{KeyframeCache, RankedLayer, Ring};

pub(super) struct Track {
    /// One at least.
    pub(super) layers: Vec<Layer>,
    /// The best first; empty without simulcast.
    pub(super) ranked: Arc<[RankedLayer]>,
}

pub(super) struct Layer {
    pub(super) ring: Ring,
    pub(super) clock: Option<SenderClock>,
}

/// Of a stream with so many layers of video.
pub(super) fn tracks(layers: usize) -> Vec<Track> {
    let layer = |capacity, cache| Layer {
        ring: Ring::new(capacity, cache),
        clock: None,
    };
    let track = |capacity, cache, layers| Track {
        layers: (0..layers).map(|_| layer(capacity, cache)).collect(),
        ranked: Arc::new([]),
    };
    vec![
        track(1024, catch_up::CACHE, layers),
        track(256, KeyframeCache::OFF, 1),
    ]
}
