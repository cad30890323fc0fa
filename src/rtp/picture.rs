//! What the headers of a bitstream say about its pictures: size and profile.
//!
//! Pure. Nothing is trusted: what does not parse gives `None`.

use super::av1::SequenceHeader;
use super::bits::{Bits, raw};

/// The format of the pictures of a video track.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) width: u16,
    pub(crate) height: u16,
    pub(crate) profile: u8,
    /// `level_idc` of H.264 and H.265, `seq_level_idx` of AV1.
    pub(crate) level: u8,
    pub(crate) tier: bool,
    /// 8, 10 or 12.
    pub(crate) bit_depth: u8,
    /// `chroma_format_idc`: 1 is 4:2:0.
    pub(crate) chroma: u8,
    /// H.265: the 12 bytes of `general_` fields of `profile_tier_level`.
    pub(crate) hevc_profile: [u8; 12],
}

fn size(value: u64, crop: u64) -> Option<u16> {
    u16::try_from(value.checked_sub(crop)?).ok()
}

/// A sequence parameter set (H.264, section 7.3.2.1).
pub(crate) fn h264(nal: &[u8]) -> Option<Picture> {
    let bytes = raw(nal);
    let (profile, level) = (*bytes.get(1)?, *bytes.get(3)?);
    let mut bits = Bits::new(bytes.get(4..)?);
    bits.golomb()?;
    let (mut chroma, mut bit_depth) = (1, 8);
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128) {
        chroma = bits.golomb()?;
        if chroma == 3 {
            bits.flag()?;
        }
        bit_depth = bits.golomb()?.checked_add(8)?;
        bits.golomb()?;
        bits.flag()?;
        if bits.flag()? {
            for list in 0..if chroma == 3 { 12 } else { 8 } {
                if bits.flag()? {
                    skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.golomb()?;
    match bits.golomb()? {
        0 => {
            bits.golomb()?;
        }
        1 => {
            bits.flag()?;
            bits.golomb()?;
            bits.golomb()?;
            for _ in 0..bits.golomb()?.min(255) {
                bits.golomb()?;
            }
        }
        _ => {}
    }
    bits.golomb()?;
    bits.flag()?;
    let width = (u64::from(bits.golomb()?) + 1) * 16;
    let height = (u64::from(bits.golomb()?) + 1) * 16;
    let is_progressive = bits.flag()?;
    let height = if is_progressive { height } else { height * 2 };
    if !is_progressive {
        bits.flag()?;
    }
    bits.flag()?;
    let mut crop = [0u64; 4];
    if bits.flag()? {
        for edge in &mut crop {
            *edge = u64::from(bits.golomb()?);
        }
    }
    let unit_x = if matches!(chroma, 1 | 2) { 2 } else { 1 };
    let unit_y = if chroma == 1 { 2 } else { 1 } * if is_progressive { 1 } else { 2 };
    Some(Picture {
        width: size(width, (crop[0] + crop[1]) * unit_x)?,
        height: size(height, (crop[2] + crop[3]) * unit_y)?,
        profile,
        level,
        bit_depth: u8::try_from(bit_depth).ok()?,
        chroma: chroma as u8,
        ..Picture::default()
    })
}

fn skip_scaling_list(bits: &mut Bits<'_>, len: u32) -> Option<()> {
    let (mut last, mut next) = (8i64, 8i64);
    for _ in 0..len {
        if next != 0 {
            let code = i64::from(bits.golomb()?);
            let delta = if code % 2 == 0 {
                -code / 2
            } else {
                (code + 1) / 2
            };
            next = (last + delta).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

/// A sequence parameter set (H.265, section 7.3.2.2).
pub(crate) fn h265(nal: &[u8]) -> Option<Picture> {
    let bytes = raw(nal);
    let sub_layers = u32::from(*bytes.get(2)? >> 1 & 7);
    let hevc_profile: [u8; 12] = bytes.get(3..15)?.try_into().ok()?;
    let mut bits = Bits::new(bytes.get(15..)?);
    if sub_layers > 0 {
        let present: Vec<(bool, bool)> = (0..sub_layers)
            .map(|_| Some((bits.flag()?, bits.flag()?)))
            .collect::<Option<_>>()?;
        bits.skip(2 * (8 - sub_layers))?;
        for (profile, level) in present {
            bits.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 })?;
        }
    }
    bits.golomb()?;
    let chroma = bits.golomb()?;
    if chroma == 3 {
        bits.flag()?;
    }
    let (width, height) = (u64::from(bits.golomb()?), u64::from(bits.golomb()?));
    let mut crop = [0u64; 4];
    if bits.flag()? {
        for edge in &mut crop {
            *edge = u64::from(bits.golomb()?);
        }
    }
    let bit_depth = bits.golomb()?.checked_add(8)?;
    let unit_x = if matches!(chroma, 1 | 2) { 2 } else { 1 };
    let unit_y = if chroma == 1 { 2 } else { 1 };
    Some(Picture {
        width: size(width, (crop[0] + crop[1]) * unit_x)?,
        height: size(height, (crop[2] + crop[3]) * unit_y)?,
        profile: hevc_profile[0] & 0x1f,
        level: hevc_profile[11],
        tier: hevc_profile[0] & 0x20 != 0,
        bit_depth: u8::try_from(bit_depth).ok()?,
        chroma: u8::try_from(chroma).ok()?,
        hevc_profile,
    })
}

/// A keyframe (RFC 6386, section 9.1).
pub(crate) fn vp8(bytes: &[u8]) -> Option<Picture> {
    match bytes {
        [first, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] if first & 1 == 0 => Some(Picture {
            width: u16::from_le_bytes([*w0, *w1]) & 0x3fff,
            height: u16::from_le_bytes([*h0, *h1]) & 0x3fff,
            bit_depth: 8,
            chroma: 1,
            ..Picture::default()
        }),
        _ => None,
    }
}

/// The uncompressed header of a keyframe (the VP9 bitstream, section 6.2).
pub(crate) fn vp9(bytes: &[u8]) -> Option<Picture> {
    let mut bits = Bits::new(bytes);
    if bits.bits(2)? != 2 {
        return None;
    }
    let profile = bits.bits(1)? | bits.bits(1)? << 1;
    if profile == 3 {
        bits.flag()?;
    }
    let (shows_existing, is_inter) = (bits.flag()?, bits.flag()?);
    if shows_existing || is_inter {
        return None;
    }
    bits.skip(2)?;
    if bits.bits(24)? != 0x49_83_42 {
        return None;
    }
    let bit_depth = match profile >= 2 {
        true if bits.flag()? => 12,
        true => 10,
        false => 8,
    };
    let color_space = bits.bits(3)?;
    let mut chroma = 1;
    if color_space != 7 {
        bits.flag()?;
        if profile & 1 == 1 {
            chroma = match (bits.flag()?, bits.flag()?) {
                (true, false) => 2,
                (true, true) => 1,
                _ => 3,
            };
            bits.flag()?;
        }
    } else {
        chroma = 3;
        if profile & 1 == 1 {
            bits.flag()?;
        }
    }
    Some(Picture {
        width: size(u64::from(bits.bits(16)?) + 1, 0)?,
        height: size(u64::from(bits.bits(16)?) + 1, 0)?,
        profile: profile as u8,
        bit_depth,
        chroma,
        ..Picture::default()
    })
}

/// The body of the OBU of a sequence header.
pub(crate) fn av1(body: &[u8]) -> Option<Picture> {
    let header = SequenceHeader::read(body)?;
    Some(Picture {
        width: size(header.width.into(), 0)?,
        height: size(header.height.into(), 0)?,
        profile: header.profile,
        level: header.level,
        tier: header.tier,
        bit_depth: header.bit_depth,
        chroma: match header.subsampling {
            (true, true) => 1,
            (true, false) => 2,
            (false, _) => 3,
        },
        ..Picture::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h264_sizes_are_cropped() {
        // Baseline, 640x360: 40 x 23 macroblocks, 8 lines cropped.
        let sps = [
            0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x2f, 0xf9, 0x70, 0x11, 0x00, 0x00, 0x03,
            0x00, 0x01, 0x00, 0x00, 0x03, 0x00, 0x32, 0x0f, 0x16, 0x2e, 0x48,
        ];
        let picture = h264(&sps).unwrap();
        assert_eq!((picture.profile, picture.level), (0x42, 0x1e));
        assert_eq!((picture.width, picture.height), (640, 360));
    }

    #[test]
    fn vp9_keyframes_tell_their_size() {
        let header = [0x82, 0x49, 0x83, 0x42, 0x00, 0x13, 0xf0, 0x0e, 0xf0];
        let picture = vp9(&header).unwrap();
        assert_eq!((picture.width, picture.height), (320, 240));
    }

    #[test]
    fn cut_headers_give_nothing() {
        for read in [h264, h265, vp8, vp9, av1] {
            for len in 0..20 {
                for byte in [0x00, 0x0a, 0x42, 0x67, 0x82, 0xff] {
                    assert!(read(&vec![byte; len]).is_none() || len > 3);
                }
            }
        }
    }
}
