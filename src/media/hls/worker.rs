//! The thread of a branch: owns everything of it and waits at one queue.

mod derived;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::aac::Aac;
use super::arrival::ArrivalClock;
use super::assembly::Assembly;
use super::figures::Cpu;
#[cfg(test)]
use super::inbox::Broken;
use super::keyframes::Keyframes;
use super::ladder::Ladder;
use super::selection::{self, Selection};
use super::track::{Change, Track};
use super::{EndOnDrop, HlsSettings, Input, Layers, Line, Shared, Wake};
use crate::egress::hls::{RenditionId, Sample};
use crate::rtp::MediaKind;
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
pub(super) fn run(start: Start, recording: EndOnDrop, shared: &Shared) {
    let mut worker = match Worker::new(start, recording) {
        Ok(worker) => worker,
        Err(refused) => return wait_for_end(shared, &refused),
    };
    let mut ended = false;
    while !ended {
        // Everything that was pushed before the feed was dropped is still taken.
        ended = shared.ended.load(Ordering::Acquire);
        if !ended {
            shared.wait(worker.timeout(Instant::now()));
        }
        let mut left = if ended { usize::MAX } else { BATCH };
        while let Some(input) = shared.inputs.pop() {
            worker.handle(input);
            left -= 1;
            if left == 0 {
                shared.ring();
                break;
            }
        }
        worker.handle_timeout(Instant::now(), shared.take_pipeline());
    }
    worker.finish();
}

struct Worker {
    settings: HlsSettings,
    stream: StreamName,
    arrivals: ArrivalClock,
    wake: Wake,
    /// The tracks, and the other layers of the picture as they come.
    tracks: Vec<Track>,
    /// The picture, for the layers that are still to come.
    video: Option<TrackInfo>,
    /// What the lines of the picture are, where it has layers.
    layers: Layers,
    /// The layers that can't be carried.
    refused: Vec<Line>,
    aac: Option<Aac>,
    ladder: Option<Ladder>,
    cpu: Cpu,
    assembly: Assembly,
    keyframes: Keyframes,
    /// Video has begun.
    begun: bool,
    /// When demand and pipelines are looked at next, if nothing wakes the worker before.
    next_look: Instant,
    /// When the figures are told next.
    next_figures: Instant,
    /// Samples went to the segmenter that it has not worked at yet.
    fed: bool,
    /// Reused.
    samples: Vec<Sample>,
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
        let (now, cpu) = (Instant::now(), Cpu::default());
        let Selection {
            tracks,
            aac,
            ladder,
        } = match selection::select(&settings, &stream, &tracks, &wake, &cpu, now) {
            Ok(selection) => selection,
            Err(reason) => {
                recording.0.refuse(&reason);
                return Err(recording);
            }
        };
        let video = tracks.iter().find(|track| is_video(track));
        let video = video.map(|track| track.info.clone());
        if let Some(aac) = &aac {
            aac.offer(&recording.0);
        }
        let mut assembly = Assembly::new(&settings, &stream, recording, video.is_some());
        assembly.set_rungs(ladder.iter().flat_map(Ladder::renditions));
        Ok(Self {
            assembly,
            keyframes: Keyframes::new(keyframes, video.as_ref().map(|video| video.id)),
            settings,
            stream,
            arrivals: ArrivalClock::start(),
            wake,
            tracks,
            video,
            layers: Layers::Sources,
            refused: Vec::new(),
            aac,
            ladder,
            cpu,
            begun: false,
            next_look: now,
            next_figures: now,
            fed: false,
            samples: Vec::new(),
        })
    }

    fn handle(&mut self, input: Input) {
        let now = Instant::now();
        match input {
            Input::Packet(line, packet) => {
                let Some(index) = self.track_of(packet.track, line, now) else {
                    return;
                };
                let track = &mut self.tracks[index];
                if is_video(track) && !self.begun {
                    self.begun = true;
                    if !packet.keyframe {
                        self.keyframes.want();
                    }
                }
                track.reorder.handle_packet(now, &packet);
                self.handle_track(index, now);
                self.hold_back(index, now);
            }
            Input::Report {
                track,
                line,
                rtp,
                ntp,
            } => {
                if let Some(index) = self.track_of(track, line, now) {
                    self.tracks[index].clock.handle_report(rtp, ntp);
                }
            }
            Input::Layered(layers) => {
                self.layers = layers;
                self.ladder = None;
                self.assembly.set_rungs(std::iter::empty());
            }
            #[cfg(test)]
            Input::Ask(answer) => {
                let _ = answer.send(self.cpu.figures(self.ladder.as_ref()));
            }
            #[cfg(test)]
            Input::BreakDown(Broken::Track(line)) => {
                if let Some(track) = self.tracks.iter().find(|track| track.line == line) {
                    track.break_down();
                }
            }
            #[cfg(test)]
            Input::BreakDown(Broken::Ladder) => {
                if let Some(ladder) = &self.ladder {
                    ladder.break_down();
                }
            }
        }
    }

    /// The place of a track, or of a layer of it; a layer of which something comes for the first time is
    /// added.
    fn track_of(&mut self, id: TrackId, line: Line, now: Instant) -> Option<usize> {
        let known = |track: &Track| track.info.id == id && track.line == line;
        if let Some(index) = self.tracks.iter().position(known) {
            return Some(index);
        }
        let info = self.video.as_ref().filter(|video| video.id == id)?;
        if line.0 >= self.settings.layers.min(RenditionId::LAYERS) || self.refused.contains(&line) {
            return None;
        }
        let layer = selection::layer(&self.settings, info, line, &self.wake, &self.cpu, now);
        match layer {
            Ok(mut layer) => {
                let source = self.tracks.iter().find(|track| track.info.id == id);
                if let (Layers::Parts, Some(source)) = (self.layers, source) {
                    layer.clock = source.clock.clone();
                }
                self.tracks.push(layer);
            }
            Err(error) => {
                tracing::warn!(stream = %self.stream, layer = line.0, %error, "layer is not in HLS");
                self.refused.push(line);
                return None;
            }
        }
        Some(self.tracks.len() - 1)
    }

    /// Waits while a pipeline is slower than its packets come: the queue of the feed takes up what is too much,
    /// and the tracks stay together.
    fn hold_back(&mut self, index: usize, now: Instant) {
        for _ in 0..HOLD_BACK_STEPS {
            if !self.tracks[index].is_behind() {
                break;
            }
            std::thread::sleep(HOLD_BACK_STEP);
            self.handle_pipeline(index, now);
        }
    }

    /// `woken` when a pipeline has something to say.
    fn handle_timeout(&mut self, now: Instant, woken: bool) {
        let mut wanted = false;
        // Asking every pipeline after every packet would cost more than all else.
        let look = now >= self.next_look;
        let woken = woken || look;
        for index in 0..self.tracks.len() {
            let due = self.tracks[index].reorder.poll_timeout();
            if due.is_some_and(|due| now >= due) {
                self.tracks[index].reorder.handle_timeout(now);
                self.handle_track(index, now);
            }
            if woken {
                self.handle_pipeline(index, now);
            }
            wanted |= self.tracks[index].poll_keyframe_request();
        }
        if look {
            self.next_look = now + TICK;
            self.handle_demand(now);
        }
        self.tell_figures(now);
        if woken {
            self.handle_aac(now);
            self.handle_ladder(now);
        }
        if std::mem::take(&mut self.fed) || look {
            self.assembly.store();
        }
        if wanted | self.assembly.poll_keyframe_request() {
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
    fn handle_pipeline(&mut self, index: usize, now: Instant) {
        let change = self.tracks[index].handle_pipeline(now, &mut self.samples);
        self.take(index, now);
        self.handle_change(index, change, now);
    }

    /// Moves packets that are in order on.
    fn handle_track(&mut self, index: usize, now: Instant) {
        let change = self.tracks[index].handle_ordered(&self.arrivals, now, &mut self.samples);
        self.take(index, now);
        self.handle_change(index, change, now);
    }

    fn take(&mut self, index: usize, now: Instant) {
        if self.samples.is_empty() {
            return;
        }
        self.fed = true;
        let rendition = self.tracks[index].rendition;
        match rendition {
            RenditionId::Video(0) => {
                if self.samples.iter().any(|sample| sample.keyframe) {
                    self.keyframes.came();
                }
                let ladder = self.ladder.as_mut();
                if ladder.is_some_and(|ladder| ladder.handle_samples(&self.samples, now)) {
                    self.leave_rungs();
                }
            }
            RenditionId::Audio => {
                if let Some(aac) = &mut self.aac {
                    aac.handle_samples(&self.samples, now);
                }
            }
            RenditionId::Video(1..) | RenditionId::Aac => {}
        }
        self.assembly
            .take(&self.tracks, rendition, &mut self.samples);
    }

    fn handle_change(&mut self, index: usize, change: Option<Change>, now: Instant) {
        let rendition = self.tracks[index].rendition;
        match change {
            Some(Change::Failed(error)) => {
                tracing::warn!(stream = %self.stream, %rendition, %error, "hls pipeline failed; starting it anew");
                match rendition {
                    // The others go on without it.
                    RenditionId::Video(1..) => self.assembly.leave(rendition),
                    _ => self.assembly.begin_anew(),
                }
            }
            Some(Change::Restarted) => {
                tracing::info!(stream = %self.stream, %rendition, "hls pipeline runs again");
                if rendition.kind() == MediaKind::Video {
                    self.keyframes.want();
                    self.keyframes.handle_timeout(now);
                }
            }
            None => {}
        }
    }

    fn timeout(&self, now: Instant) -> Duration {
        let gaps = self.tracks.iter();
        let waits = gaps
            .filter_map(|track| track.reorder.poll_timeout())
            .map(|at| at.saturating_duration_since(now));
        waits.min().map_or(TICK, |wait| wait.min(TICK))
    }

    /// Stores what is left; the recording ends when it is dropped.
    fn finish(mut self) {
        let now = Instant::now();
        for index in 0..self.tracks.len() {
            // What is missing now will not come.
            while let Some(deadline) = self.tracks[index].reorder.poll_timeout() {
                self.tracks[index].reorder.handle_timeout(deadline);
                self.handle_track(index, now);
            }
            self.samples = self.tracks[index].finish(now);
            self.take(index, now);
        }
        self.finish_derived(now);
        self.assembly.finish();
        tracing::info!(stream = %self.stream, "hls branch ended");
    }
}

/// How often the bus is looked at when nothing else happens.
const TICK: Duration = Duration::from_millis(250);
/// How long packets are held back at most, in steps: then a stall is the supervisor's business.
const HOLD_BACK_STEP: Duration = Duration::from_millis(2);
const HOLD_BACK_STEPS: usize = 250;
/// Inputs that are taken before time is looked at.
const BATCH: usize = 256;
/// How often the queue of a branch that does nothing is emptied, unless it fills before.
const IDLE: Duration = Duration::from_secs(1);

fn is_video(track: &Track) -> bool {
    track.info.kind() == MediaKind::Video
}

/// Nothing to do, but the feed's queue must be emptied, and the reason stays until the publisher goes.
fn wait_for_end(shared: &Shared, _refused: &EndOnDrop) {
    while !shared.ended.load(Ordering::Acquire) {
        shared.wait(IDLE);
        while shared.inputs.pop().is_some() {}
    }
}
