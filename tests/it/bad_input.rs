//! Garbage on the media port: counted drops, no answer, and no effect on anybody else.

use std::time::Duration;

use crate::fan_out::broadcast_to;
use crate::lifetime::until;
use crate::support::broadcast::Broadcast;
use crate::support::peer::{Check, Link, Options, Peer, Received, Session};
use crate::support::server::Server;
use tidegate::shard::Snapshot;
use tokio::net::UdpSocket;

/// A broadcast that goes on while somebody throws things at the port.
struct Stage {
    server: Server,
    publisher: Peer,
    broadcast: Broadcast,
    watching: Vec<Peer>,
    attacker: UdpSocket,
}

impl Stage {
    async fn new() -> Self {
        let server = Server::start(|settings| settings.media.shards = 2).await;
        let publisher = Peer::publish(&server.whip("demo"), None).await;
        let broadcast = Broadcast::new(publisher.video());
        let mut watching = Vec::new();
        for _ in 0..2 {
            watching.push(Peer::subscribe(&server.whep("demo"), None).await);
        }
        let attacker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut stage = Self {
            server,
            publisher,
            broadcast,
            watching,
            attacker,
        };
        stage.broadcast_goes_on().await;
        stage
    }

    /// Everybody gets ten more frames, whole.
    async fn broadcast_goes_on(&mut self) {
        let watching = std::mem::take(&mut self.watching);
        self.watching = broadcast_to(&mut self.publisher, &mut self.broadcast, watching, 10).await;
    }

    async fn throw(&self, datagram: &[u8]) {
        let to = self.publisher.link.server;
        self.attacker.send_to(datagram, to).await.unwrap();
    }

    /// Waits until the server has read so many datagrams: what waits in its socket has limited room.
    async fn has_received(&self, count: u64) {
        until("the arrival of the datagrams", async || {
            self.server.counters().received >= count
        })
        .await;
    }

    /// Waits until `count` of the counter says so, and checks that the broadcast went on and that the
    /// attacker heard nothing.
    async fn expect_drops(mut self, what: &str, before: Snapshot, drops: u64, counter: Counter) {
        let expected = counter(&before) + drops;
        until(what, async || counter(&self.server.counters()) >= expected).await;
        assert_eq!(counter(&self.server.counters()), expected, "{what}");
        self.broadcast_goes_on().await;
        let mut buffer = [0; 2048];
        let heard = self.attacker.try_recv(&mut buffer);
        assert!(heard.is_err(), "the attacker got an answer: {heard:?}");
        assert!(self.publisher.session.exists().await);
    }
}

type Counter = fn(&Snapshot) -> u64;

fn foreign(counters: &Snapshot) -> u64 {
    counters.foreign
}

fn unauthenticated(counters: &Snapshot) -> u64 {
    counters.unauthenticated
}

fn undecryptable(counters: &Snapshot) -> u64 {
    counters.undecryptable
}

fn replayed(counters: &Snapshot) -> u64 {
    counters.replayed
}

/// Bytes that look random, and are the same in each run.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.push((state >> 32) as u8);
    }
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_bytes() {
    let mut stage = Stage::new().await;
    let before = stage.server.counters();
    for seed in 0..400 {
        stage
            .throw(&noise(seed, 1 + (seed * 7 % 1400) as usize))
            .await;
        if seed % 40 == 0 {
            stage.broadcast_goes_on().await;
        }
    }
    stage
        .expect_drops("the drop of noise", before, 400, foreign)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_with_a_wrong_password_or_of_nobody() {
    let stage = Stage::new().await;
    let before = stage.server.counters();
    let known = stage.publisher.link.check.clone();
    let wrong = Check {
        pwd: "not-the-password-of-this-session".to_owned(),
        ..known.clone()
    };
    stage.throw(&Link::request(&wrong)).await;
    let mut changed = Link::request(&known);
    let last = changed.len() - 1;
    changed[last - 20] ^= 1; // within MESSAGE-INTEGRITY
    stage.throw(&changed).await;
    let unknown = stage.server.counters().foreign;
    for ufrag in ["Axxxxxxx", "Bxxxxxxx", "9xxxxxxx", "-", "A"] {
        let nobody = Check {
            ufrag: ufrag.to_owned(),
            ..known.clone()
        };
        stage.throw(&Link::request(&nobody)).await;
    }
    let server = &stage.server;
    until("the drop of checks of nobody", async || {
        server.counters().foreign >= unknown + 5
    })
    .await;
    stage
        .expect_drops("the drop of false checks", before, 2, unauthenticated)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dtls_and_media_from_an_address_without_ice() {
    let mut stage = Stage::new().await;
    let before = stage.server.counters();
    // A real ClientHello, and media of the publisher that was changed on its way, from elsewhere.
    let session = Session::create(&stage.server.whep("demo"), None, &Options::subscriber()).await;
    let mut link = Link::new(&session.unwrap().answer, &Options::subscriber()).await;
    stage.throw(&link.client_hello()).await;
    let packet = stage.broadcast.frame().swap_remove(0);
    let mut changed = stage.publisher.link.protect_rtp(&packet);
    *changed.last_mut().unwrap() ^= 1;
    stage.throw(&changed).await;
    stage.throw(&noise_like(0x80, 96, 200)).await;
    stage.throw(&noise_like(0x80, 200, 100)).await;
    stage.broadcast = Broadcast::new(stage.publisher.video());
    let skipped = 11;
    for _ in 0..skipped {
        stage.broadcast.skip_frame();
    }
    until("the drop", async || {
        let now = stage.server.counters();
        now.foreign >= before.foreign + 3 && now.undecryptable > before.undecryptable
    })
    .await;
    // One frame was never sent, and is asked for; what comes behind it is seen all the same.
    let mut buffer = [0; 2048];
    assert!(stage.attacker.try_recv(&mut buffer).is_err());
    stage.broadcast.send(&mut stage.publisher).await;
    for subscriber in &mut stage.watching {
        subscriber.recv_rtp().await;
    }
}

/// Bytes that are taken for RTP or RTCP.
fn noise_like(first: u8, second: u8, len: usize) -> Vec<u8> {
    let mut bytes = noise(u64::from(second), len);
    bytes[..2].copy_from_slice(&[first, second]);
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn media_of_a_foreign_key() {
    let mut stage = Stage::new().await;
    let mut other = Peer::publish(&stage.server.whip("other"), None).await;
    let before = stage.server.counters();
    // From the publisher's own address, as by somebody who can forge it.
    for frame in 1..6 {
        let mut foreign = Broadcast::new(stage.publisher.video());
        foreign.ssrc ^= frame % 2;
        foreign.sequence_number += 1_000 * frame as u16;
        for packet in foreign.frame() {
            let protected = other.link.protect_rtp(&packet);
            stage.publisher.link.send(&protected).await;
        }
    }
    for rtcp in 0..5 {
        stage
            .publisher
            .link
            .send(&noise_like(0x80, 200, 60 + rtcp))
            .await;
    }
    stage
        .expect_drops("the drop of foreign media", before, 25, undecryptable)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn media_that_came_before() {
    let mut stage = Stage::new().await;
    let frame = stage.broadcast.frame();
    let mut sent = Vec::new();
    for packet in &frame {
        sent.push(stage.publisher.link.protect_rtp(packet));
        let datagram = sent.last().unwrap().clone();
        stage.publisher.link.send(&datagram).await;
    }
    for subscriber in &mut stage.watching {
        for _ in 0..frame.len() {
            subscriber.recv_rtp().await;
        }
    }
    let before = stage.server.counters();
    for index in 0..100 {
        stage.publisher.link.send(&sent[index % sent.len()]).await;
        if index % 20 == 0 {
            stage.has_received(before.received + index as u64 + 1).await;
        }
    }
    stage
        .expect_drops("the drop of replayed media", before, 100, replayed)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn truncated_datagrams_of_every_kind() {
    let mut stage = Stage::new().await;
    let before = stage.server.counters();
    let check = Link::request(&stage.publisher.link.check);
    let packet = stage.broadcast.frame().swap_remove(0);
    stage.broadcast.next -= Broadcast::PACKETS_PER_FRAME;
    let protected = stage.publisher.link.protect_rtp(&packet);
    let session = Session::create(&stage.server.whep("demo"), None, &Options::subscriber()).await;
    let session = session.unwrap();
    let mut link = Link::new(&session.answer, &Options::subscriber()).await;
    let hello = link.client_hello();
    let whole = [check, protected, hello, noise_like(0x80, 200, 80)];
    let mut thrown = 0;
    for datagram in &whole {
        for len in 0..datagram.len().min(200) {
            stage.throw(&datagram[..len]).await; // from nowhere
            stage.publisher.link.send(&datagram[..len]).await; // from the publisher's address
            // An empty datagram is not even counted.
            thrown += if len == 0 { 0 } else { 2 };
            if len % 20 == 0 {
                stage.has_received(before.received + thrown).await;
            }
        }
    }
    stage.has_received(before.received + thrown).await;
    let mut frame = Broadcast::new(stage.publisher.video());
    (0..11).for_each(|_| frame.skip_frame());
    stage.broadcast = frame;
    assert!(stage.publisher.session.exists().await);
    // The server goes on, for those who are there and for those who come.
    let mut late = Peer::subscribe(&stage.server.whep("demo"), None).await;
    loop {
        stage.broadcast.send(&mut stage.publisher).await;
        let next = tokio::time::timeout(Duration::from_millis(20), late.recv());
        if let Ok(Received::Rtp(_)) = next.await {
            break;
        }
    }
    let mut buffer = [0; 2048];
    assert!(stage.attacker.try_recv(&mut buffer).is_err());
    let counters = stage.server.counters();
    assert!(counters.foreign > before.foreign);
    assert!(counters.undecryptable > before.undecryptable);
}
