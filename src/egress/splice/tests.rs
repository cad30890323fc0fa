use std::time::{Duration, Instant};

use super::*;
use crate::rtp::{Extension, PictureCounters};
use crate::stream::testing::packet;

const LOW: LayerId = LayerId(0);
const HIGH: LayerId = LayerId(1);

/// What came out: own number, timestamp, the source's number.
type Out = Vec<(u64, u32, u64)>;

fn splice() -> Splice {
    Splice::new(MediaKind::Video, 90_000, 500, 7_000)
}

/// The frame `number` of a layer, 30 a second: one packet.
fn frame(start: Instant, number: u64, base: u32) -> Packet {
    Packet {
        timestamp: base.wrapping_add(3_000 * number as u32),
        received: start + Duration::from_micros(33_333) * number as u32,
        ..packet(70_000 + number)
    }
}

fn keyframe(start: Instant, number: u64, base: u32) -> Packet {
    Packet {
        keyframe: true,
        ..frame(start, number, base)
    }
}

fn pass(splice: &mut Splice, layer: LayerId, packets: &[Packet], out: &mut Out) -> Passed {
    pass_by_clock(splice, layer, packets, |_| None, out)
}

fn pass_by_clock(
    splice: &mut Splice,
    layer: LayerId,
    packets: &[Packet],
    clock: impl Fn(LayerId) -> Option<SenderClock>,
    out: &mut Out,
) -> Passed {
    splice.pass(layer, packets, clock, |packet, own, shift| {
        out.push((
            own,
            packet.timestamp.wrapping_add(shift.timestamp),
            packet.sequence,
        ));
    })
}

#[test]
fn another_layer_is_taken_at_its_keyframe_alone() {
    let (mut splice, mut out, start) = (splice(), Out::new(), Instant::now());
    let first = [keyframe(start, 0, 0), frame(start, 1, 0)];
    assert!(pass(&mut splice, LOW, &first, &mut out).switched);
    let other = [keyframe(start, 2, 900_000), frame(start, 3, 900_000)];
    assert_eq!(
        pass(&mut splice, HIGH, &other, &mut out),
        Passed::default(),
        "nobody aimed at it"
    );
    splice.aim(HIGH);
    assert!(splice.waits_for_keyframe());
    let _ = pass(&mut splice, LOW, &[frame(start, 2, 0)], &mut out);
    let _ = pass(&mut splice, HIGH, &[frame(start, 3, 900_000)], &mut out);
    let _ = pass(&mut splice, LOW, &[frame(start, 3, 0)], &mut out);
    let both = [
        frame(start, 4, 900_000),
        keyframe(start, 5, 900_000),
        frame(start, 6, 900_000),
    ];
    let passed = pass(&mut splice, HIGH, &both, &mut out);
    assert!(passed.switched && passed.packets == 2);
    assert_eq!((splice.current(), splice.target()), (Some(HIGH), HIGH));
    // What still comes of the other one is not part of the line.
    assert_eq!(
        pass(&mut splice, LOW, &[frame(start, 5, 0)], &mut out),
        Passed::default()
    );
    let numbers: Vec<_> = out.iter().map(|(own, ..)| *own).collect();
    assert_eq!(numbers, [500, 501, 502, 503, 504, 505]);
    // By arrival: two frames after the one of 3.
    let timestamps: Vec<_> = out
        .iter()
        .map(|(_, timestamp, _)| timestamp - 7_000)
        .collect();
    assert_eq!(timestamps[..4], [0, 3_000, 6_000, 9_000]);
    assert!(timestamps[4].abs_diff(15_000) < 10 && timestamps[5] - timestamps[4] == 3_000);
}

#[test]
fn layers_meet_by_the_clocks_of_their_publisher() {
    let (mut splice, mut out, start) = (splice(), Out::new(), Instant::now());
    let clock = |layer| {
        let base = if layer == LOW { 0 } else { 4_000_000_000 };
        Some(SenderClock::new(50 << 32, base, start, 90_000))
    };
    let _ = pass_by_clock(&mut splice, LOW, &[keyframe(start, 0, 0)], clock, &mut out);
    splice.aim(HIGH);
    // It came 80 ms later than it should have.
    let late = Packet {
        received: start + Duration::from_millis(180),
        ..keyframe(start, 3, 4_000_000_000)
    };
    let _ = pass_by_clock(&mut splice, HIGH, &[late], clock, &mut out);
    assert_eq!(out[1].1, 7_000 + 9_000);
    // Back again, with a keyframe of the same instant: later by as little as can be.
    splice.aim(LOW);
    let _ = pass_by_clock(&mut splice, LOW, &[keyframe(start, 3, 0)], clock, &mut out);
    assert_eq!(out[2].1, 7_000 + 9_000 + 1);
    // That does not add up.
    splice.aim(HIGH);
    let next = keyframe(start, 9, 4_000_000_000);
    let _ = pass_by_clock(&mut splice, HIGH, &[next], clock, &mut out);
    assert_eq!(out[3].1, 7_000 + 27_000);
}

#[test]
fn clocks_that_contradict_the_arrival_are_not_believed() {
    let (mut splice, mut out, start) = (splice(), Out::new(), Instant::now());
    let clock = |layer| {
        let ntp = if layer == LOW { 50 << 32 } else { 90 << 32 };
        Some(SenderClock::new(ntp, 0, start, 90_000))
    };
    let _ = pass_by_clock(&mut splice, LOW, &[keyframe(start, 0, 0)], clock, &mut out);
    splice.aim(HIGH);
    let _ = pass_by_clock(&mut splice, HIGH, &[keyframe(start, 3, 0)], clock, &mut out);
    assert!(out[1].1.abs_diff(7_000 + 9_000) < 10);
}

#[test]
fn what_was_sent_before_a_switch_is_found_in_its_layer() {
    let (mut splice, mut out, start) = (splice(), Out::new(), Instant::now());
    let _ = pass(&mut splice, LOW, &[keyframe(start, 0, 0)], &mut out);
    // 71 and 72 are missing, 73 came.
    let _ = pass(&mut splice, LOW, &[frame(start, 3, 0)], &mut out);
    for round in 1..=6u64 {
        let layer = if round % 2 == 0 { LOW } else { HIGH };
        splice.aim(layer);
        let _ = pass(
            &mut splice,
            layer,
            &[keyframe(start, 10 * round, 5)],
            &mut out,
        );
    }
    assert_eq!(out.last().unwrap().0, 509);
    let origin = |number| {
        splice
            .origin(number)
            .map(|origin| (origin.layer, origin.source))
    };
    assert_eq!(origin(509), Some((LOW, 70_060)));
    assert_eq!(origin(508), Some((HIGH, 70_050)));
    assert_eq!(origin(510), None, "never sent");
    assert_eq!(origin(501), None, "too long ago");

    let mut splice = self::splice();
    let _ = pass(&mut splice, LOW, &[keyframe(start, 0, 0)], &mut out);
    let _ = pass(&mut splice, LOW, &[frame(start, 3, 0)], &mut out);
    splice.aim(HIGH);
    let _ = pass(&mut splice, HIGH, &[keyframe(start, 4, 0)], &mut out);
    let before = splice.origin(501).unwrap();
    assert_eq!((before.layer, before.source), (LOW, 70_001));
    assert_eq!(
        before.shifts.of(&frame(start, 3, 0)).timestamp,
        7_000,
        "as when it was sent"
    );
}

#[test]
fn another_publisher_goes_on_where_the_line_ended() {
    let (mut splice, mut out, start) = (splice(), Out::new(), Instant::now());
    let _ = pass(&mut splice, LOW, &[keyframe(start, 0, 0)], &mut out);
    splice.rebind(None);
    assert!(splice.waits_for_keyframe() && splice.timestamp_offset().is_none());
    assert_eq!(splice.origin(500), None);
    let later = start + Duration::from_secs(4);
    let packets = [
        Packet {
            sequence: 3,
            ..frame(later, 0, 123_456)
        },
        Packet {
            sequence: 4,
            ..keyframe(later, 0, 123_456)
        },
    ];
    assert!(pass(&mut splice, LOW, &packets, &mut out).switched);
    let (own, timestamp, source) = out[1];
    assert_eq!((own, source), (501, 4));
    assert_eq!(timestamp, 7_000 + 4 * 90_000);
    // Before the first packet it changes nothing.
    let mut splice = self::splice();
    splice.rebind(None);
    let _ = pass(&mut splice, LOW, &[keyframe(start, 0, 0)], &mut out);
    assert_eq!(out[2], (500, 7_000, 70_000));
}

#[test]
fn picture_counters_go_on_by_one() {
    let (mut splice, start) = (splice(), Instant::now());
    let vp8 = |number: u64, picture: u16, base_layer: u8| {
        let [high, low] = picture.to_be_bytes();
        let payload = vec![0x90, 0xC0, high | 0x80, low, base_layer, 0];
        let mut packet = Packet {
            picture: PictureCounters::read(&payload),
            payload,
            ..keyframe(start, number, 0)
        };
        packet
            .extensions
            .push(Extension::DependencyDescriptor, &[0, high, low, 9]);
        packet
    };
    let mut shifts = Vec::new();
    let mut pass = |splice: &mut Splice, layer, packets: &[Packet]| {
        let _ = splice.pass(layer, packets, |_| None, |_, _, shift| shifts.push(*shift));
    };
    pass(&mut splice, LOW, &[vp8(0, 100, 7), vp8(1, 101, 8)]);
    splice.aim(HIGH);
    pass(&mut splice, HIGH, &[vp8(2, 50, 200)]);
    splice.aim(LOW);
    pass(&mut splice, LOW, &[vp8(3, 103, 10)]);
    let moved = |shift: &Shift| (shift.picture, shift.base_layer, shift.frame);
    assert_eq!(moved(&shifts[1]), (0, 0, 0));
    // 102 after 101, 9 after 8.
    assert_eq!(moved(&shifts[2]), (52, 9u8.wrapping_sub(200), 52));
    // 103 after 102, 10 after 9.
    assert_eq!(moved(&shifts[3]), (0, 0, 0));
}

#[test]
fn sound_begins_anywhere() {
    let mut splice = Splice::new(MediaKind::Audio, 48_000, 0, 0);
    let (mut out, start) = (Out::new(), Instant::now());
    assert!(!splice.waits_for_keyframe());
    assert!(pass(&mut splice, LOW, &[frame(start, 0, 0)], &mut out).switched);
    splice.rebind(None);
    let _ = pass(&mut splice, LOW, &[frame(start, 1, 77)], &mut out);
    assert_eq!(out[1].0, 1);
    assert!(out[1].1 > out[0].1);
}

/// All pictures up to the last, as somebody gets them who comes then; `span` to send them in.
fn pass_past(splice: &mut Splice, past: &[Packet], span: Duration, out: &mut Out) {
    let ends = (&past[0], &past[past.len() - 1]);
    let began = splice.begin_with_past(
        LOW,
        ends,
        span,
        |_| None,
        |packet, own, shift| {
            let timestamp = packet.timestamp.wrapping_add(shift.timestamp);
            out.push((own, timestamp, packet.sequence));
        },
    );
    assert!(began.switched && began.packets == 1);
    let _ = pass(splice, LOW, &past[1..], out);
}

#[test]
fn the_past_lies_close_together_before_the_present() {
    let (mut splice, mut out, start) = (splice(), Out::new(), Instant::now());
    let past: Vec<_> = (0..=60)
        .map(|number| frame(start, number, 50_000))
        .collect();
    pass_past(&mut splice, &past, Duration::from_millis(100), &mut out);
    let next = [frame(start, 61, 50_000), frame(start, 62, 50_000)];
    let _ = pass(&mut splice, LOW, &next, &mut out);
    let numbers: Vec<_> = out.iter().map(|(own, _, _)| *own).collect();
    assert_eq!(numbers, (500..563).collect::<Vec<_>>());
    let timestamps: Vec<_> = out.iter().map(|(_, timestamp, _)| *timestamp).collect();
    assert!(timestamps.is_sorted_by(|one, next| one < next));
    let span = timestamps[60] - timestamps[0];
    assert!((8_000..=9_000).contains(&span), "{span} ticks for 100 ms");
    assert_eq!(timestamps[61] - timestamps[60], 3_000);
    assert_eq!(timestamps[62] - timestamps[61], 3_000);
    let present = timestamps[62].wrapping_sub(next[1].timestamp);
    assert_eq!(splice.timestamp_offset(), Some(present));
    // What is sent again is the same as at first.
    for (own, timestamp, source) in &out {
        let origin = splice.origin(*own as u16).unwrap();
        assert_eq!(origin.source, *source);
        let again = frame(start, source - 70_000, 50_000);
        let shift = origin.shifts.of(&again);
        assert_eq!(again.timestamp.wrapping_add(shift.timestamp), *timestamp);
    }
}

#[test]
fn pictures_that_are_sent_in_no_time_still_differ() {
    let (mut splice, mut out, start) = (splice(), Out::new(), Instant::now());
    let past: Vec<_> = (0..=300).map(|number| frame(start, number, 0)).collect();
    pass_past(&mut splice, &past, Duration::ZERO, &mut out);
    assert!(out.is_sorted_by(|one, next| one.1 < next.1));
    assert!(out[300].1 - out[0].1 < 4_500, "50 ms");
}

#[test]
fn the_past_of_another_publisher_comes_after_what_was_sent() {
    let (mut splice, mut out, start) = (splice(), Out::new(), Instant::now());
    let first = [keyframe(start, 0, 0), frame(start, 30, 0)];
    let _ = pass(&mut splice, LOW, &first, &mut out);
    splice.rebind(None);
    // It has been there for as long, with numbers and timestamps of its own.
    let past: Vec<_> = (0..=31).map(|number| frame(start, number, 777)).collect();
    pass_past(&mut splice, &past, Duration::from_millis(100), &mut out);
    let rises = |one: &(u64, u32, u64), next: &(u64, u32, u64)| one.0 < next.0 && one.1 < next.1;
    assert!(out.is_sorted_by(rises), "{out:?}");
}
