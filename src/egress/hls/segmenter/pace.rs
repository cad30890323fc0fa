//! How long parts are and how soon they follow each other.
//!
//! Between 85 and 100 % of the part target is allowed, and less for the last part of a segment only. Parts that are all as
//! long as they may be leave any rest to the last one: of a segment of 1.77 s a fourth part of 0.27 s, within which
//! each player has to fetch it and ask for the next. So they are as long as each other, where it is known how long the segment
//! is going to be; and a last part that is short all the same is kept back for a moment.

use super::epoch::Epoch;
use super::line::{Joined, Line};
use crate::rtp::MediaKind;

impl Line {
    /// How long the open part should become at most (ns), where none may be longer than `target`.
    pub(super) fn goal(&self, epoch: &Epoch, target: i64) -> i64 {
        let Some(joined) = &self.joined else {
            return target;
        };
        let expected = epoch.span(joined.segment).map_or(0, |span| span.expected);
        // Sound has a frame more or less than the pictures that it is cut with.
        let slack = match self.id.kind() {
            MediaKind::Video => 0,
            MediaKind::Audio => self.frame,
        };
        let count = count(expected - slack, target, self.frame);
        even(expected, count, target, joined.place(), self.frame)
    }

    /// Whether the open part, the last of its segment, would come too soon after the one before, by the time of the media, and
    /// more media comes. `target` is the part target.
    pub(super) fn is_hasty(&self, epoch: &Epoch, target: i64) -> bool {
        let Some(joined) = self.joined.as_ref().filter(|joined| joined.parts > 0) else {
            return false;
        };
        if self.leaving || epoch.closing {
            return false;
        }
        let open = self.open_duration();
        let known = self.newest.map_or(i64::MAX, |newest| newest - joined.start);
        open > 0 && known.max(open) < target.min(SOONEST)
    }
}

impl Joined {
    fn place(&self) -> Place {
        Place {
            number: self.parts as i64,
            start: self.start - self.begun,
        }
    }
}

/// Which part of its segment, and where it begins in it (ns).
#[derive(Clone, Copy, Debug)]
struct Place {
    number: i64,
    start: i64,
}

/// The least a part lasts that is not the last one of its segment.
pub(in crate::egress::hls) fn least(target: i64) -> i64 {
    target - target * 15 / 100
}

/// How many parts of whole frames a segment of this length has at least.
fn count(expected: i64, target: i64, frame: i64) -> i64 {
    let frame = frame.max(1);
    let most = ((target + ROUNDING) / frame * frame).clamp(1, target.max(1));
    (expected - ROUNDING).max(0) / most + 1
}

/// How long a part should be, so that the `count` of a segment that lasts `expected` are as even as they can be, of whole
/// frames. The last may be as long as any, should the segment turn out to be longer.
fn even(expected: i64, count: i64, target: i64, place: Place, frame: i64) -> i64 {
    if place.number + 1 >= count {
        return target;
    }
    let end = expected * (place.number + 1) / count;
    (end - place.start + frame / 2).clamp(least(target), target)
}

/// Lengths add up to a segment that is longer by so much because timestamps are rounded.
const ROUNDING: i64 = 1_000_000;

/// A last part follows the one before after a part target, or this (ns), by the time of the media. hls.js 1.7.4 takes a segment
/// for loaded that is in its buffer but for 200 ms: if the rest is listed before the part ahead of it is in the buffer, it is never
/// loaded, and playback stands still for seconds. The part after it is hardly late by that, as it is about as long itself.
const SOONEST: i64 = 300_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: i64 = 1_000_000_000 / 30;

    /// The lengths of the parts of at most `target` of a segment that has `frames` and was expected to have others.
    fn lengths_of(frame: i64, expected: i64, target: i64, frames: i64) -> Vec<i64> {
        let (mut lengths, mut start) = (Vec::new(), 0);
        let count = count(expected * frame, target, frame);
        while start < frames {
            let place = Place {
                number: lengths.len() as i64,
                start: start * frame,
            };
            let goal = even(expected * frame, count, target, place, frame);
            let whole = (goal + ROUNDING) / frame;
            let enough = (least(target) + frame - 1) / frame;
            let length = whole.max(enough).min(frames - start);
            lengths.push(length);
            start += length;
        }
        lengths
    }

    fn lengths(expected: i64, most: i64, frames: i64) -> Vec<i64> {
        lengths_of(FRAME, expected, most * FRAME, frames)
    }

    #[test]
    fn parts_of_a_segment_are_as_long_as_each_other() {
        assert_eq!(lengths(60, 15, 60), [15, 15, 15, 15]);
        assert_eq!(lengths(53, 15, 53), [13, 14, 13, 13]);
        assert_eq!(lengths(50, 13, 50), [13, 12, 13, 12]);
        assert_eq!(lengths(250, 15, 250).len(), 17);
        assert!(lengths(250, 15, 250).iter().all(|length| *length >= 14));
    }

    #[test]
    fn a_segment_may_turn_out_to_be_another() {
        assert_eq!(lengths(53, 15, 55), [13, 14, 13, 15]);
        assert_eq!(lengths(53, 15, 60), [13, 14, 13, 15, 5]);
        assert_eq!(lengths(53, 15, 45), [13, 14, 13, 5]);
        assert_eq!(lengths(0, 15, 50), [15, 15, 15, 5]);
    }

    #[test]
    fn no_part_is_shorter_than_is_allowed() {
        // Five frames would be 83 % of six.
        assert_eq!(lengths(53, 6, 53), [6, 6, 6, 6, 6, 6, 6, 6, 5]);
        assert_eq!(lengths(46, 15, 46), [13, 13, 13, 7]);
    }

    #[test]
    fn frames_of_another_length_are_counted_by_what_fits() {
        const AAC: i64 = 21_333_333;
        assert_eq!(
            lengths_of(AAC, 94, 500_000_000, 94),
            [20, 20, 20, 20, 14],
            "23 of them fit"
        );
        assert_eq!(lengths_of(AAC, 94, 500_000_000, 83), [20, 20, 20, 20, 3]);
        assert!(
            lengths_of(AAC, 94, 200_000_000, 94)
                .iter()
                .all(|length| *length >= 6)
        );
    }
}
