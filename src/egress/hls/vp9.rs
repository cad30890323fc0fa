//! VP9: RTP payloads (RFC 9628) to super frames.
//!
//! All spatial layers of a picture are one sample of a file: its frames one after another, and where there are
//! several, an index of them at the end (the VP9 bitstream, annex B).

use bytes::Bytes;

use super::format::{Format, FormatError};
use crate::rtp::picture;
use crate::rtp::vp9::Descriptor;

/// Larger ones can't be: the limit of what a keyframe of the highest level may be is below it.
const MAX_PICTURE: usize = 16 << 20;

/// Spatial layers of a picture at most, which is what an index can hold.
const MAX_FRAMES: usize = 8;

/// Puts pictures together out of RTP payloads in order.
///
/// After a loss it gives nothing until the next keyframe begins.
#[derive(Debug, Default)]
pub struct Depayloader {
    /// The frames of the picture so far.
    data: Vec<u8>,
    /// Where each of them begins in `data`.
    frames: Vec<usize>,
    /// The last of them goes on in the next packet.
    is_open: bool,
    is_keyframe: bool,
    has_started: bool,
    /// The size of the picture of each spatial layer, since the newest keyframe that told.
    sizes: [Option<(u16, u16)>; MAX_FRAMES],
    /// The highest spatial layer of the picture.
    highest: u8,
}

/// A picture as a sample of a file holds it.
#[derive(Debug, PartialEq, Eq)]
pub struct Picture {
    /// Its frames.
    pub data: Bytes,
    /// A decoder can begin with it.
    pub keyframe: bool,
    /// Width and height in pixels of its highest spatial layer, where the stream has told.
    pub size: Option<(u16, u16)>,
}

impl Picture {
    /// The format that begins with it, of a keyframe.
    ///
    /// # Errors
    ///
    /// [`FormatError`] when its header can't be read or the size is unusable.
    pub fn format(&self) -> Result<Format, FormatError> {
        let header = picture::vp9(&self.data).ok_or(FormatError::Malformed("VP9"))?;
        let (width, height) = self.size.unwrap_or((header.width, header.height));
        Format::vp9(
            header.profile,
            header.bit_depth,
            header.chroma,
            width.into(),
            height.into(),
        )
    }
}

impl Depayloader {
    /// Takes the next payload. `marker` ends the picture.
    pub fn handle_payload(&mut self, payload: &[u8], marker: bool) -> Option<Picture> {
        // Empty ones fill a place in the numbers.
        if !payload.is_empty() && self.take(payload).is_none() {
            self.handle_loss();
        }
        if !marker {
            return None;
        }
        let is_whole = self.has_started && !self.is_open && !self.frames.is_empty();
        if !is_whole {
            // A frame that is still open at the marker lost its end.
            if self.is_open {
                self.handle_loss();
            }
            return None;
        }
        if self.frames.len() > 1 {
            self.index();
        }
        self.frames.clear();
        Some(Picture {
            data: std::mem::take(&mut self.data).into(),
            keyframe: std::mem::take(&mut self.is_keyframe),
            size: self.sizes[usize::from(std::mem::take(&mut self.highest)) % MAX_FRAMES],
        })
    }

    /// A packet is missing: waits for the next keyframe.
    pub fn handle_loss(&mut self) {
        *self = Self::default();
    }

    /// Whether it waits for a keyframe.
    pub fn needs_keyframe(&self) -> bool {
        !self.has_started
    }

    /// None where the payload does not go on with what was before.
    fn take(&mut self, payload: &[u8]) -> Option<()> {
        let descriptor = Descriptor::read(payload)?;
        if descriptor.begins_keyframe() {
            self.handle_loss();
            (self.has_started, self.is_keyframe) = (true, true);
        }
        if !self.has_started {
            return Some(());
        }
        if let Some(structure) = &descriptor.structure {
            for (spatial, size) in (0..structure.layers).zip(&mut self.sizes) {
                *size = structure.size(spatial);
            }
        }
        if descriptor.begins_frame == self.is_open {
            return None;
        }
        if descriptor.begins_frame {
            self.frames.push(self.data.len());
        }
        self.data.extend_from_slice(descriptor.frame);
        self.is_open = !descriptor.ends_frame;
        if let Some((spatial, _)) = descriptor.layer {
            self.highest = self.highest.max(spatial);
        }
        (self.data.len() <= MAX_PICTURE && self.frames.len() <= MAX_FRAMES).then_some(())
    }

    /// Appends the index of the frames: the length of each in as few bytes as the longest needs.
    fn index(&mut self) {
        let ends = self.frames[1..].iter().copied().chain([self.data.len()]);
        let lengths: Vec<usize> = ends
            .zip(&self.frames)
            .map(|(end, begin)| end - begin)
            .collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let width = (1..4)
            .find(|width| longest >> (8 * width) == 0)
            .unwrap_or(4);
        let head = 0b1100_0000 | (width as u8 - 1) << 3 | (lengths.len() as u8 - 1);
        self.data.push(head);
        for length in lengths {
            self.data.extend_from_slice(&length.to_le_bytes()[..width]);
        }
        self.data.push(head);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A keyframe of 320x240, profile 0.
    const KEYFRAME: [u8; 9] = [0x82, 0x49, 0x83, 0x42, 0x00, 0x13, 0xf0, 0x0e, 0xf0];

    const PREDICTED: u8 = 0x40;
    const BEGINS: u8 = 0x08;
    const ENDS: u8 = 0x04;

    fn payload(flags: u8, spatial: u8, frame: &[u8]) -> Vec<u8> {
        // With layer indices, which TL0PICIDX follows.
        let mut payload = vec![0x20 | flags, spatial << 1, 0];
        payload.extend_from_slice(frame);
        payload
    }

    /// As Chromium's keyframes begin, with the sizes of two layers.
    fn first() -> Vec<u8> {
        let mut payload = vec![0x20 | BEGINS | ENDS | 0x02, 0, 0, 1 << 5 | 0x10];
        for size in [320_u16, 240, 640, 480] {
            payload.extend_from_slice(&size.to_be_bytes());
        }
        payload.extend_from_slice(&KEYFRAME);
        payload
    }

    #[test]
    fn layers_of_a_picture_are_one_sample_with_an_index() {
        let mut depayloader = Depayloader::default();
        assert_eq!(depayloader.handle_payload(&first(), false), None);
        let upper = [7; 300];
        let [head, tail] = [&upper[..100], &upper[100..]];
        let parts = [
            (payload(BEGINS, 1, head), false),
            (payload(ENDS, 1, tail), true),
        ];
        let [none, picture] = parts.map(|(part, end)| depayloader.handle_payload(&part, end));
        assert_eq!(none, None);
        let picture = picture.unwrap();
        let index = [0b1100_1001, 9, 0, 44, 1, 0b1100_1001];
        assert_eq!(
            picture.data,
            [&KEYFRAME[..], &upper[..], &index[..]].concat()
        );
        assert_eq!((picture.keyframe, picture.size), (true, Some((640, 480))));
        assert_eq!(picture.format().unwrap().size, (640, 480));

        // The next picture refers to it, and has the lower layer alone.
        let next = payload(PREDICTED | BEGINS | ENDS, 0, &[0x86, 1, 2]);
        let picture = depayloader.handle_payload(&next, true).unwrap();
        assert_eq!(
            (&picture.data[..], picture.keyframe),
            (&[0x86, 1, 2][..], false)
        );
        assert_eq!(picture.size, Some((320, 240)));
    }

    #[test]
    fn a_stream_without_layers_has_the_size_of_its_keyframe() {
        let mut depayloader = Depayloader::default();
        let payload = [&[BEGINS | ENDS], &KEYFRAME[..]].concat();
        let picture = depayloader.handle_payload(&payload, true).unwrap();
        assert_eq!(picture.data, KEYFRAME[..]);
        assert_eq!(picture.format().unwrap().size, (320, 240));
    }

    #[test]
    fn nothing_comes_before_a_keyframe_nor_after_a_loss() {
        let mut depayloader = Depayloader::default();
        let delta = payload(PREDICTED | BEGINS | ENDS, 0, &[0x86, 1]);
        assert_eq!(depayloader.handle_payload(&delta, true), None);
        assert!(depayloader.needs_keyframe());
        let key = payload(BEGINS | ENDS, 0, &KEYFRAME);
        assert!(depayloader.handle_payload(&key, true).is_some());
        assert!(depayloader.handle_payload(&delta, true).is_some());
        depayloader.handle_loss();
        assert_eq!(depayloader.handle_payload(&delta, true), None);
        // A frame that has no end, and one that has no beginning.
        for flags in [BEGINS, ENDS] {
            assert!(depayloader.handle_payload(&key, true).is_some());
            let part = payload(PREDICTED | flags, 0, &[0x86, 1]);
            assert_eq!(depayloader.handle_payload(&part, true), None);
            assert!(depayloader.needs_keyframe());
        }
    }

    #[test]
    fn what_fills_a_place_changes_nothing() {
        let mut depayloader = Depayloader::default();
        assert_eq!(depayloader.handle_payload(&first(), false), None);
        assert_eq!(depayloader.handle_payload(&[], false), None);
        let upper = payload(BEGINS | ENDS, 1, &[7; 3]);
        assert!(depayloader.handle_payload(&upper, true).is_some());
    }

    proptest! {
        #[test]
        fn any_payloads_are_survived(
            payloads in proptest::collection::vec(
                (proptest::collection::vec(any::<u8>(), 0..40), any::<bool>()), 0..40),
        ) {
            let mut depayloader = Depayloader::default();
            for (payload, marker) in payloads {
                if let Some(picture) = depayloader.handle_payload(&payload, marker) {
                    let _ = picture.format();
                }
            }
        }
    }
}
