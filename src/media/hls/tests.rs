//! The branch as a whole: RTP made by GStreamer goes in, what comes out is read with ffprobe.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;

use super::inbox::Broken;
use super::*;
use crate::egress::hls::store::Figures;
use crate::egress::hls::validator::Playlist;
use crate::egress::hls::{File, LibrarySettings, Resource};
use crate::rtp::keyframe::starts_keyframe;

const FRAMES: usize = 150;
const VIDEO: TrackId = TrackId(0);
const AUDIO: TrackId = TrackId(1);

/// A recorded packet: its time since the begin of the recording, and what was on the wire.
pub(super) struct Recorded {
    track: TrackId,
    time: Duration,
    pub(super) rtp: Vec<u8>,
}

/// Runs a pipeline that ends in `appsink name=sink` to its end and keeps its RTP packets.
pub(super) fn record(track: TrackId, pipeline: &str) -> Vec<Recorded> {
    crate::media::init().unwrap();
    let pipeline =
        gst::parse::launch(&format!("{pipeline} ! appsink name=sink sync=false")).unwrap();
    let sink = pipeline
        .downcast_ref::<gst::Bin>()
        .unwrap()
        .by_name("sink")
        .unwrap();
    let sink: AppSink = sink.downcast().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut packets = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let segment = sample
            .segment()
            .unwrap()
            .downcast_ref::<gst::ClockTime>()
            .unwrap();
        let mut keep = |buffer: &gst::BufferRef| {
            let time = segment
                .to_running_time(buffer.pts().unwrap())
                .unwrap()
                .into();
            packets.push(Recorded {
                track,
                time,
                rtp: buffer.map_readable().unwrap().to_vec(),
            });
        };
        match sample.buffer_list() {
            Some(list) => list.iter().for_each(keep),
            None => keep(sample.buffer().unwrap()),
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(!packets.is_empty(), "nothing was recorded");
    packets
}

fn video(encoder: &str, payloader: &str, width: u32) -> Vec<Recorded> {
    let source = format!(
        "videotestsrc num-buffers={FRAMES} ! video/x-raw,format=I420,width={width},height=240,framerate=25/1"
    );
    record(
        VIDEO,
        &format!(
            "{source} ! {encoder} ! {payloader} mtu=1200 pt=96 seqnum-offset=65500 timestamp-offset=4294000000"
        ),
    )
}

fn h264() -> Vec<Recorded> {
    video(
        "x264enc tune=zerolatency speed-preset=ultrafast bitrate=500 key-int-max=50 ! h264parse",
        "rtph264pay aggregate-mode=zero-latency config-interval=-1",
        320,
    )
}

fn audio(encoder: &str, payloader: &str) -> Vec<Recorded> {
    let source = "audiotestsrc samplesperbuffer=480 num-buffers=600 ! audio/x-raw,rate=48000,channels=2 ! audioconvert ! audioresample";
    record(
        AUDIO,
        &format!("{source} ! {encoder} ! {payloader} seqnum-offset=9 timestamp-offset=4294900000"),
    )
}

fn opus() -> Vec<Recorded> {
    audio("opusenc", "rtpopuspay")
}

fn info(id: TrackId, codec: Codec) -> TrackInfo {
    TrackInfo {
        id,
        codec,
        fmtp: String::new(),
        channels: if id == AUDIO { 2 } else { 1 },
    }
}

/// Both recordings in the order of their times, as the shard makes packets of them.
fn packets(recordings: Vec<Vec<Recorded>>) -> Vec<Arc<Packet>> {
    let mut all: Vec<_> = recordings.into_iter().flatten().collect();
    all.sort_by_key(|packet| packet.time);
    let start = Instant::now();
    let mut last = HashMap::new();
    all.iter()
        .map(|Recorded { track, time, rtp }| {
            let number = u16::from_be_bytes([rtp[2], rtp[3]]);
            let last: &mut u64 = last.entry(*track).or_insert(0x10000 + u64::from(number));
            *last = last.wrapping_add_signed(i64::from(number.wrapping_sub(*last as u16) as i16));
            Arc::new(Packet {
                track: *track,
                sequence: *last,
                timestamp: u32::from_be_bytes([rtp[4], rtp[5], rtp[6], rtp[7]]),
                marker: rtp[1] & 0x80 != 0,
                payload: rtp[12..].to_vec(),
                ..Packet::empty(start + *time)
            })
        })
        .collect()
}

/// The same with their keyframes marked, as the ingest does it.
fn marked(codec: Codec, mut packets: Vec<Arc<Packet>>) -> Vec<Arc<Packet>> {
    for packet in packets.iter_mut().filter(|packet| packet.track == VIDEO) {
        let keyframe = starts_keyframe(codec, &packet.payload);
        Arc::get_mut(packet).unwrap().keyframe = keyframe;
    }
    packets
}

mod aac;
mod changes;
mod ladder;
mod layers;
mod supervision;
mod vp8;

struct Bench {
    settings: HlsSettings,
    library: Library,
    stream: StreamName,
    asked: Arc<AtomicUsize>,
}

impl Bench {
    fn new() -> Self {
        let stream = "test".parse().unwrap();
        Self {
            settings: HlsSettings::default(),
            library: Library::new(LibrarySettings::default()),
            stream,
            asked: Arc::default(),
        }
    }

    fn start(&self, tracks: Vec<TrackInfo>) -> HlsFeed {
        let asked = Arc::clone(&self.asked);
        HlsBranch::start(
            self.settings.clone(),
            self.stream.clone(),
            tracks,
            &self.library,
            move |track| {
                assert_eq!(track, VIDEO);
                asked.fetch_add(1, Ordering::Relaxed);
            },
        )
    }

    /// Publishes packets as fast as they are taken, and waits for the end of the branch.
    fn publish(&self, tracks: Vec<TrackInfo>, packets: &[Arc<Packet>]) {
        let feed = self.start(tracks);
        push(&feed, packets);
        feed.finish();
    }

    fn text(&self, path: &str) -> String {
        String::from_utf8(self.bytes(path)).unwrap()
    }

    fn bytes(&self, path: &str) -> Vec<u8> {
        match self.get(path) {
            Resource::Playlist(rendered) => rendered.text.to_vec(),
            Resource::Media(media) => media.body.concat(),
            other => panic!("{path}: {other:?}"),
        }
    }

    fn get(&self, path: &str) -> Resource {
        let presentation = self.library.get(&self.stream).unwrap();
        presentation.get(File::of_path(path).unwrap(), Instant::now())
    }

    /// Writes everything that the playlists name to a directory of its own.
    fn write(&self, name: &str) -> PathBuf {
        let directory =
            std::env::temp_dir().join(format!("tidegate-hls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let mut paths = vec!["index.m3u8".to_owned()];
        while let Some(path) = paths.pop() {
            let bytes = self.bytes(&path);
            std::fs::write(directory.join(&path), &bytes).unwrap();
            if path.ends_with(".m3u8") {
                let text = String::from_utf8(bytes).unwrap();
                if path != "index.m3u8" {
                    Playlist::read(&text);
                }
                let quoted = text
                    .split("URI=\"")
                    .skip(1)
                    .filter_map(|rest| rest.split('"').next());
                paths.extend(quoted.map(str::to_owned));
                paths.extend(
                    text.lines()
                        .filter(|line| !line.starts_with('#'))
                        .map(str::to_owned),
                );
            }
        }
        directory
    }
}

fn push(feed: &HlsFeed, packets: &[Arc<Packet>]) {
    for packet in packets {
        while !feed.push(Line::MAIN, packet) {
            std::thread::yield_now();
        }
    }
}

/// One line of ffprobe: pts, dts, duration (ticks), flags.
#[derive(Debug, PartialEq)]
struct Probed {
    pts: i64,
    dts: i64,
    /// Unknown to ffprobe at some edges of fragments.
    duration: Option<i64>,
    keyframe: bool,
}

/// Reads the init segment and all segments of a rendition as one file.
fn probe(bench: &Bench, directory: &Path, kind: &str, codec: &str) -> Vec<Probed> {
    let list = bench.text(&format!("{kind}.m3u8"));
    let map = list
        .split("URI=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap();
    let mut file = bench.bytes(map);
    list.lines()
        .filter(|line| !line.starts_with('#'))
        .for_each(|path| file.extend(bench.bytes(path)));
    let path = directory.join(format!("{kind}.mp4"));
    std::fs::write(&path, file).unwrap();
    let (format, packets) = probe_file(&path);
    assert!(format.starts_with(codec), "{codec} in {format}");
    packets
}

/// What ffprobe finds in a file of one track: its codec, and the size of the picture if it is one, and its packets.
fn probe_file(path: &Path) -> (String, Vec<Probed>) {
    let entries = "stream=codec_name,width,height:packet=pts,dts,duration,flags";
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", entries, "-of", "csv=nk=0"])
        .arg(path)
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(errors, "", "ffprobe complains");
    let text = String::from_utf8(output.stdout).unwrap();
    let stream = text.lines().find_map(|line| line.strip_prefix("stream,"));
    let format: Vec<_> = stream
        .unwrap_or_else(|| panic!("no stream in {text}"))
        .split(',')
        .filter_map(|field| Some(field.split_once('=')?.1))
        .collect();
    let lines = text.lines().filter(|line| line.starts_with("packet"));
    let packets = lines
        .map(|line| {
            let fields: HashMap<_, _> = line
                .split(',')
                .filter_map(|field| field.split_once('='))
                .collect();
            let number = |name: &str| fields[name].parse().unwrap_or_else(|_| panic!("{line}"));
            let (pts, dts) = (number("pts"), number("dts"));
            let duration = fields["duration"].parse().ok();
            Probed {
                pts,
                dts,
                duration,
                keyframe: fields["flags"].starts_with('K'),
            }
        })
        .collect();
    (format.join(","), packets)
}

/// Decodes everything and wants not a word of complaint.
fn decode(directory: &Path, kind: &str) {
    let file = directory.join(format!("{kind}.mp4"));
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args(["-f", "null", "-"])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "",
        "ffmpeg complains"
    );
}

fn assert_gapless(packets: &[Probed]) {
    for pair in packets.windows(2) {
        assert!(pair[0].dts < pair[1].dts, "{pair:?}");
        if let Some(duration) = pair[0].duration {
            assert_eq!(pair[0].dts + duration, pair[1].dts, "{pair:?}");
        }
    }
}

fn durations(list: &str) -> Vec<f64> {
    let lines = list
        .lines()
        .filter_map(|line| line.strip_prefix("#EXTINF:"));
    lines
        .map(|line| line.trim_end_matches(',').parse().unwrap())
        .collect()
}

fn video_codec_is_carried(name: &str, codec: Codec, probed: &str, recording: Vec<Recorded>) {
    let bench = Bench::new();
    bench.publish(
        vec![info(VIDEO, codec), info(AUDIO, Codec::Opus)],
        &packets(vec![recording, opus()]),
    );
    let directory = bench.write(name);
    let pictures = probe(&bench, &directory, "video", probed);
    assert_eq!(pictures.len(), FRAMES);
    assert_gapless(&pictures);
    assert!(
        pictures
            .iter()
            .all(|picture| picture.duration.is_none_or(|length| length == 3600)),
        "{pictures:?}"
    );
    decode(&directory, "video");
    let sounds = probe(&bench, &directory, "audio", "opus");
    assert_gapless(&sounds);
    decode(&directory, "audio");
    let (video, audio) = (
        durations(&bench.text("video.m3u8")),
        durations(&bench.text("audio.m3u8")),
    );
    assert_eq!(video, [2.0, 2.0, 2.0], "{}", bench.text("video.m3u8"));
    assert!(
        audio.iter().all(|length| (length - 2.0).abs() < 0.03),
        "{audio:?}"
    );
    // What is heard with a picture was made with it.
    let lag = sounds[0].pts as f64 / 48_000.0 - pictures[0].pts as f64 / 90_000.0;
    assert!(lag.abs() < 0.021, "{lag}");
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn h264_and_opus_are_carried() {
    video_codec_is_carried("h264", Codec::H264, "h264", h264());
}

#[test]
fn h265_is_carried() {
    let encoder = "x265enc tune=zerolatency speed-preset=ultrafast bitrate=500 key-int-max=50";
    video_codec_is_carried(
        "h265",
        Codec::H265,
        "hevc",
        video(encoder, "rtph265pay config-interval=-1", 320),
    );
}

#[test]
fn vp9_is_carried() {
    let encoder =
        "vp9enc deadline=1 cpu-used=8 keyframe-max-dist=50 lag-in-frames=0 target-bitrate=500000";
    video_codec_is_carried(
        "vp9",
        Codec::Vp9,
        "vp9",
        video(encoder, "rtpvp9pay picture-id-mode=2", 320),
    );
}

/// GStreamer 1.22 has no payloader for AV1: each OBU without its size becomes elements of at most 1100 bytes.
fn av1() -> Vec<Recorded> {
    let source = format!(
        "videotestsrc num-buffers={FRAMES} ! video/x-raw,format=I420,width=320,height=240,framerate=25/1"
    );
    let encoder = "av1enc cpu-used=8 usage-profile=realtime keyframe-max-dist=50 target-bitrate=300 lag-in-frames=0";
    let units = record(
        VIDEO,
        &format!(
            "{source} ! {encoder} ! av1parse ! video/x-av1,stream-format=obu-stream,alignment=tu"
        ),
    );
    let mut packets: Vec<Recorded> = Vec::new();
    for (number, unit) in units.iter().enumerate() {
        let mut obus = obus(&unit.rtp);
        obus.retain(|obu| obu[0] >> 3 != 2);
        let new_sequence = obus.iter().any(|obu| obu[0] >> 3 == 1);
        let last = obus.len() - 1;
        for (index, obu) in obus.iter().enumerate() {
            let chunks: Vec<_> = obu.chunks(1100).collect();
            for (part, chunk) in chunks.iter().enumerate() {
                let flag = |bit: u8, set: bool| if set { bit } else { 0 };
                let header = flag(0x80, part > 0)
                    | flag(0x40, part + 1 < chunks.len())
                    | 0x10
                    | flag(8, new_sequence && index == 0 && part == 0);
                let marker = flag(0x80, index == last && part + 1 == chunks.len());
                let mut rtp = vec![0x80, marker | 96];
                rtp.extend((packets.len() as u16).to_be_bytes());
                rtp.extend((number as u32 * 3600).to_be_bytes());
                rtp.extend([0, 0, 0, 1, header]);
                rtp.extend_from_slice(chunk);
                packets.push(Recorded {
                    track: VIDEO,
                    time: unit.time,
                    rtp,
                });
            }
        }
    }
    packets
}

/// The packets of the first picture of [`av1`].
pub(in crate::media) fn av1_keyframe() -> Vec<Arc<Packet>> {
    let mut all = packets(vec![av1()]);
    let first = all[0].timestamp;
    all.retain(|packet| packet.timestamp == first);
    all
}

/// The OBUs of a temporal unit, their size fields taken out.
fn obus(mut unit: &[u8]) -> Vec<Vec<u8>> {
    let mut obus = Vec::new();
    while let Some(&header) = unit.first() {
        assert_eq!(header & 6, 2, "an OBU with size and without extension");
        let (mut size, mut at, mut shift) = (0, 1, 0);
        loop {
            size |= usize::from(unit[at] & 0x7f) << shift;
            (shift, at) = (shift + 7, at + 1);
            if unit[at - 1] & 0x80 == 0 {
                break;
            }
        }
        obus.push([&[header & !2], &unit[at..at + size]].concat());
        unit = &unit[at + size..];
    }
    obus
}

#[test]
fn av1_is_carried() {
    video_codec_is_carried("av1", Codec::Av1, "av1", av1());
}

#[test]
fn b_frames_keep_their_order() {
    for (codec, probed, encoder, payloader) in [
        (
            Codec::H264,
            "h264",
            "x264enc speed-preset=ultrafast bframes=2 b-adapt=false bitrate=500 key-int-max=50 ! h264parse",
            "rtph264pay aggregate-mode=zero-latency config-interval=-1",
        ),
        (
            Codec::H265,
            "hevc",
            "x265enc speed-preset=ultrafast bitrate=500 key-int-max=50 option-string=bframes=3:b-adapt=0",
            "rtph265pay config-interval=-1",
        ),
    ] {
        let recording = video(encoder, payloader, 320);
        let shown: Vec<_> = recording.iter().map(|packet| packet.time).collect();
        assert!(!shown.is_sorted(), "{probed}: decoded as they are shown");
        let bench = Bench::new();
        bench.publish(vec![info(VIDEO, codec)], &packets(vec![recording]));
        let directory = bench.write(&format!("bframes-{probed}"));
        let pictures = probe(&bench, &directory, "video", probed);
        assert_eq!(pictures.len(), FRAMES);
        assert_gapless(&pictures);
        assert!(pictures.iter().any(|picture| picture.pts != picture.dts));
        assert!(pictures.iter().all(|picture| picture.pts >= picture.dts));
        // Each has an instant of its own, and all of them together are without a hole.
        let mut shown: Vec<_> = pictures.iter().map(|picture| picture.pts).collect();
        shown.sort_unstable();
        assert!(
            shown.windows(2).all(|pair| pair[1] - pair[0] == 3600),
            "{shown:?}"
        );
        decode(&directory, "video");
        std::fs::remove_dir_all(directory).unwrap();
    }
}

#[test]
fn telephone_audio_becomes_aac() {
    for (codec, rate, encoder, payloader) in [
        (Codec::Pcmu, 8_000, "mulawenc", "rtppcmupay"),
        (Codec::Pcma, 8_000, "alawenc", "rtppcmapay"),
        (Codec::G722, 16_000, "avenc_g722", "rtpg722pay"),
    ] {
        let recording = audio(
            &format!("audio/x-raw,rate={rate},channels=1 ! {encoder}"),
            payloader,
        );
        let bench = Bench::new();
        bench.publish(vec![info(AUDIO, codec)], &packets(vec![recording]));
        let directory = bench.write(codec.name());
        let sounds = probe(&bench, &directory, "audio", "aac");
        assert_gapless(&sounds);
        let length = sounds[sounds.len() - 1].pts - sounds[0].pts;
        assert!((length - 6 * 48_000).abs() < 4_800, "{length}");
        decode(&directory, "audio");
        assert!(bench.text("index.m3u8").contains("CODECS=\"mp4a.40.2\""));
        std::fs::remove_dir_all(directory).unwrap();
    }
}

#[test]
fn a_stream_without_hls_says_why() {
    let bench = Bench::new();
    let feed = bench.start(vec![info(VIDEO, Codec::Vp8), info(AUDIO, Codec::Opus)]);
    feed.finish();
    let Resource::Unavailable(reason) = bench.get("index.m3u8") else {
        panic!("not refused");
    };
    assert!(
        reason.contains("no HLS for this stream") && reason.contains("VP8"),
        "{reason}"
    );
}

#[test]
fn a_new_publisher_goes_on_with_a_discontinuity() {
    let bench = Bench::new();
    let tracks = vec![info(VIDEO, Codec::H264), info(AUDIO, Codec::Opus)];
    bench.publish(tracks.clone(), &packets(vec![h264(), opus()]));
    let first = bench.text("video.m3u8");
    assert!(first.ends_with("#EXT-X-ENDLIST\n"), "{first}");
    let encoder =
        "x264enc tune=zerolatency speed-preset=ultrafast bitrate=500 key-int-max=50 ! h264parse";
    let other = video(
        encoder,
        "rtph264pay aggregate-mode=zero-latency config-interval=-1",
        640,
    );
    bench.publish(tracks, &packets(vec![other, opus()]));
    for path in ["video.m3u8", "audio.m3u8"] {
        let text = bench.text(path);
        assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{text}");
        assert_eq!(text.matches("#EXT-X-MAP").count(), 2, "{text}");
        assert_eq!(durations(&text).len(), 6, "{text}");
    }
    assert!(bench.text("index.m3u8").contains("RESOLUTION=640x240"));
}

#[test]
fn a_lost_packet_costs_no_later_segment_and_asks_for_a_keyframe() {
    let mut all = packets(vec![h264(), opus()]);
    let lost = all
        .iter()
        .filter(|packet| packet.track == VIDEO)
        .nth(40)
        .unwrap()
        .sequence;
    all.retain(|packet| packet.track != VIDEO || packet.sequence != lost);
    let bench = Bench::new();
    bench.publish(
        vec![info(VIDEO, Codec::H264), info(AUDIO, Codec::Opus)],
        &all,
    );
    let directory = bench.write("loss");
    let pictures = probe(&bench, &directory, "video", "h264");
    assert!(
        (100..FRAMES).contains(&pictures.len()),
        "{}",
        pictures.len()
    );
    assert!(pictures.windows(2).all(|pair| pair[0].dts < pair[1].dts));
    decode(&directory, "video");
    assert!(bench.asked.load(Ordering::Relaxed) > 0);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_broken_pipeline_starts_anew() {
    let all = packets(vec![h264()]);
    let bench = Bench::new();
    let feed = bench.start(vec![info(VIDEO, Codec::H264)]);
    let (first, second) = all.split_at(all.len() / 2);
    push(&feed, first);
    feed.break_down(Line::MAIN);
    // The pause after a failure is over when packets come out again.
    let begun = Instant::now();
    let mut rounds = 0;
    while !bench.get("video.m3u8").is_discontinuous() {
        assert!(
            begun.elapsed_within(Duration::from_secs(20)),
            "it did not start anew"
        );
        rounds += 1;
        push(&feed, &again(second, rounds, Duration::from_secs(3)));
    }
    feed.finish();
}

impl HlsFeed {
    /// Makes a pipeline report an error once it has what was pushed before.
    fn break_down(&self, line: Line) {
        self.break_what(Broken::Track(line));
    }

    /// What the branch says of itself once it has what was pushed before.
    fn figures(&self) -> Figures {
        let (answer, answered) = std::sync::mpsc::channel();
        while self.shared.inputs.push(Input::Ask(answer.clone())).is_err() {
            std::thread::yield_now();
        }
        self.shared.ring();
        answered.recv().unwrap()
    }

    fn break_what(&self, what: Broken) {
        while self.shared.inputs.push(Input::BreakDown(what)).is_err() {
            std::thread::yield_now();
        }
        self.shared.ring();
    }
}

trait Within {
    fn elapsed_within(&self, limit: Duration) -> bool;
}

impl Within for Instant {
    fn elapsed_within(&self, limit: Duration) -> bool {
        Instant::now().duration_since(*self) < limit
    }
}

trait Discontinuous {
    fn is_discontinuous(&self) -> bool;
}

impl Discontinuous for Resource {
    fn is_discontinuous(&self) -> bool {
        matches!(self, Resource::Playlist(list) if list.text.windows(22).any(|text| text == b"#EXT-X-DISCONTINUITY\n#"))
    }
}

/// The packets with later numbers and times, as a publisher that goes on sends them: `length` is that of all.
fn again(packets: &[Arc<Packet>], round: u32, length: Duration) -> Vec<Arc<Packet>> {
    let copy = |packet: &Arc<Packet>| {
        let mut packet = Packet::clone(packet);
        let rate = if packet.track == VIDEO {
            90_000
        } else {
            48_000
        };
        packet.sequence += u64::from(round) * packets.len() as u64;
        let ticks = length.as_millis() as u32 * rate / 1000;
        packet.timestamp = packet.timestamp.wrapping_add(round * ticks);
        packet.received += length * round;
        Arc::new(packet)
    };
    packets.iter().map(copy).collect()
}
