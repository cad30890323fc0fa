//! What a publisher says once more with the next packet (RFC 2198), and what of it fills a gap.
//!
//! A block tells its timestamp and no sequence number. The first byte of an Opus packet tells how long it lasts, so
//! blocks that follow each other without a pause are those of the packets just before, one by one. What lies behind a
//! pause is left alone: it is asked for as any other loss.

use std::time::Instant;

use super::Publisher;
use super::layer::Layer;
use crate::rtp::red::{Block, Red};
use crate::rtp::{Header, opus};
use crate::stream::Packet;

/// So many packets before one are looked for in it, and found in it at most.
pub const MAX_RECOVERED: usize = 4;

/// The blocks of the newest packet that are still to be looked at.
#[derive(Debug)]
pub(super) struct Redundancy {
    /// The index of its layer.
    layer: usize,
    header: Header,
    /// How many packets before it the next block belongs.
    back: usize,
}

impl Redundancy {
    /// Those of a packet of the layer with this index, if it came in blocks.
    pub(super) fn of(index: usize, layer: &Layer, header: &Header) -> Option<Self> {
        layer.is_redundant(header.payload_type).then_some(Self {
            layer: index,
            header: *header,
            back: MAX_RECOVERED,
        })
    }
}

impl Publisher {
    /// Whether [`Self::poll_recovered`] may have something to give.
    pub fn has_redundancy(&self) -> bool {
        self.redundancy.is_some()
    }

    /// Fills `packet` with one that was missing and came once more with the newest packet, whose `bytes` are those
    /// that [`Self::handle_rtp`] was given, the oldest first. False when there is no more.
    pub fn poll_recovered(&mut self, now: Instant, bytes: &[u8], packet: &mut Packet) -> bool {
        let Some(mut newest) = self.redundancy.take() else {
            return false;
        };
        let layer = &mut self.layers[newest.layer];
        let Some(red) = newest.header.payload(bytes).ok().and_then(Red::read) else {
            return false;
        };
        packet.extensions.clear();
        while newest.back > 0 {
            let back = newest.back;
            newest.back -= 1;
            let block = contiguous(&red).nth(back - 1);
            if block.is_some_and(|block| layer.recover(now, &newest.header, back, &block, packet)) {
                self.redundancy = Some(newest);
                return true;
            }
        }
        false
    }
}

/// The blocks of the packets just before, the newest first.
fn contiguous<'a>(red: &Red<'a>) -> impl Iterator<Item = Block<'a>> + use<'a> {
    let (payload_type, mut offset) = (red.payload_type, 0);
    red.redundant().take_while(move |block| {
        let duration = opus::duration(block.payload);
        offset += duration.unwrap_or(0);
        duration.is_some() && block.timestamp_offset == offset && block.payload_type == payload_type
    })
}
