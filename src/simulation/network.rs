//! Links in one direction, and the chance that rules them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Datagram;

/// How a link treats what is sent over it. Shares are of 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    pub(super) delay: Duration,
    /// Up to so much more, each datagram on its own: they overtake each other.
    pub(super) jitter: Duration,
    pub(super) loss: f64,
    /// How many losses follow each other on average (Gilbert and Elliott's model); of 1, each is on its own.
    pub(super) burst: f64,
    /// How often an outage begins, a datagram, and how long one lasts.
    pub(super) outages: f64,
    pub(super) outage: Duration,
    pub(super) duplicates: f64,
    /// How many come late, and up to how much.
    pub(super) late: f64,
    pub(super) lateness: Duration,
}

impl Weather {
    pub(super) const FAIR: Self = Self {
        delay: Duration::from_millis(15),
        jitter: Duration::ZERO,
        loss: 0.0,
        burst: 1.0,
        outages: 0.0,
        outage: Duration::from_millis(150),
        duplicates: 0.0,
        late: 0.0,
        lateness: Duration::from_millis(400),
    };
}

/// A link in one direction.
pub(super) struct Link {
    pub(super) weather: Weather,
    /// By their time of arrival.
    under_way: BTreeMap<(Instant, u64), Datagram>,
    sent: u64,
    /// Whether a burst of losses goes on.
    is_bad: bool,
    outage_until: Option<Instant>,
    pub(super) lost: u64,
}

impl Link {
    pub(super) fn new(weather: Weather) -> Self {
        Self {
            weather,
            under_way: BTreeMap::new(),
            sent: 0,
            is_bad: false,
            outage_until: None,
            lost: 0,
        }
    }

    pub(super) fn send(&mut self, now: Instant, dice: &mut Dice, datagram: Datagram) {
        let weather = self.weather;
        if dice.says(weather.outages) {
            self.outage_until = Some(now + dice.up_to(weather.outage));
        }
        if self.loses(dice) || self.outage_until.is_some_and(|until| now < until) {
            self.lost += 1;
            return;
        }
        if dice.says(weather.duplicates) {
            self.arrive(now, dice, datagram.clone());
        }
        self.arrive(now, dice, datagram);
    }

    /// Whether the next datagram is lost. A burst ends with a chance that gives it its mean length, and begins
    /// as often as gives the share of losses.
    fn loses(&mut self, dice: &mut Dice) -> bool {
        let Weather { loss, burst, .. } = self.weather;
        if burst <= 1.0 || loss >= 1.0 {
            return dice.says(loss);
        }
        let ends = 1.0 / burst;
        self.is_bad = match self.is_bad {
            true => !dice.says(ends),
            false => dice.says(loss * ends / (1.0 - loss)),
        };
        self.is_bad
    }

    fn arrive(&mut self, now: Instant, dice: &mut Dice, datagram: Datagram) {
        let mut at = now + self.weather.delay + dice.up_to(self.weather.jitter);
        if dice.says(self.weather.late) {
            at += dice.up_to(self.weather.lateness);
        }
        self.sent += 1;
        self.under_way.insert((at, self.sent), datagram);
    }

    /// When the next datagram arrives.
    pub(super) fn next(&self) -> Option<Instant> {
        self.under_way.keys().next().map(|(at, _)| *at)
    }

    pub(super) fn receive(&mut self, now: Instant) -> Option<Datagram> {
        let first = self.under_way.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

/// Chance by a seed: SplitMix64.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Yes in this share of all cases.
    pub(super) fn says(&mut self, share: f64) -> bool {
        share > 0.0 && ((self.roll() >> 11) as f64) < share * (1u64 << 53) as f64
    }

    pub(super) fn below(&mut self, limit: u32) -> u32 {
        (self.roll() % u64::from(limit.max(1))) as u32
    }

    pub(super) fn up_to(&mut self, longest: Duration) -> Duration {
        Duration::from_micros(u64::from(self.below(longest.as_micros() as u32 + 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::testing::client_path;

    #[test]
    fn losses_have_the_share_and_the_length_that_the_weather_says() {
        const COUNT: u32 = 200_000;
        for (loss, burst) in [(0.05, 1.0), (0.05, 5.0), (0.10, 20.0)] {
            let (mut link, mut dice) = (Link::new(Weather::FAIR), Dice::new(3));
            link.weather = Weather {
                loss,
                burst,
                ..Weather::FAIR
            };
            let (now, mut bursts, mut before) = (Instant::now(), 0, 0);
            let mut was_lost = false;
            for _ in 0..COUNT {
                link.send(now, &mut dice, (client_path(1), Vec::new()));
                let is_lost = link.lost > before;
                bursts += u32::from(is_lost && !was_lost);
                (before, was_lost) = (link.lost, is_lost);
            }
            let share = link.lost as f64 / f64::from(COUNT);
            let length = link.lost as f64 / f64::from(bursts);
            // Independent losses follow each other by chance.
            let expected = if burst > 1.0 {
                burst
            } else {
                1.0 / (1.0 - loss)
            };
            assert!((share / loss - 1.0).abs() < 0.1, "{share} of {loss}");
            assert!((length / expected - 1.0).abs() < 0.1, "{length} of {burst}");
        }
    }
}
