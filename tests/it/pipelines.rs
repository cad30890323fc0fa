//! The programs `tidegate publish` and `tidegate watch` through a gateway: GStreamer's WebRTC on one
//! side, the async `webrtc` crate on the other.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::lifetime::until;
use crate::support::peer::{Options, Peer};
use crate::support::server::Server;

/// Encoders start slowly when all of them start at once on a small machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn tidegate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", env!("CARGO_TARGET_TMPDIR")) // GStreamer keeps its registry there
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// A small broadcast of the test picture and tone.
pub(crate) fn publish(server: &Server, stream: &str, codec: &str) -> Child {
    publish_sized(server, stream, codec, "320x180")
}

/// The same with a picture of this size.
pub(crate) fn publish_sized(server: &Server, stream: &str, codec: &str, size: &str) -> Child {
    let url = server.whip(stream);
    let mut command = tidegate(&["publish", "--url", &url, "--codec", codec]);
    command.args(["--size", size, "--fps", "15", "--bitrate", "300k"]);
    command.args(["--keyframe-interval", "1s"]).spawn().unwrap()
}

async fn is_live(server: &Server, stream: &str, publisher: &mut Child) -> bool {
    if let Some(status) = publisher.try_wait().unwrap() {
        panic!("the publisher of {stream} ended too soon: {status}");
    }
    let streams = reqwest::get(server.url("/streams")).await.unwrap();
    let streams: serde_json::Value = serde_json::from_str(&streams.text().await.unwrap()).unwrap();
    let mut streams = streams.as_array().unwrap().iter();
    streams.any(|live| live["name"] == stream)
}

async fn live(server: &Server, stream: &str, publisher: &mut Child) {
    let waiting = async {
        while !is_live(server, stream, publisher).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "{stream} did not go live in time");
}

/// Ends a program as a user would.
async fn interrupt(mut child: Child) -> ExitStatus {
    let id = child.id().unwrap().to_string();
    let told = Command::new("kill").args(["-s", "INT", &id]).status().await;
    assert!(told.unwrap().success());
    tokio::time::timeout(PATIENCE, child.wait())
        .await
        .expect("the publisher ends when it is interrupted")
        .unwrap()
}

/// Publishes a codec and watches it.
async fn plays(server: &Server, codec: &str, name: &str) {
    let mut publisher = publish(server, codec, codec);
    live(server, codec, &mut publisher).await;
    let url = server.whep(codec);
    let watch = tidegate(&[
        "watch",
        &url,
        "--json",
        "--quiet",
        "--duration",
        "3s",
        "--timeout",
        "30s",
    ])
    .output()
    .await
    .unwrap();
    let log = String::from_utf8_lossy(&watch.stderr);
    let report = String::from_utf8_lossy(&watch.stdout);
    assert_eq!(watch.status.code(), Some(0), "{codec}: {report}\n{log}");
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["ok"], true, "{codec}: {report}");
    let tracks = report["tracks"].as_array().unwrap();
    let track = |kind: &str| tracks.iter().find(|track| track["kind"] == kind).unwrap();
    assert!(
        track("video")["codec"]
            .as_str()
            .unwrap()
            .eq_ignore_ascii_case(name),
        "{report}"
    );
    assert!(track("video")["frames"].as_u64().unwrap() >= 10, "{report}");
    assert!(
        track("video")["keyframes"].as_u64().unwrap() >= 1,
        "{report}"
    );
    assert!(
        track("audio")["packets"].as_u64().unwrap() >= 50,
        "{report}"
    );
    for track in tracks {
        assert_eq!(track["lost"], 0, "{codec}: {report}");
    }
    let status = interrupt(publisher).await;
    assert_eq!(
        status.code(),
        Some(0),
        "{codec}: the publisher ended with {status}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_codec_goes_from_gstreamer_to_the_viewer() {
    let server = Server::start(|settings| settings.media.shards = 2).await;
    tokio::join!(
        plays(&server, "h264", "H264"),
        plays(&server, "vp8", "VP8"),
        plays(&server, "vp9", "VP9"),
        plays(&server, "av1", "AV1"),
        plays(&server, "h265", "H265"),
    );
}

async fn viewer(server: &Server) -> Peer {
    let options = Options {
        codec: "VP8",
        ..Options::subscriber()
    };
    Peer::connect(&server.whep("demo"), None, &options)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_is_killed_makes_room_for_the_next() {
    let server = Server::start(|settings| {
        settings.limits.consent_timeout = Duration::from_secs(3);
        settings.streams.every.reconnect_grace = Duration::ZERO;
    })
    .await;
    let mut publisher = publish(&server, "demo", "vp8");
    live(&server, "demo", &mut publisher).await;
    let mut subscriber = viewer(&server).await;
    subscriber.recv_rtp().await;
    publisher.kill().await.unwrap(); // SIGKILL: it can say nothing
    subscriber.recv_closed().await;
    until("the end of the session", async || {
        !subscriber.session.exists().await
    })
    .await;
    let mut publisher = publish(&server, "demo", "vp8");
    live(&server, "demo", &mut publisher).await;
    let mut subscriber = viewer(&server).await;
    subscriber.recv_rtp().await;
    assert_eq!(interrupt(publisher).await.code(), Some(0));
    subscriber.recv_closed().await;
}
