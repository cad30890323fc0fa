//! When a packet can't be sent again, a keyframe is what helps.

use std::time::{Duration, Instant};

use super::Forwarder;
use crate::egress::whep::catch_up::{CatchUp, Pace};
use crate::egress::whep::pleas::Pleas;
use crate::egress::whep::retransmission::Repetition;
use crate::rtp::MediaKind;
use crate::stream::{LayerId, Ring};

/// The way to a viewer and back, as long as it has not told it.
const ROUND_TRIP: Duration = Duration::from_millis(200);

impl Forwarder {
    /// Other bounds of what the viewer may ask for.
    pub(in crate::egress::whep) fn set_pleas(&mut self, pleas: Pleas) {
        self.pleas = pleas;
    }

    /// Whether a keyframe that the viewer asks for may be asked of the publisher.
    pub(in crate::egress::whep) fn grants_keyframe(&mut self, now: Instant) -> bool {
        let granted = self.pleas.grant(now);
        self.tally.keyframes_refused += u64::from(!granted);
        granted
    }

    /// The viewer has lost the picture: begins again with the keyframe that the layer's `ring` begins with, under
    /// new numbers, and [`Forwarder::catch_up`] is due at once. None where that does not help: there is none, or too
    /// much after it for the way there; it is so young that the viewer has it anyway, or it was sent again before.
    pub(in crate::egress::whep) fn begin_again<'r>(
        &mut self,
        now: Instant,
        pace: Pace,
        round_trip: Option<Duration>,
        ring: impl Fn(LayerId) -> Option<&'r Ring>,
    ) -> Option<&CatchUp> {
        let layer = self.splice.target();
        let is_paced = self.pacer.as_ref().is_some_and(|pacer| pacer.is_used());
        let is_followed = self.kind == MediaKind::Video && self.splice.follows(layer);
        if is_paced || !is_followed {
            return None;
        }
        let ring = ring(layer)?;
        let start = ring.start()?;
        let age = now.saturating_duration_since(start.received);
        if age <= round_trip.unwrap_or(ROUND_TRIP) {
            return None;
        }
        let catch_up = CatchUp::new(now, layer, ring, pace)?;
        if !self.pleas.repeats((layer, start.sequence)) {
            return None;
        }
        Some(self.catch_up.insert(Box::new(catch_up)))
    }

    /// Whether to ask the publisher for a keyframe because our packet `own` is gone, before the viewer does:
    /// players try on for seconds. Costs as much of what it may ask for as a request of its own.
    pub(in crate::egress::whep) fn grants_keyframe_for(&mut self, now: Instant, own: u64) -> bool {
        let newest = self.splice.newest().unwrap_or(own);
        self.pleas.grant_for_loss(now, own, newest)
    }

    /// Tells a packet that the rings have let go from one that is not needed, or not there yet.
    pub(super) fn why_missed<'r>(
        &self,
        number: u16,
        ring: impl Fn(LayerId) -> Option<&'r Ring>,
    ) -> Repetition {
        let Some(origin) = self.splice.origin(number) else {
            return Repetition::None;
        };
        // Sound needs no keyframe; and a picture that is to begin anew has asked for its own.
        let needs = self.kind == MediaKind::Video
            && self.splice.current() == Some(origin.layer)
            && !self.splice.waits_for_keyframe();
        let is_gone = |ring: &Ring| {
            // A keyframe behind it mends all.
            let mended = |source| ring.start().is_some_and(|start| start.sequence > source);
            ring.has_passed(origin.source) && !mended(origin.source)
        };
        match ring(origin.layer) {
            Some(ring) if needs && is_gone(ring) => Repetition::Gone(origin.own),
            _ => Repetition::None,
        }
    }
}
