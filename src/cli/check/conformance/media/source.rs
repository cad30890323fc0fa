//! The packets of the test broadcast.
//!
//! Pure: what is sent, and at which RTP time. Each picture is a keyframe, so a viewer may join at any.

use bytes::Bytes;

use crate::rtp::Codec;

/// Pictures per second.
pub(crate) const PICTURES: u32 = 10;
/// Opus packets per second.
pub(crate) const SOUNDS: u32 = 50;
/// Ticks of the video clock per picture.
const VIDEO_TICKS: u32 = 90_000 / PICTURES;
/// Ticks of the Opus clock per packet (RFC 7587, section 4.1).
const AUDIO_TICKS: u32 = 48_000 / SOUNDS;
/// Silence of 20 ms (RFC 6716, section 3.1: CELT, full band, one frame).
const SILENCE: &[u8] = &[0xF8, 0xFF, 0xFE];
const VP8: &[u8] = include_bytes!("picture.vp8");
const H264: &[u8] = include_bytes!("picture.h264");

/// One track's packets, without end.
pub(crate) struct Source {
    codec: Codec,
    payload_type: u8,
    ssrc: u32,
    sequence_number: u16,
    timestamp: u32,
}

impl Source {
    /// A track of VP8, H264 or Opus; of another codec it would be silent, so there is none.
    pub(crate) fn new(codec: Codec, payload_type: u8, ssrc: u32) -> Option<Self> {
        matches!(codec, Codec::Vp8 | Codec::H264 | Codec::Opus).then_some(Self {
            codec,
            payload_type,
            ssrc,
            sequence_number: 1000,
            timestamp: 90_000,
        })
    }

    /// The packets of the next picture, or the next 20 ms of sound.
    pub(crate) fn next(&mut self) -> Vec<rtc::rtp::Packet> {
        let (payloads, ticks) = match self.codec {
            Codec::Vp8 => (vec![vp8()], VIDEO_TICKS),
            Codec::H264 => (h264(), VIDEO_TICKS),
            _ => (vec![Bytes::from_static(SILENCE)], AUDIO_TICKS),
        };
        let last = payloads.len().saturating_sub(1);
        let packets = payloads
            .into_iter()
            .enumerate()
            .map(|(index, payload)| {
                let mut packet = rtc::rtp::Packet::default();
                packet.header.version = 2;
                packet.header.payload_type = self.payload_type;
                packet.header.ssrc = self.ssrc;
                packet.header.sequence_number = self.sequence_number;
                packet.header.timestamp = self.timestamp;
                packet.header.marker = self.codec != Codec::Opus && index == last;
                packet.payload = payload;
                self.sequence_number = self.sequence_number.wrapping_add(1);
                packet
            })
            .collect();
        self.timestamp = self.timestamp.wrapping_add(ticks);
        packets
    }
}

/// The whole picture in one packet, with the smallest descriptor (RFC 7741, section 4.2).
fn vp8() -> Bytes {
    const FIRST: u8 = 0x10;
    std::iter::once(FIRST).chain(VP8.iter().copied()).collect()
}

/// One packet a NAL unit (RFC 6184, section 5.6): the picture is small enough.
fn h264() -> Vec<Bytes> {
    const START: &[u8] = &[0, 0, 0, 1];
    let starts: Vec<usize> = H264
        .windows(START.len())
        .enumerate()
        .filter(|(_, window)| *window == START)
        .map(|(at, _)| at)
        .collect();
    starts
        .iter()
        .enumerate()
        .map(|(index, start)| {
            let end = starts.get(index + 1).copied().unwrap_or(H264.len());
            Bytes::from_static(&H264[start + START.len()..end])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::keyframe::starts_keyframe;

    #[test]
    fn every_picture_is_a_keyframe_that_fits_into_packets() {
        for codec in [Codec::Vp8, Codec::H264] {
            let mut source = Source::new(codec, 96, 7).unwrap();
            let (first, second) = (source.next(), source.next());
            assert!(starts_keyframe(codec, &first[0].payload), "{codec:?}");
            assert!(first.iter().all(|packet| packet.payload.len() < 1200));
            assert!(
                first
                    .iter()
                    .rev()
                    .skip(1)
                    .all(|packet| !packet.header.marker)
            );
            assert!(first.last().unwrap().header.marker);
            let header = |packets: &[rtc::rtp::Packet]| packets[0].header.clone();
            assert_eq!(
                header(&second).timestamp - header(&first).timestamp,
                VIDEO_TICKS
            );
            assert_eq!(
                usize::from(header(&second).sequence_number - header(&first).sequence_number),
                first.len()
            );
        }
        assert_eq!(h264().len(), 3, "parameter sets and a picture");
    }

    #[test]
    fn other_codecs_have_no_source() {
        assert!(Source::new(Codec::Av1, 45, 7).is_none());
    }
}
