//! How a player without transport-wide feedback tells what it gets: by REMB, as libwebrtc does. Its estimate is
//! that of `AimdRateControl`; when queues grow is told by the delay against the timestamps.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The time between two REMBs. A lesser one by more than three in a hundred is told at once.
const INTERVAL: Duration = Duration::from_millis(200);
const SUNK: f64 = 0.97;

/// What arrives is measured over this time.
const WINDOW: Duration = Duration::from_secs(1);

/// The first estimate is what has arrived by then.
const BEGINNING: Duration = Duration::from_secs(5);

/// Two frames in a row, each later than the one before, and late by more than this, are a queue; in microseconds.
const LATER: i64 = 3_000;
const LATE: i64 = 40_000;

/// Round trips are not told to receivers: 200 ms are assumed.
const ROUND_TRIP: Duration = Duration::from_millis(200);

/// What the player says besides NACKs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    /// Transport-wide feedback, if the packets carry the numbers.
    Numbers,
    Remb,
}

/// What a player keeps for that of its video.
pub(super) struct Account {
    telling: Telling,
    began: Instant,
    /// Of all that arrives, in bytes.
    arrivals: VecDeque<(Instant, usize)>,
    frames: Frames,
    rate: Rate,
    updated: Instant,
    /// When a REMB was sent last, and what it said.
    told: (Instant, f64),
}

/// The delay of frames against the earliest, in microseconds.
#[derive(Default)]
struct Frames {
    first_timestamp: Option<u32>,
    timestamp: u32,
    least: Option<i64>,
    delay: i64,
    /// Of the frame before.
    before: i64,
    /// How many frames in a row came later than the one before.
    later: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Usage {
    Over,
    Under,
    Normal,
}

/// `AimdRateControl`. In bit/s.
struct Rate {
    current: Option<f64>,
    /// What arrived when queues grew, smoothed, and its deviation, as a share of a kbit/s.
    capacity: Option<f64>,
    deviation: f64,
    is_held: bool,
    changed: Instant,
    decreased: Instant,
}

impl Account {
    pub(super) fn new(now: Instant, telling: Telling) -> Self {
        Self {
            telling,
            began: now,
            arrivals: VecDeque::new(),
            frames: Frames::default(),
            rate: Rate {
                current: None,
                capacity: None,
                deviation: 0.4,
                is_held: true,
                changed: now,
                decreased: now,
            },
            updated: now,
            told: (now, 0.0),
        }
    }

    /// A packet of any kind came.
    pub(super) fn handle_bytes(&mut self, now: Instant, bytes: usize) {
        self.arrivals.push_back((now, bytes));
        while self
            .arrivals
            .front()
            .is_some_and(|(at, _)| now - *at > WINDOW)
        {
            self.arrivals.pop_front();
        }
    }

    /// A packet of video came for the first time.
    pub(super) fn handle_video(&mut self, now: Instant, timestamp: u32) {
        let arrived = now.saturating_duration_since(self.began).as_micros() as i64;
        self.frames.handle(arrived, timestamp);
    }

    /// When [`Self::poll`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        (self.telling == Telling::Remb).then_some(self.updated + INTERVAL)
    }

    /// What is to be told now, in bit/s. To be called for each packet as well.
    pub(super) fn poll(&mut self, now: Instant) -> Option<f32> {
        if self.telling != Telling::Remb || now - self.began < BEGINNING {
            self.updated = self.updated.max(now - INTERVAL / 2);
            return None;
        }
        let bytes: usize = self.arrivals.iter().map(|(_, bytes)| bytes).sum();
        let arrives = 8.0 * bytes as f64 / WINDOW.as_secs_f64();
        let usage = self.frames.usage();
        let is_urgent = usage == Usage::Over && self.rate.may_decrease(now, arrives);
        if now < self.updated + INTERVAL && !is_urgent {
            return None;
        }
        self.updated = now;
        let estimate = self.rate.update(now, usage, arrives);
        let (at, before) = self.told;
        if now < at + INTERVAL && estimate > SUNK * before {
            return None;
        }
        self.told = (now, estimate);
        Some(estimate as f32)
    }
}

impl Frames {
    fn handle(&mut self, arrived: i64, timestamp: u32) {
        let first = *self.first_timestamp.get_or_insert(timestamp);
        if timestamp != self.timestamp {
            let is_later = self.delay - self.before > LATER;
            self.later = if is_later { self.later + 1 } else { 0 };
            (self.before, self.timestamp) = (self.delay, timestamp);
        }
        let media = i64::from(timestamp.wrapping_sub(first) as i32) * 100 / 9;
        let late = arrived - media;
        let least = self.least.map_or(late, |least| least.min(late));
        self.least = Some(least);
        self.delay = late - least;
    }

    fn usage(&self) -> Usage {
        if self.later >= 2 && self.delay > LATE {
            Usage::Over
        } else if self.before - self.delay > LATER && self.before > LATE {
            Usage::Under
        } else {
            Usage::Normal
        }
    }
}

impl Rate {
    fn may_decrease(&self, now: Instant, arrives: f64) -> bool {
        let is_far = self.current.is_some_and(|current| arrives < 0.5 * current);
        now - self.decreased >= ROUND_TRIP || (is_far && now - self.decreased >= INTERVAL / 4)
    }

    fn update(&mut self, now: Instant, usage: Usage, arrives: f64) -> f64 {
        let current = *self.current.get_or_insert(arrives);
        let since = (now - self.changed).as_secs_f64().min(1.0);
        let next = match usage {
            Usage::Over => {
                let mut less = 0.85 * arrives - 5_000.0;
                if let Some(capacity) = self.capacity.filter(|_| less > current) {
                    less = 0.85 * capacity;
                }
                self.learn(arrives);
                (self.is_held, self.decreased) = (true, now);
                less.min(current)
            }
            Usage::Under => {
                self.is_held = true;
                current
            }
            Usage::Normal if self.is_held => {
                self.is_held = false;
                current
            }
            Usage::Normal => {
                if self.bounds().is_some_and(|[_, upper]| arrives > upper) {
                    self.capacity = None;
                }
                let most = 1.5 * arrives + 10_000.0;
                let more = match self.capacity {
                    Some(_) => near(current) * since,
                    None => (current * (1.08_f64.powf(since) - 1.0)).max(1_000.0),
                };
                if current < most {
                    (current + more).min(most)
                } else {
                    current
                }
            }
        };
        self.changed = now;
        self.current = Some(next);
        next
    }

    /// The range that the capacity lies in.
    fn bounds(&self) -> Option<[f64; 2]> {
        let capacity = self.capacity?;
        let deviation = 3.0 * (self.deviation * capacity / 1_000.0).sqrt() * 1_000.0;
        Some([capacity - deviation, capacity + deviation])
    }

    /// Queues grow while so much arrives.
    fn learn(&mut self, arrives: f64) {
        if self.bounds().is_some_and(|[lower, _]| arrives < lower) {
            self.capacity = None;
        }
        let before = self.capacity.unwrap_or(arrives);
        let capacity = 0.95 * before + 0.05 * arrives;
        let error = (capacity - arrives) / 1_000.0;
        let norm = (capacity / 1_000.0).max(1.0);
        self.deviation = (0.95 * self.deviation + 0.05 * error * error / norm).clamp(0.4, 2.5);
        self.capacity = Some(capacity);
    }
}

/// What is added a second near the rate where queues grew: a packet in two response times.
fn near(current: f64) -> f64 {
    let frame = current / 30.0;
    let packets = (frame / 9_600.0).ceil().max(1.0);
    let response = 2.0 * (ROUND_TRIP.as_secs_f64() + 0.1);
    (frame / packets / response).max(4_000.0)
}
