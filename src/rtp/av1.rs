//! What the sequence header of AV1 says (AV1 bitstream specification, section 5.5).
//!
//! Pure. Nothing is trusted: what does not parse gives `None`.

mod points;

use super::bits::Bits;
use super::obu;
use points::Points;
pub(crate) use points::narrowed;

/// What a decoder knows before the first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SequenceHeader {
    /// Greatest width of a picture.
    pub(crate) width: u32,
    /// Greatest height of a picture.
    pub(crate) height: u32,
    pub(crate) profile: u8,
    /// `seq_level_idx` of the operating point that decoders take.
    pub(crate) level: u8,
    pub(crate) tier: bool,
    /// 8, 10 or 12.
    pub(crate) bit_depth: u8,
    pub(crate) monochrome: bool,
    /// Whether chroma has half the width, and half the height.
    pub(crate) subsampling: (bool, bool),
    /// `chroma_sample_position`.
    pub(crate) sample_position: u8,
}

impl SequenceHeader {
    /// The first one in a temporal unit whose OBUs have size fields.
    pub(crate) fn in_unit(unit: &[u8]) -> Option<Self> {
        let (_, obu) = obu::sequence_header(unit)?;
        Self::read(obu.body)
    }

    /// Reads the body of its OBU.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(body);
        let profile = bits.bits(3)? as u8;
        bits.skip(1)?;
        let reduced = bits.flag()?;
        let (level, tier) = if reduced {
            (bits.bits(5)? as u8, false)
        } else {
            let points = Points::read(&mut bits)?;
            let first = points.first()?;
            (first.level, first.tier)
        };
        let (width_bits, height_bits) = (bits.bits(4)? + 1, bits.bits(4)? + 1);
        let (width, height) = (bits.bits(width_bits)? + 1, bits.bits(height_bits)? + 1);
        if !reduced && bits.flag()? {
            bits.skip(4 + 3)?;
        }
        bits.skip(3)?;
        if !reduced {
            bits.skip(4)?;
            let order_hint = bits.flag()?;
            if order_hint {
                bits.skip(2)?;
            }
            let screen_content = if bits.flag()? { 2 } else { bits.bits(1)? };
            if screen_content > 0 && !bits.flag()? {
                bits.skip(1)?;
            }
            if order_hint {
                bits.skip(3)?;
            }
        }
        bits.skip(3)?;
        let high = bits.flag()?;
        let bit_depth = match (high, profile) {
            (true, 2) => 10 + 2 * bits.bits(1)? as u8,
            (true, _) => 10,
            _ => 8,
        };
        let monochrome = profile != 1 && bits.flag()?;
        let description = if bits.flag()? {
            bits.bits(24)?
        } else {
            0x02_02_02
        };
        let (mut subsampling, mut sample_position) = ((true, true), 0);
        if !monochrome {
            const SRGB: u32 = 0x01_0d_00;
            if description == SRGB {
                subsampling = (false, false);
            } else {
                bits.skip(1)?;
                subsampling = match (profile, bit_depth) {
                    (0, _) => (true, true),
                    (1, _) => (false, false),
                    (_, 12) => {
                        let x = bits.flag()?;
                        (x, x && bits.flag()?)
                    }
                    _ => (true, false),
                };
                if subsampling == (true, true) {
                    sample_position = bits.bits(2)? as u8;
                }
            }
        }
        Some(Self {
            width,
            height,
            profile,
            level,
            tier,
            bit_depth,
            monochrome,
            subsampling,
            sample_position,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Main profile, level 3.0, 640x480, 8 bits, 4:2:0.
    const SEQUENCE: [u8; 11] = [
        0x00, 0x00, 0x00, 0x24, 0xc4, 0xff, 0xdf, 0x00, 0x68, 0x02, 0x00,
    ];

    #[test]
    fn a_header_tells_the_format() {
        let header = SequenceHeader::read(&SEQUENCE).unwrap();
        assert_eq!((header.width, header.height), (640, 480));
        assert_eq!((header.profile, header.level, header.tier), (0, 4, false));
        assert_eq!((header.bit_depth, header.monochrome), (8, false));
        assert_eq!(header.subsampling, (true, true));
    }

    #[test]
    fn a_cut_header_gives_nothing() {
        for length in 0..8 {
            assert_eq!(SequenceHeader::read(&SEQUENCE[..length]), None);
        }
        let unit = [&[0x0a, 11][..], &SEQUENCE[..5]].concat();
        assert_eq!(SequenceHeader::in_unit(&unit), None);
    }
}
