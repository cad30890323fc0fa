//! What waits for the worker of a branch, and the bell that wakes it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;

use super::{Layers, Line};
use crate::stream::{Packet, TrackId};

/// Packets that wait for the worker at most: about a second of a heavy stream.
const QUEUE: usize = 2048;
/// With so many the worker is woken whatever they are.
pub(super) const MANY: usize = QUEUE / 4;

/// Something for the worker.
#[derive(Debug)]
pub(super) enum Input {
    Packet(Line, Arc<Packet>),
    /// A sender report: RTP timestamp and NTP time of one instant.
    Report {
        track: TrackId,
        line: Line,
        rtp: u32,
        ntp: u64,
    },
    /// The picture has layers, whether more than one of them come or not.
    Layered(Layers),
    #[cfg(test)]
    BreakDown(Broken),
    /// Asks what a test wants to know of the branch.
    #[cfg(test)]
    Ask(std::sync::mpsc::Sender<crate::egress::hls::store::Figures>),
}

/// What a test breaks.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(super) enum Broken {
    Track(Line),
    Ladder,
}

/// What the feed, the worker and the pipelines share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) inputs: ArrayQueue<Input>,
    /// The feed was dropped.
    pub(super) ended: AtomicBool,
    pub(super) overflow: AtomicU64,
    /// A pipeline has something to say.
    pipeline: AtomicBool,
    /// The worker is to look.
    rung: AtomicBool,
    worker: OnceLock<Thread>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            inputs: ArrayQueue::new(QUEUE),
            ended: AtomicBool::new(false),
            overflow: AtomicU64::new(0),
            pipeline: AtomicBool::new(false),
            rung: AtomicBool::new(false),
            worker: OnceLock::new(),
        }
    }
}

impl Shared {
    /// Wakes the worker. Never waits.
    pub(super) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel)
            && let Some(worker) = self.worker.get()
        {
            worker.unpark();
        }
    }

    /// Waits until the bell rings, for at most `timeout`; for the worker alone.
    pub(super) fn wait(&self, timeout: Duration) {
        self.worker.get_or_init(std::thread::current);
        // Who rings after this swap leaves a token, so that parking returns at once.
        if !self.rung.swap(false, Ordering::AcqRel) {
            std::thread::park_timeout(timeout);
            self.rung.store(false, Ordering::Release);
        }
    }

    /// Whether a pipeline has something to say since the last call.
    pub(super) fn take_pipeline(&self) -> bool {
        self.pipeline.swap(false, Ordering::AcqRel)
    }
}

/// Wakes the worker from a thread of GStreamer, without waiting.
#[derive(Clone, Debug, Default)]
pub(super) struct Wake(pub(super) Arc<Shared>);

impl Wake {
    pub(super) fn wake(&self) {
        self.0.pipeline.store(true, Ordering::Release);
        self.0.ring();
    }
}
