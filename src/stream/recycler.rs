//! Packets that are filled again and again.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Packet;

/// Packets to be filled again, so that a stream in its steady state allocates none.
///
/// A packet that leaves its publisher's [`Ring`](super::Ring) may still stand in the rings of other shards or in
/// a queue. It waits here, oldest first, until it is the only one left.
#[derive(Debug, Default)]
pub struct Recycler {
    waiting: VecDeque<Arc<Packet>>,
    allocated: u64,
}

impl Recycler {
    /// How many packets may wait: all that a keyframe lets go of, after the longest way since the one
    /// before. More than that are let go, and allocated anew when needed.
    const CAPACITY: usize = 8192;

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
}
