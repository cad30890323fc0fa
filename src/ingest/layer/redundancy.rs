//! Packets that another one brought once more.

use std::time::Instant;

use super::Layer;
use super::place::Placed;
use crate::ingest::Ingested;
use crate::rtp::Header;
use crate::rtp::red::Block;
use crate::stream::Packet;

impl Layer {
    /// Whether packets of this payload type come in blocks of redundant audio.
    pub(in crate::ingest) fn is_redundant(&self, payload_type: u8) -> bool {
        Some(payload_type) == self.red_payload_type
    }

    /// Fills `packet` with the one that is `back` before that of `header`, whose payload is `block`, if it is missing;
    /// it is not asked for any more then.
    pub(in crate::ingest) fn recover(
        &mut self,
        now: Instant,
        header: &Header,
        back: usize,
        block: &Block<'_>,
        packet: &mut Packet,
    ) -> bool {
        let mut header = *header;
        header.marker = false;
        header.sequence_number = header.sequence_number.wrapping_sub(back as u16);
        header.timestamp = header.timestamp.wrapping_sub(block.timestamp_offset);
        let Ok(place) = self.timeline.place_repair(header.sequence_number) else {
            return false;
        };
        // It says nothing of the round trip: it came on its own.
        let _ = self.losses.arrive(now, place.number);
        let placed = Placed {
            place,
            header: &header,
            payload: block.payload,
        };
        let is_filled = self.emit(now, &placed, packet) == Ingested::Media;
        self.stats.recovered += u64::from(is_filled);
        is_filled
    }
}
