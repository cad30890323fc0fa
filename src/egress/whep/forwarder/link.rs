//! What a forwarder does for the sake of its viewer's link: waits, rests, probes.

use std::time::Instant;

use super::Forwarder;
use crate::egress::SenderClock;
use crate::egress::splice::{Passed, Shift};
use crate::egress::whep::bandwidth::{Pace, Stamps};
use crate::egress::whep::outlet::Outlet;
use crate::egress::whep::pacer::Pacer;
use crate::stream::{LayerId, Packet, Ring};

impl Forwarder {
    /// Whether its packets can carry transport-wide numbers.
    pub(in crate::egress::whep) fn can_be_measured(&self) -> bool {
        self.track.is_some() && self.rewriter.can_be_numbered()
    }

    /// Whether packets can be repeated in a way that tells them from what they repeat, so that they can be padding.
    pub(in crate::egress::whep) fn can_pad(&self) -> bool {
        self.retransmitter.has_rtx()
    }

    /// How fast packets leave from now on; none for as they come.
    pub(in crate::egress::whep) fn set_pace(&mut self, now: Instant, pace: Option<Pace>) {
        match &mut self.pacer {
            Some(pacer) => pacer.set_pace(pace),
            None if pace.is_none() => {}
            none => none.insert(Box::new(Pacer::new(now))).set_pace(pace),
        }
    }

    /// Sends nothing more of the layer that is being left, nor of another before `until`.
    pub(in crate::egress::whep) fn hold(&mut self, until: Option<Instant>) {
        self.splice.hold();
        self.catch_up = None;
        if let Some(pacer) = &mut self.pacer {
            pacer.clear();
        }
        if let Some(until) = until {
            let pacer = self
                .pacer
                .get_or_insert_with(|| Box::new(Pacer::new(until)));
            pacer.rest(until);
        }
    }

    /// Looks whether a rest that has begun ends with what a ring has.
    pub(in crate::egress::whep) fn expect_past<'r>(
        &mut self,
        ring: impl Fn(LayerId) -> Option<&'r Ring>,
    ) {
        if let (Some(pacer), Some(ring)) = (&mut self.pacer, ring(self.splice.target())) {
            pacer.expect_past(ring);
        }
    }

    /// Goes on with the next keyframe, if more waits than may. Returns whether it is so.
    pub(in crate::egress::whep) fn skip_overflow(&mut self) -> bool {
        let Some(pacer) = self.pacer.as_mut().filter(|pacer| pacer.is_full()) else {
            return false;
        };
        pacer.clear();
        self.splice.hold();
        true
    }

    /// Sends what may go now of what waits. Afterwards nothing of the `rings` must be sent on as new.
    pub(in crate::egress::whep) fn send_paced<'r>(
        &mut self,
        now: Instant,
        ring: impl Fn(LayerId) -> Option<&'r Ring>,
        clock: impl Fn(LayerId) -> Option<SenderClock>,
        mut stamps: Option<Stamps<'_>>,
        outlet: &mut impl Outlet,
    ) -> Passed {
        let due = |pacer: &&mut Pacer| pacer.at().is_some_and(|at| at <= now);
        let mut passed = Passed::default();
        let Some(pacer) = self.pacer.as_deref_mut().filter(due) else {
            return passed;
        };
        let (rewriter, splice, mut bytes) = (&self.rewriter, &mut self.splice, 0);
        let mut send = |packet: &Packet, own, shift: &Shift| {
            bytes += rewriter.send(packet, own, shift, stamps.as_mut(), outlet);
        };
        if pacer.wake(now)
            && splice.waits_for_keyframe()
            && let Some(ring) = ring(splice.target())
        {
            let target = splice.target();
            passed = pacer.begin_with_past(target, ring, splice, &clock, &mut send);
        }
        if let Some(layer) = pacer.layer()
            && let Some(own) = ring(layer)
        {
            let other = splice.is_turning().then(|| ring(splice.target())).flatten();
            pacer.look_over(splice, own, other);
            let portion = pacer.portion(now, own);
            let packets = portion.filter_map(|sequence| own.get(sequence));
            let packets = packets.map(|packet| &**packet);
            passed.packets += splice.pass(layer, packets, &clock, &mut send).packets;
            if let Some(other) = other {
                let begun = pacer.go_over(other, splice, clock, send);
                passed.packets += begun.packets;
                passed.switched |= begun.switched;
                splice.end_missed_turn();
            }
        }
        self.tally.packets += u64::from(passed.packets);
        self.tally.bytes += bytes;
        passed
    }

    /// Repeats the packet `back` before the newest over RTX, which a receiver that has it drops.
    /// Returns the bytes of it, 0 when there is none.
    pub(in crate::egress::whep) fn pad<'r>(
        &mut self,
        back: u64,
        ring: impl Fn(LayerId) -> Option<&'r Ring>,
        stamps: Option<Stamps<'_>>,
        outlet: &mut impl Outlet,
    ) -> usize {
        let newest = self.splice.newest();
        let found = newest
            .and_then(|newest| {
                self.splice
                    .origin((newest as u16).wrapping_sub(back as u16))
            })
            .and_then(|origin| Some((origin, ring(origin.layer)?.get(origin.source)?)));
        match found.map(|found| (found, self.retransmitter.next())) {
            Some(((origin, packet), Some(rtx))) => {
                self.rewriter.repeat(packet, rtx, &origin, stamps, outlet)
            }
            _ => 0,
        }
    }
}
