//! Pipelines that fail over and over leave nothing behind.

use super::*;
use crate::egress::hls::{Format, Sample};
use crate::media::cpu::CpuTime;
use crate::media::hls::chain::{Chain, buffer};
use crate::media::hls::description::Description;
use crate::media::hls::supervisor::Supervisor;

/// A pipeline that takes everything and gives nothing.
fn hanging(codec: Codec, now: Instant) -> Supervisor {
    let description = Description::of_test(
        "appsrc name=src format=time max-bytes=0 ! valve drop=true ! appsink name=sink sync=false",
    );
    let (wake, cpu) = (Wake::default(), CpuTime::default());
    Supervisor::start(codec, description, Vec::new(), &wake, &cpu, now).unwrap()
}

/// Nothing may come out of a pipeline for less than that.
const STALL: Duration = Duration::from_secs(6);

#[test]
fn what_comes_while_a_pipeline_pauses_does_not_fail_the_next_one() {
    let mut now = Instant::now();
    let mut supervisor = hanging(Codec::Opus, now);
    let format = Arc::new(Format::opus(2));
    // 200 ms.
    let sound: Vec<_> = (0..10)
        .map(|number| Sample {
            dts: number * 20_000_000,
            pts: number * 20_000_000,
            duration: 20_000_000,
            keyframe: true,
            data: vec![0; 100].into(),
            format: Arc::clone(&format),
        })
        .collect();
    let push = |supervisor: &mut Supervisor, now| {
        for sample in &sound {
            supervisor.push_sample(sample, now).unwrap();
        }
    };
    // The pauses become longer than a stall.
    for _ in 0..6 {
        push(&mut supervisor, now);
        assert!(!supervisor.handle_timeout(now).unwrap());
        now += STALL;
        assert!(supervisor.handle_timeout(now).is_err(), "it hangs");
        push(&mut supervisor, now);
        now += Duration::from_secs(30);
        supervisor.wait_for_end();
        assert!(supervisor.handle_timeout(now).unwrap(), "it begins anew");
    }
}

#[test]
fn a_keyframe_of_which_the_end_is_missing_is_no_failure_of_its_pipeline() {
    let mut now = Instant::now();
    let mut supervisor = hanging(Codec::H264, now);
    let packet = |marker: bool, now: Instant| Packet {
        marker,
        keyframe: !marker,
        payload: vec![0; 100],
        ..Packet::empty(now)
    };
    supervisor.push(&packet(false, now), 0, now).unwrap();
    now += STALL;
    assert!(!supervisor.handle_timeout(now).unwrap());
    supervisor.push(&packet(true, now), 0, now).unwrap();
    assert!(!supervisor.handle_timeout(now).unwrap());
    assert!(supervisor.handle_timeout(now + STALL).is_err());
}

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
