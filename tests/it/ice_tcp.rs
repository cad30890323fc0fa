//! Sessions over TCP: ICE, DTLS and media in the frames of RFC 4571, over real sockets.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::fan_out::broadcast_to;
use crate::lifetime::until;
use crate::support::broadcast::Broadcast;
use crate::support::door;
use crate::support::peer::{Check, Link, Options, PATIENCE, Peer, Session, frame};
use crate::support::server::Server;

/// A server, and where it takes ICE over TCP: at the port of HTTP.
async fn server() -> (Server, SocketAddr) {
    let server = Server::start(|settings| settings.media.shards = 2).await;
    let door = server.http;
    (server, door)
}

async fn publisher(server: &Server) -> (Peer, Broadcast) {
    let publisher = Peer::publish(&server.whip("demo"), None).await;
    let broadcast = Broadcast::new(publisher.video());
    (publisher, broadcast)
}

async fn viewer(server: &Server, door: SocketAddr) -> Peer {
    Peer::connect_by_tcp(&server.whep("demo"), &Options::subscriber(), door).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishers_and_viewers_by_tcp_get_every_packet() {
    let (server, door) = server().await;
    let mut publisher =
        Peer::connect_by_tcp(&server.whip("demo"), &Options::publisher(), door).await;
    let mut broadcast = Broadcast::new(publisher.video());
    let mut viewers = Vec::new();
    for _ in 0..3 {
        viewers.push(viewer(&server, door).await);
    }
    viewers.push(Peer::subscribe(&server.whep("demo"), None).await);
    broadcast_to(&mut publisher, &mut broadcast, viewers, 60).await;
    let counters = server.counters();
    assert_eq!((counters.tcp_proven, counters.tcp_refused), (4, 0));
    assert_eq!((counters.tcp_dropped, counters.undecryptable), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_in_pieces_of_any_size_are_put_together() {
    let server = Server::start(|settings| settings.media.shards = 2).await;
    // Whatever the door has read of the first frame: nothing, a part of it, or more than it.
    for (peek, piece) in [(0, 1), (1, 7), (60, 3), (120, 100)] {
        let door = door::open(&server, peek);
        let name = format!("pieces-{piece}");
        let options = Options::publisher();
        let session = Session::create(&server.whip(&name), None, &options)
            .await
            .unwrap();
        let mut link = Link::new(&session.answer, &options).await;
        link.go_by_tcp(door).await;
        link.wire.cut(piece);
        link.connect().await.unwrap();
        let mut broadcast = Broadcast::new(session.answer.media("video"));
        let viewer = Peer::subscribe(&server.whep(&name), None).await;
        let mut publisher = Peer::of(session, link);
        broadcast_to(&mut publisher, &mut broadcast, vec![viewer], 5).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_moves_between_udp_and_tcp_and_media_goes_on() {
    let (server, door) = server().await;
    let (mut publisher, mut broadcast) = publisher(&server).await;
    let mut viewers = vec![viewer(&server, door).await];
    viewers = broadcast_to(&mut publisher, &mut broadcast, viewers, 10).await;
    for by_tcp in [false, true, true, false] {
        for peer in viewers.iter_mut().chain([&mut publisher]) {
            match by_tcp {
                true => peer.link.go_by_tcp(door).await,
                false => peer.link.rebind().await,
            }
            peer.link.reach().await;
        }
        viewers = broadcast_to(&mut publisher, &mut broadcast, viewers, 10).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ice_restart_works_over_the_same_connection_and_over_a_new_one() {
    let (server, door) = server().await;
    let (mut publisher, mut broadcast) = publisher(&server).await;
    let mut viewers = vec![viewer(&server, door).await];
    for new_connection in [false, true] {
        let peer = &mut viewers[0];
        let (ufrag, pwd) = peer.session.restart_ice().await;
        peer.link.restart(Check { ufrag, pwd });
        if new_connection {
            peer.link.go_by_tcp(door).await;
        }
        peer.link.reach().await;
        viewers = broadcast_to(&mut publisher, &mut broadcast, viewers, 10).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delete_says_goodbye_over_tcp() {
    let (server, door) = server().await;
    let _publisher = publisher(&server).await;
    let mut viewer = viewer(&server, door).await;
    assert_eq!(viewer.delete().await, StatusCode::OK);
    viewer.recv_closed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_outlives_its_connection_and_ends_without_another_path() {
    const CONSENT: Duration = Duration::from_secs(3);
    let server = Server::start(|settings| settings.limits.consent_timeout = CONSENT).await;
    let door = server.http;
    let (mut publisher, mut broadcast) = publisher(&server).await;
    let mut peer = viewer(&server, door).await;
    // The old connection closes when the new one takes its place.
    peer.link.go_by_tcp(door).await;
    peer.link.reach().await;
    let mut viewers = broadcast_to(&mut publisher, &mut broadcast, vec![peer], 5).await;
    let vanished = viewers.remove(0);
    let session = vanished.session;
    drop(vanished.link);
    let begin = Instant::now();
    let mut last = begin;
    until("the end of the session", async || {
        broadcast.send(&mut publisher).await;
        last = Instant::now();
        !session.exists().await
    })
    .await;
    assert!(last - begin >= CONSENT - Duration::from_millis(1500));
}

/// Reads until the server closes.
async fn is_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let reading = stream.read_to_end(&mut bytes);
    let ended = tokio::time::timeout(PATIENCE, reading).await;
    assert!(ended.is_ok(), "the connection stays open");
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_closed_without_a_word() {
    let server = Server::start(|settings| {
        settings.media.shards = 2;
        settings.limits.tcp_check_timeout = Duration::from_secs(1);
    })
    .await;
    let door = door::open(&server, 0);
    let (publisher, _) = publisher(&server).await;
    let known = publisher.link.check.clone();
    let nobody = Check {
        ufrag: "Axxxxxxx".to_owned(),
        ..known.clone()
    };
    let wrong = Check {
        pwd: "not-the-password-of-this-session".to_owned(),
        ..known.clone()
    };
    let starts: [Vec<u8>; 7] = [
        // Nothing, and a part of a frame: until the time is over.
        Vec::new(),
        frame(&Link::request(&known))[..30].to_vec(),
        frame(&Link::request(&wrong)),
        // At once.
        frame(&Link::request(&nobody)),
        frame(&[22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        vec![0xFF; 100],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ];
    for start in starts {
        let mut stream = TcpStream::connect(door).await.unwrap();
        stream.write_all(&start).await.unwrap();
        assert!(is_closed(&mut stream).await.is_empty());
    }
    assert!(publisher.session.exists().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_half_open_connections_leave_room_for_a_viewer() {
    const HALF_OPEN: usize = 100;
    let server = Server::start(|settings| {
        settings.limits.tcp_half_open_connections = HALF_OPEN;
        settings.limits.tcp_check_timeout = Duration::from_secs(60);
    })
    .await;
    let door = door::open(&server, 0);
    let (mut publisher, mut broadcast) = publisher(&server).await;
    let mut open = std::collections::VecDeque::new();
    for _ in 0..10_000 {
        open.push_back(TcpStream::connect(door).await.unwrap());
        // Ours are not to be the limit.
        if open.len() > 4 * HALF_OPEN {
            is_closed(&mut open.pop_front().unwrap()).await;
        }
    }
    // The last may wait to be accepted, and would be newer than the viewer.
    until("the last has its place", async || {
        server.counters().tcp_refused as usize == 10_000 - HALF_OPEN
    })
    .await;
    let viewers = vec![viewer(&server, door).await];
    broadcast_to(&mut publisher, &mut broadcast, viewers, 10).await;
    let counters = server.counters();
    // The viewer was one of them at first.
    assert_eq!(counters.tcp_refused as usize, 10_001 - HALF_OPEN);
    assert_eq!(counters.tcp_proven, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_that_does_not_read_loses_packets_and_nobody_else_does() {
    let server = Server::start(|settings| settings.limits.tcp_queue_bytes = 16 << 10).await;
    let door = server.http;
    let (mut publisher, mut broadcast) = publisher(&server).await;
    let slow = viewer(&server, door).await;
    let mut viewers = vec![viewer(&server, door).await];
    let before = server.counters().tcp_dropped;
    until("the first loss", async || {
        let watching = std::mem::take(&mut viewers);
        viewers = broadcast_to(&mut publisher, &mut broadcast, watching, 100).await;
        server.counters().tcp_dropped > before + 100
    })
    .await;
    assert_eq!(server.counters().undecryptable, 0);
    drop(slow);
    broadcast_to(&mut publisher, &mut broadcast, viewers, 10).await;
}
