//! How soon a picture comes back that a viewer has lost: its decoder began anew, or gave up a packet.

use std::time::{Duration, Instant};

use super::viewer::Asking;
use super::world::World;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The keyframes that a viewer was sent.
fn keyframes(world: &World, viewer: usize) -> usize {
    let packets = world.viewers[viewer].tracks[0].packets.values();
    packets.filter(|got| got.keyframe).count()
}

/// Two viewers of a publisher that makes a keyframe every four seconds, with the time of the last.
fn world(seed: u64) -> (World, Instant) {
    let mut world = World::new(seed, true);
    world.publisher.be_steady();
    for viewer in 0..2 {
        world.add_viewer();
        world.viewers[viewer].asking = Asking::BROWSER;
    }
    world.run(millis(3_000));
    world.publisher.is_deaf = true;
    world.publisher.begin_keyframe();
    world.run(millis(50));
    let last = world.now;
    (world, last)
}

#[test]
fn it_comes_at_once_from_a_publisher_that_can_not_be_asked() {
    let mut longest = Duration::ZERO;
    for seed in 0..8 {
        let (mut world, last) = world(seed);
        world.run(millis(400 + 450 * seed));
        let (before, asked) = ([0, 1].map(|viewer| keyframes(&world, viewer)), world.now);
        let now = world.now;
        world.viewers[0].request_keyframe(now);
        while keyframes(&world, 0) == before[0] {
            world.run(millis(1));
            assert!(
                world.now < last + millis(4_000),
                "{seed}: only the next one"
            );
        }
        longest = longest.max(world.now - asked);
        // Both go on: with the next keyframe, and all that comes until then.
        world.run(last + millis(4_000) - world.now);
        world.publisher.begin_keyframe();
        world.run(millis(1_000));
        let after = [0, 1].map(|viewer| keyframes(&world, viewer));
        assert_eq!(after, [before[0] + 2, before[1] + 1], "{seed}");
        for viewer in 0..2 {
            assert!(world.viewers[viewer].decoder.waits_since() > world.now - millis(100));
        }
    }
    println!("a keyframe within {longest:?}");
    assert!(longest < millis(100), "{longest:?}");
}
