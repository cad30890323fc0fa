//! What does a subscriber cost before it gets a packet, and how soon does it get one when many come at once?
//!
//! `cargo bench --bench sessions -- --subscribers 2000 --together 100 --rounds 5`
//!
//! The server is `tidegate serve --shards 1` in a process of its own on one core, over real HTTP; the clients
//! share the other core. Memory is private resident memory; CPU is split into the media thread and the rest,
//! which is HTTP and the control plane. Nothing is published while CPU and memory are measured.
//!
//! The time to the first packet counts from the beginning of the POST, with the TCP connection, to any RTP
//! packet. A hundred clients on one core take time of their own: their CPU is shown beside it.
//!
//! Left out: TLS, trickled candidates, the way through a network.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]
#![allow(
    clippy::unwrap_used,
    reason = "what fails in a bench fails the bench, loudly"
)]
#![allow(clippy::disallowed_methods, reason = "a bench is about the clock")]
#![allow(clippy::print_stderr, reason = "and what is wrong with its arguments")]

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use support::arguments;
use support::broadcast::Broadcast;
use support::cpu::{self, Thread};
use support::peer::{PATIENCE, Peer, PeerIdentity};
use support::report::{median, quantile, save};
use support::server::{self, Created, Server};
use tokio::net::UdpSocket;

/// Sessions before the first that counts: what a process allocates once is not theirs.
const WARM_UP: usize = 20;

fn main() {
    let subscribers = arguments::value("subscribers", 2000);
    let together = arguments::value("together", 100);
    let rounds = arguments::value("rounds", 5);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let identity = PeerIdentity::generate();
    let idle = runtime.block_on(idle(&identity, subscribers));
    let joining = runtime.block_on(joining(&identity, together, rounds));
    save("sessions", &json!({ "idle": idle, "joining": joining }));
}

/// Joins one after another while nothing is sent.
async fn idle(identity: &PeerIdentity, subscribers: usize) -> serde_json::Value {
    let server = Server::start();
    let publisher = Publisher::connect(server.address, identity).await;
    let mut viewers = Vec::new();
    for _ in 0..WARM_UP {
        viewers.push(Viewer::join(server.address, identity).await);
    }
    let settle = || tokio::time::sleep(Duration::from_millis(200));
    settle().await;
    let (memory, before) = (cpu::resident(server.process()), server.cpu());
    for _ in 0..subscribers {
        viewers.push(Viewer::join(server.address, identity).await);
    }
    settle().await;
    let grown = cpu::resident(server.process()).saturating_sub(memory);
    let after = server.cpu();
    drop(publisher);

    let each = |cpu: Duration| cpu.as_secs_f64() * 1e3 / subscribers as f64;
    let kib = grown as f64 / 1024.0 / subscribers as f64;
    let (shard, rest) = (each(after.0 - before.0), each(after.1 - before.1));
    println!(
        "{subscribers} idle subscribers: {kib:.1} KiB each; set-up {:.3} ms of CPU each \
         ({shard:.3} media thread, {rest:.3} HTTP and control plane)",
        shard + rest
    );
    json!({
        "subscribers": subscribers,
        "kib_each": kib,
        "setup_ms_media_thread": shard,
        "setup_ms_rest": rest,
    })
}

/// Joins all at once while the broadcast runs.
async fn joining(identity: &PeerIdentity, together: usize, rounds: usize) -> serde_json::Value {
    let server = Server::start();
    let publisher = Publisher::connect(server.address, identity).await;
    let playing = publisher.play();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut times = Vec::new();
    println!("\n{together} joining at once, POST to first RTP in ms:");
    for round in 0..rounds {
        let (clients, before) = (Thread::current(), server.cpu());
        let client_cpu = clients.cpu();
        let joins: Vec<_> = (0..together)
            .map(|_| {
                let (address, identity) = (server.address, identity.clone());
                tokio::spawn(async move {
                    let begun = Instant::now();
                    let viewer = Viewer::join(address, &identity).await;
                    viewer.first_packet().await;
                    (begun.elapsed(), viewer)
                })
            })
            .collect();
        let mut viewers = Vec::new();
        let mut of_round = Vec::new();
        for join in joins {
            let (time, viewer) = join.await.unwrap();
            of_round.push(time.as_secs_f64() * 1e3);
            viewers.push(viewer);
        }
        let after = server.cpu();
        println!(
            "  round {round}: median {:.0}, p99 {:.0}; CPU: media thread {:.0} ms, rest {:.0} ms, clients {:.0} ms",
            median(&of_round),
            quantile(&of_round, 0.99),
            (after.0 - before.0).as_secs_f64() * 1e3,
            (after.1 - before.1).as_secs_f64() * 1e3,
            (clients.cpu() - client_cpu).as_secs_f64() * 1e3,
        );
        times.push(of_round);
        for viewer in viewers {
            server::delete(server.address, &viewer.created.location).await;
        }
    }
    playing.stop();
    let of_each = |value: fn(&[f64]) -> f64| {
        median(&times.iter().map(|round| value(round)).collect::<Vec<_>>())
    };
    let (middle, p99) = (of_each(median), of_each(|times| quantile(times, 0.99)));
    println!("  all: median {middle:.0}, p99 {p99:.0}");
    json!({ "together": together, "median_ms": middle, "p99_ms": p99, "times_ms": times })
}

/// A connected subscriber.
struct Viewer {
    socket: UdpSocket,
    created: Created,
}

impl Viewer {
    async fn join(address: SocketAddr, identity: &PeerIdentity) -> Self {
        let created = server::post(address, "whep", identity).await;
        let (socket, _) = connect(address, identity, &created).await;
        Self { socket, created }
    }

    async fn first_packet(&self) {
        let mut head = [0; 16];
        loop {
            let len = self.socket.recv(&mut head).await.unwrap();
            if len > 1 && head[0] >> 6 == 2 && !(200..=207).contains(&head[1]) {
                return;
            }
        }
    }
}

/// The one publisher.
struct Publisher {
    socket: std::net::UdpSocket,
    peer: Peer,
    server: SocketAddr,
}

struct Playing {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Publisher {
    async fn connect(server: SocketAddr, identity: &PeerIdentity) -> Self {
        let created = server::post(server, "whip", identity).await;
        let (socket, peer) = connect(server, identity, &created).await;
        Self {
            socket: socket.into_std().unwrap(),
            peer,
            server,
        }
    }

    /// Sends the broadcast, over and over, until it is told to stop.
    fn play(mut self) -> Playing {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut broadcast = Broadcast::default();
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                for burst in broadcast.script(2) {
                    std::thread::sleep(burst.at.saturating_sub(begun.elapsed()));
                    for packet in &burst.packets {
                        let sealed = self.peer.protect_rtp(packet);
                        let _ = self.socket.send_to(&sealed, self.server);
                    }
                }
            }
        });
        Playing { stop, thread }
    }
}

impl Playing {
    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

/// Does ICE and DTLS.
async fn connect(
    server: SocketAddr,
    identity: &PeerIdentity,
    created: &Created,
) -> (UdpSocket, Peer) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket.connect(server).await.unwrap();
    let mut peer = Peer::new(identity, server, created.credentials.clone());
    let mut buffer = [0; 2048];
    while !peer.is_connected() {
        if !peer.is_started() {
            socket.send(&peer.check()).await.unwrap();
        }
        match tokio::time::timeout(PATIENCE, socket.recv(&mut buffer)).await {
            Ok(len) => {
                peer.handle_datagram(Instant::now(), &buffer[..len.unwrap()]);
            }
            Err(_) => peer.handle_timeout(Instant::now()),
        }
        while let Some(datagram) = peer.poll_transmit() {
            socket.send(&datagram).await.unwrap();
        }
    }
    (socket, peer)
}
