//! A WHEP subscriber: rewrites the packets of a stream for one viewer and answers its feedback.
//!
//! Pure. Where packets go is an [`Outlet`], which seals and sends them; what it wants from the
//! publisher comes out of [`Subscriber::handle_rtcp`].

mod adaptation;
mod bandwidth;
mod catch_up;
mod choice;
mod extension_block;
mod forwarder;
mod limits;
mod outlet;
mod pacer;
mod pleas;
mod reports;
mod retransmission;
mod tally;
mod turning;
mod wall_clock;

use std::sync::Arc;
use std::time::Instant;

pub use bandwidth::{BandwidthConfig, BandwidthStatus};
pub use limits::ViewerLimits;
pub use outlet::Outlet;
pub use tally::Tally;

use adaptation::Adaptation;
use catch_up::{CatchUp, Pace};
use forwarder::Forwarder;
use pleas::Pleas;
use reports::RoundTrip;
use retransmission::{Budget, Repetition};
use wall_clock::WallClock;

use super::SenderClock;
use crate::rtp::rtcp::{ReceiverFeedback, read_feedback};
use crate::sdp::SubscriberSpec;
use crate::stream::{LayerChoice, LayerId, LayersByTrack, Packet, RankedLayer, Ring, TrackId};

/// Choices for so many m-lines are kept.
const MAX_CHOICES: usize = 8;

/// One viewer.
#[derive(Debug)]
pub struct Subscriber {
    /// One a track that it takes, in no order that means something.
    forwarders: Vec<Forwarder>,
    limits: Arc<ViewerLimits>,
    /// What retransmission may cost.
    budget: Budget,
    /// When the next sender reports are due; none before the first packet.
    report_at: Option<Instant>,
    wall: WallClock,
    round_trip: Box<RoundTrip>,
    cname: Box<str>,
    /// What the viewer asked for, for m-lines that have nothing to choose from yet: the last for each,
    /// and one for all of them first.
    choices: Vec<LayerChoice>,
    adaptation: Adaptation,
    /// How fast it gets the past, in bit/s; none before it was to get some.
    past_pace: Option<u64>,
}

impl Subscriber {
    /// A viewer that has seen nothing yet. `entropy` gives its first sequence numbers and timestamps (RFC 3550, section 5.1).
    pub fn new(spec: &SubscriberSpec, cname: &str, mut entropy: impl FnMut() -> u32) -> Self {
        let limits = Arc::<ViewerLimits>::default();
        let pleas = Pleas::new(limits.keyframe_interval);
        let forwarders = spec
            .tracks
            .iter()
            .map(|track| Forwarder::new(track, pleas, entropy(), entropy()))
            .collect();
        Self {
            forwarders,
            budget: Budget::new(limits.retransmissions),
            limits,
            report_at: None,
            wall: WallClock::default(),
            round_trip: Box::default(),
            cname: cname.into(),
            choices: Vec::new(),
            adaptation: Adaptation::default(),
            past_pace: None,
        }
    }

    /// The layers that go nowhere before they begin a keyframe.
    pub fn waiting_for_keyframe(&self) -> LayersByTrack {
        let mut waiting = LayersByTrack::default();
        for forwarder in &self.forwarders {
            if let (Some(track), true) = (forwarder.track(), forwarder.waits_for_keyframe()) {
                waiting.insert(track, forwarder.splice().target());
            }
        }
        waiting
    }

    /// The layers whose packets it has a use for: what it sends on now, and what it turns to.
    pub fn needs(&self) -> LayersByTrack {
        let mut needs = LayersByTrack::default();
        for forwarder in &self.forwarders {
            let splice = forwarder.splice();
            for layer in splice.current().into_iter().chain([splice.target()]) {
                if let Some(track) = forwarder.track() {
                    needs.insert(track, layer);
                }
            }
        }
        needs
    }

    /// The layers of a track are these now, the best first: goes over to the one that the viewer is to
    /// have, from its next keyframe on.
    pub fn set_layers(&mut self, track: TrackId, layers: &[RankedLayer]) {
        for forwarder in &mut self.forwarders {
            if forwarder.track() == Some(track) {
                self.adaptation.adapt(forwarder, layers);
            }
        }
    }

    /// The viewer wants other layers. `layers` knows those of each track, the best first.
    pub fn select<'l>(
        &mut self,
        choice: &LayerChoice,
        layers: impl Fn(TrackId) -> Option<&'l [RankedLayer]>,
    ) {
        self.keep(choice);
        for forwarder in &mut self.forwarders {
            if !forwarder.want(choice) {
                continue;
            }
            if let Some(layers) = forwarder.track().and_then(&layers) {
                self.adaptation.adapt(forwarder, layers);
            }
        }
    }

    /// Keeps a choice for m-lines that come later.
    fn keep(&mut self, choice: &LayerChoice) {
        match &choice.media_id {
            None => self.choices.clear(),
            media_id => self.choices.retain(|kept| kept.media_id != *media_id),
        }
        if self.choices.len() == MAX_CHOICES {
            self.choices.remove(0);
        }
        self.choices.push(choice.clone());
    }

    /// The publisher was replaced by another, or the viewer waited for one. M-lines (told by their
    /// `mid`) go on with the first keyframe of the track that `spec` gives them, each under the SSRC
    /// that it has, its sequence numbers and timestamps continued. Those without a track rest.
    ///
    /// `spec` must not have other SSRCs than the one before, for m-lines that were in it.
    pub fn rebind(&mut self, spec: &SubscriberSpec, mut entropy: impl FnMut() -> u32) {
        self.wall.hold();
        self.adaptation.rest();
        for forwarder in &mut self.forwarders {
            let track = spec
                .tracks
                .iter()
                .find(|track| *track.mid == *forwarder.mid());
            forwarder.rebind(track);
        }
        for track in &spec.tracks {
            if !self
                .forwarders
                .iter()
                .any(|known| *known.mid() == *track.mid)
            {
                let pleas = Pleas::new(self.limits.keyframe_interval);
                let mut forwarder = Forwarder::new(track, pleas, entropy(), entropy());
                for choice in &self.choices {
                    forwarder.want(choice);
                }
                self.forwarders.push(forwarder);
            }
        }
        // What they say goes by another clock than our reports now.
        if self.wall.holds() {
            let forwarders = self.forwarders.iter_mut();
            forwarders.for_each(Forwarder::drop_capture_times);
        }
    }

    /// Sends the packets of one layer on, if the subscriber takes that. The hot path: for each packet
    /// one header, one copy, one sealing. `clock` knows the layers of this track.
    ///
    /// Returns whether the track goes on with another layer now.
    pub fn forward<'a>(
        &mut self,
        now: Instant,
        track: TrackId,
        layer: LayerId,
        packets: impl IntoIterator<Item = &'a Packet>,
        clock: impl Fn(LayerId) -> Option<SenderClock>,
        outlet: &mut impl Outlet,
    ) -> bool {
        let Some(forwarder) = self
            .forwarders
            .iter_mut()
            .find(|forwarder| forwarder.track() == Some(track))
        else {
            return false;
        };
        forwarder.set_pace(now, self.adaptation.pace(forwarder));
        let stamps = self
            .adaptation
            .active()
            .map(|bandwidth| bandwidth.stamps(now));
        let passed = forwarder.forward(layer, packets, clock, stamps, outlet);
        if forwarder.skip_overflow() {
            self.adaptation.handle_overflow();
        }
        self.budget.earn(passed.packets);
        // Each source that begins is reported at once: players align audio and video by the reports.
        if passed.switched {
            self.report_at = Some(now);
        }
        passed.switched
    }

    /// Tracks that wait for their first keyframe begin with the one that their `ring` has, and get what came
    /// after it at `pace` bit/s, or faster where the stream is: [`Self::catch_up`] is due at once. Returns the
    /// layers of which a new keyframe would be better to have as well.
    pub fn begin_catch_up<'r>(
        &mut self,
        now: Instant,
        pace: u64,
        ring: impl Fn(TrackId, LayerId) -> Option<&'r Ring>,
    ) -> LayersByTrack {
        let mut wanted = LayersByTrack::default();
        // A link that is known is not sent more than it carries.
        let believed = self.adaptation.believed();
        self.past_pace = Some(pace);
        let pace = Pace::new(pace, believed);
        for forwarder in &mut self.forwarders {
            let Some(track) = forwarder.track() else {
                continue;
            };
            if let Some(catch_up) = forwarder.begin_catch_up(now, pace, |layer| ring(track, layer))
                && catch_up.wants_keyframe()
            {
                wanted.insert(track, catch_up.layer());
            }
        }
        wanted
    }

    /// Whether some track still gets what came before the viewer did.
    pub fn is_catching_up(&self) -> bool {
        self.forwarders.iter().any(Forwarder::is_catching_up)
    }

    /// When [`Self::catch_up`] is due; none when it is up to date.
    pub fn catch_up_at(&self) -> Option<Instant> {
        self.forwarders
            .iter()
            .filter_map(Forwarder::catch_up_at)
            .min()
    }

    /// Sends as much as may go now of the past, and of what waits for a link that is nearly full. To be
    /// called when all that is in the rings has been given to [`Self::forward`].
    pub fn catch_up<'r>(
        &mut self,
        now: Instant,
        ring: impl Fn(TrackId, LayerId) -> Option<&'r Ring>,
        clock: impl Fn(TrackId, LayerId) -> Option<SenderClock>,
        outlet: &mut impl Outlet,
    ) {
        for forwarder in &mut self.forwarders {
            let Some(track) = forwarder.track() else {
                continue;
            };
            let (ring, clock) = (|layer| ring(track, layer), |layer| clock(track, layer));
            let stamps = self.adaptation.active();
            let stamps = stamps.map(|bandwidth| bandwidth.stamps(now));
            let passed = match forwarder.is_catching_up() {
                true => forwarder.catch_up(now, ring, clock, stamps, outlet),
                false => forwarder.send_paced(now, ring, clock, stamps, outlet),
            };
            self.budget.earn(passed.packets);
            if passed.switched {
                self.report_at = Some(now);
            }
        }
    }

    /// Takes decrypted RTCP: answers NACKs out of the rings at once, and requests for keyframes where the rings have
    /// some: then [`Self::catch_up`] is due. Returns the layers that it needs a keyframe of the publisher of.
    pub fn handle_rtcp<'r>(
        &mut self,
        now: Instant,
        compound: &[u8],
        ring: impl Fn(TrackId, LayerId) -> Option<&'r Ring>,
        outlet: &mut impl Outlet,
    ) -> LayersByTrack {
        let mut wanted = LayersByTrack::default();
        let (forwarders, budget) = (&mut self.forwarders, &mut self.budget);
        let (adaptation, round_trip) = (&mut self.adaptation, &mut self.round_trip);
        let past_pace = self.past_pace;
        let find = |forwarders: &[Forwarder], ssrc| {
            forwarders
                .iter()
                .position(|forwarder| forwarder.ssrc() == ssrc)
        };
        read_feedback(compound, |feedback| match feedback {
            ReceiverFeedback::Nack { ssrc, lost } => {
                let Some(index) = find(forwarders, ssrc) else {
                    return;
                };
                let forwarder = &mut forwarders[index];
                let Some(track) = forwarder.track() else {
                    return;
                };
                let interval = retransmission::interval(round_trip.measured());
                let mut gone = None;
                for number in lost.iter() {
                    if !budget.spend() {
                        forwarder.tally_mut().retransmissions_refused += 1;
                        continue;
                    }
                    let stamps = adaptation.active().map(|bandwidth| bandwidth.stamps(now));
                    let ring = |layer| ring(track, layer);
                    match forwarder.retransmit(now, number, interval, ring, stamps, outlet) {
                        Repetition::Sent => {}
                        Repetition::None => budget.refund(),
                        Repetition::Gone(own) => {
                            budget.refund();
                            gone = gone.max(Some(own));
                        }
                    }
                }
                if gone.is_some_and(|own| forwarder.grants_keyframe_for(now, own)) {
                    wanted.insert(track, forwarder.splice().target());
                }
            }
            ReceiverFeedback::TransportWide(feedback) => {
                if let Some(bandwidth) = adaptation.active() {
                    bandwidth.handle_feedback(now, feedback);
                }
            }
            ReceiverFeedback::Remb { bitrate } => adaptation.handle_remb(now, bitrate),
            ReceiverFeedback::KeyframeRequest { ssrc } => {
                if let Some(index) = find(forwarders, ssrc) {
                    // Of the target, where a switch is under way: the other is left at its keyframe.
                    let forwarder = &mut forwarders[index];
                    let target = forwarder.splice().target();
                    let Some(track) = forwarder.track() else {
                        return;
                    };
                    // Some players ask in two ways at once.
                    if wanted.iter().any(|known| known == (track, target)) {
                        return;
                    }
                    // A keyframe is on its way already.
                    if forwarder.is_catching_up() || !forwarder.grants_keyframe(now) {
                        return;
                    }
                    let pace = past_pace.map(|pace| Pace::again(pace, adaptation.believed()));
                    let again = pace.and_then(|pace| {
                        let ring = |layer| ring(track, layer);
                        forwarder.begin_again(now, pace, round_trip.measured(), ring)
                    });
                    if again.is_none_or(CatchUp::wants_keyframe) {
                        wanted.insert(track, target);
                    }
                }
            }
            ReceiverFeedback::Report(report) => {
                round_trip.hear(now, &report);
                if let Some(index) = find(forwarders, report.ssrc) {
                    forwarders[index].tally_mut().report(&report);
                    adaptation.handle_report(now, &report);
                }
            }
        });
        wanted
    }

    /// What was sent and lost so far, by track; over all publishers.
    pub fn tallies(&self) -> impl Iterator<Item = (TrackId, &Tally)> {
        self.forwarders
            .iter()
            .filter_map(|forwarder| Some((forwarder.track()?, forwarder.tally())))
    }
}

#[cfg(test)]
mod tests;
