//! What does a packet to one viewer cost, as the viewers of a stream become more, and what would it cost
//! at the limit of this machine?
//!
//! `cargo bench --bench fan_out -- --subscribers 1,50,200,400 --rounds 5 --seconds 2`
//!
//! The server is one shard in this process, the sessions are real. First it is recorded which send calls
//! it makes for one viewer. Then rounds: the server, the same calls at the limit and in the server's time,
//! the same calls at the limit and one after another. Figures are medians over the rounds.
//!
//! Left out: HTTP, feedback of the viewers (NACK, RTCP), the network card.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]
#![allow(
    clippy::unwrap_used,
    reason = "what fails in a bench fails the bench, loudly"
)]
#![allow(clippy::print_stderr, reason = "and what is wrong with its arguments")]

mod support;

use std::time::Duration;

use serde_json::json;
use support::cpu::{self, Thread};
use support::limit::{Limit, Pace};
use support::report::{median, save, spread};
use support::stage::{Rings, Stage};
use support::viewers::{Run, Viewers};
use support::{arguments, arguments::List};

/// As in `tidegate`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    Thread::current().pin(cpu::OTHERS);
    let List(subscribers) = arguments::value("subscribers", List(vec![1, 50, 200, 400]));
    let rounds: usize = arguments::value("rounds", 5);
    let seconds: u32 = arguments::value("seconds", 2);
    println!(
        "CPU of the shard's thread per delivered packet, in us; medians of {rounds} rounds of {seconds} s\n\n\
         subscribers | packets/call | server | limit, same time | ratio | limit, flat out | ratio | core % | noise %"
    );
    let figures: Vec<_> = subscribers
        .into_iter()
        .map(|count| measure(count, rounds, seconds))
        .collect();
    save(
        "fan_out",
        &json!({ "rounds": rounds, "seconds": seconds, "figures": figures }),
    );
}

fn measure(subscribers: usize, rounds: usize, seconds: u32) -> serde_json::Value {
    let mut stage = Stage::start(Rings::default());
    let mut viewers = Viewers::new(subscribers);
    for socket in viewers.sockets.iter() {
        stage.subscribe(socket);
    }
    // The first script lets everyone begin at a keyframe, the second one is the record.
    let runs: Vec<Run> = (0..2)
        .map(|_| {
            let script = stage.script(seconds);
            viewers.record(|| stage.play(&script))
        })
        .next_back()
        .unwrap();
    viewers.read();
    let limit = Limit::start(viewers.addresses());

    let (mut server, mut paced, mut flat, mut busy) = (vec![], vec![], vec![], vec![]);
    let (mut sent, mut calls, mut lost) = (0, 0, 0);
    for _ in 0..rounds {
        let script = stage.script(seconds);
        let before = stage.counters();
        let cost = cost(&viewers, stage.thread, || {
            stage.play(&script);
            stage.counters().sent - before.sent
        });
        let after = stage.counters();
        sent += after.sent - before.sent;
        calls += after.send_calls - before.send_calls;
        lost += cost.lost + after.send_dropped - before.send_dropped;
        server.push(cost.per_packet);
        busy.push(100.0 * cost.cpu.as_secs_f64() / f64::from(seconds));
        for (pace, figures) in [(Pace::Server, &mut paced), (Pace::FlatOut, &mut flat)] {
            let cost = self::cost(&viewers, limit.thread, || limit.play(&runs, pace));
            lost += cost.lost;
            figures.push(cost.per_packet);
        }
    }
    stage.stop();

    let ratios = |limits: &[f64]| -> Vec<f64> {
        let pairs = server.iter().zip(limits);
        pairs.map(|(server, limit)| server / limit).collect()
    };
    let per_call = sent as f64 / calls as f64;
    let (to_paced, to_flat) = (ratios(&paced), ratios(&flat));
    println!(
        "{subscribers:11} | {per_call:12.2} | {:6.2} | {:16.2} | {:5.2} | {:15.2} | {:5.2} | {:6.1} | {:7.1}",
        median(&server),
        median(&paced),
        median(&to_paced),
        median(&flat),
        median(&to_flat),
        median(&busy),
        spread(&server),
    );
    if lost > 0 {
        println!("            | {lost} packets did not arrive: the figures flatter");
    }
    json!({
        "subscribers": subscribers,
        "packets_per_call": per_call,
        "recorded_runs": histogram(&runs),
        "server_us": server,
        "limit_same_time_us": paced,
        "limit_flat_out_us": flat,
        "ratio_same_time": median(&to_paced),
        "ratio_flat_out": median(&to_flat),
        "core_percent": median(&busy),
        "lost": lost,
    })
}

struct Cost {
    cpu: Duration,
    /// In us.
    per_packet: f64,
    lost: u64,
}

/// What `play` costs `thread` for each packet that arrives. `play` returns how many it sent.
fn cost(viewers: &Viewers, thread: Thread, play: impl FnOnce() -> u64) -> Cost {
    // Until all is read and the thread sleeps: only then is its account up to date.
    let settle = || std::thread::sleep(Duration::from_millis(60));
    settle();
    let (received, cpu) = (viewers.received(), thread.cpu());
    let sent = play();
    settle();
    let cpu = thread.cpu() - cpu;
    let received = viewers.received() - received;
    Cost {
        cpu,
        per_packet: cpu.as_secs_f64() * 1e6 / received as f64,
        lost: sent.saturating_sub(received),
    }
}

/// How many runs of how many packets the first viewer got.
fn histogram(runs: &[Run]) -> serde_json::Value {
    let mut counts = std::collections::BTreeMap::<usize, usize>::new();
    for run in runs {
        *counts.entry(run.packets()).or_default() += 1;
    }
    json!(counts)
}
