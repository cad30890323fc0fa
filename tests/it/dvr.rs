//! The past of a stream on disk: served, bounded by the life of its stream, and gone after a crash.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use crate::hls_media::pictures;
use crate::lifetime::until;
use crate::pipelines::{publish, tidegate};
use crate::support::server::Server;

/// A directory for one gateway.
struct Disk(PathBuf);

impl Disk {
    fn new(name: &str) -> Self {
        let name = format!("dvr-{}-{name}", std::process::id());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    /// The names of the segments that there are.
    fn segments(&self) -> Vec<String> {
        let folders = fs::read_dir(self.0.join("tidegate-dvr"));
        let folders = folders.into_iter().flatten().flatten();
        let files = folders.filter_map(|folder| fs::read_dir(folder.path()).ok());
        files
            .flat_map(|files| files.flatten())
            .map(|file| file.file_name().into_string().unwrap())
            .collect()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn players_go_back_to_what_has_left_the_memory_until_the_stream_is_over() {
    let disk = Disk::new("back");
    let server = Server::start(|settings| {
        settings.hls.enabled = true;
        settings.hls.segment_duration = Duration::from_secs(1);
        settings.hls.window = 3;
        settings.hls.spare_segments = 1;
        settings.hls.dvr_window = Duration::from_secs(3_600);
        settings.hls.dvr_directory = Some(disk.0.clone());
        settings.hls.linger = Duration::ZERO;
        settings.streams.every.reconnect_grace = Duration::ZERO;
    })
    .await;
    let publisher = publish(&server, "demo", "h264");
    let playlist = async |name: &str| {
        let answer = reqwest::get(server.url(&format!("/hls/demo/{name}.m3u8"))).await;
        answer.unwrap().text().await.unwrap()
    };
    let segments = |list: &str| -> Vec<String> {
        let lines = list.lines().filter(|line| line.ends_with(".m4s"));
        lines.map(str::to_owned).collect()
    };
    // Of which three and a spare one are in memory.
    until("the playlist lists the past", async || {
        segments(&playlist("video").await).len() >= 8
    })
    .await;
    // AAC is there too, without anybody having asked for it.
    for rendition in ["video", "audio", "aac"] {
        let list = playlist(rendition).await;
        let oldest = &segments(&list)[0];
        assert!(disk.segments().contains(oldest), "{list}");
        let url = server.url(&format!("/hls/demo/{oldest}"));
        let whole = reqwest::get(&url).await.unwrap();
        let header = |name: &str| whole.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(whole.status(), 200);
        assert_eq!(header("cache-control"), "public, max-age=3600");
        let kind = if rendition == "video" {
            "video/mp4"
        } else {
            "audio/mp4"
        };
        assert_eq!(header("content-type"), kind);
        let whole = whole.bytes().await.unwrap();
        let part = reqwest::Client::new()
            .get(&url)
            .header("range", "bytes=4-7");
        let part = part.send().await.unwrap();
        assert_eq!(part.status(), 206);
        assert_eq!(part.bytes().await.unwrap(), whole[4..8]);
        if rendition == "video" {
            let init = list
                .split("URI=\"")
                .nth(1)
                .and_then(|rest| rest.split('"').next());
            let init = reqwest::get(server.url(&format!("/hls/demo/{}", init.unwrap()))).await;
            let mut file = init.unwrap().bytes().await.unwrap().to_vec();
            file.extend(whole);
            let found = pictures(file).await;
            assert!(found.starts_with("320,180,"), "{found} in {oldest}");
        }
    }
    drop(publisher);
    until("the files have gone with the stream", async || {
        disk.segments().is_empty()
    })
    .await;
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_leaves_is_removed_at_the_next_start() {
    let disk = Disk::new("crash");
    let (mut gateway, url) = serve(&disk).await;
    let mut publisher = tidegate(&["publish", "--url", &format!("{url}/whip/demo")])
        .args([
            "--size",
            "320x180",
            "--fps",
            "15",
            "--keyframe-interval",
            "1s",
        ])
        .spawn()
        .unwrap();
    until("segments are on disk", async || disk.segments().len() >= 4).await;
    gateway.kill().await.unwrap();
    publisher.kill().await.unwrap();
    let left = disk.segments();
    assert!(left.len() >= 4, "{left:?}");
    let (mut gateway, _) = serve(&disk).await;
    assert_eq!(disk.segments(), [""; 0]);
    gateway.kill().await.unwrap();
}

/// The program, once it listens.
async fn serve(disk: &Disk) -> (Child, String) {
    let mut gateway = tidegate(&["serve", "--listen", "127.0.0.1:0"])
        .env("TIDEGATE_HLS_DVR_WINDOW", "1h")
        .env("TIDEGATE_HLS_DVR_DIRECTORY", &disk.0)
        .env("TIDEGATE_HLS_SEGMENT_DURATION", "1s")
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(gateway.stdout.take().unwrap()).lines();
    let address = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((_, address)) = line.split_once("HTTP on ") {
                let end = address.find([' ', ',']).unwrap_or(address.len());
                return address[..end].to_owned();
            }
        }
        panic!("the gateway does not say where it listens");
    };
    let address = tokio::time::timeout(Duration::from_secs(30), address).await;
    (gateway, format!("http://{}", address.unwrap()))
}
