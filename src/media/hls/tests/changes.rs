//! Publishers that change: what players get of all of them together, packet by packet.

use super::*;
use crate::egress::hls::validator::{Segment, Validator};

/// How long a recording is.
const LENGTH: Duration = Duration::from_secs(6);
/// Dates are in milliseconds, and timestamps are rounded to ticks (seconds).
const ROUNDING: f64 = 0.0015;

/// What discontinuities separate from the rest of a rendition, as ffprobe reads it.
struct Run {
    /// The codec, and the size of the picture, as its init segment says.
    format: String,
    /// When it begins and ends by its date, in seconds since 1970.
    start: f64,
    end: f64,
    /// Where it begins by the times in the media, in seconds.
    begin: f64,
    packets: usize,
}

/// A stream that is looked at after each change, as players see it.
struct Watched {
    bench: Bench,
    directory: PathBuf,
    validator: Validator,
}

impl Watched {
    fn new(name: &str) -> Self {
        let mut bench = Bench::new();
        // The playlists go on with the next publisher.
        bench.library = Library::new(LibrarySettings {
            grace: Duration::from_secs(600),
            ..LibrarySettings::default()
        });
        let directory =
            std::env::temp_dir().join(format!("tidegate-hls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        Self {
            bench,
            directory,
            validator: Validator::default(),
        }
    }

    /// A publisher of picture and sound, to its end.
    fn publish(&mut self, codec: Codec, packets: &[Arc<Packet>]) {
        let tracks = vec![info(VIDEO, codec), info(AUDIO, Codec::Opus)];
        self.bench.publish(tracks, packets);
        self.look();
    }

    fn look(&mut self) {
        for name in ["video", "audio"] {
            self.validator
                .see(name, &self.bench.text(&format!("{name}.m3u8")));
        }
    }

    /// All runs of a rendition, after a look at each of their packets.
    fn runs(&self, name: &str) -> Vec<Run> {
        let list = Playlist::read(&self.bench.text(&format!("{name}.m3u8")));
        let mut runs: Vec<Vec<&Segment>> = Vec::new();
        for segment in &list.segments {
            match runs.last_mut() {
                Some(run) if !segment.discontinuity => run.push(segment),
                _ => runs.push(vec![segment]),
            }
        }
        let runs: Vec<_> = runs.iter().map(|run| self.run(name, run)).collect();
        for pair in runs.windows(2) {
            let gap = pair[1].start - pair[0].end;
            assert!(gap > -ROUNDING, "{name} goes back by {gap} s");
            // Players that take no notice of the discontinuity show it when its date says so, but that the last frame
            // of sound is let finish.
            let (dates, times) = (pair[1].start - pair[0].start, pair[1].begin - pair[0].begin);
            assert!((dates - times).abs() < 0.021, "{name}: {dates} {times}");
        }
        runs
    }

    /// What a player gets that reads the init segment and these segments one after the other.
    fn run(&self, name: &str, segments: &[&Segment]) -> Run {
        let rate = if name == "video" { 90_000.0 } else { 48_000.0 };
        let maps: Vec<_> = segments.iter().filter_map(|s| s.map.clone()).collect();
        assert_eq!(maps.len(), 1, "one init segment for a run: {segments:?}");
        let mut file = self.bench.bytes(&maps[0]);
        for segment in segments {
            file.extend(self.bench.bytes(segment.uri.as_ref().unwrap()));
        }
        let path = self.directory.join(format!("{name}.mp4"));
        std::fs::write(&path, file).unwrap();
        let (format, packets) = probe_file(&path);
        decode(&self.directory, name);
        assert_gapless(&packets);
        let seconds = |ticks: i64| ticks as f64 / rate;
        let (first, last) = (&packets[0], &packets[packets.len() - 1]);
        let begin = seconds(first.pts);
        let date = |segment: &Segment| segment.date.unwrap();
        let start = date(segments[0]);
        // A picture is shown when its date says so, counted from the first one of any segment.
        for segment in segments {
            let expected = begin + date(segment) - start;
            let is_there = |packet: &&Probed| {
                packet.keyframe && (seconds(packet.pts) - expected).abs() < ROUNDING
            };
            assert!(
                packets.iter().any(|packet| is_there(&packet)),
                "{segment:?}"
            );
        }
        let length = seconds(last.dts - first.dts + last.duration.unwrap_or(0));
        let listed: f64 = segments.iter().map(|segment| segment.duration).sum();
        assert!((length - listed).abs() < 0.062, "{name}: {length} {listed}");
        Run {
            format,
            start,
            end: start + length,
            begin,
            packets: packets.len(),
        }
    }

    /// Checks the sound, and that it is cut where the pictures are.
    fn check_sound(&self, pictures: &[Run]) {
        let sounds = self.runs("audio");
        assert_eq!(sounds.len(), pictures.len());
        for (sound, picture) in sounds.iter().zip(pictures) {
            assert_eq!(sound.format, "opus");
            let lag = sound.start - picture.start;
            assert!(lag.abs() < 0.021, "sound is heard {lag} s late");
            // 20 ms each.
            let (expected, got) = ((picture.end - picture.start) * 50.0, sound.packets as f64);
            assert!((got - expected).abs() <= 2.0, "{got} of {expected}");
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn sized(width: u32) -> Vec<Arc<Packet>> {
    let encoder =
        "x264enc tune=zerolatency speed-preset=ultrafast bitrate=500 key-int-max=50 ! h264parse";
    let payloader = "rtph264pay aggregate-mode=zero-latency config-interval=-1";
    let recording = video(encoder, payloader, width);
    marked(Codec::H264, packets(vec![recording, opus()]))
}

/// The same, arriving `after` the begin of others.
fn arriving(packets: &[Arc<Packet>], start: Instant, after: Duration) -> Vec<Arc<Packet>> {
    let first = packets[0].received;
    let copy = |packet: &Arc<Packet>| {
        let received = start + after + packet.received.duration_since(first);
        Arc::new(Packet {
            received,
            ..Packet::clone(packet)
        })
    };
    packets.iter().map(copy).collect()
}

/// What the publisher of `before` sends next: numbers, timestamps and arrivals of `next` go on from there.
fn following(before: &[Arc<Packet>], next: &[Arc<Packet>]) -> Vec<Arc<Packet>> {
    let of = |packets: &[Arc<Packet>], track| -> Vec<Arc<Packet>> {
        let own = packets.iter().filter(|packet| packet.track == track);
        own.cloned().collect()
    };
    let mut moved = arriving(next, before[0].received, LENGTH);
    for (track, rate) in [(VIDEO, 90_000), (AUDIO, 48_000)] {
        let (before, next) = (of(before, track), of(next, track));
        let ticks = LENGTH.as_secs() as u32 * rate;
        let timestamp = before[0].timestamp.wrapping_add(ticks);
        let sequence = before[before.len() - 1].sequence + 1;
        for packet in moved.iter_mut().filter(|packet| packet.track == track) {
            let packet = Arc::get_mut(packet).unwrap();
            packet.sequence = sequence + (packet.sequence - next[0].sequence);
            let since = packet.timestamp.wrapping_sub(next[0].timestamp);
            packet.timestamp = timestamp.wrapping_add(since);
        }
    }
    moved
}

impl Bench {
    /// How many whole segments of the picture are listed.
    fn segments(&self) -> usize {
        match self.get("video.m3u8") {
            Resource::Playlist(list) => durations(std::str::from_utf8(&list.text).unwrap()).len(),
            _ => 0,
        }
    }
}

fn formats(runs: &[Run]) -> Vec<&str> {
    runs.iter().map(|run| run.format.as_str()).collect()
}

fn counts(runs: &[Run]) -> Vec<usize> {
    runs.iter().map(|run| run.packets).collect()
}

#[test]
fn a_publisher_that_comes_back_is_dated_by_its_arrival() {
    let mut watched = Watched::new("back");
    let all = sized(320);
    let start = all[0].received;
    watched.publish(Codec::H264, &all);
    // Three seconds are lost.
    let away = LENGTH + Duration::from_secs(3);
    watched.publish(Codec::H264, &arriving(&all, start, away));
    let pictures = watched.runs("video");
    assert_eq!(formats(&pictures), ["h264,320,240", "h264,320,240"]);
    assert_eq!(counts(&pictures), [FRAMES, FRAMES]);
    let gap = pictures[1].start - pictures[0].end;
    assert!((gap - 3.0).abs() < 0.1, "{gap}");
    watched.check_sound(&pictures);
}

#[test]
fn a_publisher_that_takes_over_with_another_codec_begins_at_once() {
    let mut watched = Watched::new("takeover");
    let first = sized(320);
    let tracks = |codec| vec![info(VIDEO, codec), info(AUDIO, Codec::Opus)];
    let before = watched.bench.start(tracks(Codec::H264));
    let then = following(&first, &first);
    push(&before, &first);
    push(&before, &then);
    let begun = Instant::now();
    while watched.bench.segments() < 2 {
        assert!(begun.elapsed_within(Duration::from_secs(20)), "no segments");
        std::thread::yield_now();
    }
    watched.look();
    let encoder =
        "vp9enc deadline=1 cpu-used=8 keyframe-max-dist=50 lag-in-frames=0 target-bitrate=500000";
    let picture = video(encoder, "rtpvp9pay picture-id-mode=2", 640);
    let second = marked(Codec::Vp9, packets(vec![picture, opus()]));
    let after = watched.bench.start(tracks(Codec::Vp9));
    // The first one still sends.
    push(&before, &following(&then, &first));
    push(&after, &arriving(&second, first[0].received, 3 * LENGTH));
    before.finish();
    after.finish();
    watched.look();
    let (pictures, sounds) = (watched.runs("video"), watched.runs("audio"));
    assert_eq!(formats(&pictures), ["h264,320,240", "vp9,640,240"]);
    assert_eq!(formats(&sounds), ["opus", "opus"]);
    assert_eq!(pictures[1].packets, FRAMES);
    for (sound, picture) in sounds.iter().zip(&pictures) {
        assert!((sound.start - picture.start).abs() < 0.021);
    }
    let index = watched.bench.text("index.m3u8");
    assert!(
        index.contains("vp09") && index.contains("RESOLUTION=640x240"),
        "{index}"
    );
}

#[test]
fn a_backup_steps_in_and_the_primary_comes_back() {
    let mut watched = Watched::new("backup");
    let primary = sized(320);
    let start = primary[0].received;
    let meanwhile = following(&primary, &primary);
    let back = following(&meanwhile, &primary);
    watched.publish(Codec::H264, &primary);
    // It is turned to in the middle of a group of pictures: nothing can be shown before the next keyframe.
    let mut backup = arriving(&sized(640), start, LENGTH);
    backup.retain(|packet| packet.received >= start + LENGTH + Duration::from_millis(500));
    watched.publish(Codec::H264, &backup);
    watched.publish(Codec::H264, &back);
    let pictures = watched.runs("video");
    assert_eq!(
        formats(&pictures),
        ["h264,320,240", "h264,640,240", "h264,320,240"]
    );
    // A keyframe every 50.
    assert_eq!(counts(&pictures), [FRAMES, FRAMES - 50, FRAMES]);
    let gap = pictures[1].start - pictures[0].end;
    assert!((gap - 2.0).abs() < 0.1, "{gap}");
    watched.check_sound(&pictures);
}

#[test]
fn another_size_of_the_same_publisher_loses_nothing() {
    let mut watched = Watched::new("size");
    let (small, large) = (sized(320), sized(640));
    let mut all = small.clone();
    let larger = following(&small, &large);
    let small_again = following(&larger, &small);
    all.extend(larger);
    all.extend(small_again);
    watched.publish(Codec::H264, &all);
    let pictures = watched.runs("video");
    assert_eq!(
        formats(&pictures),
        ["h264,320,240", "h264,640,240", "h264,320,240"]
    );
    assert_eq!(counts(&pictures), [FRAMES; 3]);
    for pair in pictures.windows(2) {
        let gap = pair[1].start - pair[0].end;
        assert!(gap < ROUNDING, "{gap}");
    }
    watched.check_sound(&pictures);
}
