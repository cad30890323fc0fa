//! Packets for tests.

use std::time::Instant;

use super::{ExtensionValues, Packet, TrackId};

/// A packet of track 0 with this number and the given defaults.
pub(crate) fn packet(sequence: u64) -> Packet {
    Packet {
        track: TrackId(0),
        sequence,
        timestamp: (sequence as u32).wrapping_mul(3_000),
        marker: false,
        keyframe: false,
        received: Instant::now(),
        payload: vec![0xAB; 100],
        extensions: ExtensionValues::default(),
    }
}
