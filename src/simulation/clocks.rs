//! Sound and picture stay together for viewers, whatever the publisher says of its clock.

use std::time::{Duration, Instant};

use super::network::Weather;
use super::tests::steady_clock;
use super::viewer::{Capture, WatchingPeer};
use super::world::World;
use super::{AUDIO, VIDEO};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// How far sound is ahead of the picture for a viewer at a time, in ms: of what was captured at one moment, as
/// far apart as the newest reports until then place it (RFC 3550, section 6.4.1).
fn apart(world: &World, viewer: &WatchingPeer, at: Instant) -> Option<f64> {
    let placed = [AUDIO, VIDEO].map(|track| {
        let rate = if track == VIDEO { 90_000.0 } else { 48_000.0 };
        let reports = viewer.reports.iter().rev();
        let mut known = reports.filter(|report| report.at <= at);
        let report = known.find(|report| report.track == track)?;
        let reception = viewer.tracks.iter().find(|known| known.track == track)?;
        let packets = world.compare(reception);
        let (_, got, sent) = packets.take_while(|(_, _, sent)| sent.at <= at).last()?;
        let ticks = got.timestamp.wrapping_sub(report.timestamp) as i32;
        let placed = report.ntp.wrapping_sub(viewer.reports[0].ntp) as i64 as f64 / 2f64.powi(32);
        Some(placed + f64::from(ticks) / rate - (sent.at - viewer.reports[0].at).as_secs_f64())
    });
    Some((placed[0]? - placed[1]?) * 1e3)
}

/// Sound and picture are apart by no more than this for a viewer, from some time after the begin on.
fn in_step(world: &World, begin: Instant, tolerance: f64, context: &str) {
    for viewer in &world.viewers {
        let mut looked = 0;
        let mut at = begin;
        while at < world.now {
            if let Some(apart) = apart(world, viewer, at) {
                looked += 1;
                let since = at - begin;
                assert!(
                    apart.abs() <= tolerance,
                    "{context}: {apart} ms after {since:?}"
                );
            }
            at += Duration::from_millis(500);
        }
        assert!(looked >= 8, "{context}: looked {looked} times");
    }
}

/// The wall clock that the reports tell goes as fast as time.
fn steady(world: &World, context: &str) {
    for viewer in &world.viewers {
        steady_clock(&viewer.reports, 0.05, context);
    }
}

fn for_seeds(test: impl Fn(&mut World, &str)) {
    for seed in 0..8 {
        let mut world = World::new(seed, true);
        test(&mut world, &format!("seed {seed}"));
    }
}

/// What networks do all the time.
const USUAL: Weather = Weather {
    jitter: Duration::from_millis(12),
    ..Weather::FAIR
};

#[test]
fn sound_and_picture_stay_together_without_any_report_of_the_publisher() {
    for_seeds(|world, context| {
        world.publisher.reports = None;
        world.publisher_weather(USUAL);
        world.add_viewer();
        world.run(seconds(3));
        world.add_viewer();
        world.run(seconds(20));
        in_step(world, world.now - seconds(21), 20.0, context);
        steady(world, context);
    });
}

#[test]
fn the_first_report_may_come_late() {
    for_seeds(|world, context| {
        world.publisher.reports = Some(world.now + seconds(5));
        world.publisher_weather(USUAL);
        world.add_viewer();
        world.run(seconds(12));
        in_step(world, world.now - seconds(10), 20.0, context);
        steady(world, context);
        // What the publisher says itself is exact.
        in_step(world, world.now - seconds(4), 2.0, context);
    });
}

#[test]
fn the_wall_clock_of_the_publisher_may_be_set() {
    for_seeds(|world, context| {
        world.add_viewer();
        world.run(seconds(5));
        world.publisher.set_clock(Duration::from_millis(1_700));
        world.run(seconds(6));
        world.publisher.set_clock(seconds(3_600));
        world.run(seconds(6));
        in_step(world, world.now - seconds(16), 20.0, context);
        steady(world, context);
    });
}

#[test]
fn a_publisher_may_follow_that_says_nothing_of_its_clock() {
    for_seeds(|world, context| {
        world.add_viewer();
        world.run(seconds(5));
        in_step(world, world.now - seconds(4), 2.0, context);
        world.replace_publisher(Duration::ZERO);
        world.publisher.reports = None;
        world.run(seconds(8));
        in_step(world, world.now - seconds(6), 20.0, context);
        steady(world, context);
    });
}

#[test]
fn viewers_are_told_when_it_was_captured() {
    for_seeds(|world, context| {
        world.publisher_weather(USUAL);
        world.add_viewer();
        world.run(seconds(10));
        // Not before there was a report by the publisher's clock: those by what was assumed are less exact.
        let (viewer, begin) = (&world.viewers[0], world.now - seconds(6));
        let captures = viewer.captures.iter().filter(|time| time.at > begin);
        let captures: Vec<_> = captures.copied().collect();
        for track in [AUDIO, VIDEO] {
            let times = captures.iter().filter(|capture| capture.track == track);
            let count = times.count();
            assert!((5..=7).contains(&count), "{context}: {count} times");
        }
        let sent = |capture: &Capture| world.publisher.sent[&(capture.track, capture.got.id)].at;
        let first = *world.publisher.sent.keys().next().unwrap();
        for capture in &captures {
            // By the clock of the publisher, and of both tracks by the same.
            let since = capture.time.ntp.wrapping_sub(captures[0].time.ntp) as i64;
            let was = |capture| (sent(capture) - world.publisher.sent[&first].at).as_secs_f64();
            let error = since as f64 / 2f64.powi(32) - (was(capture) - was(&captures[0]));
            assert!(error.abs() < 0.002, "{context}: {error} s");
            // And by the clock of the reports that came before.
            let reports = viewer.reports.iter().rev();
            let mut known = reports.filter(|known| known.at <= capture.at);
            let report = known.find(|known| known.track == capture.track).unwrap();
            let rate = if capture.track == VIDEO { 90e3 } else { 48e3 };
            let ticks = capture.got.timestamp.wrapping_sub(report.timestamp) as i32;
            let offset = capture.time.offset.unwrap() as u64;
            let by_ours = capture.time.ntp.wrapping_sub(offset);
            let since = by_ours.wrapping_sub(report.ntp) as i64 as f64 / 2f64.powi(32);
            let error = since - f64::from(ticks) / rate;
            assert!(error.abs() < 0.002, "{context}: {error} s to the report");
        }
    });
}

#[test]
fn nobody_is_told_by_the_clock_of_a_publisher_that_followed() {
    for_seeds(|world, context| {
        world.add_viewer();
        world.run(seconds(4));
        assert!(world.viewers[0].captures.len() >= 6, "{context}");
        world.replace_publisher(Duration::ZERO);
        world.run(seconds(1));
        let (before, late) = (world.viewers[0].captures.len(), world.now);
        world.add_viewer();
        world.run(seconds(5));
        assert_eq!(world.viewers[0].captures.len(), before, "{context}");
        // Who came with that publisher sees its clock.
        let times = world.viewers[1].captures.iter();
        assert!(
            times.filter(|time| time.at > late).count() >= 6,
            "{context}"
        );
    });
}
