//! VP8 becomes H264 when that is allowed.

use super::*;

pub(super) fn vp8() -> Vec<Recorded> {
    video(
        "vp8enc deadline=1 cpu-used=8 keyframe-max-dist=50 lag-in-frames=0 target-bitrate=500000",
        "rtpvp8pay picture-id-mode=2",
        320,
    )
}

#[test]
fn vp8_becomes_h264_with_the_same_keyframes() {
    let mut bench = Bench::new();
    bench.settings.transcodes = Transcodes::new(1);
    let tracks = vec![info(VIDEO, Codec::Vp8), info(AUDIO, Codec::Opus)];
    let all = marked(Codec::Vp8, packets(vec![vp8(), opus()]));
    bench.publish(tracks, &all);
    let directory = bench.write("vp8");
    let pictures = probe(&bench, &directory, "video", "h264");
    assert_eq!(pictures.len(), FRAMES);
    assert_gapless(&pictures);
    let keyframes: Vec<_> = (0..FRAMES).filter(|at| pictures[*at].keyframe).collect();
    assert_eq!(keyframes, [0, 50, 100]);
    decode(&directory, "video");
    assert_eq!(durations(&bench.text("video.m3u8")), [2.0, 2.0, 2.0]);
    assert_eq!(
        bench.settings.transcodes.running(),
        0,
        "the right is given back"
    );
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn vp8_that_begins_with_half_a_keyframe_has_all_that_follow() {
    let mut bench = Bench::new();
    bench.settings.transcodes = Transcodes::new(1);
    let mut all = marked(Codec::Vp8, packets(vec![vp8()]));
    let first = all[0].timestamp;
    let end = all
        .iter()
        .position(|packet| packet.timestamp != first)
        .unwrap();
    assert!(end > 1, "the keyframe has {end} packets");
    all.remove(end - 1);
    bench.publish(vec![info(VIDEO, Codec::Vp8)], &all);
    let directory = bench.write("vp8-half");
    let pictures = probe(&bench, &directory, "video", "h264");
    let keyframes: Vec<_> = (0..pictures.len())
        .filter(|at| pictures[*at].keyframe)
        .collect();
    assert_eq!((pictures.len(), keyframes), (100, vec![0, 50]));
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn one_stream_too_many_is_refused_with_the_setting_to_change() {
    let mut bench = Bench::new();
    bench.settings.transcodes = Transcodes::new(1);
    let taken = bench.settings.transcodes.take().unwrap();
    let feed = bench.start(vec![info(VIDEO, Codec::Vp8)]);
    assert_eq!(feed.layers(), 1, "no more than the best layer is encoded");
    feed.finish();
    drop(taken);
    let Resource::Unavailable(reason) = bench.get("index.m3u8") else {
        panic!("not refused");
    };
    assert!(reason.contains("hls.vp8_transcodes"), "{reason}");
}
