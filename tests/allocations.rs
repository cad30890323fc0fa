//! A stream in its steady state allocates nothing for its packets. A binary of its own, since the counting allocator
//! counts for the whole process.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the bench's parts print"
)]

#[path = "../benches/support/mod.rs"]
mod support;

#[global_allocator]
static COUNTING: dhat::Alloc = dhat::Alloc;

#[test]
fn forwarding_allocates_nothing() {
    for redundancy in [false, true] {
        let mut profiler = None;
        let figures = support::steady_state::measure(10, 3, redundancy, || {
            profiler = Some(dhat::Profiler::builder().testing().build());
            || dhat::HeapStats::get().total_blocks
        });
        assert!(figures.packets > 1000, "{figures:?}");
        // Of one packet in a hundred it would be far more.
        assert!(figures.allocations <= figures.reports, "{figures:?}");
    }
}
