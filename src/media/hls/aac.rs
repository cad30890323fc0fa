//! The sound in AAC beside Opus, made while somebody asks for it: Apple's players know no Opus in HLS.
//!
//! A frame of AAC begins at the time of the sound that is heard of it, so that both codings are at the same
//! instant. What was sent of the open segment and those before it until somebody asked is coded too: so the
//! rendition has as much from its beginning on as players need to begin.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Wake;
use super::description::Description;
use super::endings::Endings;
use super::supervisor::Supervisor;
use crate::egress::hls::store::{Offer, Recording};
use crate::egress::hls::{RenditionId, Sample};
use crate::media::MediaError;
use crate::media::cpu::CpuTime;
use crate::rtp::Codec;
use crate::stream::StreamName;

/// The encoder, while it is wanted.
#[derive(Debug)]
pub(super) struct Aac {
    stream: StreamName,
    description: Description,
    wake: Wake,
    cpu: CpuTime,
    running: Option<Supervisor>,
    /// Those before.
    endings: Endings,
    /// Something came of it.
    made: bool,
    /// The newest Opus packets, oldest first.
    recent: VecDeque<Sample>,
    /// The time that they reach back.
    kept: Duration,
    /// No start before, after one that failed.
    not_before: Option<Instant>,
}

impl Aac {
    /// Nothing runs yet. Segments are about as long as `segment`.
    ///
    /// # Errors
    ///
    /// [`MediaError::NoEncoder`].
    pub(super) fn new(
        stream: &StreamName,
        segment: Duration,
        wake: &Wake,
        cpu: &CpuTime,
    ) -> Result<Self, MediaError> {
        Ok(Self {
            kept: (KEPT_SEGMENTS * segment).min(MOST_KEPT),
            stream: stream.clone(),
            description: Description::aac()?,
            wake: wake.clone(),
            cpu: cpu.clone(),
            running: None,
            endings: Endings::default(),
            made: false,
            recent: VecDeque::new(),
            not_before: None,
        })
    }

    /// Lists it in the playlists.
    pub(super) fn offer(&self, recording: &Recording) {
        let offer = Offer {
            codecs: "mp4a.40.2".into(),
            channels: 2,
            bits_per_second: BITRATE,
        };
        recording.offer(RenditionId::Aac, Some(offer));
    }

    /// The stream has ended: what was never asked for is not there.
    pub(super) fn withdraw(&self, recording: &Recording) {
        if !self.made {
            recording.offer(RenditionId::Aac, None);
        }
    }

    /// Takes Opus packets.
    pub(super) fn handle_samples(&mut self, samples: &[Sample], now: Instant) {
        for sample in samples {
            if self.running.is_some() {
                self.push(sample, now);
                continue;
            }
            let oldest = sample.pts - self.kept.as_nanos() as i64;
            while self.recent.len() >= MOST_PACKETS
                || self.recent.front().is_some_and(|one| one.pts < oldest)
            {
                self.recent.pop_front();
            }
            // A copy, as a packet of the stream is to be used again.
            let data = Bytes::copy_from_slice(&sample.data);
            self.recent.push_back(Sample {
                data,
                ..sample.clone()
            });
        }
    }

    /// Starts or stops the encoder, as somebody wants it; true when nothing comes of it any more.
    pub(super) fn handle_demand(&mut self, wanted: bool, now: Instant) -> bool {
        match (wanted, &self.running) {
            (true, None)
                if self.not_before.is_none_or(|at| now >= at) && !self.endings.is_full() =>
            {
                let (description, fields) = (self.description, Vec::new());
                let (wake, cpu) = (&self.wake, &self.cpu);
                match Supervisor::start(Codec::Opus, description, fields, wake, cpu, now) {
                    Ok(running) => {
                        tracing::debug!(stream = %self.stream, "somebody asks for AAC");
                        self.running = Some(running);
                        for sample in std::mem::take(&mut self.recent) {
                            self.push(&sample, now);
                        }
                    }
                    Err(error) => {
                        tracing::warn!(stream = %self.stream, %error, "no AAC");
                        self.not_before = Some(now + PAUSE);
                    }
                }
                false
            }
            (false, Some(_)) => {
                tracing::debug!(stream = %self.stream, "nobody asks for AAC any more");
                // It may hang, which is not for the stream to wait for.
                if let Some(running) = self.running.take() {
                    self.endings.end(running);
                }
                true
            }
            _ => false,
        }
    }

    /// Takes what the encoder has made; true when it has failed, so that for a while nothing comes.
    pub(super) fn handle_pipeline(&mut self, now: Instant, out: &mut Vec<Sample>) -> bool {
        let Some(running) = &mut self.running else {
            return false;
        };
        let result = loop {
            match running.poll_sample(now) {
                Ok(Some(sample)) => {
                    self.made = true;
                    out.push(sample);
                }
                Ok(None) => break running.handle_timeout(now),
                Err(error) => break Err(error),
            }
        };
        match result {
            Ok(_) => false,
            Err(error) => {
                tracing::warn!(stream = %self.stream, %error, "AAC failed; starting it anew");
                true
            }
        }
    }

    /// What is still in the encoder at the end.
    pub(super) fn finish(&mut self, now: Instant) -> Vec<Sample> {
        let running = self.running.take();
        let samples = running.map_or_else(Vec::new, |mut running| running.finish(now));
        self.made |= !samples.is_empty();
        samples
    }

    fn push(&mut self, sample: &Sample, now: Instant) {
        if let Some(running) = &mut self.running
            && let Err(error) = running.push_sample(sample, now)
        {
            tracing::warn!(stream = %self.stream, %error, "AAC failed; starting it anew");
        }
    }
}

/// What `pipelines/hls-encode-aac-*.launch` make, with what a container adds.
const BITRATE: u64 = 140_000;
/// As much of the past as is kept: the segments that players need to begin, and the open one.
const KEPT_SEGMENTS: u32 = 4;
const MOST_KEPT: Duration = Duration::from_secs(20);
/// The same in packets, of which a publisher can make short ones.
const MOST_PACKETS: usize = 1000;
/// Between two tries to start.
const PAUSE: Duration = Duration::from_secs(10);
