//! Sound for viewers who take redundancy, and for those who don't.

use super::*;
use crate::rtp::red::Red;

const AUDIO: TrackId = VIDEO;
const OPUS: u8 = 111;
const RED: u8 = 63;

fn viewer(takes_redundancy: bool) -> Subscriber {
    let track = SubscribedTrack {
        track: AUDIO,
        kind: MediaKind::Audio,
        clock_rate: 48_000,
        payload_type: OPUS,
        red_payload_type: takes_redundancy.then_some(RED),
        ..video(false)
    };
    let tracks = vec![track];
    Subscriber::new(&SubscriberSpec { tracks }, "demo", || 9)
}

/// Packet `sequence` of 20 ms, without what the one before held.
fn alone(sequence: u64) -> Packet {
    Packet {
        timestamp: sequence as u32 * 960,
        payload: sequence.to_be_bytes().to_vec(),
        ..packet(sequence)
    }
}

fn sound(sequence: u64) -> Packet {
    let mut packet = alone(sequence);
    packet.keep_previous(Some(&alone(sequence - 1)));
    packet
}

/// Payload type and payload.
fn read(sent: &(u64, Vec<u8>)) -> (u8, &[u8]) {
    let header = Header::parse(&sent.1).unwrap();
    (header.payload_type, header.payload(&sent.1).unwrap())
}

#[test]
fn each_packet_carries_the_one_before() {
    let (mut sent, now) = (Sent::default(), Instant::now());
    let mut viewer = viewer(true);
    let packets = [sound(70_000), sound(70_001)];
    send(&mut viewer, now, &packets, &mut sent);
    for (packet, sent) in packets.iter().zip(&sent.0) {
        let (payload_type, payload) = read(sent);
        let red = Red::read(payload).unwrap();
        assert_eq!((payload_type, red.payload_type), (RED, OPUS));
        assert_eq!(red.primary, packet.payload);
        let block = red.redundant().next().unwrap();
        let before = alone(packet.sequence - 1).payload;
        assert_eq!((block.payload_type, block.timestamp_offset), (OPUS, 960));
        assert_eq!(block.payload, before);
    }
    // Their header and the blocks are part of what sender reports count.
    let (_, tally) = viewer.tallies().next().unwrap();
    assert_eq!((tally.packets, tally.bytes), (2, 2 * (5 + 8 + 8)));
}

#[test]
fn a_packet_on_its_own_goes_as_it_is() {
    let (mut sent, now) = (Sent::default(), Instant::now());
    send(&mut viewer(true), now, &[alone(70_000)], &mut sent);
    assert_eq!(read(&sent.0[0]), (OPUS, &alone(70_000).payload[..]));
}

#[test]
fn others_get_plain_sound() {
    let (mut sent, now) = (Sent::default(), Instant::now());
    send(&mut viewer(false), now, &[sound(70_000)], &mut sent);
    assert_eq!(read(&sent.0[0]), (OPUS, &alone(70_000).payload[..]));
}

#[test]
fn what_is_sent_again_has_the_same_bytes() {
    let (mut sent, now) = (Sent::default(), Instant::now());
    let mut viewer = viewer(true);
    let mut ring = Ring::new(8, KeyframeCache::OFF);
    ring.insert(sound(70_000).into(), drop);
    send(&mut viewer, now, &[sound(70_000)], &mut sent);
    // The packet before comes late, so that more could be said now.
    ring.insert(alone(69_999).into(), drop);
    let number = sent.0[0].0 as u16;
    viewer.handle_rtcp(now, &nack(1111, number), |_, _| Some(&ring), &mut sent);
    assert_eq!(sent.0.len(), 2);
    assert_eq!(sent.0[0], sent.0[1]);
}
