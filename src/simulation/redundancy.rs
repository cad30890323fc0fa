//! How much of the sound is heard where packets are lost, with redundancy and without.

use std::collections::BTreeSet;
use std::time::Duration;

use super::AUDIO;
use super::network::Weather;
use super::viewer::Asking;
use super::world::World;

/// As browsers do for sound: nothing is asked for again.
const RESIGNED: Asking = Asking {
    tries: 0,
    ..Asking::STUBBORN
};

/// Of so many packets of sound how many each viewer missed.
fn missed(world: &World, begin: usize) -> Vec<usize> {
    let sent = world.publisher.sent.range((AUDIO, 0)..);
    let sent: BTreeSet<u32> = sent.map(|((_, id), _)| *id).skip(begin).collect();
    let missed = world.viewers.iter().map(|viewer| {
        let packets = viewer.tracks[1].packets.values().map(|got| got.id);
        let mut heard: BTreeSet<u32> = packets.collect();
        heard.extend(viewer.repeats.iter().flatten());
        sent.difference(&heard).count()
    });
    missed.collect()
}

#[test]
fn a_viewer_with_redundancy_misses_only_what_is_lost_twice_in_a_row() {
    let mut world = World::new(5, true);
    world.add_viewer();
    world.offers_redundancy = true;
    world.add_viewer();
    world
        .viewers
        .iter_mut()
        .for_each(|viewer| viewer.asking = RESIGNED);
    world.run(Duration::from_secs(2));
    let begin = world.publisher.sent.range((AUDIO, 0)..).count();
    let bad = Weather {
        loss: 0.1,
        ..Weather::FAIR
    };
    world.viewer_weather(bad);
    for _ in 0..60 {
        world.run(Duration::from_secs(1));
    }
    world.viewer_weather(Weather::FAIR);
    world.run(Duration::from_secs(2));
    let [plain, redundant] = missed(&world, begin)[..] else {
        panic!("two viewers");
    };
    // Of 3000 packets a tenth, and a hundredth.
    assert!((240..360).contains(&plain), "{plain}");
    assert!((10..60).contains(&redundant), "{redundant}");
}

#[test]
fn what_a_publisher_sends_twice_need_not_be_asked_for() {
    let asked = |is_redundant: bool| {
        let mut world = World::new(6, true);
        world.add_viewer();
        world.run(Duration::from_secs(2));
        if is_redundant {
            world.publisher.be_redundant();
        }
        let begin = world.publisher.sent.range((AUDIO, 0)..).count();
        let bad = Weather {
            loss: 0.1,
            ..Weather::FAIR
        };
        world.weather(0, bad, Weather::FAIR);
        for _ in 0..60 {
            world.run(Duration::from_secs(1));
        }
        world.publisher_weather(Weather::FAIR);
        world.run(Duration::from_secs(2));
        let stats = world.gateway.stats();
        let audio = stats.layers.iter().find(|layer| layer.track == AUDIO);
        let audio = audio.unwrap();
        assert!((240..360).contains(&audio.recovered), "{audio:?}");
        // All but what is on its way.
        assert!(missed(&world, begin)[0] <= 2, "{:?}", missed(&world, begin));
        audio.nacks
    };
    let (plain, redundant) = (asked(false), asked(true));
    assert!(plain >= 240, "{plain}");
    assert!(redundant < plain / 4, "{redundant} of {plain}");
}
