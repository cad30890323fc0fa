//! From a layer to another one of the same source, without a keyframe.
//!
//! Who gets a layer has got all of the lesser ones, and can go on with one of them at the beginning of any
//! picture that this has. To a layer with more pictures a second leads each picture behind which those refer to
//! nothing before it. So the line stops where such a picture of its layer
//! begins, and goes on with the very same picture of the other layer. It stops only after packets of
//! that have been seen, as those of another shard come when it has heard of the wish. If the
//! picture does not come after all, nothing goes on before a keyframe: no picture is sent that can't
//! be decoded. Pure.

use super::{BEGUN, Passed, Segment, Shift, Splice};
use crate::stream::{LayerId, LayerSet, Packet};

/// The beginning of a picture at which the layer changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// The source's number of its first packet.
    sequence: u64,
    timestamp: u32,
    /// The next such picture came, and the other layer did not begin.
    pub(super) is_missed: bool,
}

/// Where a line is to turn to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Approach {
    pub(super) target: LayerId,
    /// Packets of it come.
    pub(super) is_near: bool,
}

impl Turn {
    /// Whether `packet` of the current layer is part of the pictures that the other one has to come up with; finds
    /// where they begin. `before` is the turn from before these packets came: those that came together with its
    /// picture are no sign that the other layer failed to come.
    pub(super) fn ends(
        turn: &mut Option<Self>,
        before: Option<Self>,
        to: Approach,
        packet: &Packet,
        segment: &Segment,
    ) -> bool {
        let leads = packet.leads_to.contains(to.target);
        if let Some(turn) = turn {
            let is_behind = packet.sequence >= turn.sequence;
            turn.is_missed |= before.is_some() && is_behind && leads;
            return is_behind;
        }
        let ahead = packet.sequence.checked_sub(segment.source);
        let is_newest = ahead.is_some_and(|ahead| segment.own + ahead > segment.highest);
        if !(to.is_near && leads && is_newest) {
            return false;
        }
        *turn = Some(Self {
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            is_missed: false,
        });
        true
    }
}

impl Splice {
    /// Whether it is on its way to another layer of the source that it follows, which it needs no keyframe for.
    pub fn is_turning(&self) -> bool {
        !self.is_held
            && self.current.is_some_and(|segment| {
                segment.layer != self.target && segment.leads_to.contains(self.target)
            })
    }

    /// The timestamp of the picture that the target is to go on with, once the line has stopped at it.
    pub fn turn(&self) -> Option<u32> {
        self.turn.map(|turn| turn.timestamp)
    }

    /// Gives up the picture that the target was to go on with, if the next such picture has come.
    pub fn end_missed_turn(&mut self) {
        if self.turn.is_some_and(|turn| turn.is_missed) {
            self.hold();
        }
    }

    /// Packets of the target come, so that the line can stop.
    pub fn approach(&mut self) {
        self.is_near = true;
    }

    /// Takes packets of the target: goes on with that, if the picture is among them.
    pub(super) fn go_over<'p>(
        &mut self,
        layer: LayerId,
        packets: &mut impl Iterator<Item = &'p Packet>,
        send: &mut impl FnMut(&Packet, u64, &Shift),
    ) -> Passed {
        let turn = self.turn();
        let mut is_near = false;
        let first = packets.find(|packet| {
            let begins = !packet.leads_to.is_empty();
            is_near |= begins;
            begins && Some(packet.timestamp) == turn
        });
        self.is_near |= is_near;
        let (Some(first), Some(segment), Some(turn)) = (first, &mut self.current, self.turn) else {
            return Passed::default();
        };
        // What is missing of the layer up to here keeps its numbers, so that the player can ask for it: what comes now
        // may refer to that.
        let last = segment.own + (turn.sequence - segment.source) - 1;
        segment.highest = segment.highest.max(last);
        let segment = *segment;
        // What they are counted by is the same: frames that are referred to keep their numbers.
        self.begin(layer, first, segment.shifts, segment.by_clock, send);
        Passed {
            packets: BEGUN.packets + self.follow(packets, send),
            ..BEGUN
        }
    }

    /// The layer that is followed is no more: nothing of it leads to another one.
    pub fn lose_layer(&mut self) {
        self.forget_turn();
        if let Some(segment) = &mut self.current {
            segment.leads_to = LayerSet::NONE;
        }
    }

    /// The target is another one. A line that has stopped can't go on with what it left out.
    pub(super) fn forget_turn(&mut self) {
        self.is_near = false;
        if self.turn.take().is_some() {
            self.hold();
        }
    }
}

#[cfg(test)]
mod tests;
