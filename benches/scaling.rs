//! Does a packet cost the same for 2,000 viewers as for 50, on one shard as on several, in one stream as
//! in 500?
//!
//! `cargo bench --bench scaling -- --subscribers 50,200,400,1000,2000 --streams 500 --rounds 3 --seconds 2`
//!
//! The broadcast of the other benches in slow motion: the same bursts a third as often, so that 2,000
//! viewers fit into one core and their sockets into the other. What is measured is the CPU of all shards'
//! threads for each packet that arrives. `--plot docs/scaling.svg` draws it.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]
#![allow(
    clippy::unwrap_used,
    reason = "what fails in a bench fails the bench, loudly"
)]
#![allow(clippy::print_stderr, reason = "and what is wrong with its arguments")]

mod support;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use support::arguments::{self, List};
use support::cpu::{self, Thread};
use support::plot::{self, Series};
use support::report::{median, save, spread};
use support::stage::{Rings, Stage};
use support::viewers::Viewers;

/// As in `tidegate`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Short, so that they are full before figures are taken: until then every packet is allocated.
const RINGS: Rings = Rings {
    video: 256,
    audio: 64,
    redundancy: false,
};

/// How many times as slowly as a real one the broadcast goes on.
const SLOWNESS: u32 = 3;

/// Who is there.
#[derive(Clone, Copy)]
struct Scene {
    shards: usize,
    streams: usize,
    subscribers: usize,
}

struct Figures {
    /// CPU of the shards for each packet that arrived, in us; one a round.
    per_packet: Vec<f64>,
    /// Of one core, in percent.
    busy: Vec<f64>,
    packets_per_call: f64,
    sent: u64,
    lost: u64,
}

fn main() {
    let List(subscribers) = arguments::value("subscribers", List(vec![50, 200, 400, 1000, 2000]));
    let streams: usize = arguments::value("streams", 500);
    let rounds: usize = arguments::value("rounds", 3);
    let seconds: u32 = arguments::value("seconds", 2);
    let svg: Option<PathBuf> = Some(arguments::value("plot", PathBuf::new()));
    println!(
        "CPU of the shards for each delivered packet; medians of {rounds} rounds of {} s\n\n\
         shards | streams | subscribers | us/packet | noise % | packets/call | core % | lost",
        seconds * SLOWNESS
    );
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut scenes = Vec::new();
    for shards in 1..=cores {
        scenes.extend(subscribers.iter().map(|&subscribers| Scene {
            shards,
            streams: 1,
            subscribers,
        }));
    }
    // One viewer alone, as each of the streams has one; and all of them.
    for streams in [1, streams] {
        scenes.push(Scene {
            shards: 1,
            streams,
            subscribers: streams,
        });
    }
    let mut series: Vec<Series> = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd"]
        .into_iter()
        .cycle()
        .zip(1..=cores)
        .map(|(color, shards)| Series {
            name: format!("{shards} shard{}", if shards == 1 { "" } else { "s" }),
            color,
            points: Vec::new(),
        })
        .collect();
    let mut saved = Vec::new();
    for scene in scenes {
        let figures = measure(scene, rounds, seconds);
        let Scene {
            shards,
            streams,
            subscribers,
        } = scene;
        let per_packet = median(&figures.per_packet);
        println!(
            "{shards:6} | {streams:7} | {subscribers:11} | {per_packet:9.2} | {:7.1} | {:12.2} | {:6.1} | {}",
            spread(&figures.per_packet),
            figures.packets_per_call,
            median(&figures.busy),
            figures.lost,
        );
        // Where the viewers' sockets ran over, the figure flatters.
        let is_whole = figures.lost * 100 < figures.sent;
        if streams == 1 && subscribers > 1 && is_whole {
            series[shards - 1]
                .points
                .push((subscribers as f64, per_packet));
        }
        saved.push(json!({
            "shards": shards,
            "streams": streams,
            "subscribers": subscribers,
            "us_per_packet": figures.per_packet,
            "core_percent": figures.busy,
            "packets_per_call": figures.packets_per_call,
            "lost": figures.lost,
        }));
    }
    if let Some(file) = svg.filter(|file| !file.as_os_str().is_empty()) {
        let title = "CPU of the server for each delivered packet";
        plot::save(&file, title, ("subscribers of one stream", "us"), &series);
    }
    save(
        "scaling",
        &json!({ "rounds": rounds, "seconds": seconds * SLOWNESS, "figures": saved }),
    );
}

fn measure(scene: Scene, rounds: usize, seconds: u32) -> Figures {
    Thread::current().pin(cpu::OTHERS);
    let mut stage = Stage::with(RINGS, scene.shards, scene.streams);
    let mut viewers = Viewers::new(scene.subscribers);
    for (number, socket) in viewers.sockets.iter().enumerate() {
        stage.subscribe_to(number % scene.streams, number % scene.shards, socket);
    }
    viewers.read();
    // Everyone begins at a keyframe, and the rings become as full as they get: what they hold and two seconds behind a keyframe.
    let scripts = stage.scripts(4);
    stage.play_all(&scripts, SLOWNESS);
    let mut figures = Figures {
        per_packet: Vec::new(),
        busy: Vec::new(),
        packets_per_call: 0.0,
        sent: 0,
        lost: 0,
    };
    let mut calls = 0;
    for _ in 0..rounds {
        let scripts = stage.scripts(seconds);
        settle();
        let (before, received, cpu) = (stage.counters(), viewers.received(), stage.cpu());
        stage.play_all(&scripts, SLOWNESS);
        settle();
        let (after, cpu) = (stage.counters(), stage.cpu() - cpu);
        let received = viewers.received() - received;
        figures.sent += after.sent - before.sent;
        calls += after.send_calls - before.send_calls;
        figures.lost += (after.sent - before.sent).saturating_sub(received) + after.send_dropped
            - before.send_dropped;
        figures
            .per_packet
            .push(cpu.as_secs_f64() * 1e6 / received as f64);
        let time = f64::from(seconds * SLOWNESS);
        figures.busy.push(100.0 * cpu.as_secs_f64() / time);
    }
    figures.packets_per_call = figures.sent as f64 / calls as f64;
    stage.stop();
    figures
}

/// Until all is read and the threads sleep: only then are their accounts up to date.
fn settle() {
    std::thread::sleep(Duration::from_millis(100));
}
