//! Which recording of a stream writes, when one follows on another.

use std::time::Instant;

use super::State;
use crate::egress::hls::rendition::RenditionId;
use crate::egress::hls::store::Offer;

impl State {
    /// Another recording begins, and gets its number.
    pub(in crate::egress::hls::store) fn begin(&mut self) -> u64 {
        let is_over = self.abandoned.is_some() || self.ended.is_some();
        let idle = self.generation == 0 || is_over || self.unavailable.is_some();
        self.newest += 1;
        self.next_offers = std::array::from_fn(|_| None);
        self.abandoned = None;
        self.ended = None;
        // One that promised nothing yet must not do so behind the back of the next.
        if idle || self.is_too_young() {
            self.take_over();
        }
        self.newest
    }

    /// The newest recording writes from here on: its first segment gets a number that none had.
    fn take_over(&mut self) {
        self.generation = self.newest;
        self.unavailable = None;
        self.figures = None;
        self.base = self.next_number;
        self.offers = std::mem::replace(&mut self.next_offers, std::array::from_fn(|_| None));
        self.close();
        self.forget_rendered();
    }

    /// Whether a recording may write; one that has its first part to write may.
    pub(in crate::egress::hls::store) fn may_write(&mut self, recording: u64) -> bool {
        if recording == self.newest && recording != self.generation {
            self.take_over();
        }
        recording == self.generation
    }

    /// Whether a recording writes now.
    pub(in crate::egress::hls::store) fn writes(&self, recording: u64) -> bool {
        recording == self.generation
    }

    /// A recording has ended. True when no other has begun.
    pub(in crate::egress::hls::store) fn leave(&mut self, recording: u64, now: Instant) -> bool {
        let last = recording == self.newest;
        if last || recording == self.generation {
            self.close();
        }
        if last {
            self.abandoned = Some(now);
        } else if recording == self.generation {
            self.take_over();
        }
        last
    }

    pub(in crate::egress::hls::store) fn set_offer(
        &mut self,
        recording: u64,
        rendition: RenditionId,
        offer: Option<Offer>,
    ) {
        if recording == self.generation {
            self.offers[rendition.index()] = offer;
            self.indexes = Default::default();
            self.changes += 1;
        } else if recording == self.newest {
            self.next_offers[rendition.index()] = offer;
        }
    }
}
