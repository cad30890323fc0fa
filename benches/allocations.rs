//! How many allocations does a forwarded packet cost? None: this bench fails when there is one.
//!
//! `cargo bench --bench allocations -- --subscribers 50 --seconds 4 [--where true]`
//!
//! With `--where true` the places that allocated are written to `dhat-heap.json`, for dhat's viewer.
//!
//! Left out: what is not per packet. Sessions that come and go, reports and requests to the publisher,
//! and answers to STUN checks allocate.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]
#![allow(clippy::print_stderr, reason = "and what is wrong with its arguments")]

mod support;

use serde_json::json;
use support::{arguments, report, steady_state};

#[global_allocator]
static COUNTING: dhat::Alloc = dhat::Alloc;

fn main() {
    let subscribers = arguments::value("subscribers", 50);
    let seconds = arguments::value("seconds", 4);
    let places = arguments::value("where", false);
    let mut profiler = None;
    let figures = steady_state::measure(subscribers, seconds, false, || {
        let builder = dhat::Profiler::builder();
        profiler = Some(match places {
            true => builder.build(),
            false => builder.testing().build(),
        });
        || dhat::HeapStats::get().total_blocks
    });
    drop(profiler);
    println!(
        "{subscribers} subscribers, {seconds} s: {} packets, {} allocations",
        figures.packets, figures.allocations
    );
    report::save(
        "allocations",
        &json!({
            "subscribers": subscribers,
            "packets": figures.packets,
            "allocations": figures.allocations,
        }),
    );
    if figures.allocations > figures.reports || figures.packets == 0 {
        std::process::exit(1);
    }
}
