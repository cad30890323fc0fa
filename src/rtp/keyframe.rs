//! Where a decoder can begin, read from the first bytes of an RTP payload.
//!
//! Payload formats only: what is in the bitstream behind them is not looked at, and no state is
//! kept. A keyframe that comes as parameter sets and slices in packets of their own gives more than
//! one answer of `true` for one timestamp; whoever knows the timestamps takes the first.

use super::Codec;
use super::bits::Bits;
use super::vp9::Descriptor;

/// Whether a decoder that gets this packet and all later ones can begin to decode.
///
/// Always true for audio. `payload` is the RTP payload without padding.
pub fn starts_keyframe(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::H264 => h264(payload),
        Codec::H265 => h265(payload),
        Codec::Vp8 => vp8(payload).unwrap_or(false),
        Codec::Vp9 => vp9_frame(payload).is_some(),
        Codec::Av1 => av1(payload),
        Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::G722 => true,
    }
}

/// RFC 6184, sections 5.3 (single), 5.7.1 (STAP-A) and 5.8 (FU-A).
fn h264(payload: &[u8]) -> bool {
    const IDR: u8 = 5;
    const SPS: u8 = 7;
    const STAP_A: u8 = 24;
    const FU_A: u8 = 28;
    let begins = |nal_header: u8| matches!(nal_header & 0x1F, IDR | SPS);
    match payload {
        [] => false,
        [indicator, fu_header, ..] if indicator & 0x1F == FU_A => {
            fu_header & 0x80 != 0 && begins(*fu_header)
        }
        [indicator, units @ ..] if indicator & 0x1F == STAP_A => {
            aggregated(units).any(|unit| begins(unit[0]))
        }
        [nal_header, ..] => begins(*nal_header),
    }
}

/// Whether the picture that begins with this payload of H.264 is predicted from both directions; none
/// where no slice of a picture begins. Such pictures come after one that is shown later, whatever
/// their timestamps say: there are senders that stamp them in the order of decoding.
pub(crate) fn is_h264_b_picture(payload: &[u8]) -> Option<bool> {
    const SLICE: u8 = 1;
    const STAP_A: u8 = 24;
    const FU_A: u8 = 28;
    let slice = match payload {
        [indicator, fu_header, slice @ ..] if indicator & 0x1F == FU_A => {
            (fu_header & 0x9F == 0x80 | SLICE).then_some(slice)
        }
        [indicator, units @ ..] if indicator & 0x1F == STAP_A => aggregated(units)
            .find(|unit| unit[0] & 0x1F == SLICE)
            .map(|unit| &unit[1..]),
        [header, slice @ ..] if header & 0x1F == SLICE => Some(slice),
        _ => None,
    }?;
    // Section 7.3.3: first_mb_in_slice is 0 in the first slice, a single bit, and slice_type follows.
    let mut bits = Bits::new(slice);
    if bits.golomb()? != 0 {
        return None;
    }
    Some(bits.golomb()? % 5 == 1)
}

/// RFC 7798, section 4.4, without the DONL fields, which only `sprop-max-don-diff` above 0 brings.
fn h265(payload: &[u8]) -> bool {
    const AGGREGATION: u8 = 48;
    const FRAGMENTATION: u8 = 49;
    // The parameter sets VPS and SPS, and the pictures from BLA_W_LP to CRA_NUT.
    let begins = |kind: u8| matches!(kind, 16..=21 | 32 | 33);
    let kind = |nal_header: u8| (nal_header >> 1) & 0x3F;
    match payload {
        [first, _, fu_header, ..] if kind(*first) == FRAGMENTATION => {
            fu_header & 0x80 != 0 && begins(fu_header & 0x3F)
        }
        [first, _, units @ ..] if kind(*first) == AGGREGATION => {
            aggregated(units).any(|unit| begins(kind(unit[0])))
        }
        [first, _, ..] => begins(kind(*first)),
        _ => false,
    }
}

/// The NAL units of an aggregation packet, each behind 16 bits of length; none of them is empty.
pub(super) fn aggregated(mut units: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, rest) = units.split_first_chunk::<2>()?;
        let (unit, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        units = rest;
        (!unit.is_empty()).then_some(unit)
    })
}

/// RFC 7741, section 4.3: P of the frame's header.
fn vp8(payload: &[u8]) -> Option<bool> {
    Some(vp8_frame(payload)?.first()? & 0x01 == 0)
}

/// What stands behind the descriptor of RFC 7741, section 4.2, where the first partition starts.
pub(super) fn vp8_frame(payload: &[u8]) -> Option<&[u8]> {
    let (&descriptor, mut rest) = payload.split_first()?;
    if descriptor & 0x10 == 0 || descriptor & 0x07 != 0 {
        return None;
    }
    if descriptor & 0x80 != 0 {
        let (&present, tail) = rest.split_first()?;
        rest = tail;
        if present & 0x80 != 0 {
            rest = skip_picture_id(rest)?;
        }
        if present & 0x40 != 0 {
            rest = rest.get(1..)?; // TL0PICIDX
        }
        if present & 0x30 != 0 {
            rest = rest.get(1..)?; // TID, Y, KEYIDX
        }
    }
    Some(rest)
}

/// The bitstream where a frame of the lowest spatial layer begins that refers to none.
pub(super) fn vp9_frame(payload: &[u8]) -> Option<&[u8]> {
    let descriptor = Descriptor::read(payload)?;
    descriptor.begins_keyframe().then_some(descriptor.frame)
}

/// 7 bits, or 15 when the first bit is set.
fn skip_picture_id(rest: &[u8]) -> Option<&[u8]> {
    let long = rest.first()? & 0x80 != 0;
    rest.get(if long { 2.. } else { 1.. })
}

/// AV1 RTP specification, section 4.4: N says that a coded video sequence begins, Z that the first
/// OBU began in an earlier packet.
fn av1(payload: &[u8]) -> bool {
    matches!(payload, [aggregation, _, ..] if aggregation & 0x88 == 0x08)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn h264_parameter_sets_and_idr_begin() {
        let starts = |payload: &[u8]| starts_keyframe(Codec::H264, payload);
        assert!(starts(&[0x67, 0x42]), "SPS");
        assert!(starts(&[0x65, 0x88]), "IDR");
        assert!(starts(&[0x7C, 0x85, 0x88]), "FU-A, start of IDR");
        assert!(starts(&[0x78, 0, 2, 0x67, 0x42, 0, 1, 0x68]), "STAP-A");
        assert!(starts(&[0x78, 0, 1, 0x09, 0, 2, 0x67, 0x42]), "AUD, SPS");
        assert!(!starts(&[0x68, 0xCE]), "PPS");
        assert!(!starts(&[0x41, 0x9A]), "slice");
        assert!(!starts(&[0x7C, 0x05, 0x88]), "FU-A, middle of IDR");
        assert!(!starts(&[0x7C, 0x81, 0x88]), "FU-A, start of slice");
        assert!(!starts(&[0x78, 0, 9, 0x67]), "STAP-A that lies");
    }

    #[test]
    fn h264_pictures_tell_their_directions() {
        // ue(0) and ue(slice_type): 1 is B (010), 6 too (00111), 0 is P (1), 7 is I (0001000).
        assert_eq!(is_h264_b_picture(&[0x01, 0b1010_0000]), Some(true));
        assert_eq!(is_h264_b_picture(&[0x01, 0b1001_1100]), Some(true));
        assert_eq!(is_h264_b_picture(&[0x41, 0b1100_0000]), Some(false));
        assert_eq!(is_h264_b_picture(&[0x41, 0b1000_1000]), Some(false));
        let fragment = [0x1C, 0x81, 0b1010_0000];
        assert_eq!(is_h264_b_picture(&fragment), Some(true));
        let aggregate = [0x18, 0, 1, 0x09, 0, 2, 0x01, 0b1010_0000];
        assert_eq!(is_h264_b_picture(&aggregate), Some(true));
        for other in [&[0x1C, 0x01, 0b1010_0000][..], &[0x65, 0x88], &[0x01], &[]] {
            assert_eq!(is_h264_b_picture(other), None, "{other:?}");
        }
        let second_slice = [0x01, 0b0100_1000];
        assert_eq!(is_h264_b_picture(&second_slice), None);
    }

    #[test]
    fn h265_parameter_sets_and_random_access_pictures_begin() {
        let starts = |payload: &[u8]| starts_keyframe(Codec::H265, payload);
        assert!(starts(&[32 << 1, 1, 0]), "VPS");
        assert!(starts(&[33 << 1, 1, 0]), "SPS");
        assert!(starts(&[19 << 1, 1, 0]), "IDR_W_RADL");
        assert!(starts(&[49 << 1, 1, 0x80 | 21, 0]), "FU, start of CRA");
        assert!(starts(&[48 << 1, 1, 0, 3, 64, 1, 0]), "AP with VPS");
        assert!(!starts(&[49 << 1, 1, 21, 0]), "FU, middle of CRA");
        assert!(!starts(&[34 << 1, 1, 0]), "PPS");
        assert!(!starts(&[1 << 1, 1, 0]), "TRAIL_R");
        assert!(!starts(&[32 << 1]), "half a header");
    }

    #[test]
    fn vp8_begins_with_the_first_partition_of_a_key_frame() {
        let starts = |payload: &[u8]| starts_keyframe(Codec::Vp8, payload);
        assert!(starts(&[0x10, 0x00]));
        assert!(!starts(&[0x10, 0x01]), "predicted");
        assert!(!starts(&[0x00, 0x00]), "not the start");
        assert!(!starts(&[0x11, 0x00]), "second partition");
        let all = [0x90, 0xF0, 0x81, 0x01, 7, 0x20, 0x00];
        assert!(starts(&all), "long picture id and all fields");
        assert!(!starts(&all[..6]), "no payload header");
    }

    #[test]
    fn vp9_begins_with_the_lowest_spatial_layer() {
        let starts = |payload: &[u8]| starts_keyframe(Codec::Vp9, payload);
        assert!(starts(&[0x08, 0x82]));
        assert!(starts(&[0x88, 0x80, 0x01, 0x82]), "long picture id");
        assert!(starts(&[0xA8, 0x01, 0x00, 0x00, 0x82]), "layer 0");
        assert!(!starts(&[0xA8, 0x01, 0x02, 0x00, 0x82]), "layer 1");
        assert!(!starts(&[0x48, 0x82]), "predicted");
        assert!(!starts(&[0x00, 0x82]), "middle");
    }

    #[test]
    fn av1_begins_with_a_coded_video_sequence() {
        let starts = |payload: &[u8]| starts_keyframe(Codec::Av1, payload);
        assert!(starts(&[0x18, 0x0A]));
        assert!(!starts(&[0x98, 0x0A]), "continued");
        assert!(!starts(&[0x10, 0x32]), "no new sequence");
    }

    #[test]
    fn audio_begins_anywhere() {
        assert!(starts_keyframe(Codec::Opus, &[0xFC]));
    }

    proptest! {
        #[test]
        fn any_payload_is_survived(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
            for codec in Codec::ALL {
                let _ = starts_keyframe(codec, &payload);
                let _ = is_h264_b_picture(&payload);
            }
        }
    }
}
