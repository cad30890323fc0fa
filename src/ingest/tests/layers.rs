//! A publisher that sends several layers of its video.

use super::*;
use crate::stream::LayerId;

const RID: u8 = 10;
const REPAIRED_RID: u8 = 11;

const LOW: LayerId = LayerId(0);
const HIGH: LayerId = LayerId(1);
const LOW_SSRC: u32 = 0x10;
const HIGH_SSRC: u32 = 0x20;

/// Baseline, 640x360 and 320x180.
const SPS_360: [u8; 25] = [
    0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x2f, 0xf9, 0x70, 0x11, 0x00, 0x00, 0x03, 0x00, 0x01,
    0x00, 0x00, 0x03, 0x00, 0x32, 0x0f, 0x16, 0x2e, 0x48,
];
const SPS_180: [u8; 22] = [
    0x67, 0x42, 0xc0, 0x0d, 0xd9, 0x01, 0x41, 0x9f, 0x9e, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00,
    0x00, 0x03, 0x03, 0x20, 0xf1, 0x42,
];

fn layered() -> PublisherSpec {
    let mut spec = spec();
    let video = &mut spec.tracks[1];
    video.extensions.set(Extension::RtpStreamId, RID);
    video
        .extensions
        .set(Extension::RepairedRtpStreamId, REPAIRED_RID);
    let layer = |rid: &str| PublishedLayer {
        rid: Some(rid.to_owned()),
        ..PublishedLayer::default()
    };
    video.layers = vec![layer("l"), layer("h")];
    spec
}

/// A packet of a layer, which names it.
fn named(ssrc: u32, sequence_number: u16, timestamp: u32, payload: &[u8]) -> Rtp {
    let rid: &[u8] = if ssrc == LOW_SSRC { b"l" } else { b"h" };
    Rtp::video(sequence_number, timestamp, payload)
        .with_ssrc(ssrc)
        .with_extension(MID, b"1")
        .with_extension(RID, rid)
}

/// The layers as they were told last, the best first, and whether each is active.
fn told(events: &[Event]) -> Option<Vec<(LayerId, bool)>> {
    let layers = events.iter().rev().find_map(|event| match event {
        Event::Layers { layers, .. } => Some(layers),
        _ => None,
    })?;
    Some(
        layers
            .iter()
            .map(|layer| (layer.id, layer.is_active))
            .collect(),
    )
}

/// Frames of some layers, by SSRC, size of their packet and payload to begin with.
struct Camera {
    layers: Vec<(u32, usize)>,
    frame: u16,
    interval: u64,
}

impl Camera {
    fn new(low: usize, high: usize) -> Self {
        Self {
            layers: vec![(LOW_SSRC, low), (HIGH_SSRC, high)],
            frame: 0,
            interval: 33,
        }
    }

    fn run(&mut self, rig: &mut Rig, millis: u64) -> Vec<Event> {
        let mut events = Vec::new();
        for _ in 0..millis / self.interval {
            self.frame += 1;
            for (ssrc, len) in &self.layers {
                let mut payload = SLICE.to_vec();
                payload.resize(*len, 0);
                let mut rtp = named(*ssrc, self.frame, u32::from(self.frame) * 3_000, &payload);
                rtp.payload_type |= 0x80; // the marker
                let _ = rig.receive(&rtp);
            }
            let _ = rig.pass_millis(self.interval);
            events.extend(rig.events());
        }
        events
    }
}

#[test]
fn layers_are_told_apart_by_name_until_their_sources_are_known() {
    let mut rig = Rig::with(layered());
    let layer = |packet: Result<Packet, Reason>| packet.map(|packet| (packet.track, packet.layer));
    let high = rig.receive(&named(HIGH_SSRC, 7, 0, IDR));
    assert_eq!(layer(high), Ok((VIDEO, HIGH)));
    let low = rig.receive(&named(LOW_SSRC, 900, 0, IDR)).unwrap();
    assert_eq!((low.layer, low.sequence), (LOW, 65_536 + 900));
    // From now on without names.
    let next = rig.receive(&Rtp::video(8, 0, SLICE).with_ssrc(HIGH_SSRC));
    assert_eq!(next.unwrap().sequence, 65_536 + 8);
    // A source without a name, or with one that was not agreed on, is nobody's.
    let nameless = Rtp::video(1, 0, SLICE).with_ssrc(0x30);
    assert_eq!(rig.receive(&nameless).unwrap_err(), Reason::UnknownSource);
    let unknown = nameless.with_extension(RID, b"x");
    assert_eq!(rig.receive(&unknown).unwrap_err(), Reason::UnknownSource);
    // The name alone is enough, and a new source goes on for the old one.
    let other = Rtp::video(1, 0, SLICE)
        .with_ssrc(0x40)
        .with_extension(RID, b"l");
    assert_eq!(rig.receive(&other).unwrap().sequence, low.sequence + 1);
}

#[test]
fn a_retransmission_repairs_the_layer_that_it_names() {
    let mut rig = Rig::with(layered());
    for number in [1, 2, 5] {
        for ssrc in [LOW_SSRC, HIGH_SSRC] {
            let packet = named(ssrc, number, 0, SLICE);
            assert!(rig.receive(&packet).is_ok());
        }
    }
    let asked = rig.pass_millis(20);
    let asked: Vec<_> = of::<TransportLayerNack>(&asked)
        .iter()
        .map(|(_, nack)| nack.media_ssrc)
        .collect();
    assert_eq!(asked, [LOW_SSRC, HIGH_SSRC], "each layer by itself");
    let repair = |number: u16, ssrc: u32| Rtp::video(number, 0, SLICE).rtx(number).with_ssrc(ssrc);
    let anonymous = rig.receive(&repair(3, 0x50)).unwrap_err();
    assert_eq!(anonymous, Reason::UnknownSource);
    let first = repair(3, 0x50).with_extension(REPAIRED_RID, b"h");
    assert_eq!(rig.receive(&first).unwrap().layer, HIGH);
    assert_eq!(rig.receive(&repair(4, 0x50)).unwrap().layer, HIGH);
    // Some name it by the other extension.
    let other = repair(3, 0x60).with_extension(RID, b"l");
    assert_eq!(rig.receive(&other).unwrap().layer, LOW);
    let layers = rig.publisher.stats().layers;
    assert_eq!((layers[1].recovered, layers[2].recovered), (1, 2));
}

#[test]
fn announced_sources_need_no_names() {
    let mut spec = layered();
    for (layer, ssrc) in spec.tracks[1].layers.iter_mut().zip([LOW_SSRC, HIGH_SSRC]) {
        (layer.ssrc, layer.rtx_ssrc) = (Some(ssrc), Some(ssrc + 1));
    }
    let mut rig = Rig::with(spec);
    for (ssrc, layer) in [(HIGH_SSRC, HIGH), (LOW_SSRC, LOW)] {
        for number in [1, 3] {
            let packet = rig.receive(&Rtp::video(number, 0, SLICE).with_ssrc(ssrc));
            assert_eq!(packet.unwrap().layer, layer);
        }
        let repair = Rtp::video(2, 0, SLICE).rtx(1).with_ssrc(ssrc + 1);
        assert_eq!(rig.receive(&repair).unwrap().layer, layer);
    }
    // A name counts for more.
    let named = Rtp::video(9, 0, SLICE)
        .with_ssrc(0x70)
        .with_extension(RID, b"h");
    assert_eq!(rig.receive(&named).unwrap().layer, HIGH);
}

#[test]
fn a_flood_of_sources_is_bounded_and_leaves_the_other_layers_alone() {
    let mut rig = Rig::with(layered());
    let first = rig.receive(&named(LOW_SSRC, 1, 0, IDR)).unwrap();
    for ssrc in 1_000..3_000 {
        rig.now += Duration::from_millis(1);
        let _ = rig.receive(&named(ssrc, 1, 0, SLICE));
        let number = (ssrc - 998) as u16;
        let rtp = Rtp::video(number, 0, SLICE).with_ssrc(LOW_SSRC);
        let packet = rig.receive(&rtp).unwrap();
        let ahead = packet.sequence - first.sequence;
        assert_eq!((packet.layer, ahead), (LOW, u64::from(number) - 1));
    }
    assert!(rig.publisher.sources.count() <= 32);
    assert_eq!(rig.publisher.stats().layers[1].lost, 0);
}

#[test]
fn feedback_is_for_each_layer() {
    let mut rig = Rig::with(layered());
    let _ = rig.receive(&named(LOW_SSRC, 1, 0, IDR));
    let _ = rig.receive(&named(HIGH_SSRC, 1, 0, IDR));
    rig.publisher.request_keyframe(rig.now, VIDEO, HIGH);
    let sent = rig.pass_millis(1_100);
    let asked: Vec<_> = of::<PictureLossIndication>(&sent)
        .iter()
        .map(|(_, loss)| loss.media_ssrc)
        .collect();
    assert_eq!(asked, [HIGH_SSRC; 2]);
    let reported: Vec<_> = of::<ReceiverReport>(&sent)
        .iter()
        .flat_map(|(_, report)| report.reports.iter().map(|report| report.ssrc))
        .collect();
    assert_eq!(reported, [LOW_SSRC, HIGH_SSRC]);
    rig.rtcp(&[Box::new(SenderReport {
        ssrc: HIGH_SSRC,
        ..SenderReport::default()
    })]);
    let is_high = |event: &Event| matches!(event, Event::SenderReport { layer: HIGH, .. });
    assert!(rig.events().iter().any(is_high));
}

#[test]
fn the_better_layer_is_the_one_with_more_bits_whatever_its_name() {
    for (sizes, best) in [((1_000, 100), LOW), ((100, 1_000), HIGH)] {
        let mut rig = Rig::with(layered());
        let events = Camera::new(sizes.0, sizes.1).run(&mut rig, 2_000);
        assert_eq!(told(&events).unwrap()[0], (best, true));
    }
}

#[test]
fn layers_of_like_bitrates_do_not_change_places() {
    let mut rig = Rig::with(layered());
    let mut camera = Camera::new(1_000, 500);
    camera.run(&mut rig, 2_000);
    for size in [1_100, 950, 1_200, 1_000] {
        camera.layers[1].1 = size;
        assert_eq!(told(&camera.run(&mut rig, 1_500)), None, "{size}");
    }
    camera.layers[1].1 = 2_000;
    let events = camera.run(&mut rig, 3_000);
    assert_eq!(told(&events).unwrap()[0].0, HIGH);
}

#[test]
fn a_larger_picture_is_better_than_more_bits() {
    let mut rig = Rig::with(layered());
    let mut key = |ssrc, sps: &[u8]| rig.receive(&named(ssrc, 0, 0, sps)).unwrap();
    assert!(key(LOW_SSRC, &SPS_180).keyframe && key(HIGH_SSRC, &SPS_360).keyframe);
    assert_eq!(told(&rig.events()).unwrap()[0].0, HIGH, "at once");
    let events = Camera::new(1_000, 100).run(&mut rig, 3_000);
    assert_eq!(told(&events), None);
    let mut reports = events.iter().filter_map(|event| match event {
        Event::LayerReport { track, layers } => Some((*track, layers)),
        _ => None,
    });
    let (track, layers) = reports.next_back().unwrap();
    assert_eq!(track, VIDEO);
    let figures: Vec<_> = layers
        .iter()
        .map(|layer| &layer.status)
        .map(|status| (status.encoding_id.as_str(), status.width, status.height))
        .collect();
    assert_eq!(
        figures,
        [("h", Some(640), Some(360)), ("l", Some(320), Some(180))]
    );
    // 1,000 bytes in 33 ms.
    assert!(layers[1].status.bitrate.abs_diff(242_000) < 20_000);
}

#[test]
fn a_layer_is_paused_when_the_others_go_on_without_it() {
    let mut rig = Rig::with(layered());
    let mut camera = Camera::new(100, 1_000);
    camera.run(&mut rig, 2_000);
    let high = camera.layers.pop().unwrap();
    assert_eq!(told(&camera.run(&mut rig, 250)), None);
    let paused = told(&camera.run(&mut rig, 250));
    assert_eq!(paused, Some(vec![(HIGH, false), (LOW, true)]));
    camera.run(&mut rig, 20_000);
    // Its first packet brings it back, before anything else is done.
    camera.layers.push(high);
    let packet = named(HIGH_SSRC, camera.frame + 1, 0, IDR);
    let _ = rig.receive(&packet);
    let back = told(&rig.events());
    assert_eq!(back, Some(vec![(HIGH, true), (LOW, true)]));
}

#[test]
fn slow_pictures_and_silence_of_all_are_no_pause() {
    let mut rig = Rig::with(layered());
    let mut camera = Camera::new(100, 1_000);
    camera.run(&mut rig, 2_000);
    // All are silent; then both go on at one picture a second.
    let _ = rig.pass_millis(5_000);
    assert_eq!(told(&rig.events()), None);
    assert_eq!(rig.publisher.poll_timeout(), None, "nothing to look at");
    camera.interval = 1_000;
    assert_eq!(told(&camera.run(&mut rig, 10_000)), None);
}

#[test]
fn marked_audio_behind_the_layers_pauses_none_of_them() {
    let mut spec = layered();
    spec.tracks.reverse();
    let mut rig = Rig::with(spec);
    let mut camera = Camera::new(100, 1_000);
    let mut audio = 0u16;
    let mut speak = |rig: &mut Rig, millis: u64| {
        for _ in 0..millis / 20 {
            audio += 1;
            let mut rtp = Rtp::audio(audio, u32::from(audio) * 960);
            rtp.payload_type |= 0x80; // the marker
            let _ = rig.receive(&rtp);
            let _ = rig.pass_millis(20);
        }
    };
    camera.run(&mut rig, 2_000);
    // Three pictures a second, and 17 packets of audio between two of them.
    for _ in 0..10 {
        camera.run(&mut rig, camera.interval);
        speak(&mut rig, 340);
        let paused = told(&rig.events());
        assert_eq!(paused, None);
    }
}

#[test]
fn figures_are_told_once_a_second_at_most() {
    let mut rig = Rig::with(layered());
    let mut camera = Camera::new(100, 1_000);
    let mut reports = 0;
    for round in 0..10 {
        camera.layers[1].1 = 500 + 400 * (round % 3);
        let events = camera.run(&mut rig, 500);
        let is_report = |event: &&Event| matches!(event, Event::LayerReport { .. });
        reports += events.iter().filter(is_report).count();
    }
    assert!((3..=5).contains(&reports), "{reports} in 5 s");
}

#[test]
fn a_track_without_layers_is_not_looked_at() {
    let mut rig = Rig::new();
    let _ = rig.receive(&Rtp::video(1, 0, IDR));
    let _ = rig.pass_millis(5_000);
    assert_eq!(rig.events(), []);
}
