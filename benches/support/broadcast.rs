//! A synthetic broadcast of 2.5 Mbit/s: H264 in the form of RFC 6184 at 30 frames a second with a
//! keyframe every two, and Opus. The bytes are no pictures; the sizes and the bursts are those of an encoder.

use std::time::Duration;

use tidegate::rtp::{Codec, ExtensionMap};
use tidegate::sdp::{
    Feedback, PublishedLayer, PublishedTrack, PublisherSpec, SubscribedTrack, SubscriberSpec,
};
use tidegate::stream::{TrackId, TrackInfo};

pub(crate) const AUDIO: TrackId = TrackId(0);
pub(crate) const VIDEO: TrackId = TrackId(1);

const AUDIO_TYPE: u8 = 111;
const RED_TYPE: u8 = 63;
pub(crate) const VIDEO_TYPE: u8 = 102;
const AUDIO_SSRC: u32 = 0x0A0A_0A0A;
const VIDEO_SSRC: u32 = 0x0B0B_0B0B;

/// The whole RTP packet before encryption, in bytes.
const PACKET: usize = 1200;
const HEADER: usize = 12;
const KEYFRAME_PACKETS: usize = 80;
const FRAMES_PER_KEYFRAME: usize = 60;
/// What is left of 2.5 Mbit/s for two seconds behind the keyframe, shared by the other frames.
const FRAME_BYTES: usize =
    (2 * 2_500_000 / 8 - KEYFRAME_PACKETS * PACKET) / (FRAMES_PER_KEYFRAME - 1);
/// Frames differ, so that their last packets do: in percent of the mean.
const FRAME_SIZES: [usize; 6] = [100, 70, 130, 90, 110, 100];
const AUDIO_PAYLOAD: usize = 120;

const FRAME_TIME: Duration = Duration::from_micros(33_333);
const AUDIO_TIME: Duration = Duration::from_millis(20);

/// Packets that are sent together, as an encoder puts out what belongs together.
pub(crate) struct Burst {
    /// From the beginning of the script.
    pub(crate) at: Duration,
    pub(crate) packets: Vec<Vec<u8>>,
}

/// Where the broadcast is: its numbers go on from script to script.
#[derive(Default)]
pub(crate) struct Broadcast {
    audio: u32,
    video: u16,
    frames: u32,
}

impl Broadcast {
    /// The next `length` of it, a whole number of seconds that begins with a keyframe. Plain RTP.
    pub(crate) fn script(&mut self, seconds: u32) -> Vec<Burst> {
        self.script_with(seconds, FRAMES_PER_KEYFRAME as u32 / 30)
    }

    /// The same with a keyframe every `interval` seconds; so it has less of them, and fewer bits.
    pub(crate) fn script_with(&mut self, seconds: u32, interval: u32) -> Vec<Burst> {
        let mut bursts = Vec::new();
        for frame in 0..30 * seconds {
            let packets = self.frame((frame % (30 * interval)) as usize);
            bursts.push(Burst {
                at: FRAME_TIME * frame,
                packets,
            });
        }
        for packet in 0..50 * seconds {
            bursts.push(Burst {
                // Not on the beat of the frames: a real microphone is not either.
                at: AUDIO_TIME * packet + Duration::from_millis(7),
                packets: vec![self.sound()],
            });
        }
        bursts.sort_by_key(|burst| burst.at);
        bursts
    }

    fn frame(&mut self, of_group: usize) -> Vec<Vec<u8>> {
        let is_keyframe = of_group == 0;
        let len = match is_keyframe {
            true => KEYFRAME_PACKETS * (PACKET - HEADER),
            false => FRAME_BYTES * FRAME_SIZES[of_group % FRAME_SIZES.len()] / 100,
        };
        let timestamp = self.frames.wrapping_mul(3000);
        self.frames += 1;
        let count = len.div_ceil(PACKET - HEADER);
        let mut left = len;
        (0..count)
            .map(|index| {
                let payload_len = left.clamp(3, PACKET - HEADER);
                left = left.saturating_sub(payload_len);
                let mut payload = vec![0xA5; payload_len];
                // FU-A of an IDR or another slice, with its start and end bits.
                payload[0] = 0x7C;
                payload[1] = if is_keyframe { 5 } else { 1 };
                payload[1] |= u8::from(index == 0) << 7 | u8::from(index + 1 == count) << 6;
                let number = self.video;
                self.video = self.video.wrapping_add(1);
                let kind = u8::from(index + 1 == count) << 7 | VIDEO_TYPE;
                rtp(kind, number, timestamp, VIDEO_SSRC, &payload)
            })
            .collect()
    }

    fn sound(&mut self) -> Vec<u8> {
        let number = self.audio;
        self.audio += 1;
        let timestamp = number.wrapping_mul(960);
        rtp(
            AUDIO_TYPE,
            number as u16,
            timestamp,
            AUDIO_SSRC,
            &[0xFC; AUDIO_PAYLOAD],
        )
    }
}

fn rtp(kind: u8, number: u16, timestamp: u32, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, kind];
    packet.extend_from_slice(&number.to_be_bytes());
    packet.extend_from_slice(&timestamp.to_be_bytes());
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

/// The two tracks, as subscribers learn of them.
pub(crate) fn tracks() -> [TrackInfo; 2] {
    let track = |id, codec, channels| TrackInfo {
        id,
        codec,
        fmtp: String::new(),
        channels,
    };
    [track(AUDIO, Codec::Opus, 2), track(VIDEO, Codec::H264, 1)]
}

/// What the publisher's offer and answer would have agreed on.
pub(crate) fn publisher_spec() -> PublisherSpec {
    let [audio, video] = tracks();
    let track = |info: TrackInfo, payload_type, ssrc| PublishedTrack {
        mid: info.id.0.to_string(),
        info,
        payload_type,
        red_payload_type: None,
        rtx_payload_type: None,
        layers: vec![PublishedLayer {
            ssrc: Some(ssrc),
            ..PublishedLayer::default()
        }],
        extensions: ExtensionMap::default(),
        feedback: Feedback {
            nack: true,
            pli: true,
            ..Feedback::default()
        },
    };
    PublisherSpec {
        tracks: vec![
            track(audio, AUDIO_TYPE, AUDIO_SSRC),
            track(video, VIDEO_TYPE, VIDEO_SSRC),
        ],
    }
}

/// What a subscriber's offer and answer would have agreed on.
pub(crate) fn subscriber_spec() -> SubscriberSpec {
    let track = |info: &TrackInfo, payload_type, ssrc| SubscribedTrack {
        track: info.id,
        kind: info.kind(),
        clock_rate: info.codec.clock_rate(),
        mid: info.id.0.to_string(),
        payload_type,
        red_payload_type: (info.codec == Codec::Opus).then_some(RED_TYPE),
        rtx_payload_type: None,
        ssrc,
        rtx_ssrc: None,
        extensions: ExtensionMap::default(),
        feedback: Feedback {
            nack: true,
            pli: true,
            ..Feedback::default()
        },
    };
    let [audio, video] = tracks();
    SubscriberSpec {
        tracks: vec![
            track(&audio, AUDIO_TYPE, 0x1111_1111),
            track(&video, VIDEO_TYPE, 0x2222_2222),
        ],
    }
}
