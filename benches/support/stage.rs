//! One shard with a publisher and subscribers on it, all connected by real ICE and DTLS over loopback.
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

const STREAM: StreamKey = StreamKey(1);
/// Nobody is to be closed for being silent between two phases, and nothing but packets is to cost anything.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// The running shard and its publisher.
pub(crate) struct Stage {
    shards: Shards,
    events: mpsc::UnboundedReceiver<tidegate::shard::Event>,
    identity: PeerIdentity,
    publisher: Peer,
    socket: UdpSocket,
    broadcast: Broadcast,
    sessions: u64,
    /// The thread that is measured.
    pub(crate) thread: Thread,
}

/// How many packets of each track are kept for retransmission.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rings {
    pub(crate) video: usize,
    pub(crate) audio: usize,
}

impl Default for Rings {
    /// As `tidegate serve` without a configuration.
    fn default() -> Self {
        Self {
            video: 1024,
            audio: 256,
        }
    }
}

impl Stage {
    /// A shard with a publisher that has sent nothing yet.
    pub(crate) fn start(rings: Rings) -> Self {
        let (events_to, events) = mpsc::unbounded_channel();
        let config = Config {
            bandwidth: tidegate::egress::whep::BandwidthConfig::default(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            shards: 1,
            video_ring: rings.video,
            audio_ring: rings.audio,
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
        let shards = Shards::start(&config, &server, &events_to).unwrap();
        let identity = PeerIdentity::generate();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut stage = Self {
            publisher: Peer::new(&identity, shards.local_address(), credentials(0)),
            shards,
            events,
            identity,
            socket,
            broadcast: Broadcast::default(),
            sessions: 0,
            thread: Thread::current(),
        };
        stage.open(Role::Publisher {
            stream: STREAM,
            spec: broadcast::publisher_spec(),
            counters: Arc::new(StreamCounters::new(1)),
            stall_after: None,
        });
        stage.publisher.connect(&stage.socket);
        // A thread gives itself its name: by now it has done so.
        stage.thread = Thread::named(std::process::id(), "shard-0")[0];
        stage.thread.pin(cpu::MEASURED);
        // What the shard sends back is of no interest, and nobody waits for it.
        stage.socket.set_nonblocking(true).unwrap();
        stage
    }

    /// Connects a subscriber. Its packets come to the socket from now on.
    pub(crate) fn subscribe(&mut self, socket: &UdpSocket) {
        self.admit().connect(socket);
    }

    /// A subscriber that has not connected yet.
    pub(crate) fn admit(&mut self) -> Peer {
        let key = self.open(Role::Subscriber {
            stream: STREAM,
            origin: ShardId(0),
            tracks: Arc::new(broadcast::tracks()),
            counters: Arc::new(StreamCounters::new(1)),
            spec: broadcast::subscriber_spec(),
            cname: "bench".into(),
        });
        let server = self.shards.local_address();
        Peer::new(&self.identity, server, credentials(key.0))
    }

    /// Packets for the next `seconds`, sealed, so that sending them is all that is left to do.
    pub(crate) fn script(&mut self, seconds: u32) -> Vec<Burst> {
        let script = self.broadcast.script(seconds);
        self.seal(script)
    }

    /// The same with a keyframe every `interval` seconds.
    pub(crate) fn script_with(&mut self, seconds: u32, interval: u32) -> Vec<Burst> {
        let script = self.broadcast.script_with(seconds, interval);
        self.seal(script)
    }

    fn seal(&mut self, mut script: Vec<Burst>) -> Vec<Burst> {
        for packet in script.iter_mut().flat_map(|burst| &mut burst.packets) {
            *packet = self.publisher.protect_rtp(packet);
        }
        script
    }

    /// Sends a script in real time, each packet in a datagram of its own. Allocates nothing.
    pub(crate) fn play(&self, script: &[Burst]) {
        play(&self.socket, self.shards.local_address(), script, || false);
    }

    /// What plays scripts on another thread.
    pub(crate) fn player(&self) -> Player {
        Player {
            socket: self.socket.try_clone().unwrap(),
            server: self.shards.local_address(),
        }
    }

    /// How much RTCP the publisher was sent; reports aside, which are off here, that is requests.
    pub(crate) fn feedback(&self) -> u64 {
        let mut head = [0; 16];
        let mut count = 0;
        while self.socket.recv(&mut head).is_ok() {
            count += u64::from((192..=223).contains(&head[1]));
        }
        count
    }

    /// What the shard has counted.
    pub(crate) fn counters(&self) -> Snapshot {
        self.handle().counters().snapshot()
    }

    pub(crate) fn stop(mut self) {
        self.shards.stop();
        self.events.close();
    }

    fn open(&mut self, role: Role) -> SessionKey {
        let key = SessionKey(self.sessions);
        self.sessions += 1;
        self.handle().send(Message::Open(Box::new(OpenSession {
            key,
            transport: transport::Config {
                local: credentials(key.0),
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

    fn handle(&self) -> ShardHandle {
        self.shards.handles()[0].clone()
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
fn credentials(number: u64) -> IceCredentials {
    IceCredentials {
        ufrag: format!("{}{number:07}", ShardId(0).mark()),
        pwd: format!("the-password-of-{number:08}"),
    }
}
