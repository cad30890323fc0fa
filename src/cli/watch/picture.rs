//! The pictures of a keyframe as a sample of a file holds it: for file headers.
//!
//! Pure. Nothing is trusted: what does not parse gives `None`.

use super::depayload::Sample;
use crate::rtp::picture::{self, Picture};
use crate::rtp::{Codec, obu};

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
        (Codec::Av1, Sample::Bytes(bytes)) => picture::av1(obu::sequence_header(bytes)?.1.body),
        _ => None,
    }
}

/// The OBU of AV1's sequence header, with its size; none where there is none.
pub(super) fn sequence_header_of(sample: &Sample) -> Option<Vec<u8>> {
    match sample {
        Sample::Bytes(bytes) => obu::sequence_header(bytes).map(|(place, _)| bytes[place].to_vec()),
        Sample::Nals(_) => None,
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
