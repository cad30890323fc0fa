//! What HLS makes of payloads and of codec configurations.

use super::Steps;
use crate::egress::hls::av1::Depayloader;
use crate::egress::hls::fmp4::init_segment;
use crate::egress::hls::format::Format;
use crate::egress::hls::vp9;
use crate::rtp::av1::SequenceHeader;
use crate::rtp::opus;

/// Payloads of AV1 in their order, with losses.
pub(super) fn av1(data: &[u8]) {
    let mut depayloader = Depayloader::default();
    let (mut taken, mut given) = (0, 0);
    for step in Steps::of(data) {
        if step.kind & 0x0F == 0x0F {
            depayloader.handle_loss();
        }
        taken += step.bytes.len();
        let Some(unit) = depayloader.handle_payload(step.bytes, step.kind & 1 != 0) else {
            continue;
        };
        given += unit.data.len();
        // A size field for each OBU, which has at least its header and its length in the payload.
        assert!(!unit.data.is_empty() && given <= 3 * taken);
        let header = SequenceHeader::in_unit(&unit.data);
        assert_eq!(header.is_some(), unit.keyframe);
        if let Ok(format) = Format::av1(&unit.data, None) {
            assert!(format.codecs.starts_with("av01."));
            init_segment(&format).expect("a segment of what could be read");
        }
    }
}

/// Payloads of VP9 in their order, with losses.
pub(super) fn vp9(data: &[u8]) {
    let mut depayloader = vp9::Depayloader::default();
    let (mut taken, mut given) = (0, 0);
    for step in Steps::of(data) {
        if step.kind & 0x0F == 0x0F {
            depayloader.handle_loss();
        }
        taken += step.bytes.len();
        let Some(picture) = depayloader.handle_payload(step.bytes, step.kind & 1 != 0) else {
            continue;
        };
        given += picture.data.len();
        // The index needs no more for a frame than its payload descriptor and length, and two bytes.
        assert!(given <= 6 * taken);
        if picture.keyframe
            && let Ok(format) = picture.format()
        {
            init_segment(&format).expect("a segment of what could be read");
        }
    }
}

/// Codec configurations and single packets, told apart by the first byte.
pub(super) fn formats(data: &[u8]) {
    let Some((kind, body)) = data.split_first() else {
        return;
    };
    let format = match kind % 6 {
        0 => Format::h264(body, 1280, 720),
        1 => Format::h265(body, 1280, 720),
        2 => Format::av1(body, None),
        3 => Format::aac(body),
        4 => match *body {
            [profile, depth, subsampling, a, b, c, d, ..] => {
                let word = |high, low| u32::from(u16::from_be_bytes([high, low]));
                Format::vp9(profile, depth, subsampling, word(a, b), word(c, d))
            }
            _ => return,
        },
        _ => {
            let duration = opus::duration(body);
            assert!(duration.is_none_or(|samples| samples > 0 && samples <= 5760));
            return;
        }
    };
    // What could be read may still not be writable, but then it says so.
    if let Ok(segment) = format.map(|format| init_segment(&format)) {
        let len = segment.map_or(0, |segment| segment.len());
        assert!(len <= 2 * data.len() + 2048, "{len}");
    }
}
