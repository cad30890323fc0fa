//! Several publishers of one stream: viewers get the best whose media comes, and see one stream. And
//! the slate, for when there is none.

use std::time::Duration;

use reqwest::StatusCode;
use tidegate::config::{SecondPublisher, StreamAuth};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::lifetime::until;
use crate::support::broadcast::{Broadcast, Rtp, number_of};
use crate::support::peer::{PATIENCE, Peer};
use crate::support::server::Server;

/// The time between two frames of a publisher.
const PACE: Duration = Duration::from_millis(10);
/// Where the numbers of the backup's packets begin.
const BACKUP: u32 = 1_000_000;
/// Packets in a row that a viewer has to see of one publisher.
const ENOUGH: usize = 24;
/// What a viewer may wait between two pictures because of a switch, in ticks of its clock.
const GAP: u32 = 90_000;

/// A publisher that sends all the time, unless it is told to pause.
struct Publisher {
    sends: watch::Sender<bool>,
    task: JoinHandle<Peer>,
}

impl Publisher {
    fn start(mut peer: Peer, ssrc: u32, first: u32) -> Self {
        let mut broadcast = Broadcast::new(peer.video());
        broadcast.ssrc = ssrc;
        broadcast.next = first;
        let (sends, mut told) = watch::channel(true);
        let task = tokio::spawn(async move {
            let mut pace = tokio::time::interval(PACE);
            loop {
                tokio::select! {
                    _ = pace.tick(), if *told.borrow() => {
                        broadcast.send(&mut peer).await;
                    }
                    changed = told.changed() => if changed.is_err() {
                        return peer;
                    }
                }
            }
        });
        Self { sends, task }
    }

    fn send(&self, sends: bool) {
        self.sends.send_replace(sends);
    }

    /// Stops, and gives back what is still connected.
    async fn stop(self) -> Peer {
        drop(self.sends);
        self.task.await.unwrap()
    }
}

/// A viewer, and all that it has seen.
struct Viewer {
    peer: Peer,
    packets: Vec<Rtp>,
}

impl Viewer {
    async fn of(server: &Server) -> Self {
        Self {
            peer: Peer::subscribe(&server.whep("demo"), None).await,
            packets: Vec::new(),
        }
    }

    /// Sees video until enough packets in a row are such.
    async fn sees(&mut self, what: &str, is_such: impl Fn(&Rtp) -> bool) {
        let watching = async {
            let mut in_a_row = 0;
            while in_a_row < ENOUGH {
                let packet = Rtp::read(&self.peer.recv_rtp().await);
                if packet.ssrc == self.peer.video().ssrc {
                    in_a_row = if is_such(&packet) { in_a_row + 1 } else { 0 };
                    self.packets.push(packet);
                }
            }
        };
        let seen = tokio::time::timeout(PATIENCE, watching).await;
        assert!(seen.is_ok(), "the viewer does not see {what}");
    }

    /// Numbers without a gap, and time that goes on without a long one.
    fn saw_one_stream(&self, longest: u32) {
        for pair in self.packets.windows(2) {
            let [before, after] = pair else { continue };
            assert_eq!(
                after.sequence_number,
                before.sequence_number.wrapping_add(1)
            );
            let ticks = after.timestamp.wrapping_sub(before.timestamp);
            assert!(ticks < longest, "{ticks} ticks between two pictures");
        }
    }
}

fn is_primary(packet: &Rtp) -> bool {
    number_of(&packet.payload).is_some_and(|number| number < BACKUP)
}

fn is_backup(packet: &Rtp) -> bool {
    number_of(&packet.payload).is_some_and(|number| number >= BACKUP)
}

fn is_slate(packet: &Rtp) -> bool {
    number_of(&packet.payload).is_none()
}

async fn publishers(server: &Server) -> serde_json::Value {
    let streams = reqwest::get(server.url("/streams")).await.unwrap();
    let streams: serde_json::Value = serde_json::from_str(&streams.text().await.unwrap()).unwrap();
    streams[0]["publishers"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_are_on_the_backup_while_the_primary_is_away() {
    let server = Server::start(|settings| {
        settings.media.shards = 2;
        settings.streams.every.second_publisher = SecondPublisher::Backup;
        settings.streams.every.stall_after = Duration::from_millis(300);
        settings.streams.every.return_after = Duration::from_secs(1);
    })
    .await;
    let peer = Peer::publish(&server.whip("demo"), None).await;
    let primary = Publisher::start(peer, 0x5EED, 0);
    // It has the other shard, and the viewers are on both.
    let peer = Peer::publish(&server.whip("demo?backup"), None).await;
    let backup = Publisher::start(peer, 0xFEED, BACKUP);
    let mut viewers = [Viewer::of(&server).await, Viewer::of(&server).await];
    for viewer in &mut viewers {
        viewer.sees("the primary", is_primary).await;
    }
    let publishers = publishers(&server).await;
    assert_eq!(publishers[0]["on_air"], true, "{publishers}");
    assert_eq!(publishers[1]["priority"], 50, "{publishers}");
    assert_eq!(publishers[1]["state"], "flowing", "{publishers}");

    primary.send(false);
    let [one, other] = &mut viewers;
    tokio::join!(
        one.sees("the backup", is_backup),
        other.sees("the backup", is_backup),
    );
    primary.send(true);
    tokio::join!(
        one.sees("the primary again", is_primary),
        other.sees("the primary again", is_primary),
    );
    // It ends for good.
    let mut ended = primary.stop().await;
    assert_eq!(ended.delete().await, StatusCode::OK);
    tokio::join!(
        one.sees("the backup again", is_backup),
        other.sees("the backup again", is_backup),
    );
    for viewer in &viewers {
        viewer.saw_one_stream(GAP);
        assert!(viewer.peer.session.exists().await);
    }
    backup.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backups_token_takes_no_viewers_from_the_primary() {
    let server = Server::start(|settings| {
        settings.streams.every.second_publisher = SecondPublisher::Backup;
        settings.streams.every.return_after = Duration::from_secs(1);
        let tokens = StreamAuth {
            publish_token: Some("main".to_owned().into()),
            backup_token: Some("stand-by".to_owned().into()),
            play_token: None,
        };
        settings
            .auth
            .streams
            .insert("demo".parse().unwrap(), tokens);
    })
    .await;
    let backup = Peer::publish(&server.whip("demo?priority=255"), Some("stand-by")).await;
    let backup = Publisher::start(backup, 0xFEED, BACKUP);
    let mut viewer = Viewer::of(&server).await;
    viewer.sees("the backup", is_backup).await;

    let primary = Peer::publish(&server.whip("demo"), Some("main")).await;
    let primary = Publisher::start(primary, 0x5EED, 0);
    viewer.sees("the primary", is_primary).await;
    let publishers = publishers(&server).await;
    assert_eq!(publishers[0]["priority"], 100, "{publishers}");
    assert_eq!(publishers[1]["priority"], 50, "{publishers}");
    primary.stop().await;
    backup.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slate_fills_the_gap_until_the_publisher_is_back() {
    let server = Server::start(|settings| {
        settings.media.shards = 2;
        settings.streams.every.slate = true;
    })
    .await;
    let peer = Peer::publish(&server.whip("demo"), None).await;
    let first = Publisher::start(peer, 0x5EED, 0);
    let mut viewer = Viewer::of(&server).await;
    viewer.sees("the broadcast", is_primary).await;
    let mut first = first.stop().await;
    assert_eq!(first.delete().await, StatusCode::OK);
    viewer.sees("the slate", is_slate).await;
    let publishers = publishers(&server).await;
    assert_eq!(publishers[0]["priority"], serde_json::Value::Null);
    // Who comes meanwhile sees it as well.
    let mut late = Viewer::of(&server).await;
    late.sees("the slate", is_slate).await;

    let peer = Peer::publish(&server.whip("demo"), None).await;
    let second = Publisher::start(peer, 0xFEED, BACKUP);
    tokio::join!(
        viewer.sees("the second broadcast", is_backup),
        late.sees("the second broadcast", is_backup),
    );
    viewer.saw_one_stream(u32::MAX / 2);
    let mut second = second.stop().await;
    for peer in [&mut second, &mut viewer.peer, &mut late.peer] {
        assert_eq!(peer.delete().await, StatusCode::OK);
    }
    until("the end of all sessions", async || {
        let counters = server.counters();
        counters.sessions_closed == counters.sessions_opened
            && counters.streams_closed == counters.streams_opened
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_priority_that_is_none_is_refused() {
    let server = Server::start(|_| {}).await;
    let options = crate::support::peer::Options::publisher();
    let refused = Peer::connect(&server.whip("demo?priority=high"), None, &options).await;
    assert_eq!(refused.err().unwrap().status, StatusCode::BAD_REQUEST);
}
