//! To another layer of the same source, whose packets of the same picture came before those of the layer
//! that is left.

use std::sync::Arc;
use std::time::Instant;

use super::bandwidth::Stamps;
use super::forwarder::Forwarder;
use super::{Outlet, Subscriber};
use crate::egress::SenderClock;
use crate::egress::splice::Passed;
use crate::stream::{LayerId, Ring, TrackId};

impl Subscriber {
    /// Whether lines have stopped at pictures that other layers go on with.
    pub fn is_turning(&self) -> bool {
        let mut forwarders = self.forwarders.iter();
        forwarders.any(|forwarder| forwarder.splice().turn().is_some())
    }

    /// Goes on with the layers that a picture led to which was given to [`Self::forward`], out of the rings; one that
    /// has none of it when the next such picture has come, begins with a keyframe.
    /// To be called when all that is in the rings has been given to that, or what it repeats would be sent twice.
    /// Returns whether another layer is followed now.
    pub fn go_over<'r>(
        &mut self,
        now: Instant,
        ring: impl Fn(TrackId, LayerId) -> Option<&'r Ring>,
        clock: impl Fn(TrackId, LayerId) -> Option<SenderClock>,
        outlet: &mut impl Outlet,
    ) -> bool {
        let mut switched = false;
        for forwarder in &mut self.forwarders {
            let (Some(track), Some(_)) = (forwarder.track(), forwarder.splice().turn()) else {
                continue;
            };
            let (ring, clock) = (|layer| ring(track, layer), |layer| clock(track, layer));
            let stamps = self.adaptation.active();
            let stamps = stamps.map(|bandwidth| bandwidth.stamps(now));
            let passed = forwarder.go_over(ring, clock, stamps, outlet);
            forwarder.end_missed_turn();
            self.budget.earn(passed.packets);
            if passed.switched {
                self.report_at = Some(now);
                switched = true;
            }
        }
        switched
    }
}

impl Forwarder {
    /// See [`Subscriber::go_over`]. Where packets wait to be sent, that is done when those of the picture are.
    fn go_over<'r>(
        &mut self,
        ring: impl Fn(LayerId) -> Option<&'r Ring>,
        clock: impl Fn(LayerId) -> Option<SenderClock>,
        stamps: Option<Stamps<'_>>,
        outlet: &mut impl Outlet,
    ) -> Passed {
        let (target, picture) = (self.splice().target(), self.splice().turn());
        let ring = ring(target);
        let first = ring.zip(picture).and_then(|(ring, at)| ring.picture(at));
        let Some((ring, first)) = ring.zip(first) else {
            return Passed::default();
        };
        let packets = ring.packets_from(first.sequence).map(Arc::as_ref);
        self.forward(target, packets, clock, stamps, outlet)
    }
}
