//! Streams that outlive their publisher: viewers stay connected, and see one stream.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::StatusCode;
use tokio::task::JoinHandle;

use crate::fan_out::nack;
use crate::lifetime::until;
use crate::support::broadcast::{Broadcast, Rtp, number_of};
use crate::support::peer::{Options, PATIENCE, Peer, Received, Session};
use crate::support::server::Server;

/// The time between two frames of a publisher.
const PACE: Duration = Duration::from_millis(10);
/// Where the numbers of the second publisher's packets begin.
const SECOND: u32 = 1_000_000;
/// Packets of a publisher that a viewer has to see.
const ENOUGH: usize = 24;

/// What a second publisher sends: another source, with numbers and timestamps of its own.
fn second_broadcast(publisher: &Peer) -> Broadcast {
    let mut broadcast = Broadcast::new(publisher.video());
    broadcast.ssrc = 0xFEED;
    broadcast.sequence_number = 77;
    broadcast.timestamp = 123_456;
    broadcast.next = SECOND;
    broadcast
}

/// Receives video until enough packets with numbers from `first` on have come. Returns all of them.
fn watch(mut viewer: Peer, first: u32) -> JoinHandle<(Peer, Vec<Rtp>)> {
    tokio::spawn(async move {
        let (mut packets, mut enough) = (Vec::new(), 0);
        while enough < ENOUGH {
            let packet = Rtp::read(&viewer.recv_rtp().await);
            if packet.ssrc == viewer.video().ssrc {
                enough += usize::from(number(&packet) >= first);
                packets.push(packet);
            }
        }
        (viewer, packets)
    })
}

fn number(packet: &Rtp) -> u32 {
    number_of(&packet.payload).expect("the payload arrives as it was sent")
}

/// Sends frames until every viewer has seen enough.
async fn broadcast_until_seen(
    publisher: &mut Peer,
    broadcast: &mut Broadcast,
    watching: Vec<JoinHandle<(Peer, Vec<Rtp>)>>,
) -> Vec<(Peer, Vec<Rtp>)> {
    let sending = async {
        let mut pace = tokio::time::interval(PACE);
        while !watching.iter().all(JoinHandle::is_finished) {
            pace.tick().await;
            broadcast.send(publisher).await;
        }
    };
    let sent = tokio::time::timeout(PATIENCE, sending).await;
    assert!(sent.is_ok(), "the viewers did not see enough in time");
    let mut seen = Vec::new();
    for viewer in watching {
        seen.push(viewer.await.unwrap());
    }
    seen
}

/// What a player needs: one source, numbers without a gap, time that goes on, and a keyframe where
/// another publisher begins.
fn is_one_stream(packets: &[Rtp]) {
    let mut begins = 0;
    for pair in packets.windows(2) {
        let [before, after] = pair else { continue };
        assert_eq!(after.ssrc, before.ssrc);
        assert_eq!(after.payload_type, before.payload_type);
        assert_eq!(
            after.sequence_number,
            before.sequence_number.wrapping_add(1)
        );
        let ticks = after.timestamp.wrapping_sub(before.timestamp);
        if number(before) < SECOND && number(after) >= SECOND {
            begins += 1;
            assert_eq!(after.payload[0], 0x65, "it begins with a keyframe");
            let most = PATIENCE.as_secs() as u32 * 90_000;
            assert!((1..most).contains(&ticks), "{ticks} ticks later");
        } else {
            assert_eq!(number(after), number(before) + 1);
            assert!(ticks == 0 || ticks == Broadcast::TICKS_PER_FRAME);
        }
    }
    assert_eq!(begins, 1, "two publishers were seen");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_stay_through_a_restart_of_their_publisher_on_another_shard() {
    let server = Server::start(|settings| settings.media.shards = 2).await;
    let mut first = Peer::publish(&server.whip("demo"), None).await;
    let mut broadcast = Broadcast::new(first.video());
    let mut watching = Vec::new();
    for _ in 0..2 {
        let viewer = Peer::subscribe(&server.whep("demo"), None).await;
        watching.push(watch(viewer, 0));
    }
    let seen = broadcast_until_seen(&mut first, &mut broadcast, watching).await;
    assert_eq!(first.delete().await, StatusCode::OK);
    first.recv_closed().await;
    let offline = Peer::connect(&server.whep("demo"), None, &Options::subscriber()).await;
    assert_eq!(offline.err().unwrap().status, StatusCode::CONFLICT);

    // It gets the shard that has one session less, which is the first one's. The second publisher is
    // on the other.
    let elsewhere = Peer::publish(&server.whip("elsewhere"), None).await;
    let mut second = Peer::publish(&server.whip("demo"), None).await;
    let mut broadcast = second_broadcast(&second);
    let mut watching = Vec::new();
    let mut before = Vec::new();
    for (viewer, packets) in seen {
        assert!(viewer.session.exists().await);
        watching.push(watch(viewer, SECOND));
        before.push(packets);
    }
    let seen = broadcast_until_seen(&mut second, &mut broadcast, watching).await;
    let mut viewers = Vec::new();
    for (mut packets, (viewer, after)) in before.into_iter().zip(seen) {
        packets.extend(after);
        is_one_stream(&packets);
        viewers.push(viewer);
    }

    for peer in [elsewhere, second].iter_mut().chain(&mut viewers) {
        assert_eq!(peer.delete().await, StatusCode::OK);
    }
    until("the end of all sessions", async || {
        let counters = server.counters();
        counters.sessions_closed == counters.sessions_opened
    })
    .await;
    let counters = server.counters();
    assert_eq!(
        counters.streams_closed, counters.streams_opened,
        "no ring is left"
    );
    assert_eq!(counters.sessions_opened, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_publisher_takes_the_viewers_over() {
    let server = Server::start(|settings| settings.media.shards = 2).await;
    let mut first = Peer::publish(&server.whip("demo"), None).await;
    let mut broadcast = Broadcast::new(first.video());
    let viewer = Peer::subscribe(&server.whep("demo"), None).await;
    let seen = broadcast_until_seen(&mut first, &mut broadcast, vec![watch(viewer, 0)]).await;
    let mut second = Peer::publish(&server.whip("demo"), None).await;
    first.recv_closed().await;
    assert!(!first.session.exists().await);
    let mut broadcast = second_broadcast(&second);
    for (viewer, mut packets) in seen {
        let watching = vec![watch(viewer, SECOND)];
        let again = broadcast_until_seen(&mut second, &mut broadcast, watching).await;
        packets.extend(again.into_iter().flat_map(|(_, packets)| packets));
        is_one_stream(&packets);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_kept_of_a_publisher_that_left_while_its_viewers_wait() {
    let server = Server::start(|settings| settings.media.shards = 2).await;
    let mut publisher = Peer::publish(&server.whip("demo"), None).await;
    let mut broadcast = Broadcast::new(publisher.video());
    // One beside the publisher, the other on the other shard.
    let mut watching = Vec::new();
    for _ in 0..2 {
        let viewer = Peer::subscribe(&server.whep("demo"), None).await;
        watching.push(watch(viewer, 0));
    }
    let mut seen = broadcast_until_seen(&mut publisher, &mut broadcast, watching).await;
    for (viewer, packets) in &mut seen {
        let number = packets.pop().unwrap().sequence_number;
        assert!(comes_again(viewer, number).await);
    }
    assert_eq!(publisher.delete().await, StatusCode::OK);
    publisher.recv_closed().await;
    for (viewer, packets) in &mut seen {
        until("the end of what is kept", async || {
            // Each once: what has just come again would not come again in any case.
            let packet = packets.pop().expect("it is told before all are asked for");
            !comes_again(viewer, packet.sequence_number).await
        })
        .await;
        assert!(viewer.session.exists().await);
    }
}

/// Asks for a packet again, and then whether the server is there, so that its answer comes after the packet.
async fn comes_again(viewer: &mut Peer, number: u16) -> bool {
    let (video, rtx) = (viewer.video().ssrc, viewer.video().rtx_ssrc);
    viewer.send_rtcp(&nack(video, number)).await;
    viewer.link.restart(viewer.link.check.clone());
    let mut received = VecDeque::new();
    let asking = async {
        while !viewer.link.is_reached() {
            viewer.link.turn(&mut received).await;
        }
    };
    let answered = tokio::time::timeout(PATIENCE, asking).await;
    assert!(answered.is_ok(), "no check was answered");
    received.iter().any(
        |received| matches!(received, Received::Rtp(packet) if Some(Rtp::read(packet).ssrc) == rtx),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_leave_when_nobody_comes_back_or_with_what_they_can_not_play() {
    let server = Server::start(|settings| {
        settings.streams.every.reconnect_grace = Duration::from_millis(300);
    })
    .await;
    let mut publisher = Peer::publish(&server.whip("demo"), None).await;
    let mut viewer = Peer::subscribe(&server.whep("demo"), None).await;
    assert_eq!(publisher.delete().await, StatusCode::OK);
    viewer.recv_closed().await;
    assert!(!viewer.session.exists().await);

    let _first = Peer::publish(&server.whip("demo"), None).await;
    let mut viewer = Peer::subscribe(&server.whep("demo"), None).await;
    let other_codec = Options {
        codec: "VP8",
        ..Options::publisher()
    };
    let _second = Peer::connect(&server.whip("demo"), None, &other_codec)
        .await
        .unwrap();
    viewer.recv_closed().await;
    let options = Options {
        codec: "VP8",
        ..Options::subscriber()
    };
    Peer::connect(&server.whep("demo"), None, &options)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_that_came_first_begins_when_the_publisher_comes() {
    let server = Server::start(|settings| {
        settings.media.shards = 2;
        settings.streams.every.wait_for_publisher = true;
    })
    .await;
    let mut watching = Vec::new();
    for _ in 0..3 {
        let viewer = Peer::subscribe(&server.whep("demo"), None).await;
        watching.push(watch(viewer, 0));
    }
    let mut publisher = Peer::publish(&server.whip("demo"), None).await;
    let mut broadcast = Broadcast::new(publisher.video());
    for (viewer, packets) in broadcast_until_seen(&mut publisher, &mut broadcast, watching).await {
        assert_eq!(packets[0].payload[0], 0x65, "it begins with a keyframe");
        assert_eq!(packets[0].payload_type, viewer.video().payload_type);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_player_that_makes_no_offer_answers_that_of_the_server() {
    let server = Server::start(|settings| settings.media.shards = 2).await;
    let mut first = Peer::publish(&server.whip("demo"), None).await;
    let mut broadcast = Broadcast::new(first.video());
    let options = Options::subscriber();
    let session = Session::accept_offer(&server.whep("demo"), &options).await;
    let viewer = Peer::finish(session, &options).await;
    let seen = broadcast_until_seen(&mut first, &mut broadcast, vec![watch(viewer, 0)]).await;

    // It stays through a takeover as the others do.
    let mut second = Peer::publish(&server.whip("demo"), None).await;
    let mut broadcast = second_broadcast(&second);
    for (viewer, mut packets) in seen {
        let watching = vec![watch(viewer, SECOND)];
        let again = broadcast_until_seen(&mut second, &mut broadcast, watching).await;
        packets.extend(again.into_iter().flat_map(|(_, packets)| packets));
        is_one_stream(&packets);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_is_told_what_happens_to_its_stream_and_where_to_go_at_the_end() {
    let server = Server::start(|settings| {
        let url = "https://b.example/whep/{stream}".to_owned();
        settings.streams.drain_url = Some(url);
    })
    .await;
    let mut publisher = Peer::publish(&server.whip("demo"), None).await;
    let viewer = Peer::subscribe(&server.whep("demo"), None).await;
    let mut events = viewer.session.events().await;
    let mut text = String::new();
    told(&mut events, &mut text, "event: viewercount").await;
    assert!(text.contains("event: active"), "{text}");
    assert_eq!(publisher.delete().await, StatusCode::OK);
    told(&mut events, &mut text, "event: inactive").await;
    let _again = Peer::publish(&server.whip("demo"), None).await;
    text.clear();
    told(&mut events, &mut text, "event: active").await;
    let stopped = tokio::spawn(server.stop());
    told(&mut events, &mut text, "https://b.example/whep/demo").await;
    assert!(text.contains("event: reconnect"), "{text}");
    stopped.await.unwrap().unwrap();
}

/// Reads events until they say something.
async fn told(events: &mut reqwest::Response, text: &mut String, wanted: &str) {
    let reading = async {
        while !text.contains(wanted) {
            let chunk = events.chunk().await.unwrap();
            let chunk = chunk.unwrap_or_else(|| panic!("no {wanted} in {text}"));
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
    };
    let read = tokio::time::timeout(PATIENCE, reading).await;
    assert!(read.is_ok(), "{wanted} did not come in time");
}
