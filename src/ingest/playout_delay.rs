//! The playout delay that players of a stream are told, whatever its publisher says.
//!
//! It is on all packets of keyframes: whoever begins gets it, and packets of one frame stay equal in
//! size. Players keep the last value that they were told.

use crate::rtp::{Extension, PlayoutDelay};
use crate::stream::Packet;

/// Writes the delay into packets of video.
#[derive(Debug)]
pub(super) struct Delays {
    value: [u8; 3],
    /// By the number of the layer: the timestamp of its newest keyframe.
    keyframes: Vec<Option<u32>>,
}

impl Delays {
    pub(super) fn new(delay: PlayoutDelay, layers: usize) -> Self {
        Self {
            value: delay.to_bytes(),
            keyframes: vec![None; layers],
        }
    }

    /// A packet of the layer of that number is complete but for this. The publisher's own value is not in it.
    pub(super) fn set(&mut self, layer: usize, packet: &mut Packet) {
        let Some(keyframe) = self.keyframes.get_mut(layer) else {
            return;
        };
        if packet.keyframe {
            *keyframe = Some(packet.timestamp);
        }
        if *keyframe == Some(packet.timestamp) {
            packet.extensions.push(Extension::PlayoutDelay, &self.value);
        }
    }
}
