//! The ways out of a shard: its UDP socket and its TCP connections.

use super::connections::Connections;
use super::counters::Counters;
use super::socket::Sender;
use crate::transport::{Path, Via};

/// Everything that a shard sends by.
pub(super) struct Wire {
    pub(super) udp: Sender,
    pub(super) tcp: Connections,
}

impl Wire {
    /// How many packets one send call may hold.
    pub(super) fn max_segments(&self) -> usize {
        self.udp.max_segments()
    }

    /// Sends `contents` in packets of `segment` bytes, the last of them maybe shorter. What there
    /// is no room for is counted and lost, as on any network.
    pub(super) fn send_run(
        &mut self,
        to: Path,
        contents: &[u8],
        segment: usize,
        counters: &Counters,
    ) {
        match to.via {
            Via::Udp(local) => self.udp.send(to.remote, local, contents, segment, counters),
            Via::Tcp(connection) => {
                for packet in contents.chunks(segment.max(1)) {
                    self.tcp.send(connection, packet, counters);
                }
            }
        }
    }

    /// Sends one packet, as [`Self::send_run`] does.
    pub(super) fn send(&mut self, to: Path, packet: &[u8], counters: &Counters) {
        self.send_run(to, packet, packet.len(), counters);
    }
}
