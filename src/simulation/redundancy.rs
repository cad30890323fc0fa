//! How much of the sound is heard where packets are lost, with redundancy and without.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use super::AUDIO;
use super::loss::{self, Case};
use super::network::Weather;
use super::viewer::Asking;
use super::world::World;

/// As browsers do for sound: nothing is asked for again.
const RESIGNED: Asking = Asking {
    tries: 0,
    ..Asking::STUBBORN
};

/// The broadcast of the other tables, but for the sound of it.
struct Sound {
    /// How many packets were sent over the bad link.
    sent: usize,
    /// How many of them the viewer without redundancy missed, and the one with it.
    plain: usize,
    redundant: usize,
}

impl Sound {
    /// So much of it, to two viewers behind links that lose packets.
    fn run(seed: u64, loss: f64, burst: f64, duration: Duration) -> Self {
        let mut world = World::new(seed, true);
        world.publisher.be_steady();
        world.add_viewer();
        world.offers_redundancy = true;
        world.add_viewer();
        let viewers = world.viewers.iter_mut();
        viewers.for_each(|viewer| viewer.asking = RESIGNED);
        world.run(Duration::from_secs(2));
        let begin = sent(&world);
        let bad = Weather {
            loss,
            burst,
            ..Weather::FAIR
        };
        for session in [1, 2] {
            world.weather(session, Weather::FAIR, bad);
        }
        pass(&mut world, duration);
        let end = sent(&world);
        world.viewer_weather(Weather::FAIR);
        world.run(Duration::from_secs(2));
        let missed = |viewer| missed(&world, viewer, begin..end);
        Self {
            sent: end - begin,
            plain: missed(0),
            redundant: missed(1),
        }
    }
}

fn pass(world: &mut World, duration: Duration) {
    for _ in 0..duration.as_secs() {
        world.run(Duration::from_secs(1));
    }
}

/// How many packets of sound were sent so far.
fn sent(world: &World) -> usize {
    world.publisher.sent.range((AUDIO, 0)..).count()
}

/// How many packets of sound a viewer missed, of those with these places in the order of sending.
fn missed(world: &World, viewer: usize, of: std::ops::Range<usize>) -> usize {
    let viewer = &world.viewers[viewer];
    let packets = viewer.tracks[1].packets.values().map(|got| got.id);
    let mut heard: BTreeSet<u32> = packets.collect();
    heard.extend(viewer.repeats.iter().flatten());
    let sent = world.publisher.sent.range((AUDIO, 0)..);
    let sent = sent.map(|((_, id), _)| id).skip(of.start).take(of.len());
    sent.filter(|id| !heard.contains(id)).count()
}

#[test]
fn a_viewer_with_redundancy_misses_only_what_is_lost_twice_in_a_row() {
    let sound = Sound::run(5, 0.1, 1.0, Duration::from_secs(60));
    // Of 3000 packets a tenth, and a hundredth.
    assert!((2_990..=3_010).contains(&sound.sent), "{}", sound.sent);
    assert!((240..360).contains(&sound.plain), "{}", sound.plain);
    assert!((10..60).contains(&sound.redundant), "{}", sound.redundant);
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
        let begin = sent(&world);
        let bad = Weather {
            loss: 0.1,
            ..Weather::FAIR
        };
        world.weather(0, bad, Weather::FAIR);
        pass(&mut world, Duration::from_secs(60));
        let end = sent(&world);
        world.publisher_weather(Weather::FAIR);
        world.run(Duration::from_secs(2));
        let stats = world.gateway.stats();
        let audio = stats.layers.iter().find(|layer| layer.track == AUDIO);
        let audio = audio.unwrap();
        assert!((240..360).contains(&audio.recovered), "{audio:?}");
        assert_eq!(missed(&world, 0, begin..end), 0);
        audio.nacks
    };
    let (plain, redundant) = (asked(false), asked(true));
    assert!(plain >= 240, "{plain}");
    assert!(redundant < plain / 4, "{redundant} of {plain}");
}

/// The table of sound in `docs/loss.md`, whose lines simulate so much each.
pub(super) fn table(duration: Duration) {
    let mut text =
        String::from("\n| loss | | missed without | missed with redundancy |\n|---|---|---|---|\n");
    for (burst, kind) in [(1.0, "random"), (Case::BURST, "in bursts")] {
        for loss in Case::LOSS {
            let sound = Sound::run(1, loss, burst, duration);
            let share = |missed: usize| missed as f64 * 100.0 / sound.sent as f64;
            let _ = writeln!(
                text,
                "| {:.0} % | {kind} | {:.2} % | {:.2} % |",
                loss * 100.0,
                share(sound.plain),
                share(sound.redundant),
            );
        }
    }
    loss::write("<!-- sound, made by `make loss` -->\n", &text);
}

#[test]
#[ignore = "takes a minute; `make loss` makes the same table"]
fn table_of_sound() {
    table(Duration::from_secs(600));
}
