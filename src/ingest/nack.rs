//! Which packets of a track are missing, and when to ask for them (generic NACK, RFC 4585, section
//! 6.2.1).
//!
//! Our own, because the generator of `rtc::interceptor` wraps a whole chain of interceptors, asks on a
//! fixed tick and knows neither the round trip nor that a loss was given up. Nothing is allocated
//! and no timer is set while nothing is missing.

use std::ops::Range;
use std::time::{Duration, Instant};

/// Losses that are waited for at once; a burst beyond is beyond repair.
const MAX_MISSING: usize = 512;

/// How often one packet is asked for: on the shortest way as often as its age allows. Fewer would all
/// fall into one outage of the path there.
const MAX_TRIES: u8 = 25;

/// The shortest time between two requests for one packet.
const MIN_REPEAT: Duration = Duration::from_millis(40);

/// How long a packet may be late on a track without retransmission before it is lost.
const WITHOUT_NACK: Duration = Duration::from_millis(100);

/// What is assumed of the round trip before it was measured.
const INITIAL_ROUND_TRIP: Duration = Duration::from_millis(100);

/// The losses of one track.
#[derive(Debug)]
pub(super) struct Losses {
    /// Time alone, and no count of later packets: video comes in bursts, so that a packet which
    /// overtook ten others within a millisecond would be asked for. 10 ms is more than links and
    /// network cards reorder, little beside a round trip, and gathers a burst of losses in one NACK.
    tolerance: Duration,
    age_limit: Duration,
    repairable: bool,
    /// By number.
    missing: Vec<Missing>,
    due: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    number: u64,
    since: Instant,
    first_asked: Option<Instant>,
    tries: u8,
    next: Instant,
}

/// A packet that was missing has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Repaired {
    /// Since the first request; none when it was only late.
    pub(super) since_asked: Option<Duration>,
    /// How often it was asked for.
    pub(super) tries: u8,
}

/// What is not waited for any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct GivenUp {
    pub(super) count: u64,
    /// The newest of them.
    pub(super) newest: Option<u64>,
}

impl GivenUp {
    fn add(&mut self, number: u64) {
        self.count += 1;
        self.newest = self.newest.max(Some(number));
    }
}

impl Losses {
    /// `repairable` when NACK was negotiated; otherwise losses are only waited for.
    pub(super) fn new(tolerance: Duration, age_limit: Duration, repairable: bool) -> Self {
        Self {
            tolerance: if repairable { tolerance } else { WITHOUT_NACK },
            age_limit,
            repairable,
            missing: Vec::new(),
            due: None,
        }
    }

    /// These numbers are missing: all of them higher than any before.
    pub(super) fn miss(&mut self, now: Instant, numbers: Range<u64>) -> GivenUp {
        let count = numbers.end.saturating_sub(numbers.start);
        if self.missing.len() as u64 + count > MAX_MISSING as u64 {
            let mut given_up = self.clear();
            given_up.count += count;
            given_up.newest = numbers.end.checked_sub(1);
            return given_up;
        }
        let next = now + self.tolerance;
        self.missing.extend(numbers.map(|number| Missing {
            number,
            since: now,
            first_asked: None,
            tries: 0,
            next,
        }));
        self.due = Some(self.due.map_or(next, |due| due.min(next)));
        GivenUp::default()
    }

    /// A packet that is not the newest has come.
    pub(super) fn arrive(&mut self, now: Instant, number: u64) -> Option<Repaired> {
        let index = self
            .missing
            .binary_search_by_key(&number, |missing| missing.number)
            .ok()?;
        let missing = self.missing.remove(index);
        if self.missing.is_empty() {
            self.due = None;
        }
        Some(Repaired {
            since_asked: missing
                .first_asked
                .map(|asked| now.saturating_duration_since(asked)),
            tries: missing.tries,
        })
    }

    /// Forgets all losses: the source has gone.
    pub(super) fn clear(&mut self) -> GivenUp {
        let mut given_up = GivenUp::default();
        for missing in self.missing.drain(..) {
            given_up.add(missing.number);
        }
        self.due = None;
        given_up
    }

    /// When [`Self::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Adds the sequence numbers to ask for now to `ask`, in order.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        round_trip: RoundTrip,
        ask: &mut Vec<u16>,
    ) -> GivenUp {
        let mut given_up = GivenUp::default();
        if self.due.is_none_or(|due| now < due) {
            return given_up;
        }
        let (repairable, age_limit, repeat) =
            (self.repairable, self.age_limit, round_trip.repeat());
        self.missing.retain_mut(|missing| {
            let age = now.saturating_duration_since(missing.since);
            if now < missing.next && age < age_limit {
                return true;
            }
            if !repairable || missing.tries >= MAX_TRIES || age >= age_limit {
                given_up.add(missing.number);
                return false;
            }
            missing.first_asked.get_or_insert(now);
            missing.tries += 1;
            missing.next = (now + repeat).min(missing.since + age_limit);
            ask.push(missing.number as u16);
            true
        });
        self.due = self.missing.iter().map(|missing| missing.next).min();
        given_up
    }
}

/// The time from a request to the repair, smoothed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RoundTrip {
    measured: Option<Duration>,
}

impl RoundTrip {
    /// Learns from a repair. One that was asked for more than twice tells nothing; the second request
    /// gives an upper bound, without which a first guess that is too short would never be mended.
    pub(super) fn learn(&mut self, repaired: Repaired) {
        if let Repaired {
            since_asked: Some(sample),
            tries: 1 | 2,
        } = repaired
        {
            self.measured = Some(match self.measured {
                None => sample,
                Some(smoothed) => (smoothed * 7 + sample) / 8,
            });
        }
    }

    /// None before the first repair.
    pub(super) fn measured(self) -> Option<Duration> {
        self.measured
    }

    fn repeat(self) -> Duration {
        let round_trip = self.measured.unwrap_or(INITIAL_ROUND_TRIP);
        (round_trip * 3 / 2).max(MIN_REPEAT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: Duration = Duration::from_millis(10);

    fn losses(repairable: bool) -> (Losses, Instant) {
        let losses = Losses::new(TOLERANCE, Duration::from_secs(1), repairable);
        (losses, Instant::now())
    }

    #[test]
    fn a_late_packet_is_never_asked_for() {
        let (mut losses, now) = losses(true);
        assert_eq!(losses.miss(now, 10..11), GivenUp::default());
        let repaired = losses.arrive(now + Duration::from_millis(3), 10).unwrap();
        assert_eq!(repaired.since_asked, None);
        assert_eq!(losses.poll_timeout(), None);
    }

    #[test]
    fn requests_repeat_until_the_age_limit() {
        let (mut losses, now) = losses(true);
        let _ = losses.miss(now, 10..12);
        let mut times = Vec::new();
        let mut ask = Vec::new();
        let given_up = loop {
            let due = losses.poll_timeout().unwrap();
            let given_up = losses.handle_timeout(due, RoundTrip::default(), &mut ask);
            if given_up.count > 0 {
                break given_up;
            }
            times.push((due - now).as_millis());
        };
        assert_eq!(times, [10, 160, 310, 460, 610, 760, 910]);
        assert_eq!(ask[..2], [10, 11]);
        assert_eq!((given_up.count, given_up.newest), (2, Some(11)));
        assert_eq!(losses.poll_timeout(), None);
    }

    #[test]
    fn the_repeat_follows_the_measured_round_trip() {
        let mut round_trip = RoundTrip::default();
        assert_eq!(round_trip.repeat(), Duration::from_millis(150));
        let repaired = |millis, tries| Repaired {
            since_asked: Some(Duration::from_millis(millis)),
            tries,
        };
        round_trip.learn(repaired(900, 3));
        assert_eq!(round_trip.measured(), None);
        round_trip.learn(repaired(200, 1));
        assert_eq!(round_trip.repeat(), Duration::from_millis(300));
        for _ in 0..40 {
            round_trip.learn(repaired(5, 1));
        }
        assert_eq!(round_trip.repeat(), MIN_REPEAT);
    }

    #[test]
    fn a_burst_beyond_the_limit_is_given_up_at_once() {
        let (mut losses, now) = losses(true);
        let _ = losses.miss(now, 10..20);
        let given_up = losses.miss(now, 30..30 + MAX_MISSING as u64);
        assert_eq!(given_up.count, 10 + MAX_MISSING as u64);
        assert_eq!(losses.poll_timeout(), None);
    }

    #[test]
    fn nothing_is_asked_for_when_nack_was_not_negotiated() {
        let (mut losses, now) = losses(false);
        let _ = losses.miss(now, 10..11);
        let mut ask = Vec::new();
        let given_up = losses.handle_timeout(now + WITHOUT_NACK, RoundTrip::default(), &mut ask);
        assert_eq!((given_up.count, ask.len()), (1, 0));
    }
}
