use std::time::{Duration, Instant};

use super::*;
use crate::rtp::MediaKind;
use crate::stream::testing::packet;

const WHOLE: LayerId = LayerId(0);
const LOW: LayerId = LayerId(3);

/// What came out: own number, the source's timestamp, its number, what was added to the timestamp.
type Out = Vec<(u64, u32, u64, u32)>;

struct Stage {
    splice: Splice,
    start: Instant,
    out: Out,
    leads_up: bool,
}

impl Stage {
    fn new() -> Self {
        let splice = Splice::new(MediaKind::Video, 90_000, 500, 7_000);
        let (start, out) = (Instant::now(), Out::new());
        let mut stage = Self {
            splice,
            start,
            out,
            leads_up: false,
        };
        assert!(stage.whole(0..2).switched);
        stage
    }

    /// The lesser layer is followed up to picture 10, and wants to go back.
    fn low_that_leads_up() -> Self {
        let mut stage = Self::new();
        stage.leads_up = true;
        stage.splice.aim(LOW);
        let _ = stage.low(1..2);
        let _ = stage.whole(2..3);
        let _ = stage.low(2..11);
        stage.splice.aim(WHOLE);
        stage
    }

    /// The lesser layer leads up at each tenth picture, if at all.
    fn leads_to(&self, layer: LayerId, picture: u64, index: u64) -> LayerSet {
        let leads_up = self.leads_up && picture.is_multiple_of(10);
        let layers = [WHOLE, LOW].into_iter();
        match (index, layer) {
            (0, WHOLE) => layers.collect(),
            (0, _) => layers.skip(usize::from(!leads_up)).collect(),
            _ => LayerSet::NONE,
        }
    }

    fn packet(&self, layer: LayerId, picture: u64, index: u64) -> Packet {
        let (first, count) = if layer == WHOLE {
            (70_000, 3)
        } else {
            (90_000, 1)
        };
        Packet {
            layer,
            timestamp: 3_000 * picture as u32,
            received: self.start + Duration::from_millis(33) * picture as u32,
            keyframe: picture.is_multiple_of(50) && index == 0,
            leads_to: self.leads_to(layer, picture, index),
            marker: index == count - 1,
            ..packet(first + count * picture + index)
        }
    }

    fn pass(&mut self, layer: LayerId, packets: &[Packet]) -> Passed {
        let out = &mut self.out;
        self.splice.pass(
            layer,
            packets,
            |_| None,
            |packet, own, shift| {
                out.push((own, packet.timestamp, packet.sequence, shift.timestamp));
            },
        )
    }

    /// Pictures of three packets.
    fn whole(&mut self, pictures: std::ops::Range<u64>) -> Passed {
        let packets = pictures.flat_map(|picture| (0..3).map(move |index| (picture, index)));
        let packets: Vec<_> = packets
            .map(|(picture, index)| self.packet(WHOLE, picture, index))
            .collect();
        self.pass(WHOLE, &packets)
    }

    /// The same pictures of one packet.
    fn low(&mut self, pictures: std::ops::Range<u64>) -> Passed {
        let packets: Vec<_> = pictures
            .map(|picture| self.packet(LOW, picture, 0))
            .collect();
        self.pass(LOW, &packets)
    }

    /// The pictures that came out, with how many packets of each. Numbers are dense.
    fn pictures(&self) -> Vec<(u32, usize)> {
        let numbers = self.out.iter().map(|out| out.0);
        assert!(numbers.eq(500..500 + self.out.len() as u64));
        let of_one = self.out.chunk_by(|one, next| one.1 == next.1);
        of_one
            .map(|packets| (packets[0].1 / 3_000, packets.len()))
            .collect()
    }
}

#[test]
fn a_lesser_layer_goes_on_with_the_very_next_picture() {
    let mut stage = Stage::new();
    stage.splice.aim(LOW);
    assert!(stage.splice.is_turning() && !stage.splice.waits_for_keyframe());
    // Its packets have not been seen yet.
    let _ = stage.whole(2..4);
    assert_eq!(stage.low(2..4), Passed::default());
    let _ = stage.whole(4..6);
    assert_eq!(stage.splice.turn(), Some(4 * 3_000));
    let passed = stage.low(4..6);
    assert!(passed.switched && passed.packets == 2);
    assert_eq!(stage.splice.current(), Some(LOW));
    let _ = stage.whole(6..7);
    let _ = stage.low(6..7);
    let expected = [(0, 3), (1, 3), (2, 3), (3, 3), (4, 1), (5, 1), (6, 1)];
    assert_eq!(stage.pictures(), expected);
    let shifts = stage.out.iter().map(|out| out.3);
    assert!(
        shifts
            .clone()
            .all(|shift| Some(shift) == shifts.clone().next())
    );
    // What was sent of either can be found again.
    let origins: Vec<_> = (500..500 + stage.out.len() as u16)
        .map(|number| stage.splice.origin(number).unwrap().source)
        .collect();
    let sources: Vec<_> = stage.out.iter().map(|out| out.2).collect();
    assert_eq!(origins, sources);
}

#[test]
fn the_picture_that_has_begun_is_sent_whole() {
    let mut stage = Stage::new();
    stage.splice.aim(LOW);
    let packets = [0, 1, 2].map(|index| stage.packet(WHOLE, 2, index));
    let _ = stage.pass(WHOLE, &packets[..1]);
    let _ = stage.low(2..3);
    let _ = stage.pass(WHOLE, &packets[1..]);
    let _ = stage.whole(3..4);
    let _ = stage.low(3..4);
    assert_eq!(stage.pictures()[2..], [(2, 3), (3, 1)]);
}

#[test]
fn a_late_packet_of_the_picture_before_still_goes_on() {
    let mut stage = Stage::new();
    stage.splice.aim(LOW);
    let packets = [0, 1, 2].map(|index| stage.packet(WHOLE, 2, index));
    let _ = stage.pass(WHOLE, &[packets[0].clone(), packets[2].clone()]);
    let _ = stage.low(2..3);
    let _ = stage.whole(3..4);
    let _ = stage.pass(WHOLE, &packets[1..2]);
    let _ = stage.low(3..4);
    stage.out.sort_unstable();
    assert_eq!(stage.pictures()[2..], [(2, 3), (3, 1)]);
}

#[test]
fn a_lesser_layer_that_does_not_come_needs_a_keyframe() {
    let mut stage = Stage::new();
    stage.splice.aim(LOW);
    let _ = stage.low(1..2);
    let _ = stage.whole(2..3);
    stage.splice.end_missed_turn();
    assert!(!stage.splice.waits_for_keyframe());
    let _ = stage.whole(3..4);
    stage.splice.end_missed_turn();
    assert!(stage.splice.waits_for_keyframe());
    let _ = stage.low(4..5);
    let _ = stage.whole(4..6);
    assert_eq!(stage.pictures(), [(0, 3), (1, 3)]);
    assert!(stage.low(50..51).switched, "with a keyframe");
}

#[test]
fn a_change_of_mind_leaves_nothing_undecodable() {
    let mut stage = Stage::new();
    stage.splice.aim(LOW);
    let _ = stage.low(1..2);
    stage.splice.aim(WHOLE);
    let _ = stage.whole(2..3);
    stage.splice.aim(LOW);
    let _ = stage.low(2..3);
    let _ = stage.whole(3..4);
    assert!(stage.splice.turn().is_some());
    stage.splice.aim(WHOLE);
    assert!(stage.splice.waits_for_keyframe());
    let _ = stage.whole(4..5);
    assert_eq!(stage.pictures(), [(0, 3), (1, 3), (2, 3)]);
    assert!(stage.whole(50..51).switched);
}

#[test]
fn a_greater_layer_begins_with_a_keyframe() {
    let mut stage = Stage::new();
    stage.splice.aim(LOW);
    let _ = stage.low(1..2);
    let _ = stage.whole(2..3);
    let _ = stage.low(2..3);
    stage.splice.aim(WHOLE);
    assert!(stage.splice.waits_for_keyframe() && !stage.splice.is_turning());
    let _ = stage.whole(3..50);
    let _ = stage.low(3..50);
    assert!(stage.whole(50..51).switched);
    let pictures = stage.pictures();
    assert_eq!(pictures[2..4], [(2, 1), (3, 1)]);
    assert_eq!(pictures[49..], [(49, 1), (50, 3)]);
}

#[test]
fn a_greater_layer_goes_on_with_a_picture_that_leads_to_it() {
    let mut stage = Stage::low_that_leads_up();
    assert!(stage.splice.is_turning() && !stage.splice.waits_for_keyframe());
    for picture in 11..20 {
        assert_eq!(stage.whole(picture..picture + 1), Passed::default());
        let _ = stage.low(picture..picture + 1);
    }
    // The greater layer's packets come first, and are given again out of the ring.
    let _ = stage.whole(20..21);
    assert_eq!(stage.low(20..21), Passed::default());
    assert_eq!(stage.splice.turn(), Some(20 * 3_000));
    assert!(stage.whole(20..21).switched);
    let _ = stage.whole(21..22);
    let pictures = stage.pictures();
    let kept = (2..20).map(|picture| (picture, 1));
    let expected = [(0, 3), (1, 3)].into_iter().chain(kept);
    assert!(pictures.into_iter().eq(expected.chain([(20, 3), (21, 3)])));
}

#[test]
fn a_greater_layer_that_does_not_come_needs_a_keyframe() {
    let mut stage = Stage::low_that_leads_up();
    let _ = stage.whole(11..12);
    let _ = stage.low(11..21);
    assert!(stage.splice.turn().is_some());
    let _ = stage.low(21..31);
    stage.splice.end_missed_turn();
    assert!(stage.splice.waits_for_keyframe() && !stage.splice.is_turning());
    let _ = stage.whole(31..51);
    let pictures = stage.pictures();
    assert_eq!(pictures[pictures.len() - 2..], [(19, 1), (50, 3)]);
}

#[test]
fn a_layer_that_is_no_more_is_left_with_a_keyframe() {
    let mut stage = Stage::low_that_leads_up();
    assert!(stage.splice.is_turning());
    stage.splice.lose_layer();
    assert!(stage.splice.waits_for_keyframe());
    let _ = stage.whole(11..51);
    let pictures = stage.pictures();
    assert_eq!(pictures[pictures.len() - 2..], [(10, 1), (50, 3)]);
}

#[test]
fn a_lesser_layer_that_comes_with_the_next_picture_is_not_missed() {
    let mut stage = Stage::new();
    stage.splice.aim(LOW);
    let _ = stage.low(1..2);
    let _ = stage.whole(2..3);
    stage.splice.end_missed_turn();
    // Another shard may hand over the layers of a picture in two rounds.
    let _ = stage.whole(3..4);
    let _ = stage.low(2..4);
    stage.splice.end_missed_turn();
    assert_eq!(stage.splice.current(), Some(LOW));
    assert_eq!(stage.pictures(), [(0, 3), (1, 3), (2, 1), (3, 1)]);
}

#[test]
fn what_is_missing_before_a_turn_keeps_its_number() {
    let mut stage = Stage::new();
    stage.splice.aim(LOW);
    let _ = stage.low(1..2);
    let packets = [0, 1, 2].map(|index| stage.packet(WHOLE, 2, index));
    stage.splice.aim(WHOLE);
    let _ = stage.pass(WHOLE, &packets[..2]);
    stage.splice.aim(LOW);
    let _ = stage.low(2..3);
    let _ = stage.whole(3..4);
    assert!(stage.low(3..4).switched);
    let numbers: Vec<_> = stage.out.iter().map(|out| out.0).collect();
    assert_eq!(numbers, [500, 501, 502, 503, 504, 505, 506, 507, 509]);
    let missing = stage.splice.origin(508).unwrap();
    assert_eq!(
        (missing.layer, missing.source),
        (WHOLE, packets[2].sequence)
    );
}
