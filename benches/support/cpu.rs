//! CPU time of single threads, and which core they run on.

use std::fs;
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::{Pid, gettid};

/// A thread of some process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thread {
    process: u32,
    id: i32,
}

impl Thread {
    /// The one that calls.
    pub(crate) fn current() -> Self {
        Self {
            process: std::process::id(),
            id: gettid().as_raw(),
        }
    }

    /// The threads of `process` whose name begins with `name`.
    pub(crate) fn named(process: u32, name: &str) -> Vec<Self> {
        let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
        tasks
            .filter_map(|task| {
                let task = task.ok()?.path();
                let found = fs::read_to_string(task.join("comm")).ok()?;
                let id = task.file_name()?.to_str()?.parse().ok()?;
                found.starts_with(name).then_some(Self { process, id })
            })
            .collect()
    }

    /// How long it has been on a core so far, with the system calls it made. On loopback this holds the
    /// receiver's half of the kernel's UDP path too: it runs on the sender's time.
    pub(crate) fn cpu(self) -> Duration {
        let path = format!("/proc/{}/task/{}/schedstat", self.process, self.id);
        let text = fs::read_to_string(path).unwrap();
        let nanoseconds = text.split_whitespace().next().unwrap();
        Duration::from_nanos(nanoseconds.parse().unwrap())
    }

    /// Keeps it on one core, if the machine has that one.
    pub(crate) fn pin(self, core: usize) {
        // The count of cores is no help: a thread that is on one already is told of that one alone.
        let mut set = CpuSet::new();
        if set.set(core).is_ok() {
            // Where it is not allowed the figures are noisier, not wrong.
            let _ = sched_setaffinity(Pid::from_raw(self.id), &set);
        }
    }
}

/// The core of what is measured.
pub(crate) const MEASURED: usize = 0;
/// The core of everything else.
pub(crate) const OTHERS: usize = 1;

/// Memory of `process` that is its own, in bytes.
pub(crate) fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().next().unwrap().parse().unwrap();
    kib * 1024
}
