//! The media of a made-up publisher: H264 and Opus packets that say which they are.

use rtc::rtcp;
use rtc::rtcp::sender_report::SenderReport;

use super::peer::{MediaAnswer, Peer};

/// Packets of a video frame.
const FRAME: u16 = 4;
/// Frames from one keyframe to the next.
const INTERVAL: u32 = 10;
const TICKS_PER_FRAME: u32 = 3_000;

/// A publisher's video: frames of four packets, every tenth a keyframe.
pub(crate) struct Broadcast {
    pub(crate) ssrc: u32,
    pub(crate) sequence_number: u16,
    pub(crate) timestamp: u32,
    payload_type: u8,
    /// The number of the next packet, which its payload says.
    pub(crate) next: u32,
    frame: u32,
}

impl Broadcast {
    pub(crate) fn new(video: &MediaAnswer) -> Self {
        Self {
            ssrc: 0x5EED,
            sequence_number: 60_000,
            timestamp: 4_000_000_000,
            payload_type: video.payload_type,
            next: 0,
            frame: 0,
        }
    }

    /// The packets of the next frame, with their numbers.
    pub(crate) fn frame(&mut self) -> Vec<(u32, Vec<u8>)> {
        let keyframe = self.frame.is_multiple_of(INTERVAL);
        let packets = (0..FRAME)
            .map(|index| {
                let number = self.next;
                let nal = match (keyframe, index) {
                    (true, 0) => 0x65,
                    _ => 0x41,
                };
                let packet = rtp(
                    self.payload_type,
                    self.sequence_number,
                    self.timestamp,
                    self.ssrc,
                    index == FRAME - 1,
                    &payload(nal, number),
                );
                self.next += 1;
                self.sequence_number = self.sequence_number.wrapping_add(1);
                (number, packet)
            })
            .collect();
        self.frame += 1;
        self.timestamp = self.timestamp.wrapping_add(TICKS_PER_FRAME);
        packets
    }

    /// Sends the next frame, whole. Returns the number of its last packet.
    pub(crate) async fn send(&mut self, publisher: &mut Peer) -> u32 {
        for (_, packet) in self.frame() {
            publisher.send_rtp(&packet).await;
        }
        self.next - 1
    }

    /// A sender report that says that the next frame is at `ntp`.
    pub(crate) fn sender_report(&self, ntp: u64) -> Box<dyn rtcp::Packet> {
        Box::new(SenderReport {
            ssrc: self.ssrc,
            ntp_time: ntp,
            rtp_time: self.timestamp,
            packet_count: self.next,
            octet_count: 0,
            ..SenderReport::default()
        })
    }
}

/// An RTP packet without extensions.
pub(crate) fn rtp(
    payload_type: u8,
    sequence_number: u16,
    timestamp: u32,
    ssrc: u32,
    marker: bool,
    payload: &[u8],
) -> Vec<u8> {
    let mut packet = vec![0x80, u8::from(marker) << 7 | payload_type];
    packet.extend_from_slice(&sequence_number.to_be_bytes());
    packet.extend_from_slice(&timestamp.to_be_bytes());
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

/// A payload that is different for every packet, in its length too.
pub(crate) fn payload(nal: u8, number: u32) -> Vec<u8> {
    let mut payload = vec![nal];
    payload.extend_from_slice(&number.to_be_bytes());
    let filling = 900 + number as usize % 100;
    payload.resize(5 + filling, number as u8);
    payload
}

/// The number that a payload says, if the rest of it is as it was sent.
pub(crate) fn number_of(sent: &[u8]) -> Option<u32> {
    let (nal, rest) = sent.split_first()?;
    let number = u32::from_be_bytes(*rest.first_chunk()?);
    (payload(*nal, number) == sent).then_some(number)
}
