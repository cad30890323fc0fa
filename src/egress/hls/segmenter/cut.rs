//! Where a segment ends.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Epoch, Init, KeyframeWish, Sample, Segmenter, VIDEO_WAIT};
use crate::egress::hls::timeline::Walls;
use crate::rtp::MediaKind;

/// The end of the open segment.
pub(super) enum Cut {
    /// Not yet.
    No,
    /// A keyframe should have come.
    Overdue,
    /// Before the video sample `count`, at the wall-clock time `time`; `last` of its epoch.
    At { count: usize, time: i64, last: bool },
}

impl Segmenter {
    /// Where the open segment of an epoch with video ends.
    pub(super) fn video_cut(&self, epoch: &Epoch) -> Cut {
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
    pub(super) fn audio_cut(&self, epoch: &Epoch) -> Cut {
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
    pub(super) fn frame_duration(&self) -> i64 {
        let mut newest = self.video.iter().rev().map(|sample| sample.dts);
        match (newest.next(), newest.next()) {
            (Some(last), Some(before)) => last - before,
            _ => DEFAULT_FRAME,
        }
    }

    pub(super) fn must_restart(&self) -> bool {
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
            || (self.walls.reported && differ(&self.walls, &epoch.walls))
    }
}

/// How much earlier than its target a segment may end.
const EARLY: i64 = 100_000_000;
/// How long before its end a keyframe is asked for; it may come at once.
const NOTICE: i64 = 300_000_000;
/// How far audio may be behind the video before the video goes on without.
const AUDIO_WAIT: i64 = 500_000_000;
/// A segment without a further keyframe ends here, so that memory stays bounded.
const LONGEST: i64 = 15_000_000_000;
const LARGEST: usize = 32 << 20;
/// A change of the alignment that a viewer notices.
const AUDIBLE: u64 = 60_000_000;
/// The length of a picture when there is just one.
const DEFAULT_FRAME: i64 = 33_333_333;

/// Whether two alignments of the tracks differ so that a viewer notices.
pub(super) fn differ(one: &Walls, other: &Walls) -> bool {
    skew(one).abs_diff(skew(other)) > AUDIBLE
}

fn skew(walls: &Walls) -> i64 {
    walls
        .video
        .zip(walls.audio)
        .map_or(0, |(video, audio)| audio - video)
}
