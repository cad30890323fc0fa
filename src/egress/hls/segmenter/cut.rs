//! Where segments end: the one decision for all renditions.

use std::sync::Arc;

use super::epoch::{End, Epoch, Span};
use super::line::Line;
use super::{KeyframeWish, Segmenter, SegmenterSettings};
use crate::egress::hls::rendition::RenditionId;
use crate::egress::hls::timeline::Walls;
use crate::rtp::MediaKind;

impl Segmenter {
    /// Places what is new of the leader up to the next cut. Before a cut, and after it, the renditions go
    /// as far as they can: whether there is more to decide then.
    pub(super) fn decide(&mut self) -> bool {
        let Some(epoch) = self.epoch.as_ref().filter(|epoch| !epoch.closing) else {
            return false;
        };
        match epoch.leader.kind() {
            MediaKind::Video => self.decide_by_pictures(),
            MediaKind::Audio => {
                self.decide_by_sound();
                false
            }
        }
    }

    fn decide_by_pictures(&mut self) -> bool {
        let mut placed = 0;
        while let Some(epoch) = &self.epoch {
            let (Some(line), Some(span)) = (self.line(epoch.leader), epoch.spans.back()) else {
                return false;
            };
            let Some(sample) = line.queue.get(epoch.placed) else {
                break;
            };
            let wall = epoch.wall(line.id);
            let age = sample.dts - span.dts;
            let (dts, time) = (sample.dts, sample.pts + wall);
            let limit = self.limit();
            if age > limit {
                // The picture before would last too long: the time between is nobody's.
                let before = line.newest_before(epoch.placed);
                let dts = (before + line.length_before(epoch.placed)).min(sample.dts);
                let time = (dts + wall).min(span.start + limit);
                self.close(End { time, dts });
                return true;
            }
            let format = line.joined.as_ref().map(|joined| &joined.init.format);
            let changed = format.is_some_and(|format| !Arc::ptr_eq(format, &sample.format));
            let target = self.settings.target.as_nanos() as i64;
            let requested = self.keyframe == KeyframeWish::Told;
            let due = age >= target - EARLY || (requested && age >= target - NOTICE) || changed;
            let forced = age + line.length_before(epoch.placed) > limit;
            if (sample.keyframe && due) || forced {
                if placed > 0 {
                    return true;
                }
                let end = End { time, dts };
                if changed || self.must_restart(epoch) {
                    self.close(end);
                    return true;
                }
                self.next_span(end);
            } else if age >= target - NOTICE {
                self.wish_keyframe();
            }
            if let Some(epoch) = &mut self.epoch {
                epoch.placed += 1;
                epoch.frontier = dts + wall;
            }
            placed += 1;
        }
        self.close_if_stalled();
        false
    }

    /// The leader has no more for now: if it is over, so is its epoch.
    fn close_if_stalled(&mut self) {
        let Some(epoch) = &self.epoch else {
            return;
        };
        let Some(line) = self.line(epoch.leader) else {
            return;
        };
        let (wall, before) = (epoch.wall(line.id), line.newest_before(epoch.placed));
        let dts = before + line.length_before(epoch.placed);
        let stalled = self.horizon() - (dts + wall) > VIDEO_WAIT;
        if !(self.ending || stalled) {
            return;
        }
        let start = epoch.spans.back().map_or(dts + wall, |span| span.start);
        let time = (dts + wall).min(start + self.limit());
        self.close(End { time, dts });
    }

    /// Without pictures segments end by the clock of the sound.
    fn decide_by_sound(&mut self) {
        loop {
            let Some(epoch) = &self.epoch else {
                return;
            };
            let (Some(line), Some(span)) = (self.line(epoch.leader), epoch.spans.back()) else {
                return;
            };
            let wall = epoch.wall(line.id);
            let (joined, newest) = (line.joined.as_ref(), line.newest);
            let taken = joined.map_or(span.start, |joined| joined.end + wall);
            let reached = newest.map_or(taken, |newest| newest + wall);
            let Some(end) = span.end else {
                return;
            };
            let picture = self.first_picture();
            let other = joined.and_then(|joined| {
                let is_other =
                    |sample: &&super::Sample| !Arc::ptr_eq(&sample.format, &joined.init.format);
                line.queue
                    .iter()
                    .find(is_other)
                    .map(|sample| sample.pts + wall)
            });
            let restart = picture.or(other);
            if let Some(time) = restart.filter(|time| *time < end.time || reached >= end.time) {
                // The picture may be dated by other reports than the epoch; its place is good enough.
                let time = time.clamp(taken.max(span.start), end.time.max(taken));
                return self.close(End { time, dts: 0 });
            }
            if reached >= end.time {
                let again = End {
                    time: end.time,
                    dts: 0,
                };
                if self.must_restart(epoch) {
                    return self.close(again);
                }
                self.next_span(again);
                continue;
            }
            if self.ending {
                let last = line
                    .queue
                    .back()
                    .map(|last| last.pts + last.duration + wall);
                return self.close(End {
                    time: last.unwrap_or(taken),
                    dts: 0,
                });
            }
            return;
        }
    }

    /// When the first picture that may lead is shown.
    fn first_picture(&self) -> Option<i64> {
        let lines = self
            .lines
            .iter()
            .filter(|line| line.id.kind() == MediaKind::Video);
        let first = |line: &Line| Some(line.queue.front()?.pts + self.walls.get(line.id)?);
        lines.filter_map(first).min()
    }

    /// Ends the open segment, and with it the epoch.
    fn close(&mut self, end: End) {
        if let Some(epoch) = &mut self.epoch {
            epoch.closing = true;
        }
        self.end_span(end);
    }

    fn next_span(&mut self, end: End) {
        let length = self.end_span(end);
        let number = self.number;
        self.number += 1;
        let target = self.settings.target.as_nanos() as i64;
        if let Some(epoch) = &mut self.epoch {
            epoch.correct(&self.walls, self.terms.target_duration.is_some());
            epoch.push_span(number, end, target, length.unwrap_or(target));
        }
        self.keyframe = KeyframeWish::None;
    }

    /// Ends the open segment; how long it is (ns).
    fn end_span(&mut self, end: End) -> Option<i64> {
        let epoch = self.epoch.as_mut()?;
        let span = epoch.spans.back_mut()?;
        span.end = Some(end);
        self.end = self.end.max(end.time - epoch.zero);
        let length = end.time - span.start;
        self.measure(length);
        Some(length)
    }

    /// Whether the next segment must begin an epoch.
    fn must_restart(&self, epoch: &Epoch) -> bool {
        let appeared = |line: &Line| {
            line.id == RenditionId::Audio && line.joined.is_none() && !line.queue.is_empty()
        };
        let changed = |line: &Line| {
            // A layer that leaves before it comes back in another format is not in a segment with both.
            if line.leaving && line.id.kind() == MediaKind::Video {
                return false;
            }
            let pair = line.joined.as_ref().zip(line.queue.back());
            pair.is_some_and(|(joined, newest)| !Arc::ptr_eq(&joined.init.format, &newest.format))
                && line.id != epoch.leader
        };
        self.lines
            .iter()
            .any(|line| appeared(line) || changed(line))
            || (self.walls.reported && differ(&self.walls, &epoch.walls))
    }

    /// The newest instant that any rendition has reached (wall-clock time).
    pub(super) fn horizon(&self) -> i64 {
        let Some(epoch) = &self.epoch else {
            return i64::MIN;
        };
        let reached = |line: &Line| Some(line.newest? + epoch.wall(line.id));
        self.lines
            .iter()
            .filter_map(reached)
            .max()
            .unwrap_or(i64::MIN)
    }
}

impl Epoch {
    /// Opens a segment that is likely to be as long as `expected`. Where sound leads its end is known.
    pub(super) fn push_span(&mut self, number: u64, begin: End, target: i64, expected: i64) {
        let end = (self.leader.kind() == MediaKind::Audio).then_some(End {
            time: begin.time + target,
            dts: 0,
        });
        self.spans.push_back(Span {
            number,
            start: begin.time,
            dts: begin.dts,
            since: self.correction.since,
            expected,
            end,
        });
    }
}

impl Line {
    /// Decode time of the sample before number `index` of the queue.
    fn newest_before(&self, index: usize) -> i64 {
        let waiting = index.checked_sub(1).and_then(|index| self.queue.get(index));
        let taken = self.joined.as_ref().map(|joined| joined.end - self.frame);
        waiting.map(|sample| sample.dts).or(taken).unwrap_or(0)
    }

    /// How long the sample before number `index` is likely to last: as long as the one before it.
    fn length_before(&self, index: usize) -> i64 {
        let pair = index.checked_sub(2).map(|first| (first, index - 1));
        let waiting = pair.and_then(|(a, b)| Some(self.queue.get(b)?.dts - self.queue.get(a)?.dts));
        waiting.unwrap_or(self.frame)
    }
}

/// No keyframe ends a segment that is shorter (ns).
pub(super) fn shortest(settings: &SegmenterSettings) -> i64 {
    settings.target.as_nanos() as i64 - NOTICE
}

/// How much earlier than its target a segment may end.
const EARLY: i64 = 100_000_000;
/// How long before its end a keyframe is asked for; it may come at once.
const NOTICE: i64 = 300_000_000;
/// A rendition that leads and is so far behind another has stopped.
pub(super) const VIDEO_WAIT: i64 = 3_000_000_000;
/// A change of the alignment that a viewer notices.
const AUDIBLE: u64 = 60_000_000;

/// Whether two alignments of the renditions differ so that a viewer notices.
pub(super) fn differ(one: &Walls, other: &Walls) -> bool {
    let reference =
        RenditionId::all().find(|id| one.get(*id).is_some() && other.get(*id).is_some());
    let Some(reference) = reference else {
        return false;
    };
    let skew = |walls: &Walls, id| Some(walls.get(id)? - walls.get(reference)?);
    RenditionId::all().any(|id| {
        let both = skew(one, id).zip(skew(other, id));
        both.is_some_and(|(one, other)| one.abs_diff(other) > AUDIBLE)
    })
}
