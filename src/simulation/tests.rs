//! What viewers get in every weather.

use std::time::Duration;

use super::network::Weather;
use super::publisher::{FOLLOWING, Sent};
use super::viewer::{Got, Reception, Report};
use super::world::World;
use super::{AUDIO, VIDEO};

const MINUTE: Duration = Duration::from_secs(60);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Loss alone.
fn loss(share: f64) -> Weather {
    Weather {
        loss: share,
        ..Weather::FAIR
    }
}

/// Everything that networks do at once.
fn storm() -> Weather {
    Weather {
        jitter: millis(12),
        loss: 0.03,
        outages: 0.000_5,
        duplicates: 0.03,
        late: 0.02,
        ..Weather::FAIR
    }
}

/// Runs `test` with many seeds, on each with and without RTX. `SIMULATION_SEEDS` asks for more of
/// them, `SIMULATION_SEED` for a single one.
///
/// Returns how many datagrams were lost in all of them.
fn for_seeds(test: impl Fn(&mut World)) -> u64 {
    let mut lost = 0;
    let number = |name| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().unwrap())
    };
    let seeds = match number("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIMULATION_SEEDS").unwrap_or(6),
    };
    for seed in seeds {
        for rtx in [true, false] {
            let _guard = OnFailure { seed, rtx };
            let mut world = World::new(seed, rtx);
            test(&mut world);
            lost += world.lost();
        }
    }
    lost
}

/// Names the seed of a test that fails.
struct OnFailure {
    seed: u64,
    rtx: bool,
}

impl Drop for OnFailure {
    #[allow(clippy::print_stderr, reason = "the test's own output")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, rtx } = self;
            eprintln!("it fails with SIMULATION_SEED={seed} (rtx: {rtx})");
        }
    }
}

/// A publisher and two viewers, of which one comes in bad weather already.
fn stage(world: &mut World, publisher: Weather, viewers: Weather) {
    world.add_viewer();
    world.run(seconds(1));
    world.publisher_weather(publisher);
    world.viewer_weather(viewers);
    world.run(seconds(1));
    world.add_viewer();
    world.viewer_weather(viewers);
}

/// Bad weather for some time, then fair weather until all is repaired that can be.
fn weather(world: &mut World, publisher: Weather, viewers: Weather) {
    stage(world, publisher, viewers);
    world.run(seconds(6));
    world.publisher_weather(Weather::FAIR);
    world.viewer_weather(Weather::FAIR);
    world.run(seconds(4));
}

/// Every viewer has every packet from its first on, in order, with its own numbers dense and its
/// timestamps those of the publisher. `lost` numbers may be missing, which the gateway gave up.
fn all_is_well(world: &World, lost: u64) {
    for (index, viewer) in world.viewers.iter().enumerate() {
        for reception in &viewer.tracks {
            let context = format!("viewer {index}, {:?}", reception.track);
            let gaps = order(world, reception, &context);
            let last = world.compare(reception).last().unwrap();
            assert!(
                world.now - last.2.at < millis(100),
                "{context}: it came to an end"
            );
            let offset = |got: &Got, sent: &Sent| got.timestamp.wrapping_sub(sent.media_time);
            let (_, got, sent) = world.compare(reception).last().unwrap();
            let present = offset(&got, &sent);
            let mut before = None;
            for (_, got, sent) in world.compare(reception) {
                // What it got of the time before it came lies closer together, and before the rest.
                let closer = offset(&got, &sent).wrapping_sub(present);
                let is_past = reception.began.is_some_and(|began| sent.at < began);
                assert!(
                    closer == 0 || is_past && (closer as i32) > 0,
                    "{context}: timestamps"
                );
                let order = before.replace((sent.media_time, got.timestamp));
                if let Some((media_time, timestamp)) = order {
                    let advances = |new: u32, old: u32| (new.wrapping_sub(old) as i32).signum();
                    let (made, shown) = (
                        advances(sent.media_time, media_time),
                        advances(got.timestamp, timestamp),
                    );
                    assert_eq!(made, shown, "{context}: order of timestamps");
                }
            }
            assert!(
                gaps <= lost,
                "{context}: {gaps} packets never came, {lost} were given up"
            );
        }
    }
}

/// Checks that every viewer has all numbers and time that never goes back, and gets what is sent now. Where
/// it was sent something again, that begins with a keyframe.
fn never_goes_back(world: &World) {
    for (index, viewer) in world.viewers.iter().enumerate() {
        for reception in &viewer.tracks {
            let context = format!("viewer {index}, {:?}", reception.track);
            let mut before: Option<(u64, Got)> = None;
            for (number, got, sent) in world.compare(reception) {
                assert_eq!(got.marker, sent.marker, "{context}");
                if let Some((number_before, got_before)) = before {
                    assert_eq!(number, number_before + 1, "{context}");
                    let ticks = got.timestamp.wrapping_sub(got_before.timestamp) as i32;
                    assert!(ticks >= 0, "{context}: time goes back");
                    let again = got.id <= got_before.id;
                    assert!(!again || got.keyframe, "{context}: no keyframe");
                }
                before = Some((number, got));
            }
            let last = world.compare(reception).last().unwrap();
            assert!(
                world.now - last.2.at < millis(100),
                "{context}: it came to an end"
            );
        }
    }
}

/// Checks numbers, contents and markers; returns how many numbers are missing.
fn order(world: &World, reception: &Reception, context: &str) -> u64 {
    let mut gaps = 0;
    let mut before: Option<(u64, u32)> = None;
    for (number, got, sent) in world.compare(reception) {
        assert_eq!(got.marker, sent.marker, "{context}");
        if let Some((number_before, id_before)) = before {
            let (numbers, ids) = (number - number_before, got.id - id_before);
            assert_eq!(
                numbers,
                u64::from(ids),
                "{context}: from {id_before} to {}",
                got.id
            );
            gaps += numbers - 1;
        }
        before = Some((number, got.id));
    }
    assert!(before.is_some(), "{context}: nothing came");
    gaps
}

fn given_up(world: &World) -> u64 {
    world
        .gateway
        .stats()
        .layers
        .iter()
        .map(|layer| layer.lost)
        .sum()
}

fn everything_is_repaired(world: &World) {
    assert_eq!(given_up(world), 0);
    all_is_well(world, 0);
}

#[test]
fn fair_weather_needs_no_repair() {
    let lost = for_seeds(|world| {
        weather(world, Weather::FAIR, Weather::FAIR);
        all_is_well(world, 0);
        assert_eq!(world.publisher.repeated, 0);
        for reception in world.viewers.iter().flat_map(|viewer| &viewer.tracks) {
            assert_eq!((reception.repaired, reception.duplicates), (0, 0));
        }
    });
    assert_eq!(lost, 0);
}

/// After its POST a viewer needs a round trip for ICE and three for DTLS, one of them for the cookie that the
/// library insists on (RFC 6347, section 4.2.1, would let us do without after ICE); its first packet rides with
/// the answer to its last flight. So does its picture, out of the keyframe cache.
#[test]
fn a_viewer_has_its_first_packet_after_four_round_trips() {
    const ROUND_TRIP: Duration = millis(30);
    const AUDIO_INTERVAL: Duration = millis(20);
    for_seeds(|world| {
        world.run(seconds(3));
        world.add_viewer();
        let asked = world.now;
        let mut first = [None; 2];
        while first.contains(&None) && world.now < asked + seconds(1) {
            world.run(millis(1));
            for (first, reception) in first.iter_mut().zip(&world.viewers[0].tracks) {
                if first.is_none() && !reception.packets.is_empty() {
                    *first = Some(world.now - asked);
                }
            }
        }
        let [video, audio] = first.map(Option::unwrap);
        let earliest = 4 * ROUND_TRIP;
        assert!(
            (earliest..=earliest + AUDIO_INTERVAL + millis(1)).contains(&audio),
            "{audio:?}"
        );
        assert!(
            (earliest..=earliest + millis(1)).contains(&video),
            "{video:?}"
        );
    });
}

#[test]
fn losses_on_the_way_to_viewers_are_repaired() {
    for share in [0.01, 0.05, 0.10] {
        let lost = for_seeds(|world| {
            weather(world, Weather::FAIR, loss(share));
            everything_is_repaired(world);
            assert_eq!(
                world.publisher.repeated, 0,
                "the publisher has no part in it"
            );
        });
        assert!(lost > 0, "the weather was too good");
    }
}

#[test]
fn losses_on_the_way_from_the_publisher_are_repaired() {
    for share in [0.01, 0.05, 0.10] {
        let lost = for_seeds(|world| {
            weather(world, loss(share), Weather::FAIR);
            everything_is_repaired(world);
            assert!(world.publisher.repeated > 0);
        });
        assert!(lost > 0, "the weather was too good");
    }
}

#[test]
fn losses_on_all_ways_are_repaired() {
    let lost = for_seeds(|world| {
        weather(world, loss(0.05), loss(0.05));
        everything_is_repaired(world);
    });
    assert!(lost > 0, "the weather was too good");
}

#[test]
fn outages_are_repaired() {
    let outages = Weather {
        outages: 0.005,
        ..Weather::FAIR
    };
    let lost = for_seeds(|world| {
        weather(world, Weather::FAIR, outages);
        everything_is_repaired(world);
    });
    assert!(lost > 0, "the weather was too good");
    let lost = for_seeds(|world| {
        weather(world, outages, Weather::FAIR);
        everything_is_repaired(world);
    });
    assert!(lost > 0, "the weather was too good");
}

#[test]
fn reordering_within_the_tolerance_makes_nobody_send_again() {
    let reordering = Weather {
        jitter: millis(4),
        ..Weather::FAIR
    };
    let lost = for_seeds(|world| {
        weather(world, reordering, reordering);
        all_is_well(world, 0);
        assert_eq!(world.publisher.repeated, 0);
    });
    assert_eq!(lost, 0);
}

#[test]
fn duplicates_are_handed_out_once() {
    let doubling = Weather {
        duplicates: 0.3,
        jitter: millis(3),
        ..Weather::FAIR
    };
    let lost = for_seeds(|world| {
        weather(world, doubling, Weather::FAIR);
        all_is_well(world, 0);
        for reception in world.viewers.iter().flat_map(|viewer| &viewer.tracks) {
            assert_eq!(reception.duplicates, 0);
        }
    });
    assert_eq!(lost, 0);
}

#[test]
fn late_packets_find_their_place() {
    let late = Weather {
        late: 0.1,
        ..Weather::FAIR
    };
    let lost = for_seeds(|world| {
        weather(world, late, late);
        all_is_well(world, 0);
    });
    assert_eq!(lost, 0);
}

#[test]
fn a_storm_on_both_sides_is_survived() {
    let lost = for_seeds(|world| {
        weather(world, storm(), storm());
        everything_is_repaired(world);
    });
    assert!(lost > 0, "the weather was too good");
}

#[test]
fn what_cannot_be_repaired_is_a_gap_and_nothing_else() {
    let terrible = Weather {
        loss: 0.5,
        ..Weather::FAIR
    };
    let lost = for_seeds(|world| {
        stage(world, Weather::FAIR, Weather::FAIR);
        world.run(seconds(1));
        world.publisher_weather(terrible);
        world.run(seconds(4));
        world.publisher_weather(Weather::FAIR);
        world.run(seconds(4));
        assert!(given_up(world) > 0, "the weather was too good");
        all_is_well(world, given_up(world));
    });
    assert!(lost > 0, "the weather was too good");
}

#[test]
fn a_second_without_any_packet_is_made_up_for() {
    let silence = Weather {
        loss: 1.0,
        ..Weather::FAIR
    };
    let lost = for_seeds(|world| {
        stage(world, Weather::FAIR, Weather::FAIR);
        for side in [World::publisher_weather, World::viewer_weather] {
            world.run(seconds(1));
            side(world, silence);
            world.run(seconds(1));
            side(world, Weather::FAIR);
        }
        world.run(seconds(4));
        everything_is_repaired(world);
    });
    assert!(lost > 0, "the weather was too good");
}

#[test]
fn a_viewer_goes_on_from_another_address_and_through_an_ice_restart() {
    let lost = for_seeds(|world| {
        stage(world, loss(0.01), loss(0.02));
        for viewer in [0, 1, 0] {
            world.run(seconds(1));
            world.viewers[viewer].rebind();
            world.run(millis(1_300));
            world.restart_ice(viewer);
        }
        world.run(seconds(1));
        world.publisher_weather(Weather::FAIR);
        world.viewer_weather(Weather::FAIR);
        world.run(seconds(4));
        everything_is_repaired(world);
    });
    assert!(lost > 0, "the weather was too good");
}

/// Room and rate of a connection that a stream is no trouble for.
const ROOM: usize = 256 * 1024;
const FAST: u32 = 1_000_000;

#[test]
fn a_stream_by_tcp_is_whole_whatever_pieces_it_comes_in() {
    let lost = for_seeds(|world| {
        stage(world, Weather::FAIR, Weather::FAIR);
        for session in 0..3 {
            world.go_by_tcp(session, FAST, ROOM);
        }
        world.run(seconds(6));
        everything_is_repaired(world);
        assert_eq!(world.publisher.repeated, 0);
        assert_eq!((0..3).map(|session| world.dropped(session)).sum::<u64>(), 0);
    });
    assert_eq!(lost, 0);
}

#[test]
fn publishers_and_viewers_move_between_udp_and_tcp() {
    for_seeds(|world| {
        stage(world, loss(0.01), loss(0.02));
        for session in [1, 0, 2, 1] {
            world.run(seconds(1));
            world.go_by_tcp(session, FAST, ROOM);
            world.run(millis(700));
            match session {
                0 => world.restart_publisher(),
                viewer => world.restart_ice(viewer - 1),
            }
            world.run(millis(700));
            world.go_by_udp(session);
        }
        world.publisher_weather(Weather::FAIR);
        world.viewer_weather(Weather::FAIR);
        world.run(seconds(4));
        everything_is_repaired(world);
    });
}

#[test]
fn a_session_whose_connection_broke_goes_on_by_the_next() {
    for_seeds(|world| {
        stage(world, Weather::FAIR, Weather::FAIR);
        for session in [0, 1] {
            world.go_by_tcp(session, FAST, ROOM);
            world.run(seconds(1));
            world.close_connection(session);
            world.run(millis(600));
            world.go_by_tcp(session, FAST, ROOM);
            world.run(seconds(4));
        }
        everything_is_repaired(world);
    });
}

#[test]
fn a_viewer_by_tcp_that_is_too_slow_hurts_only_itself() {
    const QUEUE: usize = 4 * 1024;
    const RATE: u32 = 3_000;
    for_seeds(|world| {
        world.add_viewer();
        stage(world, Weather::FAIR, Weather::FAIR);
        world.go_by_tcp(1, RATE, QUEUE);
        world.run(seconds(10));
        assert!(world.dropped(1) > 100, "the line was too good");
        let slow = world.viewers.remove(0);
        all_is_well(world, 0);
        // What it gets is as it was sent, and no older than the queue and the line can make it.
        let newest = |reception| {
            order(world, reception, "the slow one");
            world.compare(reception).map(|(_, _, sent)| sent.at).max()
        };
        let last = slow.tracks.iter().filter_map(newest).max();
        // For a time only repeats of older ones may find room.
        let longest = 2 * Duration::from_secs(QUEUE as u64) / RATE + millis(500);
        let age = world.now - last.unwrap();
        assert!(age < longest, "{age:?}");
    });
}

#[test]
fn a_nat_that_forgets_a_peer_stops_media_until_the_next_check_only() {
    for_seeds(|world| {
        stage(world, Weather::FAIR, Weather::FAIR);
        world.run(seconds(1));
        // One that nominates with every check, and one that did so at the beginning only.
        world.viewers[1].nominates = false;
        world.viewers[0].rebind();
        world.viewers[1].rebind();
        world.run(millis(1_500));
        for viewer in &world.viewers {
            for reception in &viewer.tracks {
                let last = world.compare(reception).map(|(_, _, sent)| sent.at).max();
                assert!(world.now - last.unwrap() < millis(100));
            }
        }
        for nominates in [true, false] {
            world.publisher.nominates = nominates;
            world.publisher.rebind();
            world.run(millis(1_500));
            let last = world.compare(&world.viewers[0].tracks[1]).last().unwrap();
            assert!(world.now - last.2.at < millis(100), "{nominates}");
        }
        world.run(seconds(4));
        everything_is_repaired(world);
    });
}

#[test]
fn media_goes_on_while_ice_is_restarted() {
    let lost = for_seeds(|world| {
        stage(world, Weather::FAIR, Weather::FAIR);
        world.run(seconds(1));
        // The peers have not heard of the new credentials yet.
        world.gateway.restart_ice(0);
        world.gateway.restart_ice(1);
        world.run(seconds(3));
        all_is_well(world, 0);
        world.restart_publisher();
        world.restart_ice(0);
        world.run(seconds(3));
        all_is_well(world, 0);
        assert_eq!(world.publisher.repeated, 0);
    });
    assert_eq!(lost, 0);
}

/// A source that begins anew leaves no gap in the numbers, and the timestamps go on by the time
/// that passed. `skipped` packets may be missing at each of the changes.
fn goes_on(world: &World, skipped: u32, tolerance: Duration) {
    for viewer in &world.viewers {
        for reception in &viewer.tracks {
            let rate = match reception.track {
                VIDEO => 90_000,
                AUDIO => 48_000,
                other => panic!("{other:?}"),
            };
            let tolerance = (tolerance.as_secs_f64() * f64::from(rate)) as i32;
            let mut offset = None;
            let mut before: Option<(u64, u32)> = None;
            for (number, got, sent) in world.compare(reception) {
                if let Some((number_before, id_before)) = before {
                    assert_eq!(number, number_before + 1, "numbers are dense");
                    assert!(got.id > id_before, "the order is kept");
                    assert!(
                        got.id - id_before <= 1 + skipped,
                        "{id_before} to {}",
                        got.id
                    );
                }
                before = Some((number, got.id));
                if reception.began.is_some_and(|began| sent.at < began) {
                    continue; // the past lies closer together
                }
                let now = got.timestamp.wrapping_sub(sent.media_time);
                let first = *offset.get_or_insert(now);
                let off = now.wrapping_sub(first) as i32;
                assert!(
                    off.abs() <= tolerance,
                    "{off} ticks off at packet {}",
                    got.id
                );
            }
        }
    }
}

#[test]
fn new_sources_of_the_publisher_are_one_stream_for_viewers() {
    let lost = for_seeds(|world| {
        stage(world, Weather::FAIR, Weather::FAIR);
        for _ in 0..3 {
            world.run(seconds(2));
            let World {
                publisher, dice, ..
            } = world;
            publisher.change_sources(dice);
        }
        world.run(seconds(2));
        goes_on(world, 0, millis(60));
        assert!(
            world
                .gateway
                .stats()
                .layers
                .iter()
                .all(|layer| layer.restarts == 3)
        );
    });
    assert_eq!(lost, 0);
}

#[test]
fn jumps_of_the_publishers_numbers_are_one_stream_for_viewers() {
    let lost = for_seeds(|world| {
        stage(world, Weather::FAIR, Weather::FAIR);
        for _ in 0..3 {
            world.run(seconds(2));
            let World {
                publisher, dice, ..
            } = world;
            publisher.jump(dice);
        }
        world.run(seconds(2));
        // The first packet far away could be a stray one; the second decides.
        goes_on(world, 1, millis(60));
        assert!(
            world
                .gateway
                .stats()
                .layers
                .iter()
                .all(|layer| layer.restarts == 3)
        );
    });
    assert_eq!(lost, 0);
}

#[test]
fn viewers_that_ask_for_keyframes_all_the_time_cost_a_bounded_number_of_them() {
    let lost = for_seeds(|world| {
        stage(world, Weather::FAIR, Weather::FAIR);
        for index in 0..2 {
            let now = world.now;
            world.viewers[index].next_request = Some(now + millis(100 * index as u64));
        }
        let before = world.gateway.stats().layers[0].keyframe_requests;
        world.run(seconds(18));
        let asked = world.gateway.stats().layers[0].keyframe_requests - before;
        // Three at once of each, and one in three seconds; some fall together, and some get the last keyframe
        // again.
        assert!((3..=18).contains(&asked), "{asked} in 18 s");
        never_goes_back(world);
    });
    assert_eq!(lost, 0);
}

#[test]
fn a_minute_goes_by() {
    let mut world = World::new(1, true);
    stage(&mut world, loss(0.01), storm());
    world.run(MINUTE);
    world.publisher_weather(Weather::FAIR);
    world.viewer_weather(Weather::FAIR);
    world.run(seconds(4));
    everything_is_repaired(&world);
}

/// What a viewer has of a track through several publishers: numbers without a gap, and time that goes on as
/// it does for those who send. Returns how many publishers were seen.
fn one_line(world: &World, reception: &Reception) -> usize {
    let rate = if reception.track == VIDEO { 90 } else { 48 };
    let mut publishers = 1;
    let mut last: Option<(u64, Got, Sent)> = None;
    for (number, got, sent) in world.compare(reception) {
        if let Some((number_before, got_before, sent_before)) = last.replace((number, got, sent)) {
            assert_eq!(number, number_before + 1, "{:?}", reception.track);
            let ticks = got.timestamp.wrapping_sub(got_before.timestamp);
            if got.id - got_before.id == 1 {
                assert_eq!(ticks, sent.media_time.wrapping_sub(sent_before.media_time));
                continue;
            }
            assert!(got.id - got_before.id >= FOLLOWING);
            publishers += 1;
            let elapsed = (sent.at - sent_before.at).as_millis() as u32 * rate;
            // What the ways of the two packets differ by.
            let tolerance = 60 * rate;
            assert!(ticks.abs_diff(elapsed) < tolerance, "{ticks} for {elapsed}");
        }
    }
    publishers
}

#[test]
fn a_viewer_sees_one_stream_when_a_publisher_follows_another() {
    let lost = for_seeds(|world| {
        world.add_viewer();
        world.add_viewer();
        world.run(seconds(4));
        // A restart, and a takeover: the next one is there as the first one goes.
        for pause in [seconds(5), Duration::ZERO] {
            world.replace_publisher(pause);
            world.run(pause + seconds(6));
        }
        for viewer in &world.viewers {
            for reception in &viewer.tracks {
                assert_eq!(one_line(world, reception), 3);
            }
            steady_clock(&viewer.reports, 0.5, "publishers");
        }
    });
    assert_eq!(lost, 0);
}

#[test]
fn in_bad_weather_too_nothing_comes_twice_or_out_of_order_when_publishers_change() {
    for_seeds(|world| {
        stage(world, storm(), storm());
        world.run(seconds(2));
        world.replace_publisher(seconds(1));
        world.publisher_weather(storm());
        world.run(seconds(4));
        world.publisher_weather(Weather::FAIR);
        world.viewer_weather(Weather::FAIR);
        world.run(seconds(4));
        for reception in world.viewers.iter().flat_map(|viewer| &viewer.tracks) {
            let ids: Vec<_> = world.compare(reception).map(|(_, got, _)| got.id).collect();
            assert!(ids.is_sorted_by(|before, after| before < after));
            let last = world.compare(reception).last().unwrap();
            assert!(last.1.id >= FOLLOWING && world.now - last.2.at < millis(100));
        }
    });
}

/// The wall clock that the reports tell goes as fast as time, whoever publishes; but for once, when the
/// first publisher tells the time in the place of what was assumed.
pub(super) fn steady_clock(reports: &[Report], tolerance: f64, context: &str) {
    assert!(reports.len() >= 8, "{context}");
    let mut jumps = 0;
    for pair in reports.windows(2) {
        let [before, after] = pair else { continue };
        let elapsed = (after.at - before.at).as_secs_f64();
        let told = after.ntp.wrapping_sub(before.ntp) as i64 as f64 / 2f64.powi(32);
        if (told - elapsed).abs() >= tolerance {
            jumps += 1;
            assert!(jumps == 1, "{context}: {told} s in {elapsed} s");
        }
    }
}
