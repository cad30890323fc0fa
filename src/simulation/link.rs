//! A link with a bottleneck: it carries so much a second, and keeps what waits in a queue.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Datagram;

/// What UDP and IPv4 add to a datagram.
const OVERHEAD: usize = 28;

/// One direction. Nothing is lost but what finds the queue full; other losses are the weather's.
pub(super) struct Bottleneck {
    /// In bit/s.
    pub(super) rate: u64,
    queue_bytes: usize,
    queued: usize,
    /// Each with its size and the time when its last bit has left.
    waiting: VecDeque<(Instant, usize, Datagram)>,
    free_at: Instant,
    pub(super) overflowed: u64,
    /// The time of each arrival, how long the datagram waited, and its size.
    pub(super) delays: Vec<(Instant, Duration, usize)>,
}

impl Bottleneck {
    pub(super) fn new(now: Instant, rate: u64, queue_bytes: usize) -> Self {
        Self {
            rate,
            queue_bytes,
            queued: 0,
            waiting: VecDeque::new(),
            free_at: now,
            overflowed: 0,
            delays: Vec::new(),
        }
    }

    pub(super) fn send(&mut self, now: Instant, datagram: Datagram) {
        let size = datagram.1.len() + OVERHEAD;
        if self.queued + size > self.queue_bytes {
            self.overflowed += 1;
            return;
        }
        self.queued += size;
        let begins = self.free_at.max(now);
        let takes = Duration::from_nanos(8_000_000_000 * size as u64 / self.rate);
        self.free_at = begins + takes;
        self.delays.push((now, begins - now, size));
        self.waiting.push_back((self.free_at, size, datagram));
    }

    /// When the next datagram has passed.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.front().map(|(at, ..)| *at)
    }

    pub(super) fn receive(&mut self, now: Instant) -> Option<Datagram> {
        self.next().filter(|at| *at <= now)?;
        let (_, size, datagram) = self.waiting.pop_front()?;
        self.queued -= size;
        Some(datagram)
    }

    /// The longest that a datagram waited which was sent in this time.
    pub(super) fn longest(&self, from: Instant, until: Instant) -> Duration {
        let within = |sent: &Instant| (from..until).contains(sent);
        let delays = self.delays.iter().filter(|(sent, ..)| within(sent));
        delays.map(|(_, delay, _)| *delay).max().unwrap_or_default()
    }
}
