use std::ops::Range;
use std::time::Instant;

use bytes::Bytes;

use super::*;
use crate::egress::hls::segmenter::{Begin, Correction, Init, Progress};
use crate::egress::hls::store::{Filed, FilingFigures, Recording};
use crate::egress::hls::validator::{Playlist, Validator};
use crate::egress::hls::{Answered, Directives, Format, LibrarySettings, Part, Resource, Terms};
use crate::stream::StreamName;

const FIRST: u64 = 1_750_000_000;
const SECOND: i64 = 1_000_000_000;
const VIDEO: RenditionId = RenditionId::Video(0);
/// Segments in memory: those of the window, and what is spare.
const WINDOW: usize = 3;
const SPARE: usize = 2;
const SIZE: usize = 100;

/// A gateway's directory, in which there may be something already.
struct Disk(PathBuf);

impl Disk {
    fn new(name: &str) -> Self {
        let name = format!("tidegate-dvr-{}-{name}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    fn folder(&self) -> PathBuf {
        self.0.join(FOLDER)
    }

    fn archive(&self, library: &Library, max_bytes: usize) -> Archive {
        let settings = DvrSettings {
            directory: self.0.clone(),
            max_bytes: max_bytes as u64,
        };
        Archive::open(&settings, library.clone()).unwrap()
    }

    /// The files that there are, without the lock.
    fn files(&self) -> usize {
        let folders = fs::read_dir(self.folder()).unwrap().flatten();
        let folders = folders.filter(|entry| entry.path().is_dir());
        folders
            .map(|entry| fs::read_dir(entry.path()).unwrap().count())
            .sum()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn library(window: u64) -> Library {
    Library::new(LibrarySettings {
        window: WINDOW,
        spare: SPARE,
        dvr_window: Duration::from_secs(window),
        ..LibrarySettings::default()
    })
}

/// A stream of pictures and sound in segments of 2 s with two parts.
struct Show {
    library: Library,
    stream: StreamName,
    recording: Recording,
    inits: [Arc<Init>; 2],
    number: u64,
}

impl Show {
    fn new(library: &Library, name: &str) -> Self {
        let stream: StreamName = name.parse().unwrap();
        let init = |format| {
            let (format, body) = (Arc::new(format), Bytes::from_static(b"init"));
            Arc::new(Init { format, body })
        };
        Self {
            recording: library.record(&stream, FIRST),
            library: library.clone(),
            stream,
            inits: [
                init(Format::vp9(0, 8, 1, 320, 240).unwrap()),
                init(Format::opus(2)),
            ],
            number: 0,
        }
    }

    fn begin(&mut self) {
        self.push(0..2);
        self.number += 1;
    }

    /// These parts of the next segment.
    fn push(&self, parts: Range<i64>) {
        for part in parts {
            for (rendition, init) in [VIDEO, RenditionId::Audio].into_iter().zip(&self.inits) {
                let wall = FIRST as i64 * SECOND + self.number as i64 * 2 * SECOND;
                self.recording.push(Part {
                    rendition,
                    segment: self.number,
                    discontinuity: self.number.is_multiple_of(7) && part == 0,
                    last: part == 1,
                    closing: false,
                    independent: part == 0,
                    first_sample: 10,
                    time: wall + part * SECOND,
                    correction: Correction::default(),
                    begin: Begin { wall, media: wall },
                    progress: Progress::default(),
                    init: Arc::clone(init),
                    body: vec![self.number as u8; SIZE / 2].into(),
                    duration: Duration::from_secs(1),
                    samples: 30,
                    terms: Terms {
                        part_target: Duration::from_secs(1),
                        target_duration: (self.number >= 2).then_some(2),
                    },
                });
            }
        }
    }

    fn get(&self, path: &str) -> Resource {
        let file = crate::egress::hls::File::of_path(path).unwrap();
        let presentation = self.library.get(&self.stream).unwrap();
        presentation.get(file, Instant::now())
    }

    fn text(&self, path: &str, skip: bool) -> String {
        let file = crate::egress::hls::File::of_path(path).unwrap();
        let presentation = self.library.get(&self.stream).unwrap();
        let directives = Directives {
            skip,
            ..Directives::default()
        };
        match presentation.ask(file, directives, Instant::now()) {
            Answered::Now(Resource::Playlist(list)) => {
                String::from_utf8(list.text.to_vec()).unwrap()
            }
            other => panic!("{path}: {other:?}"),
        }
    }

    fn list(&self, path: &str) -> Playlist {
        Playlist::read(&self.text(path, false))
    }

    /// Every whole segment of a playlist is there: how many are in files.
    fn check(&self, list: &Playlist) -> usize {
        let mut filed = 0;
        for segment in &list.segments {
            let expected = vec![(segment.number - FIRST) as u8; SIZE];
            let found = match self.get(segment.uri.as_ref().unwrap()) {
                Resource::Media(media) => media.body.concat(),
                Resource::Filed(Filed { path, bytes, .. }) => {
                    filed += 1;
                    assert_eq!(bytes, SIZE);
                    fs::read(path).unwrap()
                }
                other => panic!("{}: {other:?}", segment.number),
            };
            assert_eq!(found, expected);
        }
        filed
    }
}

#[test]
fn a_segment_that_is_written_too_late_is_not_listed_again() {
    let library = library(3_600);
    let mut show = Show::new(&library, "late");
    (0..=WINDOW).for_each(|_| show.begin());
    let presentation = library.get(&show.stream).unwrap();
    let late = presentation.unfiled().unwrap();
    assert!(
        show.text("video.m3u8", false)
            .contains(&format!("video-{}.m4s", late.number))
    );
    show.begin();
    let without = show.text("video.m3u8", false);
    assert!(
        !without.contains(&format!("video-{}.m4s", late.number)),
        "{without}"
    );
    let folder: Arc<Path> = Path::new("folder").into();
    presentation.set_filed(late.rendition, late.number, &folder);
    show.begin();
    let after = show.text("video.m3u8", false);
    assert!(
        !after.contains(&format!("video-{}.m4s", late.number)),
        "{after}"
    );
}

#[test]
fn a_segment_that_the_end_of_a_publisher_pushes_out_is_not_listed_again() {
    let library = library(3_600);
    let mut show = Show::new(&library, "end");
    (0..WINDOW).for_each(|_| show.begin());
    show.push(0..1);
    let mut validator = Validator::default();
    let mut look = |show: &Show| {
        validator
            .see("video", &show.text("video.m3u8", false))
            .first
    };
    assert_eq!(look(&show), FIRST);
    let presentation = library.get(&show.stream).unwrap();
    let late = presentation.unfiled().unwrap();
    assert_eq!(late.number, FIRST);
    // What was open is a whole segment now.
    show.recording.end(Instant::now());
    assert_eq!(look(&show), FIRST + 1);
    let folder: Arc<Path> = Path::new("folder").into();
    for rendition in [VIDEO, RenditionId::Audio] {
        presentation.set_filed(rendition, late.number, &folder);
    }
    // Another publisher has the playlists written anew.
    show.recording = library.record(&show.stream, FIRST);
    assert_eq!(look(&show), FIRST + 1);
}

#[test]
fn playlists_list_the_past_whose_segments_are_in_files() {
    let (disk, library) = (Disk::new("past"), library(40));
    let mut archive = disk.archive(&library, 1 << 20);
    let mut show = Show::new(&library, "show");
    let mut validator = Validator::default();
    for number in 0..60 {
        show.begin();
        if number >= 2 {
            for path in ["video.m3u8", "audio.m3u8"] {
                let whole = show.text(path, false);
                let list = validator.see(path, &whole);
                validator.compare_delta(&whole, &show.text(path, true));
                // 40 s before the one that has just begun, or all that there is.
                assert_eq!(list.segments.len(), 21.min(number + 1), "{whole}");
                let filed = show.check(&list);
                assert_eq!(
                    filed,
                    list.segments.len().saturating_sub(WINDOW + SPARE + 1)
                );
                let parts = list.segments.iter().filter(|it| !it.parts.is_empty());
                assert_eq!(parts.count(), 3, "the low-latency part is at the live edge");
            }
            let delta = show.text("video.m3u8", true);
            assert!(delta.len() < 3000, "{delta}");
        }
        archive.round();
    }
    // What has just left the playlists is there for players that fetch late; no more.
    assert_eq!(disk.files(), 2 * (21 + SPARE));
    let figures = library.filing_counters().figures();
    let segments = disk.files() as u64;
    let expected = FilingFigures {
        bytes: segments * SIZE as u64,
        segments,
        failures: 0,
    };
    assert_eq!(figures, expected);
}

#[test]
fn all_files_together_stay_within_the_bound_and_the_oldest_go_first() {
    let (disk, library) = (Disk::new("bound"), library(600));
    let max = 41 * SIZE;
    let mut archive = disk.archive(&library, max);
    let mut shows = [Show::new(&library, "one"), Show::new(&library, "other")];
    let mut validators = [Validator::default(), Validator::default()];
    for number in 0..30 {
        for (show, validator) in shows.iter_mut().zip(&mut validators) {
            show.begin();
            archive.round();
            if number >= 2 {
                let list = validator.see("video", &show.text("video.m3u8", false));
                show.check(&list);
            }
        }
        assert!(disk.files() * SIZE <= max);
    }
    for show in &shows {
        // Two renditions of two streams share the place.
        let length = show.list("video.m3u8").segments.len();
        assert!((9..=11).contains(&length), "{length}");
    }
    // What would not fit at all is not tried again and again.
    drop(archive);
    let mut archive = disk.archive(&library, SIZE - 1);
    for _ in 0..10 {
        shows[0].begin();
        archive.round();
    }
    assert_eq!(disk.files(), 0);
    assert_eq!(shows[0].list("video.m3u8").segments.len(), WINDOW);
}

#[test]
fn a_disk_that_fails_costs_the_past_only() {
    let (disk, library) = (Disk::new("fails"), library(600));
    let mut archive = disk.archive(&library, 1 << 20);
    let mut show = Show::new(&library, "show");
    let mut validator = Validator::default();
    let mut run = |archive: &mut Archive, count| {
        for _ in 0..count {
            show.begin();
            archive.round();
            if show.number > 2 {
                validator.see("video", &show.text("video.m3u8", false));
            }
        }
        show.list("video.m3u8").segments.len()
    };
    let folder = disk.folder().join("0");
    fs::write(&folder, "in the way").unwrap();
    assert_eq!(run(&mut archive, 10), WINDOW);
    assert!(archive.failing && library.filing_counters().figures().failures > 0);
    fs::remove_file(&folder).unwrap();
    // What playlists still list is written too; what they have left out is not listed again.
    assert_eq!(run(&mut archive, 10), 10 + WINDOW - 1);
    assert!(!archive.failing);
    fs::rename(&folder, disk.folder().join("away")).unwrap();
    fs::write(&folder, "in the way").unwrap();
    assert!(run(&mut archive, 2) > WINDOW, "the past is still listed");
    assert_eq!(run(&mut archive, 10), WINDOW);
}

#[test]
fn files_go_with_their_stream() {
    let (disk, library) = (Disk::new("end"), library(600));
    let mut archive = disk.archive(&library, 1 << 20);
    let mut shows = [Show::new(&library, "one"), Show::new(&library, "other")];
    for _ in 0..10 {
        shows.iter_mut().for_each(Show::begin);
        archive.round();
    }
    assert_eq!(disk.files(), 2 * 2 * 10);
    let now = Instant::now();
    shows[0].recording.end(now);
    archive.round();
    // It lingers with all of its past.
    let list = shows[0].list("video.m3u8");
    assert!(list.ended);
    assert_eq!((list.segments.len(), shows[0].check(&list)), (10, 4));
    let [gone, rest] = shows;
    drop(gone.recording);
    library.handle_timeout(now + Duration::from_secs(31));
    archive.round();
    assert_eq!(disk.files(), 2 * 10);
    assert_eq!(library.filing_counters().figures().segments, 20);
    assert_eq!(rest.list("video.m3u8").segments.len(), 10);
    archive.clear();
    assert_eq!(disk.files(), 0);
}

#[test]
fn the_start_removes_what_is_left_of_a_run_and_nothing_else() {
    let disk = Disk::new("start");
    for path in [
        "tidegate-dvr/17/video-3.m4s",
        "tidegate-dvr/mine/a",
        "17/video-3.m4s",
    ] {
        let path = disk.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "left").unwrap();
    }
    let library = library(600);
    let archive = disk.archive(&library, 1 << 20);
    let is_there = |path| disk.0.join(path).exists();
    assert!(!is_there("tidegate-dvr/17"));
    assert!(is_there("tidegate-dvr/mine/a") && is_there("17/video-3.m4s"));
    let settings = DvrSettings {
        directory: disk.0.clone(),
        max_bytes: 1,
    };
    let second = Archive::open(&settings, library.clone()).unwrap_err();
    assert!(second.to_string().contains("in use"), "{second}");
    drop(archive);
    assert!(Archive::open(&settings, library).is_ok());
}

#[test]
fn the_thread_writes_and_ends_without_a_file() {
    let (disk, library) = (Disk::new("thread"), library(600));
    let settings = DvrSettings {
        directory: disk.0.clone(),
        max_bytes: 1 << 20,
    };
    let mut show = Show::new(&library, "show");
    let dvr = Dvr::start(&settings, library.clone()).unwrap();
    for _ in 0..3 {
        show.begin();
    }
    while library.filing_counters().figures().segments < 6 {
        thread::yield_now();
    }
    assert_eq!(disk.files(), 6);
    dvr.stop();
    assert_eq!(disk.files(), 0);
}
