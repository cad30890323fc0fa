//! How soon a viewer who comes has a picture, and what a thousand who come within two seconds do to two hundred
//! who are there.
//!
//! `cargo bench --bench joins -- --watching 200 --joining 1000 --within 2000`
//!
//! One shard on a core of its own, in this process; publisher and viewers share the other core, so the
//! times hold their own work too. The publisher makes a keyframe every 2 or 10 seconds and never one when asked,
//! as OBS does. Sessions are made by messages to the shard: HTTP is left out (`sessions` has it). `--within` is
//! in milliseconds.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]
#![allow(
    clippy::unwrap_used,
    reason = "what fails in a bench fails the bench, loudly"
)]
#![allow(clippy::disallowed_methods, reason = "a bench is about the clock")]
#![allow(clippy::print_stderr, reason = "and what is wrong with its arguments")]

mod support;

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use support::peer::Peer;
use support::stage::{Rings, Stage};
use support::{arguments, broadcast, cpu, report};

/// As in `tidegate`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Threads that viewers come from.
const CLIENTS: usize = 4;
const RECEIVE_BUFFER: usize = 1 << 20;

fn main() {
    let watching: usize = arguments::value("watching", 200);
    let joining: usize = arguments::value("joining", 1000);
    let within = Duration::from_millis(arguments::value("within", 2000));
    println!("{joining} viewers come within {within:?} while {watching} watch; times in ms\n");
    println!(
        "keyframe each | connected to whole keyframe: median | p99 | longest gap of those who watch: before | meanwhile \
         | requests to the publisher | CPU for each who came, and what it got meanwhile, us"
    );
    let mut rows = Vec::new();
    for interval in [2, 10] {
        let row = measure(watching, joining, within, interval);
        println!(
            "{interval:>11} s | {:>34.1} | {:>6.1} | {:>41.1} | {:>9.1} | {:>25} | {:>10.0}",
            row.median, row.p99, row.before, row.meanwhile, row.feedback, row.cpu
        );
        rows.push(json!({
            "keyframe_interval_s": interval,
            "median_ms": row.median,
            "p99_ms": row.p99,
            "longest_gap_before_ms": row.before,
            "longest_gap_meanwhile_ms": row.meanwhile,
            "feedback": row.feedback,
            "cpu_us_per_join": row.cpu,
        }));
    }
    report::save(
        "joins",
        &json!({ "watching": watching, "joining": joining, "rows": rows }),
    );
}

struct Row {
    median: f64,
    p99: f64,
    before: f64,
    meanwhile: f64,
    feedback: u64,
    cpu: f64,
}

fn measure(watching: usize, joining: usize, within: Duration, interval: u32) -> Row {
    let mut stage = Stage::start(Rings::default());
    let sockets: Vec<UdpSocket> = (0..watching).map(|_| socket()).collect();
    for socket in &sockets {
        stage.subscribe(socket);
        socket.set_nonblocking(true).unwrap();
    }
    let peers: Vec<Peer> = (0..joining).map(|_| stage.admit()).collect();
    // A keyframe, and then long enough for all that follows.
    let calm = Duration::from_secs(2);
    let seconds = (2 * calm + 10 * within).as_secs() as u32;
    let script = stage.script_with(seconds.next_multiple_of(interval), interval);
    let (stop, meanwhile) = (AtomicBool::new(false), AtomicBool::new(false));
    let gaps = [AtomicU64::new(0), AtomicU64::new(0)];
    let joined = Mutex::new(Vec::new());
    let (times, cpu) = std::thread::scope(|scope| {
        let (player, thread) = (stage.player(), stage.thread);
        let (script, stop, meanwhile, gaps) = (&script, &stop, &meanwhile, &gaps);
        scope.spawn(move || player.play_until(script, stop));
        scope.spawn(|| watch(&sockets, &joined, stop, meanwhile, gaps));
        std::thread::sleep(calm);
        let steady = thread.cpu();
        std::thread::sleep(within);
        let steady = thread.cpu() - steady;
        meanwhile.store(true, Ordering::Relaxed);
        let before = thread.cpu();
        let times = join(peers, within, &joined);
        let cpu = thread.cpu() - before;
        meanwhile.store(false, Ordering::Relaxed);
        stop.store(true, Ordering::Relaxed);
        (times, cpu.saturating_sub(steady))
    });
    let feedback = stage.feedback();
    stage.stop();
    let gap = |index: usize| gaps[index].load(Ordering::Relaxed) as f64 / 1e3;
    Row {
        median: report::median(&times),
        p99: report::quantile(&times, 0.99),
        before: gap(0),
        meanwhile: gap(1),
        feedback,
        cpu: cpu.as_secs_f64() * 1e6 / joining as f64,
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER);
    socket
}

/// Empties the sockets of those who watch, and keeps the longest time in us that nothing came for one of them. Those of
/// who has `joined` are emptied too: the memory of packets that nobody reads would be on the server's bill.
fn watch(
    sockets: &[UdpSocket],
    joined: &Mutex<Vec<UdpSocket>>,
    stop: &AtomicBool,
    meanwhile: &AtomicBool,
    gaps: &[AtomicU64; 2],
) {
    cpu::Thread::current().pin(cpu::OTHERS);
    let mut head = [0; 16];
    let mut last: Vec<Option<Instant>> = vec![None; sockets.len()];
    while !stop.load(Ordering::Relaxed) {
        for (socket, last) in sockets.iter().zip(&mut last) {
            let mut came = false;
            while socket.recv(&mut head).is_ok() {
                came = true;
            }
            if came {
                let now = Instant::now();
                if let Some(last) = last.replace(now) {
                    let gap = (now - last).as_micros() as u64;
                    let index = usize::from(meanwhile.load(Ordering::Relaxed));
                    gaps[index].fetch_max(gap, Ordering::Relaxed);
                }
            }
        }
        for socket in &*joined.lock().unwrap() {
            while socket.recv(&mut head).is_ok() {}
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Has all of them come, evenly. Returns for each the time from its connection to a whole keyframe, in ms.
fn join(peers: Vec<Peer>, within: Duration, joined: &Mutex<Vec<UdpSocket>>) -> Vec<f64> {
    let begun = Instant::now();
    let pause = within / peers.len() as u32;
    let mut shares: Vec<Vec<(Duration, Peer)>> = (0..CLIENTS).map(|_| Vec::new()).collect();
    for (index, peer) in peers.into_iter().enumerate() {
        shares[index % CLIENTS].push((pause * index as u32, peer));
    }
    std::thread::scope(|scope| {
        let client = |share: Vec<(Duration, Peer)>| {
            scope.spawn(move || {
                cpu::Thread::current().pin(cpu::OTHERS);
                let come = |(at, mut peer): (Duration, Peer)| {
                    std::thread::sleep(at.saturating_sub(begun.elapsed()));
                    let socket = socket();
                    peer.connect(&socket);
                    let time = first_picture(&socket).as_secs_f64() * 1e3;
                    socket.set_nonblocking(true).unwrap();
                    joined.lock().unwrap().push(socket);
                    time
                };
                share.into_iter().map(come).collect::<Vec<f64>>()
            })
        };
        let clients: Vec<_> = shares.into_iter().map(client).collect();
        let times = clients
            .into_iter()
            .flat_map(|client| client.join().unwrap());
        times.collect()
    })
}

/// The time until the marker of the first picture.
fn first_picture(socket: &UdpSocket) -> Duration {
    let connected = Instant::now();
    let mut head = [0; 16];
    while connected.elapsed() < Duration::from_secs(20) {
        let Ok(len) = socket.recv(&mut head) else {
            continue;
        };
        let is_video = len > 12 && head[0] >> 6 == 2 && head[1] & 0x7F == broadcast::VIDEO_TYPE;
        if is_video && head[1] & 0x80 != 0 {
            return connected.elapsed();
        }
    }
    panic!("a viewer got no picture");
}
