//! One continuous line of sequence numbers and timestamps per track, whatever its sources do.
//!
//! A *number* is the unwrapped sequence number of the source that sends now; it is what is missing,
//! asked for and reported. A *sequence* is what leaves the timeline. They differ by a shift that
//! changes when a source begins anew, or when a packet without media is taken out.

use std::collections::VecDeque;
use std::time::Instant;

use super::Reason;
use crate::rtp::sequence::Unwrapper;

/// The numbers behind the highest for which a duplicate can be told.
const WINDOW: u64 = 1024;

/// A packet farther away than this is no reordering and no loss (RFC 3550, appendix A.1). Within
/// [`WINDOW`].
const MAX_JUMP: u64 = 1000;

/// Changes of the shift that are remembered for late packets.
const MAX_SEGMENTS: usize = 8;

/// A timestamp this far from where the arrival times say is a new timeline of the source, in
/// seconds. Pauses and bursts of encoders stay below it.
const MAX_TIMESTAMP_JUMP: u64 = 10;

/// Places the packets of a track.
#[derive(Debug)]
pub(super) struct Timeline {
    clock_rate: u32,
    /// Of the source that sends now.
    unwrapper: Unwrapper,
    seen: Window,
    /// The source's numbers below are not told apart any more.
    floor: u64,
    /// The wire number that would confirm a jump.
    confirmation: Option<u16>,
    /// By their first number, oldest first. Empty before the first source.
    segments: VecDeque<Segment>,
    /// The newest packet, in terms of what left.
    anchor: Option<Anchor>,
}

/// How the numbers from `first` on are mapped.
#[derive(Clone, Copy, Debug)]
struct Segment {
    first: u64,
    shift: i64,
    timestamp_offset: u32,
}

#[derive(Clone, Copy, Debug)]
struct Anchor {
    timestamp: u32,
    arrived: Instant,
}

/// Where a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) number: u64,
    pub(super) order: Order,
}

/// A packet's place among those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The highest number so far; so many just below it have not come.
    Newest {
        /// 0 when it is the one that was expected.
        missing: u64,
    },
    /// It fills a gap.
    Late,
}

/// Why a packet has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Displaced {
    /// Drop it.
    Drop(Reason),
    /// The second of two consecutive numbers far away: the source jumped. [`Timeline::begin`] here.
    Jumped,
}

impl Timeline {
    pub(super) fn new(clock_rate: u32) -> Self {
        Self {
            clock_rate,
            unwrapper: Unwrapper::default(),
            seen: Window::default(),
            floor: 0,
            confirmation: None,
            segments: VecDeque::with_capacity(MAX_SEGMENTS + 1),
            anchor: None,
        }
    }

    /// A source begins with this packet: the sequence goes on by one, the timestamp by the time
    /// that passed since the newest packet.
    pub(super) fn begin(&mut self, now: Instant, sequence_number: u16, timestamp: u32) -> Place {
        let next = self.next_sequence();
        let timestamp_offset = self.offset_by_arrival(now, timestamp);
        self.unwrapper = Unwrapper::default();
        self.seen = Window::default();
        self.confirmation = None;
        self.segments.clear();
        let number = self.unwrapper.unwrap(sequence_number);
        self.seen.advance(None, number);
        // Before a source that replaced another there is no room; before the very first there is.
        self.floor = if next.is_some() { number } else { 0 };
        self.segments.push_back(Segment {
            first: self.floor,
            shift: next.map_or(0, |next| next.wrapping_sub(number) as i64),
            timestamp_offset,
        });
        Place {
            number,
            order: Order::Newest { missing: 0 },
        }
    }

    /// The place of a packet that came from the source itself, which may have jumped.
    pub(super) fn place(&mut self, sequence_number: u16) -> Result<Place, Displaced> {
        if self.is_far(sequence_number) {
            if self.confirmation == Some(sequence_number) {
                return Err(Displaced::Jumped);
            }
            self.confirmation = Some(sequence_number.wrapping_add(1));
            return Err(Displaced::Drop(Reason::Jump));
        }
        self.confirmation = None;
        self.place_near(sequence_number)
    }

    /// The place of a packet that a retransmission names by its original number.
    pub(super) fn place_repair(&mut self, original: u16) -> Result<Place, Displaced> {
        if self.is_far(original) {
            return Err(Displaced::Drop(Reason::TooOld));
        }
        self.place_near(original)
    }

    fn place_near(&mut self, sequence_number: u16) -> Result<Place, Displaced> {
        let highest = self.unwrapper.highest();
        let number = self.unwrapper.unwrap(sequence_number);
        if number < self.floor {
            return Err(Displaced::Drop(Reason::TooOld));
        }
        match highest {
            Some(highest) if number <= highest => {
                if self.seen.insert(number) {
                    let order = Order::Late;
                    Ok(Place { number, order })
                } else {
                    Err(Displaced::Drop(Reason::Duplicate))
                }
            }
            _ => {
                self.seen.advance(highest, number);
                let missing = highest.map_or(0, |highest| number - highest - 1);
                let order = Order::Newest { missing };
                Ok(Place { number, order })
            }
        }
    }

    fn is_far(&self, sequence_number: u16) -> bool {
        let number = self.unwrapper.peek(sequence_number);
        self.unwrapper
            .highest()
            .is_some_and(|highest| highest.abs_diff(number) > MAX_JUMP)
    }

    /// Follows the timestamp of the newest packet. One that is out of step with the time of arrival
    /// is brought back into step from this packet on.
    pub(super) fn follow(&mut self, now: Instant, number: u64, timestamp: u32) {
        let offset = self.timestamp_offset();
        let mut mapped = timestamp.wrapping_add(offset);
        if let Some(expected) = self.expected_timestamp(now) {
            let off = u64::from((mapped.wrapping_sub(expected) as i32).unsigned_abs());
            if off > MAX_TIMESTAMP_JUMP * u64::from(self.clock_rate) {
                let timestamp_offset = self.offset_by_arrival(now, timestamp);
                mapped = timestamp.wrapping_add(timestamp_offset);
                self.change(number, number, |segment| {
                    segment.timestamp_offset = timestamp_offset;
                });
            }
        }
        self.anchor = Some(Anchor {
            timestamp: mapped,
            arrived: now,
        });
    }

    /// Takes a packet without media out of the line, so that no gap is seen. Only the newest can be:
    /// when a later one has left, its place is known to everybody.
    pub(super) fn take_out(&mut self, number: u64) -> bool {
        if self.unwrapper.highest() != Some(number) {
            return false;
        }
        self.change(number, number + 1, |segment| segment.shift -= 1);
        true
    }

    /// The sequence and the timestamp that a packet leaves with; none when that is not known any more.
    pub(super) fn map(&self, number: u64, timestamp: u32) -> Option<(u64, u32)> {
        let segment = self
            .segments
            .iter()
            .rev()
            .find(|segment| segment.first <= number)?;
        Some((
            number.wrapping_add_signed(segment.shift),
            timestamp.wrapping_add(segment.timestamp_offset),
        ))
    }

    /// What to add to the source's timestamps now.
    pub(super) fn timestamp_offset(&self) -> u32 {
        self.segments
            .back()
            .map_or(0, |segment| segment.timestamp_offset)
    }

    /// Maps the numbers from `first` on in another way than those before, because of packet `number`.
    fn change(&mut self, number: u64, first: u64, change: impl FnOnce(&mut Segment)) {
        let Some(mut segment) = self.segments.back().copied() else {
            return;
        };
        // Nothing else was or will be mapped by a segment that this very packet began.
        if segment.first == number {
            self.segments.pop_back();
        }
        segment.first = first;
        change(&mut segment);
        self.segments.push_back(segment);
        if self.segments.len() > MAX_SEGMENTS {
            self.segments.pop_front();
            if let Some(oldest) = self.segments.front() {
                self.floor = oldest.first;
            }
        }
    }

    fn next_sequence(&self) -> Option<u64> {
        let shift = self.segments.back()?.shift;
        Some((self.unwrapper.highest()? + 1).wrapping_add_signed(shift))
    }

    fn expected_timestamp(&self, now: Instant) -> Option<u32> {
        let anchor = self.anchor?;
        let elapsed = now.saturating_duration_since(anchor.arrived).as_micros();
        let ticks = elapsed * u128::from(self.clock_rate) / 1_000_000;
        Some(anchor.timestamp.wrapping_add(ticks as u32))
    }

    /// The offset that lets `timestamp` follow the newest packet by the time that passed, and by one
    /// unit at least: two frames never share a timestamp.
    fn offset_by_arrival(&self, now: Instant, timestamp: u32) -> u32 {
        match (self.anchor, self.expected_timestamp(now)) {
            (Some(anchor), Some(expected)) => {
                let step = expected.wrapping_sub(anchor.timestamp).max(1);
                anchor.timestamp.wrapping_add(step).wrapping_sub(timestamp)
            }
            _ => 0,
        }
    }
}

/// Which of the last [`WINDOW`] numbers came.
#[derive(Debug, Default)]
struct Window {
    bits: [u64; (WINDOW / 64) as usize],
}

impl Window {
    /// Moves on from the highest number to a new one, which came.
    fn advance(&mut self, highest: Option<u64>, number: u64) {
        match highest {
            Some(highest) if number - highest < WINDOW => {
                for missing in highest + 1..number {
                    let (word, bit) = Self::position(missing);
                    self.bits[word] &= !bit;
                }
            }
            _ => self.bits.fill(0),
        }
        let (word, bit) = Self::position(number);
        self.bits[word] |= bit;
    }

    /// Remembers a number within the window; false when it came before.
    fn insert(&mut self, number: u64) -> bool {
        let (word, bit) = Self::position(number);
        let new = self.bits[word] & bit == 0;
        self.bits[word] |= bit;
        new
    }

    fn position(number: u64) -> (usize, u64) {
        let index = number % WINDOW;
        ((index / 64) as usize, 1 << (index % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn started() -> (Timeline, Instant) {
        let now = Instant::now();
        let mut timeline = Timeline::new(90_000);
        let place = timeline.begin(now, 100, 5_000);
        timeline.follow(now, place.number, 5_000);
        (timeline, now)
    }

    fn sequence(timeline: &Timeline, place: Place) -> u64 {
        timeline.map(place.number, 0).unwrap().0
    }

    #[test]
    fn gaps_late_packets_and_duplicates_are_told_apart() {
        let (mut timeline, _) = started();
        let place = timeline.place(103).unwrap();
        assert_eq!(place.order, Order::Newest { missing: 2 });
        assert_eq!(timeline.place(102).unwrap().order, Order::Late);
        assert_eq!(timeline.place(102), Err(Displaced::Drop(Reason::Duplicate)));
        assert_eq!(timeline.place(99).unwrap().number, 65_536 + 99);
    }

    #[test]
    fn the_window_forgets_what_it_moved_past() {
        let (mut timeline, _) = started();
        for number in 101..=100 + WINDOW as u16 {
            let _ = timeline.place(number).unwrap();
        }
        let _ = timeline.place(100 + WINDOW as u16 + 2).unwrap();
        assert_eq!(
            timeline.place(100 + WINDOW as u16 + 1).unwrap().order,
            Order::Late
        );
    }

    #[test]
    fn padding_is_taken_out_without_moving_late_packets() {
        let (mut timeline, _) = started();
        let after_gap = timeline.place(102).unwrap();
        let padding = timeline.place(103).unwrap();
        assert!(timeline.take_out(padding.number));
        let padding = timeline.place(104).unwrap();
        assert!(timeline.take_out(padding.number));
        let next = timeline.place(105).unwrap();
        let late = timeline.place(101).unwrap();
        let base = 65_536;
        assert_eq!(sequence(&timeline, after_gap), base + 102);
        assert_eq!(sequence(&timeline, late), base + 101);
        assert_eq!(sequence(&timeline, next), base + 103);
        assert_eq!(timeline.segments.len(), 2);
        assert!(!timeline.take_out(late.number));
    }

    #[test]
    fn segments_are_bounded_and_the_oldest_numbers_are_given_up() {
        let (mut timeline, _) = started();
        for pair in 0..50u16 {
            let padding = timeline.place(102 + 2 * pair).unwrap();
            assert!(timeline.take_out(padding.number));
        }
        assert_eq!(timeline.segments.len(), MAX_SEGMENTS);
        assert_eq!(timeline.place(101), Err(Displaced::Drop(Reason::TooOld)));
        assert!(timeline.place(199).is_ok());
    }

    #[test]
    fn a_lone_number_far_away_is_dropped_and_two_in_a_row_are_a_jump() {
        let (mut timeline, now) = started();
        assert_eq!(timeline.place(40_000), Err(Displaced::Drop(Reason::Jump)));
        assert!(timeline.place(101).is_ok());
        assert_eq!(timeline.place(40_001), Err(Displaced::Drop(Reason::Jump)));
        assert_eq!(timeline.place(40_002), Err(Displaced::Jumped));
        let place = timeline.begin(now, 40_002, 5_000);
        assert_eq!(sequence(&timeline, place), 65_536 + 102);
    }

    #[test]
    fn a_timestamp_out_of_step_goes_on_by_the_time_that_passed() {
        let (mut timeline, now) = started();
        let place = timeline.place(101).unwrap();
        let later = now + Duration::from_millis(20);
        timeline.follow(later, place.number, 3_000_000_000);
        let (_, timestamp) = timeline.map(place.number, 3_000_000_000).unwrap();
        assert_eq!(timestamp, 5_000 + 1_800);
        // The packet before keeps its own.
        assert_eq!(timeline.map(65_636, 5_000).unwrap().1, 5_000);
    }

    #[test]
    fn a_pause_of_the_source_is_kept_as_it_is() {
        let (mut timeline, now) = started();
        let place = timeline.place(101).unwrap();
        timeline.follow(
            now + Duration::from_secs(60),
            place.number,
            5_000 + 60 * 90_000,
        );
        assert_eq!(timeline.timestamp_offset(), 0);
    }
}
