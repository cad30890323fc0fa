//! Cuts samples into segments, all renditions at the same instants.
//!
//! Video leads: a segment begins with a keyframe, and audio is cut at the video's time. Where no video
//! comes, audio leads by the clock of its own samples. Time here is media time only; no clock is read.
//!
//! A run of segments with the same tracks, formats and alignment is an *epoch*; where a new one begins,
//! players see a discontinuity.

mod audio;
mod cut;
mod media;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::fmp4::BoxError;
use super::timeline::Walls;
use crate::rtp::MediaKind;

use audio::take_audio;
use cut::Cut;
pub use media::{Init, Media, Sample, Segment};

/// What the segmenter aims at.
#[derive(Clone, Debug)]
pub struct SegmenterSettings {
    /// The length of a segment, where keyframes allow it.
    pub target: Duration,
    /// Whether the publisher announced a video track.
    pub video: bool,
    /// Whether the publisher announced an audio track.
    pub audio: bool,
}

/// Cuts the samples of one publisher.
///
/// After each `handle_*` drain [`Self::poll_segment`] and ask [`Self::poll_keyframe_request`].
#[derive(Debug)]
pub struct Segmenter {
    settings: SegmenterSettings,
    walls: Walls,
    // Samples that are in no segment yet, oldest first.
    video: VecDeque<Sample>,
    audio: VecDeque<Sample>,
    epoch: Option<Epoch>,
    keyframe: KeyframeWish,
    /// The publisher has gone: nothing is waited for.
    ending: bool,
    /// Wall-clock time that is time zero in the segments.
    zero: Option<i64>,
    /// Where the last segment ended, in time of the segments.
    end: i64,
    sequence: u32,
}

#[derive(Debug)]
struct Epoch {
    walls: Walls,
    leader: MediaKind,
    /// Wall-clock time at which the open segment begins.
    start: i64,
    fresh: bool,
    video: Option<Arc<Init>>,
    audio: Option<Arc<Init>>,
    /// Where audio ended, in its media time.
    audio_end: i64,
}

#[derive(Debug, PartialEq, Eq)]
enum KeyframeWish {
    None,
    Wanted,
    Told,
}

impl Segmenter {
    /// A segmenter without samples.
    pub fn new(settings: SegmenterSettings) -> Self {
        Self {
            settings,
            walls: Walls::default(),
            video: VecDeque::new(),
            audio: VecDeque::new(),
            epoch: None,
            keyframe: KeyframeWish::None,
            ending: false,
            zero: None,
            end: MARGIN,
            sequence: 0,
        }
    }

    /// The alignment of the tracks as it is known now. One that differs audibly begins a new epoch at the
    /// next cut; an epoch of which no segment is out takes it over.
    pub fn handle_walls(&mut self, walls: Walls) {
        self.walls = walls;
        let fresh = self.epoch.as_ref().filter(|epoch| epoch.fresh);
        if fresh.is_some_and(|epoch| cut::differ(&walls, &epoch.walls)) {
            self.epoch = None;
        }
    }

    /// Takes the next sample of a track, in decode order. What goes back in time is dropped.
    pub fn handle_sample(&mut self, sample: Sample) {
        let (queue, floor) = match sample.format.kind {
            MediaKind::Video => (&mut self.video, i64::MIN),
            // What was filled with silence is not said again.
            MediaKind::Audio => {
                let floor = self.epoch.as_ref().filter(|epoch| epoch.audio.is_some());
                (
                    &mut self.audio,
                    floor.map_or(i64::MIN, |epoch| epoch.audio_end - TOLERANCE),
                )
            }
        };
        if sample.dts < floor || queue.back().is_some_and(|last| sample.dts <= last.dts) {
            return;
        }
        if queue.is_empty() && sample.format.kind == MediaKind::Video && !sample.keyframe {
            self.wish_keyframe();
            return;
        }
        queue.push_back(sample);
    }

    /// The publisher has gone: what is left becomes the last segment.
    pub fn handle_end(&mut self) {
        self.ending = true;
    }

    /// Media of a track is missing from here on: what follows begins a new epoch.
    pub fn handle_discontinuity(&mut self) {
        self.video.clear();
        self.audio.clear();
        self.epoch = None;
    }

    /// The next finished segment.
    ///
    /// # Errors
    ///
    /// [`BoxError`]; the segment is lost, the next may work.
    pub fn poll_segment(&mut self) -> Result<Option<Segment>, BoxError> {
        self.begin_epoch()?;
        let Some(epoch) = &self.epoch else {
            return Ok(None);
        };
        let cut = match epoch.leader {
            MediaKind::Video => self.video_cut(epoch),
            MediaKind::Audio => self.audio_cut(epoch),
        };
        match cut {
            Cut::At { count, time, last } => {
                let segment = self.segment(count, time)?;
                if last || self.must_restart() {
                    self.epoch = None;
                }
                Ok(Some(segment))
            }
            Cut::Overdue => {
                self.wish_keyframe();
                Ok(None)
            }
            Cut::No => Ok(None),
        }
    }

    /// Whether the publisher should be asked for a keyframe; true once for each reason.
    pub fn poll_keyframe_request(&mut self) -> bool {
        let wanted = self.keyframe == KeyframeWish::Wanted;
        if wanted {
            self.keyframe = KeyframeWish::Told;
        }
        wanted
    }

    fn wish_keyframe(&mut self) {
        if self.keyframe == KeyframeWish::None {
            self.keyframe = KeyframeWish::Wanted;
        }
    }

    fn video_time(walls: &Walls, sample: &Sample) -> i64 {
        sample.pts + walls.video.unwrap_or(0)
    }

    fn audio_time(walls: &Walls, sample: &Sample) -> i64 {
        sample.pts + walls.audio.unwrap_or(0)
    }

    fn begin_epoch(&mut self) -> Result<(), BoxError> {
        if self.epoch.is_some() {
            return Ok(());
        }
        let walls = self.walls;
        let (leader, start) = if let Some(first) = self.video.front() {
            (MediaKind::Video, Self::video_time(&walls, first))
        } else if let (Some(first), Some(last)) = (self.audio.front(), self.audio.back()) {
            let alone = !self.settings.video
                || last.pts - first.pts > VIDEO_WAIT
                || (self.ending && self.sequence == 0);
            if !alone {
                return Ok(());
            }
            (MediaKind::Audio, Self::audio_time(&walls, first))
        } else {
            return Ok(());
        };
        let zero = self.zero.get_or_insert(start - self.end);
        *zero = (*zero).min(start - self.end);
        self.keyframe = KeyframeWish::None;
        let video = self
            .video
            .front()
            .map(|first| Init::of(&first.format))
            .transpose()?;
        let audio_end = start - walls.audio.unwrap_or(0);
        self.epoch = Some(Epoch {
            walls,
            leader,
            start,
            fresh: true,
            video,
            audio: None,
            audio_end,
        });
        Ok(())
    }

    /// Takes the segment out of the queues that ends before the video sample `count` and at `time`.
    fn segment(&mut self, count: usize, time: i64) -> Result<Segment, BoxError> {
        let frame = self.frame_duration();
        let pictures: Vec<_> = self.video.drain(..count).collect();
        let next = self
            .video
            .front()
            .filter(|_| count > 0)
            .map(|sample| sample.dts);
        let zero = self.zero.unwrap_or(0);
        // Callers have an epoch; without one there is no segment to take.
        let Some(epoch) = &mut self.epoch else {
            return Ok(Segment {
                discontinuity: false,
                independent: false,
                time,
                video: None,
                audio: None,
            });
        };
        let walls = epoch.walls;
        let video_end = next
            .or_else(|| pictures.last().map(|last| last.dts + frame))
            .unwrap_or(0);
        let sounds = take_audio(&mut self.audio, epoch, time);
        let sound_end = epoch.audio_end;
        let sequence = self.sequence + 1;
        let media = |init: &Option<Arc<Init>>, samples: &[Sample], end: i64, wall: Option<i64>| {
            let Some(init) = init.as_ref().filter(|_| !samples.is_empty()) else {
                return Ok(None);
            };
            media::media(init, samples, end, wall.unwrap_or(0) - zero, sequence).map(Some)
        };
        let segment = Segment {
            discontinuity: epoch.fresh,
            independent: pictures.first().is_none_or(|first| first.keyframe),
            time: epoch.start,
            video: media(&epoch.video, &pictures, video_end, walls.video)?,
            audio: media(&epoch.audio, &sounds, sound_end, walls.audio)?,
        };
        epoch.fresh = false;
        epoch.start = time;
        self.sequence = sequence;
        self.end = self.end.max(time - zero);
        self.keyframe = KeyframeWish::None;
        Ok(segment)
    }
}

/// How long audio waits for video before it goes on alone.
const VIDEO_WAIT: i64 = 3_000_000_000;
/// Rounding of timestamps.
const TOLERANCE: i64 = 1_000_000;
/// Segments begin at this time, so that pictures decoded before they are shown have one too.
const MARGIN: i64 = 1_000_000_000;

#[cfg(test)]
mod tests;
