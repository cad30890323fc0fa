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

/// How often one packet is asked for at most. Fewer would all fall into one outage of a short path.
const MAX_TRIES: u8 = 25;

/// After so many requests the time between them doubles, twice at most: what stands in the way then is no loss of
/// single packets.
const EAGER_TRIES: u8 = 8;

/// After so many losses, one after another, for which requests were in vain, the source is taken for one that does
/// not answer: some do for one layer of a simulcast alone.
const MAX_UNANSWERED: u32 = 16;

/// The shortest time between two requests for one packet.
const MIN_REPEAT: Duration = Duration::from_millis(20);

/// How long a packet may be late on a track without retransmission before it is lost.
const WITHOUT_NACK: Duration = Duration::from_millis(100);

/// The time between two requests for one packet before the round trip was measured.
const INITIAL_REPEAT: Duration = Duration::from_millis(150);

/// So many doubtful repairs one after another say that the round trip is longer than was measured.
const MAX_DOUBTFUL: u8 = 16;

/// The least that repairs are taken to vary by.
const MIN_VARIATION: Duration = Duration::from_millis(10);

/// The losses of one track.
#[derive(Debug)]
pub(super) struct Losses {
    /// Time alone, and no count of later packets: video comes in bursts, so that a packet which
    /// overtook ten others within a millisecond would be asked for. 10 ms is more than links and
    /// network cards reorder, little beside a round trip, and gathers a burst of losses in one NACK.
    tolerance: Duration,
    age_limit: Duration,
    repairable: bool,
    /// Losses given up after requests, since the last repair.
    unanswered: u32,
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
            unanswered: 0,
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
        if missing.tries > 0 {
            self.unanswered = 0;
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
        let (age_limit, repeat) = (self.age_limit, round_trip.repeat());
        // Each loss is still asked for once, as the source may have changed its mind.
        let max_tries = match (self.repairable, self.unanswered < MAX_UNANSWERED) {
            (true, true) => MAX_TRIES,
            (true, false) => 1,
            (false, _) => 0,
        };
        let mut unanswered = 0;
        self.missing.retain_mut(|missing| {
            if now < missing.next {
                return true;
            }
            // The last request has had its time, too.
            let age = now.saturating_duration_since(missing.since);
            if missing.tries >= max_tries || age >= age_limit {
                unanswered += u32::from(missing.tries > 0);
                given_up.add(missing.number);
                return false;
            }
            missing.first_asked.get_or_insert(now);
            missing.next = now + repeat * (1 << (missing.tries / EAGER_TRIES).min(2));
            missing.tries += 1;
            ask.push(missing.number as u16);
            true
        });
        self.unanswered = self.unanswered.saturating_add(unanswered);
        self.due = self.missing.iter().map(|missing| missing.next).min();
        given_up
    }
}

/// The time from a request to the repair, smoothed, and how much it varies, as TCP measures them (RFC 6298,
/// section 2).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RoundTrip {
    measured: Option<Measured>,
    /// Repairs one after another that may be the answer to any of several requests.
    doubtful: u8,
}

#[derive(Clone, Copy, Debug)]
struct Measured {
    smoothed: Duration,
    variation: Duration,
}

impl RoundTrip {
    /// Learns from a repair. One that was asked for several times may be the answer to any of the requests: it
    /// counts where it came sooner than expected, or where all do for a while, because then requests are
    /// repeated too early.
    pub(super) fn learn(&mut self, repaired: Repaired) {
        let Some(sample) = repaired.since_asked else {
            return;
        };
        let is_doubtful = match self.measured {
            None => repaired.tries > 2,
            Some(measured) => repaired.tries > 1 && sample > measured.smoothed,
        };
        if is_doubtful {
            self.doubtful += 1;
            if self.doubtful < MAX_DOUBTFUL {
                return;
            }
            self.measured = None;
        }
        self.doubtful = 0;
        self.measured = Some(match self.measured {
            // Less careful than TCP: a request that comes too early costs one packet.
            None => Measured {
                smoothed: sample,
                variation: sample / 8,
            },
            Some(Measured {
                smoothed,
                variation,
            }) => Measured {
                smoothed: (smoothed * 7 + sample) / 8,
                variation: (variation * 3 + smoothed.abs_diff(sample)) / 4,
            },
        });
    }

    /// None before the first repair.
    pub(super) fn measured(self) -> Option<Duration> {
        Some(self.measured?.smoothed)
    }

    /// After this time a repair would have come.
    fn repeat(self) -> Duration {
        let repeat = self.measured.map_or(INITIAL_REPEAT, |measured| {
            measured.smoothed + (measured.variation * 4).max(MIN_VARIATION)
        });
        repeat.max(MIN_REPEAT)
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

    fn repaired(millis: u64, tries: u8) -> Repaired {
        Repaired {
            since_asked: Some(Duration::from_millis(millis)),
            tries,
        }
    }

    fn is_about(round_trip: RoundTrip, millis: u64) {
        let repeat = round_trip.repeat();
        let off = repeat.abs_diff(Duration::from_millis(millis));
        assert!(off < Duration::from_millis(3), "{repeat:?}");
    }

    #[test]
    fn the_repeat_follows_the_measured_round_trip() {
        let mut round_trip = RoundTrip::default();
        is_about(round_trip, 150);
        round_trip.learn(repaired(900, 3));
        assert_eq!(round_trip.measured(), None);
        round_trip.learn(repaired(200, 1));
        is_about(round_trip, 300);
        for _ in 0..20 {
            round_trip.learn(repaired(200, 1));
        }
        is_about(round_trip, 210);
        // The answer to the second request, most likely.
        round_trip.learn(repaired(410, 2));
        is_about(round_trip, 210);
        for _ in 0..60 {
            round_trip.learn(repaired(5, 1));
        }
        assert_eq!(round_trip.repeat(), MIN_REPEAT);
    }

    #[test]
    fn a_round_trip_that_grows_beyond_the_repeat_is_learned() {
        let mut round_trip = RoundTrip::default();
        round_trip.learn(repaired(80, 1));
        for _ in 0..MAX_DOUBTFUL {
            assert!(round_trip.repeat() < Duration::from_millis(250));
            round_trip.learn(repaired(250, 3));
        }
        assert!(round_trip.repeat() > Duration::from_millis(250));
    }

    #[test]
    fn a_source_that_does_not_answer_is_asked_once_for_each_loss_until_it_does() {
        let (mut losses, mut now) = losses(true);
        let mut ask = Vec::new();
        let mut lose = |losses: &mut Losses, number, now: &mut Instant| {
            let _ = losses.miss(*now, number..number + 1);
            let begin = *now;
            ask.clear();
            while let Some(due) = losses.poll_timeout() {
                *now = due;
                let _ = losses.handle_timeout(due, RoundTrip::default(), &mut ask);
            }
            (ask.len(), *now - begin)
        };
        for number in 0..u64::from(MAX_UNANSWERED) {
            assert_eq!(lose(&mut losses, number, &mut now).0, 7);
        }
        let (asked, took) = lose(&mut losses, 100, &mut now);
        assert_eq!((asked, took), (1, TOLERANCE + INITIAL_REPEAT));
        let _ = losses.miss(now, 200..201);
        now += TOLERANCE;
        let _ = losses.handle_timeout(now, RoundTrip::default(), &mut Vec::new());
        assert_eq!(losses.arrive(now, 200).unwrap().tries, 1);
        assert_eq!(lose(&mut losses, 300, &mut now).0, 7);
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
