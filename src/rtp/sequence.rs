//! Sequence numbers: unwrapping the 16 bits of the wire (RFC 3550, appendix A.1).

/// Turns 16-bit sequence numbers into numbers that never wrap.
///
/// The first number becomes `2^16 + number`, so that packets which were sent before it but come
/// later have a number too.
#[derive(Clone, Debug, Default)]
pub struct Unwrapper {
    highest: Option<u64>,
}

impl Unwrapper {
    /// The number nearest to the highest so far that has these 16 bits; it becomes the highest if it is.
    pub fn unwrap(&mut self, number: u16) -> u64 {
        let number = self.peek(number);
        self.highest = Some(self.highest.map_or(number, |highest| highest.max(number)));
        number
    }

    /// What [`Self::unwrap`] would say, without remembering it.
    pub fn peek(&self, number: u16) -> u64 {
        match self.highest {
            None => (1 << 16) + u64::from(number),
            Some(highest) => nearest(highest, number),
        }
    }

    /// The highest number so far.
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }
}

/// The number nearest to `reference` whose lower 16 bits are `number`; never below 0.
pub fn nearest(reference: u64, number: u16) -> u64 {
    let ahead = number.wrapping_sub(reference as u16) as i16;
    match reference.checked_add_signed(i64::from(ahead)) {
        Some(near) => near,
        None => u64::from(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wraps_both_ways() {
        let mut unwrapper = Unwrapper::default();
        assert_eq!(unwrapper.unwrap(65_535), 131_071);
        assert_eq!(unwrapper.unwrap(0), 131_072);
        assert_eq!(unwrapper.unwrap(65_534), 131_070);
        assert_eq!(unwrapper.highest(), Some(131_072));
    }

    #[test]
    fn a_packet_before_the_first_has_a_number() {
        let mut unwrapper = Unwrapper::default();
        assert_eq!(unwrapper.unwrap(0), 65_536);
        assert_eq!(unwrapper.unwrap(65_535), 65_535);
    }

    proptest! {
        #[test]
        fn the_lower_bits_stay(reference: u32, number: u16) {
            let near = nearest(u64::from(reference), number);
            prop_assert_eq!(near as u16, number);
            if reference > 40_000 {
                prop_assert!(near.abs_diff(u64::from(reference)) <= 32_768);
            }
        }
    }
}
