//! Puts the packets of one track back in order before they are depayloaded.
//!
//! Retransmissions come late; a depayloader drops a whole group of pictures for one gap. So a missing
//! packet is waited for, but not for ever.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::stream::Packet;

/// The reorder buffer of a track.
///
/// After each `handle_*` drain [`Self::poll_packet`], then call [`Self::handle_timeout`] at
/// [`Self::poll_timeout`].
#[derive(Debug)]
pub struct Reorder {
    patience: Duration,
    waiting: BTreeMap<u64, Arc<Packet>>,
    next: Option<u64>,
    deadline: Option<Instant>,
    /// Packets given up since the last release.
    skipped: u64,
    lost: u64,
}

/// A packet in order.
#[derive(Debug)]
pub struct Ordered {
    /// The packet.
    pub packet: Arc<Packet>,
    /// How many packets before it were given up.
    pub lost: u64,
}

impl Reorder {
    /// A buffer that waits at most `patience` for a missing packet.
    pub fn new(patience: Duration) -> Self {
        let (waiting, next, deadline) = (BTreeMap::new(), None, None);
        Self {
            patience,
            waiting,
            next,
            deadline,
            skipped: 0,
            lost: 0,
        }
    }

    /// Takes a packet. Duplicates and packets that were given up are dropped.
    pub fn handle_packet(&mut self, now: Instant, packet: &Arc<Packet>) {
        let sequence = packet.sequence;
        let next = *self.next.get_or_insert(sequence);
        if sequence < next {
            return;
        }
        self.waiting.insert(sequence, Arc::clone(packet));
        if self.waiting.len() > Self::CAPACITY {
            self.skip();
        }
        self.set_deadline(now);
    }

    /// Gives up the missing packet when it was waited for long enough.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            self.skip();
            self.deadline = None;
        }
    }

    /// The next packet in order.
    pub fn poll_packet(&mut self, now: Instant) -> Option<Ordered> {
        let next = self.next?;
        let Some(packet) = self.waiting.remove(&next) else {
            self.set_deadline(now);
            return None;
        };
        self.next = Some(next + 1);
        self.deadline = None;
        let lost = std::mem::take(&mut self.skipped);
        Some(Ordered { packet, lost })
    }

    /// When [`Self::handle_timeout`] must be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// How many packets were given up in all.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Packets that it holds at most: 2 s of 10 Mbit/s.
    const CAPACITY: usize = 2048;

    fn skip(&mut self) {
        if let (Some(next), Some((&first, _))) = (self.next, self.waiting.first_key_value()) {
            self.skipped += first - next;
            self.lost += first - next;
            self.next = Some(first);
        }
    }

    /// The clock of a gap runs from when it was first seen.
    fn set_deadline(&mut self, now: Instant) {
        let gap = self
            .waiting
            .first_key_value()
            .is_some_and(|(first, _)| Some(*first) != self.next);
        if !gap {
            self.deadline = None;
        } else if self.deadline.is_none() {
            self.deadline = Some(now + self.patience);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(250);

    fn packet(sequence: u64, at: Instant) -> Arc<Packet> {
        Arc::new(Packet {
            sequence,
            ..Packet::empty(at)
        })
    }

    fn drain(reorder: &mut Reorder, now: Instant) -> Vec<(u64, u64)> {
        std::iter::from_fn(|| reorder.poll_packet(now))
            .map(|o| (o.packet.sequence, o.lost))
            .collect()
    }

    #[test]
    fn a_late_packet_is_put_in_its_place() {
        let (mut reorder, now) = (Reorder::new(PATIENCE), Instant::now());
        for sequence in [10, 12, 13, 12] {
            reorder.handle_packet(now, &packet(sequence, now));
        }
        assert_eq!(drain(&mut reorder, now), [(10, 0)]);
        assert_eq!(reorder.poll_timeout(), Some(now + PATIENCE));
        reorder.handle_packet(now, &packet(11, now));
        assert_eq!(drain(&mut reorder, now), [(11, 0), (12, 0), (13, 0)]);
        assert_eq!((reorder.poll_timeout(), reorder.lost()), (None, 0));
    }

    #[test]
    fn a_lost_packet_is_given_up_in_time() {
        let (mut reorder, now) = (Reorder::new(PATIENCE), Instant::now());
        for sequence in [10, 13, 15] {
            reorder.handle_packet(now, &packet(sequence, now));
        }
        assert_eq!(drain(&mut reorder, now), [(10, 0)]);
        reorder.handle_timeout(now + PATIENCE / 2);
        assert!(drain(&mut reorder, now).is_empty());
        let later = now + PATIENCE;
        reorder.handle_timeout(later);
        assert_eq!(drain(&mut reorder, later), [(13, 2)]);
        assert_eq!(reorder.poll_timeout(), Some(later + PATIENCE));
        reorder.handle_packet(later, &packet(11, later));
        reorder.handle_packet(later, &packet(14, later));
        assert_eq!(drain(&mut reorder, later), [(14, 0), (15, 0)]);
        assert_eq!(reorder.lost(), 2);
    }

    #[test]
    fn it_holds_a_bounded_number() {
        let (mut reorder, now) = (Reorder::new(PATIENCE), Instant::now());
        reorder.handle_packet(now, &packet(0, now));
        assert_eq!(drain(&mut reorder, now).len(), 1);
        for sequence in 2..=2 + Reorder::CAPACITY as u64 {
            reorder.handle_packet(now, &packet(sequence, now));
        }
        assert_eq!(drain(&mut reorder, now).first(), Some(&(2, 1)));
    }
}
