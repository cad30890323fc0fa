//! The RTP header on the wire (RFC 3550, section 5.1) and its extensions (RFC 8285).

/// The smallest RTP packet: a header without anything after it, in bytes.
pub const FIXED_LEN: usize = 12;

const ONE_BYTE_PROFILE: u16 = 0xBEDE;
const TWO_BYTE_PROFILE: u16 = 0x1000;

/// A parsed header. It borrows nothing: offsets lead into the packet that it was parsed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The marker bit.
    pub marker: bool,
    /// 0 to 127.
    pub payload_type: u8,
    /// The 16 bits on the wire.
    pub sequence_number: u16,
    /// In units of the codec's clock.
    pub timestamp: u32,
    /// The synchronisation source.
    pub ssrc: u32,
    padding: bool,
    /// Where the extension block begins and what form it has.
    extension: Option<ExtensionBlock>,
    payload_offset: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ExtensionBlock {
    profile: u16,
    start: usize,
    end: usize,
}

/// Why bytes are not an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// It ends before its header does.
    #[error("the packet ends inside its RTP header")]
    Truncated,
    /// The version field is not 2.
    #[error("not RTP version 2")]
    Version,
    /// The padding count is 0 or larger than the payload.
    #[error("the padding is longer than the payload")]
    Padding,
}

impl Header {
    /// Reads the header of `packet`, which may still be encrypted behind it.
    ///
    /// # Errors
    ///
    /// When the bytes are no RTP packet.
    pub fn parse(packet: &[u8]) -> Result<Self, HeaderError> {
        let fixed: &[u8; FIXED_LEN] = packet.first_chunk().ok_or(HeaderError::Truncated)?;
        if fixed[0] >> 6 != 2 {
            return Err(HeaderError::Version);
        }
        let mut offset = FIXED_LEN + 4 * usize::from(fixed[0] & 0x0F);
        let mut extension = None;
        if fixed[0] & 0x10 != 0 {
            let head = packet
                .get(offset..offset + 4)
                .ok_or(HeaderError::Truncated)?;
            let start = offset + 4;
            let end = start + 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
            let profile = u16::from_be_bytes([head[0], head[1]]);
            extension = Some(ExtensionBlock {
                profile,
                start,
                end,
            });
            offset = end;
        }
        if packet.len() < offset {
            return Err(HeaderError::Truncated);
        }
        Ok(Self {
            marker: fixed[1] & 0x80 != 0,
            payload_type: fixed[1] & 0x7F,
            sequence_number: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            padding: fixed[0] & 0x20 != 0,
            extension,
            payload_offset: offset,
        })
    }

    /// Bytes of header, CSRCs and extensions: what SRTP authenticates but does not encrypt.
    pub fn len(&self) -> usize {
        self.payload_offset
    }

    /// Never: a header has at least [`FIXED_LEN`] bytes.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The payload of the decrypted packet, without its padding.
    ///
    /// # Errors
    ///
    /// [`HeaderError::Padding`] when the padding count makes no sense.
    pub fn payload<'a>(&self, packet: &'a [u8]) -> Result<&'a [u8], HeaderError> {
        let payload = packet
            .get(self.payload_offset..)
            .ok_or(HeaderError::Truncated)?;
        if !self.padding {
            return Ok(payload);
        }
        match payload.last() {
            Some(&count) if count > 0 && usize::from(count) <= payload.len() => {
                Ok(&payload[..payload.len() - usize::from(count)])
            }
            _ => Err(HeaderError::Padding),
        }
    }

    /// The header extensions of the packet as id and value, in their order. A malformed block ends early.
    pub fn extensions<'a>(&self, packet: &'a [u8]) -> Extensions<'a> {
        let (two_byte, rest) = match self.extension {
            Some(block) if block.profile == ONE_BYTE_PROFILE => {
                (false, packet.get(block.start..block.end))
            }
            // The lower four bits are "appbits" and free to have any value (RFC 8285, section 4.3).
            Some(block) if block.profile & 0xFFF0 == TWO_BYTE_PROFILE => {
                (true, packet.get(block.start..block.end))
            }
            _ => (false, None),
        };
        Extensions {
            two_byte,
            rest: rest.unwrap_or_default(),
        }
    }
}

/// The iterator of [`Header::extensions`].
#[derive(Clone, Debug)]
pub struct Extensions<'a> {
    two_byte: bool,
    rest: &'a [u8],
}

impl<'a> Iterator for Extensions<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (&first, tail) = self.rest.split_first()?;
            if first == 0 {
                self.rest = tail; // a byte of padding
                continue;
            }
            let (id, len, tail) = if self.two_byte {
                let (&len, tail) = tail.split_first()?;
                (first, usize::from(len), tail)
            } else {
                if first >> 4 == 15 {
                    self.rest = &[]; // the reserved id ends the block (RFC 8285, section 4.2)
                    return None;
                }
                (first >> 4, usize::from(first & 0x0F) + 1, tail)
            };
            let (value, tail) = tail.split_at_checked(len)?;
            self.rest = tail;
            return Some((id, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_plain_packet_is_read() {
        let packet = [0x80, 0xE0, 0x12, 0x34, 0, 0, 0, 9, 0, 0, 0, 7, 1, 2, 3];
        let header = Header::parse(&packet).unwrap();
        assert!(header.marker);
        assert_eq!(header.payload_type, 96);
        assert_eq!(header.sequence_number, 0x1234);
        assert_eq!((header.timestamp, header.ssrc), (9, 7));
        assert_eq!(header.payload(&packet).unwrap(), [1, 2, 3]);
        assert_eq!(header.extensions(&packet).count(), 0);
    }

    #[test]
    fn one_byte_extensions_and_csrcs_are_passed_over() {
        let packet = [
            0x91, 0x60, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, // one CSRC, extension
            0, 0, 0, 9, // CSRC
            0xBE, 0xDE, 0, 2, 0x10, 0xAA, 0, 0x31, 0xB0, 0xB1, 0,
            0, // id 1, padding, id 3, padding
            5,
        ];
        let header = Header::parse(&packet).unwrap();
        let all: Vec<_> = header.extensions(&packet).collect();
        assert_eq!(all, [(1, &[0xAA][..]), (3, &[0xB0, 0xB1])]);
        assert_eq!(header.payload(&packet).unwrap(), [5]);
    }

    #[test]
    fn two_byte_extensions_may_be_empty() {
        let packet = [
            0x90, 0x60, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, // extension
            0x10, 0x00, 0, 2, 16, 0, 17, 1, 0xCC, 0, 0, 0,
        ];
        let header = Header::parse(&packet).unwrap();
        let all: Vec<_> = header.extensions(&packet).collect();
        assert_eq!(all, [(16, &[][..]), (17, &[0xCC])]);
    }

    #[test]
    fn padding_is_taken_off_and_checked() {
        let mut packet = vec![0xA0, 0x60, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 9, 9, 0, 2];
        let header = Header::parse(&packet).unwrap();
        assert_eq!(header.payload(&packet).unwrap(), [9, 9]);
        *packet.last_mut().unwrap() = 5;
        assert_eq!(header.payload(&packet), Err(HeaderError::Padding));
    }

    #[test]
    fn lies_about_lengths_are_refused() {
        assert_eq!(Header::parse(&[0x80; 11]), Err(HeaderError::Truncated));
        assert_eq!(Header::parse(&[0x40; 12]), Err(HeaderError::Version));
        assert_eq!(Header::parse(&[0x8F; 20]), Err(HeaderError::Truncated));
        let mut packet = [0u8; 16];
        packet[0] = 0x90;
        packet[14..16].copy_from_slice(&[0xFF, 0xFF]);
        assert_eq!(Header::parse(&packet), Err(HeaderError::Truncated));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(mut packet in proptest::collection::vec(any::<u8>(), 0..200), rtp: bool) {
            if let (true, Some(first)) = (rtp, packet.first_mut()) {
                *first = *first & 0x3F | 0x80;
            }
            if let Ok(header) = Header::parse(&packet) {
                let _ = header.payload(&packet);
                prop_assert!(header.extensions(&packet).count() <= packet.len());
            }
        }
    }
}
