//! Peers that ask for too much, answer too little or send too much: what that costs them and the others.

use std::time::{Duration, Instant};

use super::network::Weather;
use super::viewer::Asking;
use super::world::World;
use super::{RIDS, VIDEO};
use crate::egress::whep::Tally;
use crate::stream::LayerChoice;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn loss(share: f64) -> Weather {
    Weather {
        loss: share,
        ..Weather::FAIR
    }
}

/// Two viewers who ask as browsers do.
fn world(seed: u64, layers: usize) -> World {
    let mut world = World::with_layers(seed, true, layers);
    world.publisher.be_steady();
    for viewer in 0..2 {
        world.add_viewer();
        world.viewers[viewer].asking = Asking::BROWSER;
    }
    world.run(seconds(3));
    world
}

fn tally(world: &World, viewer: usize) -> Tally {
    let mut tallies = world.gateway.subscribers[viewer].tallies();
    let video = tallies.find(|(track, _)| *track == VIDEO);
    video.unwrap().1.clone()
}

/// Checks that a viewer could show every frame since `from`, in time, and that nothing was sent to it twice.
fn is_unaffected(world: &World, viewer: usize, from: Instant) {
    let viewer_state = &world.viewers[viewer];
    let until = world.now - millis(200);
    for ((_, id), sent) in world.publisher.sent.range((VIDEO, 0)..=(VIDEO, u32::MAX)) {
        if sent.marker && sent.layer == 0 && (from..until).contains(&sent.at) {
            let shown = viewer_state.decoder.shown.get(id);
            let way = shown.map(|shown| *shown - sent.at);
            assert_eq!(way, Some(2 * Weather::FAIR.delay), "{id}");
        }
    }
    let tally = tally(world, viewer);
    assert_eq!(
        (tally.retransmissions, tally.retransmissions_refused),
        (0, 0)
    );
}

#[test]
fn a_flood_of_nacks_and_keyframe_requests_is_bounded_counted_and_no_matter_to_others() {
    let mut world = world(1, 1);
    let from = world.now;
    let requests = world.gateway.stats().layers[0].keyframe_requests;
    world.viewers[0].flood = Some(millis(5));
    world.run(seconds(20));
    let flooded = tally(&world, 0);
    // What it may have at once, and half of what it gets.
    let tallies = world.gateway.subscribers[0].tallies();
    let got: u64 = tallies.map(|(_, tally)| tally.packets).sum();
    let allowed = 2_048 + got / 2;
    assert!(flooded.retransmissions <= allowed, "{flooded:?}");
    assert!(flooded.retransmissions_refused > 100_000, "{flooded:?}");
    assert!(flooded.keyframes_refused > 3_000, "{flooded:?}");
    let asked = world.gateway.stats().layers[0].keyframe_requests - requests;
    assert!((3..=10).contains(&asked), "{asked} in 20 s");
    is_unaffected(&world, 1, from);
}

#[test]
fn a_viewer_that_stalls_costs_the_others_nothing_and_goes_on_when_it_can() {
    let mut world = world(2, 1);
    let from = world.now;
    // Its way is cut, and what it sends comes all the same.
    world.weather(1, Weather::FAIR, loss(1.0));
    world.run(seconds(4));
    world.weather(1, Weather::FAIR, Weather::FAIR);
    world.run(seconds(6));
    is_unaffected(&world, 1, from);
    let stalled = &world.viewers[0].decoder.shown;
    let newest = stalled.keys().next_back().unwrap();
    let sent = world.publisher.sent[&(VIDEO, *newest)].at;
    assert!(world.now - sent < millis(150), "{:?}", world.now - sent);
}

#[test]
fn layers_whose_losses_are_never_repaired_are_played_from_keyframe_to_keyframe() {
    const LOW: usize = 2;
    for seed in 0..3 {
        let mut world = world(seed, RIDS.len());
        world.publisher.answering = 1;
        let low = LayerChoice {
            rid: Some(RIDS[LOW].to_owned()),
            ..LayerChoice::default()
        };
        world.gateway.select(world.now, 0, &low);
        world.run(seconds(1));
        world.weather(0, loss(0.05), loss(0.05));
        // Until it is known that nobody answers.
        world.run(seconds(30));
        let (from, before) = (world.now, world.gateway.stats());
        world.run(seconds(30));
        let after = world.gateway.stats();
        let since = |count: fn(&crate::ingest::LayerStats) -> u64, layer: usize| {
            count(&after.layers[layer]) - count(&before.layers[layer])
        };
        let (lost, asked) = (
            since(|layer| layer.lost, LOW),
            since(|layer| layer.nacks, LOW),
        );
        assert!(lost > 5, "the weather was too good");
        // One request for each; those under way at the edges count on one side alone.
        assert!(asked <= lost + 2, "{asked} requests for {lost} losses");
        assert!(since(|layer| layer.keyframe_requests, LOW) <= 60);
        assert!(
            since(|layer| layer.recovered, 0) > 50,
            "the best layer is repaired"
        );
        // The viewer of the low layer goes on: never without a picture for longer than the repair of one loss.
        let shown: Vec<_> = world.viewers[0].decoder.shown.values().collect();
        let longest = shown.windows(2).filter(|pair| *pair[1] > from);
        let longest = longest.map(|pair| *pair[1] - *pair[0]).max().unwrap();
        assert!(longest < seconds(2), "{longest:?}");
    }
}

#[test]
fn a_publisher_at_100_megabit_is_bounded_and_its_viewers_losses_are_repaired() {
    let mut world = World::new(4, true);
    world.publisher.be_steady();
    world.publisher.scale = 52;
    for viewer in 0..2 {
        world.add_viewer();
        world.viewers[viewer].asking = Asking::BROWSER;
    }
    world.run(seconds(1));
    world.weather(1, Weather::FAIR, loss(0.01));
    let before = tally(&world, 0).bytes;
    world.run(seconds(3));
    let rate = (tally(&world, 0).bytes - before) * 8 / 3;
    assert!(rate > 95_000_000, "{rate}");
    world.weather(1, Weather::FAIR, Weather::FAIR);
    world.run(seconds(1));
    let ring = &world.gateway.tracks[0].layers[0].ring;
    let newest = ring.newest().unwrap();
    let held = (0..ring.capacity() as u64).filter_map(|back| ring.get(newest - back));
    let held: usize = held.map(|packet| packet.payload.len()).sum();
    println!(
        "{held} bytes in {} slots, {:?}",
        ring.capacity(),
        tally(&world, 0)
    );
    assert!(held <= super::catch_up::CACHE.bytes, "{held}");
    let lossy = tally(&world, 0);
    assert!(lossy.retransmissions > 200, "{lossy:?}");
    assert_eq!(lossy.retransmissions_refused, 0);
}
