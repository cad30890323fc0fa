//! What is in the RTP payloads of a frame, codec by codec.
//!
//! Pure: it looks at bytes and keeps nothing. It never trusts a length that came from the network:
//! whatever does not parse is "not a keyframe", "not a beginning" or `None`.

use bytes::Bytes;

use crate::rtp::{Codec, MediaKind, obu};

/// A frame without its RTP packaging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sample {
    /// The NAL units of an H.264 or H.265 access unit, without start codes or lengths.
    Nals(Vec<Vec<u8>>),
    /// Everything else, as a decoder takes it. AV1 is in the low-overhead format, without temporal delimiters.
    Bytes(Vec<u8>),
}

/// Whether a frame can begin with this payload.
pub(super) fn begins_frame(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::H264 => match payload {
            [first, fu, ..] if is_h264_fragment(*first) => fu & 0x80 != 0,
            [_, ..] => true,
            [] => false,
        },
        Codec::H265 => match payload {
            [first, _, fu, ..] if h265_type(*first) == H265_FRAGMENT => fu & 0x80 != 0,
            [_, _, ..] => true,
            _ => false,
        },
        Codec::Vp8 => vp8_starts(payload),
        Codec::Vp9 => payload.first().is_some_and(|flags| flags & 0x08 != 0),
        Codec::Av1 => payload.first().is_some_and(|flags| flags & 0x80 == 0),
        Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::G722 => true,
    }
}

/// Whether this payload belongs to a frame that a decoder can begin with.
pub(super) fn holds_keyframe(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::H264 => h264_types(payload).contains(&5),
        Codec::H265 => h265_types(payload)
            .iter()
            .any(|kind| (16..=21).contains(kind)),
        Codec::Vp8 => {
            vp8_starts(payload)
                && vp8_body(payload)
                    .and_then(<[u8]>::first)
                    .is_some_and(|first| first & 1 == 0)
        }
        Codec::Vp9 => {
            let is_first = |flags: u8| flags & 0x48 == 0x08;
            payload.first().copied().is_some_and(is_first) && vp9_spatial_layer(payload) == Some(0)
        }
        Codec::Av1 => match payload {
            // N: the first packet of a coded video sequence; some payloaders never set it.
            [flags, ..] if flags & 0x80 == 0 => {
                flags & 0x08 != 0
                    || obu::elements(payload)
                        .and_then(|mut elements| elements.next()??.first().copied())
                        .is_some_and(|header| obu::kind(header) == obu::SEQUENCE_HEADER)
            }
            _ => false,
        },
        Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::G722 => false,
    }
}

/// Whether this payload holds (a part of) a picture, not only parameter sets.
pub(super) fn holds_picture(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::H264 => h264_types(payload)
            .iter()
            .any(|kind| (1..=5).contains(kind)),
        Codec::H265 => h265_types(payload).iter().any(|kind| *kind < 32),
        _ => true,
    }
}

/// Takes the payloads of one whole frame, in order, out of their packaging.
pub(super) fn assemble(codec: Codec, payloads: &[Bytes]) -> Option<Sample> {
    match codec {
        Codec::H264 => h264(payloads).map(Sample::Nals),
        Codec::H265 => h265(payloads).map(Sample::Nals),
        Codec::Vp8 => concat(payloads, vp8_body),
        Codec::Vp9 => concat(payloads, vp9_body),
        Codec::Av1 => av1(payloads).map(Sample::Bytes),
        _ => {
            debug_assert_eq!(codec.kind(), MediaKind::Audio);
            concat(payloads, |payload| Some(payload))
        }
    }
}

fn concat(payloads: &[Bytes], body: fn(&[u8]) -> Option<&[u8]>) -> Option<Sample> {
    let mut out = Vec::new();
    for payload in payloads {
        out.extend_from_slice(body(payload)?);
    }
    (!out.is_empty()).then_some(Sample::Bytes(out))
}

// H.264, RFC 6184.

const H264_STAP_A: u8 = 24;

fn is_h264_fragment(first: u8) -> bool {
    matches!(first & 0x1f, 28 | 29)
}

/// The types of the NAL units that this payload holds or is a fragment of.
fn h264_types(payload: &[u8]) -> Vec<u8> {
    match payload {
        [first, fu, ..] if is_h264_fragment(*first) => vec![fu & 0x1f],
        [first, rest @ ..] if first & 0x1f == H264_STAP_A => aggregated(rest)
            .iter()
            .filter_map(|nal| nal.first())
            .map(|first| first & 0x1f)
            .collect(),
        [first, ..] => vec![first & 0x1f],
        [] => Vec::new(),
    }
}

fn h264(payloads: &[Bytes]) -> Option<Vec<Vec<u8>>> {
    let mut nals: Vec<Vec<u8>> = Vec::new();
    for payload in payloads {
        match &payload[..] {
            [first, fu, rest @ ..] if first & 0x1f == 28 => {
                if fu & 0x80 != 0 {
                    nals.push(vec![(first & 0xe0) | (fu & 0x1f)]);
                }
                nals.last_mut()?.extend_from_slice(rest);
            }
            [first, rest @ ..] if first & 0x1f == H264_STAP_A => {
                nals.extend(aggregated(rest).iter().map(|nal| nal.to_vec()));
            }
            [first, ..] if (1..=23).contains(&(first & 0x1f)) => nals.push(payload.to_vec()),
            _ => return None,
        }
    }
    (!nals.is_empty()).then_some(nals)
}

/// The units of an aggregation packet: each has a length of 16 bits before it.
fn aggregated(mut rest: &[u8]) -> Vec<&[u8]> {
    let mut units = Vec::new();
    while let [high, low, tail @ ..] = rest {
        let Some((unit, tail)) =
            tail.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))
        else {
            break;
        };
        if !unit.is_empty() {
            units.push(unit);
        }
        rest = tail;
    }
    units
}

// H.265, RFC 7798. Decoding order numbers are never negotiated by us, so they are not there.

const H265_AGGREGATION: u8 = 48;
const H265_FRAGMENT: u8 = 49;

fn h265_type(first: u8) -> u8 {
    (first >> 1) & 0x3f
}

fn h265_types(payload: &[u8]) -> Vec<u8> {
    match payload {
        [first, _, fu, ..] if h265_type(*first) == H265_FRAGMENT => vec![fu & 0x3f],
        [first, _, rest @ ..] if h265_type(*first) == H265_AGGREGATION => aggregated(rest)
            .iter()
            .filter_map(|nal| nal.first())
            .map(|first| h265_type(*first))
            .collect(),
        [first, _, ..] => vec![h265_type(*first)],
        _ => Vec::new(),
    }
}

fn h265(payloads: &[Bytes]) -> Option<Vec<Vec<u8>>> {
    let mut nals: Vec<Vec<u8>> = Vec::new();
    for payload in payloads {
        match &payload[..] {
            [first, second, fu, rest @ ..] if h265_type(*first) == H265_FRAGMENT => {
                if fu & 0x80 != 0 {
                    nals.push(vec![(first & 0x81) | ((fu & 0x3f) << 1), *second]);
                }
                nals.last_mut()?.extend_from_slice(rest);
            }
            [first, _, rest @ ..] if h265_type(*first) == H265_AGGREGATION => {
                nals.extend(aggregated(rest).iter().map(|nal| nal.to_vec()));
            }
            [first, _, ..] if h265_type(*first) < H265_AGGREGATION => nals.push(payload.to_vec()),
            _ => return None,
        }
    }
    (!nals.is_empty()).then_some(nals)
}

// VP8, RFC 7741.

fn vp8_starts(payload: &[u8]) -> bool {
    payload.first().is_some_and(|flags| flags & 0x17 == 0x10)
}

fn vp8_body(payload: &[u8]) -> Option<&[u8]> {
    let mut rest = payload;
    if take(&mut rest)? & 0x80 != 0 {
        let extension = take(&mut rest)?;
        if extension & 0x80 != 0 && take(&mut rest)? & 0x80 != 0 {
            take(&mut rest)?;
        }
        if extension & 0x40 != 0 {
            take(&mut rest)?;
        }
        if extension & 0x30 != 0 {
            take(&mut rest)?;
        }
    }
    Some(rest)
}

// VP9, RFC 9628.

fn vp9_spatial_layer(payload: &[u8]) -> Option<u8> {
    let mut rest = payload;
    let flags = take(&mut rest)?;
    if flags & 0x80 != 0 && take(&mut rest)? & 0x80 != 0 {
        take(&mut rest)?;
    }
    match flags & 0x20 {
        0 => Some(0),
        _ => take(&mut rest).map(|layer| (layer >> 1) & 7),
    }
}

fn vp9_body(payload: &[u8]) -> Option<&[u8]> {
    let mut rest = payload;
    let flags = take(&mut rest)?;
    if flags & 0x80 != 0 && take(&mut rest)? & 0x80 != 0 {
        take(&mut rest)?;
    }
    let is_flexible = flags & 0x10 != 0;
    if flags & 0x20 != 0 {
        take(&mut rest)?;
        if !is_flexible {
            take(&mut rest)?;
        }
    }
    if is_flexible && flags & 0x40 != 0 {
        for _ in 0..3 {
            if take(&mut rest)? & 1 == 0 {
                break;
            }
        }
    }
    if flags & 0x02 != 0 {
        let structure = take(&mut rest)?;
        if structure & 0x10 != 0 {
            rest = rest.get(4 * (usize::from(structure >> 5) + 1)..)?;
        }
        if structure & 0x08 != 0 {
            for _ in 0..take(&mut rest)? {
                let references = usize::from((take(&mut rest)? >> 2) & 3);
                rest = rest.get(references..)?;
            }
        }
    }
    Some(rest)
}

// AV1, the RTP payload format of AOMedia.

fn av1(payloads: &[Bytes]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut fragment: Vec<u8> = Vec::new();
    for payload in payloads {
        let flags = *payload.first()?;
        let (continues_before, continues_after) = (flags & 0x80 != 0, flags & 0x40 != 0);
        if !continues_before {
            fragment.clear();
        }
        let mut elements = obu::elements(payload)?;
        while let Some(element) = elements.next() {
            fragment.extend_from_slice(element?);
            if elements.is_empty() && continues_after {
                break;
            }
            obu::append(&mut out, &fragment)?;
            fragment.clear();
        }
    }
    (!out.is_empty()).then_some(out)
}

fn take(rest: &mut &[u8]) -> Option<u8> {
    let (first, tail) = rest.split_first()?;
    *rest = tail;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payloads(parts: &[&[u8]]) -> Vec<Bytes> {
        parts
            .iter()
            .map(|part| Bytes::copy_from_slice(part))
            .collect()
    }

    #[test]
    fn h264_aggregates_and_fragments_become_nal_units() {
        let parts = payloads(&[
            &[0x78, 0, 2, 0x67, 1, 0, 2, 0x68, 2],
            &[0x7c, 0x85, 0xaa],
            &[0x7c, 0x05, 0xbb],
            &[0x7c, 0x45, 0xcc],
        ]);
        assert_eq!(
            assemble(Codec::H264, &parts),
            Some(Sample::Nals(vec![
                vec![0x67, 1],
                vec![0x68, 2],
                vec![0x65, 0xaa, 0xbb, 0xcc],
            ]))
        );
        assert!(!holds_keyframe(Codec::H264, &parts[0]));
        assert!(!holds_picture(Codec::H264, &parts[0]));
        assert!(holds_keyframe(Codec::H264, &parts[2]));
        assert!(begins_frame(Codec::H264, &parts[1]));
        assert!(!begins_frame(Codec::H264, &parts[2]));
    }

    #[test]
    fn h265_fragments_get_their_header_back() {
        let parts = payloads(&[
            &[0x62, 0x01, 0x80 | 19, 0xaa],
            &[0x62, 0x01, 0x40 | 19, 0xbb],
        ]);
        assert!(holds_keyframe(Codec::H265, &parts[0]));
        assert_eq!(
            assemble(Codec::H265, &parts),
            Some(Sample::Nals(vec![vec![19 << 1, 0x01, 0xaa, 0xbb]]))
        );
    }

    #[test]
    fn vp8_descriptors_are_cut_off() {
        let key = [0x90, 0x80, 0x81, 0x02, 0x10, 0xff];
        assert!(begins_frame(Codec::Vp8, &key) && holds_keyframe(Codec::Vp8, &key));
        assert!(!holds_keyframe(Codec::Vp8, &[0x10, 0x11]));
        assert_eq!(vp8_body(&key), Some(&[0x10, 0xff][..]));
    }

    #[test]
    fn vp9_structures_are_cut_off() {
        // Picture id of 15 bits, layers, one spatial layer with its size, two pictures in the group.
        let key = [
            0xaa, 0x80, 0x01, 0x00, 0x00, 0x18, 1, 64, 0, 240, 2, 0x04, 9, 0x00, 0x77,
        ];
        assert!(holds_keyframe(Codec::Vp9, &key));
        assert_eq!(vp9_body(&key), Some(&[0x77][..]));
        assert!(!holds_keyframe(Codec::Vp9, &[0x48, 0x00]));
    }

    #[test]
    fn av1_fragments_become_sized_obus() {
        let parts = payloads(&[&[0x68, 2, 0x08, 0xaa, 0x30, 0xbb], &[0x90, 0xcc]]);
        assert!(holds_keyframe(Codec::Av1, &parts[0]));
        assert_eq!(
            assemble(Codec::Av1, &parts),
            Some(Sample::Bytes(vec![0x0a, 1, 0xaa, 0x32, 2, 0xbb, 0xcc]))
        );
    }

    #[test]
    fn truncated_payloads_are_refused() {
        for codec in Codec::ALL {
            for len in 0..4 {
                for byte in [0x00, 0x7c, 0x62, 0x78, 0x60, 0xff, 0xfa, 0x92] {
                    let payload = vec![byte; len];
                    begins_frame(codec, &payload);
                    holds_keyframe(codec, &payload);
                    holds_picture(codec, &payload);
                    if codec.kind() == MediaKind::Video && len == 0 {
                        assert_eq!(assemble(codec, &[Bytes::from(payload)]), None);
                    } else {
                        assemble(codec, &[Bytes::from(payload)]);
                    }
                }
            }
        }
    }
}
