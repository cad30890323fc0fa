//! Simulcast: each layer is a rendition, cut where the best one is.

use super::*;

fn layer(width: u32) -> Vec<Recorded> {
    video(
        "x264enc tune=zerolatency speed-preset=ultrafast bitrate=500 key-int-max=50 ! h264parse",
        "rtph264pay aggregate-mode=zero-latency config-interval=-1",
        width,
    )
}

/// NTP time (RFC 5905, section 6) of a second since 1970.
fn ntp(unix: u64) -> u64 {
    (unix + 2_208_988_800) << 32
}

/// Layers with clocks of their own, in the order in which they are sent.
fn publish(bench: &Bench, layers: &[Vec<Arc<Packet>>]) {
    let feed = bench.start(vec![info(VIDEO, Codec::H264)]);
    let line = |index: usize| Line(index as u8);
    for (index, packets) in layers.iter().enumerate() {
        feed.sender_report(VIDEO, line(index), packets[0].timestamp, ntp(1_790_000_000));
    }
    let mut all: Vec<_> = layers
        .iter()
        .enumerate()
        .flat_map(|(index, packets)| packets.iter().map(move |packet| (line(index), packet)))
        .collect();
    all.sort_by_key(|(line, packet)| (packet.received, std::cmp::Reverse(*line)));
    for (line, packet) in all {
        while !feed.push(line, packet) {
            std::thread::yield_now();
        }
    }
    feed.finish();
}

fn at(packets: Vec<Arc<Packet>>, start: Instant, offset: u32) -> Vec<Arc<Packet>> {
    let first = packets[0].received;
    let moved = packets.into_iter().map(|packet| {
        let received = start + packet.received.duration_since(first);
        Arc::new(Packet {
            received,
            timestamp: packet.timestamp.wrapping_add(offset),
            ..Packet::clone(&packet)
        })
    });
    moved.collect()
}

fn starts(list: &str) -> Vec<String> {
    let lines = list.lines();
    let dates = lines.filter_map(|line| line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:"));
    dates
        .map(|date| date[..date.len().min(22)].to_owned())
        .collect()
}

#[test]
fn layers_are_variants_with_the_same_cuts() {
    let bench = Bench::new();
    let start = Instant::now();
    let layers = [
        at(packets(vec![layer(640)]), start, 0),
        at(packets(vec![layer(320)]), start, 77_777),
        at(packets(vec![layer(160)]), start, 4_000_000_000),
    ];
    publish(&bench, &layers);
    let index = bench.text("index.m3u8");
    for size in ["640x240", "320x240", "160x240"] {
        assert!(index.contains(&format!("RESOLUTION={size}")), "{index}");
    }
    assert_eq!(index.matches("FRAME-RATE=25").count(), 3, "{index}");
    let lists = ["video.m3u8", "video1.m3u8", "video2.m3u8"].map(|list| bench.text(list));
    for list in &lists {
        assert_eq!(durations(list), [2.0, 2.0, 2.0], "{list}");
        assert_eq!(starts(list), starts(&lists[0]), "{list}");
        assert_eq!(list.matches("#EXT-X-DISCONTINUITY\n").count(), 0, "{list}");
    }
    let directory = bench.write("layers");
    let pictures = ["video", "video1", "video2"].map(|kind| {
        let pictures = probe(&bench, &directory, kind, "h264");
        decode(&directory, kind);
        assert_gapless(&pictures);
        pictures
    });
    for layer in &pictures {
        assert_eq!(layer.len(), FRAMES);
        let same = layer.iter().zip(&pictures[0]);
        for (one, best) in same {
            assert!(one.pts.abs_diff(best.pts) <= 1, "{one:?} {best:?}");
        }
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_broken_layer_does_not_disturb_the_others() {
    let bench = Bench::new();
    let start = Instant::now();
    let layers = [layer(640), layer(320)].map(|layer| at(packets(vec![layer]), start, 0));
    let feed = bench.start(vec![info(VIDEO, Codec::H264)]);
    for (index, packets) in (0..).zip(&layers) {
        for packet in packets {
            while !feed.push(Line(index), packet) {
                std::thread::yield_now();
            }
        }
        feed.break_down(Line(1));
    }
    feed.finish();
    let list = bench.text("video.m3u8");
    assert_eq!(durations(&list), [2.0, 2.0, 2.0], "{list}");
    assert_eq!(list.matches("#EXT-X-DISCONTINUITY\n").count(), 0, "{list}");
}

#[test]
fn a_picture_has_one_time_in_all_lines_of_a_source() {
    let bench = Bench::new();
    let whole = at(packets(vec![layer(320)]), Instant::now(), 0);
    let start = whole[0].received;
    // What came before the lesser layer was known was delayed less than all that follows.
    let second = start + Duration::from_secs(2);
    let late = whole.iter().map(|packet| match packet.received < second {
        true => Arc::clone(packet),
        false => Arc::new(Packet {
            received: packet.received + Duration::from_millis(40),
            ..Packet::clone(packet)
        }),
    });
    let feed = bench.start(vec![info(VIDEO, Codec::H264)]);
    assert!(feed.set_layered(Layers::Parts));
    for packet in late {
        if packet.received >= second {
            push_to(&feed, Line(1), &packet);
        }
        push_to(&feed, Line::MAIN, &packet);
    }
    feed.finish();
    let directory = bench.write("parts");
    let pictures = ["video", "video1"].map(|kind| probe(&bench, &directory, kind, "h264"));
    let (all, lesser) = (&pictures[0], &pictures[1]);
    assert_eq!((all.len(), lesser.len()), (FRAMES, FRAMES - 50));
    assert_eq!(all[50..], lesser[..]);
    let lists = ["video.m3u8", "video1.m3u8"].map(|list| bench.text(list));
    assert_eq!(durations(&lists[1]), [2.0, 2.0]);
    assert_eq!(starts(&lists[0])[1..], starts(&lists[1]));
    std::fs::remove_dir_all(directory).unwrap();
}

fn push_to(feed: &HlsFeed, line: Line, packet: &Arc<Packet>) {
    while !feed.push(line, packet) {
        std::thread::yield_now();
    }
}
