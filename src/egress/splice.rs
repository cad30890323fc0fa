//! One line of packets out of several sources: the layers of a track, or one publisher after another.
//!
//! Whoever follows the line sees one source: numbers go on by one and timestamps by the time that
//! passed, and where a picture counter is known, it goes on as well. Pure. Knows nothing of headers,
//! keys and viewers.

mod newest;
mod shift;
mod turn;

use std::collections::VecDeque;
use std::time::Duration;

pub use shift::{Shift, Shifts};

use newest::Newest;
use shift::Squeeze;
use turn::{Approach, Turn};

use super::SenderClock;
use crate::rtp::{MediaKind, sequence};
use crate::stream::{LayerId, LayerSet, Packet};

/// Sources before the current one whose packets can be asked for again. Older ones have left the
/// rings, unless somebody switches several times a second.
const MAX_EARLIER: usize = 4;

/// Clocks of two sources that say something else than the arrival times by more than this are not
/// believed: some publishers report another clock for each of their sources.
const MAX_CLOCK_ERROR: Duration = Duration::from_secs(1);

/// Follows one source at a time and begins another at a keyframe, or another layer of the same at a picture where
/// that is possible.
#[derive(Debug)]
pub struct Splice {
    kind: MediaKind,
    clock_rate: u32,
    /// What is followed, or will be from its next keyframe on.
    target: LayerId,
    current: Option<Segment>,
    /// Nothing of the current source goes on any more.
    is_held: bool,
    /// Packets of the target have been seen, where that is another layer of the current source.
    is_near: bool,
    /// Where the current layer ends, and the other one of its source begins.
    turn: Option<Turn>,
    /// Oldest first. Nothing is allocated before the first switch.
    earlier: VecDeque<Segment>,
    /// Of the newest packet, as it left; before the first one, where the line begins.
    newest: Newest,
}

/// A run of packets of one source.
#[derive(Clone, Copy, Debug)]
struct Segment {
    layer: LayerId,
    /// The source's number of its first packet.
    source: u64,
    /// Ours for the same packet.
    own: u64,
    /// The highest of ours so far.
    highest: u64,
    shifts: Shifts,
    /// The layers of its source that a picture since the last keyframe could have gone on with, the own one among
    /// them; none where the source has but one.
    leads_to: LayerSet,
    /// What to add to the source's timestamps by the clocks alone: more than that was added where two
    /// pictures would have had one timestamp.
    by_clock: u32,
}

/// What became of the packets of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Passed {
    /// How many are part of the line.
    pub packets: u32,
    /// Another source than before is followed now.
    pub switched: bool,
}

/// A source has begun with one packet.
const BEGUN: Passed = Passed {
    packets: 1,
    switched: true,
};

/// A packet that is part of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The layer that it came from.
    pub layer: LayerId,
    /// Its number there.
    pub source: u64,
    /// Its number in the line.
    pub own: u64,
    /// What was added to its values.
    pub shifts: Shifts,
}

impl Splice {
    /// A line that begins with number `first_sequence`, and with the source's timestamp plus
    /// `timestamp_offset`. It takes layer 0, until it is aimed at another.
    pub fn new(
        kind: MediaKind,
        clock_rate: u32,
        first_sequence: u64,
        timestamp_offset: u32,
    ) -> Self {
        Self {
            kind,
            clock_rate,
            target: LayerId::default(),
            current: None,
            is_held: false,
            is_near: false,
            turn: None,
            earlier: VecDeque::new(),
            newest: Newest {
                sequence: first_sequence.wrapping_sub(1),
                timestamp: timestamp_offset,
                arrived: None,
                picture: None,
                base_layer: None,
                frame: None,
            },
        }
    }

    /// What is followed, or will be from its next keyframe on.
    pub fn target(&self) -> LayerId {
        self.target
    }

    /// What is followed now.
    pub fn current(&self) -> Option<LayerId> {
        self.current.map(|segment| segment.layer)
    }

    /// Whether packets of this layer go on.
    pub fn follows(&self, layer: LayerId) -> bool {
        self.current() == Some(layer) && !self.is_held
    }

    /// Whether nothing goes on before the target begins a picture.
    pub fn waits_for_keyframe(&self) -> bool {
        self.kind == MediaKind::Video && !self.follows(self.target) && !self.is_turning()
    }

    /// The highest number of the current source so far.
    pub fn newest(&self) -> Option<u64> {
        self.current.map(|segment| segment.highest)
    }

    /// What is added to the source's timestamps of the present.
    pub fn timestamp_offset(&self) -> Option<u32> {
        self.current.map(|segment| segment.shifts.shift.timestamp)
    }

    /// Follows `layer` from its next keyframe on; until then the line goes on as it is.
    pub fn aim(&mut self, layer: LayerId) {
        if layer != self.target {
            self.target = layer;
            self.forget_turn();
        }
    }

    /// Sends nothing more before the next keyframe of what is followed.
    pub fn hold(&mut self) {
        self.is_held = true;
        self.turn = None;
    }

    /// The source is gone. The line goes on with the first keyframe of whatever comes next, whose
    /// numbers and timestamps need have nothing to do with those before; nor need its clock
    /// have the same rate.
    pub fn rebind(&mut self, clock_rate: Option<u32>) {
        self.clock_rate = clock_rate.unwrap_or(self.clock_rate);
        self.target = LayerId::default();
        self.is_held = false;
        self.turn = None;
        self.is_near = false;
        self.earlier.clear();
        if let Some(segment) = self.current.take() {
            self.newest.sequence = segment.highest;
        }
    }

    /// Takes packets of `layer`, and gives those that are part of the line to `send`, with their
    /// number. `clock` knows the layers' clocks; it is asked at a switch alone.
    pub fn pass<'p>(
        &mut self,
        layer: LayerId,
        packets: impl IntoIterator<Item = &'p Packet>,
        clock: impl Fn(LayerId) -> Option<SenderClock>,
        mut send: impl FnMut(&Packet, u64, &Shift),
    ) -> Passed {
        let mut packets = packets.into_iter();
        let mut passed = Passed::default();
        if self.is_held || self.current() != Some(layer) {
            if self.target != layer {
                return passed;
            }
            if self.is_turning() {
                return self.go_over(layer, &mut packets, &mut send);
            }
            let starts = |packet: &&Packet| self.kind == MediaKind::Audio || packet.keyframe;
            let Some(first) = packets.find(starts) else {
                return passed;
            };
            let by_clock = self.by_clock(layer, first, clock);
            let shift = self.newest.shift_to(first, by_clock);
            let shifts = Shifts {
                shift,
                squeeze: None,
            };
            self.begin(layer, first, shifts, by_clock, &mut send);
            passed = BEGUN;
        }
        passed.packets += self.follow(packets, &mut send);
        passed
    }

    /// Takes packets of the current source.
    fn follow<'p>(
        &mut self,
        packets: impl Iterator<Item = &'p Packet>,
        send: &mut impl FnMut(&Packet, u64, &Shift),
    ) -> u32 {
        let (is_turning, turn_before) = (self.is_turning(), self.turn);
        let (target, is_near) = (self.target, self.is_near);
        let (mut passed, mut newest) = (0, None);
        let Some(segment) = &mut self.current else {
            return passed;
        };
        for packet in packets {
            if packet.keyframe {
                segment.leads_to = packet.leads_to;
            } else {
                segment.leads_to.extend(packet.leads_to);
            }
            if is_turning {
                let to = Approach { target, is_near };
                if Turn::ends(&mut self.turn, turn_before, to, packet, segment) {
                    continue;
                }
            }
            let Some(ahead) = packet.sequence.checked_sub(segment.source) else {
                continue; // before the keyframe
            };
            let own = segment.own + ahead;
            if own > segment.highest {
                segment.highest = own;
                newest = Some(packet);
            }
            send(packet, own, &segment.shifts.of(packet));
            passed += 1;
        }
        if let Some(packet) = newest {
            self.newest.follow(packet, segment);
        }
        passed
    }

    /// Where our packet with these 16 bits came from; none when none of that number was sent, or too
    /// long ago.
    pub fn origin(&self, number: u16) -> Option<Origin> {
        let current = self.current?;
        let own = sequence::nearest(current.highest, number);
        let mut segments = std::iter::once(&current).chain(self.earlier.iter().rev());
        let segment = segments.find(|segment| segment.own <= own)?;
        (own <= segment.highest).then(|| Origin {
            layer: segment.layer,
            source: own - segment.own + segment.source,
            own,
            shifts: segment.shifts,
        })
    }

    /// Begins `layer` with a keyframe of the past, `first`, behind which all is known up to `present`, and
    /// gives it to `send`. What lies between is to be passed next, in about the time `span`; its
    /// timestamps end with that of `present` and span no longer.
    pub fn begin_with_past(
        &mut self,
        layer: LayerId,
        (first, present): (&Packet, &Packet),
        span: Duration,
        clock: impl Fn(LayerId) -> Option<SenderClock>,
        mut send: impl FnMut(&Packet, u64, &Shift),
    ) -> Passed {
        let by_clock = self.by_clock(layer, present, clock);
        let mut shifts = Shifts {
            shift: self.newest.shift_to(first, by_clock),
            squeeze: Squeeze::of(first, present, self.ticks(span)),
        };
        shifts.shift.timestamp = by_clock;
        // As in `shift_to`: the first picture comes after those that were sent before.
        let begins = first.timestamp.wrapping_add(shifts.of(first).timestamp);
        let early = self.newest.timestamp.wrapping_add(1).wrapping_sub(begins);
        if self.newest.arrived.is_some() && (early as i32) > 0 {
            shifts.shift.timestamp = by_clock.wrapping_add(early);
        }
        self.begin(layer, first, shifts, by_clock, &mut send);
        BEGUN
    }

    /// A source begins with this packet.
    fn begin(
        &mut self,
        layer: LayerId,
        packet: &Packet,
        shifts: Shifts,
        by_clock: u32,
        send: &mut impl FnMut(&Packet, u64, &Shift),
    ) {
        self.is_held = false;
        self.is_near = false;
        self.turn = None;
        if let Some(before) = self.current.take() {
            self.newest.sequence = before.highest;
            if self.earlier.len() == MAX_EARLIER {
                self.earlier.pop_front();
            }
            self.earlier.push_back(before);
        }
        let own = self.newest.sequence.wrapping_add(1);
        let segment = Segment {
            layer,
            source: packet.sequence,
            own,
            highest: own,
            shifts,
            leads_to: packet.leads_to,
            by_clock,
        };
        self.current = Some(segment);
        send(packet, own, &shifts.of(packet));
        self.newest.follow(packet, &segment);
    }

    /// What to add to the timestamps of a source, so that its pictures have those of the source before.
    fn by_clock(
        &self,
        layer: LayerId,
        packet: &Packet,
        clock: impl Fn(LayerId) -> Option<SenderClock>,
    ) -> u32 {
        let Some(arrived) = self.newest.arrived else {
            return self.newest.timestamp;
        };
        let elapsed = packet.received.saturating_duration_since(arrived);
        let expected = self.newest.timestamp.wrapping_add(self.ticks(elapsed));
        let by_arrival = expected.wrapping_sub(packet.timestamp);
        // Layers of one source have one clock.
        if let Some(before) = &self.current
            && !before.leads_to.is_empty()
            && !packet.leads_to.is_empty()
        {
            return before.by_clock;
        }
        let by_clock = self.current.and_then(|before| {
            // What is assumed of a layer is no better than the arrival of these very packets.
            let told = |layer| clock(layer).filter(SenderClock::is_told);
            let (from, to) = (told(layer)?, told(before.layer)?);
            Some(from.offset_to(&to).wrapping_add(before.by_clock))
        });
        let is_sound = |offset: &u32| {
            let error = (offset.wrapping_sub(by_arrival) as i32).unsigned_abs();
            error <= self.ticks(MAX_CLOCK_ERROR)
        };
        by_clock.filter(is_sound).unwrap_or(by_arrival)
    }

    fn ticks(&self, time: Duration) -> u32 {
        (time.as_micros() * u128::from(self.clock_rate) / 1_000_000) as u32
    }
}

#[cfg(test)]
mod tests;
