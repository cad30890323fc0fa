//! The packets of one track as one subscriber gets them: header, extensions, payload.

use crate::egress::splice::{Origin, Shift};
use crate::egress::whep::bandwidth::Stamps;
use crate::egress::whep::extension_block::ExtensionBlock;
use crate::egress::whep::outlet::Outlet;
use crate::egress::whep::retransmission::Rtx;
use crate::rtp::{Extension, ExtensionMap, header, red};
use crate::sdp::SubscribedTrack;
use crate::stream::Packet;

/// What this subscriber's headers look like.
#[derive(Debug)]
pub(super) struct Rewriter {
    extensions: ExtensionMap,
    payload_type: u8,
    /// The payload type of packets that carry the one before once more (RFC 2198), where the subscriber takes such.
    red_payload_type: Option<u8>,
    ssrc: u32,
    /// The extension id of transport-wide numbers, where packets may carry them.
    transport_sequence: Option<u8>,
}

#[derive(Clone, Copy)]
struct HeaderFields {
    payload_type: u8,
    ssrc: u32,
    sequence: u64,
}

impl Rewriter {
    pub(super) fn new(track: &SubscribedTrack, ssrc: u32) -> Self {
        Self {
            extensions: track.extensions,
            // Without RTX the very same bytes are repeated, and so would be the number.
            transport_sequence: track
                .extensions
                .id(Extension::TransportSequenceNumber)
                .filter(|_| track.feedback.transport_cc && track.rtx_ssrc.is_some()),
            payload_type: track.payload_type,
            red_payload_type: track.red_payload_type,
            ssrc,
        }
    }

    pub(super) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Whether packets may carry transport-wide numbers.
    pub(super) fn can_be_numbered(&self) -> bool {
        self.transport_sequence.is_some()
    }

    /// Leaves capture times out from now on.
    pub(super) fn drop_capture_times(&mut self) {
        self.extensions.set(Extension::AbsCaptureTime, 0);
    }

    /// Sends `packet` again over RTX. Returns the bytes of it.
    pub(super) fn repeat(
        &self,
        packet: &Packet,
        rtx: Rtx,
        origin: &Origin,
        mut stamps: Option<Stamps<'_>>,
        outlet: &mut impl Outlet,
    ) -> usize {
        let header = HeaderFields {
            payload_type: rtx.payload_type,
            ssrc: rtx.ssrc,
            sequence: rtx.sequence,
        };
        let original = (origin.own as u16).to_be_bytes();
        let shift = origin.shifts.of(packet);
        let prefix = [&original[..], &[]];
        self.write(packet, header, prefix, &shift, stamps.as_mut(), outlet)
    }

    /// Sends `packet` as our number `own`, with the packet before it where the subscriber takes redundancy. Returns the
    /// bytes of the payload.
    pub(super) fn send(
        &self,
        packet: &Packet,
        own: u64,
        shift: &Shift,
        stamps: Option<&mut Stamps<'_>>,
        outlet: &mut impl Outlet,
    ) -> u64 {
        let red = self.redundancy(packet);
        let (payload_type, prefix) = match &red {
            None => (self.payload_type, [&[][..]; 2]),
            Some((payload_type, blocks)) => {
                (*payload_type, [&blocks[..], packet.previous.payload()])
            }
        };
        let header = HeaderFields {
            payload_type,
            ssrc: self.ssrc,
            sequence: own,
        };
        self.write(packet, header, prefix, shift, stamps, outlet);
        (prefix[0].len() + prefix[1].len() + packet.payload.len()) as u64
    }

    /// The payload type and the header of the blocks, where the subscriber takes redundancy and the packet has some.
    fn redundancy(&self, packet: &Packet) -> Option<(u8, [u8; red::HEADER_LEN])> {
        let payload_type = self.red_payload_type?;
        let (offset, len) = (
            packet.previous.timestamp_offset(),
            packet.previous.payload().len(),
        );
        let blocks = red::header(self.payload_type, offset, len).filter(|_| len > 0)?;
        Some((payload_type, blocks))
    }

    /// Writes a packet: our header, the extensions under the subscriber's ids, `prefix`, the payload.
    fn write(
        &self,
        packet: &Packet,
        header: HeaderFields,
        prefix: [&[u8]; 2],
        shift: &Shift,
        stamps: Option<&mut Stamps<'_>>,
        outlet: &mut impl Outlet,
    ) -> usize {
        let stamped = self.transport_sequence.filter(|_| stamps.is_some());
        let mut extensions =
            ExtensionBlock::of(&packet.extensions, &self.extensions, shift.frame, stamped);
        let header_len = header::FIXED_LEN + extensions.len();
        let len = header_len + prefix[0].len() + prefix[1].len() + packet.payload.len();
        if let (Some(_), Some(stamps)) = (stamped, stamps) {
            extensions.stamp(stamps.next(len));
        }
        let timestamp = packet.timestamp.wrapping_add(shift.timestamp);
        outlet.send(len, header_len, header.sequence, |buffer| {
            buffer[0] = if extensions.is_empty() { 0x80 } else { 0x90 };
            buffer[1] = u8::from(packet.marker) << 7 | header.payload_type;
            buffer[2..4].copy_from_slice(&(header.sequence as u16).to_be_bytes());
            buffer[4..8].copy_from_slice(&timestamp.to_be_bytes());
            buffer[8..12].copy_from_slice(&header.ssrc.to_be_bytes());
            buffer[header::FIXED_LEN..header_len].copy_from_slice(extensions.as_bytes());
            let (first, payload) = buffer[header_len..].split_at_mut(prefix[0].len());
            first.copy_from_slice(prefix[0]);
            let (second, payload) = payload.split_at_mut(prefix[1].len());
            second.copy_from_slice(prefix[1]);
            payload.copy_from_slice(&packet.payload);
            if let Some(counters) = &packet.picture
                && (shift.picture, shift.base_layer) != (0, 0)
            {
                counters.shift(payload, shift.picture, shift.base_layer);
            }
        });
        len
    }
}
