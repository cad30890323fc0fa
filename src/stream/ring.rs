//! The last packets of a layer, shared by all subscribers of a shard: for those who lost some, and for those
//! who have just come.
//!
//! A ring keeps the newest packets for retransmission, and beyond them all since the last keyframe, as long
//! as those are within limits: the keyframe cache. So whoever begins at that keyframe finds everything after
//! it in the same place, and can ask for what it lost of it as of anything else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Packet;

/// What is kept since a keyframe at most. Beyond that there is nothing to begin with before the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyframeCache {
    /// Bytes of payload; 0 for no cache at all, as for audio, where every packet is a beginning.
    pub bytes: usize,
    /// The age of the keyframe.
    pub age: Duration,
}

impl KeyframeCache {
    /// None.
    pub const OFF: Self = Self {
        bytes: 0,
        age: Duration::ZERO,
    };

    /// Packets are seldom smaller on average than this, where there are many. If they are, less is kept.
    const BYTES_PER_PACKET: usize = 1024;

    fn packets(self) -> usize {
        self.bytes / Self::BYTES_PER_PACKET
    }
}

/// Where somebody new can begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The number of the keyframe's first packet.
    pub sequence: u64,
    /// The keyframe's RTP timestamp.
    pub timestamp: u32,
    /// When it came.
    pub received: Instant,
    /// The payload of the keyframe and all that came after it, in bytes.
    pub bytes: usize,
}

/// Holds the newest packets of one layer by their sequence number.
///
/// The packets themselves are shared with the rings of the other shards; a slot is one pointer.
#[derive(Debug)]
pub struct Ring {
    slots: Box<[Option<Arc<Packet>>]>,
    /// How far it reaches back in any case.
    window: u64,
    cache: KeyframeCache,
    newest: Option<u64>,
    /// No packet below this is held or taken.
    oldest: u64,
    start: Option<Start>,
}

impl Ring {
    /// How many numbers such a ring reaches back at most.
    pub fn slots(window: usize, cache: KeyframeCache) -> usize {
        window.max(1).max(cache.packets()).next_power_of_two()
    }

    /// A ring that reaches back `window` sequence numbers; at least one, rounded up to a power of two. Behind
    /// that, it reaches back to the last keyframe, within `cache`.
    pub fn new(window: usize, cache: KeyframeCache) -> Self {
        Self {
            slots: vec![None; Self::slots(window, cache)].into_boxed_slice(),
            window: window.max(1).next_power_of_two() as u64,
            cache,
            newest: None,
            oldest: 0,
            start: None,
        }
    }

    /// Keeps `packet`; gives those to `release` that it holds no longer. A packet older than the ring reaches
    /// is given back itself.
    pub fn insert(&mut self, packet: Arc<Packet>, mut release: impl FnMut(Arc<Packet>)) {
        let sequence = packet.sequence;
        let newest = self.newest.map_or(sequence, |newest| newest.max(sequence));
        if sequence < self.oldest || newest - sequence >= self.slots.len() as u64 {
            return release(packet);
        }
        self.newest = Some(newest);
        self.note_keyframe(&packet);
        let kept = newest.saturating_sub(self.window - 1);
        let kept = self.start.map_or(kept, |start| kept.min(start.sequence));
        self.let_go(kept, &mut release);
        let slot = self.slot(sequence);
        if let Some(old) = self.slots[slot].replace(packet) {
            release(old);
        }
    }

    /// The packet with this number, when it is still here.
    pub fn get(&self, sequence: u64) -> Option<&Arc<Packet>> {
        self.slots[self.slot(sequence)]
            .as_ref()
            .filter(|packet| packet.sequence == sequence)
    }

    /// The first packet of the picture with this timestamp, where the source has several layers and it is here. Meant
    /// for new pictures: looks back from the newest packet.
    pub fn picture(&self, timestamp: u32) -> Option<&Arc<Packet>> {
        let newest = self.newest?;
        (self.oldest..=newest)
            .rev()
            .map_while(|sequence| match self.get(sequence) {
                // A picture that came before it ends the search; one that is missing does not.
                Some(packet) if (packet.timestamp.wrapping_sub(timestamp) as i32) < 0 => None,
                packet => Some(packet),
            })
            .take(self.slots.len())
            .flatten()
            .find(|packet| !packet.leads_to.is_empty() && packet.timestamp == timestamp)
    }

    /// What is here from a number on, in order.
    pub fn packets_from(&self, first: u64) -> impl Iterator<Item = &Arc<Packet>> {
        let (first, ends) = (first.max(self.oldest), self.newest.into_iter());
        let numbers = ends.flat_map(move |newest| first..=newest);
        numbers.filter_map(|sequence| self.get(sequence))
    }

    /// Whether the ring reaches back no further than behind this number: its packet is not here and will not come.
    pub fn has_passed(&self, sequence: u64) -> bool {
        sequence < self.oldest
    }

    /// How many numbers it reaches back.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// The highest number so far.
    pub fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// The last keyframe, when it and all that came after it are here, but for what was lost.
    pub fn start(&self) -> Option<Start> {
        self.start
    }

    /// Nobody can begin before the next keyframe: what is here is of another time.
    pub fn forget_start(&mut self) {
        self.start = None;
    }

    /// Lets go of everything. What comes later is taken as before.
    pub fn clear(&mut self) {
        self.forget_start();
        self.slots.fill(None);
    }

    /// Follows the beginning that the cache has, with a packet that is about to be inserted.
    fn note_keyframe(&mut self, packet: &Packet) {
        if self.cache.bytes == 0 {
            return;
        }
        let begins = packet.keyframe
            && self.start.is_none_or(|start| {
                // A keyframe has several packets that say so.
                start.timestamp != packet.timestamp && start.sequence < packet.sequence
            });
        if begins {
            self.start = Some(Start {
                sequence: packet.sequence,
                timestamp: packet.timestamp,
                received: packet.received,
                bytes: 0,
            });
        }
        let Some(start) = &mut self.start else {
            return;
        };
        if packet.keyframe && packet.timestamp == start.timestamp {
            start.sequence = start.sequence.min(packet.sequence);
        }
        if packet.sequence >= start.sequence {
            start.bytes += packet.payload.len();
        }
        let age = packet.received.saturating_duration_since(start.received);
        let reach = self
            .newest
            .unwrap_or_default()
            .saturating_sub(start.sequence);
        if start.bytes > self.cache.bytes
            || age > self.cache.age
            || reach >= self.slots.len() as u64
        {
            self.start = None;
        }
    }

    /// Lets go of everything below `kept`.
    fn let_go(&mut self, kept: u64, release: &mut impl FnMut(Arc<Packet>)) {
        // No slot twice, however far the numbers have jumped.
        let from = self
            .oldest
            .max(kept.saturating_sub(self.slots.len() as u64));
        for sequence in from..kept {
            let slot = self.slot(sequence);
            if let Some(old) = self.slots[slot].take_if(|packet| packet.sequence < kept) {
                release(old);
            }
        }
        self.oldest = self.oldest.max(kept);
    }

    fn slot(&self, sequence: u64) -> usize {
        // The length is a power of two, so this is a mask.
        (sequence % self.slots.len() as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Recycler;
    use crate::stream::testing::packet;

    const CACHE: KeyframeCache = KeyframeCache {
        bytes: 64 * 1024,
        age: Duration::from_secs(5),
    };

    fn insert(ring: &mut Ring, packet: Packet) -> Vec<u64> {
        let mut released = Vec::new();
        ring.insert(Arc::new(packet), |old| released.push(old.sequence));
        released
    }

    /// A packet of a picture of its own, with `bytes` of payload.
    fn picture(sequence: u64, keyframe: bool, bytes: usize) -> Packet {
        Packet {
            timestamp: sequence as u32 * 3000,
            keyframe,
            payload: vec![0; bytes],
            ..packet(sequence)
        }
    }

    #[test]
    fn the_newest_packets_are_found_by_number() {
        let mut ring = Ring::new(4, KeyframeCache::OFF);
        for sequence in 10..16 {
            insert(&mut ring, packet(sequence));
        }
        assert_eq!(ring.newest(), Some(15));
        assert!(ring.get(11).is_none());
        assert_eq!(ring.get(12).unwrap().sequence, 12);
        assert!(ring.get(16).is_none());
        assert_eq!(ring.start(), None);
    }

    #[test]
    fn a_late_packet_fills_its_gap_but_never_displaces_a_newer_one() {
        let mut ring = Ring::new(4, KeyframeCache::OFF);
        insert(&mut ring, packet(10));
        insert(&mut ring, packet(12));
        assert!(insert(&mut ring, packet(11)).is_empty());
        assert!(ring.get(11).is_some());
        assert_eq!(insert(&mut ring, packet(8)), [8]);
        assert!(ring.get(12).is_some());
    }

    #[test]
    fn all_since_the_last_keyframe_is_kept_beyond_the_window() {
        let mut ring = Ring::new(4, CACHE);
        insert(&mut ring, picture(9, false, 100));
        insert(&mut ring, picture(10, true, 100));
        for sequence in 11..40 {
            assert!(insert(&mut ring, picture(sequence, false, 100)).len() <= 1);
        }
        assert!(ring.get(9).is_none());
        assert!((10..40).all(|sequence| ring.get(sequence).is_some()));
        let start = ring.start().unwrap();
        assert_eq!((start.sequence, start.bytes), (10, 3000));
        // The next keyframe lets go of them, but for the window.
        let released = insert(&mut ring, picture(40, true, 100));
        assert_eq!(released, (10..37).collect::<Vec<_>>());
        assert!(ring.get(37).is_some());
        assert_eq!(ring.start().unwrap().sequence, 40);
    }

    #[test]
    fn a_cleared_ring_holds_nothing_and_goes_on() {
        let mut ring = Ring::new(4, CACHE);
        let first = Arc::new(picture(10, true, 100));
        ring.insert(Arc::clone(&first), drop);
        insert(&mut ring, picture(11, false, 100));
        ring.clear();
        assert_eq!(Arc::strong_count(&first), 1);
        assert_eq!((ring.start(), ring.packets_from(0).count()), (None, 0));
        insert(&mut ring, picture(12, true, 100));
        assert_eq!(ring.start().unwrap().sequence, 12);
    }

    #[test]
    fn a_keyframe_in_several_packets_begins_once_and_with_its_first() {
        let mut ring = Ring::new(4, CACHE);
        let of = |sequence, keyframe| Packet {
            timestamp: 7,
            ..picture(sequence, keyframe, 10)
        };
        insert(&mut ring, of(21, true));
        insert(&mut ring, of(22, false));
        insert(&mut ring, of(20, true));
        insert(&mut ring, of(23, true));
        let start = ring.start().unwrap();
        assert_eq!((start.sequence, start.bytes), (20, 40));
        // Late, and of the time before.
        insert(&mut ring, picture(19, true, 10));
        assert_eq!(ring.start().unwrap().sequence, 20);
    }

    #[test]
    fn a_cache_that_grows_too_large_or_too_old_is_given_up() {
        let mut ring = Ring::new(4, CACHE);
        insert(&mut ring, picture(10, true, 60 * 1024));
        assert!(ring.start().is_some());
        insert(&mut ring, picture(11, false, 5 * 1024));
        assert_eq!(ring.start(), None);
        insert(&mut ring, picture(12, true, 100));
        let mut late = picture(13, false, 100);
        late.received += CACHE.age * 2;
        insert(&mut ring, late);
        assert_eq!(ring.start(), None);
        // As many numbers as there are slots.
        insert(&mut ring, picture(20, true, 10));
        for sequence in 21..20 + 64 {
            insert(&mut ring, picture(sequence, false, 1));
            assert!(ring.start().is_some(), "{sequence}");
        }
        insert(&mut ring, picture(20 + 64, false, 1));
        assert_eq!(ring.start(), None);
        assert!(ring.get(20 + 64 - 4).is_none() && ring.get(20 + 64 - 3).is_some());
    }

    #[test]
    fn numbers_that_jump_leave_nothing_behind() {
        let mut ring = Ring::new(4, CACHE);
        for sequence in [10, 11, 12, 1_000_000, 1_000_001] {
            insert(&mut ring, picture(sequence, false, 10));
        }
        let held = ring.slots.iter().flatten().count();
        assert_eq!(held, 2);
    }

    #[test]
    fn a_steady_stream_allocates_no_packets() {
        let mut ring = Ring::new(64, CACHE);
        let mut recycler = Recycler::default();
        for sequence in 0..10_000 {
            let mut next = recycler.take(|| picture(0, false, 8));
            let filled = Arc::get_mut(&mut next).unwrap();
            filled.sequence = sequence;
            filled.keyframe = sequence % 50 == 0;
            filled.timestamp = sequence as u32;
            ring.insert(next, |old| recycler.put(old));
        }
        assert!(recycler.allocated() <= 130, "{}", recycler.allocated());
    }
}
