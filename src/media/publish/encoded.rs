//! What passes the video encoder: pictures one way, requests for keyframes the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gstreamer as gst;
use gstreamer::prelude::*;

use super::Stats;
use crate::media::keyframes;

/// Counts at the video encoder.
#[derive(Clone, Default)]
pub(super) struct Encoded {
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    frames: AtomicU64,
    keyframes: AtomicU64,
    keyframe_requests: AtomicU64,
}

impl Encoded {
    pub(super) fn add_to(&self, stats: &mut Stats) {
        stats.frames += self.counts.frames.load(Ordering::Relaxed);
        stats.keyframes += self.counts.keyframes.load(Ordering::Relaxed);
        stats.keyframe_requests += self.counts.keyframe_requests.load(Ordering::Relaxed);
    }

    /// Counts what passes the encoder's source pad in both directions.
    pub(super) fn watch(&self, pad: &gst::Pad) {
        let counts = Arc::clone(&self.counts);
        let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_UPSTREAM;
        pad.add_probe(mask, move |_, info| {
            if let Some(frame) = info.buffer() {
                counts.frames.fetch_add(1, Ordering::Relaxed);
                if !frame.flags().contains(gst::BufferFlags::DELTA_UNIT) {
                    counts.keyframes.fetch_add(1, Ordering::Relaxed);
                }
            } else if info
                .event()
                .is_some_and(|event| keyframes::is_request(event))
            {
                counts.keyframe_requests.fetch_add(1, Ordering::Relaxed);
            }
            gst::PadProbeReturn::Ok
        });
    }
}
