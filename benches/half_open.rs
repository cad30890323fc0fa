//! What do sessions cost that were asked for and never connect, and does a running broadcast notice them?
//!
//! `cargo bench --bench half_open -- --sessions 10000 --per-second 1000 --seconds 5`
//!
//! The server is `tidegate serve --shards 1` in a process of its own on one core, over real HTTP. One viewer
//! watches. Then so many sessions come, each from an address of its own: a POST, a connectivity check, and for
//! every second one the first flight of a DTLS handshake that is never answered again. All of them stay open
//! until the server gives them up.
//!
//! The viewer's packets are counted, and the longest time between two of them taken, in three parts of the
//! run: before, while the sessions come, and while all of them are there. Publisher, viewer and the crowd share
//! the other core, so gaps hold the crowd's own work too: they say what the server does at most.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]
#![allow(
    clippy::unwrap_used,
    reason = "what fails in a bench fails the bench, loudly"
)]
#![allow(clippy::disallowed_methods, reason = "a bench is about the clock")]
#![allow(clippy::print_stderr, reason = "and what is wrong with its arguments")]

mod support;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;
use support::arguments;
use support::broadcast::Broadcast;
use support::cpu;
use support::peer::{PATIENCE, Peer, PeerIdentity};
use support::report::save;
use support::server::{self, Server};
use tidegate::rtp::sequence::Unwrapper;

/// How long the server keeps a session that does not connect: longer than the bench needs them.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);
/// Requests under way at once.
const TOGETHER: usize = 16;
/// What the viewer looks at of a packet.
const HEAD: usize = 16;

fn main() {
    let sessions: usize = arguments::value("sessions", 10_000);
    let per_second: usize = arguments::value("per-second", 1_000);
    let seconds: u64 = arguments::value("seconds", 5);
    let part = Duration::from_secs(seconds);

    let limit = (sessions + 100).to_string();
    let server = Server::start_with(&[
        ("TIDEGATE_LIMITS_SESSIONS", &limit),
        ("TIDEGATE_LIMITS_SESSIONS_PER_STREAM", &limit),
        ("TIDEGATE_LIMITS_HALF_OPEN_SESSIONS", &limit),
        (
            "TIDEGATE_LIMITS_CONNECT_TIMEOUT",
            &format!("{}s", CONNECT_TIMEOUT.as_secs()),
        ),
    ]);
    let identity = PeerIdentity::generate();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let publisher = runtime.block_on(session(&server, "whip", &identity));
    let playing = play(publisher, server.address);
    let (socket, _) = runtime.block_on(session(&server, "whep", &identity));
    let viewer = Viewer::watch(socket);

    std::thread::sleep(Duration::from_secs(3));
    viewer.part();
    std::thread::sleep(part);
    let before = viewer.part();

    let (memory, cpu_before) = (cpu::resident(server.process()), server.cpu());
    let begun = Instant::now();
    runtime.block_on(crowd(&server, &identity, sessions, per_second));
    let took = begun.elapsed();
    let coming = viewer.part();
    let cpu_after = server.cpu();
    let grown = cpu::resident(server.process()).saturating_sub(memory);

    std::thread::sleep(part);
    let there = viewer.part();
    let idle = server.cpu();
    assert!(
        begun.elapsed() < CONNECT_TIMEOUT,
        "the first sessions have ended before the last part was over: take fewer, or a faster rate"
    );
    std::thread::sleep(
        (begun + took + CONNECT_TIMEOUT + part).saturating_duration_since(Instant::now()),
    );
    viewer.part();
    let left = cpu::resident(server.process()).saturating_sub(memory);
    runtime.block_on(session(&server, "whep", &identity));
    playing.stop();
    viewer.stop();

    let kib = |bytes: u64| bytes as f64 / 1024.0;
    let each = kib(grown) / sessions as f64;
    let per_session =
        |now: Duration, before: Duration| (now - before).as_secs_f64() * 1e3 / sessions as f64;
    let (shard, rest) = (
        per_session(cpu_after.0, cpu_before.0),
        per_session(cpu_after.1, cpu_before.1),
    );
    let waiting = (idle.0 + idle.1 - cpu_after.0 - cpu_after.1).as_secs_f64() / part.as_secs_f64();
    println!(
        "{sessions} half-open sessions in {:.1} s: {each:.1} KiB each, {:.3} ms of CPU each \
         ({shard:.3} media thread, {rest:.3} HTTP and control plane)",
        took.as_secs_f64(),
        shard + rest
    );
    println!(
        "while they wait the server takes {:.1} % of its core, the broadcast with it",
        waiting * 100.0
    );
    println!(
        "when they are given up, {:.1} KiB each are still held, for the next ones",
        kib(left) / sessions as f64
    );
    println!("\nthe viewer      packets  missing  longest gap");
    for (name, part) in [
        ("before", &before),
        ("they come", &coming),
        ("they wait", &there),
    ] {
        println!(
            "  {name:12} {:8} {:8} {:9.1} ms",
            part.packets,
            part.missing,
            part.longest.as_secs_f64() * 1e3
        );
    }
    let of_part = |part: &Part| json!({ "packets": part.packets, "missing": part.missing, "longest_gap_ms": part.longest.as_secs_f64() * 1e3 });
    save(
        "half_open",
        &json!({
            "sessions": sessions,
            "seconds": took.as_secs_f64(),
            "kib_each": each,
            "cpu_ms_media_thread": shard,
            "cpu_ms_rest": rest,
            "core_share_while_waiting": waiting,
            "kib_each_after": kib(left) / sessions as f64,
            "viewer": { "before": of_part(&before), "coming": of_part(&coming), "waiting": of_part(&there) },
        }),
    );
}

/// Asks for sessions at a steady rate, and goes no further with them.
async fn crowd(server: &Server, identity: &PeerIdentity, sessions: usize, per_second: usize) {
    let places = Arc::new(tokio::sync::Semaphore::new(TOGETHER));
    let mut every = tokio::time::interval(Duration::from_secs(1) / per_second.max(1) as u32);
    let mut asked = Vec::new();
    for number in 0..sessions {
        every.tick().await;
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        let (address, identity) = (server.address, identity.clone());
        asked.push(tokio::spawn(async move {
            half_open(number, address, &identity).await;
            drop(place);
        }));
    }
    for one in asked {
        one.await.unwrap();
    }
}

async fn half_open(number: usize, server: SocketAddr, identity: &PeerIdentity) {
    // 127.1.0.1 and on: no two sessions have an address in common.
    let client = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + number as u32);
    let created = server::post_from(client, server, "whep", identity).await;
    let socket = tokio::net::UdpSocket::bind((client, 0)).await.unwrap();
    socket.connect(server).await.unwrap();
    let mut peer = Peer::new(identity, server, created.credentials);
    let mut buffer = [0; 2048];
    while !peer.is_started() {
        socket.send(&peer.check()).await.unwrap();
        if let Ok(len) = tokio::time::timeout(PATIENCE, socket.recv(&mut buffer)).await {
            peer.handle_datagram(Instant::now(), &buffer[..len.unwrap()]);
        }
    }
    if number.is_multiple_of(2) {
        while let Some(datagram) = peer.poll_transmit() {
            socket.send(&datagram).await.unwrap();
        }
    }
}

/// Does ICE and DTLS of a session to the end.
async fn session(server: &Server, kind: &str, identity: &PeerIdentity) -> (UdpSocket, Peer) {
    let created = server::post(server.address, kind, identity).await;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut peer = Peer::new(identity, server.address, created.credentials);
    peer.connect(&socket);
    (socket, peer)
}

/// Sends the broadcast, over and over, until it is told to stop.
fn play((socket, mut peer): (UdpSocket, Peer), server: SocketAddr) -> Playing {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let thread = std::thread::spawn(move || {
        let mut broadcast = Broadcast::default();
        while !stopped.load(Ordering::Relaxed) {
            let begun = Instant::now();
            for burst in broadcast.script(2) {
                std::thread::sleep(burst.at.saturating_sub(begun.elapsed()));
                for packet in &burst.packets {
                    let _ = socket.send_to(&peer.protect_rtp(packet), server);
                }
            }
        }
    });
    Playing { stop, thread }
}

struct Playing {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Playing {
    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

/// What came to the viewer in a part of the run.
#[derive(Clone, Debug, Default)]
struct Part {
    packets: u64,
    missing: u64,
    longest: Duration,
}

/// The one who watches, on a thread of its own.
struct Viewer {
    part: Arc<std::sync::Mutex<Part>>,
    playing: Playing,
}

impl Viewer {
    fn watch(socket: UdpSocket) -> Self {
        let part = Arc::new(std::sync::Mutex::new(Part::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let (writing, stopped) = (Arc::clone(&part), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut last = Instant::now();
            // By payload type: each track has numbers of its own.
            let mut numbers: [Unwrapper; 128] = std::array::from_fn(|_| Unwrapper::default());
            let mut head = [0; HEAD];
            while !stopped.load(Ordering::Relaxed) {
                let Ok(len) = socket.recv(&mut head) else {
                    continue;
                };
                let is_rtp = len > 3 && head[0] >> 6 == 2 && !(192..=223).contains(&head[1]);
                if !is_rtp {
                    continue;
                }
                let numbers = &mut numbers[usize::from(head[1] & 0x7F)];
                let highest = numbers.highest();
                let number = numbers.unwrap(u16::from_be_bytes([head[2], head[3]]));
                let now = Instant::now();
                let mut part = writing.lock().unwrap();
                part.packets += 1;
                // On loopback nothing overtakes anything.
                part.missing += highest.map_or(0, |highest| number.saturating_sub(highest + 1));
                part.longest = part.longest.max(now - last);
                last = now;
            }
        });
        Self {
            part,
            playing: Playing { stop, thread },
        }
    }

    /// What came since the last time.
    fn part(&self) -> Part {
        std::mem::take(&mut self.part.lock().unwrap())
    }

    fn stop(self) {
        self.playing.stop();
    }
}
