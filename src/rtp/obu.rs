//! The open bitstream units of AV1 (AV1 bitstream specification, section 5.3), and how RTP packets hold them (AV1 RTP
//! specification, section 4.4).
//!
//! Pure. What is not whole is `None`.

use std::ops::Range;

pub(crate) const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const TILE_LIST: u8 = 8;
const PADDING: u8 = 15;

const HAS_EXTENSION: u8 = 4;
pub(crate) const HAS_SIZE: u8 = 2;

/// The type of an OBU with this header.
pub(crate) fn kind(header: u8) -> u8 {
    header >> 3 & 15
}

/// One unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Obu<'a> {
    pub(crate) header: u8,
    pub(crate) extension: Option<u8>,
    pub(crate) body: &'a [u8],
}

impl<'a> Obu<'a> {
    /// The first one, and moves `rest` behind it. One without a size is all that there is.
    pub(crate) fn read(rest: &mut &'a [u8]) -> Option<Self> {
        let header = take(rest)?;
        let extension = match header & HAS_EXTENSION {
            0 => None,
            _ => Some(take(rest)?),
        };
        let size = match header & HAS_SIZE {
            0 => rest.len(),
            _ => leb128(rest)?,
        };
        let (body, tail) = rest.split_at_checked(size)?;
        *rest = tail;
        Some(Self {
            header,
            extension,
            body,
        })
    }

    pub(crate) fn kind(&self) -> u8 {
        kind(self.header)
    }

    pub(crate) fn has_size(&self) -> bool {
        self.header & HAS_SIZE != 0
    }

    /// Whether it is of use outside of a plain stream of OBUs: neither RTP nor files hold the others.
    pub(crate) fn is_kept(&self) -> bool {
        !matches!(self.kind(), TEMPORAL_DELIMITER | TILE_LIST | PADDING)
    }

    /// Appends it with its size, as files hold it.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        out.push(self.header | HAS_SIZE);
        out.extend(self.extension);
        push_leb128(out, self.body.len());
        out.extend_from_slice(self.body);
    }
}

/// Appends the OBU that `bytes` are as files hold it, unless they hold no such: what the elements of packets make together.
pub(crate) fn append(out: &mut Vec<u8>, mut bytes: &[u8]) -> Option<()> {
    if bytes.is_empty() {
        return Some(());
    }
    let obu = Obu::read(&mut bytes)?;
    if obu.is_kept() {
        obu.write_to(out);
    }
    Some(())
}

/// The first sequence header in whole OBUs that all have sizes: where it is, and itself.
pub(crate) fn sequence_header(unit: &[u8]) -> Option<(Range<usize>, Obu<'_>)> {
    let mut rest = unit;
    loop {
        let start = unit.len() - rest.len();
        let obu = Obu::read(&mut rest).filter(Obu::has_size)?;
        if obu.kind() == SEQUENCE_HEADER {
            return Some((start..unit.len() - rest.len(), obu));
        }
    }
}

/// The elements of an RTP payload behind its aggregation header, of which the first and the last may be fragments. Ends with
/// `None` where one is not whole.
pub(crate) struct Elements<'a> {
    rest: &'a [u8],
    /// Which one has no length, counted from 1; 0 for none.
    last: usize,
    number: usize,
}

/// The elements of `payload`; `None` where there is not even an aggregation header.
pub(crate) fn elements(payload: &[u8]) -> Option<Elements<'_>> {
    let (&aggregation, rest) = payload.split_first()?;
    Some(Elements {
        rest,
        last: usize::from(aggregation >> 4 & 3),
        number: 0,
    })
}

impl<'a> Elements<'a> {
    /// Whether there is no further one.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn read(&mut self) -> Option<&'a [u8]> {
        let size = match self.number == self.last {
            true => self.rest.len(),
            false => leb128(&mut self.rest)?,
        };
        let (element, tail) = self.rest.split_at_checked(size)?;
        self.rest = tail;
        Some(element)
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        self.number += 1;
        let element = self.read();
        if element.is_none() {
            self.rest = &[];
        }
        Some(element)
    }
}

/// A number of at most 32 bits (section 4.10.5), and moves `rest` behind it.
pub(crate) fn leb128(rest: &mut &[u8]) -> Option<usize> {
    let mut value = 0_u64;
    for group in 0..8 {
        let byte = take(rest)?;
        value |= u64::from(byte & 0x7F) << (7 * group);
        if byte & 0x80 == 0 {
            return u32::try_from(value).ok().map(|value| value as usize);
        }
    }
    None
}

/// Appends such a number.
pub(crate) fn push_leb128(bytes: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        bytes.push(0x80 | (value & 0x7F) as u8);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn take(rest: &mut &[u8]) -> Option<u8> {
    let (&first, tail) = rest.split_first()?;
    *rest = tail;
    Some(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for value in [0, 1, 127, 128, 300, 0x0FFF_FFFF, u32::MAX as usize] {
            let mut bytes = Vec::new();
            push_leb128(&mut bytes, value);
            bytes.push(9);
            let mut rest = &bytes[..];
            assert_eq!(leb128(&mut rest), Some(value));
            assert_eq!(rest, [9]);
        }
        // Some encoders fill them up, so that the size can be written later.
        assert_eq!(leb128(&mut &[0x83, 0x80, 0x80, 0][..]), Some(3));
        assert_eq!(leb128(&mut &[0xFF, 0xFF, 0xFF, 0xFF, 0x7F][..]), None);
        assert_eq!(leb128(&mut &[0x80; 9][..]), None);
        assert_eq!(leb128(&mut &[0x80][..]), None);
    }

    #[test]
    fn an_obu_comes_back_with_its_size() {
        for bytes in [&[0x0A, 2, 7, 8][..], &[0x08, 7, 8], &[0x0C, 1, 7, 8]] {
            let mut rest = bytes;
            let obu = Obu::read(&mut rest).unwrap();
            assert_eq!((obu.kind(), obu.body), (SEQUENCE_HEADER, &[7, 8][..]));
            assert!(rest.is_empty() && obu.is_kept());
            let mut written = Vec::new();
            obu.write_to(&mut written);
            let again = Obu::read(&mut &written[..]).unwrap();
            assert_eq!((again.extension, again.body), (obu.extension, obu.body));
            assert!(again.has_size());
        }
        assert_eq!(Obu::read(&mut &[0x0A, 3, 7, 8][..]), None);
        assert!(!Obu::read(&mut &[0x12, 0][..]).unwrap().is_kept());
    }

    #[test]
    fn the_sequence_header_is_found_behind_others() {
        let unit = [0x12, 0, 0x0A, 1, 7, 0x32, 1, 9];
        let (place, obu) = sequence_header(&unit).unwrap();
        assert_eq!((place, obu.body), (2..5, &[7][..]));
        assert_eq!(sequence_header(&[0x12, 0, 0x32, 1, 9]), None);
        assert_eq!(sequence_header(&[0x08, 7]), None, "no size");
    }

    #[test]
    fn elements_have_lengths_but_for_a_last_one_that_is_counted() {
        let of = |payload| elements(payload).unwrap().collect::<Vec<_>>();
        assert_eq!(of(&[0x20, 1, 7, 8, 9]), [Some(&[7][..]), Some(&[8, 9])]);
        assert_eq!(of(&[0x00, 1, 7, 2, 8, 9]), [Some(&[7][..]), Some(&[8, 9])]);
        assert_eq!(of(&[0x00, 1, 7, 3, 8, 9]), [Some(&[7][..]), None]);
        assert_eq!(of(&[0x10]), []);
        assert!(elements(&[]).is_none());
        // More of them than a byte counts.
        let many = [&[0x00][..], &[1, 7].repeat(300)].concat();
        assert_eq!(of(&many).len(), 300);
    }

    proptest! {
        #[test]
        fn any_bytes_will_do(payload in prop::collection::vec(any::<u8>(), 0..1_500)) {
            let total: usize = elements(&payload).into_iter().flatten().flatten().map(<[u8]>::len).sum();
            prop_assert!(total <= payload.len());
            sequence_header(&payload);
        }
    }
}
