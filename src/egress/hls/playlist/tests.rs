use super::*;
use hls_m3u8::MediaPlaylist;
use std::convert::TryFrom;

fn entry(number: u64, discontinuity: bool) -> Entry {
    Entry {
        uri: format!("video-{number}.m4s"),
        map: format!("video-init-{}.mp4", u64::from(number > 8)),
        duration: Duration::from_millis(2_300),
        time: 1_750_000_000_000_000_000 + number as i64 * 2_000_000_000,
        discontinuity,
        parts: Vec::new(),
        open: false,
    }
}

fn part(uri: &str, independent: bool) -> PartEntry {
    PartEntry {
        uri: uri.into(),
        duration: Duration::from_millis(500),
        independent,
    }
}

fn list() -> MediaList {
    MediaList {
        target_duration: 2,
        part_target: Duration::from_millis(500),
        hold_back: Duration::ZERO,
        first: 7,
        discontinuities: 3,
        independent: true,
        ended: true,
        skipped: 0,
        older: String::new(),
        map: None,
        segments: vec![entry(7, false), entry(8, false), entry(9, true)],
        hint: None,
        reports: Vec::new(),
    }
}

#[test]
fn a_media_playlist_says_all_and_reads_back() {
    let text = list().write().unwrap();
    assert_eq!(
        text,
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:3\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-MAP:URI=\"video-init-0.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:2025-06-15T15:06:54.000Z\n\
         #EXTINF:2.3,\nvideo-7.m4s\n\
         #EXT-X-PROGRAM-DATE-TIME:2025-06-15T15:06:56.000Z\n#EXTINF:2.3,\nvideo-8.m4s\n\
         #EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"video-init-1.mp4\"\n\
         #EXT-X-PROGRAM-DATE-TIME:2025-06-15T15:06:58.000Z\n#EXTINF:2.3,\nvideo-9.m4s\n#EXT-X-ENDLIST\n"
    );
    let parsed = MediaPlaylist::try_from(text.as_str()).unwrap();
    assert_eq!(parsed.media_sequence, 7);
    assert_eq!(parsed.segments.num_elements(), 3);
}

#[test]
fn parts_stand_before_their_segment_and_the_hint_at_the_end() {
    let mut list = list();
    list.ended = false;
    list.segments[2].parts = vec![part("video-9.0.m4s", true)];
    list.segments.push(Entry {
        parts: vec![part("video-10.0.m4s", true), part("video-10.1.m4s", false)],
        open: true,
        ..entry(10, false)
    });
    list.hint = Some("video-10.2.m4s".into());
    list.reports = vec![("audio.m3u8".into(), 10, 1)];
    let text = list.write().unwrap();
    let tail = text.split_once("#EXT-X-DISCONTINUITY\n").unwrap().1;
    assert_eq!(
        tail,
        "#EXT-X-MAP:URI=\"video-init-1.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:2025-06-15T15:06:58.000Z\n\
         #EXT-X-PART:DURATION=0.5,URI=\"video-9.0.m4s\",INDEPENDENT=YES\n\
         #EXTINF:2.3,\nvideo-9.m4s\n\
         #EXT-X-PART:DURATION=0.5,URI=\"video-10.0.m4s\",INDEPENDENT=YES\n\
         #EXT-X-PART:DURATION=0.5,URI=\"video-10.1.m4s\"\n\
         #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"video-10.2.m4s\"\n\
         #EXT-X-RENDITION-REPORT:URI=\"audio.m3u8\",LAST-MSN=10,LAST-PART=1\n"
    );
    let parsed = MediaPlaylist::try_from(text.as_str()).unwrap();
    assert_eq!(parsed.segments.num_elements(), 3);
}

#[test]
fn a_delta_update_says_what_it_leaves_out() {
    let list = MediaList {
        ended: false,
        skipped: 1,
        map: Some(entry(7, false).map),
        segments: vec![entry(8, false), entry(9, true)],
        ..list()
    };
    let text = list.write().unwrap();
    assert!(text.contains("#EXT-X-VERSION:9\n"), "{text}");
    assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:7\n"), "{text}");
    assert!(
        text.contains("#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n#EXT-X-PROGRAM"),
        "{text}"
    );
    assert!(
        !text.contains("video-7.m4s") && text.contains("video-8.m4s"),
        "{text}"
    );
    assert_eq!(text.matches("#EXT-X-MAP").count(), 1, "{text}");
}

#[test]
fn what_was_written_before_stands_before_the_rest() {
    let whole = list().write().unwrap();
    let mut list = list();
    let older = list.segments.drain(..2).collect::<Vec<_>>();
    list.older = older[0].lines(true).unwrap() + &older[1].lines(false).unwrap();
    list.map = Some(older[1].map.clone());
    assert_eq!(list.write().unwrap(), whole);
}

#[test]
fn an_iframe_playlist_says_where_each_keyframe_is() {
    let frame = |number, discontinuity, bytes| {
        let entry = entry(number, discontinuity);
        IFrame {
            uri: entry.uri,
            map: entry.map,
            bytes,
            duration: entry.duration,
            time: entry.time,
            discontinuity,
        }
    };
    let list = IFrameList {
        target_duration: 2,
        first: 7,
        discontinuities: 3,
        ended: true,
        frames: vec![
            frame(7, false, Some(4321)),
            frame(8, false, None),
            frame(9, true, Some(1234)),
        ],
    };
    let text = list.write().unwrap();
    assert_eq!(
        text,
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:3\n#EXT-X-I-FRAMES-ONLY\n\
         #EXT-X-MAP:URI=\"video-init-0.mp4\"\n#EXT-X-BYTERANGE:4321@0\n\
         #EXT-X-PROGRAM-DATE-TIME:2025-06-15T15:06:54.000Z\n#EXTINF:2.3,\nvideo-7.m4s\n\
         #EXT-X-GAP\n#EXT-X-PROGRAM-DATE-TIME:2025-06-15T15:06:56.000Z\n#EXTINF:2.3,\nvideo-8.m4s\n\
         #EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"video-init-1.mp4\"\n#EXT-X-BYTERANGE:1234@0\n\
         #EXT-X-PROGRAM-DATE-TIME:2025-06-15T15:06:58.000Z\n#EXTINF:2.3,\nvideo-9.m4s\n#EXT-X-ENDLIST\n"
    );
}

fn both() -> Multivariant {
    let bits = |peak, average| Bits { peak, average };
    Multivariant {
        videos: vec![VideoVariant {
            uri: "video.m3u8".into(),
            codecs: "vp09.00.31.08".into(),
            size: (1280, 720),
            rate: 29.97003,
            bits: bits(2_600_000, 2_400_000),
            iframes: Some(("video-iframes.m3u8".into(), bits(300_000, 200_000))),
        }],
        audios: vec![AudioVariant {
            uri: "audio.m3u8".into(),
            group: "audio",
            codecs: "opus".into(),
            channels: 2,
            bits: bits(100_000, 100_000),
        }],
        independent: true,
    }
}

#[test]
fn a_multivariant_playlist_describes_what_is_there() {
    let mut all = both();
    let text = all.write().unwrap();
    for part in [
        "BANDWIDTH=2700000,AVERAGE-BANDWIDTH=2500000",
        "CODECS=\"vp09.00.31.08,opus\"",
        "RESOLUTION=1280x720",
        "FRAME-RATE=29.970",
        "AUDIO=\"audio\"",
        "CHANNELS=\"2\"",
        "URI=\"audio.m3u8\"",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        "#EXT-X-I-FRAME-STREAM-INF:URI=\"video-iframes.m3u8\",BANDWIDTH=300000,\
         AVERAGE-BANDWIDTH=200000,CODECS=\"vp09.00.31.08\",RESOLUTION=1280x720\n",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(MasterPlaylist::try_from(text.as_str()).is_ok());
    all.independent = false;
    let text = all.write().unwrap();
    assert!(!text.contains("INDEPENDENT"), "{text}");
    all.videos.clear();
    let text = all.write().unwrap();
    assert!(
        text.contains("\naudio.m3u8\n") && !text.contains("EXT-X-MEDIA"),
        "{text}"
    );
}

#[test]
fn each_layer_is_there_with_each_coding_of_the_sound() {
    let mut all = both();
    let second = VideoVariant {
        uri: "video1.m3u8".into(),
        size: (640, 360),
        bits: Bits {
            peak: 500_000,
            average: 400_000,
        },
        codecs: "vp09.00.21.08".into(),
        rate: 30.0,
        iframes: None,
    };
    all.videos.push(second);
    all.audios.push(AudioVariant {
        uri: "aac.m3u8".into(),
        group: "aac",
        codecs: "mp4a.40.2".into(),
        channels: 2,
        bits: Bits {
            peak: 128_000,
            average: 128_000,
        },
    });
    let text = all.write().unwrap();
    assert_eq!(text.matches("#EXT-X-STREAM-INF").count(), 4, "{text}");
    for part in [
        "vp09.00.31.08,mp4a.40.2",
        "vp09.00.21.08,opus",
        "AUDIO=\"aac\"",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    // Keyframes are there once for each layer that has some.
    assert_eq!(text.matches("#EXT-X-I-FRAME-STREAM-INF").count(), 1);
    let parsed = MasterPlaylist::try_from(text.as_str()).unwrap();
    assert_eq!(parsed.variant_streams.len(), 5);
}

/// Reads a playlist with this crate, which knows no later version, and no tag after the last segment
/// but those that belong to none.
pub(crate) fn read_back(text: &str) {
    let mut lines = text.lines().collect::<Vec<_>>();
    let open = lines
        .iter()
        .rposition(|line| !line.starts_with('#'))
        .map_or(0, |at| at + 1);
    let dangling = [
        "#EXT-X-DISCONTINUITY",
        "#EXT-X-MAP",
        "#EXT-X-PROGRAM-DATE-TIME",
    ];
    let mut index = 0;
    lines.retain(|line| {
        index += 1;
        index <= open || !dangling.iter().any(|tag| line.starts_with(tag))
    });
    let text = lines
        .join("\n")
        .replace("#EXT-X-VERSION:9", "#EXT-X-VERSION:6");
    let list = MediaPlaylist::builder()
        .allowable_excess_duration(Duration::from_millis(500))
        .parse(&text);
    assert!(list.is_ok(), "{list:?}: {text}");
}
