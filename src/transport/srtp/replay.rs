//! What an SRTP receiver remembers of each SSRC: the highest index and which ones it has seen.
//!
//! Bounded whatever the peer sends: a state is made only for a packet that was authentic, and
//! beyond [`Sources::LIMIT`] the SSRC that was silent for longest makes room.

/// The indices just below the highest one, a bit each (RFC 3711, section 3.3.2).
///
/// `WORDS` times 64 is how far a packet may come late.
#[derive(Clone)]
pub(super) struct Window<const WORDS: usize> {
    highest: u64,
    /// A ring: the bit of an index is at the index modulo the size.
    seen: [u64; WORDS],
}

impl<const WORDS: usize> Window<WORDS> {
    const SIZE: u64 = WORDS as u64 * 64;

    fn new(first: u64) -> Self {
        let mut window = Self {
            highest: first,
            seen: [0; WORDS],
        };
        window.mark(first);
        window
    }

    /// The index that a sequence number most likely stands for: the nearest one to the highest
    /// (RFC 3711, section 3.3.1 and appendix A).
    pub(super) fn estimate(&self, sequence: u16) -> u64 {
        let distance = sequence.wrapping_sub(self.highest as u16) as i16;
        // Before the first rollover there is nothing below zero: it can only lie ahead.
        self.highest
            .checked_add_signed(distance.into())
            .unwrap_or(sequence.into())
    }

    /// Whether `index` is new and not too old to tell.
    pub(super) fn is_fresh(&self, index: u64) -> bool {
        if index > self.highest {
            return true;
        }
        let (word, bit) = Self::position(index);
        self.highest - index < Self::SIZE && self.seen[word] & bit == 0
    }

    fn accept(&mut self, index: u64) {
        if index > self.highest {
            // The bits between belong to indices a whole window ago.
            if index - self.highest >= Self::SIZE {
                self.seen = [0; WORDS];
            } else {
                for skipped in self.highest + 1..index {
                    let (word, bit) = Self::position(skipped);
                    self.seen[word] &= !bit;
                }
            }
            self.highest = index;
        }
        self.mark(index);
    }

    fn mark(&mut self, index: u64) {
        let (word, bit) = Self::position(index);
        self.seen[word] |= bit;
    }

    fn position(index: u64) -> (usize, u64) {
        let slot = index % Self::SIZE;
        ((slot / 64) as usize, 1 << (slot % 64))
    }
}

/// The windows of the SSRCs of one peer.
pub(super) struct Sources<const WORDS: usize> {
    sources: Vec<Source<WORDS>>,
    /// Counts accepted packets, to tell which source was silent for longest.
    accepted: u64,
}

struct Source<const WORDS: usize> {
    ssrc: u32,
    last_used: u64,
    window: Window<WORDS>,
}

impl<const WORDS: usize> Sources<WORDS> {
    /// How many SSRCs are remembered. Three layers with retransmissions and two audio tracks make eight.
    pub(super) const LIMIT: usize = 32;

    pub(super) const fn new() -> Self {
        Self {
            sources: Vec::new(),
            accepted: 0,
        }
    }

    /// The window of an SSRC that was heard before.
    pub(super) fn window(&self, ssrc: u32) -> Option<&Window<WORDS>> {
        let source = self.sources.iter().find(|source| source.ssrc == ssrc)?;
        Some(&source.window)
    }

    /// Notes an authentic packet.
    pub(super) fn accept(&mut self, ssrc: u32, index: u64) {
        self.accepted += 1;
        let last_used = self.accepted;
        if let Some(source) = self.sources.iter_mut().find(|source| source.ssrc == ssrc) {
            source.last_used = last_used;
            source.window.accept(index);
            return;
        }
        if self.sources.len() == Self::LIMIT
            && let Some(oldest) = (0..Self::LIMIT).min_by_key(|&i| self.sources[i].last_used)
        {
            self.sources.swap_remove(oldest);
        }
        self.sources.push(Source {
            ssrc,
            last_used,
            window: Window::new(index),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn estimates_cross_the_rollover_both_ways() {
        let window = Window::<1>::new(0x1_FFFE);
        assert_eq!(window.estimate(0xFFFF), 0x1_FFFF);
        assert_eq!(window.estimate(3), 0x2_0003);
        let window = Window::<1>::new(0x2_0003);
        assert_eq!(window.estimate(0xFFFE), 0x1_FFFE);
    }

    #[test]
    fn before_the_first_rollover_nothing_lies_below_zero() {
        let window = Window::<1>::new(5);
        assert_eq!(window.estimate(0xFFFE), 0xFFFE);
    }

    #[test]
    fn the_source_silent_for_longest_makes_room() {
        let mut sources = Sources::<1>::new();
        for ssrc in 0..Sources::<1>::LIMIT as u32 {
            sources.accept(ssrc, 0);
        }
        sources.accept(0, 1);
        sources.accept(1000, 0);
        assert!(sources.window(0).is_some());
        assert!(sources.window(1).is_none());
        assert_eq!(sources.sources.len(), Sources::<1>::LIMIT);
    }

    proptest! {
        #[test]
        fn a_window_agrees_with_a_set(steps in prop::collection::vec(-150i64..200, 1..300)) {
            let mut window = Window::<2>::new(1000);
            let mut seen = HashSet::from([1000u64]);
            let mut highest = 1000u64;
            for step in steps {
                let index = highest.saturating_add_signed(step);
                let fresh = index + 128 > highest && !seen.contains(&index);
                prop_assert_eq!(window.is_fresh(index), fresh);
                if fresh {
                    window.accept(index);
                    seen.insert(index);
                    highest = highest.max(index);
                }
            }
        }
    }
}
