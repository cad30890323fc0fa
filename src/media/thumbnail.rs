//! Still pictures: a keyframe in, a JPEG out.

use std::time::{Duration, Instant};

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};

use super::MediaError;
use super::hls::rtp_caps;
use super::hls::rtp_packet;
use crate::egress::hls::av1::Depayloader;
use crate::rtp::Codec;
use crate::stream::Still;

const NAME: &str = "thumbnail";

/// Makes the picture, its longer side at most `size` pixels. It blocks, at most about `limit`: for a thread
/// that may.
///
/// # Errors
///
/// [`MediaError`] when GStreamer lacks what it needs, or the keyframe can't be decoded in time.
pub fn jpeg(still: &Still, size: u32, limit: Duration) -> Result<Bytes, MediaError> {
    super::init()?;
    let deadline = Instant::now() + limit;
    let pipeline = Pipeline::build()?;
    let (src, sink): (AppSrc, AppSink) = (pipeline.named("src")?, pipeline.named("sink")?);
    let (caps, buffers) = input(still).ok_or_else(|| failed("the keyframe is malformed"))?;
    src.set_caps(Some(&caps));
    // Both sides, so that the shape of the picture stays.
    let range = gst::IntRange::new(1, i32::try_from(size.max(1)).unwrap_or(i32::MAX));
    let caps = gst::Caps::builder("video/x-raw")
        .field("width", range)
        .field("height", range)
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1));
    let filter: gst::Element = pipeline.named("size")?;
    filter.set_property("caps", caps.build());
    pipeline
        .0
        .set_state(gst::State::Playing)
        .map_err(|_| failed("it does not start"))?;
    src.push_buffer_list(buffers)
        .and_then(|_| src.end_of_stream())
        .map_err(|error| failed(&error.to_string()))?;
    loop {
        if let Some(sample) = sink.try_pull_sample(STEP) {
            let buffer = sample.buffer_owned().ok_or_else(|| failed("it is empty"))?;
            let picture = buffer
                .into_mapped_buffer_readable()
                .map_err(|_| failed("it can't be read"))?;
            return Ok(Bytes::copy_from_slice(&picture));
        }
        pipeline.check()?;
        if sink.is_eos() {
            return Err(failed("no picture comes out of it"));
        }
        if Instant::now() >= deadline {
            return Err(failed("it takes too long"));
        }
    }
}

/// What goes in, and what it is.
fn input(still: &Still) -> Option<(gst::Caps, gst::BufferList)> {
    if still.track.codec == Codec::Av1 {
        // GStreamer 1.22 has no depayloader.
        let mut depayloader = Depayloader::default();
        let mut units = still
            .packets
            .iter()
            .filter_map(|packet| depayloader.handle_payload(&packet.payload, packet.marker));
        let unit = gst::Buffer::from_mut_slice(units.next()?.data.to_vec());
        let caps = gst::Caps::builder("video/x-av1")
            .field("stream-format", "obu-stream")
            .field("alignment", "tu");
        return Some((caps.build(), [unit].into_iter().collect()));
    }
    let packets = still.packets.iter();
    let buffers = packets.map(|packet| gst::Buffer::from_mut_slice(rtp_packet(packet)));
    Some((rtp_caps(&still.track), buffers.collect()))
}

fn failed(reason: &str) -> MediaError {
    MediaError::Failed {
        name: NAME,
        reason: reason.to_owned(),
    }
}

/// A pipeline that is stopped when it is dropped.
struct Pipeline(gst::Pipeline);

impl Pipeline {
    fn build() -> Result<Self, MediaError> {
        let failed = |reason: String| MediaError::Pipeline { name: NAME, reason };
        let text = include_str!("../../pipelines/thumbnail.launch");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let text = lines.collect::<Vec<_>>().join(" ");
        let pipeline = gst::parse::launch_full(&text, None, gst::ParseFlags::FATAL_ERRORS)
            .map_err(|error| failed(error.message().to_owned()))?;
        let pipeline = pipeline.downcast::<gst::Pipeline>();
        pipeline
            .map(Self)
            .map_err(|_| failed("it is no pipeline".into()))
    }

    fn named<T: IsA<gst::Element>>(&self, name: &str) -> Result<T, MediaError> {
        let element = self.0.by_name(name);
        element
            .and_then(|element| element.downcast().ok())
            .ok_or_else(|| MediaError::Pipeline {
                name: NAME,
                reason: format!("it has no `{name}`"),
            })
    }

    /// Why it has stopped, when it has.
    fn check(&self) -> Result<(), MediaError> {
        let message = self
            .0
            .bus()
            .and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
        match message.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Error(error)) => Err(failed(&error.error().to_string())),
            _ => Ok(()),
        }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        if self.0.set_state(gst::State::Null).is_err() {
            tracing::warn!(pipeline = NAME, "pipeline does not stop");
        }
    }
}

/// How often errors are looked for.
const STEP: gst::ClockTime = gst::ClockTime::from_mseconds(50);

#[cfg(test)]
mod tests;
