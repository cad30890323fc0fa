//! The media of a made-up publisher: H264 and Opus packets that say which they are.

use rtc::rtcp;
use rtc::rtcp::sender_report::SenderReport;

use super::peer::{MediaAnswer, Peer};

/// Frames from one keyframe to the next.
const INTERVAL: u32 = 10;

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
    pub(crate) const PACKETS_PER_FRAME: u32 = 4;
    pub(crate) const TICKS_PER_FRAME: u32 = 3_000;

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

    /// The packets of the next frame.
    pub(crate) fn frame(&mut self) -> Vec<Vec<u8>> {
        let keyframe = self.frame.is_multiple_of(INTERVAL);
        let packets = (0..Self::PACKETS_PER_FRAME)
            .map(|index| {
                let nal = match (keyframe, index) {
                    (true, 0) => 0x65,
                    _ => 0x41,
                };
                let packet = Rtp {
                    payload_type: self.payload_type,
                    sequence_number: self.sequence_number,
                    timestamp: self.timestamp,
                    ssrc: self.ssrc,
                    marker: index == Self::PACKETS_PER_FRAME - 1,
                    payload: payload(nal, self.next),
                };
                self.next += 1;
                self.sequence_number = self.sequence_number.wrapping_add(1);
                packet.write()
            })
            .collect();
        self.frame += 1;
        self.timestamp = self.timestamp.wrapping_add(Self::TICKS_PER_FRAME);
        packets
    }

    /// Goes on as if a frame had been sent.
    pub(crate) fn skip_frame(&mut self) {
        let _ = self.frame();
    }

    /// Sends the next frame, whole. Returns the number of its last packet.
    pub(crate) async fn send(&mut self, publisher: &mut Peer) -> u32 {
        for packet in self.frame() {
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rtp {
    pub(crate) payload_type: u8,
    pub(crate) sequence_number: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    pub(crate) marker: bool,
    pub(crate) payload: Vec<u8>,
}

impl Rtp {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut packet = vec![0x80, u8::from(self.marker) << 7 | self.payload_type];
        packet.extend_from_slice(&self.sequence_number.to_be_bytes());
        packet.extend_from_slice(&self.timestamp.to_be_bytes());
        packet.extend_from_slice(&self.ssrc.to_be_bytes());
        packet.extend_from_slice(&self.payload);
        packet
    }

    pub(crate) fn read(packet: &[u8]) -> Self {
        assert_eq!(packet[0], 0x80, "no extensions were negotiated");
        let word = |at: usize| u32::from_be_bytes(*packet[at..].first_chunk().unwrap());
        Self {
            payload_type: packet[1] & 0x7F,
            sequence_number: u16::from_be_bytes([packet[2], packet[3]]),
            timestamp: word(4),
            ssrc: word(8),
            marker: packet[1] & 0x80 != 0,
            payload: packet[12..].to_vec(),
        }
    }
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
