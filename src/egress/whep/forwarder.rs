//! One track on its way to one subscriber: begins at a keyframe, then rewrites each header. Which of
//! the track's layers it is, and what becomes of numbers and timestamps, is up to a [`Splice`].

mod link;
mod repair;
mod rewriter;

use std::time::{Duration, Instant};

use super::bandwidth::Stamps;
use super::catch_up::{CatchUp, Pace};
use super::choice::Choice;
use super::outlet::Outlet;
use super::pacer::Pacer;
use super::pleas::Pleas;
use super::retransmission::{Repetition, Retransmitter};
use super::tally::Tally;
use crate::egress::SenderClock;
use crate::egress::splice::{Origin, Passed, Shift, Splice};
use crate::rtp::{Extension, MediaKind};
use crate::sdp::SubscribedTrack;
use crate::stream::{LayerChoice, LayerId, Packet, RankedLayer, Ring, TrackId};

use rewriter::Rewriter;

/// The state of one (subscriber, track).
#[derive(Debug)]
pub(super) struct Forwarder {
    /// None while the stream has nothing for this m-line.
    track: Option<TrackId>,
    /// Of the m-line, whatever its track.
    kind: MediaKind,
    mid: Box<str>,
    choice: Choice,
    splice: Splice,
    /// While it gets what came before it did.
    catch_up: Option<Box<CatchUp>>,
    /// Made when its link is nearly full for the first time.
    pacer: Option<Box<Pacer>>,
    rewriter: Rewriter,
    retransmitter: Retransmitter,
    pleas: Pleas,
    tally: Tally,
}

impl Forwarder {
    pub(super) fn new(
        track: &SubscribedTrack,
        pleas: Pleas,
        first_sequence: u32,
        timestamp_offset: u32,
    ) -> Self {
        // Below 2^15, so that a loss right at the start can't confuse the receiver's
        // guess of the roll-over counter (RFC 3711, section 3.3.1).
        let first_sequence = u64::from(first_sequence & 0x7FFF);
        let mut choice = Choice::default();
        choice.set_descriptors(has_descriptors(track));
        Self {
            track: Some(track.track),
            kind: track.kind,
            mid: track.mid.as_str().into(),
            choice,
            splice: Splice::new(
                track.kind,
                track.clock_rate,
                first_sequence,
                timestamp_offset,
            ),
            catch_up: None,
            pacer: None,
            rewriter: Rewriter::new(track, track.ssrc),
            retransmitter: Retransmitter::new(track.rtx_payload_type.zip(track.rtx_ssrc)),
            pleas,
            tally: Tally::default(),
        }
    }

    pub(super) fn track(&self) -> Option<TrackId> {
        self.track
    }

    /// The m-line that it is for.
    pub(super) fn mid(&self) -> &str {
        &self.mid
    }

    /// Another publisher's track comes from now on, or none. The SSRC stays, and with it the sequence
    /// numbers: under one SSRC, none may ever be used twice.
    pub(super) fn rebind(&mut self, track: Option<&SubscribedTrack>) {
        let clock_rate = track.map(|track| track.clock_rate);
        self.splice.rebind(clock_rate);
        self.catch_up = None;
        if let Some(pacer) = &mut self.pacer {
            pacer.reset();
        }
        self.track = track.map(|track| track.track);
        if let Some(track) = track {
            self.rewriter = Rewriter::new(track, self.rewriter.ssrc());
            let rtx = track.rtx_payload_type.zip(track.rtx_ssrc);
            self.retransmitter.rebind(rtx);
            self.choice.set_descriptors(has_descriptors(track));
        }
    }

    /// Sends capture times no longer. To be called right after [`Self::rebind`], as what is sent again must stay
    /// the same.
    pub(super) fn drop_capture_times(&mut self) {
        self.rewriter.drop_capture_times();
    }

    pub(super) fn ssrc(&self) -> u32 {
        self.rewriter.ssrc()
    }

    /// What decides on the layer; [`Self::choose`] lets it.
    pub(super) fn choice_mut(&mut self) -> &mut Choice {
        &mut self.choice
    }

    /// The viewer wants other layers. Returns whether that is meant for this m-line.
    pub(super) fn want(&mut self, choice: &LayerChoice) -> bool {
        let media_id = choice.media_id.as_deref();
        let is_meant = media_id.is_none_or(|mid| mid == self.mid());
        if is_meant {
            self.choice.want(&LayerChoice {
                media_id: None,
                ..choice.clone()
            });
        }
        is_meant
    }

    /// Aims at the layer that the choice falls on.
    pub(super) fn choose(&mut self, layers: &[RankedLayer]) {
        let current = self.splice.current();
        if !layers.iter().any(|layer| Some(layer.id) == current) {
            self.splice.lose_layer();
        }
        if let Some(layer) = self.choice.of(layers) {
            self.splice.aim(layer);
        }
    }

    /// Begins with a keyframe, if the layer that a picture led to did not come.
    pub(super) fn end_missed_turn(&mut self) {
        self.splice.end_missed_turn();
    }

    pub(super) fn splice(&self) -> &Splice {
        &self.splice
    }

    /// Whether nothing goes on before a keyframe comes.
    pub(super) fn waits_for_keyframe(&self) -> bool {
        let pacer = self.pacer.as_ref();
        let has_past = self.catch_up.is_some() || pacer.is_some_and(|pacer| pacer.expects_past());
        self.splice.waits_for_keyframe() && !has_past
    }

    /// Begins with the keyframe of the target layer's `ring`, if it waits for its first and there is one.
    /// [`Self::catch_up`] is due at once.
    pub(super) fn begin_catch_up<'r>(
        &mut self,
        now: Instant,
        pace: Pace,
        ring: impl Fn(LayerId) -> Option<&'r Ring>,
    ) -> Option<&CatchUp> {
        // One that shows a picture waits for the next keyframe of another layer rather than seeing the past.
        if !self.waits_for_keyframe() || self.splice.current().is_some() {
            return None;
        }
        let layer = self.splice.target();
        let catch_up = CatchUp::new(now, layer, ring(layer)?, pace)?;
        Some(self.catch_up.insert(Box::new(catch_up)))
    }

    /// Whether it still gets what came before the viewer did.
    pub(super) fn is_catching_up(&self) -> bool {
        self.catch_up.is_some()
    }

    /// When [`Self::catch_up`] or [`Self::send_paced`] is due.
    pub(super) fn catch_up_at(&self) -> Option<Instant> {
        match &self.catch_up {
            Some(catch_up) => Some(catch_up.at()),
            None => self.pacer.as_ref()?.at(),
        }
    }

    /// Sends as much of the past as may go now. Afterwards nothing of the `rings` must be sent on as new.
    pub(super) fn catch_up<'r>(
        &mut self,
        now: Instant,
        ring: impl Fn(LayerId) -> Option<&'r Ring>,
        clock: impl Fn(LayerId) -> Option<SenderClock>,
        mut stamps: Option<Stamps<'_>>,
        outlet: &mut impl Outlet,
    ) -> Passed {
        let Some(mut catch_up) = self.catch_up.take() else {
            return Passed::default();
        };
        let Some(ring) = ring(catch_up.layer()) else {
            return Passed::default();
        };
        let (rewriter, mut bytes) = (&self.rewriter, 0);
        let (passed, rest) =
            catch_up.step(now, ring, &mut self.splice, clock, |packet, own, shift| {
                bytes += rewriter.send(packet, own, shift, stamps.as_mut(), outlet);
            });
        if rest {
            self.catch_up = Some(catch_up);
        }
        self.tally.packets += u64::from(passed.packets);
        self.tally.bytes += bytes;
        passed
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(super) fn tally_mut(&mut self) -> &mut Tally {
        &mut self.tally
    }

    /// Sends on what is to be sent of some packets of a layer.
    pub(super) fn forward<'a>(
        &mut self,
        layer: LayerId,
        packets: impl IntoIterator<Item = &'a Packet>,
        clock: impl Fn(LayerId) -> Option<SenderClock>,
        mut stamps: Option<Stamps<'_>>,
        outlet: &mut impl Outlet,
    ) -> Passed {
        let (rewriter, mut bytes) = (&self.rewriter, 0);
        let send = |packet: &Packet, own, shift: &Shift| {
            bytes += rewriter.send(packet, own, shift, stamps.as_mut(), outlet);
        };
        let mut pacer = self.pacer.as_deref_mut();
        let pacer = pacer.take_if(|pacer| pacer.takes());
        let passed = match (self.catch_up.as_deref(), pacer) {
            (None, None) => self.splice.pass(layer, packets, clock, send),
            (None, Some(pacer)) => pacer.pass(layer, packets, &mut self.splice, clock, send),
            // First to the present of the layer that it has begun with.
            (Some(_), _) if self.splice.is_turning() && layer == self.splice.target() => {
                Passed::default()
            }
            (Some(catch_up), _) => {
                let packets = packets.into_iter();
                let passed = packets.filter(|packet| catch_up.passes(layer, packet));
                self.splice.pass(layer, passed, clock, send)
            }
        };
        if passed.switched {
            self.catch_up = None;
        }
        self.tally.packets += u64::from(passed.packets);
        self.tally.bytes += bytes;
        passed
    }

    /// Answers a NACK for our sequence `number` out of the rings of the layers, not with the same packet twice
    /// within `interval`.
    pub(super) fn retransmit<'r>(
        &mut self,
        now: Instant,
        number: u16,
        interval: Duration,
        ring: impl Fn(LayerId) -> Option<&'r Ring>,
        stamps: Option<Stamps<'_>>,
        outlet: &mut impl Outlet,
    ) -> Repetition {
        let found = self.splice.origin(number).and_then(|origin| {
            let packet = ring(origin.layer)?.get(origin.source)?;
            Some((origin, packet))
        });
        // On a full way nothing is repeated of a layer that is left: its next keyframe comes sooner.
        let has_fled = stamps.as_ref().is_some_and(Stamps::has_fled);
        let is_left = |origin: &Origin| has_fled && origin.layer != self.splice.target();
        let found = found.filter(|(origin, _)| !is_left(origin));
        let Some((origin, packet)) =
            found.filter(|(origin, _)| self.retransmitter.may_repeat(now, origin.own, interval))
        else {
            self.tally.retransmissions_missed += 1;
            return self.why_missed(number, ring);
        };
        self.tally.retransmissions += 1;
        match self.retransmitter.next() {
            Some(rtx) => {
                self.rewriter.repeat(packet, rtx, &origin, stamps, outlet);
            }
            // The very same packet again: the same bytes at the same index, so that nothing new is
            // encrypted under an index that was used before.
            None => {
                let shift = origin.shifts.of(packet);
                self.rewriter.send(packet, origin.own, &shift, None, outlet);
            }
        }
        Repetition::Sent
    }
}

/// Whether the player of an m-line agreed on the dependency descriptor.
fn has_descriptors(track: &SubscribedTrack) -> bool {
    let id = track.extensions.id(Extension::DependencyDescriptor);
    id.is_some()
}
