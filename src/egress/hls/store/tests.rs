use super::*;
use crate::egress::hls::Format;
use crate::egress::hls::segmenter::{Begin, Correction, Init, Progress};
use bytes::Bytes;

const FIRST: u64 = 1_750_000_000;
const SECOND: i64 = 1_000_000_000;
const MILLI: i64 = 1_000_000;

fn library() -> Library {
    Library::new(LibrarySettings {
        window: 3,
        spare: 2,
        max_bytes: 1000,
        ..LibrarySettings::default()
    })
}

fn stream() -> StreamName {
    "demo".parse().unwrap()
}

fn init() -> Arc<Init> {
    let format = Arc::new(Format::vp9(0, 8, 1, 320, 240).unwrap());
    Arc::new(Init {
        format,
        body: Bytes::from_static(b"init"),
    })
}

const VIDEO: RenditionId = RenditionId::Video(0);
const AUDIO: RenditionId = RenditionId::Audio;

/// A whole segment in one part.
fn segment(init: &Arc<Init>, number: u64, bytes: usize) -> Part {
    part(init, number, bytes, true)
}

fn part(init: &Arc<Init>, number: u64, bytes: usize, last: bool) -> Part {
    Part {
        rendition: VIDEO,
        segment: number,
        discontinuity: number == 0,
        last,
        closing: false,
        independent: true,
        first_sample: bytes / 2,
        time: FIRST as i64 * SECOND + number as i64 * 2_400 * MILLI,
        correction: Correction::default(),
        begin: Begin {
            wall: FIRST as i64 * SECOND + number as i64 * 2_400 * MILLI,
            media: SECOND + number as i64 * 2_400 * MILLI,
        },
        init: Arc::clone(init),
        body: vec![7; bytes].into(),
        duration: Duration::from_millis(2_400),
        samples: 72,
        progress: Progress::default(),
        terms: Terms {
            part_target: Duration::from_millis(500),
            target_duration: (number >= 2 || last && number == 2).then_some(2),
        },
    }
}

fn get(library: &Library, path: &str) -> Resource {
    let file = File::of_path(path).unwrap_or_else(|| panic!("{path}"));
    library.get(&stream()).unwrap().get(file, Instant::now())
}

fn text(library: &Library, path: &str) -> String {
    match get(library, path) {
        Resource::Playlist(rendered) => String::from_utf8(rendered.text.to_vec()).unwrap(),
        other => panic!("{path}: {other:?}"),
    }
}

fn is_there(library: &Library, path: &str) -> bool {
    matches!(
        get(library, path),
        Resource::Playlist(_) | Resource::Media(_)
    )
}

fn is_not_yet(library: &Library, path: &str) -> bool {
    matches!(get(library, path), Resource::NotYet)
}

fn is_not_found(library: &Library, path: &str) -> bool {
    matches!(get(library, path), Resource::NotFound)
}

fn push_all(recording: &Recording, init: &Arc<Init>, numbers: std::ops::Range<u64>) {
    for number in numbers {
        recording.push(segment(init, number, 10));
    }
}

#[test]
fn a_live_stream_with_fewer_than_three_segments_asks_for_patience() {
    let library = library();
    assert!(library.get(&stream()).is_none());
    let recording = library.record(&stream(), FIRST);
    assert!(is_not_yet(&library, "index.m3u8") && is_not_found(&library, "video-0.m4s"));
    let init = init();
    for number in 0..2 {
        recording.push(segment(&init, number, 10));
        for path in ["index.m3u8", "video.m3u8", "audio.m3u8"] {
            assert!(is_not_yet(&library, path), "{path}");
        }
    }
    recording.push(segment(&init, 2, 10));
    assert!(is_there(&library, "index.m3u8") && is_there(&library, "video.m3u8"));
    // There is no audio in it.
    assert!(is_not_found(&library, "audio.m3u8"));
}

#[test]
fn a_rendition_has_the_bit_rate_of_what_there_is_of_it() {
    let library = library();
    let recording = library.record(&stream(), FIRST);
    push_all(&recording, &init(), 0..3);
    let rung = |last| Part {
        rendition: RenditionId::Video(1),
        ..part(&init(), 3, 300, last)
    };
    // Its first segment is open: 300 bytes of 2.4 s.
    recording.push(rung(false));
    recording.push(segment(&init(), 3, 10));
    let index = text(&library, "index.m3u8");
    assert!(index.contains("BANDWIDTH=1000,"), "{index}");
}

#[test]
fn the_window_moves_and_late_fetches_are_served() {
    let library = library();
    let recording = library.record(&stream(), FIRST);
    let init = init();
    push_all(&recording, &init, 0..7);
    let list = text(&library, "video.m3u8");
    assert!(
        list.contains(&format!("#EXT-X-MEDIA-SEQUENCE:{}\n", FIRST + 4)),
        "{list}"
    );
    assert!(
        list.contains(&format!("URI=\"video-init-{FIRST}.mp4\"")),
        "{list}"
    );
    assert_eq!(list.matches("#EXTINF").count(), 3);
    assert!(is_not_found(&library, &format!("video-{FIRST}.m4s")));
    assert!(is_there(&library, &format!("video-{}.m4s", FIRST + 2)));
    assert!(is_there(&library, &format!("video-init-{FIRST}.mp4")));
    assert!(text(&library, "index.m3u8").contains("FRAME-RATE=30.000"));
}

#[test]
fn bytes_are_bounded_but_some_segments_stay() {
    let library = library();
    let recording = library.record(&stream(), FIRST);
    for number in 0..6 {
        recording.push(segment(&init(), number, 900));
    }
    assert!(is_not_found(&library, &format!("video-{}.m4s", FIRST + 1)));
    assert!(is_there(&library, &format!("video-{}.m4s", FIRST + 3)));
    assert!(library.get(&stream()).unwrap().bytes() <= 4 * 900);
}

#[test]
fn each_resource_has_one_spelling() {
    let library = library();
    let recording = library.record(&stream(), 0);
    recording.push(segment(&init(), 0, 10));
    for path in ["video-0.m4s", "video-init-0.mp4", "video-0.0.m4s"] {
        assert!(is_there(&library, path), "{path}");
    }
    for path in [
        "",
        "video-00.m4s",
        "video-+0.m4s",
        "video-.m4s",
        "video-0.mp4",
        "video--1.m4s",
        "VIDEO-0.m4s",
        "video-99999999999999999999.m4s",
        "../video-0.m4s",
        "video-0.00.m4s",
        "video-0..m4s",
        "video-0.0.0.m4s",
        "video0.m3u8",
    ] {
        assert_eq!(File::of_path(path), None, "{path}");
    }
    for path in [
        "audio-0.m4s",
        "audio-init-0.mp4",
        "video-init-1.mp4",
        "video-0.1.m4s",
    ] {
        assert!(is_not_found(&library, path), "{path}");
    }
}

#[test]
fn a_stream_lingers_after_its_end() {
    let (library, now) = (library(), Instant::now());
    let recording = library.record(&stream(), FIRST);
    recording.push(segment(&init(), 0, 10));
    recording.end(now);
    assert!(text(&library, "video.m3u8").ends_with("#EXT-X-ENDLIST\n"));
    let end = now + Duration::from_secs(30);
    library.handle_timeout(end - Duration::from_millis(1));
    assert!(library.get(&stream()).is_some());
    library.handle_timeout(end);
    assert!(library.get(&stream()).is_none());
}

#[test]
fn a_stream_that_is_published_again_has_no_number_twice() {
    let (library, now, init) = (library(), Instant::now(), init());
    let recording = library.record(&stream(), FIRST);
    // More than there are numbers until it is published again.
    push_all(&recording, &init, 0..9);
    recording.end(now);
    library.handle_timeout(now + Duration::from_secs(30));
    let recording = library.record(&stream(), FIRST + 3);
    recording.push(segment(&init, 0, 10));
    assert!(is_not_found(&library, &format!("video-{}.m4s", FIRST + 8)));
    assert!(is_there(&library, &format!("video-{}.m4s", FIRST + 9)));
}

#[test]
fn the_multivariant_playlist_promises_keyframes_where_each_listed_segment_has_one() {
    let library = library();
    let recording = library.record(&stream(), FIRST);
    let init = init();
    push_all(&recording, &init, 0..3);
    let promises = || {
        let tag = "#EXT-X-INDEPENDENT-SEGMENTS\n";
        let of = |path| text(&library, path).contains(tag);
        (of("index.m3u8"), of("video.m3u8"))
    };
    assert_eq!(promises(), (true, true));
    for (bytes, last) in [(10, false), (20, true)] {
        recording.push(Part {
            independent: false,
            ..part(&init, 3, bytes, last)
        });
        assert_eq!(promises(), (false, false), "{last}");
    }
    for number in 4..7 {
        assert_eq!(promises(), (false, false), "{number}");
        recording.push(segment(&init, number, 10));
    }
    assert_eq!(promises(), (true, true));
    // Sound can always be decoded, and a layer that has gone is not listed.
    let other = |rendition| Part {
        rendition,
        independent: false,
        ..segment(&init, 7, 10)
    };
    recording.push(other(AUDIO));
    recording.push(segment(&init, 7, 10));
    assert!(promises().0);
    recording.push(other(RenditionId::Video(1)));
    assert_eq!(promises(), (false, true));
    push_all(&recording, &init, 8..11);
    assert!(promises().0);
}

#[test]
fn a_broadcast_of_one_segment_can_be_played_once_it_has_ended() {
    let library = library();
    let recording = library.record(&stream(), FIRST);
    recording.push(segment(&init(), 0, 10));
    recording.end(Instant::now());
    assert!(is_there(&library, "index.m3u8"));
    let list = text(&library, "video.m3u8");
    assert_eq!(list.matches("#EXTINF").count(), 1);
    let _next = library.record(&stream(), FIRST);
    assert!(is_not_yet(&library, "video.m3u8"));
}

#[test]
fn a_new_publisher_goes_on_and_the_old_one_is_ignored() {
    let (library, now) = (library(), Instant::now());
    let old = library.record(&stream(), FIRST);
    assert_eq!(old.terms(), None);
    let init_of_old = init();
    push_all(&old, &init_of_old, 0..3);
    // It ends within a segment.
    old.push(part(&init_of_old, 3, 10, false));
    old.end(now);
    let new = library.record(&stream(), FIRST + 100);
    assert_eq!(new.terms().unwrap().target_duration, Some(2));
    assert!(!text(&library, "video.m3u8").contains("ENDLIST"));
    let init_of_new = init();
    new.push(segment(&init_of_new, 0, 10));
    old.push(segment(&init(), 4, 10));
    old.refuse("late");
    old.end(now);
    library.handle_timeout(now + Duration::from_secs(3600));
    let list = text(&library, "video.m3u8");
    let next = FIRST + 4;
    assert!(
        list.contains("#EXT-X-DISCONTINUITY\n") && list.contains(&format!("video-init-{next}.mp4")),
        "{list}"
    );
    assert_eq!(list.matches("#EXTINF").count(), 3);
    push_all(&new, &init_of_new, 1..4);
    // Its tag has left the playlist with its segment.
    assert!(text(&library, "video.m3u8").contains("#EXT-X-DISCONTINUITY-SEQUENCE:1\n"));
}

#[test]
fn a_publisher_that_is_taken_over_still_brings_what_was_hinted_at() {
    let (library, now) = (library(), Instant::now());
    let old = library.record(&stream(), FIRST);
    let (init_of_old, init_of_new) = (init(), init());
    push_all(&old, &init_of_old, 0..3);
    old.push(part(&init_of_old, 3, 10, false));
    let hinted = format!("video-{}.1.m4s", FIRST + 3);
    let list = text(&library, "video.m3u8");
    assert!(list.contains(&format!("URI=\"{hinted}\"")), "{list}");
    let new = library.record(&stream(), FIRST + 100);
    let offer = Offer {
        codecs: "mp4a.40.2".into(),
        channels: 2,
        bits_per_second: 128_000,
    };
    new.offer(RenditionId::Aac, Some(offer));
    assert!(!text(&library, "index.m3u8").contains("mp4a"));
    assert!(is_not_yet(&library, &hinted));
    old.push(part(&init_of_old, 3, 20, true));
    assert!(is_there(&library, &hinted));
    assert!(text(&library, "video.m3u8").contains("PRELOAD-HINT"));
    old.end(now);
    // Nothing tells yet how the part that comes next is to be played.
    assert!(!text(&library, "video.m3u8").contains("PRELOAD-HINT"));
    assert!(text(&library, "index.m3u8").contains("mp4a"));
    // It was not the last publisher.
    library.handle_timeout(now + Duration::from_secs(3600));
    assert!(!text(&library, "video.m3u8").contains("ENDLIST"));
    new.push(segment(&init_of_new, 0, 10));
    let list = text(&library, "video.m3u8");
    assert_eq!(list.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{list}");
    assert!(list.contains("PRELOAD-HINT"), "{list}");
}

#[test]
fn a_publisher_that_is_taken_over_writes_nothing_after_the_first_part_of_the_next() {
    let (library, now) = (library(), Instant::now());
    let old = library.record(&stream(), FIRST);
    let (init_of_old, init_of_new) = (init(), init());
    push_all(&old, &init_of_old, 0..3);
    let new = library.record(&stream(), FIRST + 100);
    new.push(segment(&init_of_new, 0, 10));
    let before = text(&library, "video.m3u8");
    old.push(segment(&init_of_old, 3, 10));
    old.end(now);
    assert_eq!(text(&library, "video.m3u8"), before);
    // The next one that comes and goes without a part is the last.
    let third = library.record(&stream(), FIRST + 100);
    new.end(now);
    third.end(now);
    library.handle_timeout(now + Duration::from_secs(1));
    assert!(text(&library, "video.m3u8").contains("ENDLIST"));
}

#[test]
fn a_refusal_gives_its_reason() {
    let library = library();
    let recording = library.record(&stream(), FIRST);
    recording.refuse("no HLS for this stream: VP8");
    let Resource::Unavailable(reason) = get(&library, "index.m3u8") else {
        panic!("it is available");
    };
    assert_eq!(reason, "no HLS for this stream: VP8");
    let _next = library.record(&stream(), FIRST);
    assert!(is_not_yet(&library, "index.m3u8"));
}

#[test]
fn a_rendition_that_paused_lists_only_what_is_new() {
    let library = library();
    let recording = library.record(&stream(), FIRST);
    let init = init();
    recording.push(segment(&init, 0, 10));
    recording.push(Part {
        rendition: AUDIO,
        ..segment(&init, 1, 10)
    });
    recording.push(segment(&init, 2, 10));
    let list = text(&library, "video.m3u8");
    assert!(
        list.contains(&format!("#EXT-X-MEDIA-SEQUENCE:{}\n", FIRST + 2)),
        "{list}"
    );
    assert_eq!(list.matches("#EXTINF").count(), 1);
}

#[test]
fn some_streams_have_a_grace_of_their_own() {
    let long = Duration::from_secs(60);
    let library = Library::new(LibrarySettings {
        graces: vec![(stream().as_str().parse().unwrap(), long)],
        ..LibrarySettings::default()
    });
    let (now, init) = (Instant::now(), init());
    let recording = library.record(&stream(), FIRST);
    push_all(&recording, &init, 0..3);
    recording.end(now);
    library.handle_timeout(now + long / 2);
    assert!(!text(&library, "video.m3u8").contains("#EXT-X-ENDLIST"));
    library.handle_timeout(now + long);
    assert!(text(&library, "video.m3u8").contains("#EXT-X-ENDLIST"));
}

#[test]
fn a_publisher_that_comes_back_within_the_grace_goes_on_with_the_same_playlist() {
    const GRACE: Duration = Duration::from_secs(10);
    let library = Library::new(LibrarySettings {
        grace: GRACE,
        ..LibrarySettings::default()
    });
    let (now, init) = (Instant::now(), init());
    let first = library.record(&stream(), FIRST);
    push_all(&first, &init, 0..3);
    first.end(now);
    library.handle_timeout(now + GRACE / 2);
    assert!(!text(&library, "video.m3u8").contains("#EXT-X-ENDLIST"));

    let second = library.record(&stream(), FIRST + 100);
    library.handle_timeout(now + 2 * GRACE);
    second.push(segment(&init, 0, 10));
    let playlist = text(&library, "video.m3u8");
    assert!(!playlist.contains("#EXT-X-ENDLIST"), "{playlist}");
    assert_eq!(playlist.matches("#EXT-X-DISCONTINUITY\n").count(), 1);
    assert_eq!(playlist.matches("#EXTINF").count(), 4);

    // What the first one says late changes nothing.
    first.end(now + 2 * GRACE);
    second.end(now + 3 * GRACE);
    library.handle_timeout(now + 4 * GRACE - Duration::from_secs(1));
    assert!(!text(&library, "video.m3u8").contains("#EXT-X-ENDLIST"));
    library.handle_timeout(now + 4 * GRACE);
    assert!(text(&library, "video.m3u8").contains("#EXT-X-ENDLIST"));
    library.handle_timeout(now + 4 * GRACE + LibrarySettings::default().linger);
    assert!(library.get(&stream()).is_none());
}

#[test]
fn one_that_is_made_on_demand_is_listed_and_waited_for() {
    let (library, now) = (library(), Instant::now());
    let recording = library.record(&stream(), FIRST);
    let init = init();
    push_all(&recording, &init, 0..3);
    for number in 0..3 {
        recording.push(Part {
            rendition: AUDIO,
            ..segment(&init, number, 10)
        });
    }
    recording.offer(
        RenditionId::Aac,
        Some(Offer {
            codecs: "mp4a.40.2".into(),
            channels: 2,
            bits_per_second: 128_000,
        }),
    );
    let index = text(&library, "index.m3u8");
    assert!(
        index.contains("aac.m3u8") && index.contains("mp4a.40.2"),
        "{index}"
    );
    let codings = |path: &str| {
        let index = text(&library, path);
        (index.contains("aac.m3u8"), index.contains("audio.m3u8"))
    };
    assert_eq!(codings("index.m3u8"), (true, true));
    assert_eq!(codings("index-audio.m3u8"), (false, true));
    assert_eq!(codings("index-aac.m3u8"), (true, false));
    assert!(!recording.is_wanted(RenditionId::Aac, now));
    let presentation = library.get(&stream()).unwrap();
    let file = File::Playlist(RenditionId::Aac);
    let answered = Arc::clone(&presentation).ask(file, Directives::default(), now);
    assert!(matches!(answered, Answered::Later(_)));
    assert!(recording.is_wanted(RenditionId::Aac, now));
    let demand = LibrarySettings::default().demand;
    assert!(!recording.is_wanted(RenditionId::Aac, now + demand));
    // It begins with what came before it was asked for, and is there when players can begin.
    for number in 0..3 {
        assert!(is_not_yet(&library, "aac.m3u8"), "{number} segments");
        recording.push(Part {
            rendition: RenditionId::Aac,
            ..segment(&init, number, 10)
        });
    }
    let list = text(&library, "aac.m3u8");
    assert!(
        list.contains(&format!("#EXT-X-MEDIA-SEQUENCE:{FIRST}\n")),
        "{list}"
    );
    assert_eq!(list.matches("#EXTINF").count(), 3);
    // The others go on without it.
    push_all(&recording, &init, 3..7);
    assert!(is_not_yet(&library, "aac.m3u8"));
}

#[test]
fn a_request_that_waits_does_not_hide_a_newer_one() {
    let (library, recording, init) = live();
    let offer = Offer {
        codecs: "mp4a.40.2".into(),
        channels: 2,
        bits_per_second: 128_000,
    };
    recording.offer(RenditionId::Aac, Some(offer));
    let presentation = library.get(&stream()).unwrap();
    let file = File::Playlist(RenditionId::Aac);
    let ask = |at| Arc::clone(&presentation).ask(file, Directives::default(), at);
    let asked = Instant::now();
    let later_on = asked + Duration::from_secs(20);
    let mut waiting = later(ask(asked));
    let _newer = later(ask(later_on));
    recording.push(part(&init, 3, 10, true));
    assert!(look(&mut waiting, Waker::noop()).is_none());
    let demand = LibrarySettings::default().demand;
    assert!(recording.is_wanted(RenditionId::Aac, asked + demand));
    assert!(!recording.is_wanted(RenditionId::Aac, later_on + demand));
}

fn ask(library: &Library, path: &str, segment: u64, part: Option<usize>) -> Answered {
    let directives = Directives {
        segment: Some(segment),
        part,
        skip: false,
    };
    let presentation = library.get(&stream()).unwrap();
    presentation.ask(File::of_path(path).unwrap(), directives, Instant::now())
}

/// What a wait has come to.
fn look(waiting: &mut Waiting, waker: &Waker) -> Option<Resource> {
    let mut context = std::task::Context::from_waker(waker);
    match std::pin::Pin::new(waiting).poll(&mut context) {
        std::task::Poll::Ready(resource) => Some(resource),
        std::task::Poll::Pending => None,
    }
}

#[derive(Default)]
struct Woken(std::sync::atomic::AtomicUsize);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

fn later(answered: Answered) -> Waiting {
    match answered {
        Answered::Later(waiting) => waiting,
        Answered::Now(resource) => panic!("at once: {resource:?}"),
    }
}

fn now(answered: Answered) -> Resource {
    match answered {
        Answered::Now(resource) => resource,
        Answered::Later(_) => panic!("it waits"),
    }
}

/// Three whole segments and one with two parts.
fn live() -> (Library, Recording, Arc<Init>) {
    let library = library();
    let recording = library.record(&stream(), FIRST);
    let init = init();
    push_all(&recording, &init, 0..3);
    for _ in 0..2 {
        recording.push(part(&init, 3, 10, false));
    }
    (library, recording, init)
}

#[test]
fn a_playlist_is_held_until_it_has_what_was_asked_for() {
    let (library, recording, init) = live();
    let open = FIRST + 3;
    for (segment, part) in [
        (FIRST, None),
        (open, None),
        (open, Some(1)),
        (FIRST + 2, Some(9)),
    ] {
        let there = now(ask(&library, "video.m3u8", segment, part));
        assert!(matches!(there, Resource::Playlist(_)), "{segment} {part:?}");
    }
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut part_2 = later(ask(&library, "video.m3u8", open, Some(2)));
    // As Safari asks: until the segment has its first part.
    let mut next = later(ask(&library, "video.m3u8", open + 1, None));
    let mut hinted = later(ask(&library, &format!("video-{open}.2.m4s"), 0, None));
    for waiting in [&mut part_2, &mut next, &mut hinted] {
        assert!(look(waiting, &waker).is_none());
    }
    recording.push(part(&init, 3, 20, true));
    assert_eq!(woken.0.load(std::sync::atomic::Ordering::Relaxed), 3);
    let Some(Resource::Playlist(list)) = look(&mut part_2, &waker) else {
        panic!("not released");
    };
    let text = String::from_utf8(list.text.to_vec()).unwrap();
    assert!(text.contains(&format!("\nvideo-{open}.m4s\n")), "{text}");
    assert!(
        text.contains(&format!("URI=\"video-{}.0.m4s\"", open + 1)),
        "{text}"
    );
    assert!(
        matches!(look(&mut hinted, &waker), Some(Resource::Media(media)) if media.body[0].len() == 20)
    );
    assert!(look(&mut next, &waker).is_none());
    // A part after the last one of a segment is the first of the next.
    let mut after = later(ask(&library, "video.m3u8", open, Some(3)));
    assert!(look(&mut after, &waker).is_none());
    recording.push(part(&init, 4, 10, false));
    assert!(look(&mut next, &waker).is_some() && look(&mut after, &waker).is_some());
}

#[test]
fn who_waits_for_another_rendition_looks_again_when_a_publisher_takes_over() {
    let (library, _first, init) = live();
    let second = library.record(&stream(), FIRST);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut picture = later(ask(&library, "video.m3u8", FIRST + 3, Some(2)));
    assert!(look(&mut picture, &waker).is_none());
    second.push(Part {
        rendition: RenditionId::Audio,
        ..part(&init, 0, 10, false)
    });
    assert_eq!(woken.0.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[test]
fn the_last_part_of_a_long_segment_is_waited_for_before_the_segment_begins() {
    let library = library();
    let recording = library.record(&stream(), FIRST);
    let init = init();
    for number in 0..4 {
        let mut long = segment(&init, number, 10);
        long.terms.target_duration = long.terms.target_duration.map(|_| 6);
        recording.push(long);
    }
    // Twelve parts of 500 ms, of which the segment before had no more.
    later(ask(&library, "video.m3u8", FIRST + 4, Some(11)));
    let further = now(ask(&library, "video.m3u8", FIRST + 4, Some(16)));
    assert!(matches!(further, Resource::TooFarAhead));
}

#[test]
fn a_segment_that_ends_without_a_further_picture_has_no_further_part() {
    let (library, recording, init) = live();
    let open = FIRST + 3;
    let mut hinted = later(ask(&library, &format!("video-{open}.2.m4s"), 0, None));
    recording.push(Part {
        samples: 0,
        duration: Duration::ZERO,
        ..part(&init, 3, 8, true)
    });
    let list = text(&library, "video.m3u8");
    assert!(list.contains(&format!("\nvideo-{open}.m4s\n")), "{list}");
    assert!(list.contains(&format!("\"video-{open}.1.m4s\"")), "{list}");
    assert!(!list.contains(&format!("\"video-{open}.2.m4s\"")), "{list}");
    let waker = Waker::from(Arc::new(Woken::default()));
    assert!(matches!(
        look(&mut hinted, &waker),
        Some(Resource::NotFound)
    ));
}

#[test]
fn what_lies_too_far_ahead_is_not_waited_for() {
    let (library, ..) = live();
    let open = FIRST + 3;
    for (segment, part) in [
        (open + 3, None),
        (u64::MAX, Some(0)),
        (open, Some(100)),
        (open + 1, Some(9)),
    ] {
        let answer = now(ask(&library, "video.m3u8", segment, part));
        assert!(
            matches!(answer, Resource::TooFarAhead),
            "{segment} {part:?}"
        );
    }
    // As many as there may be in three seconds.
    later(ask(&library, "video.m3u8", open + 1, Some(8)));
    for path in [
        format!("video-{open}.3.m4s"),
        format!("video-{}.0.m4s", open + 1),
        "audio-0.0.m4s".into(),
    ] {
        assert!(
            matches!(now(ask(&library, &path, 0, None)), Resource::NotFound),
            "{path}"
        );
    }
}

#[test]
fn everybody_is_released_when_the_stream_ends() {
    let (library, recording, _) = live();
    let (woken, open) = (Arc::new(Woken::default()), FIRST + 3);
    let waker = Waker::from(Arc::clone(&woken));
    let mut playlist = later(ask(&library, "video.m3u8", open, Some(2)));
    let mut hinted = later(ask(&library, &format!("video-{open}.2.m4s"), 0, None));
    assert!(look(&mut playlist, &waker).is_none() && look(&mut hinted, &waker).is_none());
    recording.end(Instant::now());
    assert!(woken.0.load(std::sync::atomic::Ordering::Relaxed) >= 2);
    let Some(Resource::Playlist(list)) = look(&mut playlist, &waker) else {
        panic!("not released");
    };
    assert!(list.text.ends_with(b"#EXT-X-ENDLIST\n"));
    assert!(matches!(
        look(&mut hinted, &waker),
        Some(Resource::NotFound)
    ));
}

#[test]
fn waits_are_counted_and_leave_nothing() {
    let library = Library::new(LibrarySettings {
        waiting: 2,
        ..LibrarySettings::default()
    });
    let recording = library.record(&stream(), FIRST);
    push_all(&recording, &init(), 0..3);
    let waker = Waker::noop();
    let mut waits: Vec<_> = (0..3)
        .map(|_| later(ask(&library, "video.m3u8", FIRST + 3, None)))
        .collect();
    let answers: Vec<_> = waits.iter_mut().map(|wait| look(wait, waker)).collect();
    assert!(answers[0].is_none() && answers[1].is_none());
    assert!(matches!(answers[2], Some(Resource::Busy)));
    drop(waits);
    let mut again = later(ask(&library, "video.m3u8", FIRST + 3, None));
    assert!(look(&mut again, waker).is_none());
}

#[test]
fn a_playlist_is_written_and_compressed_once_for_each_state() {
    let (library, recording, init) = live();
    let get = |library: &Library| match get(library, "video.m3u8") {
        Resource::Playlist(list) => list,
        other => panic!("{other:?}"),
    };
    let (one, two) = (get(&library), get(&library));
    assert!(Arc::ptr_eq(&one, &two));
    assert_eq!(one.gzip().as_ptr(), two.gzip().as_ptr());
    let mut text = Vec::new();
    let gzip = one.gzip();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&gzip[..]), &mut text).unwrap();
    assert_eq!(text, one.text);
    recording.push(part(&init, 3, 10, false));
    assert_ne!(get(&library).tag, one.tag);
}

fn ask_dash(library: &Library, path: &str) -> Answered {
    let presentation = library.get(&stream()).unwrap();
    let file = File::of_dash_path(path).unwrap_or_else(|| panic!("{path}"));
    presentation.ask(file, Directives::default(), Instant::now())
}

fn next_part(growing: &mut Growing, waker: &Waker) -> std::task::Poll<Option<usize>> {
    let mut context = std::task::Context::from_waker(waker);
    let part = growing
        .poll_part(&mut context)
        .map(|part| part.transpose().unwrap());
    part.map(|part| part.map(|part| part.len()))
}

#[test]
fn a_segment_is_read_while_it_grows() {
    use std::task::Poll;
    let library = library();
    let recording = library.record(&stream(), FIRST);
    let init = init();
    push_all(&recording, &init, 0..3);
    let ask = |number| ask_dash(&library, &format!("video-{}.m4s", FIRST + number));
    assert!(matches!(ask(2), Answered::Now(Resource::Media(_))));
    assert!(matches!(ask(4), Answered::Now(Resource::NotFound)));
    let Answered::Later(mut waiting) = ask(3) else {
        panic!("the next one is waited for");
    };
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    assert!(look(&mut waiting, &waker).is_none());
    recording.push(part(&init, 3, 10, false));
    let Some(Resource::Growing(mut growing)) = look(&mut waiting, &waker) else {
        panic!("it grows");
    };
    drop(waiting);
    assert_eq!(growing.content_type(), "video/mp4");
    assert_eq!(next_part(&mut growing, &waker), Poll::Ready(Some(10)));
    assert!(next_part(&mut growing, &waker).is_pending());
    let before = woken.0.load(std::sync::atomic::Ordering::Relaxed);
    recording.push(part(&init, 3, 20, true));
    assert!(woken.0.load(std::sync::atomic::Ordering::Relaxed) > before);
    assert_eq!(next_part(&mut growing, &waker), Poll::Ready(Some(20)));
    assert_eq!(next_part(&mut growing, &waker), Poll::Ready(None));
    drop(growing);
    assert_eq!(
        library.waiting.load(std::sync::atomic::Ordering::Relaxed),
        0
    );
}

#[test]
fn a_reader_that_is_too_slow_does_not_take_half_a_segment_for_a_whole_one() {
    let library = library();
    let recording = library.record(&stream(), FIRST);
    let init = init();
    push_all(&recording, &init, 0..3);
    recording.push(part(&init, 3, 10, false));
    let begin = || match ask_dash(&library, &format!("video-{}.m4s", FIRST + 3)) {
        Answered::Now(Resource::Growing(growing)) => growing,
        other => panic!("{other:?}"),
    };
    let (mut slow, mut quick) = (begin(), begin());
    let waker = Waker::from(Arc::new(Woken::default()));
    let mut context = std::task::Context::from_waker(&waker);
    for growing in [&mut slow, &mut quick] {
        assert!(next_part(growing, &waker).is_ready());
    }
    recording.push(part(&init, 3, 20, true));
    assert_eq!(
        next_part(&mut quick, &waker),
        std::task::Poll::Ready(Some(20))
    );
    push_all(&recording, &init, 4..20);
    // Who has it all is not told otherwise for asking late.
    assert_eq!(next_part(&mut quick, &waker), std::task::Poll::Ready(None));
    let end = slow.poll_part(&mut context);
    assert!(
        matches!(end, std::task::Poll::Ready(Some(Err(Gone)))),
        "{end:?}"
    );
}

#[test]
fn the_readers_of_a_segment_are_counted_and_end_with_the_publisher() {
    use std::task::Poll;
    let library = Library::new(LibrarySettings {
        waiting: 1,
        grace: Duration::from_secs(10),
        ..LibrarySettings::default()
    });
    let recording = library.record(&stream(), FIRST);
    let init = init();
    push_all(&recording, &init, 0..3);
    recording.push(part(&init, 3, 10, false));
    let ask = |number| ask_dash(&library, &format!("video-{}.m4s", FIRST + number));
    let Answered::Now(Resource::Growing(mut growing)) = ask(3) else {
        panic!("it grows");
    };
    assert!(matches!(ask(3), Answered::Now(Resource::Busy)));
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    assert_eq!(next_part(&mut growing, &waker), Poll::Ready(Some(10)));
    assert!(next_part(&mut growing, &waker).is_pending());
    recording.end(Instant::now());
    assert_eq!(woken.0.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert_eq!(next_part(&mut growing, &waker), Poll::Ready(None));
    // Nobody knows what comes next, or when.
    assert!(matches!(ask(4), Answered::Now(Resource::NotFound)));
}

#[test]
fn a_manifest_tells_what_was_learnt_of_the_clock() {
    let library = library();
    let recording = library.record(&stream(), FIRST);
    let init = init();
    push_all(&recording, &init, 0..6);
    let made = || {
        let Answered::Now(Resource::Playlist(manifest)) = ask_dash(&library, "manifest.mpd") else {
            panic!("no manifest");
        };
        let text = String::from_utf8(manifest.text.to_vec()).unwrap();
        let (_, time) = text.split_once("wallClockTime=\"").unwrap();
        time.split_once('"').unwrap().0.to_owned()
    };
    assert!(made().ends_with(":40.000Z"), "{}", made());
    recording.push(Part {
        correction: Correction {
            from_start: 20 * MILLI,
            since: 13 * MILLI,
        },
        ..segment(&init, 6, 10)
    });
    assert!(made().ends_with(":40.033Z"), "{}", made());
}

#[test]
fn a_manifest_is_written_once_for_each_state_and_says_when_the_stream_ended() {
    let library = library();
    let recording = library.record(&stream(), FIRST);
    let init = init();
    let manifest = |path: &str| match ask_dash(&library, path) {
        Answered::Now(Resource::Playlist(rendered)) => Some(rendered),
        _ => None,
    };
    assert!(manifest("manifest.mpd").is_none());
    push_all(&recording, &init, 0..6);
    let first = manifest("manifest.mpd").unwrap();
    assert!(Arc::ptr_eq(&first, &manifest("manifest.mpd").unwrap()));
    assert!(manifest("manifest-aac.mpd").is_none(), "there is no sound");
    let text = |rendered: &Rendered| String::from_utf8(rendered.text.to_vec()).unwrap();
    let begin = format!("startNumber=\"{FIRST}\"");
    assert!(text(&first).contains(&begin) && text(&first).contains(" duration=\"216000\""));
    recording.end(Instant::now());
    let last = manifest("manifest.mpd").unwrap();
    let end = FIRST as f64 + 6.0 * 2.4;
    let end = format!("mediaPresentationDuration=\"PT{end}S\"");
    assert!(text(&last).contains(&end), "{}", text(&last));
    assert_ne!(first.tag, last.tag);
}
