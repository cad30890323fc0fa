//! How much of a stream a browser can show when packets are lost on either side of the gateway. The tables of
//! `docs/loss.md` are made here.

use std::fmt::Write as _;
use std::time::Duration;

use super::network::Weather;
use super::viewer::Asking;
use super::world::World;
use super::{VIDEO, redundancy};

/// How long after its time in fair weather a frame may come and still be shown in time: what the buffer of a
/// player has grown to where it has seen losses.
const BUFFER: Duration = Duration::from_millis(500);

/// On which side of the gateway the bad link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Publisher,
    Viewer,
}

/// One line of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    side: Side,
    loss: f64,
    burst: f64,
    round_trip: Duration,
    rtx: bool,
}

/// What came of it. Shares are of 1.
#[derive(Debug)]
struct Outcome {
    /// Frames that could be shown at all, and within [`BUFFER`].
    decodable: f64,
    in_time: f64,
    /// What was added to a frame's way, by rank among the frames that could be shown.
    delays: Vec<Duration>,
    /// Packets that were sent again over the bad link, for each that was sent.
    overhead: f64,
    /// How many times the publisher was asked for a keyframe.
    keyframe_requests: u64,
}

impl Outcome {
    fn delay(&self, share: f64) -> Duration {
        let rank = (self.delays.len() as f64 * share) as usize;
        self.delays[rank.min(self.delays.len() - 1)]
    }
}

impl Case {
    const RTT: [u64; 3] = [20, 80, 200];
    pub(super) const LOSS: [f64; 4] = [0.01, 0.03, 0.05, 0.10];
    /// The mean length of a burst, in packets: most of a frame, which has eight.
    pub(super) const BURST: f64 = 5.0;

    /// A broadcast of 2 Mbit/s for so long, whose publisher makes keyframes only when it is asked, and a
    /// browser that watches it. The other link is fair.
    fn run(self, seed: u64, duration: Duration) -> Outcome {
        let mut world = World::new(seed, self.rtx);
        world.publisher.be_steady();
        let fair = Weather {
            delay: self.round_trip / 2,
            ..Weather::FAIR
        };
        let bad = Weather {
            loss: self.loss,
            burst: self.burst,
            ..fair
        };
        // Packets of feedback are so far apart that nothing but an outage would lose several of them.
        let scattered = Weather { burst: 1.0, ..bad };
        let (session, up, down) = match self.side {
            Side::Publisher => (0, bad, scattered),
            Side::Viewer => (1, scattered, bad),
        };
        world.add_viewer();
        world.viewers[0].asking = Asking::BROWSER;
        world.weather(session, fair, fair);
        world.run(Duration::from_secs(3));
        let requests = world.gateway.stats().layers[0].keyframe_requests;
        let (begin, before) = (world.now, self.repeated(&world));
        world.weather(session, up, down);
        for _ in 0..duration.as_secs() {
            world.run(Duration::from_secs(1));
        }
        let (end, after) = (world.now, self.repeated(&world));
        world.weather(session, fair, fair);
        world.run(Duration::from_secs(5));
        let way = fair.delay + Weather::FAIR.delay;
        let (mut packets, mut frames, mut delays) = (0, 0, Vec::new());
        for ((_, id), sent) in world.publisher.sent.range((VIDEO, 0)..=(VIDEO, u32::MAX)) {
            if !(begin..end).contains(&sent.at) {
                continue;
            }
            packets += 1;
            if sent.marker {
                frames += 1;
                let shown = world.viewers[0].decoder.shown.get(id);
                delays.extend(shown.map(|shown| (*shown - sent.at).saturating_sub(way)));
            }
        }
        delays.sort_unstable();
        let in_time = delays.partition_point(|delay| *delay <= BUFFER);
        Outcome {
            decodable: delays.len() as f64 / f64::from(frames),
            in_time: in_time as f64 / f64::from(frames),
            delays,
            overhead: (after - before) as f64 / f64::from(packets),
            keyframe_requests: world.gateway.stats().layers[0].keyframe_requests - requests,
        }
    }

    /// How many packets of the video were sent again over the bad link.
    fn repeated(self, world: &World) -> u64 {
        match self.side {
            Side::Publisher => world.publisher.repeated_video(),
            Side::Viewer => world.gateway.subscribers[0]
                .tallies()
                .filter(|(track, _)| *track == VIDEO)
                .map(|(_, tally)| tally.retransmissions)
                .sum(),
        }
    }
}

#[test]
fn five_percent_over_80_ms_cost_less_than_a_frame_in_a_thousand_on_either_side() {
    for side in [Side::Publisher, Side::Viewer] {
        for rtx in [true, false] {
            let case = Case {
                side,
                loss: 0.05,
                burst: 1.0,
                round_trip: Duration::from_millis(80),
                rtx,
            };
            let outcome = case.run(7, Duration::from_secs(60));
            assert!(outcome.in_time >= 0.999, "{case:?}: {}", outcome.in_time);
            let overhead = outcome.overhead;
            assert!((0.04..0.07).contains(&overhead), "{case:?}: {overhead}");
        }
    }
}

const BEGIN: &str = "<!-- made by `make loss` -->\n";
const END: &str = "<!-- end -->";

/// The time that each line of a table simulates.
const DURATION: Duration = Duration::from_secs(600);

#[test]
#[ignore = "takes some minutes; `make loss` runs it"]
fn tables() {
    let mut text = String::new();
    for (side, name) in [
        (Side::Publisher, "From the publisher to the gateway"),
        (Side::Viewer, "From the gateway to the viewer"),
    ] {
        for (burst, kind) in [(1.0, "random"), (Case::BURST, "in bursts")] {
            let _ = write!(
                text,
                "\n### {name}, {kind}\n\n\
                 | loss | round trip | decodable | within {} ms | delay, 95 % | delay, 99 % | overhead | keyframes |\n\
                 |---|---|---|---|---|---|---|---|\n",
                BUFFER.as_millis()
            );
            for loss in Case::LOSS {
                for round_trip in Case::RTT {
                    let case = Case {
                        side,
                        loss,
                        burst,
                        round_trip: Duration::from_millis(round_trip),
                        rtx: true,
                    };
                    let outcome = case.run(1, DURATION);
                    let _ = writeln!(
                        text,
                        "| {:.0} % | {round_trip} ms | {:.3} % | {:.3} % | {} ms | {} ms | {:.1} % | {} |",
                        loss * 100.0,
                        outcome.decodable * 100.0,
                        outcome.in_time * 100.0,
                        outcome.delay(0.95).as_millis(),
                        outcome.delay(0.99).as_millis(),
                        outcome.overhead * 100.0,
                        outcome.keyframe_requests,
                    );
                }
            }
        }
    }
    write(BEGIN, &text);
    redundancy::table(DURATION);
}

/// Prints a table, and puts it in its place in the page if that is asked for.
pub(super) fn write(begin: &str, text: &str) {
    println!("{text}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/loss.md");
        let page = std::fs::read_to_string(&path).unwrap();
        let (head, rest) = page.split_once(begin).unwrap();
        let (_, tail) = rest.split_once(END).unwrap();
        std::fs::write(&path, format!("{head}{begin}{text}\n{END}{tail}")).unwrap();
    }
}
