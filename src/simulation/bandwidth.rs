//! What viewers get over links that do not carry everything. The layers have 2000, 500 and 150 kbit/s.

use std::time::{Duration, Instant};

use super::RIDS;
use super::network::Weather;
use super::world::World;

pub(super) const HIGH: usize = 0;
pub(super) const MIDDLE: usize = 1;
pub(super) const LOW: usize = 2;

/// What a home router may have, in bytes: half a second at 1 Mbit/s.
pub(super) const QUEUE: usize = 60_000;

pub(super) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A viewer who watches for two seconds over a link of this rate.
fn world(seed: u64, rate: u64) -> World {
    let mut world = World::with_layers(seed, true, RIDS.len());
    world.publisher.be_steady();
    world.run(seconds(2));
    world.add_viewer();
    world.narrow(0, rate, QUEUE);
    world.run(seconds(2));
    world
}

pub(super) fn set_rate(world: &mut World, rate: u64) {
    world.bottlenecks.get_mut(&1).unwrap().rate = rate;
}

/// The layer of the newest packet that came.
pub(super) fn layer(world: &World) -> usize {
    world
        .compare(&world.viewers[0].tracks[0])
        .last()
        .unwrap()
        .2
        .layer
}

/// How many times the layer that came was another one than before, since `from`.
pub(super) fn switches(world: &World, from: Instant) -> usize {
    let sent = world.compare(&world.viewers[0].tracks[0]);
    let layers: Vec<_> = sent
        .filter(|(_, _, sent)| sent.at >= from)
        .map(|(_, _, sent)| sent.layer)
        .collect();
    layers.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

/// Runs until the layer comes, and says how long that took.
pub(super) fn until(world: &mut World, wanted: usize, at_most: Duration) -> Duration {
    let begin = world.now;
    while layer(world) != wanted {
        world.run(millis(50));
        let status = world.gateway.bandwidth(0);
        assert!(
            world.now - begin <= at_most,
            "{:?} {status:?}",
            layer(world)
        );
    }
    world.now - begin
}

/// The link of a viewer that gets the best layer falls and recovers, and the right layer comes each time, once.
/// `most` may wait in the queue.
pub(super) fn falls_and_recovers(mut world: World, context: &str, most: Duration) {
    assert_eq!(layer(&world), HIGH);
    let fell = world.now;
    set_rate(&mut world, 700_000);
    let down = until(&mut world, MIDDLE, seconds(3));
    world.run(seconds(20));
    assert_eq!(layer(&world), MIDDLE, "{:?}", world.gateway.bandwidth(0));
    let longest = world.bottlenecks[&1].longest(fell, world.now);
    let recovered = world.now;
    set_rate(&mut world, 3_000_000);
    let up = until(&mut world, HIGH, seconds(10));
    world.run(seconds(20));
    println!(
        "{context}: down in {down:?}, up in {up:?}, queue {longest:?}; {:?}",
        world.gateway.bandwidth(0)
    );
    assert_eq!(layer(&world), HIGH);
    let both = (switches(&world, fell), switches(&world, recovered));
    assert_eq!(both, (2, 1), "{context}");
    assert!(longest < most, "{context}: {longest:?}");
}

/// For a minute the layer is the expected one, and hardly anything waits.
pub(super) fn stays(mut world: World, context: &str, expected: usize) {
    let from = world.now;
    world.run(seconds(60));
    let longest = world.bottlenecks[&1].longest(from, world.now);
    println!(
        "{context}: {} switches, queue {longest:?}, {:?}",
        switches(&world, from),
        world.gateway.bandwidth(0)
    );
    assert_eq!(layer(&world), expected, "{context}");
    assert_eq!(switches(&world, from), 0, "{context}");
    assert!(longest < millis(300), "{context}: {longest:?}");
}

#[test]
fn a_link_that_falls_and_recovers_gets_the_right_layer_each_time() {
    // It falls anywhere between two frames and between two feedbacks.
    for phase in (0..100).step_by(9) {
        let mut world = world(phase, 3_000_000);
        world.run(seconds(5) + millis(phase));
        falls_and_recovers(world, &phase.to_string(), millis(300));
    }
}

#[test]
fn a_steady_link_between_two_layers_sees_no_switches() {
    for rate in [350_000, 900_000, 1_200_000, 1_500_000, 1_900_000] {
        let mut world = world(7, rate);
        world.run(seconds(10));
        let expected = if rate < 560_000 { LOW } else { MIDDLE };
        stays(world, &rate.to_string(), expected);
    }
}

#[test]
fn an_unconstrained_viewer_is_never_probed() {
    let mut world = world(3, 20_000_000);
    world.run(seconds(20));
    let status = world.gateway.bandwidth(0).unwrap();
    assert_eq!(
        (layer(&world), switches(&world, world.now - seconds(20))),
        (HIGH, 0)
    );
    assert_eq!((status.probes, status.padding), (0, 0));
    assert!(status.estimate > Some(2_400_000), "{status:?}");
}

#[test]
fn random_loss_without_congestion_costs_no_layer() {
    for seed in 0..3 {
        let mut world = world(seed, 10_000_000);
        world.viewer_weather(Weather {
            loss: 0.05,
            ..Weather::FAIR
        });
        world.run(seconds(30));
        println!("{:?}", world.gateway.bandwidth(0));
        assert_eq!(layer(&world), HIGH, "{:?}", world.gateway.bandwidth(0));
    }
}

#[test]
fn two_seconds_of_sound_alone_change_nothing() {
    let mut world = world(1, 3_000_000);
    world.run(seconds(3));
    world.publisher.mute_video(true);
    world.run(seconds(2));
    world.publisher.mute_video(false);
    world.run(seconds(1));
    assert_eq!(layer(&world), HIGH, "{:?}", world.gateway.bandwidth(0));
    set_rate(&mut world, 700_000);
    until(&mut world, MIDDLE, seconds(3));
}

#[test]
fn without_feedback_there_is_no_limit_and_with_lost_feedback_none_for_a_while() {
    let mut world = World::with_layers(1, true, RIDS.len());
    world.publisher.be_steady();
    world.run(seconds(2));
    world.add_viewer();
    world.viewers[0].is_mute = true;
    world.run(seconds(10));
    assert_eq!(layer(&world), HIGH);
    world.viewers[0].is_mute = false;
    world.run(seconds(3));
    world.viewers[0].is_mute = true;
    world.run(millis(1_500));
    assert_eq!(layer(&world), HIGH);
    world.run(seconds(30));
    assert_eq!(
        layer(&world),
        LOW,
        "it is careful with a way that it knows nothing of"
    );
    world.viewers[0].is_mute = false;
    until(&mut world, HIGH, seconds(15));
}
