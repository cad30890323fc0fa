//! How fast packets leave to a viewer whose link is nearly full, and what a fall of the link means.

use std::time::{Duration, Instant};

use super::{Bandwidth, BandwidthConfig, CALM};

/// A link that carries less than so many quarters of the media is nearly full; once it is, it must
/// carry more than some more of them.
const NARROW: u64 = 8;
const NARROW_STILL: u64 = 9;

/// Packets leave so many quarters as fast as the link is known to be, so that a link that has become
/// faster shows it.
const PROBING: u64 = 5;

/// The pace, in quarters of the media's rate: what waits must get less, and frames need not be bursts.
const SLOWEST: u64 = 5;
const FASTEST: u64 = 10;

/// What waits for longer than this is no single frame.
const LONG: Duration = Duration::from_millis(30);

/// The longest time in which nothing is sent.
const LONGEST_REST: i64 = 1_000_000;

/// So long after a fall was noticed, in microseconds, what is sent is taken to pile up.
const FALLING: i64 = 200_000;

/// How fast packets leave, and how many may wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::egress::whep) struct Pace {
    /// Of a frame, in bit/s.
    pub(in crate::egress::whep) bitrate: u64,
    /// Of more than waits for long, such as a keyframe: no faster than the link is known to be, or the queue
    /// there would grow for so long that the link seems to have become narrower.
    pub(in crate::egress::whep) sustained: u64,
    /// No more waits than leaves in this time.
    pub(in crate::egress::whep) most_time: Duration,
    /// Nor more bytes.
    pub(in crate::egress::whep) most_bytes: u64,
}

impl Pace {
    /// For a layer of `media` bit/s: so fast for a frame, and so fast for more, within bounds.
    pub(super) fn of(media: u64, bitrate: u64, sustained: u64, config: &BandwidthConfig) -> Self {
        let (least, most) = (media * SLOWEST / 4, media * FASTEST / 4);
        let bounded = |bitrate: u64| bitrate.clamp(least, most).max(config.floor);
        Self {
            bitrate: bounded(bitrate),
            sustained: bounded(sustained),
            most_time: config.queue_time,
            most_bytes: config.queue_bytes,
        }
    }

    /// What leaves in this time while so many bytes wait.
    pub(in crate::egress::whep) fn bytes_in(self, time: Duration, waiting: u64) -> u64 {
        let bitrate = match self.time_of(waiting) > LONG {
            true => self.sustained,
            false => self.bitrate,
        };
        bitrate / 8 * time.as_micros() as u64 / 1_000_000
    }

    /// How long so many bytes take.
    pub(in crate::egress::whep) fn time_of(self, bytes: u64) -> Duration {
        Duration::from_micros(bytes * 8_000_000 / self.sustained.max(1))
    }
}

/// Whether the link of a viewer is nearly full.
#[derive(Debug, Default)]
pub(super) struct Constraint {
    /// The bitrate of the layer that it gets, in bit/s.
    media: u64,
    /// That is not the best, because the link carries less.
    is_limited: bool,
    is_narrow: bool,
    /// When a fall was noticed last.
    fell: Option<i64>,
}

impl Bandwidth {
    /// How fast packets are to leave; none for a link that carries them as they come.
    pub(in crate::egress::whep) fn pace(&self) -> Option<Pace> {
        if !self.is_constrained() {
            return None;
        }
        let media = self.constraint.media;
        let known = self.rate.current().max(self.trains.capacity().unwrap_or(0));
        Some(Pace::of(media, known * PROBING / 4, known, &self.config))
    }

    /// Whether the link carries little more than what is sent.
    pub(super) fn is_constrained(&self) -> bool {
        let constraint = &self.constraint;
        self.config.pacing
            && self.heard.is_some()
            && constraint.media > 0
            && (constraint.is_limited || constraint.is_narrow)
    }

    /// The viewer gets a layer of this bitrate, or, if `is_limited`, no better one.
    pub(super) fn set_media(&mut self, bitrate: u64, is_limited: bool) {
        self.constraint.media = bitrate;
        self.constraint.is_limited = is_limited;
        // The first keyframe of a better layer comes before more is heard of the link.
        self.look_at_capacity();
    }

    /// What is sent, or what is known of the link, has become another.
    pub(super) fn look_at_capacity(&mut self) {
        let quarters = match self.constraint.is_narrow {
            true => NARROW_STILL,
            false => NARROW,
        };
        let most = self.constraint.media * quarters / 4;
        let capacity = self.trains.capacity();
        self.constraint.is_narrow = capacity.is_some_and(|capacity| capacity < most);
    }

    /// The newest packets pass so slowly that the link must have become another one: then it is
    /// believed at once. Returns whether it is so.
    pub(super) fn look_for_fall(&mut self, now: i64) -> bool {
        if self.is_falling() {
            return false;
        }
        let fallen = self
            .acknowledged
            .bitrate()
            .and_then(|bitrate| self.trains.plunged(bitrate));
        let Some(capacity) = fallen else {
            return false;
        };
        if !self.rate.plunge(now, capacity) {
            return false;
        }
        self.trains.reset(capacity);
        self.prober.stop(now, self.round_trip);
        self.constraint.fell = Some(now);
        true
    }

    /// Whether a fall was noticed just now.
    pub(super) fn is_falling(&self) -> bool {
        let fell = self.constraint.fell;
        fell.is_some_and(|fell| self.now - fell < FALLING)
    }

    /// When the link will have emptied its queue if nothing more is sent; none where that is short, or
    /// nothing is known of it.
    pub(in crate::egress::whep) fn empty_at(&self) -> Option<Instant> {
        let newest = self.newest?;
        let carries = self.acknowledged.recent().unwrap_or(0);
        let carries = match self.is_falling() {
            true => self.trains.capacity().unwrap_or(carries),
            false => carries,
        };
        let bytes = self.history.bytes_after(newest);
        // What the newest feedback tells of left the queue as long ago as the way there and back takes.
        let micros = (bytes * 8_000_000).checked_div(carries)? as i64 - self.round_trip;
        let rest = micros.min(LONGEST_REST);
        let now = self.epoch? + Duration::from_micros(u64::try_from(self.now).ok()?);
        (rest > CALM).then(|| now + Duration::from_micros(rest as u64))
    }

    /// More waited to be sent than may: the layer is too much.
    pub(in crate::egress::whep) fn handle_overflow(&mut self) {
        let carried = 4 * self.constraint.media / 5;
        self.rate.lower(self.now, carried);
        self.wake = Some(self.now);
    }
}
