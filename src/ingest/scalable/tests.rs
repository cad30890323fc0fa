use std::time::{Duration, Instant};

use super::*;
use crate::rtp::dependency_descriptor::tests::{
    spatial_frame, spatial_structure, temporal_frame, temporal_structure,
};
use crate::stream::testing::packet;

const WHOLE: LayerId = LayerId(0);
const MIDDLE: LayerId = LayerId(2);
const LOW: LayerId = LayerId(3);

/// A source of pictures in three sizes, each frame of two packets.
struct Source {
    scalable: Box<Scalable>,
    codec: Codec,
    start: Instant,
    sequence: u64,
    picture: u32,
    frame_number: u16,
    /// What left: layer, number, timestamp, marker, beginning of a picture, bytes.
    left: Vec<(LayerId, u64, u32, bool, bool, usize)>,
}

impl Source {
    fn new(codec: Codec) -> Self {
        Self {
            scalable: Scalable::new(codec).unwrap(),
            codec,
            start: Instant::now(),
            sequence: 100_000,
            picture: 0,
            frame_number: 0,
            left: Vec::new(),
        }
    }

    /// The packets of the next picture with so many spatial layers.
    fn picture(&mut self, layers: u8) -> Vec<Packet> {
        let keyframe = self.picture == 0;
        let structure = spatial_structure(3, (640, 360));
        let mut packets = Vec::new();
        for spatial in 0..layers {
            for ends in [false, true] {
                let mut packet = Packet {
                    timestamp: 3_000 * self.picture,
                    marker: ends && spatial + 1 == layers,
                    keyframe: keyframe && spatial == 0 && !ends,
                    received: self.start + Duration::from_millis(33) * self.picture,
                    ..packet(self.sequence)
                };
                match self.codec {
                    Codec::Vp9 => packet.payload = vp9(spatial, keyframe, ends),
                    _ => {
                        let ends = (!ends, ends);
                        let layer = (spatial, keyframe);
                        let value = spatial_frame(&structure, layer, self.frame_number, ends);
                        let extension = Extension::DependencyDescriptor;
                        packet.extensions.push(extension, &value);
                    }
                }
                packets.push(packet);
                self.sequence += 1;
            }
            self.frame_number = self.frame_number.wrapping_add(1);
        }
        self.picture += 1;
        packets
    }

    fn take(&mut self, mut packet: Packet) {
        self.scalable.handle_packet(&mut packet);
        let mut copy = Packet::empty(self.start);
        self.leave(&packet);
        while self.scalable.has_copies() {
            assert!(self.scalable.poll_copy(&packet, &mut copy));
            self.leave(&copy);
        }
        assert!(!self.scalable.poll_copy(&packet, &mut copy));
    }

    fn leave(&mut self, packet: &Packet) {
        self.left.push((
            packet.layer,
            packet.sequence,
            packet.timestamp,
            packet.marker,
            !packet.leads_to.is_empty(),
            packet.payload.len(),
        ));
    }

    fn of(&self, layer: LayerId) -> impl Iterator<Item = (u64, u32, bool, bool, usize)> {
        let own = self.left.iter().filter(move |left| left.0 == layer);
        own.map(|left| (left.1, left.2, left.3, left.4, left.5))
    }
}

/// L, B and E; P but for keyframes; sizes with the first packet.
fn vp9(spatial: u8, keyframe: bool, ends: bool) -> Vec<u8> {
    let flags = 0x20 | u8::from(!keyframe) << 6 | u8::from(!ends) << 3 | u8::from(ends) << 2;
    let mut payload = vec![flags, spatial << 1, 9];
    if keyframe && spatial == 0 && !ends {
        payload[0] |= 0x02;
        payload.push(2 << 5 | 0x10);
        for (width, height) in [(160u16, 90u16), (320, 180), (640, 360)] {
            payload.extend(width.to_be_bytes());
            payload.extend(height.to_be_bytes());
        }
    }
    payload.extend([0x82; 100]);
    payload
}

#[test]
fn each_lesser_layer_is_a_dense_line_of_whole_pictures() {
    for codec in [Codec::Vp9, Codec::Av1] {
        let mut source = Source::new(codec);
        for _ in 0..20 {
            for packet in source.picture(3) {
                source.take(packet);
            }
        }
        for (layer, per_picture) in [(WHOLE, 6), (MIDDLE, 4), (LOW, 2)] {
            let left: Vec<_> = source.of(layer).collect();
            assert_eq!(left.len(), 20 * per_picture, "{codec:?} {layer}");
            for (index, (number, timestamp, marker, begins, _)) in left.into_iter().enumerate() {
                assert_eq!(number, 100_000 + index as u64);
                assert_eq!(timestamp, 3_000 * (index / per_picture) as u32);
                assert_eq!(marker, index % per_picture == per_picture - 1);
                assert_eq!(begins, index % per_picture == 0);
            }
        }
        assert_eq!(source.scalable.lesser().collect::<Vec<_>>(), [MIDDLE, LOW]);
        assert_eq!(source.scalable.spatial_of(WHOLE), Some(2));
        assert_eq!(source.scalable.spatial_of(LayerId(1)), None);
        let figures = [WHOLE, MIDDLE, LOW].map(|layer| source.scalable.figures(layer));
        let sizes = figures.map(|figures| figures.size);
        assert_eq!(sizes, [Some((640, 360)), Some((320, 180)), Some((160, 90))]);
        assert!(figures[0].bytes > figures[1].bytes && figures[1].bytes > figures[2].bytes);
    }
}

#[test]
fn a_packet_that_comes_late_has_its_place_in_each_line() {
    for codec in [Codec::Vp9, Codec::Av1] {
        let mut source = Source::new(codec);
        let first = source.picture(3);
        first.into_iter().for_each(|packet| source.take(packet));
        let mut second = source.picture(3);
        let (high, low) = (second.remove(4), second.remove(1));
        second.into_iter().for_each(|packet| source.take(packet));
        source.take(high);
        source.take(low);
        for packet in source.picture(3) {
            source.take(packet);
        }
        for (layer, expected) in [(WHOLE, 18), (MIDDLE, 13), (LOW, 7)] {
            let mut numbers: Vec<_> = source.of(layer).map(|left| left.0).collect();
            numbers.sort_unstable();
            let dense = 100_000..100_000 + expected;
            assert_eq!(numbers, dense.collect::<Vec<_>>(), "{codec:?} {layer}");
        }
        // The place that was kept in vain is filled with nothing.
        let empty = |layer| source.of(layer).filter(|left| left.4 == 0).count();
        assert_eq!([WHOLE, MIDDLE, LOW].map(empty), [0, 1, 1]);
    }
}

#[test]
fn the_whole_is_what_comes() {
    let mut source = Source::new(Codec::Vp9);
    for layers in [3; 5].into_iter().chain([2; 20]) {
        for packet in source.picture(layers) {
            source.take(packet);
        }
    }
    assert_eq!(source.scalable.spatial_of(WHOLE), Some(1));
    assert_eq!(source.scalable.figures(WHOLE).size, Some((320, 180)));
}

#[test]
fn a_source_of_one_layer_is_left_alone() {
    let mut scalable = Scalable::new(Codec::Vp9).unwrap();
    let mut packet = Packet {
        payload: vec![0x88, 0x12, 0x82],
        ..packet(70_000)
    };
    scalable.handle_packet(&mut packet);
    assert!(packet.leads_to.is_empty() && !scalable.has_copies());
    assert!(!scalable.has_layers() && scalable.lesser().next().is_none());
    assert!(Scalable::new(Codec::Vp8).is_none());
}

/// The layers of a source with three temporal ones.
const HALF: LayerId = LayerId(4);
const QUARTER: LayerId = LayerId(5);

/// Of each four pictures.
const TEMPORAL_OF: [u8; 4] = [0, 2, 1, 2];

/// The packets of so many pictures in one size, each of two packets; every eighth is one behind which nothing of the
/// higher layers refers to what was before it.
fn temporal_pictures(codec: Codec, count: u16) -> Vec<Packet> {
    let (structure, start) = (temporal_structure(), Instant::now());
    let packets = (0..count).flat_map(|picture| [(picture, false), (picture, true)]);
    packets
        .map(|(picture, ends)| {
            let temporal = TEMPORAL_OF[usize::from(picture % 4)];
            let (keyframe, leads_up) = (picture == 0, picture % 8 == 0);
            let mut packet = Packet {
                timestamp: 3_000 * u32::from(picture),
                marker: ends,
                keyframe: keyframe && !ends,
                received: start + Duration::from_millis(33) * u32::from(picture),
                ..packet(100_000 + 2 * u64::from(picture) + u64::from(ends))
            };
            packet.payload = vec![0x82; 100];
            if codec == Codec::Vp9 {
                packet.payload = vp9(0, keyframe, ends);
                // The structure would tell of spatial layers.
                if packet.keyframe {
                    packet.payload[0] &= !0x02;
                    packet.payload.drain(3..16);
                }
                packet.payload[1] |= temporal << 5 | u8::from(leads_up) << 4;
            } else {
                let layer = (temporal, keyframe, leads_up);
                let value = temporal_frame(&structure, layer, picture, (!ends, ends));
                let extension = Extension::DependencyDescriptor;
                packet.extensions.push(extension, &value);
            }
            packet
        })
        .collect()
}

#[test]
fn lesser_temporal_layers_are_dense_lines_with_fewer_pictures() {
    for codec in [Codec::Vp9, Codec::Av1] {
        let mut source = Source::new(codec);
        for packet in temporal_pictures(codec, 40) {
            source.take(packet);
        }
        for (layer, every) in [(WHOLE, 1), (HALF, 2), (QUARTER, 4)] {
            let left: Vec<_> = source.of(layer).collect();
            // The layer is known of when its first picture without it has come, or the structure.
            let first = left[0].1 / 3_000;
            assert!(first <= 4, "{codec:?} {layer} begins with {first}");
            assert_eq!(left.len(), 2 * (40 - first as usize).div_ceil(every));
            for (index, (number, timestamp, marker, begins, _)) in left.iter().enumerate() {
                assert_eq!(*number, left[0].0 + index as u64);
                let picture = first + every as u32 * (index / 2) as u32;
                assert_eq!(*timestamp, 3_000 * picture, "{codec:?} {layer}");
                let is_first = index % 2 == 0 && (picture > 0 || codec == Codec::Av1);
                assert_eq!((*marker, *begins), (index % 2 == 1, is_first));
            }
        }
        let scalable = &source.scalable;
        assert_eq!(scalable.lesser().collect::<Vec<_>>(), [HALF, QUARTER]);
        let temporal = [WHOLE, HALF, QUARTER].map(|layer| scalable.temporal_of(layer));
        assert_eq!(temporal, [Some(2), Some(1), Some(0)]);
        assert_eq!(scalable.spatial_of(WHOLE), None);
        assert!(!scalable.needs_descriptor(WHOLE));
        let figures = [WHOLE, HALF, QUARTER].map(|layer| scalable.figures(layer));
        let [whole, half, quarter] = figures.map(|figures| figures.frames);
        assert!(whole > 3 * half / 2 && half > 3 * quarter / 2);
        let [whole, half, quarter] = figures.map(|figures| figures.bytes);
        assert!(whole > 3 * half / 2 && half > 3 * quarter / 2);
    }
}

#[test]
fn pictures_lead_to_the_layers_that_can_go_on_with_them() {
    for codec in [Codec::Vp9, Codec::Av1] {
        let mut scalable = Scalable::new(codec).unwrap();
        let mut copy = Packet::empty(Instant::now());
        let set = |layers: &[LayerId]| layers.iter().copied().collect::<LayerSet>();
        for (index, mut packet) in temporal_pictures(codec, 40).into_iter().enumerate() {
            scalable.handle_packet(&mut packet);
            let (picture, begins) = (index / 2, index % 2 == 0);
            let mut lesser = Vec::new();
            while scalable.poll_copy(&packet, &mut copy) {
                lesser.push((copy.layer, copy.leads_to));
            }
            if picture < 4 {
                continue; // not all layers are known of
            }
            let none = LayerSet::NONE;
            let (whole, expected) = match (picture % 8, begins) {
                (0, true) => {
                    let all = set(&[WHOLE, HALF, QUARTER]);
                    (all, vec![(HALF, all), (QUARTER, all)])
                }
                (4, true) => {
                    let lesser = [(HALF, set(&[HALF, QUARTER])), (QUARTER, set(&[QUARTER]))];
                    (set(&[WHOLE, HALF, QUARTER]), lesser.to_vec())
                }
                (2 | 6, true) => (set(&[WHOLE, HALF]), vec![(HALF, set(&[HALF]))]),
                (2 | 6, false) => (none, vec![(HALF, none)]),
                (0 | 4, false) => (none, vec![(HALF, none), (QUARTER, none)]),
                (_, true) => (set(&[WHOLE]), Vec::new()),
                (_, false) => (none, Vec::new()),
            };
            assert_eq!(packet.leads_to, whole, "{codec:?} {picture}");
            assert_eq!(lesser, expected, "{codec:?} {picture}");
        }
    }
}

#[test]
fn a_small_picture_leads_to_no_larger_one_whatever_pauses() {
    let mut source = Source::new(Codec::Vp9);
    source
        .picture(3)
        .into_iter()
        .for_each(|packet| source.take(packet));
    for layers in [3, 1, 1, 3] {
        // So long that the larger ones look as if they had ended.
        source.start += Duration::from_secs(2);
        let before = source.scalable.figures(WHOLE).bytes;
        for mut packet in source.picture(layers) {
            // U: of a source without temporal layers all pictures are such points.
            packet.payload[1] |= 0x10;
            source.scalable.handle_packet(&mut packet);
            let mut copy = Packet::empty(source.start);
            while source.scalable.poll_copy(&packet, &mut copy) {
                assert!(!copy.leads_to.contains(WHOLE));
            }
        }
        assert!(source.scalable.figures(WHOLE).bytes > before);
    }
}

#[test]
fn temporal_layers_that_come_no_more_are_forgotten() {
    let mut scalable = Scalable::new(Codec::Vp9).unwrap();
    let mut handle = |packets: Vec<Packet>, in_one: bool| {
        for mut packet in packets {
            if in_one {
                packet.payload[1] &= 0x1F;
            }
            scalable.handle_packet(&mut packet);
        }
        scalable.has_layers()
    };
    assert!(handle(temporal_pictures(Codec::Vp9, 20), false));
    assert!(handle(temporal_pictures(Codec::Vp9, 2), true));
    // Two pictures say nothing.
    assert!(handle(temporal_pictures(Codec::Vp9, 20), true));
    assert!(!handle(temporal_pictures(Codec::Vp9, 1), true));
    assert!(handle(temporal_pictures(Codec::Vp9, 20), false));
}
