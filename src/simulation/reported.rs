//! What viewers get over narrow links whose players take no transport-wide numbers.

use super::RIDS;
use super::bandwidth::{
    HIGH, LOW, MIDDLE, QUEUE, falls_and_recovers, layer, millis, seconds, stays,
};
use super::network::Weather;
use super::telling::Telling;
use super::world::World;

/// A viewer who watches for eight seconds over a link of this rate.
fn world(seed: u64, rate: u64) -> World {
    let mut world = World::with_layers(seed, true, RIDS.len());
    world.publisher.be_steady();
    world.run(seconds(2));
    world.add_viewer_who_tells(Telling::Remb);
    world.narrow(0, rate, QUEUE);
    world.run(seconds(8));
    world
}

#[test]
fn a_link_that_falls_and_recovers_gets_the_right_layer_each_time() {
    for phase in (0..100).step_by(9) {
        let mut world = world(phase, 3_000_000);
        world.run(seconds(10) + millis(phase));
        // As much waits as comes before the player notices.
        falls_and_recovers(world, &phase.to_string(), millis(600));
    }
}

#[test]
fn a_steady_link_sees_no_switches() {
    for (rate, expected) in [
        (350_000, LOW),
        (900_000, MIDDLE),
        (1_200_000, MIDDLE),
        (1_500_000, MIDDLE),
    ] {
        let mut world = world(7, rate);
        world.run(seconds(10));
        stays(world, &rate.to_string(), expected);
    }
}

#[test]
fn a_wide_link_costs_no_padding_and_random_loss_no_layer() {
    let mut world = world(3, 20_000_000);
    world.viewer_weather(Weather {
        loss: 0.05,
        ..Weather::FAIR
    });
    world.run(seconds(30));
    let status = world.gateway.bandwidth(0).unwrap();
    assert_eq!(layer(&world), HIGH, "{status:?}");
    assert_eq!((status.downs, status.padding), (0, 0));
}
