//! How many players of low-latency HLS does a core serve, and how fast does it deliver plain segments,
//! beside nginx with the same bytes on the same core?
//!
//! `cargo bench --bench serving -- --viewers 1000,2000,3000 --seconds 10 --rounds 5 --kbps 2500`
//!
//! `tidegate serve` runs on a core of its own, with one stream of 2.5 Mbit/s (`--kbps`) and the default settings: segments of
//! 2 s, parts of 500 ms. Each viewer has two connections, one for picture and one for sound, and asks on
//! each for the playlist that is about to come, then for the new part, and so on (HTTP/1.1, gzip, no TLS).
//! CPU is that of all threads of the server, its part of making the HLS included. Lag is from when the first of
//! all viewers has the head of a new playlist until a viewer has the last byte of the part in it.
//!
//! Plain delivery: some connections fetch one file again and again, in turn from the server and from nginx,
//! which has it as a static file (`sendfile`, no log). Without nginx that part is left out.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]
#![allow(
    clippy::unwrap_used,
    reason = "what fails in a bench fails the bench, loudly"
)]
#![allow(clippy::disallowed_methods, reason = "a bench is about the clock")]
#![allow(clippy::print_stderr, reason = "and what is wrong with its arguments")]

mod support;

use std::cell::Cell;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::json;
use support::arguments::{self, List};
use support::cpu::Thread;
use support::http::Connection;
use support::nginx::{Nginx, Running};
use support::players::{Counted, Players, Playlist};
use support::report::{median, quantile, save};
use support::server::{self, Server};
use tokio::task::LocalSet;
use tokio::time::sleep;

/// Between two players who come.
const ARRIVALS: Duration = Duration::from_micros(1500);

/// From the last one who comes until figures are taken.
const SETTLING: Duration = Duration::from_secs(3);

/// Connections that fetch plain files.
const FETCHERS: usize = 16;

fn main() {
    let List(viewers) = arguments::value("viewers", List(vec![1000, 2000, 3000]));
    let seconds: u64 = arguments::value("seconds", 10);
    let rounds: usize = arguments::value("rounds", 5);
    let kbps: u32 = arguments::value("kbps", 2500);
    let server = Server::start_with(&[
        ("TIDEGATE_HLS_ENABLED", "true"),
        ("TIDEGATE_HLS_WINDOW", "60"),
        ("TIDEGATE_LIMITS_CONNECTIONS", "20000"),
    ]);
    let _publisher = Running(
        Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["publish", "--url"])
            .arg(format!("http://{}/whip/bench", server.address))
            .args(["--size", "640x360", "--bitrate", &format!("{kbps}k")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let figures = LocalSet::new().block_on(&runtime, async {
        playable(server.address).await;
        let mut crowds = Vec::new();
        println!("viewers | server, % of a core | client | us a viewer-second | Mbit/s | lag ms: median, p99, worst | missed");
        for count in viewers {
            crowds.push(crowd(&server, count, Duration::from_secs(seconds)));
        }
        (crowds, plain(&server, rounds).await)
    });
    save(
        "serving",
        &json!({ "seconds": seconds, "kbps": kbps, "viewers": figures.0, "plain": figures.1 }),
    );
}

/// Until both renditions can be played.
async fn playable(server: SocketAddr) {
    let begun = Instant::now();
    for rendition in ["video", "audio"] {
        let path = format!("/hls/bench/{rendition}.m3u8");
        while !server::get(server, &path).await.contains("PRELOAD-HINT") {
            assert!(begun.elapsed() < Duration::from_secs(20), "no HLS");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

fn server_cpu(server: &Server) -> Duration {
    let (media, others) = server.cpu();
    media + others
}

fn crowd(server: &Server, count: usize, length: Duration) -> serde_json::Value {
    let mut players = Players::new(server.address);
    players.come(count, ARRIVALS);
    players.play(SETTLING);
    let client = Thread::current();
    let (begun, before, own) = (Instant::now(), server_cpu(server), client.cpu());
    players.begin_counting();
    players.play(length);
    let (elapsed, cpu) = (begun.elapsed().as_secs_f64(), server_cpu(server) - before);
    let own = 100.0 * (client.cpu() - own).as_secs_f64() / elapsed;
    let Counted {
        lags,
        bytes,
        missed,
    } = players.counted();
    let (busy, each) = (
        100.0 * cpu.as_secs_f64() / elapsed,
        cpu.as_secs_f64() * 1e6 / count as f64 / elapsed,
    );
    let (middle, high, worst) = (median(&lags), quantile(&lags, 0.99), quantile(&lags, 1.0));
    println!(
        "{count:7} | {busy:20.1} | {own:6.1} | {each:18.0} | {:6.0} | {middle:.1}, {high:.1}, {worst:.1} | {missed}",
        bytes as f64 * 8.0 / 1e6 / elapsed
    );
    json!({
        "viewers": count, "core_percent": busy, "client_percent": own, "us_per_viewer_second": each,
        "bytes": bytes, "lag_ms": [middle, high, worst], "parts": lags.len(), "missed": missed,
    })
}

/// Plain files, in turn from the server and from nginx.
async fn plain(server: &Server, rounds: usize) -> serde_json::Value {
    // A segment that stays for two minutes, and one of its parts.
    let playlist = server::get(server.address, "/hls/bench/video.m3u8").await;
    let part = Playlist::read(playlist.as_bytes(), false);
    let part = part.newest();
    let segment = playlist
        .lines()
        .rfind(|line| line.ends_with(".m4s"))
        .unwrap();
    let folder = std::env::temp_dir().join(format!("tidegate-serving-{}", std::process::id()));
    let nginx = Nginx::start(&folder);
    if nginx.is_none() {
        println!("\nnginx is not installed: nothing to compare plain delivery with");
    }
    let mut figures = Vec::new();
    println!(
        "\nfile | kB | MB/s: server, nginx, ratio | MB for each CPU second: server, nginx, ratio"
    );
    for file in [segment, part] {
        let path = format!("/hls/bench/{file}");
        let bytes = server::get_bytes(server.address, &path).await;
        if let Some(nginx) = &nginx {
            nginx.put(&path, &bytes);
        }
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            ours.push(fetch(server.address, server.process(), &path, bytes.len()).await);
            if let Some(nginx) = &nginx {
                theirs.push(fetch(nginx.address, nginx.process(), &path, bytes.len()).await);
            }
        }
        let middle = |rates: &[Rate], of: fn(&Rate) -> f64| {
            median(&rates.iter().map(of).collect::<Vec<_>>())
        };
        let speed = [&ours, &theirs].map(|rates| middle(rates, |rate| rate.wall));
        let work = [&ours, &theirs].map(|rates| middle(rates, |rate| rate.cpu));
        println!(
            "{file} | {} | {:.0}, {:.0}, {:.2} | {:.0}, {:.0}, {:.2}",
            bytes.len() / 1000,
            speed[0],
            speed[1],
            speed[0] / speed[1],
            work[0],
            work[1],
            work[0] / work[1],
        );
        figures.push(json!({
            "file": file, "bytes": bytes.len(),
            "mb_per_second": speed, "mb_per_cpu_second": work,
        }));
    }
    json!(figures)
}

/// Millions of bytes: each second, and for each second of the server's time on its core.
struct Rate {
    wall: f64,
    cpu: f64,
}

async fn fetch(server: SocketAddr, process: u32, path: &str, size: usize) -> Rate {
    let (end, count) = (
        Instant::now() + Duration::from_secs(1),
        Rc::new(Cell::new(0)),
    );
    let time = || -> Duration {
        Thread::named(process, "")
            .into_iter()
            .map(Thread::cpu)
            .sum()
    };
    let (begun, before) = (Instant::now(), time());
    let mut tasks = Vec::new();
    for _ in 0..FETCHERS {
        let (path, count) = (path.to_owned(), Rc::clone(&count));
        tasks.push(tokio::task::spawn_local(async move {
            let mut connection = Connection::open(server).await.unwrap();
            while Instant::now() < end {
                let head = connection.ask(&path).await.unwrap();
                assert_eq!((head.status, head.body), (200, size));
                count.set(count.get() + connection.drop_body(&head).await.unwrap());
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let (elapsed, cpu) = (begun.elapsed(), time() - before);
    let megabytes = count.get() as f64 / 1e6;
    Rate {
        wall: megabytes / elapsed.as_secs_f64(),
        cpu: megabytes / cpu.as_secs_f64(),
    }
}
