//! Cuts samples into segments, all renditions at the same instants.
//!
//! Video leads: a segment begins with a keyframe, and audio is cut at the video's time. Where no video
//! comes, audio leads by the clock of its own samples. Time here is media time only; no clock is read.
//!
//! A run of segments with the same tracks, formats and alignment is an *epoch*; where a new one begins,
//! players see a discontinuity.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Format;
use super::fmp4::{self, BoxError, FragmentSample};
use super::timeline::Walls;
use crate::rtp::MediaKind;

/// A coded picture, or a frame of audio. Times are media times in nanoseconds (see [`Walls`]).
#[derive(Clone, Debug)]
pub struct Sample {
    /// When it is to be decoded.
    pub dts: i64,
    /// When it is to be shown or heard.
    pub pts: i64,
    /// How long it lasts when nothing follows.
    pub duration: i64,
    /// A decoder can begin with it.
    pub keyframe: bool,
    /// The coded bytes.
    pub data: Bytes,
    /// What it is coded in; a new `Arc` only when the format is another one.
    pub format: Arc<Format>,
}

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

/// A finished segment of all renditions.
#[derive(Clone, Debug)]
pub struct Segment {
    /// It begins an epoch.
    pub discontinuity: bool,
    /// Every rendition of it can be decoded alone.
    pub independent: bool,
    /// The wall-clock time of its first sample, ns since 1970.
    pub time: i64,
    /// The video rendition, where there is one now.
    pub video: Option<Media>,
    /// The audio rendition, where there is one now.
    pub audio: Option<Media>,
}

/// A segment of one rendition.
#[derive(Clone, Debug)]
pub struct Media {
    /// What a player must read before it.
    pub init: Arc<Init>,
    /// `moof` and `mdat`.
    pub body: Bytes,
    /// How long it lasts.
    pub duration: Duration,
    /// How many samples it has.
    pub samples: usize,
}

/// An init segment.
#[derive(Debug)]
pub struct Init {
    /// What it describes.
    pub format: Arc<Format>,
    /// `ftyp` and `moov`.
    pub body: Bytes,
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

    /// The alignment of the tracks as it is known now. It is used from the next epoch on; one that differs
    /// audibly begins a new epoch at the next cut.
    pub fn handle_walls(&mut self, walls: Walls) {
        self.walls = walls;
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

    /// Asks again when the last request was not answered.
    pub fn repeat_keyframe_request(&mut self) {
        if self.keyframe == KeyframeWish::Told {
            self.keyframe = KeyframeWish::Wanted;
        }
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
            let alone = !self.settings.video || last.pts - first.pts > VIDEO_WAIT || self.ending;
            if !alone {
                return Ok(());
            }
            (MediaKind::Audio, Self::audio_time(&walls, first))
        } else {
            return Ok(());
        };
        while self
            .audio
            .front()
            .is_some_and(|sample| Self::audio_time(&walls, sample) < start - TOLERANCE)
        {
            self.audio.pop_front();
        }
        let zero = self.zero.get_or_insert(start - self.end);
        *zero = (*zero).min(start - self.end);
        self.keyframe = KeyframeWish::None;
        let video = self
            .video
            .front()
            .map(|first| init(&first.format))
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

    /// Where the open segment of an epoch with video ends.
    fn video_cut(&self, epoch: &Epoch) -> Cut {
        let (Some(first), Some(last)) = (self.video.front(), self.video.back()) else {
            return if self.ending {
                self.audio_cut(epoch)
            } else {
                self.stalled(epoch, epoch.start)
            };
        };
        let target = self.settings.target.as_nanos() as i64;
        let requested = self.keyframe == KeyframeWish::Told;
        let mut bytes = 0;
        for (count, sample) in self.video.iter().enumerate().skip(1) {
            bytes += sample.data.len();
            let age = sample.dts - first.dts;
            let changed = !Arc::ptr_eq(&sample.format, &first.format);
            let due = age >= target - EARLY || (requested && age >= target - NOTICE) || changed;
            let forced = age >= LONGEST || bytes > LARGEST;
            if (sample.keyframe && due) || forced {
                let time = Self::video_time(&epoch.walls, sample);
                let late = Self::video_time(&epoch.walls, last) - time > AUDIO_WAIT;
                let complete = late || self.ending || self.audio_reaches(epoch, time);
                return if complete {
                    Cut::At {
                        count,
                        time,
                        last: changed,
                    }
                } else {
                    Cut::No
                };
            }
        }
        let end = Self::video_time(&epoch.walls, last) + self.frame_duration();
        if self.ending {
            return Cut::At {
                count: self.video.len(),
                time: end,
                last: true,
            };
        }
        match self.stalled(epoch, end) {
            Cut::No if last.dts - first.dts >= target - NOTICE => Cut::Overdue,
            cut => cut,
        }
    }

    /// Audio went on for long after the video's `end`: the segment ends there, and with it the epoch.
    fn stalled(&self, epoch: &Epoch, end: i64) -> Cut {
        let audio = self
            .audio
            .back()
            .map(|sample| Self::audio_time(&epoch.walls, sample));
        if audio.is_some_and(|audio| audio - end > VIDEO_WAIT) {
            Cut::At {
                count: self.video.len(),
                time: end,
                last: true,
            }
        } else {
            Cut::No
        }
    }

    /// Where the open segment of an epoch without video ends.
    fn audio_cut(&self, epoch: &Epoch) -> Cut {
        let count = 0;
        let Some(last) = self.audio.back() else {
            return Cut::No;
        };
        let reached = Self::audio_time(&epoch.walls, last);
        if let Some(picture) = self.video.front() {
            let time = Self::video_time(&epoch.walls, picture);
            // The video may be dated by other reports than the epoch; its place is good enough.
            return Cut::At {
                count,
                time: time.clamp(epoch.start, reached),
                last: true,
            };
        }
        let time = epoch.start + self.settings.target.as_nanos() as i64;
        if reached >= time {
            Cut::At {
                count,
                time,
                last: false,
            }
        } else if self.ending {
            Cut::At {
                count,
                time: reached + last.duration,
                last: true,
            }
        } else {
            Cut::No
        }
    }

    fn audio_reaches(&self, epoch: &Epoch, time: i64) -> bool {
        let expected = if epoch.fresh {
            self.settings.audio
        } else {
            epoch.audio.is_some()
        };
        let reached = self
            .audio
            .back()
            .map(|last| Self::audio_time(&epoch.walls, last) + last.duration);
        !expected || reached.is_some_and(|reached| reached >= time)
    }

    /// The length of the newest picture, when nothing follows: that of the one before.
    fn frame_duration(&self) -> i64 {
        let mut newest = self.video.iter().rev().map(|sample| sample.dts);
        match (newest.next(), newest.next()) {
            (Some(last), Some(before)) => last - before,
            _ => DEFAULT_FRAME,
        }
    }

    fn must_restart(&self) -> bool {
        let Some(epoch) = &self.epoch else {
            return false;
        };
        let appeared = match epoch.leader {
            MediaKind::Video => epoch.audio.is_none() && !self.audio.is_empty(),
            MediaKind::Audio => false,
        };
        let changed = |init: &Option<Arc<Init>>, queue: &VecDeque<Sample>| {
            let pair = init.as_ref().zip(queue.front());
            pair.is_some_and(|(init, next)| !Arc::ptr_eq(&init.format, &next.format))
        };
        appeared
            || changed(&epoch.audio, &self.audio)
            || (self.walls.reported && skew(&self.walls).abs_diff(skew(&epoch.walls)) > AUDIBLE)
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
            media(init, samples, end, wall.unwrap_or(0) - zero, sequence).map(Some)
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

enum Cut {
    No,
    /// A keyframe should have come.
    Overdue,
    At {
        count: usize,
        time: i64,
        last: bool,
    },
}

/// How much earlier than its target a segment may end.
const EARLY: i64 = 100_000_000;
/// How long before its end a keyframe is asked for; it may come at once.
const NOTICE: i64 = 300_000_000;
/// How far audio may be behind the video before the video goes on without.
const AUDIO_WAIT: i64 = 500_000_000;
/// How long audio waits for video before it goes on alone.
const VIDEO_WAIT: i64 = 3_000_000_000;
/// A segment without a further keyframe ends here, so that memory stays bounded.
const LONGEST: i64 = 15_000_000_000;
const LARGEST: usize = 32 << 20;
/// A gap of audio that is longer is left as a gap.
const LONGEST_FILL: i64 = 20_000_000_000;
/// Rounding of timestamps.
const TOLERANCE: i64 = 1_000_000;
const DEFAULT_FRAME: i64 = 33_333_333;
/// A change of the alignment that a viewer notices.
const AUDIBLE: u64 = 60_000_000;
/// Segments begin at this time, so that pictures decoded before they are shown have one too.
const MARGIN: i64 = 1_000_000_000;

fn skew(walls: &Walls) -> i64 {
    walls
        .video
        .zip(walls.audio)
        .map_or(0, |(video, audio)| audio - video)
}

fn init(format: &Arc<Format>) -> Result<Arc<Init>, BoxError> {
    let body = fmp4::init_segment(format)?;
    Ok(Arc::new(Init {
        format: Arc::clone(format),
        body,
    }))
}

/// The audio up to `time`, gaps filled with silence.
fn take_audio(queue: &mut VecDeque<Sample>, epoch: &mut Epoch, time: i64) -> Vec<Sample> {
    let end = time - epoch.walls.audio.unwrap_or(0);
    let mut taken = Vec::new();
    if epoch.fresh {
        let format = queue
            .front()
            .filter(|first| first.pts < end)
            .map(|first| &first.format);
        epoch.audio = format.and_then(|format| init(format).ok());
    }
    let Some(current) = epoch.audio.clone() else {
        return taken;
    };
    let belongs =
        |next: &Sample| next.pts < end - TOLERANCE && Arc::ptr_eq(&next.format, &current.format);
    while queue.front().is_some_and(belongs) {
        let Some(sample) = queue.pop_front() else {
            break;
        };
        fill(&mut taken, epoch, &current.format, sample.pts);
        let next = queue.front().map(|next| next.dts - sample.dts);
        let length = next
            .filter(|step| *step < 2 * sample.duration)
            .unwrap_or(sample.duration);
        epoch.audio_end = sample.dts + length;
        taken.push(sample);
    }
    if queue.is_empty() {
        fill(&mut taken, epoch, &current.format, end);
    }
    taken
}

fn fill(taken: &mut Vec<Sample>, epoch: &mut Epoch, format: &Arc<Format>, until: i64) {
    let Some((data, duration)) = &format.silence else {
        return;
    };
    if until - epoch.audio_end > LONGEST_FILL {
        epoch.audio_end = until;
    }
    while until - epoch.audio_end >= *duration - TOLERANCE {
        let (dts, pts) = (epoch.audio_end, epoch.audio_end);
        let (data, format) = (data.clone(), Arc::clone(format));
        taken.push(Sample {
            dts,
            pts,
            duration: *duration,
            keyframe: true,
            data,
            format,
        });
        epoch.audio_end += duration;
    }
}

/// The fragment of one rendition; `offset` turns media time into time of the segments.
fn media(
    init: &Arc<Init>,
    samples: &[Sample],
    end: i64,
    offset: i64,
    sequence: u32,
) -> Result<Media, BoxError> {
    let scale = i128::from(init.format.timescale);
    // Ticks are rounded from absolute times, so that durations add up without drift.
    let ticks = |time: i64| {
        ((i128::from((time + offset).max(0)) * scale + 500_000_000) / 1_000_000_000) as i64
    };
    let mut fragment = Vec::with_capacity(samples.len());
    for (number, sample) in samples.iter().enumerate() {
        let next = samples.get(number + 1).map_or(end, |next| next.dts);
        let decode = ticks(sample.dts);
        fragment.push(FragmentSample {
            duration: u32::try_from(ticks(next) - decode).unwrap_or(0),
            composition_offset: i32::try_from(ticks(sample.pts) - decode).unwrap_or(0),
            keyframe: sample.keyframe,
            data: sample.data.clone(),
        });
    }
    let start = samples.first().map_or(end, |first| first.dts);
    let body = fmp4::fragment(sequence, ticks(start) as u64, &fragment)?;
    let duration = Duration::from_nanos((end - start).max(0) as u64);
    Ok(Media {
        init: Arc::clone(init),
        body,
        duration,
        samples: samples.len(),
    })
}
