//! Does the server stay what it is through hours of coming and going?
//!
//! `cargo bench --bench soak -- --minutes 30`
//!
//! `tidegate serve` in a process of its own, with HLS. For so long, all at once:
//! * a publisher with a real picture (`tidegate publish`), ended each 20 s in turn by a signal that lets it
//!   say goodbye and by one that does not, and started again;
//! * viewers, some a second, who stay for 1 to 20 s; half of them leave by DELETE, half vanish; each says
//!   that it lost every fiftieth packet, and every seventh wants a keyframe now and then;
//! * an HLS player that fetches the playlist and the newest file.
//!
//! Each ten seconds the memory is read. At the end all are gone, and so must be what the server held
//! for them; its log must hold no error.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]
#![allow(
    clippy::unwrap_used,
    reason = "what fails in a bench fails the bench, loudly"
)]
#![allow(clippy::disallowed_methods, reason = "a bench is about the clock")]
#![allow(clippy::print_stderr, reason = "and what is wrong with its arguments")]

mod support;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use support::arguments;
use support::cpu;
use support::peer::{PATIENCE, Peer, PeerIdentity};
use support::report::save;
use support::server::{self, Server};
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

const PUBLISHER_LIFE: Duration = Duration::from_secs(20);
const SAMPLE: Duration = Duration::from_secs(10);
/// Who vanishes is forgotten after this.
const CONSENT: Duration = Duration::from_secs(15);
/// So long after the last has left nothing may be left: grace, consent and linger are over then.
const AFTERMATH: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Account {
    joined: AtomicU64,
    refused: AtomicU64,
    packets: AtomicU64,
    nacks: AtomicU64,
    segments: AtomicU64,
}

fn main() {
    let minutes: u64 = arguments::value("minutes", 30);
    let per_second: u32 = arguments::value("per-second", 4);
    let log = std::env::temp_dir().join(format!("tidegate-soak-{}.log", std::process::id()));
    let server = Server::start_logged(
        &log,
        &[
            ("TIDEGATE_HLS_ENABLED", "true"),
            ("TIDEGATE_HLS_LINGER", "5s"),
            ("TIDEGATE_LIMITS_CONSENT_TIMEOUT", "15s"),
            ("TIDEGATE_LIMITS_ADDRESS_REQUESTS_PER_SECOND", "1000"),
        ],
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let length = Duration::from_secs(60 * minutes);
    runtime.block_on(soak(&server, length, per_second, &log));
}

async fn soak(server: &Server, length: Duration, per_second: u32, log: &Path) {
    let (account, identity) = (Arc::new(Account::default()), PeerIdentity::generate());
    let end = Instant::now() + length;
    let address = server.address;
    let publishing = tokio::spawn(publish(address, end));
    let playing = tokio::spawn(play_hls(address, end, Arc::clone(&account)));
    let coming = tokio::spawn(come(
        address,
        end,
        per_second,
        identity,
        Arc::clone(&account),
    ));
    let (begun, mut memory, mut cpu) = (Instant::now(), Vec::new(), server.cpu());
    println!("  min |  MiB | core % | joined | refused | packets | nacks | HLS files");
    while Instant::now() < end {
        sleep(SAMPLE).await;
        let resident = cpu::resident(server.process());
        memory.push(resident);
        if memory.len().is_multiple_of(6) {
            let now = server.cpu();
            let busy = (now.0 + now.1 - cpu.0 - cpu.1).as_secs_f64() / 60.0;
            cpu = now;
            let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            println!(
                "{:5.0} | {:4.0} | {:6.1} | {:6} | {:7} | {:7} | {:5} | {}",
                begun.elapsed().as_secs_f64() / 60.0,
                mib(resident),
                100.0 * busy,
                read(&account.joined),
                read(&account.refused),
                read(&account.packets),
                read(&account.nacks),
                read(&account.segments),
            );
        }
    }
    publishing.await.unwrap();
    playing.await.unwrap();
    coming.await.unwrap();
    sleep(CONSENT + AFTERMATH).await;

    let metrics = server::get(address, "/metrics").await;
    let counter = |name: &str| -> u64 {
        let lines = metrics.lines().filter(|line| line.starts_with(name));
        let values = lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        values.sum()
    };
    let sessions = (
        counter("tidegate_shard_sessions_opened_total"),
        counter("tidegate_shard_sessions_closed_total"),
    );
    let streams = (
        counter("tidegate_shard_streams_opened_total"),
        counter("tidegate_shard_streams_closed_total"),
    );
    let text = fs::read_to_string(log).unwrap();
    let (errors, warnings) = (lines_of(&text, "ERROR"), lines_of(&text, "WARN"));
    // The beginning is left out: what is kept for later is got then.
    let quarter = memory.len() / 4;
    let mean = |samples: &[u64]| samples.iter().sum::<u64>() / samples.len().max(1) as u64;
    let (early, late) = (
        mean(&memory[quarter..2 * quarter]),
        mean(&memory[memory.len() - quarter..]),
    );
    println!(
        "\nmemory in the second quarter {:.1} MiB, in the last {:.1} MiB, at the end {:.1} MiB",
        mib(early),
        mib(late),
        mib(cpu::resident(server.process()))
    );
    println!("sessions opened and closed {sessions:?}, streams {streams:?}");
    println!("log: {} errors, {} warnings", errors.len(), warnings.len());
    errors
        .iter()
        .chain(&warnings)
        .take(20)
        .for_each(|line| println!("  {line}"));
    save(
        "soak",
        &json!({
            "seconds": length.as_secs(),
            "memory": memory,
            "joined": account.joined.load(Ordering::Relaxed),
            "packets": account.packets.load(Ordering::Relaxed),
            "sessions": sessions,
            "streams": streams,
            "errors": errors.len(),
            "warnings": warnings.len(),
        }),
    );
    assert_eq!(sessions.0, sessions.1, "sessions leaked");
    assert_eq!(streams.0, streams.1, "streams leaked");
    assert!(errors.is_empty(), "errors in the log");
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn lines_of<'a>(log: &'a str, level: &str) -> Vec<&'a str> {
    log.lines().filter(|line| line.contains(level)).collect()
}

/// A publisher after the other.
async fn publish(server: SocketAddr, end: Instant) {
    let mut by_goodbye = false;
    while Instant::now() < end {
        let mut publisher = spawn_publisher(server);
        sleep(PUBLISHER_LIFE.min(end.saturating_duration_since(Instant::now()))).await;
        by_goodbye = !by_goodbye;
        let signal = if by_goodbye {
            Signal::SIGTERM
        } else {
            Signal::SIGKILL
        };
        let _ = kill(Pid::from_raw(publisher.id() as i32), signal);
        let ended = tokio::task::spawn_blocking(move || publisher.wait());
        ended.await.unwrap().unwrap();
    }
}

fn spawn_publisher(server: SocketAddr) -> Child {
    Command::new(PathBuf::from(env!("CARGO_BIN_EXE_tidegate")))
        .args(["publish", "--url", &format!("http://{server}/whip/bench")])
        .args(["--size", "320x180", "--bitrate", "500000"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Viewers, so many a second.
async fn come(
    server: SocketAddr,
    end: Instant,
    per_second: u32,
    identity: PeerIdentity,
    account: Arc<Account>,
) {
    let mut pace = tokio::time::interval(Duration::from_secs(1) / per_second.max(1));
    let mut viewers = Vec::new();
    for number in 0.. {
        pace.tick().await;
        if Instant::now() >= end {
            break;
        }
        viewers.retain(|viewer: &tokio::task::JoinHandle<()>| !viewer.is_finished());
        let (identity, account) = (identity.clone(), Arc::clone(&account));
        viewers.push(tokio::spawn(async move {
            view(server, number, &identity, &account).await;
        }));
    }
    for viewer in viewers {
        viewer.await.unwrap();
    }
}

async fn view(server: SocketAddr, number: u64, identity: &PeerIdentity, account: &Account) {
    // While the publisher is away for longer than the grace time there is nothing to see.
    let Some(created) = server::try_post(server, "whep", identity).await else {
        account.refused.fetch_add(1, Ordering::Relaxed);
        return;
    };
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server).await.unwrap();
    let mut peer = Peer::new(identity, server, created.credentials.clone());
    let mut buffer = [0; 2048];
    let stay = Duration::from_secs(1 + number * 7 % 20);
    let (begun, mut next_check) = (Instant::now(), Instant::now());
    let mut packets = 0u64;
    let mut was_connected = false;
    while begun.elapsed() < stay {
        if Instant::now() >= next_check {
            let _ = socket.send(&peer.check()).await;
            let pause = if peer.is_started() {
                CONSENT / 3
            } else {
                PATIENCE
            };
            next_check = Instant::now() + pause;
        }
        match timeout(PATIENCE, socket.recv(&mut buffer)).await {
            Ok(Ok(len)) => {
                let datagram = &buffer[..len];
                if peer.handle_datagram(Instant::now(), datagram) {
                    packets += 1;
                    if packets.is_multiple_of(50)
                        && let Some(nack) = peer.nack(datagram)
                    {
                        account.nacks.fetch_add(1, Ordering::Relaxed);
                        let _ = socket.send(&nack).await;
                    }
                    if number.is_multiple_of(7)
                        && packets.is_multiple_of(200)
                        && let Some(plea) = peer.picture_loss(datagram)
                    {
                        let _ = socket.send(&plea).await;
                    }
                }
            }
            Ok(Err(_)) => {}
            Err(_) => peer.handle_timeout(Instant::now()),
        }
        while let Some(datagram) = peer.poll_transmit() {
            let _ = socket.send(&datagram).await;
        }
        if !was_connected && peer.is_connected() {
            was_connected = true;
            account.joined.fetch_add(1, Ordering::Relaxed);
        }
    }
    account.packets.fetch_add(packets, Ordering::Relaxed);
    if number.is_multiple_of(2) {
        server::try_delete(server, &created.location).await;
    }
}

/// Fetches the playlist of the picture, and the last file that it names.
async fn play_hls(server: SocketAddr, end: Instant, account: Arc<Account>) {
    while Instant::now() < end {
        let playlist = server::get(server, "/hls/bench/video.m3u8").await;
        let mut files = playlist
            .lines()
            .filter(|line| !line.starts_with('#') && line.contains(".m4s"));
        if let Some(file) = files.next_back() {
            let file = server::get(server, &format!("/hls/bench/{file}")).await;
            account
                .segments
                .fetch_add(u64::from(!file.is_empty()), Ordering::Relaxed);
        }
        sleep(Duration::from_secs(1)).await;
    }
}
