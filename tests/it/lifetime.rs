//! How sessions and streams begin and end, over real sockets.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use tidegate::config::SecondPublisher;

use crate::fan_out::broadcast_to;
use crate::support::broadcast::Broadcast;
use crate::support::peer::{Link, Options, PATIENCE, Peer, Session};
use crate::support::server::Server;

/// Asks again and again until the answer is yes; there is no event for what happens inside.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let asked = tokio::time::timeout(PATIENCE, asking).await;
    assert!(asked.is_ok(), "{what} did not happen in time");
}

async fn streams(server: &Server) -> serde_json::Value {
    let response = reqwest::get(server.url("/streams")).await.unwrap();
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

async fn is_live(server: &Server, name: &str) -> bool {
    let streams = streams(server).await;
    streams
        .as_array()
        .unwrap()
        .iter()
        .any(|stream| stream["name"] == name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delete_says_goodbye_to_the_peer_and_frees_the_name_at_once() {
    let server = Server::start(|settings| {
        settings.media.shards = 2;
        settings.streams.every.reconnect_grace = Duration::ZERO;
        settings.streams.every.second_publisher = SecondPublisher::Refuse;
    })
    .await;
    let mut publisher = Peer::publish(&server.whip("demo"), None).await;
    let mut leaving = Peer::subscribe(&server.whep("demo"), None).await;
    let mut staying = Peer::subscribe(&server.whep("demo"), None).await;
    assert_eq!(leaving.delete().await, StatusCode::OK);
    leaving.recv_closed().await;
    assert_eq!(leaving.delete().await, StatusCode::NOT_FOUND);

    let second = Peer::connect(&server.whip("demo"), None, &Options::publisher()).await;
    let refused = second.err().unwrap();
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(
        refused.body.contains("demo is being published already"),
        "{}",
        refused.body
    );

    assert_eq!(publisher.delete().await, StatusCode::OK);
    let mut second = Peer::publish(&server.whip("demo"), None).await;
    publisher.recv_closed().await;
    // Its subscribers were of the broadcast that has ended, not of the name.
    staying.recv_closed().await;
    assert!(!staying.session.exists().await);

    let subscriber = Peer::subscribe(&server.whep("demo"), None).await;
    let mut broadcast = Broadcast::new(second.video());
    broadcast_to(&mut second, &mut broadcast, vec![subscriber], 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_dies_frees_its_stream_within_the_consent_timeout() {
    const CONSENT: Duration = Duration::from_secs(3);
    let server = Server::start(|settings| {
        settings.media.shards = 2;
        settings.limits.consent_timeout = CONSENT;
        settings.streams.every.reconnect_grace = Duration::ZERO;
    })
    .await;
    let publisher = Peer::publish(&server.whip("demo"), None).await;
    let mut subscriber = Peer::subscribe(&server.whep("demo"), None).await;
    assert!(is_live(&server, "demo").await);
    let session = publisher.session;
    drop(publisher.link);
    let start = Instant::now();
    // Meanwhile it goes on to show consent, and sees the end.
    subscriber.recv_closed().await;
    let took = Instant::now() - start;
    assert!(took >= CONSENT / 2, "closed after {took:?}");
    assert!(!is_live(&server, "demo").await);
    assert!(!session.exists().await);
    Peer::publish(&server.whip("demo"), None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_says_goodbye_in_dtls_frees_its_stream_at_once() {
    let server =
        Server::start(|settings| settings.streams.every.reconnect_grace = Duration::ZERO).await;
    let mut publisher = Peer::publish(&server.whip("demo"), None).await;
    let mut subscriber = Peer::subscribe(&server.whep("demo"), None).await;
    publisher.link.say_goodbye().await;
    subscriber.recv_closed().await;
    until("the end of the stream", async || {
        !is_live(&server, "demo").await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutting_down_says_goodbye_to_every_peer() {
    let server = Server::start(|settings| settings.media.shards = 3).await;
    let mut peers = vec![Peer::publish(&server.whip("demo"), None).await];
    for _ in 0..4 {
        peers.push(Peer::subscribe(&server.whep("demo"), None).await);
    }
    let http = server.http;
    let start = Instant::now();
    server.stop().await.unwrap();
    assert!(
        Instant::now() - start < Duration::from_secs(5),
        "idle connections hold nothing up"
    );
    for peer in &mut peers {
        peer.recv_closed().await;
    }
    assert!(tokio::net::TcpStream::connect(http).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_never_connect_go_away_and_their_number_is_limited() {
    const HALF_OPEN: usize = 50;
    let server = Server::start(|settings| {
        settings.media.shards = 2;
        // Long enough to make all of them on a busy machine.
        settings.limits.connect_timeout = Duration::from_secs(6);
        settings.limits.half_open_sessions = HALF_OPEN;
    })
    .await;
    let mut publisher = Peer::publish(&server.whip("demo"), None).await;
    let mut broadcast = Broadcast::new(publisher.video());
    let watching = Peer::subscribe(&server.whep("demo"), None).await;
    let options = Options::subscriber();
    let mut sessions = Vec::new();
    for _ in 0..HALF_OPEN {
        let created = Session::create(&server.whep("demo"), None, &options).await;
        sessions.push(created.unwrap());
    }
    // Half of them get as far as ICE.
    for session in &sessions[..HALF_OPEN / 2] {
        Link::new(&session.answer, &options).await.reach().await;
    }
    let full = Session::create(&server.whep("demo"), None, &options)
        .await
        .err();
    let full = full.expect("the limit holds");
    assert_eq!(full.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        full.body.contains("limits.half_open_sessions"),
        "{}",
        full.body
    );

    // Those who are connected notice nothing.
    let watching = broadcast_to(&mut publisher, &mut broadcast, vec![watching], 10).await;
    until("the end of all half-open sessions", async || {
        for session in &sessions {
            if session.exists().await {
                return false;
            }
        }
        true
    })
    .await;
    for _ in 0..HALF_OPEN {
        let created = Session::create(&server.whep("demo"), None, &options).await;
        created.unwrap();
    }
    assert_eq!(streams(&server).await[0]["subscribers"], 1);
    broadcast_to(&mut publisher, &mut broadcast, watching, 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_half_open_session_gets_the_stream_though_the_first_of_its_shard_has_left() {
    let server = Server::start(|settings| settings.media.shards = 2).await;
    let mut publisher = Peer::publish(&server.whip("demo"), None).await;
    // The publisher is on one shard, so of these two pairs one meets on the other.
    let options = Options::subscriber();
    let mut late = Vec::new();
    let mut early = Vec::new();
    for _ in 0..2 {
        early.push(Peer::subscribe(&server.whep("demo"), None).await);
        late.push(
            Session::create(&server.whep("demo"), None, &options)
                .await
                .unwrap(),
        );
    }
    early.push(Peer::subscribe(&server.whep("demo"), None).await);
    for peer in &mut early {
        assert_eq!(peer.delete().await, StatusCode::OK);
        peer.recv_closed().await;
    }
    let mut subscribers = Vec::new();
    for session in late {
        subscribers.push(Peer::finish(session, &options).await);
    }
    let mut broadcast = Broadcast::new(publisher.video());
    broadcast_to(&mut publisher, &mut broadcast, subscribers, 10).await;
}

/// A NAT gives the publisher another port, and its next check is seconds away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn media_of_a_publisher_that_moved_is_taken_before_its_next_check() {
    let server = Server::start(|settings| settings.media.shards = 2).await;
    let mut publisher = Peer::publish(&server.whip("demo"), None).await;
    let subscriber = Peer::subscribe(&server.whep("demo"), None).await;
    let mut broadcast = Broadcast::new(publisher.video());
    let mut watching = broadcast_to(&mut publisher, &mut broadcast, vec![subscriber], 10).await;
    // Some of the ports lead to the other shard's socket.
    for _ in 0..6 {
        publisher.link.rebind().await;
        publisher.link.hold_checks();
        watching = broadcast_to(&mut publisher, &mut broadcast, watching, 3).await;
    }
}
