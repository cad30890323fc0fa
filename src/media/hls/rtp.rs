//! RTP packets as GStreamer's depayloaders want them: with a header of our own.

use crate::stream::Packet;

/// The payload type in the caps of every `pipelines/hls-*.launch`.
const PAYLOAD_TYPE: u8 = 96;

/// The packet with a plain header (RFC 3550, section 5.1): no extensions, no padding, one SSRC for all.
pub(super) fn packet(packet: &Packet) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(12 + packet.payload.len());
    bytes.extend_from_slice(&[0x80, u8::from(packet.marker) << 7 | PAYLOAD_TYPE]);
    bytes.extend_from_slice(&(packet.sequence as u16).to_be_bytes());
    bytes.extend_from_slice(&packet.timestamp.to_be_bytes());
    bytes.extend_from_slice(&1u32.to_be_bytes());
    bytes.extend_from_slice(&packet.payload);
    bytes
}
