//! The last packets of a track, for retransmission: shared by all subscribers of a shard.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Packet;

/// Holds the newest packets of one track by their sequence number.
///
/// The packets themselves are shared with the rings of the other shards; a slot is one pointer.
#[derive(Debug)]
pub struct Ring {
    slots: Box<[Option<Arc<Packet>>]>,
    newest: Option<u64>,
}

impl Ring {
    /// A ring that reaches back `capacity` sequence numbers; at least one, rounded up to a power of two.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1).next_power_of_two();
        Self {
            slots: vec![None; capacity].into_boxed_slice(),
            newest: None,
        }
    }

    /// Keeps `packet`; gives back the one that had its slot. A packet older than the ring reaches is given back itself.
    pub fn insert(&mut self, packet: Arc<Packet>) -> Option<Arc<Packet>> {
        let sequence = packet.sequence;
        let newest = self.newest.map_or(sequence, |newest| newest.max(sequence));
        if newest - sequence >= self.slots.len() as u64 {
            return Some(packet);
        }
        self.newest = Some(newest);
        let slot = self.slot(sequence);
        self.slots[slot].replace(packet)
    }

    /// The packet with this number, when it is still here.
    pub fn get(&self, sequence: u64) -> Option<&Arc<Packet>> {
        self.slots[self.slot(sequence)]
            .as_ref()
            .filter(|packet| packet.sequence == sequence)
    }

    /// The highest number so far.
    pub fn newest(&self) -> Option<u64> {
        self.newest
    }

    fn slot(&self, sequence: u64) -> usize {
        // The length is a power of two, so this is a mask.
        (sequence % self.slots.len() as u64) as usize
    }
}

/// Packets to be filled again, so that a stream in its steady state allocates none.
///
/// A packet that leaves its publisher's [`Ring`] may still stand in the rings of other shards or in
/// a queue. It waits here, oldest first, until it is the only one left.
#[derive(Debug, Default)]
pub struct Recycler {
    waiting: VecDeque<Arc<Packet>>,
    allocated: u64,
}

impl Recycler {
    /// How many packets may wait. More than that are let go, and allocated anew when needed.
    const CAPACITY: usize = 1024;

    /// Takes a packet that left the ring.
    pub fn put(&mut self, packet: Arc<Packet>) {
        if self.waiting.len() < Self::CAPACITY {
            self.waiting.push_back(packet);
        }
    }

    /// A packet that nobody else holds, with whatever it held before; `new` makes one when all are in use.
    pub fn take(&mut self, new: impl FnOnce() -> Packet) -> Arc<Packet> {
        if let Some(mut oldest) = self.waiting.pop_front() {
            if Arc::get_mut(&mut oldest).is_some() {
                return oldest;
            }
            self.waiting.push_back(oldest);
        }
        self.allocated += 1;
        Arc::new(new())
    }

    /// How many packets were allocated so far.
    pub fn allocated(&self) -> u64 {
        self.allocated
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::testing::packet;

    #[test]
    fn the_newest_packets_are_found_by_number() {
        let mut ring = Ring::new(4);
        for sequence in 10..16 {
            ring.insert(Arc::new(packet(sequence)));
        }
        assert_eq!(ring.newest(), Some(15));
        assert!(ring.get(11).is_none());
        assert_eq!(ring.get(12).unwrap().sequence, 12);
        assert!(ring.get(16).is_none());
    }

    #[test]
    fn a_late_packet_fills_its_gap_but_never_displaces_a_newer_one() {
        let mut ring = Ring::new(4);
        ring.insert(Arc::new(packet(10)));
        ring.insert(Arc::new(packet(12)));
        assert!(ring.insert(Arc::new(packet(11))).is_none());
        assert!(ring.get(11).is_some());
        let refused = ring.insert(Arc::new(packet(8))).unwrap();
        assert_eq!(refused.sequence, 8);
        assert!(ring.get(12).is_some());
    }

    #[test]
    fn a_packet_is_used_again_only_when_nobody_holds_it() {
        let mut recycler = Recycler::default();
        let first = recycler.take(|| packet(1));
        let held = Arc::clone(&first);
        recycler.put(first);
        let second = recycler.take(|| packet(2));
        assert_eq!((second.sequence, recycler.allocated()), (2, 2));
        drop(held);
        let third = recycler.take(|| packet(3));
        assert_eq!((third.sequence, recycler.allocated()), (1, 2));
    }

    #[test]
    fn a_steady_stream_allocates_no_packets() {
        let mut ring = Ring::new(64);
        let mut recycler = Recycler::default();
        for sequence in 0..10_000 {
            let mut next = recycler.take(|| packet(0));
            Arc::get_mut(&mut next).unwrap().sequence = sequence;
            if let Some(old) = ring.insert(next) {
                recycler.put(old);
            }
        }
        assert_eq!(recycler.allocated(), 65);
    }
}
