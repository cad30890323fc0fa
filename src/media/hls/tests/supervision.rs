//! Pipelines that fail over and over leave nothing behind.

use super::*;
use crate::media::cpu::CpuTime;
use crate::media::hls::chain::{Chain, buffer};
use crate::media::hls::description::Description;

/// What this process holds: threads, open files, KiB of memory.
fn held() -> (usize, usize, u64) {
    let count = |path: &str| std::fs::read_dir(path).unwrap().count();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let memory = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let memory = memory
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    (count("/proc/self/task"), count("/proc/self/fd"), memory)
}

/// In a process of its own, as the other tests have threads and files too.
#[test]
fn a_thousand_restarts_leak_nothing() {
    if std::env::var_os("TIDEGATE_RESTARTS").is_none() {
        let name = std::thread::current().name().unwrap().to_owned();
        let status = Command::new(std::env::current_exe().unwrap())
            .args([&name, "--exact", "--nocapture"])
            .env("TIDEGATE_RESTARTS", "1")
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "see the messages above");
        return;
    }
    let (wake, cpu) = (Wake::default(), CpuTime::default());
    let description = Description::of_test(
        "appsrc name=src format=time max-bytes=0 ! queue ! identity ! appsink name=sink sync=false",
    );
    let restart = |how: u32| {
        let chain = Chain::start(description, &[], &wake, &cpu).unwrap();
        let list = [buffer(vec![0; 5000], 0)].into_iter().collect();
        chain.push(list).unwrap();
        match how % 3 {
            // Dropped while it runs, with a sample in it.
            0 => {}
            // Dropped after an error.
            1 => {
                chain.break_down();
                assert!(chain.poll_error().is_some());
            }
            // Dropped at its end.
            _ => {
                assert!(chain.drain_sample(0).is_some());
                chain.end();
                assert!(chain.drain_sample(0).is_none());
            }
        }
    };
    (0..100).for_each(restart);
    let before = held();
    (0..1000).for_each(restart);
    let after = held();
    // GLib keeps some threads for later.
    assert!(after.0 < before.0 + 10, "{before:?} {after:?}: threads");
    assert!(after.1 < before.1 + 10, "{before:?} {after:?}: open files");
    // 1000 leaked buffers alone would be 5 MB.
    let grown = after.2.saturating_sub(before.2);
    assert!(grown < 2_000, "{grown} KiB more");
}
