//! GStreamer's samples and caps as the segmenter's samples and formats.

use std::sync::Arc;

use bytes::Bytes;
use gstreamer as gst;

use crate::egress::hls::format::FormatError;
use crate::egress::hls::{Format, Sample};
use crate::rtp::{Codec, MediaKind};

/// Turns the samples of one pipeline; remembers the format until the caps change.
#[derive(Debug)]
pub(super) struct Converter {
    codec: Codec,
    /// How much later than their time the samples are heard (ns).
    delay: i64,
    current: Option<(gst::Caps, Arc<Format>)>,
}

impl Converter {
    pub(super) fn new(codec: Codec, delay: i64) -> Self {
        Self {
            codec,
            delay,
            current: None,
        }
    }

    /// The segmenter's form; none for a sample without bytes or time.
    pub(super) fn convert(&mut self, sample: &gst::Sample) -> Result<Option<Sample>, FormatError> {
        let (Some(caps), Some(buffer)) = (sample.caps(), sample.buffer_owned()) else {
            return Ok(None);
        };
        let format = self.format(caps)?;
        let segment = sample
            .segment()
            .and_then(|segment| segment.downcast_ref::<gst::ClockTime>());
        let delay = self.delay;
        let running = |time: Option<gst::ClockTime>| Some(running_time(segment?, time?)? - delay);
        let Some(pts) = running(buffer.pts().or(buffer.dts())) else {
            return Ok(None);
        };
        let dts = running(buffer.dts()).unwrap_or(pts);
        let duration = match (self.codec.kind(), buffer.duration()) {
            (_, Some(duration)) => duration.nseconds() as i64,
            (MediaKind::Audio, None) => format
                .silence
                .as_ref()
                .map_or(DEFAULT_AUDIO, |(_, length)| *length),
            (MediaKind::Video, None) => DEFAULT_VIDEO,
        };
        let keyframe = self.codec.kind() == MediaKind::Audio
            || !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let Ok(mapped) = buffer.into_mapped_buffer_readable() else {
            return Ok(None);
        };
        // The bytes stay where GStreamer has them until they are copied into their segment.
        let data = Bytes::from_owner(mapped);
        Ok(Some(Sample {
            dts,
            pts,
            duration,
            keyframe,
            data,
            format,
        }))
    }

    fn format(&mut self, caps: &gst::CapsRef) -> Result<Arc<Format>, FormatError> {
        if let Some((known, format)) = &self.current
            && known.as_ref() == caps
        {
            return Ok(Arc::clone(format));
        }
        let format = Arc::new(read(self.codec, caps)?);
        // Caps differ in things that a player is not told of, such as the frame rate.
        let format = match self.current.take() {
            Some((_, known)) if known == format => known,
            _ => format,
        };
        self.current = Some((caps.to_owned(), Arc::clone(&format)));
        Ok(format)
    }
}

/// What went in as PTS: timestampers move all times by 1000 hours, and the segment with them.
fn running_time(
    segment: &gst::FormattedSegment<gst::ClockTime>,
    time: gst::ClockTime,
) -> Option<i64> {
    match segment.to_running_time_full(time)? {
        gst::Signed::Positive(time) => i64::try_from(time.nseconds()).ok(),
        gst::Signed::Negative(time) => i64::try_from(time.nseconds()).ok().map(|time| -time),
    }
}

/// Sample durations (ns) where GStreamer does not say any.
const DEFAULT_VIDEO: i64 = 33_333_333;
const DEFAULT_AUDIO: i64 = 21_333_333;

fn read(codec: Codec, caps: &gst::CapsRef) -> Result<Format, FormatError> {
    let malformed = FormatError::Malformed(codec.name());
    let structure = caps.structure(0).ok_or(malformed)?;
    let number = |field: &str| {
        structure
            .get::<i32>(field)
            .ok()
            .and_then(|value| u32::try_from(value).ok())
            .unwrap_or(0)
    };
    let configuration = || {
        let buffer = structure
            .get::<gst::Buffer>("codec_data")
            .map_err(|_| malformed)?;
        buffer.into_mapped_buffer_readable().map_err(|_| malformed)
    };
    let (width, height) = (number("width"), number("height"));
    match codec {
        Codec::H264 | Codec::Vp8 => Format::h264(&configuration()?, width, height),
        Codec::H265 => Format::h265(&configuration()?, width, height),
        _ => Format::aac(&configuration()?),
    }
}
