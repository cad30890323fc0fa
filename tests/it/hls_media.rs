//! What becomes of codecs in HLS, and still pictures, with GStreamer's WebRTC as the publisher.

use std::process::Stdio;
use std::time::Duration;

use tidegate::config::{SecondPublisher, Settings};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::lifetime::until;
use crate::pipelines::{publish, publish_sized};
use crate::support::server::Server;

async fn start(change: impl FnOnce(&mut Settings)) -> Server {
    Server::start(|settings| {
        settings.hls.enabled = true;
        settings.hls.segment_duration = Duration::from_secs(1);
        change(settings);
    })
    .await
}

async fn get(server: &Server, path: &str) -> (u16, String) {
    let answer = reqwest::get(server.url(path)).await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.text().await.unwrap())
}

/// Waits until there is a playlist, or a reason why there will be none.
async fn decided(server: &Server, stream: &str) -> (u16, String) {
    let path = format!("/hls/{stream}/index.m3u8");
    let begins = format!("nobody publishes {stream}");
    let mut last = (0, String::new());
    for _ in 0..600 {
        last = get(server, &path).await;
        if last.0 == 200 || (last.0 == 404 && !last.1.contains(&begins)) {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nothing is known of {stream}: {last:?}");
}

/// The codecs that FFmpeg finds in a live playlist.
async fn codecs(server: &Server, path: &str) -> String {
    let output = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-show_entries",
            "stream=codec_name",
            "-of",
            "csv=p=0",
        ])
        .arg(server.url(path))
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(60), output).await;
    String::from_utf8(output.unwrap().unwrap().stdout).unwrap()
}

/// Where an I-frame playlist says that its newest keyframe is: the init segment, the segment and the range.
fn keyframe(list: &str) -> (String, String, String) {
    let value = |tag: &str| list.lines().rev().find_map(|line| line.strip_prefix(tag));
    let map = value("#EXT-X-MAP:URI=").unwrap().trim_matches('"');
    let (length, start) = value("#EXT-X-BYTERANGE:").unwrap().split_once('@').unwrap();
    let end = start.parse::<usize>().unwrap() + length.parse::<usize>().unwrap();
    let segment = list.lines().rfind(|line| !line.starts_with('#')).unwrap();
    let range = format!("bytes={start}-{}", end - 1);
    (map.to_owned(), segment.to_owned(), range)
}

/// How many pictures FFmpeg decodes from a file, and their size.
pub(crate) async fn pictures(file: Vec<u8>) -> String {
    let entries = "stream=width,height,nb_read_frames";
    let child = Command::new("ffprobe")
        .args(["-v", "fatal", "-count_frames", "-of", "csv=p=0"])
        .args(["-show_entries", entries, "-i", "pipe:0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = child.unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&file).await.unwrap();
    drop(input);
    let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await;
    let found = String::from_utf8(output.unwrap().unwrap().stdout).unwrap();
    found.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyframe_can_be_fetched_and_decoded_alone() {
    let server = start(|_| {}).await;
    let _publisher = publish(&server, "demo", "h264");
    let (status, index) = decided(&server, "demo").await;
    assert_eq!(status, 200, "{index}");
    assert!(index.contains("#EXT-X-I-FRAME-STREAM-INF:URI=\"video-iframes.m3u8\""));
    let (_, list) = get(&server, "/hls/demo/video-iframes.m3u8").await;
    let (init, segment, range) = keyframe(&list);
    let init = reqwest::get(server.url(&format!("/hls/demo/{init}"))).await;
    let mut file = init.unwrap().bytes().await.unwrap().to_vec();
    let answer = reqwest::Client::new()
        .get(server.url(&format!("/hls/demo/{segment}")))
        .header("range", &range)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 206, "{range}: {list}");
    file.extend(answer.bytes().await.unwrap());
    assert_eq!(pictures(file).await, "320,180,1", "{list}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vp8_is_not_in_hls_and_says_why_but_has_a_thumbnail() {
    let server = start(|_| {}).await;
    let _publisher = publish(&server, "demo", "vp8");
    let (status, reason) = decided(&server, "demo").await;
    assert_eq!(status, 404, "{reason}");
    assert!(
        reason.contains("VP8") && reason.contains("hls.vp8_transcodes"),
        "{reason}"
    );
    let (_, list) = get(&server, "/streams").await;
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let told = list[0]["no_hls"].as_str().unwrap();
    assert!(told.contains("no HLS player takes VP8"), "{told}");
    let answer = reqwest::get(server.url("/streams/demo/thumbnail.jpg"))
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "image/jpeg");
    let tag = answer.headers()["etag"].clone();
    let picture = answer.bytes().await.unwrap();
    assert!(picture.starts_with(&[0xff, 0xd8, 0xff]), "it is a JPEG");
    let known = reqwest::Client::new()
        .get(server.url("/streams/demo/thumbnail.jpg"))
        .header("if-none-match", tag)
        .send()
        .await
        .unwrap();
    assert_eq!(known.status(), 304, "it is kept for some seconds");
    let (status, _) = get(&server, "/streams/nobody/thumbnail.jpg").await;
    assert_eq!(status, 404);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vp8_becomes_h264_where_that_is_allowed() {
    let server = start(|settings| settings.hls.vp8_transcodes = 1).await;
    let _publisher = publish(&server, "demo", "vp8");
    let (status, index) = decided(&server, "demo").await;
    assert_eq!(status, 200, "{index}");
    assert!(
        index.contains("avc1.") && index.contains("RESOLUTION=320x180"),
        "{index}"
    );
    let found = codecs(&server, "/hls/demo/video.m3u8").await;
    assert!(found.contains("h264"), "{found}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aac_comes_when_it_is_asked_for() {
    let server = start(|_| {}).await;
    let _publisher = publish(&server, "demo", "h264");
    let (status, index) = decided(&server, "demo").await;
    assert_eq!(status, 200, "{index}");
    assert!(
        index.contains("opus") && index.contains("mp4a.40.2"),
        "{index}"
    );
    until("there is AAC", async || {
        get(&server, "/hls/demo/aac.m3u8").await.0 == 200
    })
    .await;
    let found = codecs(&server, "/hls/demo/aac.m3u8").await;
    assert!(found.contains("aac"), "{found}");
    let found = codecs(&server, "/hls/demo/index.m3u8").await;
    assert!(found.contains("h264"), "{found}");
    server.stop().await.unwrap();
}

async fn signal(child: &Child, name: &str) {
    let id = child.id().unwrap().to_string();
    let told = Command::new("kill").args(["-s", name, &id]).status().await;
    assert!(told.unwrap().success());
}

/// What lies between two discontinuities of a playlist.
#[derive(Debug, Default)]
struct Run {
    /// The init segment and the whole segments.
    paths: Vec<String>,
    seconds: f64,
}

fn runs(list: &str) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for line in list.lines() {
        if let Some(map) = line.strip_prefix("#EXT-X-MAP:URI=") {
            runs.push(Run::default());
            runs.last_mut()
                .unwrap()
                .paths
                .push(map.trim_matches('"').to_owned());
        }
        let Some(run) = runs.last_mut() else { continue };
        if let Some(length) = line.strip_prefix("#EXTINF:") {
            run.seconds += length.trim_end_matches(',').parse::<f64>().unwrap();
        } else if !line.starts_with('#') {
            run.paths.push(line.to_owned());
        }
    }
    assert_eq!(
        list.matches("#EXT-X-DISCONTINUITY\n").count() + 1,
        runs.len(),
        "{list}"
    );
    runs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn players_get_the_backup_while_the_primary_is_away() {
    let server = start(|settings| {
        settings.hls.window = 100;
        settings.streams.every.second_publisher = SecondPublisher::Backup;
        settings.streams.every.stall_after = Duration::from_millis(500);
        settings.streams.every.return_after = Duration::from_secs(1);
    })
    .await;
    let primary = publish_sized(&server, "demo", "h264", "320x180");
    let (status, index) = decided(&server, "demo").await;
    assert_eq!(status, 200, "{index}");
    let _backup = publish_sized(&server, "demo?backup", "h264", "160x90");
    until("there is a backup", async || {
        let (_, streams) = get(&server, "/streams").await;
        let streams: serde_json::Value = serde_json::from_str(&streams).unwrap();
        streams[0]["publishers"][1]["state"] == "flowing"
    })
    .await;
    let plays = async |size: &str| {
        let (_, index) = get(&server, "/hls/demo/index.m3u8").await;
        let (_, list) = get(&server, "/hls/demo/video.m3u8").await;
        let last = runs(&list).pop().unwrap_or_default();
        index.contains(&format!("RESOLUTION={size}")) && last.seconds > 2.0
    };
    signal(&primary, "STOP").await;
    until("the backup is played", async || plays("160x90").await).await;
    signal(&primary, "CONT").await;
    until("the primary is played again", async || {
        plays("320x180").await
    })
    .await;
    let (_, list) = get(&server, "/hls/demo/video.m3u8").await;
    let mut sizes = Vec::new();
    for Run { paths, seconds } in runs(&list) {
        let mut file = Vec::new();
        for path in paths {
            let answer = reqwest::get(server.url(&format!("/hls/demo/{path}"))).await;
            let answer = answer.unwrap().error_for_status().unwrap();
            file.extend(answer.bytes().await.unwrap());
        }
        let found = pictures(file).await;
        let (size, count) = found.rsplit_once(',').unwrap();
        // 15 a second, but the last one may be shown for as long as no other came.
        let count: f64 = count.parse().unwrap();
        assert!(count > 15.0 * (seconds - 1.0), "{count}: {list}");
        sizes.push(size.to_owned());
    }
    // The same publisher begins anew where it has told its clock late.
    sizes.dedup();
    assert_eq!(sizes, ["320,180", "160,90", "320,180"], "{list}");
    server.stop().await.unwrap();
}
