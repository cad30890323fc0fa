//! RTP packets as GStreamer's depayloaders want them: by whole frames, with a header of our own.

use std::time::Duration;

use gstreamer as gst;

use super::chain;
use crate::egress::hls::Sample;
use crate::stream::{Packet, TrackInfo};

/// The payload type in the caps of every `pipelines/hls-*.launch`.
const PAYLOAD_TYPE: u8 = 96;
/// Packets of a frame that are handed over together at most.
const LONGEST: usize = 256;

/// The packets of a frame, as they come.
#[derive(Debug, Default)]
pub(super) struct Frame {
    packets: Vec<gst::Buffer>,
    timestamp: u32,
    whole: bool,
    keyframe: Option<i64>,
    /// The media time (ns) of the first one that is no RTP.
    start: Option<i64>,
}

impl Frame {
    /// Whether a packet belongs to what came before it.
    pub(super) fn continues(&self, packet: &Packet) -> bool {
        self.packets.is_empty() || self.timestamp == packet.timestamp
    }

    /// Takes a packet; `time` is its media time (ns).
    pub(super) fn push(&mut self, packet: &Packet, time: i64) {
        self.timestamp = packet.timestamp;
        self.whole |= packet.marker;
        if packet.keyframe {
            self.keyframe.get_or_insert(time);
        }
        self.packets.push(chain::buffer(rtp(packet), time));
    }

    /// Takes a frame of something else than RTP. With it what came is whole if that lasts for `together`.
    pub(super) fn push_sample(&mut self, sample: &Sample, together: Duration) {
        let start = *self.start.get_or_insert(sample.pts);
        let length = sample.pts + sample.duration - start;
        self.whole |= length >= together.as_nanos() as i64;
        let bytes = sample.data.to_vec();
        self.packets.push(chain::buffer(bytes, sample.pts));
    }

    /// Whether nothing more is to come of it, or it is long enough.
    pub(super) fn is_whole(&self) -> bool {
        self.whole || self.packets.len() >= LONGEST
    }

    /// The media time of the keyframe that it is, if it is one.
    pub(super) fn keyframe(&self) -> Option<i64> {
        self.keyframe
    }

    /// What came so far; none when that is nothing.
    pub(super) fn take(&mut self) -> Option<gst::BufferList> {
        (self.whole, self.keyframe, self.start) = (false, None, None);
        let packets = self.packets.drain(..);
        (packets.len() > 0).then(|| packets.collect())
    }
}

/// The packet with a plain header (RFC 3550, section 5.1): no extensions, no padding, one SSRC for all.
pub(in crate::media) fn rtp(packet: &Packet) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(12 + packet.payload.len());
    bytes.extend_from_slice(&[0x80, u8::from(packet.marker) << 7 | PAYLOAD_TYPE]);
    bytes.extend_from_slice(&(packet.sequence as u16).to_be_bytes());
    bytes.extend_from_slice(&packet.timestamp.to_be_bytes());
    bytes.extend_from_slice(&1u32.to_be_bytes());
    bytes.extend_from_slice(&packet.payload);
    bytes
}

/// The caps of a video track's packets, where no file of `pipelines/` says them.
pub(in crate::media) fn rtp_caps(info: &TrackInfo) -> gst::Caps {
    let mut caps = gst::Caps::builder("application/x-rtp")
        .field("media", "video")
        .field("clock-rate", 90_000)
        .field("payload", i32::from(PAYLOAD_TYPE))
        .field("encoding-name", info.codec.name());
    for (name, value) in parameter_sets(info) {
        caps = caps.field(name, value);
    }
    caps.build()
}

/// Parameter sets that the publisher sends in its SDP only (RFC 6184, section 8.1; RFC 7798, section 7.1).
pub(super) fn parameter_sets(info: &TrackInfo) -> Vec<(&'static str, String)> {
    let names = [
        "sprop-parameter-sets",
        "sprop-vps",
        "sprop-sps",
        "sprop-pps",
    ];
    let pairs = info
        .fmtp
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='));
    pairs
        .filter_map(|(key, value)| {
            let name = names
                .into_iter()
                .find(|name| key.eq_ignore_ascii_case(name))?;
            Some((name, value.trim().to_owned()))
        })
        .collect()
}
