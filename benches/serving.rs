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

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::Read as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::json;
use support::arguments::{self, List};
use support::cpu::Thread;
use support::http::Connection;
use support::nginx::{Nginx, Running};
use support::report::{median, quantile, save};
use support::server::{self, Server};
use tokio::task::LocalSet;
use tokio::time::sleep;

/// Between two viewers who come.
const ARRIVALS: Duration = Duration::from_micros(1500);

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
        println!("viewers | server, % of a core | us a viewer-second | Mbit/s | lag ms: median, p99, worst | missed");
        for count in viewers {
            crowds.push(crowd(&server, count, Duration::from_secs(seconds)).await);
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

/// What all viewers of a rendition know.
#[derive(Default)]
struct Known {
    /// By the tag of a playlist: when it was first seen, the newest part, and which part comes next.
    states: RefCell<HashMap<String, State>>,
    /// Since when figures are taken.
    counting: Cell<bool>,
    lags: RefCell<Vec<f64>>,
    bytes: Cell<u64>,
    /// Parts that a viewer found listed behind the one that it had asked for: it was too slow for them.
    missed: Cell<u64>,
    stop: Cell<bool>,
}

#[derive(Clone)]
struct State {
    seen: Instant,
    newest: String,
    next: (u64, usize),
    parts: Rc<[String]>,
}

async fn crowd(server: &Server, count: usize, length: Duration) -> serde_json::Value {
    let known: [Rc<Known>; 2] = Default::default();
    let mut tasks = Vec::new();
    for number in 0..count {
        for (known, rendition) in known.iter().zip(["video", "audio"]) {
            let (known, address) = (Rc::clone(known), server.address);
            tasks.push(tokio::task::spawn_local(async move {
                // So that those who are let in do not pile up.
                sleep(ARRIVALS * number as u32).await;
                view(address, rendition, &known).await
            }));
        }
    }
    sleep(ARRIVALS * count as u32 + Duration::from_secs(3)).await;
    let (begun, before) = (Instant::now(), server_cpu(server));
    known.iter().for_each(|known| known.counting.set(true));
    sleep(length).await;
    let (elapsed, cpu) = (begun.elapsed().as_secs_f64(), server_cpu(server) - before);
    known.iter().for_each(|known| known.stop.set(true));
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let bytes: u64 = known.iter().map(|known| known.bytes.get()).sum();
    let missed: u64 = known.iter().map(|known| known.missed.get()).sum();
    let lags: Vec<f64> = known.iter().flat_map(|known| known.lags.take()).collect();
    let (busy, each) = (
        100.0 * cpu.as_secs_f64() / elapsed,
        cpu.as_secs_f64() * 1e6 / count as f64 / elapsed,
    );
    let (middle, high, worst) = (median(&lags), quantile(&lags, 0.99), quantile(&lags, 1.0));
    println!(
        "{count:7} | {busy:20.1} | {each:18.0} | {:6.0} | {middle:.1}, {high:.1}, {worst:.1} | {missed}",
        bytes as f64 * 8.0 / 1e6 / elapsed
    );
    json!({
        "viewers": count, "core_percent": busy, "us_per_viewer_second": each,
        "bytes": bytes, "lag_ms": [middle, high, worst], "parts": lags.len(), "missed": missed,
    })
}

/// One rendition for one viewer.
async fn view(server: SocketAddr, rendition: &str, known: &Known) -> std::io::Result<()> {
    let mut connection = Connection::open(server).await?;
    let mut wanted: Option<(u64, usize)> = None;
    while !known.stop.get() {
        let path = match wanted {
            None => format!("/hls/bench/{rendition}.m3u8"),
            Some((segment, part)) => {
                format!("/hls/bench/{rendition}.m3u8?_HLS_msn={segment}&_HLS_part={part}")
            }
        };
        let head = connection.ask(&path).await?;
        assert_eq!(head.status, 200, "{path}");
        let mut bytes = head.body;
        let state = known.states.borrow().get(&head.etag).cloned();
        let state = match state {
            Some(state) => {
                connection.drop_body(&head).await?;
                state
            }
            None => {
                let seen = Instant::now();
                let body = connection.body(&head).await?;
                let state = State::read(body, head.is_gzip, seen);
                known.states.borrow_mut().insert(head.etag, state.clone());
                state
            }
        };
        let asked = wanted.map(|(segment, part)| format!("{rendition}-{segment}.{part}.m4s"));
        let place = |name: &String| state.parts.iter().position(|part| part == name);
        let behind = asked.as_ref().and_then(place).map_or(0, |place| {
            // What was listed after it had come already.
            (state.parts.len() - 1 - place) as u64
        });
        let head = connection
            .ask(&format!("/hls/bench/{}", state.newest))
            .await?;
        assert_eq!(head.status, 200, "{}", state.newest);
        bytes += connection.drop_body(&head).await?;
        if known.counting.get() && !known.stop.get() && wanted.is_some() {
            let lag = state.seen.elapsed().as_secs_f64() * 1e3;
            known.lags.borrow_mut().push(lag);
            known.bytes.set(known.bytes.get() + bytes as u64);
            known.missed.set(known.missed.get() + behind);
        }
        wanted = Some(state.next);
    }
    Ok(())
}

impl State {
    fn read(body: &[u8], is_gzip: bool, seen: Instant) -> Self {
        let mut text = String::new();
        if is_gzip {
            let mut decoder = flate2::read::GzDecoder::new(body);
            decoder.read_to_string(&mut text).unwrap();
        } else {
            std::str::from_utf8(body).unwrap().clone_into(&mut text);
        }
        let uri = |line: &str| Some(line.split_once("URI=\"")?.1.split_once('"')?.0.to_owned());
        let of = |tag: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| line.starts_with(tag));
            lines.filter_map(uri).collect()
        };
        let (parts, hints) = (of("#EXT-X-PART:"), of("#EXT-X-PRELOAD-HINT:"));
        let next = || {
            let (_, rest) = hints.first()?.split_once('-')?;
            let (segment, part) = rest.strip_suffix(".m4s")?.split_once('.')?;
            Some((segment.parse().ok()?, part.parse().ok()?))
        };
        Self {
            seen,
            newest: parts.last().unwrap().clone(),
            next: next().unwrap(),
            parts: parts.into(),
        }
    }
}

/// Plain files, in turn from the server and from nginx.
async fn plain(server: &Server, rounds: usize) -> serde_json::Value {
    // A segment that stays for two minutes, and one of its parts.
    let playlist = server::get(server.address, "/hls/bench/video.m3u8").await;
    let part = State::read(playlist.as_bytes(), false, Instant::now()).newest;
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
    for file in [segment, &part] {
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
