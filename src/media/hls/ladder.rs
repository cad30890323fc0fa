//! The transcoding ladder: smaller pictures of a publisher that has only one layer, for players on slow links.
//!
//! It takes the coded pictures that go to the segmenter, and gives back some of each rung with the same times
//! and with keyframes where the publisher has them, so that all renditions are cut together. One pipeline
//! makes all of them: the pictures are decoded once.
//!
//! It runs for as long as the stream does, whether somebody plays a rung or not. A player goes to a lower one
//! because its link has become slow; there is no time then to start an encoder, and what was never made has no
//! true bit rate to choose by.
//!
//! The stream goes on without it: one that fails, gives nothing or falls behind loses its renditions, is taken
//! down by a thread that may wait for it, and started anew later at a keyframe.

mod input;
mod parts;
mod rung;
mod running;

use std::time::{Duration, Instant};

use super::Wake;
use super::endings::Endings;
use super::pause::Pause;
use super::transcodes::Permit;
use crate::egress::hls::{RenditionId, Sample};
use crate::media::MediaError;
use crate::media::cpu::CpuTime;
use crate::rtp::Codec;
use crate::stream::StreamName;
use parts::Parts;
pub use rung::{LadderSettings, Rung};
use running::Running;

/// The ladder of a stream.
#[derive(Debug)]
pub(super) struct Ladder {
    stream: StreamName,
    /// Of the pictures that go in.
    codec: Codec,
    settings: LadderSettings,
    /// The highest first. Each keeps its rendition, whether it is made or not.
    rungs: Vec<Rung>,
    wake: Wake,
    cpu: CpuTime,
    /// The right to have a ladder, held while there is something to make.
    permit: Option<Permit>,
    /// There was none left: that is said once.
    is_refused: bool,
    state: State,
    pause: Pause,
    failures: u64,
    pictures: u64,
    /// The pipelines before, which may take their time to end.
    endings: Endings,
}

#[derive(Debug)]
enum State {
    /// Begins with the next keyframe.
    Waiting,
    /// Stopped until then.
    Pausing {
        until: Instant,
    },
    Running(Box<Running>),
    /// This machine can't make one.
    Off,
}

impl Ladder {
    /// The ladder of a stream, if it is to have one. Nothing runs yet.
    pub(super) fn new(
        stream: &StreamName,
        codec: Codec,
        settings: &LadderSettings,
        wake: &Wake,
        cpu: &CpuTime,
    ) -> Option<Self> {
        let rungs = settings.rungs(stream);
        (!rungs.is_empty()).then(|| Self {
            stream: stream.clone(),
            codec,
            settings: settings.clone(),
            rungs: rungs.to_vec(),
            wake: wake.clone(),
            cpu: cpu.clone(),
            permit: None,
            is_refused: false,
            state: State::Waiting,
            pause: Pause::default(),
            failures: 0,
            pictures: 0,
            endings: Endings::default(),
        })
    }

    /// The renditions that it makes or may make.
    pub(super) fn renditions(&self) -> impl Iterator<Item = RenditionId> + use<> {
        (1..).take(self.rungs.len()).map(RenditionId::Video)
    }

    /// How many rungs come out of it now.
    pub(super) fn running(&self) -> usize {
        match &self.state {
            State::Running(running) => running.made.len(),
            State::Waiting | State::Pausing { .. } | State::Off => 0,
        }
    }

    /// How often it has failed.
    pub(super) fn failures(&self) -> u64 {
        self.failures
    }

    /// How many pictures of the slowest rung are still to come out.
    pub(super) fn waiting(&self) -> u64 {
        match &self.state {
            State::Running(running) => running.waiting(),
            State::Waiting | State::Pausing { .. } | State::Off => 0,
        }
    }

    /// How many pictures it was given, whether it ran or not.
    pub(super) fn pictures(&self) -> u64 {
        self.pictures
    }

    /// Takes pictures as they go to the segmenter; true when nothing comes of the rungs any more, for now.
    pub(super) fn handle_samples(&mut self, samples: &[Sample], now: Instant) -> bool {
        self.pictures += samples.len() as u64;
        let mut left = false;
        for sample in samples {
            if let State::Running(running) = &mut self.state
                && !running.follow(sample, self.codec, &self.rungs)
            {
                self.stop(State::Waiting);
                left = true;
            }
            if sample.keyframe {
                self.begin(sample, now);
            }
            if let State::Running(running) = &mut self.state
                && let Err(error) = running.push(sample, now)
            {
                self.fail(&error, now);
                left = true;
            }
        }
        left
    }

    /// Takes what the rung of a rendition has made. [`Self::handle_timeout`] says when it has failed.
    pub(super) fn poll_samples(
        &mut self,
        rendition: RenditionId,
        out: &mut Vec<Sample>,
        now: Instant,
    ) -> bool {
        let State::Running(running) = &mut self.state else {
            return false;
        };
        match running.poll(rendition, out) {
            Ok(()) => false,
            Err(error) => {
                self.fail(&error, now);
                true
            }
        }
    }

    /// Looks after the pipeline; true when it has failed, and nothing comes of the rungs for a while.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        let State::Running(running) = &mut self.state else {
            return false;
        };
        let error = running.check(now);
        self.pause
            .handle_running(now.saturating_duration_since(running.since));
        if let Some(error) = &error {
            self.fail(error, now);
        }
        error.is_some()
    }

    /// What is still in the encoders at the end of the stream.
    pub(super) fn finish(&mut self, take: impl FnMut(RenditionId, Vec<Sample>)) {
        if let State::Running(running) = &mut self.state {
            running.finish(take);
        }
    }

    /// Starts with this keyframe, if it is time to and there is something to make of it.
    fn begin(&mut self, keyframe: &Sample, now: Instant) {
        let due = match &self.state {
            State::Waiting => true,
            State::Pausing { until } => now >= *until,
            State::Running(_) | State::Off => false,
        };
        // Those that do not end hold memory, and what the next would need.
        if !due || self.endings.is_full() {
            return;
        }
        let targets = Rung::targets(&self.rungs, keyframe.format.size);
        if targets.is_empty() {
            self.permit = None;
            return;
        }
        if !self.has_right() {
            let until = now + NO_RIGHT;
            self.state = State::Pausing { until };
            return;
        }
        // What fails in hardware, as when others use all of it, may work without.
        let hardware = self.settings.hardware && self.failures == 0;
        match Parts::of(self.codec, hardware) {
            Ok(parts) => {
                let count = targets.len();
                let started = Running::start(parts, targets, keyframe, self, now);
                match started {
                    Ok(running) => {
                        tracing::info!(stream = %self.stream, rungs = count, encoder = parts.encoder.name, "the ladder runs");
                        self.state = State::Running(Box::new(running));
                    }
                    Err(error) => self.fail(&error, now),
                }
            }
            Err(error) => {
                tracing::warn!(stream = %self.stream, %error, "no ladder");
                self.permit = None;
                self.state = State::Off;
            }
        }
    }

    /// Takes a right to have a ladder, if there is one left.
    fn has_right(&mut self) -> bool {
        if self.permit.is_none() {
            self.permit = self.settings.streams.take();
        }
        let has = self.permit.is_some();
        if !has && !std::mem::replace(&mut self.is_refused, true) {
            let limit = self.settings.streams.limit();
            tracing::warn!(stream = %self.stream, limit, "no ladder: as many streams as may have one do; raise `hls.ladder_streams`");
        }
        has
    }

    fn fail(&mut self, error: &MediaError, now: Instant) {
        self.failures += 1;
        let pause = self.pause.handle_failure();
        tracing::warn!(stream = %self.stream, %error, ?pause, "the ladder failed; starting it anew");
        self.stop(State::Pausing { until: now + pause });
    }

    /// Lets the pipeline go. It may hang in an encoder, which is not for the stream to wait for.
    fn stop(&mut self, next: State) {
        let State::Running(running) = std::mem::replace(&mut self.state, next) else {
            return;
        };
        self.endings.end(running);
    }

    /// Waits until the pipelines before have ended.
    #[cfg(test)]
    pub(super) fn wait_for_end(&mut self) {
        self.endings.wait();
    }

    /// Makes the pipeline report an error, as a broken element does.
    #[cfg(test)]
    pub(super) fn break_down(&self) {
        if let State::Running(running) = &self.state {
            running.chain.break_down();
        }
    }
}

impl Drop for Ladder {
    fn drop(&mut self) {
        self.stop(State::Off);
    }
}

/// The next try, where as many streams as may be have a ladder.
const NO_RIGHT: Duration = Duration::from_secs(2);
