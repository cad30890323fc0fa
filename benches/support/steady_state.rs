//! Allocations while a stream flows: the publisher sends, subscribers get, nobody comes or goes.
//!
//! All else in the process is quiet then: the packets to send were made before, and the viewers' sockets
//! are read into one buffer. So every allocation of the process is the shard's.

use super::cpu::{self, Thread};
use super::stage::{Rings, Stage};
use super::viewers::Viewers;

/// Allocations of the report that the control plane gets of a publisher, once a second: what it says of each
/// layer, on its way between two threads.
pub(crate) const REPORT: u64 = 6;

/// What happened in the steady state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    /// Packets that the viewers were sent.
    pub(crate) packets: u64,
    pub(crate) allocations: u64,
    /// What reports may have allocated at most.
    pub(crate) reports: u64,
}

/// Counts for `seconds`, which hold at least one sender report to everyone, with `redundancy` of sound or without. `count` begins to count
/// allocations and gives a way to read the count.
pub(crate) fn measure<R: FnOnce() -> u64>(
    subscribers: usize,
    seconds: u32,
    redundancy: bool,
    count: impl FnOnce() -> R,
) -> Figures {
    Thread::current().pin(cpu::OTHERS);
    // Smaller than in production, so that they are full after the first script.
    let mut stage = Stage::start(Rings {
        video: 128,
        audio: 32,
        redundancy,
    });
    let mut viewers = Viewers::new(subscribers);
    for socket in viewers.sockets.iter() {
        stage.subscribe(socket);
    }
    viewers.read();
    // The rings fill up, buffers reach their size, everybody had a keyframe and a sender report.
    let script = stage.script(4);
    stage.play(&script);

    let script = stage.script(seconds);
    let before = stage.counters();
    let read = count();
    stage.play(&script);
    std::thread::sleep(std::time::Duration::from_millis(50));
    let allocations = read();
    let after = stage.counters();
    stage.stop();
    Figures {
        packets: after.sent - before.sent,
        allocations,
        reports: REPORT * u64::from(seconds + 1),
    }
}
