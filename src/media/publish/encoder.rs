//! Which encoders there are, and how each wants to be told its bit rate and keyframe distance.

use gstreamer as gst;
use gstreamer::prelude::*;

use super::description::Description;
use super::{Error, Options};
use crate::rtp::Codec;

/// One way to make RTP of pictures.
pub(super) struct Encoder {
    codec: Codec,
    /// It sends pictures in another order than they are shown.
    b_frames: bool,
    pub(super) description: Description,
    /// What it needs beyond GStreamer's base elements.
    elements: &'static [&'static str],
    pub(super) bitrate: &'static str,
    /// Bits per second in one unit of `bitrate`.
    pub(super) unit: u32,
    pub(super) keyframe_distance: &'static str,
}

macro_rules! description {
    ($name:literal) => {
        Description {
            name: concat!("publish-encode-", $name),
            text: include_str!(concat!(
                "../../../pipelines/publish-encode-",
                $name,
                ".launch"
            )),
        }
    };
}

/// In order of preference for each codec.
pub(super) const ENCODERS: [Encoder; 7] = [
    Encoder {
        codec: Codec::H264,
        b_frames: false,
        description: description!("h264"),
        elements: &["x264enc", "rtph264pay"],
        bitrate: "bitrate",
        unit: 1000,
        keyframe_distance: "key-int-max",
    },
    Encoder {
        codec: Codec::H264,
        b_frames: false,
        description: description!("h264-openh264"),
        elements: &["openh264enc", "h264parse", "rtph264pay"],
        bitrate: "bitrate",
        unit: 1,
        keyframe_distance: "gop-size",
    },
    Encoder {
        codec: Codec::H264,
        b_frames: true,
        description: description!("h264-b-frames"),
        elements: &["x264enc", "rtph264pay"],
        bitrate: "bitrate",
        unit: 1000,
        keyframe_distance: "key-int-max",
    },
    Encoder {
        codec: Codec::H265,
        b_frames: false,
        description: description!("h265"),
        elements: &["x265enc", "h265parse", "rtph265pay"],
        bitrate: "bitrate",
        unit: 1000,
        keyframe_distance: "key-int-max",
    },
    Encoder {
        codec: Codec::Vp8,
        b_frames: false,
        description: description!("vp8"),
        elements: &["vp8enc", "rtpvp8pay"],
        bitrate: "target-bitrate",
        unit: 1,
        keyframe_distance: "keyframe-max-dist",
    },
    Encoder {
        codec: Codec::Vp9,
        b_frames: false,
        description: description!("vp9"),
        elements: &["vp9enc", "rtpvp9pay"],
        bitrate: "target-bitrate",
        unit: 1,
        keyframe_distance: "keyframe-max-dist",
    },
    Encoder {
        codec: Codec::Av1,
        b_frames: false,
        description: description!("av1"),
        elements: &["av1enc", "av1parse", "appsink", "appsrc"],
        bitrate: "target-bitrate",
        unit: 1000,
        keyframe_distance: "keyframe-max-dist",
    },
];

impl Encoder {
    /// The first encoder for a codec that this GStreamer can run.
    pub(super) fn find(codec: Codec, b_frames: bool) -> Result<&'static Self, Error> {
        let mut missing = "payloader";
        let fits = |encoder: &&Self| encoder.codec == codec && encoder.b_frames == b_frames;
        for encoder in ENCODERS.iter().filter(fits) {
            match encoder.missing() {
                None => return Ok(encoder),
                Some(element) => missing = element,
            }
        }
        Err(Error::Codec {
            codec,
            element: missing,
        })
    }

    /// The first of its elements that this GStreamer lacks.
    pub(super) fn missing(&self) -> Option<&'static str> {
        self.elements
            .iter()
            .copied()
            .find(|element| gst::ElementFactory::find(element).is_none())
    }

    /// Sets bit rate and keyframe distance.
    pub(super) fn configure(&self, element: &gst::Element, options: &Options) {
        let interval = options.keyframe_interval.as_secs_f64() * f64::from(options.fps);
        let distance = (interval.round() as u32).max(1);
        // The types of these properties differ (int, uint); as text each takes the value.
        element.set_property_from_str(
            self.bitrate,
            &(options.bitrate / self.unit).max(1).to_string(),
        );
        element.set_property_from_str(self.keyframe_distance, &distance.to_string());
    }
}
