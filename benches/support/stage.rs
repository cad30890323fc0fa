//! Shards with publishers and subscribers on them, all connected by real ICE and DTLS over loopback.
//! HTTP is left out: the sessions are opened as the control plane would.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tidegate::ingest;
use tidegate::sdp::{DtlsRole, IceCredentials};
use tidegate::shard::{
    Config, Message, OpenSession, Role, SessionKey, ShardHandle, ShardId, Shards, Snapshot,
    StreamCounters, StreamKey,
};
use tidegate::stream::KeyframeCache;
use tidegate::transport::{self, Identity, Timeouts};
use tokio::sync::mpsc;

use super::broadcast::{self, Broadcast, Burst};
use super::cpu::{self, Thread};
use super::peer::{Peer, PeerIdentity};

/// Nobody is to be closed for being silent between two phases, and nothing but packets is to cost anything.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// The running shards and their publishers.
pub(crate) struct Stage {
    shards: Shards,
    events: mpsc::UnboundedReceiver<tidegate::shard::Event>,
    identity: PeerIdentity,
    sources: Vec<Source>,
    sessions: u64,
    /// The threads that are measured, one a shard.
    pub(crate) threads: Vec<Thread>,
    /// The first of them.
    pub(crate) thread: Thread,
}

/// A publisher and its stream.
struct Source {
    stream: StreamKey,
    origin: ShardId,
    publisher: Peer,
    socket: UdpSocket,
    broadcast: Broadcast,
    counters: Arc<StreamCounters>,
}

/// How many packets of each track are kept for retransmission, and whether those of audio keep what the one before held.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rings {
    pub(crate) video: usize,
    pub(crate) audio: usize,
    pub(crate) redundancy: bool,
}

impl Default for Rings {
    /// As `tidegate serve` without a configuration.
    fn default() -> Self {
        Self {
            video: 1024,
            audio: 256,
            redundancy: false,
        }
    }
}

impl Stage {
    /// A shard with a publisher that has sent nothing yet.
    pub(crate) fn start(rings: Rings) -> Self {
        Self::with(rings, 1, 1)
    }

    /// So many shards and publishers, each with a stream of its own.
    pub(crate) fn with(rings: Rings, shards: usize, publishers: usize) -> Self {
        let (events_to, events) = mpsc::unbounded_channel();
        let config = Config {
            bandwidth: tidegate::egress::whep::BandwidthConfig::default(),
            viewers: Arc::default(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            shards,
            video_ring: rings.video,
            audio_ring: rings.audio,
            video_per_round: 6_000,
            audio_redundancy: rings.redundancy,
            keyframe_cache: KeyframeCache {
                bytes: 8 * 1024 * 1024,
                age: Duration::from_secs(12),
            },
            catch_up_bitrate: 30_000_000,
            tcp: tidegate::shard::TcpLimits::default(),
            ingest: ingest::Config {
                receiver_report_interval: NEVER,
                ..ingest::Config::default()
            },
        };
        let server = Arc::new(Identity::generate().unwrap());
        let mut stage = Self {
            shards: Shards::start(&config, &server, &events_to).unwrap(),
            events,
            identity: PeerIdentity::generate(),
            sources: Vec::new(),
            sessions: 0,
            threads: Vec::new(),
            thread: Thread::current(),
        };
        for number in 0..publishers {
            stage.add_source(ShardId((number % shards) as u8));
        }
        // A thread gives itself its name: by now it has done so.
        stage.threads = (0..shards)
            .map(|shard| Thread::named(std::process::id(), &format!("shard-{shard}"))[0])
            .collect();
        stage.thread = stage.threads[0];
        // Each has a core, the first one for itself alone.
        for (core, thread) in (cpu::MEASURED..).zip(&stage.threads) {
            thread.pin(core);
        }
        stage
    }

    fn add_source(&mut self, origin: ShardId) {
        let stream = StreamKey(1 + self.sources.len() as u64);
        let counters = Arc::new(StreamCounters::new(self.shards.handles().len()));
        let role = Role::Publisher {
            stream,
            spec: broadcast::publisher_spec(),
            counters: Arc::clone(&counters),
            stall_after: None,
            playout_delay: None,
        };
        let key = self.open(origin, role);
        let server = self.shards.local_address();
        let mut publisher = Peer::new(&self.identity, server, credentials(origin, key.0));
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        publisher.connect(&socket);
        // What the shard sends back is of no interest, and nobody waits for it.
        socket.set_nonblocking(true).unwrap();
        self.sources.push(Source {
            stream,
            origin,
            publisher,
            socket,
            broadcast: Broadcast::default(),
            counters,
        });
    }

    /// Connects a subscriber. Its packets come to the socket from now on.
    pub(crate) fn subscribe(&mut self, socket: &UdpSocket) {
        self.admit().connect(socket);
    }

    /// A subscriber that has not connected yet.
    pub(crate) fn admit(&mut self) -> Peer {
        self.admit_to(0, ShardId(0))
    }

    /// Connects a subscriber of the stream of that number, on a shard.
    pub(crate) fn subscribe_to(&mut self, stream: usize, shard: usize, socket: &UdpSocket) {
        self.admit_to(stream, ShardId(shard as u8)).connect(socket);
    }

    fn admit_to(&mut self, stream: usize, shard: ShardId) -> Peer {
        let source = &self.sources[stream];
        let role = Role::Subscriber {
            stream: source.stream,
            origin: source.origin,
            tracks: Arc::new(broadcast::tracks()),
            counters: Arc::clone(&source.counters),
            spec: broadcast::subscriber_spec(),
            cname: "bench".into(),
        };
        let key = self.open(shard, role);
        let server = self.shards.local_address();
        Peer::new(&self.identity, server, credentials(shard, key.0))
    }

    /// Packets for the next `seconds`, sealed, so that sending them is all that is left to do.
    pub(crate) fn script(&mut self, seconds: u32) -> Vec<Burst> {
        self.sources[0].script(seconds)
    }

    /// The same with a keyframe every `interval` seconds.
    pub(crate) fn script_with(&mut self, seconds: u32, interval: u32) -> Vec<Burst> {
        let script = self.sources[0].broadcast.script_with(seconds, interval);
        self.sources[0].seal(script)
    }

    /// One script for each publisher.
    pub(crate) fn scripts(&mut self, seconds: u32) -> Vec<Vec<Burst>> {
        let sources = self.sources.iter_mut();
        sources.map(|source| source.script(seconds)).collect()
    }

    /// Sends a script in real time, each packet in a datagram of its own. Allocates nothing.
    pub(crate) fn play(&self, script: &[Burst]) {
        let socket = &self.sources[0].socket;
        play(socket, self.shards.local_address(), script, || false);
    }

    /// Sends a script of each publisher, all of them `slowness` times as slowly as they were made for, and
    /// spread over the time between two frames.
    pub(crate) fn play_all(&self, scripts: &[Vec<Burst>], slowness: u32) {
        let frame = Duration::from_millis(33) * slowness;
        let mut bursts: Vec<(Duration, usize, &Burst)> = Vec::new();
        for (number, script) in scripts.iter().enumerate() {
            let offset = frame * number as u32 / scripts.len() as u32;
            let at = |burst: &Burst| burst.at * slowness + offset;
            bursts.extend(script.iter().map(|burst| (at(burst), number, burst)));
        }
        bursts.sort_by_key(|(at, ..)| *at);
        let (server, begun) = (self.shards.local_address(), Instant::now());
        for (at, number, burst) in bursts {
            std::thread::sleep(at.saturating_sub(begun.elapsed()));
            for packet in &burst.packets {
                self.sources[number].socket.send_to(packet, server).unwrap();
            }
        }
    }

    /// Where the shards receive.
    pub(crate) fn address(&self) -> SocketAddr {
        self.shards.local_address()
    }

    /// What plays scripts on another thread.
    pub(crate) fn player(&self) -> Player {
        Player {
            socket: self.sources[0].socket.try_clone().unwrap(),
            server: self.shards.local_address(),
        }
    }

    /// How much RTCP the publisher was sent; reports aside, which are off here, that is requests.
    pub(crate) fn feedback(&self) -> u64 {
        let mut head = [0; 16];
        let mut count = 0;
        while self.sources[0].socket.recv(&mut head).is_ok() {
            count += u64::from((192..=223).contains(&head[1]));
        }
        count
    }

    /// What the shards have counted.
    pub(crate) fn counters(&self) -> Snapshot {
        let mut sum = Snapshot::default();
        for handle in self.shards.handles().iter() {
            sum += handle.counters().snapshot();
        }
        sum
    }

    /// The time of all shards on a core so far.
    pub(crate) fn cpu(&self) -> Duration {
        self.threads.iter().map(|thread| thread.cpu()).sum()
    }

    pub(crate) fn stop(mut self) {
        self.shards.stop();
        self.events.close();
    }

    fn open(&mut self, shard: ShardId, role: Role) -> SessionKey {
        let key = SessionKey(self.sessions);
        self.sessions += 1;
        self.handle(shard).send(Message::Open(Box::new(OpenSession {
            key,
            transport: transport::Config {
                local: credentials(shard, key.0),
                remote_fingerprint: self.identity.fingerprint,
                dtls_role: DtlsRole::Server,
                timeouts: Timeouts {
                    connect: NEVER,
                    consent: NEVER,
                },
            },
            role,
        })));
        key
    }

    fn handle(&self, shard: ShardId) -> ShardHandle {
        self.shards.handles()[usize::from(shard.0)].clone()
    }
}

impl Source {
    fn script(&mut self, seconds: u32) -> Vec<Burst> {
        let script = self.broadcast.script(seconds);
        self.seal(script)
    }

    fn seal(&mut self, mut script: Vec<Burst>) -> Vec<Burst> {
        for packet in script.iter_mut().flat_map(|burst| &mut burst.packets) {
            *packet = self.publisher.protect_rtp(packet);
        }
        script
    }
}

/// Sends what the stage's publisher has sealed.
pub(crate) struct Player {
    socket: UdpSocket,
    server: SocketAddr,
}

impl Player {
    /// As [`Stage::play`]; ends early when told to.
    pub(crate) fn play_until(&self, script: &[Burst], stop: &AtomicBool) {
        let ends = || stop.load(Ordering::Relaxed);
        play(&self.socket, self.server, script, ends);
    }
}

fn play(socket: &UdpSocket, server: SocketAddr, script: &[Burst], ends: impl Fn() -> bool) {
    let begun = Instant::now();
    for burst in script {
        if ends() {
            return;
        }
        std::thread::sleep(burst.at.saturating_sub(begun.elapsed()));
        for packet in &burst.packets {
            socket.send_to(packet, server).unwrap();
        }
    }
}

/// Those of the session `number`.
fn credentials(shard: ShardId, number: u64) -> IceCredentials {
    IceCredentials {
        ufrag: format!("{}{number:07}", shard.mark()),
        pwd: format!("the-password-of-{number:08}"),
    }
}
