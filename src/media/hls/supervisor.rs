//! Keeps the pipeline of a track running: a failure or stall starts it anew, not faster than it fails.

use std::time::{Duration, Instant};

use super::Wake;
use super::chain::Chain;
use super::description::Description;
use super::endings::Endings;
use super::formats::Converter;
use super::frame::Frame;
use super::pause::Pause;
use crate::egress::hls::Sample;
use crate::media::MediaError;
use crate::media::cpu::CpuTime;
use crate::rtp::Codec;
use crate::stream::Packet;

/// A pipeline and its starts.
#[derive(Debug)]
pub(super) struct Supervisor {
    codec: Codec,
    description: Description,
    fields: Vec<(&'static str, String)>,
    wake: Wake,
    cpu: CpuTime,
    state: State,
    /// The pipelines before.
    endings: Endings,
    /// The packets that came of a frame so far.
    frame: Frame,
    converter: Converter,
    /// How long to wait after the next failure.
    pause: Pause,
    /// Since when a keyframe, or sound, is in the pipeline without a sample coming out.
    unanswered: Option<Instant>,
}

#[derive(Debug)]
enum State {
    Running {
        chain: Chain,
        since: Instant,
    },
    /// Stopped until then.
    Pausing {
        until: Instant,
    },
}

impl Supervisor {
    /// Starts the pipeline of a track; `fields` are added to the caps of its packets.
    ///
    /// An error here is one of the installation; trying again would not help.
    pub(super) fn start(
        codec: Codec,
        description: Description,
        fields: Vec<(&'static str, String)>,
        wake: &Wake,
        cpu: &CpuTime,
        now: Instant,
    ) -> Result<Self, MediaError> {
        let chain = Chain::start(description, &fields, wake, cpu)?;
        Ok(Self {
            codec,
            description,
            fields,
            wake: wake.clone(),
            cpu: cpu.clone(),
            state: State::Running { chain, since: now },
            endings: Endings::default(),
            frame: Frame::default(),
            converter: Converter::new(codec, description.delay()),
            pause: Pause::default(),
            unanswered: None,
        })
    }

    /// Gives an RTP packet to the pipeline; dropped while that is stopped. `time` is its media time (ns).
    pub(super) fn push(
        &mut self,
        packet: &Packet,
        time: i64,
        now: Instant,
    ) -> Result<(), MediaError> {
        if matches!(self.state, State::Pausing { .. }) {
            return Ok(());
        }
        if !self.frame.continues(packet) {
            self.flush(now)?;
        }
        self.frame.push(packet, time);
        if self.frame.is_whole() {
            self.flush(now)?;
        }
        Ok(())
    }

    /// Gives a frame that is no RTP packet to the pipeline, or keeps it for a moment; dropped while that is
    /// stopped.
    pub(super) fn push_sample(&mut self, sample: &Sample, now: Instant) -> Result<(), MediaError> {
        if matches!(self.state, State::Pausing { .. }) {
            return Ok(());
        }
        self.frame.push_sample(sample, TOGETHER);
        if self.frame.is_whole() {
            self.flush(now)?;
            // So much sound is more than an encoder keeps.
            self.unanswered.get_or_insert(now);
        }
        Ok(())
    }

    /// Gives what came of a frame to the pipeline: before that no sample can come out for it.
    fn flush(&mut self, now: Instant) -> Result<(), MediaError> {
        let keyframe = self.frame.keyframe();
        let (State::Running { chain, .. }, Some(packets)) = (&self.state, self.frame.take()) else {
            return Ok(());
        };
        if let Some(time) = keyframe.filter(|_| self.description.encodes()) {
            chain.force_keyframe(time);
        }
        if let Err(error) = chain.push(packets) {
            return Err(self.fail(error, now));
        }
        if keyframe.is_some() {
            self.unanswered.get_or_insert(now);
        }
        Ok(())
    }

    /// Looks after the pipeline: true when it was started anew.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<bool, MediaError> {
        match &self.state {
            State::Running { chain, since } => {
                let error = chain.poll_error();
                let stalled = self
                    .unanswered
                    .is_some_and(|since| now.saturating_duration_since(since) > STALL);
                let error =
                    error.or_else(|| stalled.then(|| chain.failed("nothing comes out of it")));
                if let Some(error) = error {
                    return Err(self.fail(error, now));
                }
                self.pause
                    .handle_running(now.saturating_duration_since(*since));
                Ok(false)
            }
            State::Pausing { until } if now >= *until && !self.endings.is_full() => {
                match Chain::start(self.description, &self.fields, &self.wake, &self.cpu) {
                    Ok(chain) => self.state = State::Running { chain, since: now },
                    Err(error) => return Err(self.fail(error, now)),
                }
                self.converter = Converter::new(self.codec, self.description.delay());
                self.unanswered = None;
                Ok(true)
            }
            State::Pausing { .. } => Ok(false),
        }
    }

    /// The next sample.
    pub(super) fn poll_sample(&mut self, now: Instant) -> Result<Option<Sample>, MediaError> {
        while let State::Running { chain, .. } = &self.state
            && let Some(sample) = chain.poll_sample(0)
        {
            self.unanswered = None;
            match self.converter.convert(&sample) {
                Ok(Some(sample)) => return Ok(Some(sample)),
                Ok(None) => {}
                Err(error) => {
                    let error = chain.failed(&error.to_string());
                    return Err(self.fail(error, now));
                }
            }
        }
        Ok(None)
    }

    /// Ends the pipeline and gives what it held back. Waits for it, so only for the end of a branch.
    pub(super) fn finish(&mut self, now: Instant) -> Vec<Sample> {
        // What a frame lacks now will not come; whether it is taken is not important any more.
        let _ = self.flush(now);
        let State::Running { chain, .. } = &self.state else {
            return Vec::new();
        };
        chain.end();
        let converter = &mut self.converter;
        std::iter::from_fn(|| chain.drain_sample(0))
            .filter_map(|sample| converter.convert(&sample).ok()?)
            .collect()
    }

    /// Whether the pipeline has packets to work at that are older than those of a live one.
    pub(super) fn is_behind(&self) -> bool {
        matches!(&self.state, State::Running { chain, .. } if chain.is_behind())
    }

    /// Whether an element of the pipeline wants a keyframe.
    pub(super) fn poll_keyframe_request(&self) -> bool {
        matches!(&self.state, State::Running { chain, .. } if chain.poll_keyframe_request())
    }

    /// Waits until the pipelines before have ended.
    #[cfg(test)]
    pub(super) fn wait_for_end(&mut self) {
        self.endings.wait();
    }

    #[cfg(test)]
    pub(super) fn break_down(&self) {
        if let State::Running { chain, .. } = &self.state {
            chain.break_down();
        }
    }

    fn fail(&mut self, error: MediaError, now: Instant) -> MediaError {
        let pausing = State::Pausing {
            until: now + self.pause.handle_failure(),
        };
        if let State::Running { chain, .. } = std::mem::replace(&mut self.state, pausing) {
            self.endings.end(chain);
        }
        self.unanswered = None;
        self.frame = Frame::default();
        error
    }
}

/// So much sound is handed over together: 100 ms, but for rounding.
const TOGETHER: Duration = Duration::from_millis(99);
/// A keyframe, or sound, must come out of the pipeline within this time.
const STALL: Duration = Duration::from_secs(5);
