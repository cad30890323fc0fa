//! What viewers get of a publisher that sends three layers.

use std::time::Duration;

use super::network::Weather;
use super::world::World;
use super::{RIDS, VIDEO};
use crate::stream::LayerChoice;

const HIGH: usize = 0;
const MIDDLE: usize = 1;
const LOW: usize = 2;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn world(seed: u64, rtx: bool) -> World {
    let mut world = World::with_layers(seed, rtx, RIDS.len());
    world.add_viewer();
    world.run(seconds(3));
    world
}

fn encoding(layer: usize) -> LayerChoice {
    LayerChoice {
        rid: Some(RIDS[layer].to_owned()),
        ..LayerChoice::default()
    }
}

/// The layer that the viewer got last.
fn layer(world: &World) -> usize {
    let last = world.compare(&world.viewers[0].tracks[0]).last();
    let (_, _, sent) = last.unwrap();
    assert!(
        world.now - sent.at < Duration::from_millis(150),
        "the picture stands still"
    );
    sent.layer
}

/// The layers that the viewer got, one after another. They are one line: numbers are dense but for
/// `gaps`, timestamps are those of the medium and grow, and each layer begins with a keyframe.
fn line(world: &World, gaps: u64) -> Vec<usize> {
    // A frame at most, where a layer began with the picture that the one before had ended with.
    line_within(world, gaps, 3_000)
}

/// The same, with timestamps off by so many ticks at most.
fn line_within(world: &World, gaps: u64, tolerance: u32) -> Vec<usize> {
    let reception = &world.viewers[0].tracks[0];
    assert_eq!(reception.track, VIDEO);
    let (mut layers, mut missing) = (Vec::new(), 0);
    let mut before = None;
    for (number, got, sent) in world.compare(reception) {
        let offset = got.timestamp.wrapping_sub(sent.media_time);
        if layers.last() != Some(&sent.layer) {
            assert!(sent.keyframe, "layer {} begins in the middle", sent.layer);
            layers.push(sent.layer);
        }
        let (number_before, timestamp, first, frame) =
            before.unwrap_or((number - 1, got.timestamp, offset, None));
        missing += number - number_before - 1;
        let grown = got.timestamp.wrapping_sub(timestamp) as i32;
        let is_same_frame = frame == Some((sent.layer, sent.media_time));
        assert!(grown > 0 || is_same_frame || frame.is_none(), "{number}");
        assert!(grown == 0 || !is_same_frame, "{number}");
        let off = (offset.wrapping_sub(first) as i32).unsigned_abs();
        assert!(off <= tolerance, "{number}: {off} ticks off");
        let frame = Some((sent.layer, sent.media_time));
        before = Some((number, got.timestamp, first, frame));
    }
    assert!(missing <= gaps, "{missing} packets never came");
    layers
}

#[test]
fn a_viewer_gets_the_best_layer_and_any_other_it_asks_for() {
    for seed in 0..6 {
        let mut world = world(seed, true);
        assert_eq!(layer(&world), HIGH);
        let order: Vec<_> = world
            .gateway
            .ranked()
            .iter()
            .map(|layer| usize::from(layer.id.0))
            .collect();
        assert_eq!(order, [HIGH, MIDDLE, LOW]);
        for wanted in [LOW, MIDDLE, HIGH, LOW] {
            world.gateway.select(world.now, 0, &encoding(wanted));
            world.run(seconds(1));
            assert_eq!(layer(&world), wanted);
        }
        world.gateway.select(world.now, 0, &LayerChoice::default());
        world.run(seconds(1));
        assert_eq!(layer(&world), HIGH);
        let layers = line(&world, 0);
        assert!(
            layers.ends_with(&[HIGH, LOW, MIDDLE, HIGH, LOW, HIGH]),
            "{layers:?}"
        );
    }
}

#[test]
fn a_layer_that_pauses_is_left_and_taken_again() {
    let mut world = world(1, true);
    world.publisher.pause(HIGH, true);
    world.run(seconds(1));
    assert_eq!(layer(&world), MIDDLE);
    world.publisher.pause(MIDDLE, true);
    world.run(seconds(30));
    assert_eq!(layer(&world), LOW);
    let ranked = world.gateway.ranked();
    let active: Vec<_> = ranked.iter().map(|layer| layer.is_active).collect();
    assert_eq!(active, [false, false, true]);
    world.publisher.pause(HIGH, false);
    world.run(Duration::from_millis(200));
    assert_eq!(layer(&world), HIGH, "at its first keyframe");
    world.publisher.pause(MIDDLE, false);
    world.run(seconds(1));
    assert_eq!(layer(&world), HIGH);
    assert!(line(&world, 0).ends_with(&[HIGH, MIDDLE, LOW, HIGH]));
}

#[test]
fn losses_of_every_layer_are_repaired() {
    for seed in 0..6 {
        for rtx in [true, false] {
            let mut world = world(seed, rtx);
            let bad = Weather {
                loss: 0.03,
                jitter: Duration::from_millis(12),
                ..Weather::FAIR
            };
            world.publisher_weather(bad);
            world.viewer_weather(bad);
            for wanted in [LOW, HIGH, MIDDLE, HIGH] {
                world.gateway.select(world.now, 0, &encoding(wanted));
                world.run(seconds(2));
            }
            world.publisher_weather(Weather::FAIR);
            world.viewer_weather(Weather::FAIR);
            world.run(seconds(3));
            assert_eq!(layer(&world), HIGH);
            let stats = world.gateway.stats();
            let lost: u64 = stats.layers.iter().map(|layer| layer.lost).sum();
            let repaired = stats.layers[..RIDS.len()]
                .iter()
                .all(|layer| layer.recovered > 0);
            assert!(repaired, "each layer by itself: {stats:?}");
            // A keyframe may be whole only after pictures that were taken later have been sent.
            line_within(&world, lost, 200 * 90);
            assert!(world.viewers[0].tracks[0].repaired > 0 || !rtx);
        }
    }
}

#[test]
fn a_switch_costs_the_layer_that_it_goes_to_one_keyframe_and_the_others_none() {
    let mut world = world(3, true);
    let counts = |world: &World| [HIGH, MIDDLE, LOW].map(|layer| world.publisher.keyframes(layer));
    let before = counts(&world);
    world.gateway.select(world.now, 0, &encoding(LOW));
    world.run(seconds(3));
    let after = counts(&world);
    assert_eq!(after[HIGH], before[HIGH]);
    assert_eq!(after[MIDDLE], before[MIDDLE]);
    assert_eq!(after[LOW], before[LOW] + 1);
}
