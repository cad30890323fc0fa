//! What publishers do to HLS: samples go in, and every playlist that a player could see on the way is checked.

mod show;

use std::time::Duration;

use super::rendition::RenditionId;
use super::store::Offer;
use show::*;

#[test]
fn a_steady_stream_has_parts_as_long_as_they_may_be() {
    for (part, frame, expected) in [
        (500, SECOND / 30, 500),
        (500, SECOND / 25, 520),
        (500, SECOND / 24, 500),
        (200, SECOND / 25, 200),
        (200, SECOND / 24, 209),
        (200, SECOND / 60, 200),
        (1000, SECOND / 30, 1000),
        (200, SECOND / 5, 200),
    ] {
        let mut show = Show::with_parts(Duration::from_millis(part));
        show.span(0, 21 * SECOND, frame, 2 * SECOND);
        let target = show.parts[0].terms.part_target;
        assert_eq!(target.as_millis(), expected, "{part} {frame}");
        assert!(show.clocked_segments > 10, "{}", show.clocked_segments);
        let (validator, parts) = show.finish();
        assert!(
            lengths(&validator, "video")
                .iter()
                .take(9)
                .all(|ms| (1950..2050).contains(ms))
        );
        assert!(parts.len() > 20);
    }
}

#[test]
fn parts_of_a_steady_rate_go_out_with_their_last_picture() {
    let mut show = Show::new();
    let frame = SECOND / 30;
    for index in 0..300 {
        let parts = show.parts.len();
        let time = index * frame;
        for sound in 0..2 {
            show.sample(AUDIO, time + sound * SOUND, 0, true);
        }
        show.sample(VIDEO, time, 0, index % 60 == 0);
        if index < 240 {
            continue;
        }
        let out: Vec<_> = show.parts[parts..]
            .iter()
            .filter(|part| part.rendition == VIDEO)
            .collect();
        // Fifteen pictures are a part; only the last one of a segment waits for the keyframe after it.
        let expected = index == 240 || index % 60 % 15 == 14 && index % 60 != 59;
        assert_eq!(out.len(), usize::from(expected), "{index}");
    }
}

#[test]
fn an_encoder_that_starts_slowly_does_not_make_parts_long() {
    let mut show = Show::with_parts(Duration::from_millis(200));
    for (time, keyframe) in [(0, true), (900, false), (960, false)] {
        show.sample(VIDEO, time * MILLI, 0, keyframe);
    }
    show.span(SECOND, 10 * SECOND, SECOND / 25, 2 * SECOND);
    assert_eq!(show.parts[0].terms.part_target, Duration::from_millis(200));
    show.finish();
}

#[test]
fn irregular_pictures_keep_the_rules() {
    let mut show = Show::new();
    let (mut time, mut seed, mut count) = (0, 1_u64, 0);
    let mut sound = 0;
    while time < 40 * SECOND {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // Between 60 and 14 pictures a second.
        time += 16 * MILLI + (seed >> 33) as i64 % (54 * MILLI);
        while sound < time {
            show.sample(AUDIO, sound, 0, true);
            sound += SOUND;
        }
        show.sample(VIDEO, time, 0, count % 47 == 0);
        count += 1;
    }
    assert!(show.listed_segments > 10, "{}", show.listed_segments);
    show.finish();
}

#[test]
fn pictures_rarer_than_parts_keep_the_rules_too() {
    let mut show = Show::with_parts(Duration::from_millis(200));
    show.span(0, 4 * SECOND, SECOND / 25, 2 * SECOND);
    show.span(4 * SECOND, 24 * SECOND, SECOND, 2 * SECOND);
    show.span(24 * SECOND, 34 * SECOND, SECOND / 25, 2 * SECOND);
    let (validator, _) = show.finish();
    assert!(validator.segments("video").len() > 14);
}

#[test]
fn a_long_keyframe_interval_is_measured_before_anything_is_promised() {
    let mut show = Show::new();
    show.span(0, 50 * SECOND, SECOND / 30, 5 * SECOND);
    assert!(show.keyframes_wanted > 0);
    let (validator, _) = show.finish();
    let seconds = lengths(&validator, "video");
    assert!(
        seconds[..9].iter().all(|ms| (4_950..5_050).contains(ms)),
        "{seconds:?}"
    );
    let mut show = Show::new();
    show.span(0, 60 * SECOND, SECOND / 30, 20 * SECOND);
    let (validator, _) = show.finish();
    assert!(lengths(&validator, "audio")[0] > 9_900);
}

#[test]
fn a_keyframe_interval_that_becomes_long_breaks_no_promise() {
    let mut show = Show::new();
    show.span(0, 8 * SECOND, SECOND / 30, 2 * SECOND);
    show.span(8 * SECOND, 38 * SECOND, SECOND / 30, 10 * SECOND);
    show.span(38 * SECOND, 46 * SECOND, SECOND / 30, 2 * SECOND);
    show.finish();
}

#[test]
fn long_frames_of_sound_break_no_promise() {
    const FRAME: i64 = 120 * MILLI;
    let mut show = Show::new();
    show.sound = FRAME;
    let tracks = [(VIDEO, SECOND / 60), (AUDIO, FRAME)];
    show.tracks(&tracks, 0, 6 * SECOND, 2 * SECOND);
    // No keyframe comes any more: segments are as long as they may be.
    show.tracks(&tracks, 6 * SECOND, 60 * SECOND, 100 * SECOND);
    let (validator, _) = show.finish();
    let longest = |name| lengths(&validator, name).into_iter().max();
    assert_eq!(
        (longest("video"), longest("audio")),
        (Some(2_350), Some(2_400))
    );
}

#[test]
fn b_frames_keep_the_rules() {
    let mut show = Show::new();
    let frame = SECOND / 30;
    for index in 0..600_i64 {
        let time = index * frame;
        show.sample(AUDIO, time, 0, true);
        // Decoded in the order I P B B: shown two pictures later, or one earlier.
        let order = if index % 3 == 0 { 3 * frame } else { 0 };
        show.sample(VIDEO, time, order, index % 60 == 0);
    }
    let (validator, parts) = show.finish();
    // The date is that of the picture, which is shown later than it is decoded.
    let first = parts.iter().find(|part| part.rendition == VIDEO).unwrap();
    assert_eq!(first.time, WALL + 3 * frame);
    assert!(
        lengths(&validator, "video")[..9]
            .iter()
            .all(|ms| *ms == 2_000)
    );
}

#[test]
fn a_publisher_that_comes_back_goes_on_with_new_numbers() {
    let mut show = Show::new();
    show.span(0, 9 * SECOND, SECOND / 30, 2 * SECOND);
    show.publish_again();
    show.formats[0] = picture(1280);
    show.span(15 * SECOND, 24 * SECOND, SECOND / 25, 2 * SECOND);
    show.publish_again();
    // Its clock is behind.
    show.span(0, 9 * SECOND, SECOND / 30, 3 * SECOND);
    let (validator, _) = show.finish();
    for name in ["video", "audio"] {
        assert_eq!(
            breaks(&validator, name).iter().filter(|is| **is).count(),
            2,
            "{name}"
        );
    }
}

#[test]
fn another_resolution_begins_at_once_on_all_renditions() {
    let mut show = Show::new();
    show.span(0, 7 * SECOND, SECOND / 30, 2 * SECOND);
    show.formats[0] = picture(1280);
    show.span(7 * SECOND, 15 * SECOND, SECOND / 30, 2 * SECOND);
    let (validator, _) = show.finish();
    assert_eq!(breaks(&validator, "video"), breaks(&validator, "audio"));
    assert_eq!(
        breaks(&validator, "video").iter().position(|is| *is),
        Some(4)
    );
}

/// By how much the dates of segments of 2 s are later than the clock that is assumed (ms), in either rendition, where
/// the publisher tells at this instant that its clock is 130 ms behind that.
fn late(told_at: i64) -> Vec<i64> {
    let mut show = Show::new();
    show.span(0, told_at, SECOND / 25, 2 * SECOND);
    let mut told = walls();
    for id in RenditionId::all() {
        told.set(id, Some(WALL - 130 * MILLI));
    }
    show.segmenter.handle_walls(told);
    show.span(told_at, 20 * SECOND, SECOND / 25, 2 * SECOND);
    let (validator, _) = show.finish();
    let [video, audio] = ["video", "audio"].map(|name| {
        assert!(!breaks(&validator, name).contains(&true), "{name}");
        let segments = validator.segments(name);
        let late = |(number, date): (u8, f64)| {
            let expected = (WALL / SECOND) as f64 + 2.0 * f64::from(number);
            ((date - expected) * 1000.0).round() as i64
        };
        let dates = segments.iter().map(|segment| segment.date.unwrap());
        (0..10).zip(dates).map(late).collect::<Vec<_>>()
    });
    let near = |(one, other): (&i64, &i64)| (one - other).abs() <= 1;
    assert!(video.iter().zip(&audio).all(near), "{video:?}, {audio:?}");
    video
}

#[test]
fn dates_are_by_the_clock_that_the_publisher_tells_before_anybody_watches() {
    assert_eq!(late(4 * SECOND), [-130; 10]);
}

#[test]
fn dates_follow_the_clock_that_the_publisher_tells_late() {
    // What is open keeps its date, and players would stumble over a jump.
    assert_eq!(late(8 * SECOND), [0, 0, 0, 0, -1, -2, -3, -4, -5, -6]);
}

#[test]
fn video_alone_sound_alone_and_sound_that_comes_later() {
    let mut show = Show::new();
    show.tracks(&[(VIDEO, SECOND / 30)], 0, 9 * SECOND, 2 * SECOND);
    show.span(9 * SECOND, 20 * SECOND, SECOND / 30, 2 * SECOND);
    let (validator, _) = show.finish();
    assert!(breaks(&validator, "video").contains(&true));
    let mut show = Show::new();
    show.tracks(&[(AUDIO, SOUND)], 0, 12 * SECOND, SECOND);
    let (validator, _) = show.finish();
    assert!(lengths(&validator, "audio").len() >= 5);
}

#[test]
fn pictures_that_stop_and_come_back() {
    let mut show = Show::new();
    show.broken_promises = 1;
    show.span(0, 9 * SECOND, SECOND / 30, 2 * SECOND);
    show.tracks(&[(AUDIO, SOUND)], 9 * SECOND, 19 * SECOND, SECOND);
    show.span(19 * SECOND, 30 * SECOND, SECOND / 30, 2 * SECOND);
    let (validator, _) = show.finish();
    assert!(validator.segments("audio").len() > 12);
}

#[test]
fn lost_pictures_and_freezes_break_no_promise() {
    for hole in [300, 700, 1_500, 2_300, 2_700, 4_000] {
        let mut show = Show::new();
        show.broken_promises = usize::from(hole > 2_000);
        show.span(0, 9 * SECOND, SECOND / 30, 2 * SECOND);
        let back = 9 * SECOND + hole * MILLI;
        show.tracks(&[(AUDIO, SOUND)], 9 * SECOND, back / SOUND * SOUND, SECOND);
        show.span(back / SOUND * SOUND, 20 * SECOND, SECOND / 30, 2 * SECOND);
        show.finish();
    }
}

#[test]
fn a_broken_pipeline_ends_its_segment() {
    let mut show = Show::new();
    show.span(0, 9 * SECOND, SECOND / 30, 2 * SECOND);
    show.segmenter.handle_discontinuity().unwrap();
    show.work();
    show.span(10 * SECOND, 19 * SECOND, SECOND / 30, 2 * SECOND);
    let (validator, _) = show.finish();
    assert_eq!(
        breaks(&validator, "video").iter().filter(|is| **is).count(),
        1
    );
    assert_eq!(breaks(&validator, "video"), breaks(&validator, "audio"));
}

#[test]
fn layers_are_cut_together() {
    let mut show = Show::new();
    show.broken_promises = 1;
    let frame = SECOND / 30;
    show.tracks(
        &[(VIDEO, frame), (LOW, frame), (AUDIO, SOUND)],
        0,
        12 * SECOND,
        2 * SECOND,
    );
    // The lower layer pauses, and comes back within a segment.
    show.span(12 * SECOND, 17 * SECOND, frame, 2 * SECOND);
    show.tracks(
        &[(VIDEO, frame), (LOW, frame), (AUDIO, SOUND)],
        17 * SECOND,
        26 * SECOND,
        2 * SECOND,
    );
    let (validator, _) = show.finish();
    let (high, low) = (validator.segments("video"), validator.segments("video1"));
    let common: Vec<_> = low
        .iter()
        .filter_map(|one| Some((high.iter().find(|two| two.number == one.number)?, one)))
        .collect();
    assert!(common.len() >= 9, "{}", common.len());
    for (high, low) in &common[..6] {
        assert!((high.date.unwrap_or(0.0) - low.date.unwrap_or(0.0)).abs() < 0.001);
        assert_eq!(high.duration, low.duration);
    }
    assert!(!breaks(&validator, "video").contains(&true));
}

#[test]
fn a_second_coding_of_the_sound_joins_and_leaves() {
    let mut show = Show::new();
    show.broken_promises = 1;
    let frame = SECOND / 30;
    show.recording.offer(
        AAC,
        Some(Offer {
            codecs: "mp4a.40.2".into(),
            channels: 2,
            bits_per_second: 128_000,
        }),
    );
    show.span(0, 9 * SECOND, frame, 2 * SECOND);
    assert!(show.validator.segments("aac").is_empty());
    let aac = 1024 * SECOND / 48_000;
    show.tracks(
        &[(VIDEO, frame), (AUDIO, SOUND), (AAC, aac)],
        9 * SECOND,
        17 * SECOND,
        2 * SECOND,
    );
    show.segmenter.handle_leave(AAC);
    show.span(17 * SECOND, 23 * SECOND, frame, 2 * SECOND);
    show.tracks(
        &[(VIDEO, frame), (AUDIO, SOUND), (AAC, aac)],
        23 * SECOND,
        35 * SECOND,
        2 * SECOND,
    );
    let (validator, parts) = show.finish();
    assert!(!breaks(&validator, "aac").contains(&true));
    // From the first cut after it came: the keyframe at 10 s is too early for one.
    let first = parts.iter().find(|part| part.rendition == AAC).unwrap();
    let same = parts
        .iter()
        .find(|part| part.rendition == VIDEO && part.segment == first.segment)
        .unwrap();
    assert!(
        (first.time - same.time).abs() < 2 * aac,
        "{} {}",
        first.time,
        same.time
    );
    let segments = validator.segments("aac");
    assert!(segments.len() >= 7, "{}", segments.len());
}

/// Nothing that comes in any order breaks a rule.
#[test]
fn random_publishers_keep_the_rules() {
    for start in 0..8_u64 {
        let mut seed = start + 1;
        let mut random = |below: i64| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as i64 % below
        };
        let mut show = Show::with_parts(Duration::from_millis(200 + random(800) as u64));
        show.broken_promises = 100;
        let mut time = 0;
        for _ in 0..12 {
            let length = (1 + random(7)) * SECOND;
            let frame = SECOND / [5, 15, 24, 25, 30, 50, 60][random(7) as usize];
            let gop = (500 + random(4_500)) * MILLI;
            let all = [
                (VIDEO, frame),
                (AUDIO, SOUND),
                (LOW, frame),
                (AAC, 1024 * SECOND / 48_000),
            ];
            let chosen: Vec<_> = all.into_iter().filter(|_| random(4) > 0).collect();
            if !chosen.is_empty() {
                show.tracks(&chosen, time, time + length, gop);
            }
            time += length;
            match random(8) {
                0 => show.publish_again(),
                1 => show.formats[0] = picture(320 + random(900) as u32),
                2 => time += random(5_000) * MILLI,
                3 => {
                    show.segmenter.handle_discontinuity().unwrap();
                    show.work();
                }
                4 => show.segmenter.handle_leave(AAC),
                _ => {}
            }
        }
        show.finish();
    }
}
