use std::time::Duration;

use super::*;
use crate::rtp::dependency_descriptor::tests::{spatial_frame, spatial_structure};
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
            packet.unit_start,
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
    assert!(!packet.unit_start && !scalable.has_copies());
    assert_eq!((scalable.layers(), scalable.lesser().count()), (1, 0));
    assert!(Scalable::new(Codec::H264).is_none());
}
