//! What viewers get of a publisher that sends three temporal layers in one line of packets.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{QUEUE, choose_in_bad_weather, follow_link, newest, seconds};
use crate::simulation::VIDEO;
use crate::simulation::publisher::{Scalability, Sent};
use crate::simulation::world::World;
use crate::stream::LayerChoice;

/// By temporal layer.
const QUARTER: usize = 0;
const HALF: usize = 1;
const ALL: usize = 2;

fn temporal(layer: usize) -> LayerChoice {
    LayerChoice {
        temporal: Some(layer as u8),
        ..LayerChoice::default()
    }
}

fn world(seed: u64) -> World {
    let mut world = World::scalable(seed, Scalability::Temporal);
    world.run(seconds(2));
    world.add_viewer();
    world.run(seconds(3));
    world
}

/// The pictures that the viewer got, of what layer and when sent. Each is whole but for so many, numbers are dense, and
/// none refers to one that was left out.
fn pictures_but(world: &World, cut: usize) -> Vec<(Instant, Sent)> {
    let got: Vec<_> = world.compare(&world.viewers[0].tracks[0]).collect();
    let numbers = got.iter().map(|(number, ..)| *number);
    assert!(numbers.eq(got[0].0..got[0].0 + got.len() as u64));
    let mut sent: BTreeMap<Instant, (Sent, usize)> = BTreeMap::new();
    for ((track, _), packet) in &world.publisher.sent {
        if *track == VIDEO {
            let picture = sent.entry(packet.at).or_insert((*packet, 0));
            picture.0.keyframe |= packet.keyframe;
            picture.1 += 1;
        }
    }
    let mut packets: BTreeMap<Instant, usize> = BTreeMap::new();
    for (.., packet) in &got {
        *packets.entry(packet.at).or_default() += 1;
    }
    let (mut pictures, mut broken) = (Vec::new(), 0);
    // By temporal layer: something of it is missing that later pictures may refer to.
    let mut missing = [false; 3];
    let first = *packets.first_key_value().unwrap().0;
    // What was sent last may be on its way.
    let last = world.now - Duration::from_millis(150);
    for (at, (picture, count)) in sent.range(first..last) {
        let got = packets.get(at).copied().unwrap_or(0);
        let is_whole = got == *count;
        if picture.keyframe || is_whole && picture.leads_up && !missing[0] {
            missing = [false; 3];
        }
        if got > 0 {
            let needed = &missing[..=picture.layer];
            assert!(needed.iter().all(|missing| !missing), "{picture:?}");
            pictures.push((*at, *picture));
            broken += usize::from(!is_whole);
        }
        missing[picture.layer] |= !is_whole;
    }
    assert!(broken <= cut, "{broken} pictures are cut short");
    pictures
}

fn keyframes(world: &World) -> usize {
    let sent = world.publisher.sent.values();
    sent.filter(|packet| packet.keyframe).count()
}

#[test]
fn a_viewer_gets_fewer_pictures_and_more_again_without_a_keyframe() {
    for seed in 0..3 {
        let mut world = world(seed);
        assert_eq!(newest(&world), ALL);
        let ranked = world.gateway.ranked().iter();
        let layers: Vec<_> = ranked
            .map(|layer| (layer.status.spatial, layer.status.temporal))
            .collect();
        assert_eq!(layers, [2, 1, 0].map(|temporal| (None, Some(temporal))));
        let before = keyframes(&world);
        for wanted in [QUARTER, ALL, HALF, QUARTER, HALF, ALL] {
            let at = world.now;
            world.gateway.select(world.now, 0, &temporal(wanted));
            world.run(seconds(1));
            assert_eq!(newest(&world), wanted);
            let pictures = pictures_but(&world, 0);
            // Eight pictures are the most between two that lead to more of them.
            let settled = at + Duration::from_millis(400);
            let count = pictures.iter().filter(|(at, _)| *at >= settled).count();
            let expected = [15, 7, 3][ALL - wanted];
            assert!(count.abs_diff(expected) <= 2, "{count} of {wanted}");
        }
        assert_eq!(keyframes(&world), before);
    }
}

#[test]
fn losses_of_every_layer_are_repaired() {
    for seed in 0..3 {
        let mut world = world(seed);
        choose_in_bad_weather(&mut world, [QUARTER, ALL, HALF, ALL].map(temporal));
        assert_eq!(newest(&world), ALL);
        assert!(!pictures_but(&world, 0).is_empty());
        assert!(world.viewers[0].tracks[0].repaired > 0);
    }
}

#[test]
fn fewer_pictures_are_sent_over_a_slow_link_and_all_again_over_a_fast_one() {
    for seed in 0..4 {
        let mut world = World::scalable(seed, Scalability::Temporal);
        world.run(seconds(2));
        world.add_viewer();
        world.narrow(0, 4_000_000, QUEUE);
        world.run(seconds(4));
        assert_eq!(newest(&world), ALL);
        follow_link(
            &mut world,
            [(1_150_000, HALF), (750_000, QUARTER), (4_000_000, ALL)],
        );
        world.run(seconds(1));
        // A layer that floods the link is left in the middle of a picture, and a keyframe begins the next.
        assert!(!pictures_but(&world, 4).is_empty());
    }
}
