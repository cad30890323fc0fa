//! One publisher and its subscribers, over real sockets.

use std::time::{Duration, Instant};

use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::rtcp;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};
use tokio::sync::watch;

use crate::support::broadcast::{Broadcast, Rtp, number_of};
use crate::support::peer::{Options, Peer, Received, Setup};
use crate::support::server::Server;

/// Packets that a viewer may be behind before the publisher waits for it, so that none is lost in a
/// socket whose reader the machine has no time for.
const WINDOW: u32 = 40;

/// Sends `frames` whole frames and has every subscriber see all of their packets, in order.
pub(crate) async fn broadcast_to(
    publisher: &mut Peer,
    broadcast: &mut Broadcast,
    subscribers: Vec<Peer>,
    frames: u32,
) -> Vec<Peer> {
    let last = broadcast.next + frames * Broadcast::PACKETS_PER_FRAME - 1;
    let mut seen = Vec::new();
    let mut tasks = Vec::new();
    for mut subscriber in subscribers {
        let (progress, at) = watch::channel(broadcast.next);
        seen.push(at);
        tasks.push(tokio::spawn(async move {
            receive(&mut subscriber, last, &progress).await;
            subscriber
        }));
    }
    for _ in 0..frames {
        let sent = broadcast.send(publisher).await;
        for at in &mut seen {
            // An error says that the viewer has ended, and its task tells why.
            let wait = at.wait_for(|number| number + WINDOW >= sent);
            let _ = tokio::time::timeout(crate::support::peer::PATIENCE, wait).await;
        }
    }
    let mut subscribers = Vec::new();
    for task in tasks {
        subscribers.push(task.await.unwrap());
    }
    subscribers
}

/// Receives video up to packet `last`; checks order, numbers, timestamps and contents.
async fn receive(subscriber: &mut Peer, last: u32, progress: &watch::Sender<u32>) {
    let video = subscriber.video().clone();
    let mut before: Option<(u32, u16, u32)> = None;
    loop {
        let packet = Rtp::read(&subscriber.recv_rtp().await);
        if packet.ssrc != video.ssrc {
            continue;
        }
        assert_eq!(packet.payload_type, video.payload_type);
        let number = number_of(&packet.payload).expect("the payload arrives as it was sent");
        if let Some((number_before, sequence_before, timestamp_before)) = before {
            assert_eq!(number, number_before + 1);
            assert_eq!(packet.sequence_number, sequence_before.wrapping_add(1));
            let begins_frame = number.is_multiple_of(Broadcast::PACKETS_PER_FRAME);
            let ticks = if begins_frame {
                Broadcast::TICKS_PER_FRAME
            } else {
                0
            };
            assert_eq!(packet.timestamp, timestamp_before.wrapping_add(ticks));
        }
        before = Some((number, packet.sequence_number, packet.timestamp));
        progress.send_replace(number);
        if number == last {
            return;
        }
    }
}

async fn audience(server: &Server, viewers: usize) -> (Peer, Broadcast, Vec<Peer>) {
    let publisher = Peer::publish(&server.whip("demo"), None).await;
    let broadcast = Broadcast::new(publisher.video());
    let mut subscribers = Vec::new();
    for _ in 0..viewers {
        subscribers.push(Peer::subscribe(&server.whep("demo"), None).await);
    }
    (publisher, broadcast, subscribers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_subscribers_of_one_shard_get_every_packet() {
    let server = Server::start(|_| {}).await;
    let (mut publisher, mut broadcast, subscribers) = audience(&server, 3).await;
    broadcast_to(&mut publisher, &mut broadcast, subscribers, 100).await;
    let counters = server.counters();
    assert_eq!(counters.handed_over, 0);
    assert!(counters.sent >= 3 * 400);
    assert_eq!((counters.undecryptable, counters.queue_overflow), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_of_four_shards_get_every_packet() {
    let server = Server::start(|settings| settings.media.shards = 4).await;
    let (mut publisher, mut broadcast, subscribers) = audience(&server, 8).await;
    broadcast_to(&mut publisher, &mut broadcast, subscribers, 60).await;
    // The kernel spreads nine pairs of addresses over the four sockets, the gateway the sessions over
    // the shards: that all meet by chance happens once in 4^9 times.
    let counters = server.counters();
    assert!(counters.handed_over > 0);
    assert_eq!((counters.undecryptable, counters.queue_overflow), (0, 0));
    for shard in server.counters_by_shard() {
        assert!(
            shard.sent >= 2 * 240,
            "every shard serves its share: {shard:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn video_that_waits_for_its_turn_comes_whole_and_in_order() {
    for shards in [1, 4] {
        let server = Server::start(|settings| {
            settings.media.shards = shards;
            settings.media.video_per_round = 1;
        })
        .await;
        let (mut publisher, mut broadcast, subscribers) = audience(&server, 8).await;
        broadcast_to(&mut publisher, &mut broadcast, subscribers, 60).await;
        assert_eq!(server.counters().queue_overflow, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_subscriber_begins_with_the_past_and_nobody_is_asked_for_it() {
    for shards in [1, 2, 4] {
        let server = Server::start(|settings| settings.media.shards = shards).await;
        let mut publisher = Peer::publish(&server.whip("demo"), None).await;
        let mut broadcast = Broadcast::new(publisher.video());
        // One keyframe long ago, as far as anybody knows, and some pictures after it.
        for _ in 0..8 {
            broadcast.send(&mut publisher).await;
        }
        let sent = Instant::now();
        let mut viewers = 0;
        // Until nobody can think that the keyframe is still on its way.
        while viewers < 4 || Instant::now() - sent < Duration::from_millis(300) {
            let viewer = viewers;
            viewers += 1;
            let mut subscriber = Peer::subscribe(&server.whep("demo"), None).await;
            let ssrc = subscriber.video().ssrc;
            let mut before: Option<Rtp> = None;
            for expected in 0..8 * Broadcast::PACKETS_PER_FRAME {
                let packet = Rtp::read(&subscriber.recv_rtp().await);
                let number =
                    number_of(&packet.payload).expect("the payload arrives as it was sent");
                assert_eq!((packet.ssrc, number), (ssrc, expected), "viewer {viewer}");
                if let Some(before) = before.replace(packet.clone()) {
                    let begins_frame = number.is_multiple_of(Broadcast::PACKETS_PER_FRAME);
                    let ticks = packet.timestamp.wrapping_sub(before.timestamp);
                    assert_eq!(
                        packet.sequence_number,
                        before.sequence_number.wrapping_add(1)
                    );
                    let closer = 1..=Broadcast::TICKS_PER_FRAME;
                    assert!(ticks == 0 && !begins_frame || begins_frame && closer.contains(&ticks));
                }
            }
        }
        // The first thing that it is asked for is what the server is asked for now, and can't answer itself: who asks
        // gets the past again, and asks for more.
        let mut late = Peer::subscribe(&server.whep("demo"), None).await;
        let request = PictureLossIndication {
            sender_ssrc: 1,
            media_ssrc: late.video().ssrc,
        };
        for _ in 0..2 {
            for expected in 0..8 * Broadcast::PACKETS_PER_FRAME {
                let packet = Rtp::read(&late.recv_rtp().await);
                assert_eq!(number_of(&packet.payload), Some(expected));
            }
            late.send_rtcp(&[Box::new(request.clone())]).await;
        }
        let request: PictureLossIndication = publisher.recv_rtcp().await;
        assert_eq!(request.media_ssrc, broadcast.ssrc);
        assert_eq!(server.counters().queue_overflow, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_subscriber_and_one_that_asks_make_the_publisher_send_a_keyframe() {
    for shards in [1, 2] {
        let server = Server::start(|settings| {
            settings.media.shards = shards;
            settings.media.keyframe_cache_bytes = 0;
        })
        .await;
        let mut publisher = Peer::publish(&server.whip("demo"), None).await;
        let mut broadcast = Broadcast::new(publisher.video());
        broadcast.send(&mut publisher).await;
        let mut subscriber = Peer::subscribe(&server.whep("demo"), None).await;
        let request: PictureLossIndication = publisher.recv_rtcp().await;
        assert_eq!(request.media_ssrc, broadcast.ssrc);
        let request = PictureLossIndication {
            sender_ssrc: 1,
            media_ssrc: subscriber.video().ssrc,
        };
        subscriber.send_rtcp(&[Box::new(request)]).await;
        let request: PictureLossIndication = publisher.recv_rtcp().await;
        assert_eq!(request.media_ssrc, broadcast.ssrc);
    }
}

/// Asks for a packet of a source again.
pub(crate) fn nack(source: u32, number: u16) -> [Box<dyn rtcp::Packet>; 2] {
    let report = ReceiverReport {
        ssrc: 1,
        ..ReceiverReport::default()
    };
    let nack = TransportLayerNack {
        sender_ssrc: 1,
        media_ssrc: source,
        nacks: vec![NackPair {
            packet_id: number,
            lost_packets: 0,
        }],
    };
    [Box::new(report), Box::new(nack)]
}

/// Asks for a packet that came, and has it come again.
async fn ask_again(subscriber: &mut Peer, packet: &Rtp) -> Rtp {
    let nack = nack(packet.ssrc, packet.sequence_number);
    subscriber.send_rtcp(&nack).await;
    Rtp::read(&subscriber.recv_rtp().await)
}

async fn one_subscriber(options: &Options) -> (Server, Peer, Peer, Vec<Rtp>) {
    let server = Server::start(|_| {}).await;
    let mut publisher = Peer::publish(&server.whip("demo"), None).await;
    let mut broadcast = Broadcast::new(publisher.video());
    let mut subscriber = Peer::connect(&server.whep("demo"), None, options)
        .await
        .unwrap();
    broadcast.send(&mut publisher).await;
    let mut packets = Vec::new();
    for _ in 0..Broadcast::PACKETS_PER_FRAME {
        packets.push(Rtp::read(&subscriber.recv_rtp().await));
    }
    (server, publisher, subscriber, packets)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nack_is_answered_by_retransmission_where_that_was_agreed_on() {
    let (_server, _publisher, mut subscriber, packets) =
        one_subscriber(&Options::subscriber()).await;
    let again = ask_again(&mut subscriber, &packets[1]).await;
    let video = subscriber.video();
    assert_eq!(Some(again.payload_type), video.rtx_payload_type);
    assert_eq!(Some(again.ssrc), video.rtx_ssrc);
    assert_eq!(again.timestamp, packets[1].timestamp);
    let (original, payload) = again.payload.split_at(2);
    assert_eq!(original, packets[1].sequence_number.to_be_bytes());
    assert_eq!(payload, packets[1].payload);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nack_is_answered_by_the_packet_itself_where_nothing_else_was_agreed_on() {
    let options = Options {
        rtx: false,
        ..Options::subscriber()
    };
    let (_server, _publisher, mut subscriber, packets) = one_subscriber(&options).await;
    assert_eq!(ask_again(&mut subscriber, &packets[2]).await, packets[2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_publisher_lost_is_asked_for_and_sent_on() {
    let (_server, mut publisher, mut subscriber, _) = one_subscriber(&Options::subscriber()).await;
    let mut broadcast = Broadcast::new(publisher.video());
    broadcast.skip_frame();
    let frame = broadcast.frame();
    for (index, packet) in frame.iter().enumerate() {
        if index != 1 {
            publisher.send_rtp(packet).await;
        }
    }
    let nack: TransportLayerNack = publisher.recv_rtcp().await;
    let lost = Rtp::read(&frame[1]);
    assert_eq!(nack.media_ssrc, lost.ssrc);
    assert_eq!(nack.nacks[0].packet_list(), [lost.sequence_number]);
    publisher.send_rtp(&frame[1]).await;
    let mut numbers = Vec::new();
    for _ in 0..frame.len() {
        let packet = Rtp::read(&subscriber.recv_rtp().await);
        numbers.push((packet.sequence_number, number_of(&packet.payload).unwrap()));
    }
    let arrived: Vec<_> = numbers.iter().map(|(_, number)| *number).collect();
    assert_eq!(arrived, [4, 6, 7, 5]);
    numbers.sort_unstable();
    assert!(
        numbers.is_sorted_by_key(|(_, number)| *number),
        "{numbers:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sender_reports_carry_the_publishers_clock() {
    /// Some time in the publisher's year.
    const NTP: u64 = 0xC0FF_EE00_8000_0000;
    let (_server, mut publisher, mut subscriber, packets) =
        one_subscriber(&Options::subscriber()).await;
    let mut broadcast = Broadcast::new(publisher.video());
    let offset = packets[0].timestamp.wrapping_sub(broadcast.timestamp);
    broadcast.skip_frame();
    publisher.send_rtcp(&[broadcast.sender_report(NTP)]).await;
    let ssrc = subscriber.video().ssrc;
    // The first report, from before, told of our own clock.
    let report = subscriber
        .recv_until(
            "a report by the publisher's clock",
            |received| match received {
                Received::Rtcp(packet) => packet
                    .as_any()
                    .downcast_ref::<SenderReport>()
                    .filter(|report| report.ssrc == ssrc && report.ntp_time >> 40 == NTP >> 40)
                    .cloned(),
                _ => None,
            },
        )
        .await;
    let since = report.ntp_time - NTP;
    let ticks = (u128::from(since) * 90_000) >> 32;
    let expected = broadcast
        .timestamp
        .wrapping_add(offset)
        .wrapping_add(ticks as u32);
    let off = report.rtp_time.wrapping_sub(expected) as i32;
    assert!(off.abs() <= 1, "{off} ticks off");
    assert_eq!(report.packet_count, Broadcast::PACKETS_PER_FRAME);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_to_agree_on_keys_carries_media() {
    let server = Server::start(|settings| settings.media.shards = 2).await;
    let old = vec![SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80];
    let ways = [
        (Setup::ActPass, old.clone()),
        (Setup::Passive, old),
        (Setup::Passive, Options::publisher().profiles),
    ];
    for (index, (setup, profiles)) in ways.into_iter().enumerate() {
        let name = format!("way-{index}");
        let with = |options: Options| Options {
            setup,
            profiles: profiles.clone(),
            ..options
        };
        let publisher = with(Options::publisher());
        let mut publisher = Peer::connect(&server.whip(&name), None, &publisher)
            .await
            .unwrap();
        let mut broadcast = Broadcast::new(publisher.video());
        // Whoever is the DTLS server has finished before the other side has.
        let mut subscriber = loop {
            let options = with(Options::subscriber());
            match Peer::connect(&server.whep(&name), None, &options).await {
                Ok(subscriber) => break subscriber,
                Err(refused) => assert_eq!(refused.status, reqwest::StatusCode::CONFLICT),
            }
        };
        let first = loop {
            broadcast.send(&mut publisher).await;
            let packet = subscriber.recv_rtp();
            if let Ok(packet) = tokio::time::timeout(Duration::from_millis(50), packet).await {
                break Rtp::read(&packet);
            }
        };
        assert_eq!(first.ssrc, subscriber.video().ssrc);
        assert!(number_of(&first.payload).is_some());
        let request: Box<dyn rtcp::Packet> = Box::new(PictureLossIndication {
            sender_ssrc: 1,
            media_ssrc: first.ssrc,
        });
        subscriber.send_rtcp(&[request]).await;
        publisher.recv_rtcp::<PictureLossIndication>().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_goes_on_through_ice_restarts_and_new_addresses() {
    let server = Server::start(|settings| settings.media.shards = 2).await;
    let (mut publisher, mut broadcast, mut subscribers) = audience(&server, 2).await;
    subscribers = broadcast_to(&mut publisher, &mut broadcast, subscribers, 10).await;
    for peer in subscribers.iter_mut().chain([&mut publisher]) {
        let (ufrag, pwd) = peer.session.restart_ice().await;
        peer.link
            .restart(crate::support::peer::Check { ufrag, pwd });
        peer.link.rebind().await;
        peer.link.reach().await;
    }
    broadcast_to(&mut publisher, &mut broadcast, subscribers, 20).await;
}
