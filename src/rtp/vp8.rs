//! The counters of a VP8 payload descriptor (RFC 7741, section 4.2), which receivers follow as they
//! follow sequence numbers. Those of VP9 have the same form (RFC 9628, section 4.2).

/// Where the counters of one packet stand in its payload, and what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureCounters {
    /// The picture id, which grows by one a frame.
    pub picture: Option<PictureId>,
    /// `TL0PICIDX`, which grows by one a frame of the lowest temporal layer, and where it stands.
    pub base_layer: Option<(u8, u8)>,
}

/// A picture id of 7 or 15 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureId {
    /// Its value.
    pub id: u16,
    is_long: bool,
    offset: u8,
}

impl PictureId {
    /// One that stands at `offset` of the payload, in two bytes if it is long.
    pub(super) fn new(id: u16, is_long: bool, offset: u8) -> Self {
        Self {
            id,
            is_long,
            offset,
        }
    }
}

impl PictureCounters {
    /// Reads the VP8 descriptor of a payload; none where it has no counters or ends too early.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let (first, present) = (*payload.first()?, *payload.get(1)?);
        if first & 0x80 == 0 || present & 0xC0 == 0 {
            return None;
        }
        let mut offset = 2u8;
        let at = |offset: u8| payload.get(usize::from(offset)).copied();
        let mut picture = None;
        if present & 0x80 != 0 {
            let high = at(offset)?;
            let is_long = high & 0x80 != 0;
            let id = match is_long {
                true => u16::from_be_bytes([high & 0x7F, at(offset + 1)?]),
                false => u16::from(high),
            };
            picture = Some(PictureId {
                id,
                is_long,
                offset,
            });
            offset += if is_long { 2 } else { 1 };
        }
        let base_layer = match present & 0x40 != 0 {
            true => Some((at(offset)?, offset)),
            false => None,
        };
        Some(Self {
            picture,
            base_layer,
        })
    }

    /// Adds to the counters of `payload`, a copy of the one that they were read from.
    pub fn shift(&self, payload: &mut [u8], picture: u16, base_layer: u8) {
        if let Some(PictureId {
            id,
            is_long,
            offset,
        }) = self.picture
        {
            let [high, low] = id.wrapping_add(picture).to_be_bytes();
            let at = usize::from(offset);
            match payload.get_mut(at..at + 1 + usize::from(is_long)) {
                Some([first, second]) => (*first, *second) = (high | 0x80, low),
                Some([only]) => *only = low & 0x7F,
                _ => {}
            }
        }
        if let Some((index, offset)) = self.base_layer
            && let Some(byte) = payload.get_mut(usize::from(offset))
        {
            *byte = index.wrapping_add(base_layer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shifted(payload: &[u8], picture: u16, base_layer: u8) -> Vec<u8> {
        let mut copy = payload.to_vec();
        let counters = PictureCounters::read(payload).unwrap();
        counters.shift(&mut copy, picture, base_layer);
        copy
    }

    #[test]
    fn counters_of_both_lengths_are_shifted_and_wrap() {
        let long = [0x90, 0xE0, 0xFF, 0xFE, 0xFF, 0x20, 0x00];
        assert_eq!(
            shifted(&long, 3, 2),
            [0x90, 0xE0, 0x80, 0x01, 0x01, 0x20, 0x00]
        );
        let short = [0x90, 0x80, 0x7F, 0x00];
        assert_eq!(shifted(&short, 2, 9), [0x90, 0x80, 0x01, 0x00]);
        let index_alone = [0x90, 0x40, 7, 0x00];
        assert_eq!(shifted(&index_alone, 2, 9), [0x90, 0x40, 16, 0x00]);
    }

    #[test]
    fn a_descriptor_without_counters_has_none() {
        for payload in [&[][..], &[0x10, 0xFF], &[0x90, 0x20, 1], &[0x90, 0x80]] {
            assert_eq!(PictureCounters::read(payload), None, "{payload:?}");
        }
    }

    proptest! {
        #[test]
        fn any_payload_is_survived(payload in proptest::collection::vec(any::<u8>(), 0..8), by: u16) {
            if let Some(counters) = PictureCounters::read(&payload) {
                let mut copy = payload.clone();
                counters.shift(&mut copy, by, by as u8);
                let read = PictureCounters::read(&copy).unwrap();
                prop_assert_eq!(read.base_layer.map(|(_, at)| at), counters.base_layer.map(|(_, at)| at));
                counters.shift(&mut copy[..payload.len() / 2], by, 0);
            }
        }
    }
}
