//! One GStreamer pipeline: RTP packets or coded pictures in, samples out.
//!
//! Packets go in by whole frames: handing each over alone costs more than all that is done with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks, AppSrc};

use super::Wake;
use super::description::Description;
use crate::media::MediaError;
use crate::media::cpu::CpuTime;
use crate::media::keyframes;

/// A running pipeline. Dropping it stops it.
#[derive(Debug)]
pub(super) struct Chain {
    name: &'static str,
    pipeline: gst::Pipeline,
    src: AppSrc,
    sinks: Vec<AppSink>,
    bus: gst::Bus,
    force_keyframe: Arc<AtomicBool>,
}

impl Chain {
    /// Builds and starts a pipeline; `fields` are added to the caps of `src`.
    pub(super) fn start(
        description: Description,
        fields: &[(&str, String)],
        wake: &Wake,
        cpu: &CpuTime,
    ) -> Result<Self, MediaError> {
        crate::media::init()?;
        let (pipeline, src, sink) = description.build()?;
        if let Some(mut caps) = src.caps() {
            for (field, value) in fields {
                caps.make_mut().set(*field, value.as_str());
            }
            src.set_caps(Some(&caps));
        }
        if description.encodes() {
            let (from, to) = (src.static_pad("src"), sink.static_pad("sink"));
            if let Some((from, to)) = from.zip(to) {
                keyframes::hold_back_early_requests(&from, &to);
            }
        }
        Self::run(description.name, pipeline, src, vec![sink], wake, cpu)
    }

    /// Starts a pipeline that is built.
    pub(super) fn run(
        name: &'static str,
        pipeline: gst::Pipeline,
        src: AppSrc,
        sinks: Vec<AppSink>,
        wake: &Wake,
        cpu: &CpuTime,
    ) -> Result<Self, MediaError> {
        for sink in &sinks {
            let (on_sample, on_end) = (wake.clone(), wake.clone());
            let callbacks = AppSinkCallbacks::builder()
                .new_sample(move |_| {
                    on_sample.wake();
                    Ok(gst::FlowSuccess::Ok)
                })
                .eos(move |_| on_end.wake())
                .build();
            sink.set_callbacks(callbacks);
        }
        let force_keyframe = Arc::new(AtomicBool::new(false));
        let (forced, on_force) = (Arc::clone(&force_keyframe), wake.clone());
        if let Some(pad) = src.static_pad("src") {
            pad.add_probe(gst::PadProbeType::EVENT_UPSTREAM, move |_, info| {
                if info
                    .event()
                    .is_some_and(|event| keyframes::is_request(event))
                {
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
        cpu.watch(&bus);
        let chain = Self {
            name,
            pipeline,
            src,
            sinks,
            bus,
            force_keyframe,
        };
        chain
            .pipeline
            .set_state(gst::State::Playing)
            .map_err(|_| failed("it does not start"))?;
        Ok(chain)
    }

    /// What is pushed from now on has these caps.
    pub(super) fn set_caps(&self, caps: &gst::Caps) {
        self.src.set_caps(Some(caps));
    }

    /// Gives the pipeline the packets of a frame.
    pub(super) fn push(&self, packets: gst::BufferList) -> Result<(), MediaError> {
        self.check_backlog()?;
        self.src
            .push_buffer_list(packets)
            .map(drop)
            .map_err(|error| self.failed(&error.to_string()))
    }

    /// Gives the pipeline a picture. A list of one would cost more, and GStreamer 1.22 complains (CRITICAL) when it
    /// is stopped just as it takes a list out of its queue.
    pub(super) fn push_buffer(&self, picture: gst::Buffer) -> Result<(), MediaError> {
        self.check_backlog()?;
        self.src
            .push_buffer(picture)
            .map(drop)
            .map_err(|error| self.failed(&error.to_string()))
    }

    fn check_backlog(&self) -> Result<(), MediaError> {
        match self.src.current_level_bytes() > LARGEST_BACKLOG {
            true => Err(self.failed("it does not take its packets any more")),
            false => Ok(()),
        }
    }

    /// Makes the encoder begin the picture of this media time (ns) with a keyframe. Its first one is one anyway.
    pub(super) fn force_keyframe(&self, time: i64) {
        let time = clock_time(time);
        let structure = gst::Structure::builder("GstForceKeyUnit")
            .field("timestamp", time)
            .field("stream-time", time)
            .field("running-time", time)
            .field("all-headers", true)
            .field("count", 0u32)
            .build();
        // Where it fails the next keyframe comes later, as the encoder sees fit.
        let _ = self
            .src
            .send_event(gst::event::CustomDownstream::new(structure));
    }

    /// Whether it has more to do than a live pipeline should.
    pub(super) fn is_behind(&self) -> bool {
        self.src.current_level_time() > LONGEST_BACKLOG
    }

    /// The next sample of a sink, when there is one. A pipeline of a description has one sink, 0.
    pub(super) fn poll_sample(&self, sink: usize) -> Option<gst::Sample> {
        self.sinks.get(sink)?.try_pull_sample(gst::ClockTime::ZERO)
    }

    /// The next sample of a sink after [`Self::end`], waited for; none when all have come out.
    pub(super) fn drain_sample(&self, sink: usize) -> Option<gst::Sample> {
        let patience = gst::ClockTime::from_seconds(2);
        self.sinks.get(sink)?.try_pull_sample(patience)
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

/// A buffer with its media time (ns).
pub(super) fn buffer(bytes: Vec<u8>, time: i64) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(clock_time(time));
    }
    buffer
}

pub(super) fn clock_time(time: i64) -> gst::ClockTime {
    gst::ClockTime::from_nseconds(u64::try_from(time).unwrap_or(0))
}
