//! The process as the kernel sees it, under the names that Prometheus' own libraries use.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::ConstCounter;

use super::Series;

#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Series(&mut encoder);
        let none: [(&str, String); 0] = [];
        if let Some(seconds) = cpu_seconds() {
            let help = "User and system time";
            out.family(
                "process_cpu_seconds",
                help,
                [(none.clone(), ConstCounter::new(seconds))],
            )?;
        }
        if let Some(bytes) = resident_bytes() {
            let help = "Resident memory";
            out.gauges(
                "process_resident_memory_bytes",
                help,
                [(none.clone(), bytes)],
            )?;
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            let help = "Open file descriptors";
            out.gauges("process_open_fds", help, [(none, open.count() as f64)])?;
        }
        Ok(())
    }
}

/// Fields 14 and 15 of proc_pid_stat(5), counted behind the name, which may hold anything.
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let ticks = ticks()? + ticks()?;
    Some(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The second field of proc_pid_statm(5), in pages.
fn resident_bytes() -> Option<f64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: f64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as f64)
}
