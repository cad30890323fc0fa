//! Whether the queues on the way grow: the delay-based half of Google's congestion control
//! (draft-ietf-rmcat-gcc-02, section 5), with a line fitted to the delays in the place of a Kalman filter.

/// Packets sent within so many microseconds are one group: a frame leaves as a burst.
const BURST: i64 = 5_000;

/// Groups that the line is fitted to.
const SAMPLES: usize = 20;

/// How much of the delay before stays in the smoothed one.
const SMOOTHING: f64 = 0.9;

/// The slope is multiplied by this and by the number of groups, to be compared with the threshold.
const GAIN: f64 = 4.0;
const MOST_GROUPS: u32 = 60;

/// The threshold follows the slope (section 5.4), slower up than down; in milliseconds.
const THRESHOLD: f64 = 12.5;
const THRESHOLD_RANGE: (f64, f64) = (6.0, 600.0);
const THRESHOLD_UP: f64 = 0.0087;
const THRESHOLD_DOWN: f64 = 0.039;

/// The slope must be too large for so long, in milliseconds.
const OVERUSE_TIME: f64 = 10.0;

/// The shortest delay of late is taken as that of the empty way; it is forgotten after so many
/// microseconds, twice at most.
const BASE_WINDOW: i64 = 10_000_000;

/// A queue is long above this, and grows when it is longer by this, in microseconds.
const LONG: i64 = 60_000;
const RISE: i64 = 5_000;

/// What the delays say of the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Usage {
    /// Queues stay as they are.
    #[default]
    Normal,
    /// They grow.
    Over,
    /// They drain.
    Under,
}

/// Follows the delays of one transport. Times are microseconds, of two clocks that need not agree.
#[derive(Debug)]
pub(super) struct Delays {
    group: Option<Group>,
    before: Option<Group>,
    /// The sum of all variations, in milliseconds.
    accumulated: f64,
    smoothed: f64,
    /// Time of arrival and smoothed delay, in milliseconds since the first.
    samples: [(f64, f64); SAMPLES],
    len: usize,
    next: usize,
    first_arrival: i64,
    groups: u32,
    slope: f64,
    threshold: f64,
    threshold_at: Option<f64>,
    over_for: f64,
    usage: Usage,
    base: Base,
    /// Of the newest group's first packet, in microseconds.
    queueing: i64,
    /// That of the groups before it.
    earlier: [i64; 3],
    /// In how many groups, one after another, it was longer each time.
    rises: u32,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    first_sent: i64,
    last_sent: i64,
    last_arrived: i64,
}

/// The shortest delay of this window and of the one before.
#[derive(Debug, Default)]
struct Base {
    began: Option<i64>,
    least: i64,
    before: i64,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            group: None,
            before: None,
            accumulated: 0.0,
            smoothed: 0.0,
            samples: [(0.0, 0.0); SAMPLES],
            len: 0,
            next: 0,
            first_arrival: 0,
            groups: 0,
            slope: 0.0,
            threshold: THRESHOLD,
            threshold_at: None,
            over_for: 0.0,
            usage: Usage::Normal,
            base: Base::default(),
            queueing: 0,
            earlier: [0; 3],
            rises: 0,
        }
    }
}

impl Delays {
    /// What the packets so far say.
    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// How long the newest burst found the way occupied before it, in microseconds.
    pub(super) fn queueing(&self) -> i64 {
        self.queueing
    }

    /// The queue is long and grew twice in a row: it says so before any line does, which needs half a
    /// second. A single keyframe makes it grow once.
    pub(super) fn is_rising(&self) -> bool {
        self.queueing > LONG && self.rises >= 2
    }

    /// The queue is shorter than it was in one of the last groups: a keyframe passes, or what fits was
    /// found already.
    pub(super) fn is_draining(&self) -> bool {
        self.earlier.iter().any(|earlier| self.queueing < *earlier)
    }

    /// A packet sent at `sent` arrived at `arrived`.
    pub(super) fn handle_arrival(&mut self, sent: i64, arrived: i64) {
        let above = self.base.above(sent, arrived);
        let Some(group) = &mut self.group else {
            self.first_arrival = arrived;
            self.group = Some(Group::new(sent, arrived));
            return;
        };
        if sent < group.first_sent {
            return; // overtaken by a later group
        }
        if sent - group.first_sent <= BURST {
            group.last_sent = group.last_sent.max(sent);
            group.last_arrived = group.last_arrived.max(arrived);
            return;
        }
        let finished = *group;
        self.group = Some(Group::new(sent, arrived));
        self.rises = match above > self.queueing + RISE {
            true => self.rises.saturating_add(1),
            false => 0,
        };
        self.earlier.rotate_right(1);
        self.earlier[0] = self.queueing;
        self.queueing = above;
        if let Some(before) = self.before.replace(finished) {
            let sent = (finished.last_sent - before.last_sent) as f64 / 1_000.0;
            let arrived = (finished.last_arrived - before.last_arrived) as f64 / 1_000.0;
            self.vary(sent, arrived, finished);
        }
    }

    fn vary(&mut self, sent: f64, arrived: f64, group: Group) {
        self.groups = (self.groups + 1).min(MOST_GROUPS);
        self.accumulated += arrived - sent;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.accumulated;
        let at = (group.last_arrived - self.first_arrival) as f64 / 1_000.0;
        self.samples[self.next] = (at, self.smoothed);
        self.next = (self.next + 1) % SAMPLES;
        self.len = (self.len + 1).min(SAMPLES);
        let slope = self.fit();
        let before = std::mem::replace(&mut self.slope, slope);
        let trend = f64::from(self.groups) * self.slope * GAIN;
        self.usage = if trend > self.threshold {
            self.over_for += sent;
            match self.over_for > OVERUSE_TIME && self.slope >= before {
                true => Usage::Over,
                false => self.usage,
            }
        } else {
            self.over_for = 0.0;
            match trend < -self.threshold {
                true => Usage::Under,
                false => Usage::Normal,
            }
        };
        self.adapt(trend, at);
    }

    /// The slope of the line through the samples; 0 before there are enough.
    fn fit(&self) -> f64 {
        if self.len < SAMPLES {
            return 0.0;
        }
        let count = SAMPLES as f64;
        let sum = |of: fn(&(f64, f64)) -> f64| self.samples.iter().map(of).sum::<f64>() / count;
        let (time, delay) = (sum(|sample| sample.0), sum(|sample| sample.1));
        let (mut over, mut under) = (0.0, 0.0);
        for (x, y) in &self.samples {
            over += (x - time) * (y - delay);
            under += (x - time) * (x - time);
        }
        if under > 0.0 {
            over / under
        } else {
            self.slope
        }
    }

    fn adapt(&mut self, trend: f64, at: f64) {
        let before = self.threshold_at.replace(at).unwrap_or(at);
        let off = trend.abs() - self.threshold;
        // Single outliers, of a route that changed, do not count.
        if off > 15.0 {
            return;
        }
        let gain = if off < 0.0 {
            THRESHOLD_DOWN
        } else {
            THRESHOLD_UP
        };
        let elapsed = (at - before).clamp(0.0, 100.0);
        let (least, most) = THRESHOLD_RANGE;
        self.threshold = (self.threshold + gain * off * elapsed).clamp(least, most);
    }
}

impl Group {
    fn new(sent: i64, arrived: i64) -> Self {
        Self {
            first_sent: sent,
            last_sent: sent,
            last_arrived: arrived,
        }
    }
}

impl Base {
    /// By how much a packet took longer than the fastest of late.
    fn above(&mut self, sent: i64, arrived: i64) -> i64 {
        let delay = arrived - sent;
        match self.began {
            None => {
                (self.began, self.least, self.before) = (Some(sent), delay, delay);
            }
            Some(began) if sent - began > BASE_WINDOW => {
                (self.began, self.before, self.least) = (Some(sent), self.least, delay);
            }
            Some(_) => self.least = self.least.min(delay),
        }
        delay - self.least.min(self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bursts each 33 ms, of which each takes `more` microseconds longer than the one before.
    fn after(groups: i64, more: i64) -> Delays {
        let mut delays = Delays::default();
        for group in 0..40 + groups {
            let late = (group - 40).max(0) * more;
            for packet in 0..4 {
                let sent = group * 33_000 + packet * 100;
                delays.handle_arrival(sent, sent + 15_000 + packet * 2_000 + late);
            }
        }
        delays
    }

    #[test]
    fn a_queue_that_grows_is_noticed_and_one_that_stays_is_not() {
        assert_eq!(after(40, 0).usage(), Usage::Normal);
        assert_eq!(after(40, 0).queueing(), 0);
        let growing = after(15, 10_000);
        assert_eq!(growing.usage(), Usage::Over);
        assert_eq!(growing.queueing(), 140_000);
        assert_eq!(after(20, -2_000).usage(), Usage::Under);
    }

    #[test]
    fn jitter_alone_is_no_growth() {
        let mut delays = Delays::default();
        let mut chance = 1u64;
        for group in 0..2_000 {
            chance = chance
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let sent = group * 33_000;
            delays.handle_arrival(sent, sent + 15_000 + (chance >> 33) as i64 % 10_000);
            assert_ne!(delays.usage(), Usage::Over, "group {group}");
        }
    }
}
