//! How much CPU pipelines use: the time of GStreamer's streaming threads, as the kernel counts it.
//!
//! GStreamer takes its threads out of a pool, so that only what one uses between its beginning to serve a
//! pipeline and its end counts. Both are told on the bus by the thread itself. What an element does in
//! threads of its own is not seen, which is why the pipelines ask their codecs for one thread.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gstreamer as gst;
use rustix::thread::Pid;
use rustix::time::{ClockId, clock_gettime};

/// The CPU time of some pipelines. Clones count together.
#[derive(Clone, Debug, Default)]
pub(super) struct CpuTime(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Of the threads that have ended, in nanoseconds.
    ended: AtomicU64,
    /// The threads that serve, and what they had used before.
    serving: Mutex<HashMap<Pid, Duration>>,
}

impl CpuTime {
    /// Counts the threads of the pipeline of this bus, if it has not started yet.
    pub(super) fn watch(&self, bus: &gst::Bus) {
        let inner = Arc::clone(&self.0);
        bus.set_sync_handler(move |_, message| {
            let gst::MessageView::StreamStatus(status) = message.view() else {
                return gst::BusSyncReply::Pass;
            };
            match status.get().0 {
                gst::StreamStatusType::Enter => inner.enter(),
                gst::StreamStatusType::Leave => inner.leave(),
                _ => {}
            }
            gst::BusSyncReply::Drop
        });
    }

    /// What they used until now, to a hundredth of a second for each thread that serves. It reads a file of
    /// the kernel for each of these: not for every packet.
    pub(super) fn total(&self) -> Duration {
        let serving = self.0.serving();
        let used = serving
            .iter()
            .filter_map(|(thread, before)| Some(of_thread(*thread)?.saturating_sub(*before)));
        let used: Duration = used.sum();
        used + Duration::from_nanos(self.0.ended.load(Ordering::Relaxed))
    }
}

impl Inner {
    fn enter(&self) {
        let before = of_this_thread();
        self.serving().insert(rustix::thread::gettid(), before);
    }

    fn leave(&self) {
        // Under the lock, so that no time is missing or counted twice meanwhile.
        let mut serving = self.serving();
        if let Some(before) = serving.remove(&rustix::thread::gettid()) {
            let used = of_this_thread().saturating_sub(before);
            self.ended
                .fetch_add(used.as_nanos() as u64, Ordering::Relaxed);
        }
    }

    /// What a panic left behind is whole: each change is one call.
    fn serving(&self) -> MutexGuard<'_, HashMap<Pid, Duration>> {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread that asks has used.
pub(super) fn of_this_thread() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// What a thread of this process has used; none when it is gone.
fn of_thread(thread: Pid) -> Option<Duration> {
    let path = format!("/proc/self/task/{}/stat", thread.as_raw_nonzero());
    let stat = std::fs::read_to_string(path).ok()?;
    // Fields 14 and 15 of proc_pid_stat(5), in ticks; the name before them may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let ticks = |field: Option<&str>| field?.parse::<u64>().ok();
    let ticks = ticks(fields.next())? + ticks(fields.next())?;
    let second = rustix::param::clock_ticks_per_second().max(1);
    Some(Duration::from_nanos(
        ticks.saturating_mul(1_000_000_000 / second),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gstreamer::prelude::*;

    #[test]
    fn the_threads_of_a_pipeline_are_counted_while_they_run_and_after() {
        crate::media::init().unwrap();
        let text = "videotestsrc num-buffers=200 ! video/x-raw,width=640,height=480 ! queue ! videoscale \
            ! video/x-raw,width=320,height=240 ! fakesink name=sink sync=false";
        let pipeline = gst::parse::launch(text).unwrap();
        let bus = pipeline.bus().unwrap();
        let cpu = CpuTime::default();
        cpu.watch(&bus);
        pipeline.set_state(gst::State::Playing).unwrap();
        let end = [gst::MessageType::Eos, gst::MessageType::Error];
        let message = bus
            .timed_pop_filtered(gst::ClockTime::from_seconds(20), &end)
            .unwrap();
        assert_eq!(message.type_(), gst::MessageType::Eos);
        assert!(cpu.total() > Duration::ZERO, "of threads that serve");
        pipeline.set_state(gst::State::Null).unwrap();
        assert!(cpu.0.serving().is_empty());
        let ended = cpu.total();
        assert!(ended > Duration::ZERO, "of threads that have ended");
        assert_eq!(cpu.total(), ended);
    }
}
