//! Sound that comes with redundancy.

use super::*;
use crate::rtp::red;

const RED: u8 = 63;
/// Ticks of a packet of 20 ms.
const FRAME: u32 = 960;

fn rig() -> Rig {
    let mut spec = spec();
    spec.tracks[0].red_payload_type = Some(RED);
    Rig::with(spec)
}

/// What packet `number` holds: 20 ms of CELT.
fn sound(number: u16) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    vec![0xFC, high, low]
}

/// Packet `number` with a block of the one before.
fn redundant(number: u16) -> Rtp {
    let before = sound(number.wrapping_sub(1));
    let mut payload = red::header(OPUS, FRAME, before.len()).unwrap().to_vec();
    payload.extend(before);
    payload.extend(sound(number));
    Rtp {
        payload_type: RED,
        payload,
        ..Rtp::audio(number, u32::from(number) * FRAME)
    }
}

#[test]
fn the_stream_holds_plain_sound() {
    let mut rig = rig();
    for number in 1..4 {
        let packet = rig.receive(&redundant(number)).unwrap();
        assert_eq!((packet.track, &packet.payload), (AUDIO, &sound(number)));
        assert_eq!(packet.timestamp, u32::from(number) * FRAME);
    }
    // A publisher may leave it out.
    let plain = Rtp {
        payload: sound(4),
        ..Rtp::audio(4, 4 * FRAME)
    };
    assert_eq!(rig.receive(&plain).unwrap().payload, sound(4));
    let audio = rig.publisher.stats().layers[0];
    assert_eq!((audio.packets, audio.bytes), (4, 12));
}

#[test]
fn what_is_not_redundant_sound_has_a_number_and_no_media() {
    let mut rig = rig();
    let first = rig.receive(&redundant(1)).unwrap();
    let mut broken = redundant(2);
    broken.payload.truncate(7);
    assert_eq!(rig.receive(&broken).unwrap_err(), Reason::Padding);
    let mut foreign = redundant(3);
    foreign.payload[4] = 0;
    assert_eq!(rig.receive(&foreign).unwrap_err(), Reason::Padding);
    let next = rig.receive(&redundant(4)).unwrap();
    assert_eq!(next.sequence, first.sequence + 1, "nobody sees a gap");
}

#[test]
fn redundancy_that_was_not_agreed_on_is_no_media() {
    let mut rig = Rig::new();
    assert_eq!(
        rig.receive(&redundant(1)).unwrap_err(),
        Reason::UnknownSource
    );
}

/// All packets that come of one: what it brings back first.
fn all(rig: &mut Rig, rtp: &Rtp) -> Vec<(u64, u32, Vec<u8>)> {
    let (bytes, now) = (rtp.bytes(), rig.now);
    let mut packet = blank(now);
    let ingested = rig.publisher.handle_rtp(now, &bytes, &mut packet);
    let mut recovered = blank(now);
    // What was there before is not its own.
    recovered.extensions.push(Extension::AudioLevel, &[1]);
    let mut packets = Vec::new();
    while rig.publisher.poll_recovered(now, &bytes, &mut recovered) {
        assert_eq!((recovered.track, recovered.marker), (AUDIO, false));
        assert!(recovered.extensions.is_empty());
        packets.push(recovered.clone());
    }
    packets.extend((ingested == Ingested::Media).then_some(packet));
    assert!(!rig.publisher.has_redundancy());
    let told = |packet: Packet| (packet.sequence, packet.timestamp, packet.payload);
    packets.into_iter().map(told).collect()
}

/// Packet `number` with blocks of those `back` before it, and how long ago each was in ticks.
fn blocks(number: u16, back: &[(u16, u32)]) -> Rtp {
    let (mut headers, mut payload) = (Vec::new(), Vec::new());
    for (back, offset) in back {
        let block = sound(number.wrapping_sub(*back));
        let header = red::header(OPUS, *offset, block.len()).unwrap();
        headers.extend(&header[..4]);
        payload.extend(block);
    }
    headers.push(OPUS);
    headers.extend(payload);
    headers.extend(sound(number));
    Rtp {
        payload_type: RED,
        payload: headers,
        ..Rtp::audio(number, u32::from(number) * FRAME)
    }
}

/// What comes of packets of these numbers.
fn of_numbers(numbers: impl IntoIterator<Item = u16>) -> Vec<(u64, u32, Vec<u8>)> {
    let packet = |number| {
        (
            65_536 + u64::from(number),
            u32::from(number) * FRAME,
            sound(number),
        )
    };
    numbers.into_iter().map(packet).collect()
}

#[test]
fn a_loss_is_filled_by_the_packet_behind_it() {
    let mut rig = rig();
    assert_eq!(all(&mut rig, &blocks(10, &[])), of_numbers([10]));
    assert_eq!(all(&mut rig, &redundant(11)), of_numbers([11]));
    assert_eq!(all(&mut rig, &redundant(13)), of_numbers([12, 13]));
    assert!(nacks(&rig.pass_millis(900)).is_empty());
    let audio = rig.publisher.stats().layers[0];
    assert_eq!((audio.recovered, audio.lost, audio.packets), (1, 0, 4));
    // It was only late.
    assert!(all(&mut rig, &redundant(12)).is_empty());
    assert_eq!(rig.publisher.stats().layers[0].duplicates, 1);
}

#[test]
fn several_losses_are_filled_in_their_order() {
    let mut rig = rig();
    assert_eq!(all(&mut rig, &blocks(10, &[])), of_numbers([10]));
    let packet = blocks(14, &[(3, 3 * FRAME), (2, 2 * FRAME), (1, FRAME)]);
    assert_eq!(all(&mut rig, &packet), of_numbers(11..=14));
    // One that has too many fills what it may.
    let back: Vec<_> = (1..=6)
        .rev()
        .map(|back| (back, u32::from(back) * FRAME))
        .collect();
    assert_eq!(all(&mut rig, &blocks(21, &back)), of_numbers(17..=21));
    let asked = nacks(&rig.pass_millis(15));
    assert_eq!(asked, [(10, vec![15, 16])]);
}

#[test]
fn what_lies_behind_a_pause_is_asked_for() {
    let mut rig = rig();
    assert_eq!(all(&mut rig, &blocks(10, &[])), of_numbers([10]));
    // The block is of a packet, but who knows of which.
    assert_eq!(
        all(&mut rig, &blocks(12, &[(1, 5 * FRAME)])),
        of_numbers([12])
    );
    assert_eq!(nacks(&rig.pass_millis(15)), [(10, vec![11])]);
}

#[test]
fn nothing_comes_before_another_source() {
    let mut rig = rig();
    assert_eq!(
        all(&mut rig, &redundant(10)).len(),
        2,
        "before the very first there is room"
    );
    rig.pass_millis(1_000);
    let other = redundant(40).with_ssrc(0xF);
    assert_eq!(all(&mut rig, &other).len(), 1);
}
