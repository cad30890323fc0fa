//! Reads transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1):
//! when each packet of a transport arrived at its receiver.
//!
//! Allocates nothing. Whatever a packet claims, the work is bounded by [`MAX_STATUSES`].

/// Packets that one feedback may tell of. Honest ones tell of some hundred.
pub const MAX_STATUSES: u16 = 4_096;

/// Arrival times count in these, in microseconds.
pub const TICK_MICROS: i64 = 250;

/// The reference time counts in these, in microseconds.
pub const REFERENCE_MICROS: i64 = 64_000;

/// One feedback, its parts found but not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportFeedback<'a> {
    first: u16,
    count: u16,
    reference: u32,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

impl<'a> TransportFeedback<'a> {
    /// Finds the parts of what follows the two SSRCs. None where it is cut off or too large.
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        let (head, rest) = body.split_first_chunk::<8>()?;
        let count = u16::from_be_bytes([head[2], head[3]]);
        if count == 0 || count > MAX_STATUSES {
            return None;
        }
        let (mut told, mut end) = (0, 0);
        while told < usize::from(count) {
            let chunk = rest.get(end..end + 2)?;
            told += Chunk::new(chunk[0], chunk[1]).len();
            end += 2;
        }
        let (chunks, deltas) = rest.split_at(end);
        Some(Self {
            first: u16::from_be_bytes([head[0], head[1]]),
            count,
            reference: u32::from_be_bytes([0, head[4], head[5], head[6]]),
            chunks,
            deltas,
        })
    }

    /// The reference time: 24 bits, in units of [`REFERENCE_MICROS`].
    pub fn reference(self) -> u32 {
        self.reference
    }

    /// Every packet told of, in the order of their numbers: its transport-wide number, and when it
    /// arrived, in microseconds from the reference time; none for one that did not. Ends early where
    /// arrival times are missing.
    pub fn statuses(self) -> impl Iterator<Item = (u16, Option<i64>)> + 'a {
        let chunks = self.chunks.as_chunks::<2>().0.iter();
        let symbols = chunks.flat_map(|[high, low]| Chunk::new(*high, *low).symbols());
        let (mut deltas, mut arrived) = (self.deltas, 0);
        let statuses = symbols.take(usize::from(self.count)).map(move |symbol| {
            let delta = match symbol {
                0 => return Some(None),
                1 => {
                    let (delta, rest) = deltas.split_first()?;
                    deltas = rest;
                    i64::from(*delta)
                }
                _ => {
                    let (delta, rest) = deltas.split_first_chunk()?;
                    deltas = rest;
                    i64::from(i16::from_be_bytes(*delta))
                }
            };
            arrived += delta * TICK_MICROS;
            Some(Some(arrived))
        });
        let numbers = (0..).map(move |index: u16| self.first.wrapping_add(index));
        numbers
            .zip(statuses)
            .map_while(|(number, status)| Some((number, status?)))
    }
}

/// A packet status chunk (sections 3.1.3 and 3.1.4).
#[derive(Clone, Copy)]
struct Chunk(u16);

impl Chunk {
    fn new(high: u8, low: u8) -> Self {
        Self(u16::from_be_bytes([high, low]))
    }

    fn len(self) -> usize {
        match self.0 >> 14 {
            0 | 1 => usize::from(self.0 & 0x1FFF),
            2 => 14,
            _ => 7,
        }
    }

    /// 0 for a packet that did not arrive, 1 for a delta of one byte, 2 for one of two; 3 is reserved
    /// and read as 2 would be lost: as not arrived.
    fn symbols(self) -> impl Iterator<Item = u16> {
        let word = self.0;
        (0..self.len()).map(move |index| {
            let symbol = match word >> 14 {
                0 | 1 => word >> 13 & 3,
                2 => word >> (13 - index) & 1,
                _ => word >> (12 - 2 * index) & 3,
            };
            if symbol == 3 { 0 } else { symbol }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(body: &[u8]) -> Option<Vec<(u16, Option<i64>)>> {
        TransportFeedback::parse(body).map(|feedback| feedback.statuses().collect())
    }

    #[test]
    fn runs_and_vectors_are_read() {
        // A run of three small deltas, then two bits each: none, large, small.
        let body = [
            0xFF,
            0xFE,
            0,
            6,
            0,
            0,
            2,
            9,
            0x20,
            3,
            0b1100_1001,
            0,
            4,
            0,
            1,
            0xFF,
            0xFC,
            8,
        ];
        assert_eq!(
            read(&body).unwrap(),
            [
                (65_534, Some(1_000)),
                (65_535, Some(1_000)),
                (0, Some(1_250)),
                (1, None),
                (2, Some(250)),
                (3, Some(2_250)),
            ]
        );
        assert_eq!(TransportFeedback::parse(&body).unwrap().reference(), 2);
        let one_bit = [0, 7, 0, 3, 0, 0, 0, 0, 0b1010_1000, 0, 2, 2];
        assert_eq!(
            read(&one_bit).unwrap(),
            [(7, Some(500)), (8, None), (9, Some(1_000))]
        );
    }

    #[test]
    fn what_is_cut_off_or_claims_too_much_is_not_read() {
        assert_eq!(read(&[0, 1, 0, 1, 0, 0, 0, 0]), None);
        assert_eq!(read(&[0, 1, 0xFF, 0xFF, 0, 0, 0, 0, 0x1F, 0xFF]), None);
        let no_delta = [0, 1, 0, 1, 0, 0, 0, 0, 0x20, 1];
        assert_eq!(read(&no_delta), Some(Vec::new()));
        let empty_runs = [0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(read(&empty_runs), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Some(statuses) = read(&bytes) {
                prop_assert!(statuses.len() <= usize::from(MAX_STATUSES));
            }
        }
    }
}
