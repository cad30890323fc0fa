//! A viewer's layers follow what its link carries.

use std::time::Instant;

use super::bandwidth::{Bandwidth, BandwidthConfig, BandwidthStatus, Pace, Reported, Share};
use super::forwarder::Forwarder;
use super::{Outlet, Subscriber};
use crate::rtp::rtcp::ReceptionReport;
use crate::stream::{LayerId, LayersByTrack, RankedLayer, Ring, TrackId};

/// The most packets of padding at a time, for a player that takes no numbers.
const MAX_PADDING: u64 = 16;

/// The part of a subscriber that adapts it.
#[derive(Debug, Default)]
pub(super) struct Adaptation {
    config: BandwidthConfig,
    /// Made when there is something to choose for the first time.
    bandwidth: Option<Box<Bandwidth>>,
    /// The same for a player that takes no numbers.
    reported: Option<Box<Reported>>,
    /// Some track waits for a keyframe that nobody has asked for yet.
    has_overflowed: bool,
}

impl Adaptation {
    /// Other tracks come: nobody looks after an estimate before their layers are known.
    pub(super) fn rest(&mut self) {
        if let Some(bandwidth) = &mut self.bandwidth {
            bandwidth.is_active = false;
            bandwidth.rest();
        }
        if let Some(reported) = &mut self.reported {
            reported.is_active = false;
            reported.rest();
        }
    }

    /// The estimate, while packets carry numbers for it.
    pub(super) fn active(&mut self) -> Option<&mut Bandwidth> {
        self.bandwidth
            .as_deref_mut()
            .filter(|bandwidth| bandwidth.is_active)
    }

    /// The same to look at.
    fn current(&self) -> Option<&Bandwidth> {
        self.bandwidth
            .as_deref()
            .filter(|bandwidth| bandwidth.is_active)
    }

    /// What a player says itself, where packets carry no numbers.
    fn reported(&mut self) -> Option<&mut Reported> {
        self.reported
            .as_deref_mut()
            .filter(|reported| reported.is_active)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let measured = self.bandwidth.as_deref().map(Bandwidth::poll_timeout);
        let reported = self.reported.as_deref().map(Reported::poll_timeout);
        measured.into_iter().chain(reported).flatten().min()
    }

    /// What the link is believed to carry, in bit/s; none where nothing is known.
    pub(super) fn believed(&self) -> Option<u64> {
        match self.current() {
            Some(bandwidth) => Some(bandwidth.believed()),
            None => self.reported.as_deref()?.estimate(),
        }
    }

    /// How fast the packets of a track are to leave; none for as they come.
    pub(super) fn pace(&self, forwarder: &Forwarder) -> Option<Pace> {
        if forwarder.can_be_measured() {
            return self.current()?.pace();
        }
        let reported = self.reported.as_deref()?;
        let is_its = reported.is_active && reported.ssrc == forwarder.ssrc();
        is_its.then(|| reported.pace())?
    }

    /// The player wants no more than this, in bit/s.
    pub(super) fn handle_remb(&mut self, now: Instant, bitrate: u64) {
        if let Some(reported) = self.reported() {
            reported.handle_remb(now, bitrate);
        }
    }

    /// The player tells what it lost of a track.
    pub(super) fn handle_report(&mut self, now: Instant, report: &ReceptionReport) {
        if let Some(reported) = self.reported()
            && reported.ssrc == report.ssrc
        {
            reported.handle_loss(now, report.fraction_lost);
        }
    }

    /// More waited for the link than may.
    pub(super) fn handle_overflow(&mut self) {
        self.has_overflowed = true;
        if let Some(bandwidth) = self.active() {
            bandwidth.handle_overflow();
        } else if let Some(reported) = self.reported() {
            reported.handle_overflow();
        }
    }

    /// Lets a track have what the link carries of its layers. Returns whether that is another one.
    pub(super) fn adapt(&mut self, forwarder: &mut Forwarder, layers: &[RankedLayer]) -> bool {
        let before = forwarder.splice().target();
        let can_adapt = self.config.enabled && layers.len() > 1;
        let best = forwarder.choice_mut().best(layers).filter(|_| can_adapt);
        let share = match forwarder.can_be_measured() {
            true => self.measured_share(can_adapt, before, best, layers),
            false => self.reported_share(can_adapt, forwarder, best, layers),
        };
        forwarder.choice_mut().limit(share.map(|share| share.limit));
        forwarder.choose(layers);
        let changed = forwarder.splice().target() != before;
        if changed && share.is_some_and(|share| share.lowered) {
            if let Some(bandwidth) = self.active().filter(|_| forwarder.can_be_measured()) {
                if bandwidth.is_flooded() {
                    forwarder.hold(bandwidth.empty_at());
                }
            } else if let Some(empty_at) = self.reported_flood(before, layers) {
                forwarder.hold(Some(empty_at));
            }
        }
        changed
    }

    fn measured_share(
        &mut self,
        can_adapt: bool,
        current: LayerId,
        best: Option<LayerId>,
        layers: &[RankedLayer],
    ) -> Option<Share> {
        if can_adapt && self.bandwidth.is_none() {
            self.bandwidth = Some(Box::new(Bandwidth::new(&self.config)));
        }
        let bandwidth = self.bandwidth.as_deref_mut()?;
        bandwidth.is_active = can_adapt;
        match best {
            Some(best) => bandwidth.share(current, best, layers),
            None => {
                bandwidth.rest();
                None
            }
        }
    }

    /// The same by what the player says. There is one estimate, for the first track that has layers.
    fn reported_share(
        &mut self,
        can_adapt: bool,
        forwarder: &Forwarder,
        best: Option<LayerId>,
        layers: &[RankedLayer],
    ) -> Option<Share> {
        let ssrc = forwarder.ssrc();
        if can_adapt && self.reported.is_none() {
            let reported = Reported::new(&self.config, ssrc, forwarder.can_pad());
            self.reported = Some(Box::new(reported));
        }
        let reported = self.reported.as_deref_mut()?;
        if reported.ssrc != ssrc {
            return None;
        }
        reported.is_active = can_adapt;
        match best {
            Some(best) => reported.share(forwarder.splice().target(), best, layers),
            None => {
                reported.rest();
                None
            }
        }
    }

    /// Until when the link empties its queue, if the layer that is left was far too much by what the player says.
    fn reported_flood(&self, left: LayerId, layers: &[RankedLayer]) -> Option<Instant> {
        let left = layers.iter().find(|layer| layer.id == left)?;
        self.reported.as_deref()?.empty_at(left.status.bitrate)
    }
}

impl Subscriber {
    /// Whether there is something to adapt.
    pub fn is_adapting(&self) -> bool {
        let reported = self.adaptation.reported.as_deref();
        self.adaptation.current().is_some() || reported.is_some_and(|reported| reported.is_active)
    }

    /// How it adapts, told before the first packet.
    pub fn set_bandwidth(&mut self, config: &BandwidthConfig) {
        self.adaptation.config = config.clone();
    }

    /// What is known of the way to the viewer; none where there is nothing to choose.
    pub fn bandwidth(&self) -> Option<BandwidthStatus> {
        match self.adaptation.current() {
            Some(bandwidth) => Some(bandwidth.status()),
            None => {
                let reported = self.adaptation.reported.as_deref();
                let active = reported.filter(|reported| reported.is_active);
                active.map(Reported::status)
            }
        }
    }

    /// The layers that it is to have: what it gets now, or will from their next keyframes on.
    pub fn targets(&self) -> LayersByTrack {
        let mut targets = LayersByTrack::default();
        for forwarder in &self.forwarders {
            if let Some(track) = forwarder.track() {
                targets.insert(track, forwarder.splice().target());
            }
        }
        targets
    }

    /// After feedback or a timeout: sends the padding that is due, out of the rings, and chooses the
    /// layers anew. Returns whether there are other ones, which may wait for keyframes now.
    pub fn adapt<'r>(
        &mut self,
        now: Instant,
        layers: impl Fn(TrackId) -> Option<&'r [RankedLayer]>,
        ring: impl Fn(TrackId, LayerId) -> Option<&'r Ring>,
        outlet: &mut impl Outlet,
    ) -> bool {
        if !self.is_adapting() {
            return false;
        }
        self.pad(now, &ring, outlet);
        let mut changed = std::mem::take(&mut self.adaptation.has_overflowed);
        for forwarder in &mut self.forwarders {
            if let Some(track) = forwarder.track()
                && let Some(layers) = layers(track)
                && layers.len() > 1
                && self.adaptation.adapt(forwarder, layers)
            {
                changed = true;
                forwarder.expect_past(|layer| ring(track, layer));
            }
        }
        changed
    }

    /// Sends the padding that is due.
    fn pad<'r>(
        &mut self,
        now: Instant,
        ring: impl Fn(TrackId, LayerId) -> Option<&'r Ring>,
        outlet: &mut impl Outlet,
    ) {
        if let Some(bandwidth) = self.adaptation.active() {
            bandwidth.handle_timeout(now);
            if let Some((mut due, packets)) = bandwidth.poll_padding()
                && let Some(forwarder) = self
                    .forwarders
                    .iter_mut()
                    .find(|forwarder| forwarder.can_be_measured())
                && let Some(track) = forwarder.track()
            {
                let ring = |layer| ring(track, layer);
                for back in 0..packets as u64 {
                    let stamps = bandwidth.stamps(now);
                    let sent = forwarder.pad(back, ring, Some(stamps), outlet);
                    bandwidth.count_padding(sent);
                    due = due.saturating_sub(sent as u64);
                    if due == 0 || sent == 0 {
                        break;
                    }
                }
            }
        }
        if let Some(reported) = self.adaptation.reported() {
            reported.handle_timeout(now);
            let mut due = reported.poll_padding();
            if let Some(forwarder) = self
                .forwarders
                .iter_mut()
                .find(|forwarder| forwarder.ssrc() == reported.ssrc)
                && let Some(track) = forwarder.track()
            {
                let mut back = 0;
                while due > 0 && back < MAX_PADDING {
                    let sent = forwarder.pad(back, |layer| ring(track, layer), None, outlet);
                    reported.count_padding(sent);
                    due = due.saturating_sub(sent as u64);
                    back += 1;
                    if sent == 0 {
                        break;
                    }
                }
            }
        }
    }
}
