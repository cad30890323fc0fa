use super::*;
use crate::egress::hls::Format;
use crate::egress::hls::segmenter::{Init, Media};

const FIRST: u64 = 1_750_000_000;

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

fn segment(init: &Arc<Init>, bytes: usize) -> Segment {
    let (init, body) = (Arc::clone(init), vec![7; bytes].into());
    let duration = Duration::from_millis(2_400);
    let video = Some(Media {
        init,
        body,
        duration,
        samples: 72,
    });
    Segment {
        discontinuity: false,
        independent: true,
        time: 0,
        video,
        audio: None,
    }
}

fn text(library: &Library, path: &str) -> String {
    match library.get(&stream()).unwrap().get(path) {
        Resource::Found { body, .. } => String::from_utf8(body.to_vec()).unwrap(),
        other => panic!("{path}: {other:?}"),
    }
}

fn is_there(library: &Library, path: &str) -> bool {
    matches!(
        library.get(&stream()).unwrap().get(path),
        Resource::Found { .. }
    )
}

#[test]
fn a_live_stream_with_fewer_than_three_segments_asks_for_patience() {
    let library = library();
    assert!(library.get(&stream()).is_none());
    let recording = library.record(&stream(), FIRST);
    assert_eq!(
        library.get(&stream()).unwrap().get("index.m3u8"),
        Resource::NotYet
    );
    assert_eq!(
        library.get(&stream()).unwrap().get("video-0.m4s"),
        Resource::NotFound
    );
    let init = init();
    for _ in 0..2 {
        recording.push(segment(&init, 10)).unwrap();
        for path in ["index.m3u8", "video.m3u8", "audio.m3u8"] {
            let answer = library.get(&stream()).unwrap().get(path);
            assert_eq!(answer, Resource::NotYet, "{path}");
        }
    }
    recording.push(segment(&init, 10)).unwrap();
    assert!(is_there(&library, "index.m3u8") && is_there(&library, "video.m3u8"));
    // There is no audio in it.
    assert_eq!(
        library.get(&stream()).unwrap().get("audio.m3u8"),
        Resource::NotFound
    );
}

#[test]
fn the_window_moves_and_late_fetches_are_served() {
    let library = library();
    let recording = library.record(&stream(), FIRST);
    let init = init();
    for _ in 0..6 {
        recording.push(segment(&init, 10)).unwrap();
    }
    let list = text(&library, "video.m3u8");
    assert!(
        list.contains(&format!("#EXT-X-MEDIA-SEQUENCE:{}\n", FIRST + 3)),
        "{list}"
    );
    assert!(
        list.contains(&format!("URI=\"video-init-{FIRST}.mp4\"")),
        "{list}"
    );
    assert_eq!(list.matches("#EXTINF").count(), 3);
    assert!(!is_there(&library, &format!("video-{FIRST}.m4s")));
    assert!(is_there(&library, &format!("video-{}.m4s", FIRST + 1)));
    assert!(is_there(&library, &format!("video-init-{FIRST}.mp4")));
    assert!(text(&library, "index.m3u8").contains("FRAME-RATE=30.000"));
}

#[test]
fn bytes_are_bounded_but_three_segments_stay() {
    let library = library();
    let recording = library.record(&stream(), FIRST);
    for _ in 0..5 {
        recording.push(segment(&init(), 900)).unwrap();
    }
    assert!(!is_there(&library, &format!("video-{}.m4s", FIRST + 1)));
    assert!(is_there(&library, &format!("video-{}.m4s", FIRST + 2)));
}

#[test]
fn each_resource_has_one_spelling() {
    let library = library();
    let recording = library.record(&stream(), 0);
    recording.push(segment(&init(), 10)).unwrap();
    assert!(is_there(&library, "video-0.m4s") && is_there(&library, "video-init-0.mp4"));
    for path in [
        "",
        "video-00.m4s",
        "video-+0.m4s",
        "video-.m4s",
        "video-0.mp4",
        "audio-0.m4s",
        "audio-init-0.mp4",
        "video--1.m4s",
        "VIDEO-0.m4s",
        "video-99999999999999999999.m4s",
        "../video-0.m4s",
        "video-init-1.mp4",
    ] {
        assert_eq!(
            library.get(&stream()).unwrap().get(path),
            Resource::NotFound,
            "{path}"
        );
    }
}

#[test]
fn a_stream_lingers_after_its_end() {
    let (library, now) = (library(), Instant::now());
    let recording = library.record(&stream(), FIRST);
    recording.push(segment(&init(), 10)).unwrap();
    recording.end(now);
    assert!(text(&library, "video.m3u8").ends_with("#EXT-X-ENDLIST\n"));
    let end = now + Duration::from_secs(30);
    library.handle_timeout(end - Duration::from_millis(1));
    assert!(library.get(&stream()).is_some());
    library.handle_timeout(end);
    assert!(library.get(&stream()).is_none());
}

#[test]
fn a_broadcast_of_one_segment_can_be_played_once_it_has_ended() {
    let library = library();
    let recording = library.record(&stream(), FIRST);
    recording.push(segment(&init(), 10)).unwrap();
    recording.end(Instant::now());
    assert!(is_there(&library, "index.m3u8"));
    let list = text(&library, "video.m3u8");
    assert_eq!(list.matches("#EXTINF").count(), 1);
    let _next = library.record(&stream(), FIRST);
    let answer = library.get(&stream()).unwrap().get("video.m3u8");
    assert_eq!(answer, Resource::NotYet);
}

#[test]
fn a_new_publisher_goes_on_and_the_old_one_is_ignored() {
    let (library, now) = (library(), Instant::now());
    let old = library.record(&stream(), FIRST);
    let init_of_old = init();
    for _ in 0..3 {
        old.push(segment(&init_of_old, 10)).unwrap();
    }
    old.end(now);
    let new = library.record(&stream(), FIRST + 100);
    assert!(!text(&library, "video.m3u8").contains("ENDLIST"));
    new.push(segment(&init(), 10)).unwrap();
    old.push(segment(&init(), 10)).unwrap();
    old.refuse("late");
    old.end(now);
    library.handle_timeout(now + Duration::from_secs(3600));
    let list = text(&library, "video.m3u8");
    let next = FIRST + 3;
    assert!(
        list.contains("#EXT-X-DISCONTINUITY\n") && list.contains(&format!("video-init-{next}.mp4")),
        "{list}"
    );
    assert_eq!(list.matches("#EXTINF").count(), 3);
    for _ in 0..3 {
        new.push(segment(&init(), 10)).unwrap();
    }
    // Its tag has left the playlist with its segment.
    assert!(text(&library, "video.m3u8").contains("#EXT-X-DISCONTINUITY-SEQUENCE:1\n"));
}

#[test]
fn a_refusal_gives_its_reason() {
    let library = library();
    library
        .record(&stream(), FIRST)
        .refuse("no HLS for this stream: VP8");
    let refused = library.get(&stream()).unwrap().get("index.m3u8");
    assert_eq!(
        refused,
        Resource::Unavailable("no HLS for this stream: VP8".into())
    );
    let _next = library.record(&stream(), FIRST);
    assert_eq!(
        library.get(&stream()).unwrap().get("index.m3u8"),
        Resource::NotYet
    );
}

#[test]
fn a_rendition_that_paused_lists_only_what_is_new() {
    let library = library();
    let recording = library.record(&stream(), FIRST);
    let init = init();
    recording.push(segment(&init, 10)).unwrap();
    recording
        .push(Segment {
            video: None,
            ..segment(&init, 10)
        })
        .unwrap();
    recording.push(segment(&init, 10)).unwrap();
    let list = text(&library, "video.m3u8");
    assert!(
        list.contains(&format!("#EXT-X-MEDIA-SEQUENCE:{}\n", FIRST + 2)),
        "{list}"
    );
    assert_eq!(list.matches("#EXTINF").count(), 1);
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
    for _ in 0..3 {
        first.push(segment(&init, 10)).unwrap();
    }
    first.end(now);
    library.handle_timeout(now + GRACE / 2);
    assert!(!text(&library, "video.m3u8").contains("#EXT-X-ENDLIST"));

    let second = library.record(&stream(), FIRST + 100);
    library.handle_timeout(now + 2 * GRACE);
    second.push(segment(&init, 10)).unwrap();
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
