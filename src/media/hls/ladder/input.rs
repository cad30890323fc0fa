//! Coded pictures of the segmenter as GStreamer's decoders want them.

use gstreamer as gst;

use crate::egress::hls::{Format, Sample};
use crate::media::hls::chain::clock_time;
use crate::rtp::Codec;

/// The caps of pictures of this format.
pub(super) fn caps(codec: Codec, format: &Format) -> gst::Caps {
    let (width, height) = format.size;
    let media = match codec {
        Codec::H265 => "video/x-h265",
        Codec::Vp9 => "video/x-vp9",
        Codec::Av1 => "video/x-av1",
        _ => "video/x-h264",
    };
    let mut caps = gst::Caps::builder(media)
        .field("width", i32::from(width))
        .field("height", i32::from(height));
    caps = match codec {
        Codec::H265 => caps.field("stream-format", "hvc1").field("alignment", "au"),
        Codec::Vp9 => caps.field("alignment", "super-frame"),
        Codec::Av1 => caps
            .field("stream-format", "obu-stream")
            .field("alignment", "tu"),
        _ => caps.field("stream-format", "avc").field("alignment", "au"),
    };
    if let Some(configuration) = format.configuration() {
        caps = caps.field("codec_data", gst::Buffer::from_slice(configuration));
    }
    caps.build()
}

/// A picture. Its bytes stay where they are.
pub(super) fn buffer(sample: &Sample) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_slice(sample.data.clone());
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(clock_time(sample.pts));
        buffer.set_dts(clock_time(sample.dts));
        if !sample.keyframe {
            buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
    }
    buffer
}
