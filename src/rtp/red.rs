//! Redundant audio (RFC 2198): one packet that carries earlier ones once more. Pure.
//!
//! The payload begins with a header for each block, the oldest first. That of the last block, the primary one, is
//! a single byte; those of the others are four: the payload type, how much earlier the block begins than the
//! packet, and its length.

/// Packets with more blocks than this are refused: nobody sends as many.
pub const MAX_BLOCKS: usize = 32;
/// The furthest that a block can lie in the past, in units of the codec's clock (14 bits).
pub const MAX_TIMESTAMP_OFFSET: u32 = (1 << 14) - 1;
/// The longest block but the primary one, in bytes (10 bits).
pub const MAX_BLOCK_LEN: usize = (1 << 10) - 1;
/// Bytes of the header of a packet with one redundant block, as [`header`] writes it.
pub const HEADER_LEN: usize = BLOCK_HEADER_LEN + 1;

const BLOCK_HEADER_LEN: usize = 4;
/// F: another header follows.
const FOLLOWED: u8 = 0x80;

/// A payload taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Red<'a> {
    /// The payload type of the primary block.
    pub payload_type: u8,
    /// The primary block: what the packet would hold without redundancy.
    pub primary: &'a [u8],
    headers: &'a [u8],
    redundant: &'a [u8],
}

/// What another packet held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// Its payload type, 0 to 127.
    pub payload_type: u8,
    /// What to take from the timestamp of the packet that it comes with, in units of the codec's clock.
    pub timestamp_offset: u32,
    /// What it held.
    pub payload: &'a [u8],
}

impl<'a> Red<'a> {
    /// Reads a payload; none where it ends too early, or has more than [`MAX_BLOCKS`].
    pub fn read(payload: &'a [u8]) -> Option<Self> {
        let (mut end, mut redundant_len) = (0, 0);
        while payload.get(end)? & FOLLOWED != 0 {
            let header: &[u8; BLOCK_HEADER_LEN] = payload.get(end..)?.first_chunk()?;
            redundant_len += len(header);
            end += BLOCK_HEADER_LEN;
            if end > MAX_BLOCKS * BLOCK_HEADER_LEN {
                return None;
            }
        }
        let (headers, rest) = payload.split_at_checked(end)?;
        let (payload_type, rest) = rest.split_first()?;
        let (redundant, primary) = rest.split_at_checked(redundant_len)?;
        Some(Self {
            payload_type: *payload_type,
            primary,
            headers,
            redundant,
        })
    }

    /// The other blocks, the newest first.
    pub fn redundant(&self) -> impl Iterator<Item = Block<'a>> + use<'a> {
        let (headers, _) = self.headers.as_chunks::<BLOCK_HEADER_LEN>();
        let mut rest = self.redundant;
        headers.iter().rev().map_while(move |header| {
            let at = rest.len().checked_sub(len(header))?;
            let (earlier, payload) = rest.split_at_checked(at)?;
            rest = earlier;
            Some(Block {
                payload_type: header[0] & !FOLLOWED,
                timestamp_offset: u32::from(u16::from_be_bytes([header[1], header[2]]) >> 2),
                payload,
            })
        })
    }
}

/// The header of a packet with one redundant block in front of the primary one, both of the same payload type; none
/// where the block is too long or too old for it.
pub fn header(
    payload_type: u8,
    timestamp_offset: u32,
    block_len: usize,
) -> Option<[u8; HEADER_LEN]> {
    if timestamp_offset > MAX_TIMESTAMP_OFFSET || block_len > MAX_BLOCK_LEN {
        return None;
    }
    let [_, high, middle, low] = (timestamp_offset << 10 | block_len as u32).to_be_bytes();
    let payload_type = payload_type & !FOLLOWED;
    Some([payload_type | FOLLOWED, high, middle, low, payload_type])
}

fn len(header: &[u8; BLOCK_HEADER_LEN]) -> usize {
    usize::from(u16::from_be_bytes([header[2], header[3]]) & 0x03FF)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn blocks_come_the_newest_first() {
        // 1920 and 960 ticks back; 2 and 3 bytes.
        let mut payload = vec![0xEF, 0x1E, 0x00, 0x02, 0xEF, 0x0F, 0x00, 0x03, 0x6F];
        payload.extend([1, 2, 11, 12, 13, 21]);
        let read = Red::read(&payload).unwrap();
        assert_eq!((read.payload_type, read.primary), (111, &[21][..]));
        let block = |timestamp_offset, payload| Block {
            payload_type: 111,
            timestamp_offset,
            payload,
        };
        let blocks: Vec<_> = read.redundant().collect();
        assert_eq!(
            blocks,
            [block(960, &[11, 12, 13][..]), block(1920, &[1, 2])]
        );
    }

    #[test]
    fn a_primary_block_alone_has_a_header_of_one_byte() {
        let read = Red::read(&[111, 7, 8]).unwrap();
        assert_eq!((read.payload_type, read.primary), (111, &[7, 8][..]));
        assert_eq!(read.redundant().count(), 0);
        assert!(Red::read(&[111]).unwrap().primary.is_empty());
    }

    #[test]
    fn what_ends_too_early_or_never_is_refused() {
        let payload = [0xEF, 0x0F, 0x00, 0x03, 0x6F, 11, 12, 13];
        assert!(Red::read(&payload).is_some());
        for end in 0..payload.len() {
            assert_eq!(Red::read(&payload[..end]), None, "{end}");
        }
        let blocks = |count| {
            let mut payload = [0xEF, 0, 0, 0].repeat(count);
            payload.push(111);
            Red::read(&payload).map(|read| read.redundant().count())
        };
        assert_eq!(blocks(MAX_BLOCKS), Some(MAX_BLOCKS));
        assert_eq!(blocks(MAX_BLOCKS + 1), None);
    }

    #[test]
    fn a_header_has_no_room_for_more_than_its_fields_hold() {
        assert!(header(111, MAX_TIMESTAMP_OFFSET, MAX_BLOCK_LEN).is_some());
        assert_eq!(header(111, MAX_TIMESTAMP_OFFSET + 1, 0), None);
        assert_eq!(header(111, 0, MAX_BLOCK_LEN + 1), None);
    }

    proptest! {
        #[test]
        fn any_payload_is_survived(payload in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(read) = Red::read(&payload) {
                let redundant: usize = read.redundant().map(|block| block.payload.len()).sum();
                let headers = 1 + 4 * read.redundant().count();
                prop_assert_eq!(headers + redundant + read.primary.len(), payload.len());
            }
        }

        #[test]
        fn what_is_written_is_read(
            payload_type in 0..=127u8,
            offset in 0..=MAX_TIMESTAMP_OFFSET,
            before in prop::collection::vec(any::<u8>(), 0..=MAX_BLOCK_LEN),
            primary in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut payload = header(payload_type, offset, before.len()).unwrap().to_vec();
            payload.extend_from_slice(&before);
            payload.extend_from_slice(&primary);
            let read = Red::read(&payload).unwrap();
            prop_assert_eq!((read.payload_type, read.primary), (payload_type, &primary[..]));
            let block = Block { payload_type, timestamp_offset: offset, payload: &before };
            prop_assert_eq!(read.redundant().collect::<Vec<_>>(), [block]);
        }
    }
}
