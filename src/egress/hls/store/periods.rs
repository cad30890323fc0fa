//! The periods of a stream's DASH manifest: what stays the same in each, decided once and then kept, as
//! players rely on it.
//!
//! A period begins with an epoch of the segmenter, with another set of renditions, and where the way to
//! number segments changes: by the clock while they are all as long as each other, else by a list.

use std::collections::VecDeque;

use crate::egress::hls::rendition::RenditionId;
use crate::egress::hls::segmenter::Begin;
use crate::rtp::MediaKind;

/// The periods of the segments that are kept, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Periods {
    list: VecDeque<Period>,
    /// The newest segments of this epoch, each with the media time that it begins at.
    begins: VecDeque<(u64, i64)>,
    /// The first segment of this epoch.
    epoch: u64,
}

/// A time in which renditions and numbering stay the same.
#[derive(Clone, Debug)]
pub(super) struct Period {
    /// Its first segment.
    pub(super) first: u64,
    /// Where it begins (ns since 1970). Periods don't overlap, whatever a publisher's clock does.
    pub(super) start: i64,
    /// The same in media time.
    pub(super) media: i64,
    /// Where its last segment ends in media time, when nothing follows at once.
    pub(super) end: Option<i64>,
    /// It goes on where the one before ends.
    pub(super) continuous: bool,
    /// The length that all segments have, if they do (ns).
    pub(super) steady: Option<i64>,
    /// The number of the init segment of each rendition that it has.
    pub(super) inits: Inits,
}

/// By [`RenditionId::index`].
pub(super) type Inits = [Option<u64>; RenditionId::COUNT];

/// A segment that begins.
#[derive(Debug)]
pub(super) struct NewSegment {
    pub(super) number: u64,
    pub(super) begin: Begin,
    pub(super) discontinuity: bool,
    /// Where the segments before it end, in media time.
    pub(super) end: Option<i64>,
    /// Nobody has seen the manifest yet.
    pub(super) unseen: bool,
}

impl Periods {
    /// A segment begins; `newest` says of each rendition the number of its newest segment and of the init
    /// segment of that.
    pub(super) fn handle_segment(
        &mut self,
        new: &NewSegment,
        newest: [Option<(u64, u64)>; RenditionId::COUNT],
    ) {
        let (number, media) = (new.number, new.begin.media);
        if new.discontinuity || self.list.is_empty() {
            self.close(new.end);
            self.begins.clear();
            self.epoch = number;
            let earliest = self.list.back().map_or(i64::MIN, Period::least_end);
            self.list.push_back(Period {
                first: number,
                start: new.begin.wall.max(earliest),
                media,
                end: None,
                continuous: false,
                steady: None,
                inits: [None; RenditionId::COUNT],
            });
        }
        self.begins.push_back((number, media));
        if self.begins.len() > REMEMBERED {
            self.begins.pop_front();
        }
        let epoch = self.epoch;
        // A rendition is there while it has one of the last two segments.
        let inits = newest.map(|newest| {
            let current = newest.filter(|(last, _)| *last >= epoch && last + 2 >= number);
            current.map(|(_, init)| init)
        });
        let steady = self.steady();
        let Some(period) = self.list.back_mut().filter(|period| period.first < number) else {
            return;
        };
        let fits = |steady, first, start| {
            let mut begins = self.begins.iter().filter(|(number, _)| *number >= first);
            begins.all(|(number, media)| is_near(steady, *number - first, media - start))
        };
        let goes_on = match period.steady {
            Some(steady) => is_near(steady, number - period.first, media - period.media),
            None => steady.is_none(),
        };
        let same = period.inits == inits;
        if goes_on && same {
            return;
        }
        if new.unseen && same && steady.is_some_and(|it| fits(it, period.first, period.media)) {
            period.steady = steady;
            return;
        }
        let next = Period {
            first: number,
            start: period.start + (media - period.media),
            media,
            end: None,
            continuous: true,
            steady: period.steady.filter(|_| goes_on).or(steady),
            inits,
        };
        self.list.push_back(next);
    }

    /// A part of a segment of a rendition has come.
    pub(super) fn handle_part(&mut self, rendition: RenditionId, number: u64, init: u64) {
        // What a new epoch has is known once it has brought its first segment, or what there was before.
        let settled =
            self.newest() > Some(number) || self.shown().any(|(it, _)| it.first == number);
        if let Some(period) = self.list.back_mut()
            && !period.continuous
            && number == period.first
            && !settled
        {
            period.inits[rendition.index()] = Some(init);
        }
    }

    /// Nothing follows at once: the segments end at `end`, in media time.
    pub(super) fn close(&mut self, end: Option<i64>) {
        if let Some(last) = self.list.back_mut() {
            last.end = last.end.or(end);
        }
    }

    /// Forgets what has no segment from `number` on.
    pub(super) fn drop_before(&mut self, number: u64) {
        while self.list.get(1).is_some_and(|next| next.first <= number) {
            self.list.pop_front();
        }
    }

    /// Those that can be shown, one of a new epoch once its renditions are known; with each the first
    /// segment that is not of it, where that is known.
    pub(super) fn shown(&self) -> impl Iterator<Item = (&Period, Option<u64>)> {
        let begun = self.newest();
        let befores = std::iter::once(None).chain(self.list.iter().map(Some));
        let nexts = self.list.iter().skip(1).map(|next| Some(next.first));
        let all = self.list.iter().zip(befores).zip(nexts.chain([None]));
        all.filter_map(move |((period, before), next)| {
            let complete = before.is_some_and(|before| period.has_all_of(before));
            let over = period.end.is_some() || begun > Some(period.first);
            (complete || over || period.continuous).then_some((period, next))
        })
    }

    /// The newest segment.
    fn newest(&self) -> Option<u64> {
        self.begins.back().map(|(number, _)| *number)
    }

    /// The length of the newest segments, in whole milliseconds, when it is that of each of them.
    fn steady(&self) -> Option<i64> {
        let pairs = self.begins.iter().zip(self.begins.iter().skip(1));
        let newest: Vec<_> = pairs
            .rev()
            .map_while(|(one, next)| (one.0 + 1 == next.0).then_some(next.1 - one.1))
            .collect();
        let count = i64::try_from(newest.len())
            .ok()
            .filter(|count| *count >= STEADY)?;
        let mean = newest.iter().sum::<i64>() / count;
        let regular = newest.iter().all(|length| (length - mean).abs() <= JITTER);
        (regular && mean > 0).then_some((mean + MILLI / 2) / MILLI * MILLI)
    }
}

impl Period {
    /// It is at least so long.
    fn least_end(&self) -> i64 {
        self.start + self.end.map_or(0, |end| (end - self.media).max(0))
    }

    /// Whether it has sound and pictures, and all renditions of another.
    fn has_all_of(&self, before: &Self) -> bool {
        let mut pairs = before.inits.iter().zip(&self.inits);
        let has = |kind| {
            let mut all = RenditionId::all();
            all.any(|id| id.kind() == kind && self.inits[id.index()].is_some())
        };
        pairs.all(|(before, now)| before.is_none() || now.is_some())
            && has(MediaKind::Video)
            && has(MediaKind::Audio)
    }

    /// How long it lasts, where that is known.
    pub(super) fn duration(&self) -> Option<i64> {
        self.end.map(|end| (end - self.media).max(0))
    }
}

/// Whether a segment begins where the clock says, `count` segments after the first.
fn is_near(steady: i64, count: u64, elapsed: i64) -> bool {
    let expected = i128::from(steady) * i128::from(count);
    (i128::from(elapsed) - expected).abs() <= i128::from(DRIFT)
}

const MILLI: i64 = 1_000_000;
/// So many segments of one length promise more of it.
const STEADY: i64 = 3;
/// Lengths that differ by no more from their mean (ns) are the same.
const JITTER: i64 = 100 * MILLI;
/// By so much (ns) a segment may begin at another time than the clock says. It is what a player may be
/// late by, or what it waits at the server.
const DRIFT: i64 = 250 * MILLI;
/// Segments whose lengths are looked at.
const REMEMBERED: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: i64 = 1_750_000_000_000 * MILLI;

    /// Segments that begin at these times (ms), with one rendition.
    struct Show {
        periods: Periods,
        last: Option<(u64, u64)>,
        unseen: bool,
    }

    impl Show {
        fn new() -> Self {
            Self {
                periods: Periods::default(),
                last: None,
                unseen: false,
            }
        }

        fn segment(&mut self, number: u64, at: i64, discontinuity: bool) {
            let mut newest = [None; RenditionId::COUNT];
            newest[0] = self.last;
            let new = NewSegment {
                number,
                begin: Begin {
                    wall: WALL + at * MILLI,
                    media: at * MILLI,
                },
                discontinuity,
                end: Some(at * MILLI - 500 * MILLI),
                unseen: self.unseen,
            };
            self.periods.handle_segment(&new, newest);
            let init = match self.last {
                Some((_, init)) if !discontinuity => init,
                _ => number,
            };
            self.last = Some((number, init));
            self.periods
                .handle_part(RenditionId::Video(0), number, init);
        }

        fn all(&self) -> Vec<(u64, Option<i64>)> {
            let list = self.periods.list.iter();
            list.map(|period| (period.first, period.steady.map(|it| it / MILLI)))
                .collect()
        }
    }

    #[test]
    fn steady_segments_are_numbered_by_the_clock() {
        let mut show = Show::new();
        for number in 0..8 {
            show.segment(number, number as i64 * 2000, false);
        }
        assert_eq!(show.all(), [(0, None), (3, Some(2000))]);
        assert_eq!(show.periods.list[1].start, WALL + 6000 * MILLI);
        let mut unseen = Show {
            unseen: true,
            ..Show::new()
        };
        for number in 0..8 {
            unseen.segment(number, number as i64 * 2000, false);
        }
        assert_eq!(unseen.all(), [(0, Some(2000))]);
    }

    #[test]
    fn segments_of_other_lengths_are_listed_from_there_on() {
        let mut show = Show {
            unseen: true,
            ..Show::new()
        };
        for number in 0..5 {
            show.segment(number, number as i64 * 2000, false);
        }
        show.unseen = false;
        for (number, at) in [(5, 10_000), (6, 12_400), (7, 13_000), (8, 15_000)] {
            show.segment(number, at, false);
        }
        assert_eq!(show.all(), [(0, Some(2000)), (6, None)]);
        // They are of one length again.
        for (number, at) in [(9, 17_000), (10, 19_000)] {
            show.segment(number, at, false);
        }
        show.segment(11, 21_000, false);
        assert_eq!(show.all()[1..], [(6, None)]);
    }

    #[test]
    fn small_differences_add_up_to_a_new_period() {
        let mut show = Show {
            unseen: true,
            ..Show::new()
        };
        for number in 0..4 {
            show.segment(number, number as i64 * 2000, false);
        }
        show.unseen = false;
        let mut at = 6000;
        for number in 4..40 {
            at += 2020;
            show.segment(number, at, false);
        }
        let all = show.all();
        assert!(all.len() > 1 && all.len() < 5, "{all:?}");
        assert!(all.iter().all(|(_, steady)| steady.is_some()), "{all:?}");
        for pair in show.periods.list.make_contiguous().windows(2) {
            assert_eq!(pair[1].start - pair[0].start, pair[1].media - pair[0].media);
        }
    }

    #[test]
    fn an_epoch_is_shown_once_its_renditions_are_known_and_never_before_the_last_one() {
        let mut show = Show::new();
        for number in 0..3 {
            show.segment(number, number as i64 * 2000, false);
        }
        let new = NewSegment {
            number: 3,
            // The next publisher's clock is behind.
            begin: Begin {
                wall: WALL,
                media: 60_000 * MILLI,
            },
            discontinuity: true,
            end: Some(6000 * MILLI),
            unseen: false,
        };
        let mut newest = [None; RenditionId::COUNT];
        newest[0] = show.last;
        show.periods.handle_segment(&new, newest);
        assert_eq!(show.periods.shown().count(), 1);
        show.periods.handle_part(RenditionId::Video(0), 3, 3);
        assert_eq!(show.periods.shown().count(), 1);
        show.periods.handle_part(RenditionId::Audio, 3, 3);
        // It is what players know now.
        show.periods.handle_part(RenditionId::Video(1), 3, 3);
        let shown: Vec<_> = show.periods.shown().map(|(period, _)| period).collect();
        assert_eq!(shown[1].inits[1], None);
        assert_eq!(shown[0].duration(), Some(6000 * MILLI));
        assert_eq!(shown[1].start, WALL + 6000 * MILLI);
        show.periods.drop_before(3);
        assert_eq!(show.all(), [(3, None)]);
    }

    #[test]
    fn a_rendition_that_joins_or_leaves_begins_a_period() {
        let mut show = Show::new();
        show.segment(0, 0, false);
        show.segment(1, 2000, false);
        let mut newest = [None; RenditionId::COUNT];
        let mut inits = Vec::new();
        for number in 2..7 {
            newest[0] = Some((number - 1, 0));
            // A second layer has segments 1 and 2 only.
            newest[1] = Some((number.min(3) - 1, 1));
            let at = number as i64 * 2000 * MILLI;
            let new = NewSegment {
                number,
                begin: Begin {
                    wall: WALL + at,
                    media: at,
                },
                discontinuity: false,
                end: None,
                unseen: false,
            };
            show.periods.handle_segment(&new, newest);
            let last = show.periods.list.back().unwrap();
            inits.push((last.first, last.inits[1]));
        }
        let with = Some(1);
        let expected = [(2, with), (3, with), (3, with), (5, None), (5, None)];
        assert_eq!(inits, expected);
    }
}
