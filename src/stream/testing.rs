//! Packets for tests.

use std::time::Instant;

use super::Packet;

/// A packet of track 0 with this number and the given defaults.
pub(crate) fn packet(sequence: u64) -> Packet {
    Packet {
        sequence,
        timestamp: (sequence as u32).wrapping_mul(3_000),
        payload: vec![0xAB; 100],
        ..Packet::empty(Instant::now())
    }
}
