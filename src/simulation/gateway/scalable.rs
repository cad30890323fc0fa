//! The gateway of a publisher with layers in one source.

use std::time::Instant;

use super::Gateway;
use crate::ingest::{self, Publisher};
use crate::rtp::Codec;
use crate::simulation::agreed;
use crate::simulation::tracks::tracks;
use crate::stream::LayerId;

impl Gateway {
    /// The publisher sends VP9 in layers. To be called before anything came.
    pub(in crate::simulation) fn be_scalable(&mut self, now: Instant) {
        let mut spec = agreed::publisher(true, 1);
        spec.tracks[0].info.codec = Codec::Vp9;
        self.publisher = Publisher::new(now, spec, ingest::Config::default(), 77);
        self.tracks[0].layers = tracks(LayerId::MAX_LAYERS).swap_remove(0).layers;
    }
}
