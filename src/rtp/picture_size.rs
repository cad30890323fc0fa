//! How large the pictures are, read from the packet that a keyframe begins with.

use super::h264::ProfileLevelId;
use super::keyframe::{aggregated, vp8_frame, vp9_frame};
use super::obu::{self, Obu};
use super::{Codec, picture};

/// Width and height in pixels, where this payload tells them: it holds a sequence parameter set or
/// sequence header, or the beginning of a keyframe.
///
/// Meant for packets of which [`super::keyframe::starts_keyframe`] is true.
pub fn picture_size(codec: Codec, payload: &[u8]) -> Option<(u16, u16)> {
    let picture = match codec {
        Codec::H264 => picture::h264(h264_parameters(payload)?),
        Codec::H265 => picture::h265(h265_parameters(payload)?),
        Codec::Vp8 => picture::vp8(vp8_frame(payload)?),
        Codec::Vp9 => picture::vp9(vp9_frame(payload)?),
        Codec::Av1 => picture::av1(av1_sequence_header(payload)?),
        Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::G722 => None,
    }?;
    Some((picture.width, picture.height))
}

/// Which parameter sets a payload holds whole; they are never fragmented, as they are small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ParameterSets {
    /// A sequence parameter set.
    pub(crate) sequence: bool,
    /// A picture parameter set.
    pub(crate) picture: bool,
}

/// Looks for the parameter sets that H.264 and H.265 need ahead of each keyframe.
pub(crate) fn parameter_sets(codec: Codec, payload: &[u8]) -> ParameterSets {
    let mut found = ParameterSets::default();
    match codec {
        Codec::H264 => h264_units(payload, |kind| match kind {
            7 => found.sequence = true,
            8 => found.picture = true,
            _ => {}
        }),
        Codec::H265 => h265_units(payload, |kind| match kind {
            33 => found.sequence = true,
            34 => found.picture = true,
            _ => {}
        }),
        _ => {}
    }
    found
}

fn h264_units(payload: &[u8], mut see: impl FnMut(u8)) {
    const STAP_A: u8 = 24;
    match payload {
        [indicator, units @ ..] if indicator & 0x1F == STAP_A => {
            aggregated(units).for_each(|unit| see(unit[0] & 0x1F));
        }
        [header, ..] => see(header & 0x1F),
        [] => {}
    }
}

fn h265_units(payload: &[u8], mut see: impl FnMut(u8)) {
    const AGGREGATION: u8 = 48;
    let kind = |header: u8| header >> 1 & 0x3F;
    match payload {
        [first, _, units @ ..] if kind(*first) == AGGREGATION => {
            aggregated(units).for_each(|unit| see(kind(unit[0])));
        }
        [first, ..] => see(kind(*first)),
        [] => {}
    }
}

/// The profile and level of the sequence parameter set in this payload of H.264 (section 7.3.2.1.1),
/// where it holds one.
pub(crate) fn h264_profile(payload: &[u8]) -> Option<ProfileLevelId> {
    let &[_, idc, constraints, level] = h264_parameters(payload)?.first_chunk()?;
    Some(ProfileLevelId {
        idc,
        constraints,
        level,
    })
}

/// A sequence parameter set in a packet of its own, or in a STAP-A (RFC 6184, section 5.7.1).
fn h264_parameters(payload: &[u8]) -> Option<&[u8]> {
    const SPS: u8 = 7;
    const STAP_A: u8 = 24;
    match payload.first()? & 0x1F {
        SPS => Some(payload),
        STAP_A => aggregated(&payload[1..]).find(|unit| unit[0] & 0x1F == SPS),
        _ => None,
    }
}

/// The same for RFC 7798, section 4.4.2.
fn h265_parameters(payload: &[u8]) -> Option<&[u8]> {
    const SPS: u8 = 33;
    const AGGREGATION: u8 = 48;
    let kind = |unit: &[u8]| unit[0] >> 1 & 0x3F;
    match payload.first()? >> 1 & 0x3F {
        SPS => Some(payload),
        AGGREGATION => aggregated(payload.get(2..)?).find(|unit| kind(unit) == SPS),
        _ => None,
    }
}

/// The body of the first sequence header among the OBU elements (AV1 RTP specification, section 4.4).
fn av1_sequence_header(payload: &[u8]) -> Option<&[u8]> {
    for element in obu::elements(payload)? {
        let mut element = element?;
        if obu::kind(*element.first()?) == obu::SEQUENCE_HEADER {
            return Some(Obu::read(&mut element)?.body);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Baseline, 640x360.
    const SPS: [u8; 25] = [
        0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x2f, 0xf9, 0x70, 0x11, 0x00, 0x00, 0x03, 0x00,
        0x01, 0x00, 0x00, 0x03, 0x00, 0x32, 0x0f, 0x16, 0x2e, 0x48,
    ];

    #[test]
    fn h264_tells_it_in_its_parameter_set() {
        assert_eq!(picture_size(Codec::H264, &SPS), Some((640, 360)));
        let mut aggregate = vec![0x78, 0, 2, 0x09, 0xF0, 0, SPS.len() as u8];
        aggregate.extend_from_slice(&SPS);
        aggregate.extend_from_slice(&[0, 2, 0x68, 0xCE]);
        assert_eq!(picture_size(Codec::H264, &aggregate), Some((640, 360)));
        assert_eq!(picture_size(Codec::H264, &[0x65, 0x88]), None);
        assert_eq!(picture_size(Codec::H264, &[0x78]), None);
    }

    #[test]
    fn parameter_sets_are_found_alone_and_in_aggregates() {
        let both = ParameterSets {
            sequence: true,
            picture: true,
        };
        let none = ParameterSets::default();
        let h264 = |payload: &[u8]| parameter_sets(Codec::H264, payload);
        assert_eq!(h264(&[0x78, 0, 2, 0x67, 0x42, 0, 1, 0x68]), both);
        assert!(h264(&[0x68, 0xCE]).picture);
        assert_eq!(h264(&[0x65, 0x88]), none);
        assert_eq!(h264(&[]), none);
        let h265 = |payload: &[u8]| parameter_sets(Codec::H265, payload);
        assert_eq!(h265(&[48 << 1, 1, 0, 1, 33 << 1, 0, 1, 34 << 1]), both);
        assert_eq!(h265(&[19 << 1, 1, 0]), none);
        assert_eq!(h265(&[]), none);
        assert_eq!(parameter_sets(Codec::Vp8, &[0x67]), none);
        let profile = h264_profile(&SPS).unwrap();
        assert_eq!((profile.idc, profile.level), (0x42, 0x1e));
        assert_eq!(h264_profile(&[0x67, 0x42]), None);
    }

    #[test]
    fn vp8_and_vp9_tell_it_in_the_frame() {
        let frame = [
            0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01, 0,
        ];
        let mut payload = vec![0x90, 0xE0, 0x81, 0x01, 7, 0x20];
        payload.extend_from_slice(&frame);
        assert_eq!(picture_size(Codec::Vp8, &payload), Some((640, 360)));
        let frame = [0x82, 0x49, 0x83, 0x42, 0x00, 0x13, 0xf0, 0x0e, 0xf0];
        let mut payload = vec![0x88, 0x81, 0x01];
        payload.extend_from_slice(&frame);
        assert_eq!(picture_size(Codec::Vp9, &payload), Some((320, 240)));
        // With a scalability structure of one layer and its size, and two pictures of a group.
        let mut payload = vec![
            0x8A, 0x81, 0x01, 0x18, 0x01, 0x40, 0x00, 0xF0, 2, 0x04, 1, 0x18, 1, 2,
        ];
        payload.extend_from_slice(&frame);
        assert_eq!(picture_size(Codec::Vp9, &payload), Some((320, 240)));
    }

    #[test]
    fn av1_tells_it_in_the_sequence_header() {
        // A reduced one: profile 0, level 0, and 10 bits for each of 639 and 359.
        let body = [0x18, 0x26, 0x67, 0xF5, 0x9C, 0x00, 0x00];
        let mut payload = vec![0x18, 0x08];
        payload.extend_from_slice(&body);
        assert_eq!(picture_size(Codec::Av1, &payload), Some((640, 360)));
        let mut sized = vec![0x28, 9, 0x0A, 7];
        sized.extend_from_slice(&body);
        sized.push(0x32);
        assert_eq!(picture_size(Codec::Av1, &sized), Some((640, 360)));
        assert_eq!(picture_size(Codec::Av1, &[0x10, 0x32, 0]), None);
    }

    proptest! {
        #[test]
        fn any_payload_is_survived(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
            for codec in Codec::ALL {
                let _ = picture_size(codec, &payload);
            }
        }
    }
}
