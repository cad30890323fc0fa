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
