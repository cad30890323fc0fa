//! What the way to one viewer carries, and which layer that allows.
//!
//! The packets of a viewer who has layers to choose from carry transport-wide numbers. Feedback tells
//! when each arrived; from that come an estimate (`delay`, `rate`), probes that find out whether more
//! would arrive (`probe`), and the layer (`allocation`). Pure, and without allocation after the
//! beginning. Others have none of it. Sound carries no numbers: what it takes is not in the estimate,
//! so that no picture is ever given the room that sound needs.

mod acknowledged;
mod allocation;
mod config;
mod delay;
mod fill;
mod history;
mod pace;
mod probe;
mod rate;
mod reported;
mod stamps;
mod trains;

use std::time::{Duration, Instant};

use acknowledged::Acknowledged;
pub use config::BandwidthConfig;
pub(super) use pace::Pace;
pub(super) use reported::Reported;
pub(super) use stamps::{OVERHEAD, Stamps};

use allocation::Allocation;
pub(super) use allocation::Share;
use delay::{Delays, Usage};
use history::History;
use pace::Constraint;
use probe::{Outcome, Prober};
use rate::Rate;
use trains::Trains;

use crate::rtp::transport_feedback::{REFERENCE_MICROS, TransportFeedback};
use crate::stream::{LayerId, RankedLayer};

/// A viewer whose player sends no feedback for so long after the first numbered packet is not limited.
const TRIAL: i64 = 3_000_000;

/// Without feedback on what is sent for so long, after there was some, the estimate goes down, and so often again.
const SILENCE: i64 = 2_000_000;
const SILENCE_STEP: i64 = 1_000_000;

/// The queue, in microseconds, beyond which no probe begins, and that beyond which a layer is left at
/// once and not only with the next keyframe.
const CALM: i64 = 30_000;
const FLOOD: i64 = 50_000;

/// The queue that a probe may make.
const PROBED: i64 = 150_000;

/// A probe begins so long after the estimate went down at the earliest.
const CALM_TIME: i64 = 1_000_000;

/// A probe strives for what is needed and a tenth, by steps of at most so many halves.
const STEP: u64 = 3;

/// No probe is less, in bit/s.
const LEAST_PROBE: u64 = 300_000;

/// Where a probe can't begin, the next look, in microseconds.
const LOOK: i64 = 250_000;

/// What is known of the way to a viewer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BandwidthStatus {
    /// What the way carries for video, in bit/s; none without feedback.
    pub estimate: Option<u64>,
    /// How long the newest packets waited on the way.
    pub queueing: Duration,
    /// A better layer would be taken if the way carried more.
    pub is_limited: bool,
    /// From sending to feedback.
    pub round_trip: Duration,
    /// Steps to a better layer.
    pub ups: u64,
    /// Steps to a lesser layer.
    pub downs: u64,
    /// Probes begun.
    pub probes: u64,
    /// Probes that did not arrive as they were sent.
    pub probes_failed: u64,
    /// Padding sent for probes, in bytes.
    pub padding: u64,
}

/// The estimate for one viewer. Times inside are microseconds since the first packet.
#[derive(Debug)]
pub(super) struct Bandwidth {
    config: BandwidthConfig,
    epoch: Option<Instant>,
    /// The newest time that was told.
    now: i64,
    /// Whether packets carry numbers: there is something to choose.
    pub(super) is_active: bool,
    history: History,
    delays: Delays,
    acknowledged: Acknowledged,
    trains: Trains,
    rate: Rate,
    constraint: Constraint,
    prober: Prober,
    allocation: Allocation,
    /// The newest reference time of feedback, unwrapped.
    reference: Option<i64>,
    /// The number of the newest packet that is known to have arrived.
    newest: Option<u16>,
    /// When feedback came last.
    heard: Option<i64>,
    /// When the first packet left that no feedback has come after.
    unanswered: Option<i64>,
    silenced: i64,
    round_trip: i64,
    /// What the next better layer needs.
    needed: Option<u64>,
    /// When to look next.
    wake: Option<i64>,
    padding: u64,
}

impl Bandwidth {
    pub(super) fn new(config: &BandwidthConfig) -> Self {
        Self {
            epoch: None,
            now: 0,
            is_active: false,
            history: History::default(),
            delays: Delays::default(),
            acknowledged: Acknowledged::default(),
            trains: Trains::default(),
            constraint: Constraint::default(),
            rate: Rate::new(config.start, config.floor, config.ceiling),
            prober: Prober::default(),
            allocation: Allocation::default(),
            reference: None,
            newest: None,
            heard: None,
            unanswered: None,
            silenced: 0,
            round_trip: 100_000,
            needed: None,
            wake: None,
            padding: 0,
            config: config.clone(),
        }
    }

    /// What the link is believed to carry, in bit/s, before feedback too.
    pub(super) fn believed(&self) -> u64 {
        self.status().estimate.unwrap_or(self.config.start)
    }

    /// The numbers of packets that are sent now.
    pub(super) fn stamps(&mut self, now: Instant) -> Stamps<'_> {
        self.advance(now);
        Stamps { bandwidth: self }
    }

    /// Feedback came.
    pub(super) fn handle_feedback(&mut self, now: Instant, feedback: TransportFeedback<'_>) {
        if !self.is_active || self.epoch.is_none() {
            return;
        }
        let now = self.advance(now);
        let reference = self.unwrap(feedback.reference()) * REFERENCE_MICROS;
        let (mut lost, mut told, mut newest) = (0, 0, None);
        for (number, arrived) in feedback.statuses() {
            let Some(sent) = self.history.get(now, number) else {
                continue;
            };
            self.history.settle(number);
            told += 1;
            let Some(arrived) = arrived else {
                lost += 1;
                continue;
            };
            let arrived = reference + arrived;
            newest = newest.max(Some((sent.at, number)));
            self.trains.handle_arrival(sent.at, arrived, sent.size);
            self.delays.handle_arrival(sent.at, arrived);
            self.acknowledged.add(arrived, sent.size);
            if sent.probe != 0 {
                self.prober.handle_arrival(sent.probe, arrived, sent.size);
            }
        }
        if told == 0 {
            return;
        }
        (self.heard, self.unanswered) = (Some(now), None);
        if let Some((sent, number)) = newest {
            self.newest = Some(number);
            let sample = (now - sent).min(1_000_000);
            let more = (sample - self.round_trip).max(0) / 8;
            self.round_trip = sample.min(self.round_trip) + more;
        }
        if !self.look_for_fall(now) {
            self.look_at_delays(now);
        }
        self.rate.handle_loss(now, lost, told, self.round_trip);
        self.look_at_capacity();
        self.advance_probe();
    }

    fn look_at_delays(&mut self, now: i64) {
        let mut usage = match self.delays.is_rising() {
            true => Usage::Over,
            false => self.delays.usage(),
        };
        if usage == Usage::Over {
            // What arrives is what the way carries only while something waits; and a probe that was
            // too much says nothing of what was sent before it.
            let is_probed = !self.prober.is_idle();
            let patient = if is_probed { PROBED } else { CALM };
            self.prober.stop(now, self.round_trip);
            if self.delays.queueing() < patient || self.delays.is_draining() {
                usage = Usage::Under;
            }
        }
        let (recent, bitrate) = (self.acknowledged.recent(), self.acknowledged.bitrate());
        self.rate
            .handle_usage(now, usage, recent, bitrate, self.round_trip);
    }

    /// When [`Self::handle_timeout`] is due. Nothing is, for a viewer that has the best layer.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let wake = Duration::from_micros(u64::try_from(self.wake?).ok()?);
        Some(self.epoch? + wake)
    }

    /// Looks after probes and silence.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.epoch.is_none() || !self.is_active {
            self.wake = None;
            return;
        }
        let now = self.advance(now);
        if let Some(unanswered) = self.unanswered.filter(|_| self.heard.is_some())
            && now - unanswered.max(self.silenced - SILENCE + SILENCE_STEP) >= SILENCE
        {
            self.silenced = now;
            self.rate.handle_silence(now);
        }
        self.advance_probe();
    }

    /// The bytes of padding to send now, and the most packets for them.
    pub(super) fn poll_padding(&mut self) -> Option<(u64, usize)> {
        let due = self.prober.due(self.now, self.round_trip);
        self.schedule();
        due
    }

    /// So much padding was sent.
    pub(super) fn count_padding(&mut self, bytes: usize) {
        self.padding += bytes as u64;
    }

    /// What a track gets, when `current` is what it has and `best` what it would have without a limit;
    /// none for no limit.
    pub(super) fn share(
        &mut self,
        current: LayerId,
        best: LayerId,
        layers: &[RankedLayer],
    ) -> Option<Share> {
        if self.heard.is_none() && self.now > TRIAL {
            self.needed = None;
            return None;
        }
        let budget = self.rate.current();
        let share = self
            .allocation
            .share(self.now, budget, current, best, layers)?;
        self.needed = share.needed;
        self.set_media(share.limit, share.needed.is_some());
        self.schedule();
        Some(share)
    }

    /// The viewer gets what it named: nothing is to be striven for.
    pub(super) fn rest(&mut self) {
        self.needed = None;
        self.set_media(0, false);
        self.schedule();
    }

    /// Whether what is sent now piles up or is lost, so that a layer is better left at once.
    pub(super) fn is_flooded(&self) -> bool {
        self.delays.queueing() > FLOOD || self.rate.is_lossy() || self.is_falling()
    }

    pub(super) fn status(&self) -> BandwidthStatus {
        let time = |micros: i64| Duration::from_micros(micros.max(0) as u64);
        BandwidthStatus {
            estimate: self.heard.map(|_| self.rate.current()),
            is_limited: self.needed.is_some(),
            queueing: time(self.delays.queueing()),
            round_trip: time(self.round_trip),
            ups: self.allocation.ups,
            downs: self.allocation.downs,
            probes: self.prober.begun,
            probes_failed: self.prober.failed,
            padding: self.padding,
        }
    }

    fn advance_probe(&mut self) {
        let now = self.now;
        match self.prober.poll_outcome(now) {
            Some(Outcome::Proven(bitrate) | Outcome::Failed(Some(bitrate))) => {
                self.rate.prove(bitrate);
            }
            Some(Outcome::Failed(None)) | None => {}
        }
        if let Some(needed) = self.missing()
            && self.prober.is_idle()
            && now >= self.prober_from()
        {
            if self.delays.queueing() < CALM && !self.rate.is_lossy() {
                let most = (self.rate.current() * STEP / 2).max(LEAST_PROBE);
                let target = (needed + needed / 10).min(most);
                self.prober.begin(now, target.min(self.config.ceiling));
            } else {
                self.prober.defer(now + LOOK);
            }
        }
        self.schedule();
    }

    /// What is needed and not proven yet.
    fn missing(&self) -> Option<u64> {
        let needed = self.needed.filter(|_| self.config.probing)?;
        let is_heard = self
            .heard
            .is_some_and(|heard| self.now - heard < SILENCE / 4);
        (is_heard && needed > self.rate.current()).then_some(needed)
    }

    fn prober_from(&self) -> i64 {
        let calm = self.rate.decreased().map_or(0, |at| at + CALM_TIME);
        self.prober
            .not_before()
            .max(calm)
            .max(self.allocation.up_from() - CALM_TIME)
    }

    fn schedule(&mut self) {
        let soonest = self.now + 1_000;
        self.wake = match self.prober.poll_timeout() {
            // Nobody looks after a probe of one that is not active.
            _ if !self.is_active => None,
            Some(at) => Some(at),
            None if self.needed.is_none() => None,
            None if self.missing().is_some() => Some(self.prober_from().max(soonest)),
            None => Some(self.allocation.up_from().max(self.now + LOOK)),
        };
    }

    fn advance(&mut self, now: Instant) -> i64 {
        let epoch = *self.epoch.get_or_insert(now);
        let micros = now.saturating_duration_since(epoch).as_micros();
        self.now = self.now.max(micros as i64);
        self.now
    }

    /// The reference time has 24 bits.
    fn unwrap(&mut self, reference: u32) -> i64 {
        let before = self.reference.unwrap_or(i64::from(reference));
        let ahead = (reference.wrapping_sub(before as u32) << 8) as i32 >> 8;
        let unwrapped = before + i64::from(ahead);
        self.reference = Some(before.max(unwrapped));
        unwrapped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn active() -> (Bandwidth, Instant) {
        let mut bandwidth = Bandwidth::new(&BandwidthConfig::default());
        let now = Instant::now();
        bandwidth.is_active = true;
        bandwidth.advance(now);
        (bandwidth, now)
    }

    #[test]
    fn one_that_is_not_active_wakes_nobody() {
        let (mut bandwidth, now) = active();
        bandwidth.prober.begin(bandwidth.now, 1_000_000);
        bandwidth.schedule();
        assert!(bandwidth.poll_timeout().is_some(), "it probes");
        bandwidth.is_active = false;
        bandwidth.rest();
        assert_eq!(bandwidth.poll_timeout(), None);
        bandwidth.handle_timeout(now + Duration::from_secs(1));
        assert_eq!(bandwidth.poll_timeout(), None);
    }

    #[test]
    fn only_what_was_sent_can_stay_unanswered() {
        let (mut bandwidth, now) = active();
        bandwidth.heard = Some(bandwidth.now);
        let before = bandwidth.rate.current();
        let later = now + Duration::from_secs(60);
        bandwidth.handle_timeout(later);
        assert_eq!(bandwidth.rate.current(), before);
        bandwidth.stamps(later).next(1_000);
        bandwidth.handle_timeout(later + Duration::from_millis(1_900));
        assert_eq!(bandwidth.rate.current(), before);
        bandwidth.handle_timeout(later + Duration::from_millis(2_100));
        assert_eq!(bandwidth.rate.current(), before * 4 / 5);
        bandwidth.handle_timeout(later + Duration::from_millis(2_200));
        assert_eq!(bandwidth.rate.current(), before * 4 / 5, "a second apart");
    }
}
