use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::egress::hls::Format;
use mp4_atom::{Any, Decode};

const SECOND: i64 = 1_000_000_000;
const WALL: i64 = 1_750_000_000 * SECOND;
const FRAME: i64 = SECOND / 25;
const SOUND: i64 = SECOND / 50;

const VIDEO: RenditionId = RenditionId::Video(0);
const AUDIO: RenditionId = RenditionId::Audio;

/// A segment of all renditions, put together from its parts.
#[derive(Debug, Default)]
struct Segment {
    discontinuity: bool,
    time: i64,
    video: Option<Media>,
    audio: Option<Media>,
}

#[derive(Debug)]
struct Media {
    init: Arc<Init>,
    duration: Duration,
    samples: usize,
    independent: bool,
    time: i64,
    parts: Vec<Part>,
}

struct Bench {
    segmenter: Segmenter,
    video: Arc<Format>,
    audio: Arc<Format>,
    parts: Vec<Part>,
}

fn settings() -> SegmenterSettings {
    SegmenterSettings {
        target: Duration::from_secs(2),
        part: Duration::from_millis(500),
        video: true,
        terms: None,
        after: None,
    }
}

impl Bench {
    fn new() -> Self {
        Self::with(settings())
    }

    fn with(settings: SegmenterSettings) -> Self {
        let mut segmenter = Segmenter::new(settings);
        segmenter.handle_walls(walls(0));
        Self {
            segmenter,
            video: Arc::new(Format::vp9(0, 8, 1, 320, 240).unwrap()),
            audio: Arc::new(Format::opus(2)),
            parts: Vec::new(),
        }
    }

    fn picture(&mut self, time: i64, keyframe: bool) {
        let format = Arc::clone(&self.video);
        let data = Bytes::from_static(b"picture");
        self.sample(Sample {
            dts: time,
            pts: time,
            duration: FRAME,
            keyframe,
            data,
            format,
        });
    }

    fn sound(&mut self, time: i64) {
        let format = Arc::clone(&self.audio);
        let data = Bytes::from_static(b"sound");
        self.sample(Sample {
            dts: time,
            pts: time,
            duration: SOUND,
            keyframe: true,
            data,
            format,
        });
    }

    fn sample(&mut self, sample: Sample) {
        let rendition = match sample.format.kind {
            MediaKind::Video => VIDEO,
            MediaKind::Audio => AUDIO,
        };
        self.sample_of(rendition, sample);
    }

    fn sample_of(&mut self, rendition: RenditionId, sample: Sample) {
        self.segmenter.handle_sample(rendition, sample);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(part) = self.segmenter.poll_part().unwrap() {
            self.parts.push(part);
        }
    }

    fn finish(&mut self) {
        self.segmenter.handle_end();
        self.drain();
    }

    fn end(mut self) -> Vec<Segment> {
        self.finish();
        segments(self.parts)
    }

    /// Media of a span of time; a keyframe every `gop`, tracks left out as `video` and `audio` say.
    fn span(&mut self, from: i64, to: i64, gop: i64, video: bool, audio: bool) {
        let mut time = from;
        while time < to {
            if audio && time % SOUND == 0 {
                self.sound(time);
            }
            if video && time % FRAME == 0 {
                self.picture(time, (time - from) % gop == 0);
            }
            time += SOUND;
        }
    }
}

fn walls(skew: i64) -> Walls {
    let mut walls = Walls::default();
    walls.set(VIDEO, Some(WALL));
    walls.set(AUDIO, Some(WALL + skew));
    walls.reported = true;
    walls
}

/// Checks what is true of all parts, and puts segments together.
fn segments(parts: Vec<Part>) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    for part in parts {
        let target = part.terms.part_target;
        assert!(
            part.duration <= target + Duration::from_micros(100),
            "{part:?}"
        );
        let number = part.segment as usize;
        if segments.len() <= number {
            segments.resize_with(number + 1, Segment::default);
        }
        let segment = &mut segments[number];
        segment.discontinuity |= part.discontinuity;
        let slot = match part.rendition.kind() {
            MediaKind::Video => &mut segment.video,
            MediaKind::Audio => &mut segment.audio,
        };
        match slot {
            None => {
                *slot = Some(Media {
                    init: Arc::clone(&part.init),
                    duration: part.duration,
                    samples: part.samples,
                    independent: part.independent,
                    time: part.time,
                    parts: vec![part],
                });
            }
            Some(media) => {
                assert!(
                    !media.parts.last().unwrap().last,
                    "a part after the last: {part:?}"
                );
                assert!(Arc::ptr_eq(&media.init, &part.init));
                media.duration += part.duration;
                media.samples += part.samples;
                media.parts.push(part);
            }
        }
    }
    for segment in &mut segments {
        let both = [&segment.video, &segment.audio].into_iter().flatten();
        segment.time = both.clone().map(|media| media.time).min().unwrap();
        for media in both {
            assert!(media.parts.last().unwrap().last, "{media:?}");
            for part in &media.parts[..media.parts.len() - 1] {
                let least = part.terms.part_target.mul_f64(0.85);
                assert!(part.duration >= least, "{:?}", lengths_of(media));
            }
        }
    }
    segments
}

fn lengths_of(media: &Media) -> Vec<Duration> {
    media.parts.iter().map(|part| part.duration).collect()
}

fn lengths(segments: &[Segment]) -> Vec<(Option<u64>, Option<u64>)> {
    let millis = |media: &Option<Media>| {
        media
            .as_ref()
            .map(|media| media.duration.as_millis() as u64)
    };
    segments
        .iter()
        .map(|segment| (millis(&segment.video), millis(&segment.audio)))
        .collect()
}

fn discontinuities(segments: &[Segment]) -> Vec<bool> {
    segments
        .iter()
        .map(|segment| segment.discontinuity)
        .collect()
}

/// Decode time and length of a fragment, in ticks.
fn extent_of(part: &Part) -> (u64, u64) {
    let Any::Moof(moof) = Any::decode(&mut &part.body[..]).unwrap() else {
        panic!("no moof");
    };
    let traf = &moof.traf[0];
    let samples = traf.trun[0].samples.iter();
    let length = samples
        .map(|sample| u64::from(sample.duration.unwrap()))
        .sum();
    (traf.tfdt.as_ref().unwrap().base_media_decode_time, length)
}

/// The same of a segment, whose parts follow each other.
fn extent(media: &Media) -> (u64, u64) {
    let all: Vec<_> = media.parts.iter().map(extent_of).collect();
    for pair in all.windows(2) {
        assert_eq!(pair[0].0 + pair[0].1, pair[1].0);
    }
    (all[0].0, all.iter().map(|extent| extent.1).sum())
}

fn assert_seamless(media: &[&Media]) {
    for pair in media.windows(2) {
        let ((start, length), (next, _)) = (extent(pair[0]), extent(pair[1]));
        assert_eq!(start + length, next);
    }
}

#[test]
fn audio_is_cut_where_video_is() {
    let mut bench = Bench::new();
    bench.span(0, 6 * SECOND, 2 * SECOND, true, true);
    let segments = bench.end();
    assert_eq!(lengths(&segments), [(Some(2000), Some(2000)); 3]);
    assert_eq!(discontinuities(&segments), [true, false, false]);
    assert_eq!(segments[1].time, WALL + 2 * SECOND);
    assert!(
        segments
            .iter()
            .all(|segment| segment.video.as_ref().unwrap().independent)
    );
    let video: Vec<_> = segments
        .iter()
        .filter_map(|segment| segment.video.as_ref())
        .collect();
    let audio: Vec<_> = segments
        .iter()
        .filter_map(|segment| segment.audio.as_ref())
        .collect();
    assert_seamless(&video);
    assert_seamless(&audio);
    assert_eq!(
        (extent(video[0]), extent(audio[0])),
        ((90_000, 180_000), (48_000, 96_000))
    );
    assert!(Arc::ptr_eq(&video[0].init, &video[2].init));
}

#[test]
fn a_segment_goes_on_to_a_late_keyframe() {
    let mut bench = Bench::new();
    bench.span(0, 9 * SECOND, 3 * SECOND, true, false);
    assert!(bench.segmenter.poll_keyframe_request());
    assert!(!bench.segmenter.poll_keyframe_request());
    assert_eq!(lengths(&bench.end()), [(Some(3000), None); 3]);
}

#[test]
fn a_keyframe_that_was_asked_for_may_come_early() {
    let mut bench = Bench::new();
    bench.span(0, 1720 * SECOND / 1000 + FRAME, 60 * SECOND, true, false);
    assert!(bench.segmenter.poll_keyframe_request());
    bench.span(1800 * SECOND / 1000, 3 * SECOND, 60 * SECOND, true, false);
    assert_eq!(lengths(&bench.end())[0], (Some(1800), None));
}

#[test]
fn the_parts_of_a_segment_are_as_even_as_the_one_before_allows() {
    let mut bench = Bench::new();
    bench.span(0, 6 * 48 * FRAME, 48 * FRAME, true, true);
    let segments = bench.end();
    let pictures = |segment: &Segment| -> Vec<_> {
        let video = segment.video.as_ref().unwrap();
        video.parts.iter().map(|part| part.samples).collect()
    };
    // Nobody knew how long the first would be.
    assert_eq!(pictures(&segments[0]), [13, 12, 13, 10]);
    for segment in &segments[1..] {
        assert_eq!(pictures(segment), [12, 12, 12, 12]);
        let sound = lengths_of(segment.audio.as_ref().unwrap());
        assert!(
            sound
                .iter()
                .all(|length| *length == Duration::from_millis(480)),
            "{sound:?}"
        );
    }
}

#[test]
fn a_last_part_of_a_picture_is_kept_back_for_a_moment() {
    let mut bench = Bench::new();
    bench.span(0, 4 * SECOND, 2 * SECOND, true, true);
    // The keyframe is late by two pictures, behind a part as long as it may be.
    let end = 6 * SECOND + 2 * FRAME;
    bench.span(4 * SECOND, end, 60 * SECOND, true, true);
    let of_last = |bench: &Bench, rendition| {
        let of = |part: &&Part| part.segment == 2 && part.rendition == rendition;
        bench.parts.iter().filter(of).count()
    };
    bench.span(end, end + SECOND / 10, 60 * SECOND, true, true);
    assert_eq!((of_last(&bench, VIDEO), of_last(&bench, AUDIO)), (4, 4));
    bench.span(end + SECOND / 10, end + 8 * FRAME, 60 * SECOND, true, true);
    assert_eq!((of_last(&bench, VIDEO), of_last(&bench, AUDIO)), (5, 5));
    let (waiting, following) = (bench.parts.len(), end + 8 * FRAME);
    bench.span(following, end + 2 * SECOND, 60 * SECOND, true, true);
    assert!(bench.parts.len() > waiting);
    assert_eq!(lengths(&bench.end())[2], (Some(2080), Some(2080)));
}

#[test]
fn the_end_waits_for_no_last_part() {
    let mut bench = Bench::new();
    bench.span(0, 4 * SECOND, 2 * SECOND, true, false);
    let end = 6 * SECOND + 2 * FRAME;
    bench.span(4 * SECOND, end, 60 * SECOND, true, false);
    bench.picture(end, true);
    let before = bench.parts.len();
    bench.finish();
    assert_eq!(bench.parts.len(), before + 2);
}

#[test]
fn without_keyframes_memory_is_bounded() {
    let mut bench = Bench::new();
    bench.span(0, 40 * SECOND, 60 * SECOND, true, true);
    let segments = bench.end();
    assert_eq!(lengths(&segments)[0], (Some(10_000), Some(10_000)));
    assert_eq!(
        segments
            .iter()
            .map(|segment| segment.video.as_ref().unwrap().independent)
            .collect::<Vec<_>>(),
        [true, false, false, false]
    );
}

#[test]
fn audio_that_comes_later_joins_with_a_discontinuity() {
    let mut bench = Bench::new();
    bench.span(0, 4 * SECOND, 2 * SECOND, true, false);
    bench.span(4 * SECOND, 10 * SECOND, 2 * SECOND, true, true);
    let segments = bench.end();
    assert_eq!(
        lengths(&segments)[..2],
        [(Some(2000), None), (Some(2000), None)]
    );
    assert_eq!(lengths(&segments)[2..], [(Some(2000), Some(2000)); 3]);
    assert_eq!(
        discontinuities(&segments),
        [true, false, true, false, false]
    );
}

#[test]
fn a_gap_of_audio_is_filled_with_silence() {
    let mut bench = Bench::new();
    bench.span(0, SECOND, 2 * SECOND, true, true);
    for time in 25..275 {
        bench.picture(time * FRAME, time % 50 == 0);
    }
    bench.span(11 * SECOND, 13 * SECOND, SECOND, true, true);
    let segments = bench.end();
    assert_eq!(
        discontinuities(&segments)
            .iter()
            .filter(|new| **new)
            .count(),
        1
    );
    let audio: Vec<_> = segments
        .iter()
        .map(|segment| segment.audio.as_ref().unwrap())
        .collect();
    assert_seamless(&audio);
    assert!(
        audio[..6].iter().all(|media| media.samples == 100),
        "{:?}",
        lengths(&segments)
    );
}

#[test]
fn a_gap_over_a_cut_is_filled_on_both_sides() {
    let mut bench = Bench::new();
    let mut time = 0;
    while time < 6 * SECOND {
        if time % FRAME == 0 {
            bench.picture(time, time % (2 * SECOND) == 0);
        }
        if !(SECOND..3 * SECOND).contains(&time) {
            bench.sound(time);
        }
        time += SOUND;
    }
    let segments = bench.end();
    assert_eq!(lengths(&segments), [(Some(2000), Some(2000)); 3]);
}

#[test]
fn a_gap_after_a_long_frame_is_filled_too() {
    const LONG: i64 = 120 * SECOND / 1000;
    let mut bench = Bench::new();
    // 100 ms are missing after eight of them.
    let times = (0..33).map(|index| index * LONG + if index < 8 { 0 } else { SECOND / 10 });
    let mut times = times.peekable();
    for index in 0..100 {
        while let Some(time) = times.next_if(|time| *time <= index * FRAME) {
            let format = Arc::clone(&bench.audio);
            bench.sample(Sample {
                dts: time,
                pts: time,
                duration: LONG,
                keyframe: true,
                data: Bytes::from_static(b"sound"),
                format,
            });
        }
        bench.picture(index * FRAME, index % 50 == 0);
    }
    let segments = bench.end();
    // Frames of 960 ms, silence of 100 ms, and frames of 960 ms.
    assert_eq!(segments[0].audio.as_ref().unwrap().samples, 8 + 5 + 8);
}

#[test]
fn audio_alone_is_cut_by_its_own_clock() {
    let mut bench = Bench::new();
    bench.span(0, 7 * SECOND, SECOND, false, true);
    let segments = bench.end();
    assert_eq!(lengths(&segments)[..3], [(None, Some(2000)); 3]);
    assert_eq!(discontinuities(&segments), [true, false, false, false]);
}

#[test]
fn video_that_stops_leaves_audio_and_may_come_back() {
    let mut bench = Bench::new();
    bench.span(0, 3 * SECOND, 2 * SECOND, true, true);
    bench.span(3 * SECOND, 11 * SECOND, SECOND, false, true);
    bench.span(11 * SECOND, 15 * SECOND, 2 * SECOND, true, true);
    let segments = bench.end();
    let kinds: Vec<_> = segments
        .iter()
        .map(|s| (s.video.is_some(), s.audio.is_some()))
        .collect();
    assert_eq!(kinds[..3], [(true, true), (true, true), (false, true)]);
    assert_eq!(kinds[kinds.len() - 2..], [(true, true); 2]);
    assert_eq!(
        discontinuities(&segments)
            .iter()
            .filter(|new| **new)
            .count(),
        3
    );
}

#[test]
fn another_format_begins_at_once() {
    let mut bench = Bench::new();
    bench.span(0, 3 * SECOND, 2 * SECOND, true, true);
    bench.video = Arc::new(Format::vp9(0, 8, 1, 640, 480).unwrap());
    bench.span(3 * SECOND, 5 * SECOND, 2 * SECOND, true, true);
    let segments = bench.end();
    assert_eq!(
        lengths(&segments),
        [
            (Some(2000), Some(2000)),
            (Some(1000), Some(1000)),
            (Some(2000), Some(2000))
        ]
    );
    assert_eq!(discontinuities(&segments), [true, false, true]);
    assert_eq!(
        segments[2].video.as_ref().unwrap().init.format.size,
        (640, 480)
    );
}

#[test]
fn another_alignment_begins_at_the_next_cut() {
    let mut bench = Bench::new();
    bench.span(0, 3 * SECOND, 2 * SECOND, true, true);
    bench.segmenter.handle_walls(walls(SECOND / 5));
    bench.span(3 * SECOND, 4 * SECOND, 2 * SECOND, true, true);
    bench.span(4 * SECOND, 8 * SECOND, 2 * SECOND, true, true);
    let segments = bench.end();
    // The second span begins with a keyframe too early for a cut.
    assert_eq!(discontinuities(&segments), [true, false, true, false]);
    let (video, audio) = (
        segments[2].video.as_ref().unwrap(),
        segments[2].audio.as_ref().unwrap(),
    );
    let lag = extent(audio).0 as f64 / 48_000.0 - extent(video).0 as f64 / 90_000.0;
    assert!(lag.abs() < 0.201, "{lag}");
}

#[test]
fn an_alignment_that_comes_before_the_first_part_needs_no_discontinuity() {
    let mut bench = Bench::new();
    let mut arrivals = walls(-SECOND / 2);
    arrivals.reported = false;
    bench.segmenter.handle_walls(arrivals);
    bench.span(0, 2 * SECOND / 5, 2 * SECOND, true, true);
    bench.segmenter.handle_walls(walls(SECOND / 10));
    let mut time = 2 * SECOND / 5;
    while time < 6 * SECOND {
        if time % FRAME == 0 {
            bench.picture(time, time % (2 * SECOND) == 0);
        }
        bench.sound(time);
        time += SOUND;
    }
    let segments = bench.end();
    assert_eq!(discontinuities(&segments), [true, false, false]);
    assert_eq!(lengths(&segments)[0], (Some(2000), Some(2000)));
}

#[test]
fn what_goes_back_in_time_is_dropped() {
    let mut bench = Bench::new();
    bench.picture(0, false);
    assert!(bench.segmenter.poll_keyframe_request());
    bench.span(0, 2 * SECOND, 2 * SECOND, true, false);
    bench.picture(SECOND, true);
    bench.span(2 * SECOND, 3 * SECOND, 2 * SECOND, true, false);
    assert_eq!(
        lengths(&bench.end()),
        [(Some(2000), None), (Some(1000), None)]
    );
}

#[test]
fn a_layer_that_comes_back_in_another_format_at_once_does_not_disturb_the_others() {
    const LAYER: RenditionId = RenditionId::Video(1);
    let mut bench = Bench::new();
    let mut walls = walls(0);
    walls.set(LAYER, Some(WALL));
    bench.segmenter.handle_walls(walls);
    let format = |width| Arc::new(Format::vp9(0, 8, 1, width, 120).unwrap());
    let (first, second) = (format(160), format(240));
    let layer = |time: i64, format: &Arc<Format>| Sample {
        dts: time,
        pts: time,
        duration: FRAME,
        keyframe: time % SECOND == 0,
        data: Bytes::from_static(b"picture"),
        format: Arc::clone(format),
    };
    for time in (0..10 * SECOND).step_by(FRAME as usize) {
        bench.picture(time, time % SECOND == 0);
        if time == 2_480_000_000 {
            bench.segmenter.handle_leave(LAYER);
        }
        // It begins anew in the middle of the segment that it left.
        match time {
            ..2_480_000_000 => bench.sample_of(LAYER, layer(time, &first)),
            3_000_000_000.. => bench.sample_of(LAYER, layer(time, &second)),
            _ => {}
        }
    }
    bench.finish();
    let (layers, leader): (Vec<_>, Vec<_>) = bench
        .parts
        .into_iter()
        .partition(|part| part.rendition == LAYER);
    let anew = |part: &&Part| part.discontinuity && part.segment > 0;
    assert_eq!(leader.iter().filter(anew).count(), 0);
    let mut widths: Vec<_> = layers
        .iter()
        .map(|part| (part.segment, part.init.format.size.0))
        .collect();
    widths.dedup();
    assert_eq!(widths, [(0, 160), (1, 160), (3, 240), (4, 240)]);
    assert!(layers.iter().any(|part| part.segment == 1 && part.last));
}

#[test]
fn a_keyframe_is_asked_for_a_layer_and_not_for_what_is_made_of_the_leader() {
    let rendition = RenditionId::Video(1);
    let asks = |derived: &[RenditionId]| {
        let mut bench = Bench::new();
        let mut walls = walls(0);
        walls.set(rendition, Some(WALL));
        bench.segmenter.handle_walls(walls);
        bench.segmenter.set_derived(derived);
        bench.picture(0, true);
        let format = Arc::clone(&bench.video);
        let late = Sample {
            dts: FRAME,
            pts: FRAME,
            duration: FRAME,
            keyframe: false,
            data: Bytes::from_static(b"picture"),
            format,
        };
        bench.sample_of(rendition, late);
        bench.segmenter.poll_keyframe_request()
    };
    assert!(asks(&[]));
    assert!(!asks(&[rendition]));
}

#[test]
fn a_layer_that_joins_late_is_placed_by_the_leader_whatever_is_known_by_then() {
    const LAYER: RenditionId = RenditionId::Video(1);
    let mut bench = Bench::new();
    let format = Arc::new(Format::vp9(0, 8, 1, 160, 120).unwrap());
    for time in (0..10 * SECOND).step_by(FRAME as usize) {
        bench.picture(time, time % SECOND == 0);
        if time >= 3 * SECOND {
            // The clock of both turned out to be another one, which is no reason to place anything anew.
            let mut known = walls(0);
            known.set(VIDEO, Some(WALL - SECOND / 25));
            known.set(AUDIO, Some(WALL - SECOND / 25));
            known.set(LAYER, Some(WALL - SECOND / 25));
            bench.segmenter.handle_walls(known);
            let picture = Sample {
                dts: time,
                pts: time,
                duration: FRAME,
                keyframe: time % SECOND == 0,
                data: Bytes::from_static(b"picture"),
                format: Arc::clone(&format),
            };
            bench.sample_of(LAYER, picture);
        }
    }
    bench.finish();
    let (layer, leader): (Vec<_>, Vec<_>) = bench
        .parts
        .into_iter()
        .partition(|part| part.rendition == LAYER);
    assert!(layer.len() > 5, "{layer:?}");
    // It joins in the middle of a segment.
    let first = layer[0].segment;
    let placed = |parts: &[Part]| -> Vec<_> {
        let whole = parts.iter().filter(|part| part.segment > first);
        whole
            .map(|part| (part.segment, part.independent, extent_of(part)))
            .collect()
    };
    assert_eq!(placed(&layer), placed(&leader));
}

#[test]
fn a_picture_that_comes_sooner_than_foretold_is_not_shown_before_it_is_decoded() {
    let frame = SECOND / 30;
    // Twice as many from within a segment on, also behind the picture that its part went out with.
    for begin in 120..180 {
        let mut bench = Bench::new();
        for index in 0..begin {
            bench.picture(index * frame, index % 60 == 0);
        }
        for index in 0..120 {
            bench.picture(begin * frame + index * frame / 2, index % 60 == 0);
        }
        bench.finish();
        let mut end = 0;
        for part in &bench.parts {
            let Any::Moof(moof) = Any::decode(&mut &part.body[..]).unwrap() else {
                panic!("no moof");
            };
            let mut samples = moof.traf[0].trun[0].samples.iter();
            assert!(samples.all(|sample| sample.cts.unwrap_or(0) >= 0));
            let (start, length) = extent_of(part);
            assert!(start >= end, "{start} is before {end}, from {begin} on");
            end = start + length;
        }
    }
}
