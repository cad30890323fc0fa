//! The transcoding ladder: rungs beside the publisher's picture, cut with it, and gone when they fail.

use super::*;
use crate::egress::hls::{Format, Sample};
use crate::media::cpu::CpuTime;
use crate::media::hls::ladder::{Ladder, LadderSettings, Rung};

/// Rungs of 120 and 90 lines.
fn settings() -> LadderSettings {
    let rung = |height, bitrate| Rung { height, bitrate };
    LadderSettings {
        every: vec![rung(120, 200_000), rung(90, 100_000)],
        streams: Transcodes::new(1),
        hardware: false,
        ..LadderSettings::default()
    }
}

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.settings.ladder = settings();
    bench
}

/// Publishes as fast as the rungs follow, where they run: what comes half a second late of them is not waited
/// for.
fn publish(feed: &HlsFeed, packets: &[Arc<Packet>]) {
    let before = feed.figures().ladder_pictures;
    let mut sent = 0;
    for packet in packets {
        push(feed, std::slice::from_ref(packet));
        sent += u64::from(packet.track == VIDEO && packet.marker);
        let begun = Instant::now();
        let is_behind = |figures: Figures| {
            let given = figures.ladder_pictures - before;
            sent + figures.ladder_waiting > given + LAG
        };
        while is_behind(feed.figures()) {
            let in_time = begun.elapsed_within(Duration::from_secs(20));
            assert!(in_time, "nothing comes of the rungs");
            std::thread::yield_now();
        }
    }
}

/// So many pictures may be in the pipelines.
const LAG: u64 = 4;

fn times(pictures: &[Probed]) -> Vec<(i64, bool)> {
    pictures.iter().map(|one| (one.pts, one.keyframe)).collect()
}

fn rungs_are_cut_with(name: &str, codec: Codec, probed: &str, recording: Vec<Recorded>) {
    let mut bench = bench();
    bench.settings.transcodes = Transcodes::new(1);
    let feed = bench.start(vec![info(VIDEO, codec), info(AUDIO, Codec::Opus)]);
    publish(&feed, &marked(codec, packets(vec![recording, opus()])));
    let figures = feed.figures();
    assert!(figures.ladder > Duration::ZERO, "{figures:?}");
    assert_eq!((figures.rungs, figures.ladder_failures), (2, 0));
    feed.finish();

    let index = bench.text("index.m3u8");
    let variants: Vec<_> = index
        .lines()
        .filter(|line| line.starts_with("#EXT-X-STREAM-INF:"))
        .collect();
    for size in [
        "RESOLUTION=320x240",
        "RESOLUTION=160x120",
        "RESOLUTION=120x90",
    ] {
        assert!(variants.iter().any(|line| line.contains(size)), "{index}");
    }
    for variant in variants {
        assert!(variant.contains("FRAME-RATE=25"), "{index}");
        let is_rung = !variant.contains("320x240");
        assert!(!is_rung || variant.contains("CODECS=\"avc1.4d"), "{index}");
    }
    let lists = ["video", "video1", "video2"];
    let directory = bench.write(name);
    let pictures = lists.map(|kind| {
        let coded = if kind == "video" { probed } else { "h264" };
        let pictures = probe(&bench, &directory, kind, coded);
        decode(&directory, kind);
        assert_gapless(&pictures);
        let list = bench.text(&format!("{kind}.m3u8"));
        assert_eq!(durations(&list), [2.0, 2.0, 2.0], "{list}");
        assert_eq!(list.matches("#EXT-X-DISCONTINUITY\n").count(), 0, "{list}");
        pictures
    });
    assert_eq!(pictures[0].len(), FRAMES);
    for rung in &pictures[1..] {
        assert_eq!(times(rung), times(&pictures[0]));
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn rungs_of_h264_are_cut_with_it() {
    rungs_are_cut_with("ladder-h264", Codec::H264, "h264", h264());
}

#[test]
fn rungs_of_h265_are_cut_with_it() {
    let encoder = "x265enc tune=zerolatency speed-preset=ultrafast bitrate=500 key-int-max=50";
    let recording = video(encoder, "rtph265pay config-interval=-1", 320);
    rungs_are_cut_with("ladder-h265", Codec::H265, "hevc", recording);
}

#[test]
fn rungs_of_vp9_are_cut_with_it() {
    let encoder =
        "vp9enc deadline=1 cpu-used=8 keyframe-max-dist=50 lag-in-frames=0 target-bitrate=500000";
    let recording = video(encoder, "rtpvp9pay picture-id-mode=2", 320);
    rungs_are_cut_with("ladder-vp9", Codec::Vp9, "vp9", recording);
}

#[test]
fn rungs_of_av1_are_cut_with_it() {
    rungs_are_cut_with("ladder-av1", Codec::Av1, "av1", av1());
}

#[test]
fn rungs_of_vp8_are_cut_with_what_is_made_of_it() {
    rungs_are_cut_with("ladder-vp8", Codec::Vp8, "h264", vp8::vp8());
}

#[test]
fn a_broken_ladder_does_not_disturb_the_publisher_and_comes_back() {
    let bench = bench();
    let all = packets(vec![h264(), opus()]);
    let feed = bench.start(vec![info(VIDEO, Codec::H264), info(AUDIO, Codec::Opus)]);
    publish(&feed, &all);
    feed.break_what(Broken::Ladder);
    let begun = Instant::now();
    let six = Duration::from_secs(6);
    let mut round = 0;
    // It comes back with a keyframe after the pause.
    while feed.figures().ladder_failures == 0 || feed.figures().rungs == 0 {
        round += 1;
        assert!(
            begun.elapsed_within(Duration::from_secs(20)),
            "it did not start anew"
        );
        publish(&feed, &again(&all, round, six));
    }
    for _ in 0..2 {
        round += 1;
        publish(&feed, &again(&all, round, six));
    }
    assert_eq!(feed.figures().ladder_failures, 1);
    feed.finish();
    println!(
        "{} {} {}",
        bench.text("video.m3u8"),
        bench.text("video1.m3u8"),
        bench.text("video2.m3u8")
    );
    let list = bench.text("video.m3u8");
    assert!(
        durations(&list).iter().all(|length| *length == 2.0),
        "{list}"
    );
    assert_eq!(list.matches("#EXT-X-DISCONTINUITY\n").count(), 0, "{list}");
    let index = bench.text("index.m3u8");
    for rung in ["video1", "video2"] {
        assert!(index.contains(&format!("{rung}.m3u8")), "{index}");
        let rung = bench.text(&format!("{rung}.m3u8"));
        let number = |list: &str| {
            list.lines()
                .rfind(|line| line.ends_with(".m4s"))
                .map(|line| line.split_once('-').unwrap().1.to_owned())
        };
        assert_eq!(number(&rung), number(&list), "{rung}");
    }
}

/// The publisher turns to another size after six seconds.
fn publish_two_sizes(bench: &Bench, width: u32, height: u32) {
    let sized = |width, height| {
        let source = format!(
            "videotestsrc num-buffers={FRAMES} ! video/x-raw,format=I420,width={width},height={height},framerate=25/1"
        );
        let encoder = "x264enc tune=zerolatency speed-preset=ultrafast bitrate=500 key-int-max=50 ! h264parse";
        let payloader = "rtph264pay aggregate-mode=zero-latency config-interval=-1 mtu=1200 pt=96 \
            seqnum-offset=0 timestamp-offset=0";
        packets(vec![record(
            VIDEO,
            &format!("{source} ! {encoder} ! {payloader}"),
        )])
    };
    let first = sized(320, 240);
    let second = sized(width, height);
    let (start, next) = (first[0].received, second[0].received);
    let later = second.iter().map(|packet| {
        Arc::new(Packet {
            sequence: packet.sequence + first.len() as u64,
            timestamp: packet.timestamp + 6 * 90_000,
            received: start + Duration::from_secs(6) + packet.received.duration_since(next),
            ..Packet::clone(packet)
        })
    });
    let feed = bench.start(vec![info(VIDEO, Codec::H264)]);
    publish(&feed, &first);
    publish(&feed, &later.collect::<Vec<_>>());
    assert_eq!(feed.figures().ladder_failures, 0);
    feed.finish();
}

#[test]
fn the_same_rungs_of_another_size_go_on_without_a_hole() {
    let bench = bench();
    publish_two_sizes(&bench, 640, 480);
    let index = bench.text("index.m3u8");
    for size in ["640x480", "160x120", "120x90"] {
        assert!(index.contains(&format!("RESOLUTION={size}")), "{index}");
    }
    for list in ["video", "video1", "video2"] {
        let text = bench.text(&format!("{list}.m3u8"));
        assert_eq!(durations(&text), [2.0; 6], "{text}");
        assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{text}");
    }
}

#[test]
fn another_shape_of_the_publisher_begins_other_rungs() {
    let bench = bench();
    publish_two_sizes(&bench, 640, 240);
    let index = bench.text("index.m3u8");
    for size in ["640x240", "320x120", "240x90"] {
        assert!(index.contains(&format!("RESOLUTION={size}")), "{index}");
    }
    let directory = bench.write("ladder-shape");
    for rung in ["video1", "video2"] {
        assert_gapless(&probe(&bench, &directory, rung, "h264"));
        decode(&directory, rung);
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_simulcast_a_small_picture_and_one_stream_too_many_have_no_rungs() {
    let rungs = |bench: &Bench, is_layered: bool| {
        let feed = bench.start(vec![info(VIDEO, Codec::H264)]);
        if is_layered {
            assert!(feed.set_layered(Layers::Sources));
        }
        push(&feed, &packets(vec![h264()]));
        let figures = feed.figures();
        feed.finish();
        assert!(!bench.text("index.m3u8").contains("video1"));
        figures.rungs
    };
    assert_eq!(rungs(&bench(), true), 0);
    let mut high = bench();
    high.settings
        .ladder
        .every
        .iter_mut()
        .for_each(|rung| rung.height += 240);
    assert_eq!(rungs(&high, false), 0);
    assert_eq!(high.settings.ladder.streams.running(), 0);
    let mut taken = bench();
    taken.settings.ladder.streams = Transcodes::new(0);
    assert_eq!(rungs(&taken, false), 0);
}

/// The ladder alone, for the passage of time.
struct Alone {
    ladder: Ladder,
    pictures: Vec<Sample>,
}

impl Alone {
    fn new() -> Self {
        let bench = Bench::new();
        let (wake, cpu) = (Wake::default(), CpuTime::default());
        let ladder = Ladder::new(&bench.stream, Codec::Vp9, &settings(), &wake, &cpu).unwrap();
        let format = Arc::new(Format::vp9(0, 8, 1, 320, 240).unwrap());
        let units = record(
            VIDEO,
            "videotestsrc num-buffers=20 ! video/x-raw,format=I420,width=320,height=240,framerate=25/1 \
             ! vp9enc deadline=1 cpu-used=8 lag-in-frames=0",
        );
        let pictures = units.iter().enumerate().map(|(number, unit)| Sample {
            dts: number as i64 * 40_000_000,
            pts: number as i64 * 40_000_000,
            duration: 40_000_000,
            keyframe: number == 0,
            data: unit.rtp.clone().into(),
            format: Arc::clone(&format),
        });
        Self {
            ladder,
            pictures: pictures.collect(),
        }
    }
}

#[test]
fn a_ladder_that_gives_nothing_is_stopped_and_started_anew_after_a_pause() {
    let Alone {
        mut ladder,
        pictures,
    } = Alone::new();
    let now = Instant::now();
    let at = |millis| now + Duration::from_millis(millis);
    assert!(!ladder.handle_samples(&pictures[1..], now));
    assert_eq!(ladder.running(), 0, "it begins with a keyframe");
    assert!(!ladder.handle_samples(&pictures[..16], now));
    assert_eq!(ladder.running(), 2);
    assert!(
        !ladder.handle_timeout(at(9_000)),
        "a decoder may hold so many"
    );
    assert!(!ladder.handle_samples(&pictures[16..], now));
    assert!(!ladder.handle_timeout(at(5_000)));
    // Nobody took what it made: to the ladder that is as if it had made nothing.
    assert!(ladder.handle_timeout(at(5_001)));
    assert_eq!((ladder.running(), ladder.failures()), (0, 1));
    ladder.wait_for_end();
    assert!(!ladder.handle_samples(&pictures, at(6_000)));
    assert_eq!(ladder.running(), 0, "it pauses");
    assert!(!ladder.handle_samples(&pictures, at(6_001)));
    assert_eq!(ladder.running(), 2);
}
