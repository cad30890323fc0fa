//! Probes: a short time in which more is sent than media has, to see whether it arrives.
//!
//! Only such proof lets the estimate grow beyond what the current layer needs.

/// How long a probe lasts, in microseconds, and the least that it sends.
const DURATION: i64 = 200_000;
const LEAST_BYTES: u64 = 6_000;

/// The time between two looks at what is due.
const TICK: i64 = 5_000;

/// A probe that takes longer, because there is too little to send, ends.
const LONGEST: i64 = 400_000;

/// The time for feedback to come, beyond the round trip.
const PATIENCE: i64 = 200_000;

/// The time between two probes: after the first failure, and at most.
const FIRST_BACKOFF: i64 = 1_000_000;
const LONGEST_BACKOFF: i64 = 6_000_000;

/// Padding of one look, in packets.
const BURST: usize = 8;

/// Arrived packets of which a rate is taken, at least.
const LEAST_PACKETS: u32 = 5;

/// The probes of one transport. Times are in microseconds.
#[derive(Debug)]
pub(super) struct Prober {
    state: State,
    /// The number of the newest probe, never 0.
    id: u8,
    not_before: i64,
    backoff: i64,
    pub(super) begun: u64,
    pub(super) failed: u64,
}

#[derive(Debug)]
enum State {
    Idle,
    Sending {
        target: u64,
        began: i64,
        next: i64,
        sent: u64,
        result: Result,
    },
    Waiting {
        target: u64,
        until: i64,
        result: Result,
    },
}

/// What is known of the packets of a probe.
#[derive(Clone, Copy, Debug, Default)]
struct Result {
    sent: Span,
    arrived: Span,
}

/// Packets in their order, by one clock.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    packets: u32,
    bytes: u64,
    first: (i64, u64),
    last: (i64, u64),
}

/// What a probe showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// So much arrived, as fast as it was sent.
    Proven(u64),
    /// It did not; what arrived is a measure of the way, where enough did.
    Failed(Option<u64>),
}

impl Default for Prober {
    fn default() -> Self {
        Self {
            state: State::Idle,
            id: 0,
            not_before: 0,
            backoff: FIRST_BACKOFF,
            begun: 0,
            failed: 0,
        }
    }
}

impl Prober {
    /// The probe that is under way, 0 for none: what is sent now belongs to it.
    pub(super) fn current(&self) -> u8 {
        match self.state {
            State::Sending { .. } => self.id,
            _ => 0,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// When one may begin.
    pub(super) fn not_before(&self) -> i64 {
        self.not_before
    }

    /// No probe begins for this long.
    pub(super) fn defer(&mut self, until: i64) {
        self.not_before = self.not_before.max(until);
    }

    /// Begins to send at `target` bit/s.
    pub(super) fn begin(&mut self, now: i64, target: u64) {
        self.id = self.id.checked_add(1).unwrap_or(1);
        self.begun += 1;
        self.state = State::Sending {
            target,
            began: now,
            next: now,
            sent: 0,
            result: Result::default(),
        };
    }

    /// A packet was sent, of media or of padding.
    pub(super) fn handle_sent(&mut self, now: i64, bytes: usize) {
        if let State::Sending { sent, result, .. } = &mut self.state {
            *sent += bytes as u64;
            result.sent.add(now, bytes as u64);
        }
    }

    /// A packet of probe `id` arrived.
    pub(super) fn handle_arrival(&mut self, id: u8, arrived: i64, bytes: u16) {
        if id != self.id {
            return;
        }
        if let State::Sending { result, .. } | State::Waiting { result, .. } = &mut self.state {
            result.arrived.add(arrived, u64::from(bytes));
        }
    }

    /// Sends no more for the probe that is under way: queues grow.
    pub(super) fn stop(&mut self, now: i64, round_trip: i64) {
        if let State::Sending { target, result, .. } = self.state {
            self.state = State::Waiting {
                target,
                until: now + round_trip + PATIENCE,
                result,
            };
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<i64> {
        match self.state {
            State::Idle => None,
            State::Sending { next, .. } => Some(next),
            State::Waiting { until, .. } => Some(until),
        }
    }

    /// The bytes of padding that are due now, and the most packets for them.
    pub(super) fn due(&mut self, now: i64, round_trip: i64) -> Option<(u64, usize)> {
        let State::Sending {
            target,
            began,
            next,
            sent,
            ..
        } = &mut self.state
        else {
            return None;
        };
        if now < *next {
            return None;
        }
        *next = now + TICK;
        let elapsed = now - *began;
        let is_full = elapsed >= DURATION && *sent >= LEAST_BYTES;
        if is_full || elapsed >= LONGEST {
            self.stop(now, round_trip);
            return None;
        }
        // The first look sends one packet, so that the rate has a beginning.
        let due = *target * (elapsed + TICK) as u64 / 8_000_000;
        Some((due.saturating_sub(*sent), BURST)).filter(|(bytes, _)| *bytes > 0)
    }

    /// What the probe that is over showed, once.
    pub(super) fn poll_outcome(&mut self, now: i64) -> Option<Outcome> {
        let State::Waiting {
            target,
            until,
            result,
        } = self.state
        else {
            return None;
        };
        let all = result.arrived.packets >= result.sent.packets;
        if !all && now < until {
            return None;
        }
        self.state = State::Idle;
        let outcome = result.outcome(target);
        match outcome {
            Outcome::Proven(_) => {
                self.backoff = FIRST_BACKOFF;
                self.not_before = now;
            }
            Outcome::Failed(_) => {
                self.failed += 1;
                self.not_before = now + self.backoff;
                self.backoff = (2 * self.backoff).min(LONGEST_BACKOFF);
            }
        }
        Some(outcome)
    }
}

impl Result {
    fn outcome(&self, target: u64) -> Outcome {
        let enough = self.arrived.packets >= LEAST_PACKETS
            && 10 * self.arrived.packets >= 8 * self.sent.packets;
        let sent = self.sent.rate_without(self.sent.last.1);
        let arrived = self.arrived.rate_without(self.arrived.first.1);
        match (sent, arrived) {
            // Arriving faster than they were sent, packets prove what was sent and no more.
            (Some(sent), Some(arrived)) if enough && 20 * arrived >= 17 * sent => {
                Outcome::Proven(sent.min(arrived).min(2 * target))
            }
            (_, Some(arrived)) if enough => Outcome::Failed(Some(9 * arrived / 10)),
            _ => Outcome::Failed(None),
        }
    }
}

impl Span {
    fn add(&mut self, at: i64, bytes: u64) {
        if self.packets == 0 || at < self.first.0 {
            self.first = (at, bytes);
        }
        if self.packets == 0 || at >= self.last.0 {
            self.last = (at, bytes);
        }
        self.packets += 1;
        self.bytes += bytes;
    }

    /// In bit/s: so many bytes of one end do not count, since the time is that between the ends.
    fn rate_without(&self, bytes: u64) -> Option<u64> {
        let time = u64::try_from(self.last.0 - self.first.0).ok()?;
        ((self.bytes - bytes) * 8_000_000).checked_div(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND_TRIP: i64 = 40_000;

    /// A probe of 1 Mbit/s over a link of so many bit/s.
    fn probe(link: i64) -> (Prober, Option<Outcome>) {
        let mut prober = Prober::default();
        prober.begin(0, 1_000_000);
        let (mut now, mut free) = (0, 0);
        let mut arrivals = Vec::new();
        while let (1.., Some(next)) = (prober.current(), prober.poll_timeout()) {
            now = next.max(now);
            if let Some((mut bytes, most)) = prober.due(now, ROUND_TRIP) {
                for _ in 0..most {
                    prober.handle_sent(now, 1_000);
                    free = now.max(free) + 8_000_000_000 / link;
                    arrivals.push((now, free));
                    bytes = bytes.saturating_sub(1_000);
                    if bytes == 0 {
                        break;
                    }
                }
            }
        }
        for (_, arrived) in arrivals {
            prober.handle_arrival(1, arrived, 1_000);
        }
        let outcome = prober.poll_outcome(now);
        (prober, outcome)
    }

    #[test]
    fn what_arrives_as_it_was_sent_is_proven() {
        let (prober, outcome) = probe(4_000_000);
        let Some(Outcome::Proven(bitrate)) = outcome else {
            panic!("{outcome:?}");
        };
        assert!(bitrate.abs_diff(1_000_000) < 120_000, "{bitrate}");
        assert!(prober.is_idle());
    }

    #[test]
    fn a_probe_that_fails_is_not_repeated_soon() {
        let (mut prober, outcome) = probe(700_000);
        assert!(
            matches!(outcome, Some(Outcome::Failed(Some(500_000..=700_000)))),
            "{outcome:?}"
        );
        let first = prober.not_before();
        prober.begin(first, 1_000_000);
        prober.handle_sent(first, 1);
        prober.stop(first, ROUND_TRIP);
        let until = prober.poll_timeout().unwrap();
        assert_eq!(prober.poll_outcome(until - 1), None, "feedback may come");
        prober.poll_outcome(until);
        assert!(prober.not_before() - until >= FIRST_BACKOFF);
        assert_eq!((prober.begun, prober.failed), (2, 2));
    }
}
