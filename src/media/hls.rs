//! The HLS branch of a stream: RTP packets in, segments in the [`Library`] out.
//!
//! One worker thread a stream does all of it: order, depayload (GStreamer where it must), cut, store.
//! The shard that feeds it never waits: [`HlsFeed`] is a bounded queue.

mod chain;
mod formats;
mod keyframes;
mod rtp;
mod supervisor;
mod track;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use crate::egress::hls::Library;
use crate::egress::hls::store::Recording;
use crate::stream::{Packet, StreamName, TrackId, TrackInfo};

/// What a branch aims at.
#[derive(Clone, Debug)]
pub struct HlsSettings {
    /// The length of a segment, where the publisher's keyframes allow it; at least a second.
    pub segment_target: Duration,
    /// The length of a part.
    pub part_target: Duration,
    /// How long a missing packet is waited for.
    pub reorder_patience: Duration,
}

impl Default for HlsSettings {
    fn default() -> Self {
        Self {
            segment_target: Duration::from_secs(2),
            part_target: Duration::from_millis(500),
            reorder_patience: Duration::from_millis(250),
        }
    }
}

/// Starts branches.
#[derive(Debug)]
pub struct HlsBranch;

impl HlsBranch {
    /// Starts the branch of a new publisher and returns at once; all else is done by a thread of its own.
    ///
    /// `keyframes` is called from that thread, at most twice a second, when the publisher should send
    /// a keyframe. A stream that HLS can't carry is marked so in the library, with the reason.
    pub fn start(
        settings: HlsSettings,
        stream: StreamName,
        tracks: Vec<TrackInfo>,
        library: &Library,
        keyframes: impl Fn(TrackId) + Send + Sync + 'static,
    ) -> HlsFeed {
        let unix = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let recording = EndOnDrop(library.record(&stream, unix.as_secs()));
        let (inputs, queue) = sync_channel(QUEUE);
        let shared = Arc::new(Shared::default());
        let wake = Wake {
            inputs: inputs.clone(),
            shared: Arc::clone(&shared),
        };
        let feed_shared = Arc::clone(&shared);
        let name = format!("hls-{stream}");
        let start = worker::Start {
            settings,
            stream,
            tracks,
            keyframes: Box::new(keyframes),
            wake,
        };
        let worker = std::thread::Builder::new()
            .name(name.chars().take(15).collect())
            .spawn(move || {
                worker::run(start, recording, &queue, &shared);
            });
        if let Err(error) = &worker {
            tracing::error!(%error, "no thread for HLS; raise the limit of threads");
        }
        HlsFeed {
            inputs,
            shared: feed_shared,
            worker: worker.ok(),
        }
    }
}

/// Where the shard puts the packets of a publisher. Dropping it ends the branch: the playlists end.
#[derive(Debug)]
pub struct HlsFeed {
    inputs: SyncSender<Input>,
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
}

impl HlsFeed {
    /// Gives a packet to the branch. Never blocks and allocates nothing; false when the queue was full and
    /// the packet is lost for HLS.
    pub fn push(&self, packet: &Arc<Packet>) -> bool {
        let taken = self
            .inputs
            .try_send(Input::Packet(Arc::clone(packet)))
            .is_ok();
        if !taken {
            self.shared.overflow.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Tells of a sender report of the publisher: its RTP timestamp and NTP time of the same instant.
    pub fn sender_report(&self, track: TrackId, rtp: u32, ntp: u64) {
        // The next report is as good, if the queue is full.
        let _ = self.inputs.try_send(Input::Report { track, rtp, ntp });
    }

    /// How many packets found the queue full.
    pub fn overflow(&self) -> u64 {
        self.shared.overflow.load(Ordering::Relaxed)
    }

    /// Ends the branch and waits until its last segment is stored: for shutdown and tests, not for a shard.
    pub fn finish(mut self) {
        let worker = self.worker.take();
        drop(self);
        if let Some(worker) = worker
            && worker.join().is_err()
        {
            tracing::error!("the HLS branch panicked");
        }
    }
}

impl Drop for HlsFeed {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        // A full queue wakes the worker as well.
        let _ = self.inputs.try_send(Input::Wake);
    }
}

/// Packets that wait for the worker at most: about a second of a heavy stream.
const QUEUE: usize = 2048;

#[derive(Debug)]
enum Input {
    Packet(Arc<Packet>),
    Report {
        track: TrackId,
        rtp: u32,
        ntp: u64,
    },
    /// Something else than a packet is to be looked at.
    Wake,
    #[cfg(test)]
    BreakDown,
}

#[derive(Debug, Default)]
struct Shared {
    /// The feed was dropped.
    ended: AtomicBool,
    overflow: AtomicU64,
    /// A wake-up is in the queue.
    woken: AtomicBool,
}

/// Wakes the worker from a thread of GStreamer, without waiting.
#[derive(Clone, Debug)]
struct Wake {
    inputs: SyncSender<Input>,
    shared: Arc<Shared>,
}

impl Wake {
    fn wake(&self) {
        if !self.shared.woken.swap(true, Ordering::AcqRel)
            && self.inputs.try_send(Input::Wake).is_err()
        {
            // The queue is full, so the worker is awake.
            self.shared.woken.store(false, Ordering::Release);
        }
    }
}

/// Ends the playlists however the worker ends.
#[derive(Debug)]
struct EndOnDrop(Recording);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end(std::time::Instant::now());
    }
}

#[cfg(test)]
mod tests;
