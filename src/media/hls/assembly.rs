//! Samples of all renditions into the segmenter, parts out of it into the library.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::aac::Aac;
use super::track::Track;
use super::{EndOnDrop, HlsSettings};
use crate::egress::hls::segmenter::SegmenterSettings;
use crate::egress::hls::store::Figures;
use crate::egress::hls::timeline::Walls;
use crate::egress::hls::{RenditionId, Sample, Segmenter};
use crate::stream::StreamName;

/// The segmenter of a branch and where its parts go.
#[derive(Debug)]
pub(super) struct Assembly {
    stream: StreamName,
    segmenter: Segmenter,
    recording: EndOnDrop,
    /// What is made of the best layer, and has its clock.
    rungs: Vec<RenditionId>,
    /// A picture of the best layer has come since the last discontinuity.
    led: bool,
    /// What came of the other layers before that. The best one is to decide where segments begin.
    early: VecDeque<(RenditionId, Sample)>,
}

impl Assembly {
    pub(super) fn new(
        settings: &HlsSettings,
        stream: &StreamName,
        recording: EndOnDrop,
        video: bool,
    ) -> Self {
        let segmenter = Segmenter::new(SegmenterSettings {
            target: settings.segment_target.max(Duration::from_secs(1)),
            part: settings.part_target,
            video,
            terms: recording.0.terms(),
            after: recording.0.progress(),
        });
        Self {
            stream: stream.clone(),
            segmenter,
            recording,
            rungs: Vec::new(),
            led: false,
            early: VecDeque::new(),
        }
    }

    /// These renditions are made of the best layer.
    pub(super) fn set_rungs(&mut self, rungs: impl Iterator<Item = RenditionId>) {
        self.rungs = rungs.collect();
        self.segmenter.set_derived(&self.rungs);
    }

    /// Takes the samples of a rendition, and leaves `samples` empty.
    pub(super) fn take(
        &mut self,
        tracks: &[Track],
        rendition: RenditionId,
        samples: &mut Vec<Sample>,
    ) {
        if samples.is_empty() {
            return;
        }
        let mut walls = walls(tracks);
        for rung in &self.rungs {
            walls.set(*rung, walls.get(RenditionId::Video(0)));
        }
        self.segmenter.handle_walls(walls);
        let layer = matches!(rendition, RenditionId::Video(1..));
        if layer && walls.get(rendition).is_none() {
            // Nothing tells yet when it was made.
            samples.clear();
        }
        if layer && !self.led {
            self.early
                .extend(samples.drain(..).map(|sample| (rendition, sample)));
            let excess = self.early.len().saturating_sub(MOST_EARLY);
            self.early.drain(..excess);
            return;
        }
        for sample in samples.drain(..) {
            self.segmenter.handle_sample(rendition, sample);
        }
        if rendition == RenditionId::Video(0) && !std::mem::replace(&mut self.led, true) {
            for (rendition, sample) in self.early.drain(..) {
                self.segmenter.handle_sample(rendition, sample);
            }
        }
    }

    /// Moves finished parts into the library.
    pub(super) fn store(&mut self) {
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
    pub(super) fn begin_anew(&mut self) {
        if let Err(error) = self.segmenter.handle_discontinuity() {
            tracing::error!(stream = %self.stream, %error, "hls segment");
        }
        self.led = false;
        self.early.clear();
    }

    /// Nothing comes of a rendition for now.
    pub(super) fn leave(&mut self, rendition: RenditionId) {
        self.segmenter.handle_leave(rendition);
        self.early.retain(|(early, _)| *early != rendition);
    }

    /// Whether somebody asked for a rendition lately.
    pub(super) fn is_wanted(&self, rendition: RenditionId, now: Instant) -> bool {
        self.recording.0.is_wanted(rendition, now)
    }

    /// Says what the branch costs.
    pub(super) fn set_figures(&self, figures: Figures) {
        self.recording.0.set_figures(figures);
    }

    /// Takes the offer of AAC back, unless there is some.
    pub(super) fn withdraw(&self, aac: &Aac) {
        aac.withdraw(&self.recording.0);
    }

    /// Whether the publisher should be asked for keyframes.
    pub(super) fn poll_keyframe_request(&mut self) -> bool {
        self.segmenter.poll_keyframe_request()
    }

    /// Stores what is left.
    pub(super) fn finish(&mut self) {
        self.store();
        self.segmenter.handle_end();
        self.store();
    }
}

/// Samples of other layers that wait for the best one at most: two seconds of three layers.
const MOST_EARLY: usize = 256;

/// All renditions on one clock. A layer whose clock the publisher has not told yet must not take the others
/// off theirs: it has to wait.
fn walls(tracks: &[Track]) -> Walls {
    let is_main = |track: &&Track| !matches!(track.rendition, RenditionId::Video(1..));
    let reported = tracks
        .iter()
        .filter(is_main)
        .all(|track| track.clock.get().is_reported() || !track.clock.get().has_begun());
    let clocks = tracks
        .iter()
        .filter(|track| is_main(track) || !reported || track.clock.get().is_reported());
    Walls::of(clocks.map(|track| (track.rendition, track.clock.get())))
}
