//! The thread of a branch: owns everything of it and waits at one queue.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use super::keyframes::Keyframes;
use super::track::{Change, Track};
use super::{EndOnDrop, HlsSettings, Input, Shared, Wake};
use crate::egress::hls::reorder::Reorder;
use crate::egress::hls::segmenter::SegmenterSettings;
use crate::egress::hls::timeline::Walls;
use crate::egress::hls::{RenditionId, Sample, Segmenter};
use crate::rtp::{Codec, MediaKind};
use crate::stream::{StreamName, TrackId, TrackInfo};

/// What a worker begins with.
pub(super) struct Start {
    pub(super) settings: HlsSettings,
    pub(super) stream: StreamName,
    pub(super) tracks: Vec<TrackInfo>,
    pub(super) keyframes: Box<dyn Fn(TrackId) + Send + Sync>,
    pub(super) wake: Wake,
}

/// Runs a branch until its feed is dropped.
pub(super) fn run(start: Start, recording: EndOnDrop, inputs: &Receiver<Input>, shared: &Shared) {
    let mut worker = match Worker::new(start, recording) {
        Ok(worker) => worker,
        Err(refused) => return wait_for_end(inputs, shared, &refused),
    };
    let mut ended = false;
    while !ended {
        let timeout = worker.timeout(Instant::now());
        // Everything that was pushed before the feed was dropped is still taken.
        ended = shared.ended.load(Ordering::Acquire);
        match inputs.recv_timeout(if ended { Duration::ZERO } else { timeout }) {
            Ok(input) => {
                worker.handle(input, shared);
                let limit = if ended { usize::MAX } else { BATCH };
                inputs
                    .try_iter()
                    .take(limit)
                    .for_each(|input| worker.handle(input, shared));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => ended = true,
        }
        worker.handle_timeout(Instant::now());
    }
    worker.finish();
}

/// Turns an instant of arrival into wall-clock time.
#[derive(Debug)]
pub(super) struct ArrivalClock {
    instant: Instant,
    unix: i64,
}

impl ArrivalClock {
    fn start() -> Self {
        let unix = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            instant: Instant::now(),
            unix: unix.as_nanos() as i64,
        }
    }

    /// Nanoseconds since 1970.
    pub(super) fn unix(&self, instant: Instant) -> i64 {
        let after = instant.saturating_duration_since(self.instant).as_nanos() as i64;
        let before = self.instant.saturating_duration_since(instant).as_nanos() as i64;
        self.unix + after - before
    }
}

struct Worker {
    stream: StreamName,
    arrivals: ArrivalClock,
    video: Option<Track>,
    audio: Option<Track>,
    segmenter: Segmenter,
    recording: EndOnDrop,
    keyframes: Keyframes,
    /// Video has begun.
    begun: bool,
}

impl Worker {
    /// Chooses the tracks and starts their pipelines; the recording comes back when HLS can't carry them.
    fn new(start: Start, recording: EndOnDrop) -> Result<Self, EndOnDrop> {
        let Start {
            settings,
            stream,
            tracks,
            keyframes,
            wake,
        } = start;
        let now = Instant::now();
        let (mut video, mut audio) = (None, None);
        for kind in [MediaKind::Video, MediaKind::Audio] {
            let Some(info) = tracks.iter().find(|track| track.kind() == kind) else {
                continue;
            };
            let reorder = Reorder::new(settings.reorder_patience);
            let reason = match Track::start(info.clone(), reorder, &wake, now) {
                Ok(Some(track)) => {
                    *(if kind == MediaKind::Video {
                        &mut video
                    } else {
                        &mut audio
                    }) = Some(track);
                    continue;
                }
                Ok(None) => refusal(info.codec),
                Err(error) => format!("no HLS for this stream: {error}"),
            };
            tracing::warn!(%stream, %kind, codec = %info.codec, reason, "track is not in HLS");
            // A stream whose picture is missing is no stream to watch; sound may be missing.
            if kind == MediaKind::Video {
                recording.0.refuse(&reason);
                return Err(recording);
            }
        }
        if audio.is_none() && video.is_none() {
            recording.0.refuse(
                "no HLS for this stream: it has no track that HLS can carry; publish H264 and Opus",
            );
            return Err(recording);
        }
        let segmenter = Segmenter::new(SegmenterSettings {
            target: settings.segment_target.max(Duration::from_secs(1)),
            part: settings.part_target,
            video: video.is_some(),
            terms: recording.0.terms(),
        });
        let keyframes = Keyframes::new(keyframes, video.as_ref().map(|track| track.info.id));
        let arrivals = ArrivalClock::start();
        Ok(Self {
            stream,
            arrivals,
            video,
            audio,
            segmenter,
            recording,
            keyframes,
            begun: false,
        })
    }

    fn handle(&mut self, input: Input, shared: &Shared) {
        let now = Instant::now();
        match input {
            Input::Packet(packet) => {
                if let Some(track) = self.track(packet.track) {
                    track.reorder.handle_packet(now, &packet);
                    let kind = track_kind(self, packet.track);
                    if kind == MediaKind::Video && !self.begun {
                        self.begun = true;
                        if !packet.keyframe {
                            self.keyframes.want();
                        }
                    }
                    self.handle_track(kind, now);
                    self.hold_back(kind, now);
                }
            }
            Input::Report { track, rtp, ntp } => {
                if let Some(track) = self.track(track) {
                    track.clock.handle_report(rtp, ntp);
                }
            }
            Input::Wake => shared.woken.store(false, Ordering::Release),
            #[cfg(test)]
            Input::BreakDown => {
                if let Some(track) = &self.video {
                    track.break_down();
                }
            }
        }
    }

    /// Waits while a pipeline is slower than its packets come: the queue of the feed takes up what is too much,
    /// and the tracks stay together.
    fn hold_back(&mut self, kind: MediaKind, now: Instant) {
        for _ in 0..HOLD_BACK_STEPS {
            if !self.slot(kind).is_some_and(|track| track.is_behind()) {
                break;
            }
            std::thread::sleep(HOLD_BACK_STEP);
            self.handle_pipeline(kind, now);
        }
    }

    fn track(&mut self, id: TrackId) -> Option<&mut Track> {
        [&mut self.video, &mut self.audio]
            .into_iter()
            .flatten()
            .find(|track| track.info.id == id)
    }

    fn handle_timeout(&mut self, now: Instant) {
        for kind in [MediaKind::Video, MediaKind::Audio] {
            if let Some(track) = self.slot(kind) {
                track.reorder.handle_timeout(now);
            }
            self.handle_track(kind, now);
            self.handle_pipeline(kind, now);
        }
        let wanted = self
            .video
            .as_mut()
            .is_some_and(Track::poll_keyframe_request);
        self.store();
        if wanted | self.segmenter.poll_keyframe_request() {
            self.keyframes.want();
        }
        if self.keyframes.handle_timeout(now) {
            tracing::warn!(
                stream = %self.stream,
                "the publisher does not answer keyframe requests; set its keyframe interval to 2 s"
            );
        }
    }

    /// Takes what the pipeline of a track has made.
    fn handle_pipeline(&mut self, kind: MediaKind, now: Instant) {
        let mut samples = Vec::new();
        let change = self
            .slot(kind)
            .and_then(|track| track.handle_pipeline(now, &mut |sample| samples.push(sample)));
        self.take(samples);
        self.handle_change(kind, change, now);
    }

    /// Moves packets that are in order on.
    fn handle_track(&mut self, kind: MediaKind, now: Instant) {
        let mut samples = Vec::new();
        let arrivals = &self.arrivals;
        let slot = match kind {
            MediaKind::Video => &mut self.video,
            MediaKind::Audio => &mut self.audio,
        };
        let change = slot.as_mut().and_then(|track| {
            track.handle_ordered(arrivals, now, &mut |sample| samples.push(sample))
        });
        self.take(samples);
        self.handle_change(kind, change, now);
    }

    fn take(&mut self, samples: Vec<Sample>) {
        if samples.is_empty() {
            return;
        }
        let video = self.video.as_ref().map(|track| (VIDEO, &track.clock));
        let audio = self
            .audio
            .as_ref()
            .map(|track| (RenditionId::Audio, &track.clock));
        self.segmenter
            .handle_walls(Walls::of(video.into_iter().chain(audio)));
        for sample in samples {
            if sample.format.kind == MediaKind::Video && sample.keyframe {
                self.keyframes.came();
            }
            let rendition = match sample.format.kind {
                MediaKind::Video => VIDEO,
                MediaKind::Audio => RenditionId::Audio,
            };
            self.segmenter.handle_sample(rendition, sample);
        }
    }

    fn store(&mut self) {
        loop {
            match self.segmenter.poll_part() {
                Ok(Some(part)) => self.recording.0.push(part),
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(stream = %self.stream, %error, "hls segment");
                    self.begin_anew();
                    break;
                }
            }
        }
    }

    /// Media is missing from here on.
    fn begin_anew(&mut self) {
        if let Err(error) = self.segmenter.handle_discontinuity() {
            tracing::error!(stream = %self.stream, %error, "hls segment");
        }
    }

    fn handle_change(&mut self, kind: MediaKind, change: Option<Change>, now: Instant) {
        match change {
            Some(Change::Failed(error)) => {
                tracing::warn!(stream = %self.stream, %kind, %error, "hls pipeline failed; starting it anew");
                self.begin_anew();
            }
            Some(Change::Restarted) => {
                tracing::info!(stream = %self.stream, %kind, "hls pipeline runs again");
                self.keyframes.want();
                self.keyframes.handle_timeout(now);
            }
            None => {}
        }
    }

    fn slot(&mut self, kind: MediaKind) -> Option<&mut Track> {
        match kind {
            MediaKind::Video => self.video.as_mut(),
            MediaKind::Audio => self.audio.as_mut(),
        }
    }

    fn timeout(&self, now: Instant) -> Duration {
        let tracks = [&self.video, &self.audio];
        let gaps = tracks
            .into_iter()
            .flatten()
            .filter_map(|track| track.reorder.poll_timeout());
        let waits = gaps.map(|at| at.saturating_duration_since(now));
        waits.min().map_or(TICK, |wait| wait.min(TICK))
    }

    /// Stores what is left; the recording ends when it is dropped.
    fn finish(mut self) {
        let now = Instant::now();
        for kind in [MediaKind::Video, MediaKind::Audio] {
            // What is missing now will not come.
            while let Some(deadline) = self
                .slot(kind)
                .and_then(|track| track.reorder.poll_timeout())
            {
                if let Some(track) = self.slot(kind) {
                    track.reorder.handle_timeout(deadline);
                }
                self.handle_track(kind, now);
            }
            let samples = self.slot(kind).map(Track::finish).unwrap_or_default();
            self.take(samples);
        }
        self.store();
        self.segmenter.handle_end();
        self.store();
        tracing::info!(stream = %self.stream, "hls branch ended");
    }
}

const VIDEO: RenditionId = RenditionId::Video(0);
/// How often the bus is looked at when nothing else happens.
const TICK: Duration = Duration::from_millis(250);
/// How long packets are held back at most, in steps: then a stall is the supervisor's business.
const HOLD_BACK_STEP: Duration = Duration::from_millis(2);
const HOLD_BACK_STEPS: usize = 250;
/// Inputs that are taken before time is looked at.
const BATCH: usize = 64;

fn track_kind(worker: &Worker, id: TrackId) -> MediaKind {
    let video = worker
        .video
        .as_ref()
        .is_some_and(|track| track.info.id == id);
    if video {
        MediaKind::Video
    } else {
        MediaKind::Audio
    }
}

fn refusal(codec: Codec) -> String {
    format!("no HLS for this stream: no HLS player takes {codec}; publish H264, or watch by WHEP")
}

/// Nothing to do, but the feed's queue must be emptied, and the reason stays until the publisher goes.
fn wait_for_end(inputs: &Receiver<Input>, shared: &Shared, _refused: &EndOnDrop) {
    while !shared.ended.load(Ordering::Acquire) {
        if matches!(
            inputs.recv_timeout(TICK),
            Err(RecvTimeoutError::Disconnected)
        ) {
            break;
        }
    }
}
