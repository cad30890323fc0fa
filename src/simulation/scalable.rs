//! What viewers get of a publisher that sends three sizes of its picture in one line of packets, or (`temporal`) three
//! temporal layers.

mod temporal;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::VIDEO;
use super::network::Weather;
use super::publisher::Scalability;
use super::world::World;
use crate::stream::LayerChoice;

/// By spatial layer.
const LOW: usize = 0;
const MIDDLE: usize = 1;
const HIGH: usize = 2;

/// Of the link, in bytes.
const QUEUE: usize = 400_000;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn world(seed: u64) -> World {
    let mut world = World::scalable(seed, Scalability::Spatial);
    world.run(seconds(2));
    world.add_viewer();
    world.run(seconds(3));
    world
}

fn spatial(layer: usize) -> LayerChoice {
    LayerChoice {
        spatial: Some(layer as u8),
        ..LayerChoice::default()
    }
}

/// A picture as the viewer got it.
#[derive(Clone, Copy, Debug)]
struct Picture {
    at: Instant,
    layer: usize,
    keyframe: bool,
}

/// The pictures that the viewer got. Each is whole, ends with the marker, and is made of no layer that was left out of
/// the picture before, unless it is a keyframe; numbers are dense. So many may be cut short by a keyframe.
fn pictures_but(world: &World, cut: usize) -> Vec<Picture> {
    let got: Vec<_> = world.compare(&world.viewers[0].tracks[0]).collect();
    let numbers = got.iter().map(|(number, ..)| *number);
    assert!(numbers.eq(got[0].0..got[0].0 + got.len() as u64));
    // How many packets each layer had of the picture of an instant.
    let mut sent_at: BTreeMap<Instant, [usize; 3]> = BTreeMap::new();
    for ((track, _), sent) in &world.publisher.sent {
        if *track == VIDEO {
            sent_at.entry(sent.at).or_default()[sent.layer] += 1;
        }
    }
    let mut pictures: Vec<Picture> = Vec::new();
    let (mut is_broken, mut broken) = (false, 0);
    for packets in got.chunk_by(|(.., one), (.., next)| one.media_time == next.media_time) {
        let (_, last, sent) = packets[packets.len() - 1];
        let is_newest = world.now - sent.at < Duration::from_millis(150);
        if is_newest && !last.marker {
            break; // on its way
        }
        let layer = packets.iter().map(|(.., sent)| sent.layer).max().unwrap();
        let whole: usize = sent_at[&sent.at][..=layer].iter().sum();
        let markers = packets.iter().filter(|(_, got, _)| got.marker).count();
        let is_whole = packets.len() == whole && last.marker && markers == 1;
        let keyframe = packets[0].2.keyframe;
        if let Some(before) = pictures.last() {
            let needs_keyframe = layer > before.layer || is_broken;
            assert!(!needs_keyframe || keyframe, "{before:?}, then {layer}");
        }
        is_broken = !is_whole;
        broken += usize::from(is_broken);
        pictures.push(Picture {
            at: sent.at,
            layer,
            keyframe,
        });
    }
    assert!(broken <= cut, "{broken} pictures are cut short");
    pictures
}

fn pictures(world: &World) -> Vec<Picture> {
    pictures_but(world, 0)
}

/// The layer of the newest picture, which is no older than a moment.
fn layer(world: &World) -> usize {
    let newest = *pictures(world).last().unwrap();
    let age = world.now - newest.at;
    assert!(age < Duration::from_millis(200), "it stands still: {age:?}");
    newest.layer
}

#[test]
fn a_viewer_goes_up_with_a_keyframe_and_down_with_any_picture() {
    for seed in 0..3 {
        let mut world = world(seed);
        assert_eq!(layer(&world), HIGH);
        let status = |world: &World| {
            let ranked = world.gateway.ranked().iter();
            ranked.map(|layer| layer.status.spatial).collect::<Vec<_>>()
        };
        assert_eq!(status(&world), [Some(2), Some(1), Some(0)]);
        let keyframes = |world: &World| pictures(world).iter().filter(|one| one.keyframe).count();
        for (wanted, costs) in [(LOW, 0), (HIGH, 1), (MIDDLE, 0), (LOW, 0), (MIDDLE, 1)] {
            let (before, at) = (keyframes(&world), world.now);
            world.gateway.select(world.now, 0, &spatial(wanted));
            world.run(seconds(1));
            assert_eq!(layer(&world), wanted);
            assert_eq!(keyframes(&world) - before, costs, "to {wanted}");
            let all = pictures(&world);
            let switched = all.iter().find(|one| one.at >= at && one.layer == wanted);
            assert!(switched.unwrap().at - at < Duration::from_millis(150));
        }
        let all = pictures(&world);
        let mut pairs = all.iter().zip(&all[1..]);
        assert!(pairs.all(|(one, next)| next.at - one.at < Duration::from_millis(40)));
    }
}

#[test]
fn losses_of_every_layer_are_repaired() {
    for seed in 0..3 {
        let mut world = world(seed);
        choose_in_bad_weather(&mut world, [LOW, HIGH, MIDDLE, HIGH].map(spatial));
        assert_eq!(layer(&world), HIGH);
        assert!(world.viewers[0].tracks[0].repaired > 0);
    }
}

#[test]
fn the_layer_falls_with_the_link_and_rises_again() {
    for seed in 0..4 {
        let mut world = World::scalable(seed, Scalability::Spatial);
        world.run(seconds(2));
        world.add_viewer();
        world.narrow(0, 4_000_000, QUEUE);
        world.run(seconds(4));
        assert_eq!(layer(&world), HIGH);
        follow_link(
            &mut world,
            [(1_000_000, MIDDLE), (450_000, LOW), (4_000_000, HIGH)],
        );
        world.run(seconds(1));
        // A layer that floods the link is left in the middle of a picture, and a keyframe begins the next.
        let pictures = pictures_but(&world, 4);
        assert_eq!(pictures.last().unwrap().layer, HIGH);
    }
}

/// The link carries so much, in bit/s, and so much then: the layer is the right one within half a minute.
fn follow_link(world: &mut World, steps: [(u64, usize); 3]) {
    for (rate, expected) in steps {
        world.bottlenecks.get_mut(&1).unwrap().rate = rate;
        let until = world.now + seconds(30);
        while newest(world) != expected {
            assert!(world.now < until, "{rate}: {} is sent", newest(world));
            world.run(Duration::from_millis(50));
        }
    }
}

/// The viewer chooses one layer after the other while every fiftieth packet is lost, and has fair weather then.
fn choose_in_bad_weather(world: &mut World, choices: [LayerChoice; 4]) {
    world.viewer_weather(Weather {
        loss: 0.02,
        jitter: Duration::from_millis(12),
        ..Weather::FAIR
    });
    for choice in choices {
        world.gateway.select(world.now, 0, &choice);
        world.run(seconds(2));
    }
    world.viewer_weather(Weather::FAIR);
    world.run(seconds(2));
}

/// The highest layer of the newest pictures.
fn newest(world: &World) -> usize {
    let from = world.now - Duration::from_millis(250);
    let got = world.compare(&world.viewers[0].tracks[0]);
    let fresh = got.filter(|(.., sent)| sent.at >= from);
    fresh.map(|(.., sent)| sent.layer).max().unwrap_or(LOW)
}
