//! What does the HLS branch of a stream cost: CPU, memory, threads?
//!
//! `cargo bench --bench hls_branch -- --streams 6 --seconds 40 --bitrate 2500`
//!
//! H264 of 720p30 with a keyframe every two seconds and Opus of 96 kbit/s are made once and pushed in real
//! time into the branches of several streams, once without anybody asking for AAC, and once with. CPU is that
//! of all threads but the one that pushes: the workers and GStreamer's. Memory is private resident memory per
//! stream, with the whole window of segments in it; what the process had before is taken off. Lag is from when the last
//! packet of a part was pushed until who waits for the playlist with the part has it, in the first stream.
//!
//! Left out: the shard that feeds the branch (see `forward`), and HTTP.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]
#![allow(
    clippy::unwrap_used,
    reason = "what fails in a bench fails the bench, loudly"
)]
#![allow(clippy::disallowed_methods, reason = "a bench is about the clock")]
#![allow(clippy::print_stderr, reason = "and what is wrong with its arguments")]

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;
use serde_json::json;
use support::players::Playlist;
use support::{arguments, cpu, report};
use tidegate::egress::hls::{Answered, Directives, File, Library, LibrarySettings};
use tidegate::egress::hls::{RenditionId, Resource};
use tidegate::media::{HlsBranch, HlsFeed, HlsSettings, Line};
use tidegate::rtp::Codec;
use tidegate::rtp::keyframe::starts_keyframe;
use tidegate::stream::{Packet, StreamName, TrackId, TrackInfo};

/// As in `tidegate`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const VIDEO: TrackId = TrackId(0);
const AUDIO: TrackId = TrackId(1);
/// How long the recording is, in seconds; whole groups of pictures.
const RECORDED: u32 = 10;
/// Until the window of segments is full and stays so.
const WARM_UP: Duration = Duration::from_secs(4);

fn main() {
    let streams: usize = arguments::value("streams", 6);
    let seconds: u64 = arguments::value("seconds", 40);
    let bitrate: u32 = arguments::value("bitrate", 2500);
    let recording = Recording::make(bitrate);
    println!(
        "{streams} streams, {seconds} s each: H264 720p30 {:.2} Mbit/s and Opus, {} packets/s",
        recording.bits as f64 / f64::from(RECORDED) / 1e6,
        recording.packets.len() / RECORDED as usize
    );
    let mut figures = Vec::new();
    for aac in [false, true] {
        figures.push(measure(
            &recording,
            streams,
            Duration::from_secs(seconds),
            aac,
        ));
    }
    report::save(
        "hls_branch",
        &json!({ "streams": streams, "runs": figures }),
    );
}

/// Packets with their times since the begin.
struct Recording {
    packets: Vec<(Duration, Packet)>,
    bits: u64,
}

impl Recording {
    fn make(bitrate: u32) -> Self {
        gst::init().unwrap();
        let frames = RECORDED * 30;
        let video = format!(
            "videotestsrc num-buffers={frames} pattern=snow ! video/x-raw,format=I420,width=1280,height=720,framerate=30/1 \
             ! x264enc tune=zerolatency speed-preset=ultrafast bitrate={bitrate} key-int-max=60 vbv-buf-capacity=300 \
             ! video/x-h264,profile=main ! h264parse ! rtph264pay mtu=1200 pt=96 config-interval=-1 aggregate-mode=zero-latency"
        );
        let sounds = RECORDED * 100;
        let audio = format!(
            "audiotestsrc num-buffers={sounds} samplesperbuffer=480 wave=pink-noise ! audio/x-raw,rate=48000,channels=2 \
             ! opusenc bitrate=96000 ! rtpopuspay"
        );
        let mut packets = record(VIDEO, &video);
        packets.extend(record(AUDIO, &audio));
        packets.retain(|(time, _)| *time < Duration::from_secs(RECORDED.into()));
        packets.sort_by_key(|(time, _)| *time);
        let bits = packets
            .iter()
            .map(|(_, packet)| packet.payload.len() as u64 * 8);
        Self {
            bits: bits.sum(),
            packets,
        }
    }

    /// Pushes in real time, over and over, from `round` on.
    fn push(
        &self,
        feeds: &[HlsFeed],
        start: Instant,
        rounds: std::ops::Range<u32>,
        each: impl Fn(),
    ) {
        let counts: HashMap<TrackId, u64> = [VIDEO, AUDIO]
            .map(|track| {
                let of_it = self
                    .packets
                    .iter()
                    .filter(|(_, packet)| packet.track == track);
                (track, of_it.count() as u64)
            })
            .into();
        for round in rounds {
            let offset = Duration::from_secs((RECORDED * round).into());
            for (time, packet) in &self.packets {
                let due = start + offset + *time;
                let now = Instant::now();
                if due > now {
                    std::thread::sleep(due - now);
                }
                let rate = if packet.track == VIDEO {
                    90_000
                } else {
                    48_000
                };
                let packet = Arc::new(Packet {
                    sequence: packet.sequence + u64::from(round) * counts[&packet.track],
                    timestamp: packet.timestamp.wrapping_add(round * RECORDED * rate),
                    received: due,
                    ..packet.clone()
                });
                for feed in feeds {
                    assert!(feed.push(Line::MAIN, &packet), "a branch is too slow");
                }
            }
            each();
        }
    }
}

fn record(track: TrackId, pipeline: &str) -> Vec<(Duration, Packet)> {
    let pipeline =
        gst::parse::launch(&format!("{pipeline} ! appsink name=sink sync=false")).unwrap();
    let sink = pipeline.downcast_ref::<gst::Bin>().unwrap().by_name("sink");
    let sink: AppSink = sink.unwrap().downcast().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let start = Instant::now();
    let (mut packets, mut numbers) = (Vec::new(), 0x10000u64..);
    while let Ok(sample) = sink.pull_sample() {
        let segment = sample.segment().unwrap();
        let segment = segment.downcast_ref::<gst::ClockTime>().unwrap().clone();
        let mut keep = |buffer: &gst::BufferRef| {
            let time = segment.to_running_time(buffer.pts().unwrap()).unwrap();
            let rtp = buffer.map_readable().unwrap();
            let payload = rtp[12..].to_vec();
            let packet = Packet {
                track,
                sequence: numbers.next().unwrap(),
                timestamp: u32::from_be_bytes([rtp[4], rtp[5], rtp[6], rtp[7]]),
                marker: rtp[1] & 0x80 != 0,
                keyframe: track == VIDEO && starts_keyframe(Codec::H264, &payload),
                payload,
                ..Packet::empty(start)
            };
            packets.push((time.into(), packet));
        };
        match sample.buffer_list() {
            Some(list) => list.iter().for_each(keep),
            None => keep(sample.buffer().unwrap()),
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
    packets
}

fn measure(
    recording: &Recording,
    streams: usize,
    length: Duration,
    aac: bool,
) -> serde_json::Value {
    let library = Library::new(LibrarySettings::default());
    let names: Vec<StreamName> = (0..streams)
        .map(|number| format!("stream{number}").parse().unwrap())
        .collect();
    let tracks = [(VIDEO, Codec::H264, 1), (AUDIO, Codec::Opus, 2)];
    let tracks = tracks.map(|(id, codec, channels)| TrackInfo {
        id,
        codec,
        fmtp: String::new(),
        channels,
    });
    let (memory, threads) = (cpu::resident(std::process::id()), count_threads());
    let start = Instant::now();
    let start_branch = |name: &StreamName| {
        let settings = HlsSettings::default();
        HlsBranch::start(settings, name.clone(), tracks.to_vec(), &library, |_| {})
    };
    let feeds: Vec<_> = names.iter().map(start_branch).collect();
    let ask = || {
        for name in names.iter().filter(|_| aac) {
            let presentation = library.get(name).unwrap();
            let _ = presentation.get(File::Playlist(RenditionId::Aac), Instant::now());
        }
    };
    let rounds = |time: Duration| (time.as_secs() as u32).div_ceil(RECORDED);
    let warm_up = rounds(WARM_UP);
    ask();
    recording.push(&feeds, start, 0..warm_up, ask);
    let watcher = Watcher::start(&library, &names[0], start);
    let before = (busy(), workers());
    let began = Instant::now();
    recording.push(&feeds, start, warm_up..warm_up + rounds(length), ask);
    let (spent, worked) = (busy() - before.0, workers() - before.1);
    let took = began.elapsed();
    let grown = cpu::resident(std::process::id()).saturating_sub(memory);
    let own = (count_threads() - threads) as f64 / streams as f64;
    let kept: usize = names
        .iter()
        .map(|name| library.get(name).unwrap().bytes())
        .sum();
    let has_aac = library.get(&names[0]).is_some_and(|stream| {
        let list = stream.get(File::Playlist(RenditionId::Aac), Instant::now());
        matches!(list, Resource::Playlist(_))
    });
    assert_eq!(has_aac, aac, "AAC is made when it is asked for");
    feeds.into_iter().for_each(HlsFeed::finish);
    let lags = watcher.lags();
    let lag = [0.5, 0.99, 1.0].map(|of| report::quantile(&lags, of));
    let each = |spent: Duration| spent.as_secs_f64() * 1e3 / took.as_secs_f64() / streams as f64;
    let (cpu, worker) = (each(spent), each(worked));
    let mib = |bytes: f64| bytes / streams as f64 / f64::from(1 << 20);
    let (memory, media) = (mib(grown as f64), mib(kept as f64));
    let label = if aac { "with AAC" } else { "without AAC" };
    println!(
        "{label:12} {cpu:6.2} ms of CPU a stream-second ({worker:.2} the worker, the rest GStreamer), {memory:5.2} MiB a stream ({media:.2} MiB of it media), {own:.1} threads"
    );
    println!(
        "{:12} lag of {} parts: {:.1} ms in the middle, {:.1} p99, {:.1} at most",
        "",
        lags.len(),
        lag[0],
        lag[1],
        lag[2]
    );
    json!({ "aac": aac, "cpu_ms": cpu, "worker_cpu_ms": worker, "memory_mib": memory, "media_mib": media, "threads": own, "lag_ms": lag })
}

/// Who waits for each part of a stream until that ends.
struct Watcher(std::thread::JoinHandle<Vec<f64>>);

impl Watcher {
    /// The first packet was pushed at `start`, and the stream has begun long since.
    fn start(library: &Library, name: &StreamName, start: Instant) -> Self {
        let stream = library.get(name).unwrap();
        Self(std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            let ask = |directives| {
                let list = File::Playlist(RenditionId::Video(0));
                match Arc::clone(&stream).ask(list, directives, Instant::now()) {
                    Answered::Now(answer) => answer,
                    Answered::Later(waiting) => runtime.block_on(waiting),
                }
            };
            let (mut lags, mut pictures, mut wanted) = (Vec::new(), 0.0, None);
            loop {
                let (segment, part) = wanted.unzip();
                let directives = Directives {
                    segment,
                    part,
                    ..Directives::default()
                };
                let Resource::Playlist(list) = ask(directives) else {
                    return lags;
                };
                let now = Instant::now();
                let text = std::str::from_utf8(&list.text).unwrap();
                pictures += match wanted {
                    None => pictures_of(text),
                    Some((segment, part)) => {
                        let Some(place) = text.find(&format!("video-{segment}.{part}.m4s")) else {
                            return lags; // the end
                        };
                        pictures_of(&text[text[..place].rfind('\n').unwrap()..])
                    }
                };
                // All packets of a picture are pushed at its time.
                let newest = Duration::from_secs_f64((pictures - 1.0) / 30.0);
                if wanted.is_some() {
                    lags.push((now - start - newest).as_secs_f64() * 1e3);
                }
                wanted = Playlist::read(text.as_bytes(), false).next();
                if wanted.is_none() {
                    return lags;
                }
            }
        }))
    }

    fn lags(self) -> Vec<f64> {
        self.0.join().unwrap()
    }
}

/// How many pictures are listed: those of whole segments, and of parts behind the last of them.
fn pictures_of(list: &str) -> f64 {
    let (mut whole, mut open) = (0.0, 0.0);
    for line in list.lines() {
        let number = |text: &str| -> f64 { text.split(',').next().unwrap().parse().unwrap() };
        if let Some(length) = line.strip_prefix("#EXTINF:") {
            // Behind some of its parts alone, these count.
            whole += if open > 0.0 { open } else { number(length) };
            open = 0.0;
        } else if let Some(length) = line.strip_prefix("#EXT-X-PART:DURATION=") {
            open += number(length);
        }
    }
    ((whole + open) * 30.0).round()
}

/// CPU time of all threads but this one.
fn busy() -> Duration {
    let process = std::process::id();
    let all = cpu::Thread::named(process, "");
    let all: Duration = all.into_iter().map(cpu::Thread::cpu).sum();
    all - cpu::Thread::current().cpu()
}

/// CPU time of the threads that we wrote.
fn workers() -> Duration {
    let all = cpu::Thread::named(std::process::id(), "hls-");
    all.into_iter().map(cpu::Thread::cpu).sum()
}

fn count_threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}
