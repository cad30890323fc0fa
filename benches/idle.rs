//! What does a subscriber cost while nothing is published?
//!
//! `cargo bench --bench idle -- --subscribers 1000 --seconds 20`
//!
//! The publisher is connected and silent. Each subscriber proves every five seconds that it is still
//! there (RFC 7675, section 5.1), as browsers do; the answers are part of what is measured. A second row
//! is the same without those checks: what the server does by itself.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]
#![allow(
    clippy::unwrap_used,
    reason = "what fails in a bench fails the bench, loudly"
)]
#![allow(clippy::disallowed_methods, reason = "a bench is about the clock")]
#![allow(clippy::print_stderr, reason = "and what is wrong with its arguments")]

mod support;

use std::time::{Duration, Instant};

use serde_json::json;
use support::arguments;
use support::cpu::{self, Thread};
use support::report::save;
use support::stage::{Rings, Stage};
use support::viewers::Viewers;

/// Browsers check each four to six seconds.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

fn main() {
    Thread::current().pin(cpu::OTHERS);
    let subscribers: usize = arguments::value("subscribers", 1000);
    let seconds: u32 = arguments::value("seconds", 20);
    let mut stage = Stage::start(Rings::default());
    let mut viewers = Viewers::new(subscribers);
    let peers: Vec<_> = viewers
        .sockets
        .iter()
        .map(|socket| {
            let mut peer = stage.admit();
            peer.connect(socket);
            peer
        })
        .collect();
    viewers.read();
    // Everybody had a picture and a report before it got quiet.
    let script = stage.script(2);
    stage.play(&script);
    std::thread::sleep(Duration::from_secs(1));

    let quiet = cost(&stage, Duration::from_secs(seconds.into()), |_| {});
    let length = Duration::from_secs(seconds.into());
    let rounds = (length.as_secs_f64() / CHECK_INTERVAL.as_secs_f64()).ceil() as usize;
    let checks: Vec<Vec<u8>> = (0..rounds)
        .flat_map(|_| peers.iter().map(support::peer::Peer::check))
        .collect();
    let server = stage.address();
    let pause = CHECK_INTERVAL / subscribers as u32;
    let checked = cost(&stage, length, |begun| {
        for (number, check) in checks.iter().enumerate() {
            let at = pause * number as u32;
            if at >= length {
                break;
            }
            std::thread::sleep(at.saturating_sub(begun.elapsed()));
            let socket = &viewers.sockets[number % subscribers];
            socket.send_to(check, server).unwrap();
        }
    });
    stage.stop();
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / subscribers as f64 / f64::from(seconds);
    println!("us of CPU a second for each of {subscribers} subscribers, over {seconds} s");
    println!("by itself: {:.2}", each(quiet));
    println!("with a consent check each 5 s: {:.2}", each(checked));
    save(
        "idle",
        &json!({
            "subscribers": subscribers,
            "seconds": seconds,
            "alone_us_per_second": each(quiet),
            "checked_us_per_second": each(checked),
        }),
    );
}

/// What the shard's thread takes for so long, while `meanwhile` goes on.
fn cost(stage: &Stage, length: Duration, meanwhile: impl FnOnce(Instant)) -> Duration {
    let (begun, before) = (Instant::now(), stage.thread.cpu());
    meanwhile(begun);
    std::thread::sleep(length.saturating_sub(begun.elapsed()));
    stage.thread.cpu() - before
}
