//! The pictures of a keyframe as a sample of a file holds it: for file headers.
//!
//! Pure. Nothing is trusted: what does not parse gives `None`.

use super::depayload::{Sample, leb128};
use crate::rtp::Codec;
use crate::rtp::picture::{self, Picture};

/// Reads the headers of a keyframe.
pub(super) fn read(codec: Codec, sample: &Sample) -> Option<Picture> {
    match (codec, sample) {
        (Codec::H264, Sample::Nals(nals)) => picture::h264(
            nals.iter()
                .find(|nal| nal.first().is_some_and(|first| first & 0x1f == 7))?,
        ),
        (Codec::H265, Sample::Nals(nals)) => picture::h265(
            nals.iter()
                .find(|nal| nal.first().is_some_and(|first| (first >> 1) & 0x3f == 33))?,
        ),
        (Codec::Vp8, Sample::Bytes(bytes)) => picture::vp8(bytes),
        (Codec::Vp9, Sample::Bytes(bytes)) => picture::vp9(bytes),
        (Codec::Av1, Sample::Bytes(bytes)) => picture::av1(sequence_header(bytes)?.body),
        _ => None,
    }
}

/// The OBU of AV1's sequence header, with its size; none where there is none.
pub(super) fn sequence_header_of(sample: &Sample) -> Option<Vec<u8>> {
    match sample {
        Sample::Bytes(bytes) => sequence_header(bytes).map(|obu| obu.whole.to_vec()),
        Sample::Nals(_) => None,
    }
}

/// An OBU of AV1.
struct Obu<'a> {
    /// With its header and size.
    whole: &'a [u8],
    body: &'a [u8],
}

/// The first sequence header of a temporal unit whose OBUs have sizes (the AV1 bitstream, section 5.3).
fn sequence_header(unit: &[u8]) -> Option<Obu<'_>> {
    let mut rest = unit;
    loop {
        let start = rest;
        let header = *rest.first()?;
        rest = rest.get(if header & 0x04 != 0 { 2 } else { 1 }..)?;
        let len = leb128(&mut rest)?;
        let (body, tail) = rest.split_at_checked(len)?;
        rest = tail;
        if header >> 3 & 0xf == 1 {
            let whole = &start[..start.len() - tail.len()];
            return Some(Obu { whole, body });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_keyframes_give_nothing() {
        for codec in Codec::ALL {
            for len in 0..20 {
                for byte in [0x00, 0x0a, 0x42, 0x67, 0x82, 0xff] {
                    let bytes = vec![byte; len];
                    let picture = read(codec, &Sample::Bytes(bytes.clone()));
                    assert!(picture.is_none() || len > 5);
                    read(codec, &Sample::Nals(vec![bytes]));
                }
            }
        }
    }
}
