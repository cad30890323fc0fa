//! The payload descriptor of VP9 (RFC 9628, section 4.2). Pure.

use super::vp8::{PictureCounters, PictureId};

/// What a descriptor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor<'a> {
    /// P: the frame refers to earlier pictures.
    pub is_predicted: bool,
    /// B: the first packet of the frame of a spatial layer.
    pub begins_frame: bool,
    /// E: the last packet of it.
    pub ends_frame: bool,
    /// SID and TID: the spatial and the temporal layer; none where the sender has no layers.
    pub layer: Option<(u8, u8)>,
    /// U: pictures of higher temporal layers that come later refer to none of these layers before this picture.
    pub is_switching_point: bool,
    /// The picture id and `TL0PICIDX`, where they are there.
    pub counters: Option<PictureCounters>,
    /// The scalability structure, which comes with keyframes.
    pub structure: Option<Structure<'a>>,
    /// The bitstream behind it.
    pub frame: &'a [u8],
}

/// What a scalability structure says of the spatial layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Structure<'a> {
    /// How many there are, 1 to 8.
    pub layers: u8,
    /// Four bytes each, or nothing.
    sizes: &'a [u8],
}

impl Structure<'_> {
    /// Width and height of the picture of a spatial layer in pixels, where it is told.
    pub fn size(&self, spatial: u8) -> Option<(u16, u16)> {
        let bytes = self.sizes.get(4 * usize::from(spatial)..)?;
        let [a, b, c, d] = *bytes.first_chunk()?;
        Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    }
}

impl<'a> Descriptor<'a> {
    /// Reads the descriptor of an RTP payload; none where it ends too early.
    pub fn read(payload: &'a [u8]) -> Option<Self> {
        let (&flags, mut rest) = payload.split_first()?;
        let has = |flag: u8| flags & flag != 0;
        let (is_predicted, is_flexible) = (has(0x40), has(0x10));
        let at = |rest: &[u8]| (payload.len() - rest.len()) as u8;
        let mut picture = None;
        if has(0x80) {
            let offset = at(rest);
            let (&high, tail) = rest.split_first()?;
            rest = tail;
            let mut id = u16::from(high);
            if high & 0x80 != 0 {
                let (&low, tail) = rest.split_first()?;
                rest = tail;
                id = u16::from_be_bytes([high & 0x7F, low]);
            }
            picture = Some(PictureId::new(id, high & 0x80 != 0, offset));
        }
        let (mut layer, mut base_layer, mut is_switching_point) = (None, None, false);
        if has(0x20) {
            let (&indices, tail) = rest.split_first()?;
            rest = tail;
            layer = Some((indices >> 1 & 7, indices >> 5));
            is_switching_point = indices & 0x10 != 0;
            if !is_flexible {
                let offset = at(rest);
                let (&index, tail) = rest.split_first()?;
                rest = tail;
                base_layer = Some((index, offset));
            }
        }
        if is_flexible && is_predicted {
            for _ in 0..3 {
                let (&difference, tail) = rest.split_first()?;
                rest = tail;
                if difference & 1 == 0 {
                    break;
                }
            }
        }
        let structure = match has(0x02) {
            true => Some(Structure::read(&mut rest)?),
            false => None,
        };
        let has_counters = picture.is_some() || base_layer.is_some();
        Some(Self {
            is_predicted,
            begins_frame: has(0x08),
            ends_frame: has(0x04),
            layer,
            is_switching_point,
            counters: has_counters.then_some(PictureCounters {
                picture,
                base_layer,
            }),
            structure,
            frame: rest,
        })
    }

    /// Whether the lowest spatial layer of a picture begins that refers to none before it.
    pub fn begins_keyframe(&self) -> bool {
        let is_base = self.layer.is_none_or(|(spatial, _)| spatial == 0);
        self.begins_frame && !self.is_predicted && is_base && !self.frame.is_empty()
    }
}

impl<'a> Structure<'a> {
    /// Takes the structure away from the front of `rest`.
    fn read(rest: &mut &'a [u8]) -> Option<Self> {
        let (&flags, mut tail) = rest.split_first()?;
        let layers = (flags >> 5) + 1;
        let mut sizes = &[][..];
        if flags & 0x10 != 0 {
            (sizes, tail) = tail.split_at_checked(4 * usize::from(layers))?;
        }
        if flags & 0x08 != 0 {
            let (&pictures, behind) = tail.split_first()?;
            tail = behind;
            for _ in 0..pictures {
                let references = usize::from(tail.first()? >> 2 & 3);
                tail = tail.get(1 + references..)?;
            }
        }
        *rest = tail;
        Some(Self { layers, sizes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_fields_of_a_keyframe_are_read() {
        // I, L, B, V; picture id 0x1234; T0, S0; TL0PICIDX 9; two layers with sizes, a group of two pictures.
        let mut payload = vec![0b1010_1010, 0x92, 0x34, 0, 9, 0b0011_1000];
        payload.extend([0x01, 0x40, 0x00, 0xB4, 0x02, 0x80, 0x01, 0x68]);
        payload.extend([2, 0x04, 1, 0x28, 1, 2, 0x82]);
        let read = Descriptor::read(&payload).unwrap();
        assert!(read.begins_keyframe() && !read.ends_frame);
        assert_eq!(read.layer, Some((0, 0)));
        let counters = read.counters.unwrap();
        assert_eq!(counters.picture.unwrap().id, 0x1234);
        assert_eq!(counters.base_layer, Some((9, 4)));
        let structure = read.structure.unwrap();
        assert_eq!(structure.layers, 2);
        assert_eq!(structure.size(0), Some((320, 180)));
        assert_eq!(structure.size(1), Some((640, 360)));
        assert_eq!(structure.size(2), None);
        assert_eq!(read.frame, [0x82]);
        for end in 0..payload.len() - 1 {
            assert_eq!(Descriptor::read(&payload[..end]), None, "{end}");
        }
    }

    #[test]
    fn a_flexible_descriptor_has_references_in_place_of_the_index() {
        // I, P, L, F, E; picture id 5; T1, S2; references 3 and 1.
        let payload = [0b1111_0100, 5, 0b0010_0100, 7, 2, 0xAA];
        let read = Descriptor::read(&payload).unwrap();
        assert_eq!((read.layer, read.frame), (Some((2, 1)), &[0xAA][..]));
        assert!(read.is_predicted && read.ends_frame && !read.begins_keyframe());
        assert!(!read.is_switching_point);
        assert_eq!(read.counters.unwrap().base_layer, None);
        let mut payload = payload;
        payload[2] |= 0x10;
        let read = Descriptor::read(&payload).unwrap();
        assert_eq!((read.layer, read.is_switching_point), (Some((2, 1)), true));
    }

    #[test]
    fn counters_are_where_they_are_rewritten() {
        let payload = [0b1010_1000, 0xFF, 0xFF, 0, 0xFF, 0x82];
        let mut copy = payload;
        let counters = Descriptor::read(&payload).unwrap().counters.unwrap();
        counters.shift(&mut copy, 2, 3);
        assert_eq!(copy, [0b1010_1000, 0x80, 0x01, 0, 0x02, 0x82]);
    }

    proptest! {
        #[test]
        fn any_payload_is_survived(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(read) = Descriptor::read(&payload) {
                prop_assert!(payload.ends_with(read.frame));
                if let Some(counters) = read.counters {
                    let mut copy = payload.clone();
                    counters.shift(&mut copy, 7, 7);
                    prop_assert_eq!(Descriptor::read(&copy).unwrap().layer, read.layer);
                }
            }
        }
    }
}
