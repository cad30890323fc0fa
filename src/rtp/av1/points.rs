//! The operating points of a sequence header: which of the layers of a stream a decoder takes (AV1 bitstream
//! specification, sections 5.5.1 and 7.18).
//!
//! Unless it is told otherwise a decoder takes the first of them, and shows the highest spatial layer of that: where it
//! does not come, decoders show nothing, or each picture only after the next one has begun. So the header of what has
//! been left without its highest layers is to name those that are there.

use std::ops::Range;

use bytes::Bytes;

use crate::rtp::bits::Bits;
use crate::rtp::obu::{self, Obu};

/// What a sequence header says of them.
#[derive(Debug)]
pub(super) struct Points {
    /// Where their count is, in bits.
    count: Range<usize>,
    points: Vec<Point>,
}

#[derive(Clone, Debug)]
pub(super) struct Point {
    /// A bit for each temporal layer, and from [`SPATIAL`] on one for each spatial layer; none for all there are.
    layers: u32,
    pub(super) level: u8,
    pub(super) tier: bool,
    /// Where it is, in bits.
    place: Range<usize>,
}

/// The lowest bit that is for spatial layers.
const SPATIAL: u32 = 8;
const COUNT_BITS: u32 = 5;

impl Points {
    /// Reads from the place behind `reduced_still_picture_header`, where that is not set.
    pub(super) fn read(bits: &mut Bits<'_>) -> Option<Self> {
        let mut model = None;
        if bits.flag()? {
            bits.skip(64)?;
            if bits.flag()? {
                bits.golomb()?;
            }
            if bits.flag()? {
                model = Some(bits.bits(5)? + 1);
                bits.skip(32 + 10)?;
            }
        }
        let delay = bits.flag()?;
        let start = bits.position();
        let count = bits.bits(COUNT_BITS)? + 1;
        let mut found = Self {
            count: start..bits.position(),
            points: Vec::new(),
        };
        for _ in 0..count {
            let start = bits.position();
            let layers = bits.bits(12)?;
            let level = bits.bits(5)? as u8;
            let tier = level > 7 && bits.flag()?;
            if let Some(length) = model
                && bits.flag()?
            {
                bits.skip(2 * length + 1)?;
            }
            if delay && bits.flag()? {
                bits.skip(4)?;
            }
            found.points.push(Point {
                layers,
                level,
                tier,
                place: start..bits.position(),
            });
        }
        Some(found)
    }

    /// The one that decoders take.
    pub(super) fn first(&self) -> Option<&Point> {
        self.points.first()
    }

    /// The one with most temporal layers of those that end with the spatial layer `highest`, unless that is the first.
    fn ending_with(&self, highest: u8) -> Option<&Point> {
        let ends = |point: &&Point| point.layers >> SPATIAL == (2 << highest) - 1;
        if self.first().filter(ends).is_some() {
            return None;
        }
        let found = self.points.iter().filter(ends);
        found.max_by_key(|point| point.layers)
    }
}

/// The temporal unit with a sequence header that has the layers up to the spatial layer `highest` alone; none where the
/// header says so already, or can't.
pub(crate) fn narrowed(unit: &[u8], highest: u8) -> Option<Bytes> {
    let (place, obu) = obu::sequence_header(unit)?;
    let body = narrowed_header(obu.body, highest)?;
    let mut narrowed = Vec::with_capacity(unit.len());
    narrowed.extend_from_slice(&unit[..place.start]);
    Obu { body: &body, ..obu }.write_to(&mut narrowed);
    narrowed.extend_from_slice(&unit[place.end..]);
    Some(narrowed.into())
}

fn narrowed_header(body: &[u8], highest: u8) -> Option<Vec<u8>> {
    let mut bits = Bits::new(body);
    // The profile and whether it is a still picture.
    bits.skip(4)?;
    if bits.flag()? {
        return None;
    }
    let points = Points::read(&mut bits)?;
    let own = points.ending_with(highest)?;
    let last = body.iter().rposition(|byte| *byte != 0)?;
    // The last bit that is set ends the header; what follows fills a byte.
    let end = last * 8 + 8 - body[last].trailing_zeros() as usize;
    let mut written = Writer::default();
    written.copy(body, 0..points.count.start)?;
    // The count is of those beside the first.
    (0..points.count.len()).for_each(|_| written.push(false));
    written.copy(body, own.place.clone())?;
    written.copy(body, points.points.last()?.place.end..end)?;
    Some(written.bytes)
}

/// Writes bit by bit, most significant first.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    used: usize,
}

impl Writer {
    fn push(&mut self, bit: bool) {
        if self.used.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit) << (7 - self.used % 8);
        }
        self.used += 1;
    }

    fn copy(&mut self, bytes: &[u8], range: Range<usize>) -> Option<()> {
        let mut bits = Bits::new(bytes);
        bits.skip(range.start as u32)?;
        for _ in range {
            self.push(bits.flag()?);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::SequenceHeader;
    use super::*;

    /// As Chromium writes it for three spatial and three temporal layers of 1024x576.
    const HEADER: [u8; 27] = [
        0x00, 0x87, 0x07, 0x23, 0x81, 0x91, 0xc0, 0x48, 0x60, 0xe4, 0x30, 0x32, 0x18, 0x09, 0x04,
        0x1c, 0x82, 0x06, 0x41, 0x01, 0x24, 0xcf, 0xff, 0x1f, 0x80, 0x34, 0x01,
    ];
    const FRAME: [u8; 4] = [0x32, 2, 7, 8];

    fn unit(header: &[u8]) -> Vec<u8> {
        [&[0x0a, header.len() as u8], header, &FRAME].concat()
    }

    fn layers(unit: &[u8]) -> Vec<u32> {
        let body = &unit[2..2 + usize::from(unit[1])];
        let mut bits = Bits::new(body);
        bits.skip(5).unwrap();
        let points = Points::read(&mut bits).unwrap().points;
        points.iter().map(|point| point.layers).collect()
    }

    #[test]
    fn a_header_is_narrowed_to_the_layers_that_come() {
        let whole = unit(&HEADER);
        assert_eq!(layers(&whole).len(), 9);
        let known = SequenceHeader::in_unit(&whole).unwrap();
        for (highest, expected) in [(0, 0x107), (1, 0x307)] {
            let narrowed = narrowed(&whole, highest).unwrap();
            assert_eq!(layers(&narrowed), [expected]);
            assert!(narrowed.ends_with(&FRAME));
            let own = SequenceHeader::in_unit(&narrowed).unwrap();
            assert_eq!((own.width, own.height), (1024, 576));
            assert_eq!(own, known);
        }
        // What has all of them says so.
        assert_eq!(narrowed(&whole, 2), None);
        assert_eq!(narrowed(&whole, 3), None);
    }

    #[test]
    fn the_header_may_come_after_another_part() {
        let metadata = [0x2a, 1, 9];
        let narrowed = narrowed(&[&metadata[..], &unit(&HEADER)].concat(), 0).unwrap();
        assert!(narrowed.starts_with(&metadata) && narrowed.ends_with(&FRAME));
        assert_eq!(layers(&narrowed[3..]), [0x107]);
    }

    #[test]
    fn what_names_no_layers_stays_as_it_is() {
        // One operating point, of all there is.
        let plain = [
            0x00, 0x00, 0x00, 0x24, 0xc4, 0xff, 0xdf, 0x00, 0x68, 0x02, 0x00,
        ];
        assert_eq!(narrowed(&unit(&plain), 0), None);
        assert_eq!(narrowed(&FRAME, 0), None);
        assert_eq!(narrowed(&[], 0), None);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        for length in 0..=HEADER.len() {
            for (place, value) in (0..length).flat_map(|place| [(place, 0), (place, 0xff)]) {
                let mut header = HEADER[..length].to_vec();
                header[place] = value;
                (0..8).for_each(|highest| drop(narrowed(&unit(&header), highest)));
            }
            narrowed(&unit(&HEADER)[..length], 0);
        }
    }
}
