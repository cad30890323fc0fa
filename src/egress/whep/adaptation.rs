//! A viewer's layers follow what its link carries.

use std::time::Instant;

use super::bandwidth::{Bandwidth, BandwidthConfig, BandwidthStatus};
use super::forwarder::Forwarder;
use super::{Outlet, Subscriber};
use crate::stream::{LayerId, RankedLayer, Ring, TrackId};

/// The part of a subscriber that adapts it.
#[derive(Debug, Default)]
pub(super) struct Adaptation {
    config: BandwidthConfig,
    /// Made when there is something to choose for the first time.
    bandwidth: Option<Box<Bandwidth>>,
    /// Some track waits for a keyframe that nobody has asked for yet.
    has_overflowed: bool,
}

impl Adaptation {
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

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.bandwidth.as_deref()?.poll_timeout()
    }

    /// More waited for the link than may.
    pub(super) fn handle_overflow(&mut self) {
        self.has_overflowed = true;
        if let Some(bandwidth) = self.active() {
            bandwidth.handle_overflow();
        }
    }

    /// Lets a track have what the link carries of its layers. Returns whether that is another one.
    pub(super) fn adapt(&mut self, forwarder: &mut Forwarder, layers: &[RankedLayer]) -> bool {
        let before = forwarder.splice().target();
        let can_adapt = self.config.enabled && layers.len() > 1 && forwarder.can_be_measured();
        if can_adapt && self.bandwidth.is_none() {
            self.bandwidth = Some(Box::new(Bandwidth::new(&self.config)));
        }
        let Some(bandwidth) = self
            .bandwidth
            .as_deref_mut()
            .filter(|_| forwarder.can_be_measured())
        else {
            forwarder.choose(layers);
            return forwarder.splice().target() != before;
        };
        bandwidth.is_active = can_adapt;
        let best = forwarder.choice_mut().best(layers).filter(|_| can_adapt);
        let share = best.and_then(|best| bandwidth.share(before, best, layers));
        if best.is_none() {
            bandwidth.rest();
        }
        forwarder.choice_mut().limit(share.map(|share| share.limit));
        forwarder.choose(layers);
        let changed = forwarder.splice().target() != before;
        if changed && share.is_some_and(|share| share.lowered) && bandwidth.is_flooded() {
            forwarder.hold(bandwidth.empty_at());
        }
        changed
    }
}

impl Subscriber {
    /// Whether there is something to adapt.
    pub fn is_adapting(&self) -> bool {
        self.adaptation.current().is_some()
    }

    /// How it adapts, told before the first packet.
    pub fn set_bandwidth(&mut self, config: &BandwidthConfig) {
        self.adaptation.config = config.clone();
    }

    /// What is known of the way to the viewer; none where there is nothing to choose.
    pub fn bandwidth(&self) -> Option<BandwidthStatus> {
        self.adaptation.current().map(Bandwidth::status)
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
        let Some(bandwidth) = self.adaptation.active() else {
            return false;
        };
        bandwidth.handle_timeout(now);
        if let Some((mut due, packets)) = bandwidth.poll_padding()
            && let Some(forwarder) = self
                .forwarders
                .iter_mut()
                .find(|forwarder| forwarder.can_be_measured())
            && let Some(track) = forwarder.track()
        {
            for back in 0..packets as u64 {
                let stamps = bandwidth.stamps(now);
                let sent = forwarder.pad(back, |layer| ring(track, layer), stamps, outlet);
                bandwidth.count_padding(sent);
                due = due.saturating_sub(sent as u64);
                if due == 0 || sent == 0 {
                    break;
                }
            }
        }
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
}
