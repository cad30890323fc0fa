//! The estimate itself: up by a share or a step while nothing speaks against it, down to what arrives
//! (draft-ietf-rmcat-gcc-02, sections 5.5 and 6).

use super::delay::Usage;

/// What remains of the rate that arrives when queues grow.
const DECREASE: f64 = 0.85;

/// The share that is added a second, far from where it went wrong last.
const INCREASE: f64 = 0.08;

/// The estimate grows no further than this beyond what arrives, since nothing proves more.
const BEYOND: f64 = 1.5;

/// Lost shares above this mean that the way is full.
const LOSS_LIMIT: f64 = 0.1;

/// Packets that a share is taken of, at least.
const LOSS_PACKETS: u32 = 30;

/// Within this share of where queues grew last, steps are small.
const NEAR: f64 = 0.15;

/// The time between two decreases, without that of the way: what was sent before the first one must not
/// lead to a second.
const DECREASE_INTERVAL: i64 = 150_000;

/// The rate that the way is believed to carry. Times are in microseconds.
#[derive(Debug)]
pub(super) struct Rate {
    current: f64,
    floor: f64,
    ceiling: f64,
    /// The rate that arrived when queues grew last.
    capacity: Option<f64>,
    increased: Option<i64>,
    decreased: Option<i64>,
    lost: u32,
    told: u32,
    /// The newest share.
    loss: f64,
}

impl Rate {
    pub(super) fn new(start: u64, floor: u64, ceiling: u64) -> Self {
        let (floor, ceiling) = (floor as f64, ceiling as f64);
        Self {
            current: (start as f64).clamp(floor, ceiling.max(floor)),
            floor,
            ceiling: ceiling.max(floor),
            capacity: None,
            increased: None,
            decreased: None,
            lost: 0,
            told: 0,
            loss: 0.0,
        }
    }

    /// In bit/s.
    pub(super) fn current(&self) -> u64 {
        self.current as u64
    }

    /// When it went down last.
    pub(super) fn decreased(&self) -> Option<i64> {
        self.decreased
    }

    /// Whether too much is lost.
    pub(super) fn is_lossy(&self) -> bool {
        self.loss > LOSS_LIMIT
    }

    /// The queues do this, and so much arrives. Returns whether the estimate went down.
    pub(super) fn handle_usage(
        &mut self,
        now: i64,
        usage: Usage,
        recent: Option<u64>,
        bitrate: Option<u64>,
        round_trip: i64,
    ) -> bool {
        let since = now - self.increased.replace(now).unwrap_or(now);
        match usage {
            Usage::Over => {
                if !self.may_decrease(now, round_trip) {
                    return false;
                }
                let arrives = recent.map_or(self.current, |recent| recent as f64);
                self.capacity = Some(arrives);
                self.lower(now, (DECREASE * arrives) as u64);
                true
            }
            Usage::Under => false,
            Usage::Normal => {
                self.increase(since, bitrate, round_trip);
                false
            }
        }
    }

    fn increase(&mut self, since: i64, bitrate: Option<u64>, round_trip: i64) {
        let seconds = since.clamp(0, 1_000_000) as f64 / 1e6;
        let is_near = self
            .capacity
            .is_some_and(|capacity| (self.current - capacity).abs() < NEAR * capacity);
        let more = if is_near {
            // Half a packet in each response time.
            let response = (round_trip + 100_000) as f64 / 1e6;
            4_800.0 / response * seconds
        } else {
            self.current * INCREASE * seconds
        };
        let most = bitrate.map_or(self.current, |bitrate| BEYOND * bitrate as f64 + 10_000.0);
        if self.current < most {
            self.set((self.current + more).min(most));
        }
        if self
            .capacity
            .is_some_and(|capacity| self.current > (1.0 + NEAR) * capacity)
        {
            self.capacity = None;
        }
    }

    /// Feedback tells of so many packets, so many of them lost. Returns whether the estimate went down.
    pub(super) fn handle_loss(&mut self, now: i64, lost: u32, told: u32, round_trip: i64) -> bool {
        self.lost += lost;
        self.told += told;
        if self.told < LOSS_PACKETS {
            return false;
        }
        self.loss = f64::from(self.lost) / f64::from(self.told);
        (self.lost, self.told) = (0, 0);
        if !self.is_lossy() || !self.may_decrease(now, round_trip) {
            return false;
        }
        self.set(self.current * (1.0 - 0.5 * self.loss));
        self.decreased = Some(now);
        true
    }

    /// The way carries no more than `capacity`, by far less than before. Returns whether the estimate
    /// went down. It does so soon after another decrease too, which went by what had arrived before.
    pub(super) fn plunge(&mut self, now: i64, capacity: u64) -> bool {
        let carried = DECREASE * capacity as f64;
        if carried >= self.current {
            return false;
        }
        self.capacity = Some(capacity as f64);
        self.lower(now, carried as u64);
        true
    }

    /// The way carries no more than this.
    pub(super) fn lower(&mut self, now: i64, bitrate: u64) {
        self.set(self.current.min(bitrate as f64));
        self.decreased = Some(now);
    }

    /// Nothing was heard for long.
    pub(super) fn handle_silence(&mut self, now: i64) {
        self.set(0.8 * self.current);
        self.decreased = Some(now);
    }

    /// A probe arrived at this rate.
    pub(super) fn prove(&mut self, bitrate: u64) {
        if bitrate as f64 > self.current {
            self.set(bitrate as f64);
            self.capacity = None;
        }
    }

    fn may_decrease(&self, now: i64, round_trip: i64) -> bool {
        self.decreased
            .is_none_or(|at| now - at >= DECREASE_INTERVAL + round_trip)
    }

    fn set(&mut self, bitrate: f64) {
        self.current = bitrate.clamp(self.floor, self.ceiling);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND_TRIP: i64 = 50_000;

    fn rate() -> Rate {
        Rate::new(1_000_000, 50_000, 10_000_000)
    }

    #[test]
    fn it_goes_down_to_what_arrives_once_a_round_trip() {
        let mut rate = rate();
        let mut over = |now| rate.handle_usage(now, Usage::Over, Some(600_000), None, ROUND_TRIP);
        assert!(over(0));
        assert!(!over(100_000));
        assert!(over(200_000));
        assert_eq!(rate.current(), 510_000);
    }

    #[test]
    fn a_fall_counts_soon_after_a_decrease_too_but_never_raises() {
        let mut rate = rate();
        assert!(rate.handle_usage(0, Usage::Over, Some(900_000), None, ROUND_TRIP));
        assert!(rate.plunge(50_000, 400_000));
        assert_eq!(rate.current(), 340_000);
        assert!(!rate.plunge(100_000, 600_000));
        assert_eq!(rate.current(), 340_000);
    }

    #[test]
    fn it_grows_by_a_share_and_no_further_than_what_arrives_allows() {
        let mut rate = rate();
        for now in (0..=1_000_000).step_by(50_000) {
            rate.handle_usage(now, Usage::Normal, None, Some(2_000_000), ROUND_TRIP);
        }
        assert!(rate.current().abs_diff(1_083_000) < 2_000, "{rate:?}");
        for now in (1_050_000..=10_000_000).step_by(50_000) {
            rate.handle_usage(now, Usage::Normal, None, Some(800_000), ROUND_TRIP);
        }
        assert_eq!(rate.current(), 1_210_000);
        rate.handle_usage(10_050_000, Usage::Normal, None, Some(100_000), ROUND_TRIP);
        assert_eq!(
            rate.current(),
            1_210_000,
            "what is not used is not taken away"
        );
    }

    #[test]
    fn loss_counts_above_a_tenth() {
        let mut rate = rate();
        assert!(!rate.handle_loss(0, 2, 40, ROUND_TRIP));
        assert!(!rate.handle_loss(0, 3, 20, ROUND_TRIP), "too few to tell");
        assert!(rate.handle_loss(0, 9, 20, ROUND_TRIP));
        assert_eq!(rate.current(), 850_000);
        assert!(rate.is_lossy());
    }

    #[test]
    fn bounds_hold() {
        let mut rate = rate();
        for now in 0..200 {
            rate.handle_silence(now);
        }
        assert_eq!(rate.current(), 50_000);
        rate.prove(90_000_000);
        assert_eq!(rate.current(), 10_000_000);
    }
}
