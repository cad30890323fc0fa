//! What does low-latency HLS cost in the pure parts alone, without depayloading, a socket or HTTP?
//!
//! `cargo bench --bench hls -- --rounds 9`
//!
//! One stream of 2.5 Mbit/s video at 30 pictures a second and Opus, parts of 500 ms; medians of rounds:
//! * `mux`: samples to parts in the store, in microseconds of CPU for a second of the stream;
//! * `playlist`: a playlist written, and compressed, for a new state, in microseconds;
//! * `again`: the same playlist for the next who asks, and `part`: a part looked up, in ns;
//! * `wake`: a thousand requests that wait for a part, from its push to the last one polled, in microseconds.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]
#![allow(
    clippy::unwrap_used,
    reason = "what fails in a bench fails the bench, loudly"
)]
#![allow(clippy::disallowed_methods, reason = "a bench is about the clock")]
#![allow(clippy::print_stderr, reason = "and what is wrong with its arguments")]

mod support;

use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use support::arguments;
use support::report::{median, save};
use tidegate::egress::hls::segmenter::SegmenterSettings;
use tidegate::egress::hls::store::Recording;
use tidegate::egress::hls::timeline::Walls;
use tidegate::egress::hls::{
    Answered, Directives, File, Format, Library, LibrarySettings, RenditionId, Resource, Sample,
    Segmenter,
};
use tidegate::stream::StreamName;

const SECONDS: i64 = 60;
const SECOND: i64 = 1_000_000_000;
const FRAME: i64 = SECOND / 30;
const SOUND: i64 = SECOND / 50;
const VIDEO: RenditionId = RenditionId::Video(0);
/// Bytes of a picture at 2.5 Mbit/s.
const PICTURE: usize = 2_500_000 / 8 / 30;
const WAITING: usize = 1_000;

fn main() {
    let rounds = arguments::value("rounds", 9);
    let (mut mux, mut playlist, mut again, mut part, mut wake) =
        (vec![], vec![], vec![], vec![], vec![]);
    for _ in 0..rounds {
        let mut stream = Stream::new();
        let begin = Instant::now();
        stream.run(SECONDS);
        mux.push(micros(begin) / SECONDS as f64);
        playlist.push(stream.playlist());
        again.push(stream.again());
        part.push(stream.part());
        wake.push(stream.wake());
    }
    let figures = json!({
        "mux_us_per_second": median(&mux),
        "playlist_us": median(&playlist),
        "again_ns": median(&again),
        "part_ns": median(&part),
        "wake_1000_us": median(&wake),
    });
    println!("{figures:#}");
    save("hls", &figures);
}

struct Stream {
    library: Library,
    name: StreamName,
    recording: Recording,
    segmenter: Segmenter,
    video: Arc<Format>,
    audio: Arc<Format>,
    picture: Bytes,
    frame: i64,
    sound: i64,
}

impl Stream {
    fn new() -> Self {
        let library = Library::new(LibrarySettings::default());
        let name: StreamName = "bench".parse().unwrap();
        let recording = library.record(&name, 1);
        let mut segmenter = Segmenter::new(SegmenterSettings {
            target: Duration::from_secs(2),
            part: Duration::from_millis(500),
            video: true,
            terms: None,
            after: None,
        });
        let mut walls = Walls::default();
        walls.set(VIDEO, Some(SECOND));
        walls.set(RenditionId::Audio, Some(SECOND));
        segmenter.handle_walls(walls);
        Self {
            library,
            name,
            recording,
            segmenter,
            video: Arc::new(Format::vp9(0, 8, 1, 1280, 720).unwrap()),
            audio: Arc::new(Format::opus(2)),
            picture: vec![7; PICTURE].into(),
            frame: 0,
            sound: 0,
        }
    }

    fn run(&mut self, seconds: i64) {
        let end = self.frame + seconds * 30;
        while self.frame < end {
            self.next_picture();
        }
    }

    /// One picture and the sound up to it; how many parts came out.
    fn next_picture(&mut self) -> usize {
        let time = self.frame * FRAME;
        while self.sound * SOUND <= time {
            let at = self.sound * SOUND;
            let sample = sample(at, SOUND, true, Bytes::from_static(&[0; 240]), &self.audio);
            self.segmenter.handle_sample(RenditionId::Audio, sample);
            self.sound += 1;
        }
        let keyframe = self.frame % 60 == 0;
        let sample = sample(time, FRAME, keyframe, self.picture.clone(), &self.video);
        self.segmenter.handle_sample(VIDEO, sample);
        self.frame += 1;
        let mut parts = 0;
        while let Some(part) = self.segmenter.poll_part().unwrap() {
            parts += usize::from(part.rendition == VIDEO);
            self.recording.push(part);
        }
        parts
    }

    fn ask(&self, path: &str, directives: Directives) -> Answered {
        let presentation = self.library.get(&self.name).unwrap();
        presentation.ask(File::of_path(path).unwrap(), directives, Instant::now())
    }

    fn list(&self) -> Arc<tidegate::egress::hls::store::Rendered> {
        match self.ask("video.m3u8", Directives::default()) {
            Answered::Now(Resource::Playlist(list)) => list,
            other => panic!("{other:?}"),
        }
    }

    fn playlist(&mut self) -> f64 {
        const TIMES: u32 = 50;
        let mut spent = 0.0;
        for _ in 0..TIMES {
            while self.next_picture() == 0 {}
            let begin = Instant::now();
            black_box(self.list().gzip());
            spent += micros(begin);
        }
        spent / f64::from(TIMES)
    }

    fn again(&self) -> f64 {
        const TIMES: u32 = 10_000;
        let begin = Instant::now();
        for _ in 0..TIMES {
            black_box(self.list().gzip());
        }
        micros(begin) * 1000.0 / f64::from(TIMES)
    }

    fn part(&self) -> f64 {
        const TIMES: u32 = 10_000;
        let text = String::from_utf8(self.list().text.to_vec()).unwrap();
        let (_, newest) = text.rsplit_once("#EXT-X-PART:").unwrap();
        let (_, newest) = newest.split_once("URI=\"").unwrap();
        let path = newest.split('"').next().unwrap();
        let begin = Instant::now();
        for _ in 0..TIMES {
            let answer = self.ask(path, Directives::default());
            assert!(matches!(
                black_box(answer),
                Answered::Now(Resource::Media(_))
            ));
        }
        micros(begin) * 1000.0 / f64::from(TIMES)
    }

    fn wake(&mut self) -> f64 {
        let text = String::from_utf8(self.list().text.to_vec()).unwrap();
        let (_, hint) = text.split_once("PRELOAD-HINT:TYPE=PART,URI=\"").unwrap();
        let hint = hint.split('"').next().unwrap().to_owned();
        let mut context = Context::from_waker(Waker::noop());
        let mut waits: Vec<_> = (0..WAITING)
            .map(|_| match self.ask(&hint, Directives::default()) {
                Answered::Later(waiting) => waiting,
                Answered::Now(other) => panic!("{other:?}"),
            })
            .collect();
        for wait in &mut waits {
            assert!(Pin::new(wait).poll(&mut context).is_pending());
        }
        while self.next_picture() == 0 {}
        let begin = Instant::now();
        for wait in &mut waits {
            assert!(Pin::new(wait).poll(&mut context).is_ready());
        }
        micros(begin)
    }
}

fn sample(time: i64, duration: i64, keyframe: bool, data: Bytes, format: &Arc<Format>) -> Sample {
    Sample {
        dts: time,
        pts: time,
        duration,
        keyframe,
        data,
        format: Arc::clone(format),
    }
}

fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}
