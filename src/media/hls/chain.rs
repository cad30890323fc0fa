//! One GStreamer pipeline of a track: RTP packets in, samples out.
//!
//! What each file in `pipelines/` must hold is its contract: an appsrc `src` and an appsink `sink`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks, AppSrc};

use super::Wake;
use crate::media::MediaError;
use crate::rtp::Codec;

/// A pipeline description and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Description {
    pub(super) name: &'static str,
    text: &'static str,
}

impl Description {
    /// The one of a codec; none for those that need no GStreamer or can't be carried.
    pub(super) fn of(codec: Codec) -> Option<Self> {
        let (name, text) = match codec {
            Codec::H264 => (
                "hls-h264",
                include_str!("../../../pipelines/hls-h264.launch"),
            ),
            Codec::H265 => (
                "hls-h265",
                include_str!("../../../pipelines/hls-h265.launch"),
            ),
            Codec::Vp9 => ("hls-vp9", include_str!("../../../pipelines/hls-vp9.launch")),
            Codec::Pcmu => (
                "hls-pcmu",
                include_str!("../../../pipelines/hls-pcmu.launch"),
            ),
            Codec::Pcma => (
                "hls-pcma",
                include_str!("../../../pipelines/hls-pcma.launch"),
            ),
            Codec::G722 => (
                "hls-g722",
                include_str!("../../../pipelines/hls-g722.launch"),
            ),
            Codec::Av1 | Codec::Opus | Codec::Vp8 => return None,
        };
        Some(Self { name, text })
    }

    /// Parses it and finds the named elements.
    fn build(self) -> Result<(gst::Pipeline, AppSrc, AppSink), MediaError> {
        let name = self.name;
        let failed = |reason: String| MediaError::Pipeline { name, reason };
        let lines = self.text.lines().filter(|line| !line.starts_with('#'));
        let text = lines.collect::<Vec<_>>().join(" ");
        let flags = gst::ParseFlags::FATAL_ERRORS;
        let pipeline = gst::parse::launch_full(&text, None, flags)
            .map_err(|error| failed(error.message().to_owned()))?;
        let pipeline = pipeline
            .downcast::<gst::Pipeline>()
            .map_err(|_| failed("it is no pipeline".into()))?;
        let named = |element: &str| {
            pipeline
                .by_name(element)
                .ok_or_else(|| failed(format!("it has no `{element}`")))
        };
        let src = named("src")?
            .downcast()
            .map_err(|_| failed("`src` is no appsrc".into()))?;
        let sink = named("sink")?
            .downcast()
            .map_err(|_| failed("`sink` is no appsink".into()))?;
        Ok((pipeline, src, sink))
    }
}

/// A running pipeline. Dropping it stops it.
#[derive(Debug)]
pub(super) struct Chain {
    name: &'static str,
    pipeline: gst::Pipeline,
    src: AppSrc,
    sink: AppSink,
    bus: gst::Bus,
    force_keyframe: Arc<AtomicBool>,
}

impl Chain {
    /// Builds and starts a pipeline; `fields` are added to the caps of `src`.
    pub(super) fn start(
        description: Description,
        fields: &[(&str, String)],
        wake: &Wake,
    ) -> Result<Self, MediaError> {
        crate::media::init()?;
        let name = description.name;
        let (pipeline, src, sink) = description.build()?;
        if let Some(mut caps) = src.caps() {
            for (field, value) in fields {
                caps.make_mut().set(*field, value.as_str());
            }
            src.set_caps(Some(&caps));
        }
        let (on_sample, on_end) = (wake.clone(), wake.clone());
        let callbacks = AppSinkCallbacks::builder()
            .new_sample(move |_| {
                on_sample.wake();
                Ok(gst::FlowSuccess::Ok)
            })
            .eos(move |_| on_end.wake())
            .build();
        sink.set_callbacks(callbacks);
        let force_keyframe = Arc::new(AtomicBool::new(false));
        let (forced, on_force) = (Arc::clone(&force_keyframe), wake.clone());
        if let Some(pad) = src.static_pad("src") {
            pad.add_probe(gst::PadProbeType::EVENT_UPSTREAM, move |_, info| {
                let structure = info.event().and_then(|event| event.structure());
                if structure.is_some_and(|structure| structure.name() == "GstForceKeyUnit") {
                    forced.store(true, Ordering::Release);
                    on_force.wake();
                }
                gst::PadProbeReturn::Ok
            });
        }
        let failed = |reason: &str| MediaError::Failed {
            name,
            reason: reason.into(),
        };
        let bus = pipeline.bus().ok_or_else(|| failed("it has no bus"))?;
        let chain = Self {
            name,
            pipeline,
            src,
            sink,
            bus,
            force_keyframe,
        };
        chain
            .pipeline
            .set_state(gst::State::Playing)
            .map_err(|_| failed("it does not start"))?;
        Ok(chain)
    }

    /// Gives the pipeline a packet; `time` is its media time in nanoseconds.
    pub(super) fn push(&self, packet: Vec<u8>, time: i64) -> Result<(), MediaError> {
        let mut buffer = gst::Buffer::from_mut_slice(packet);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gst::ClockTime::from_nseconds(time.max(0) as u64));
        }
        if self.src.current_level_bytes() > LARGEST_BACKLOG {
            return Err(self.failed("it does not take its packets any more"));
        }
        self.src
            .push_buffer(buffer)
            .map(drop)
            .map_err(|error| self.failed(&error.to_string()))
    }

    /// Whether it has more to do than a live pipeline should.
    pub(super) fn is_behind(&self) -> bool {
        self.src.current_level_time() > LONGEST_BACKLOG
    }

    /// The next sample, when there is one.
    pub(super) fn poll_sample(&self) -> Option<gst::Sample> {
        self.sink.try_pull_sample(gst::ClockTime::ZERO)
    }

    /// The next sample after [`Self::end`], waited for; none when all have come out.
    pub(super) fn drain_sample(&self) -> Option<gst::Sample> {
        self.sink
            .try_pull_sample(gst::ClockTime::from_mseconds(500))
    }

    /// Why the pipeline has stopped, when it has.
    pub(super) fn poll_error(&self) -> Option<MediaError> {
        let message = self.bus.pop_filtered(&[gst::MessageType::Error])?;
        // Messages that nobody reads would pile up.
        self.bus.set_flushing(true);
        self.bus.set_flushing(false);
        match message.view() {
            gst::MessageView::Error(error) => Some(self.failed(&error.error().to_string())),
            _ => None,
        }
    }

    /// Whether an element asked for a keyframe since the last call.
    pub(super) fn poll_keyframe_request(&self) -> bool {
        self.force_keyframe.swap(false, Ordering::AcqRel)
    }

    /// No more packets: elements give out what they hold back.
    pub(super) fn end(&self) {
        // When it has failed there is nothing to give out.
        let _ = self.src.end_of_stream();
    }

    pub(super) fn failed(&self, reason: &str) -> MediaError {
        MediaError::Failed {
            name: self.name,
            reason: reason.into(),
        }
    }

    /// Makes the pipeline report an error, as a broken element does.
    #[cfg(test)]
    pub(super) fn break_down(&self) {
        gst::element_error!(self.src, gst::CoreError::Failed, ("broken by a test"));
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        // A pipeline that is dropped while it runs aborts the process.
        if self.pipeline.set_state(gst::State::Null).is_err() {
            tracing::warn!(pipeline = self.name, "pipeline does not stop");
        }
    }
}

/// Media time that may wait in front of a pipeline before its input is held back.
const LONGEST_BACKLOG: gst::ClockTime = gst::ClockTime::from_mseconds(500);
/// Bytes that may wait in front of a pipeline.
const LARGEST_BACKLOG: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pipeline_file_keeps_its_contract() {
        crate::media::init().unwrap();
        let described: Vec<_> = Codec::ALL.into_iter().filter_map(Description::of).collect();
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines");
        for file in std::fs::read_dir(directory).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            if name.starts_with("hls-") {
                let known = described
                    .iter()
                    .any(|description| name == format!("{}.launch", description.name));
                assert!(known, "{name} is used by no codec");
            }
        }
        for description in described {
            let (pipeline, ..) = description.build().unwrap();
            pipeline.set_state(gst::State::Null).unwrap();
        }
    }

    #[test]
    fn a_missing_element_is_named() {
        crate::media::init().unwrap();
        let broken = Description {
            name: "broken",
            text: "# none\nappsrc name=src ! nosuchelement ! appsink name=sink",
        };
        let error = broken.build().unwrap_err().to_string();
        assert!(
            error.contains("nosuchelement") && error.contains("broken"),
            "{error}"
        );
    }
}
