//! The last ten seconds of a layer, one by one.

use std::time::{Duration, Instant};

use super::pictures::Ring;
use super::report::Defect;

const SECONDS: usize = 10;
/// More of the packets lost than this is too much.
const LOSS: f32 = 0.01;
/// Frame rates below this share of the highest of late are a swing.
const FRAME_RATE: f32 = 0.6;
/// Fewer frames a second than this are pictures one by one, whose rate is their own affair.
const MIN_FRAME_RATE: f32 = 10.0;
/// Bitrates so many times the lowest of late are a swing.
const BITRATE: u64 = 4;
/// Below this nobody's link is in the way, in bit/s.
const MIN_BITRATE: u64 = 300_000;

/// What only grows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) packets: u64,
    pub(super) frames: u64,
    pub(super) bytes: u64,
    /// Of keyframes.
    pub(super) keyframe_bytes: u64,
    pub(super) recovered: u64,
    pub(super) lost: u64,
    pub(super) restarts: u64,
}

/// The growth within one second, or however long it was.
#[derive(Clone, Copy, Debug)]
struct Second {
    took: Duration,
    grown: Counts,
}

#[derive(Debug)]
pub(super) struct Rates {
    before: Counts,
    at: Option<Instant>,
    seconds: Ring<Second, SECONDS>,
}

impl Rates {
    pub(super) fn new() -> Self {
        Self {
            before: Counts::default(),
            at: None,
            seconds: Ring::default(),
        }
    }

    /// To be called about once a second, with the counts of this time.
    pub(super) fn mark(&mut self, now: Instant, counts: Counts) {
        let before = std::mem::replace(&mut self.before, counts);
        let Some(at) = self.at.replace(now) else {
            return; // how long it took is not known
        };
        let grown = Counts {
            packets: counts.packets - before.packets,
            frames: counts.frames - before.frames,
            bytes: counts.bytes - before.bytes,
            keyframe_bytes: counts.keyframe_bytes - before.keyframe_bytes,
            recovered: counts.recovered - before.recovered,
            lost: counts.lost - before.lost,
            restarts: counts.restarts - before.restarts,
        };
        let took = now.saturating_duration_since(at);
        // One that began anew, or was silent, says nothing of what was before.
        if grown.restarts > 0 || grown.packets == 0 || took > 2 * super::INTERVAL {
            self.seconds.clear();
        } else if !took.is_zero() {
            self.seconds.push(Second { took, grown });
        }
    }

    /// Of the last second, in bit/s.
    pub(super) fn bitrate(&self) -> u64 {
        self.seconds
            .newest()
            .map_or(0, |second| second.bitrate(second.grown.bytes))
    }

    /// Of the last second.
    pub(super) fn frame_rate(&self) -> f32 {
        self.seconds.newest().map_or(0.0, Second::frame_rate)
    }

    /// The share of packets that did not come by themselves, and of those that never came.
    pub(super) fn loss(&self) -> (f32, f32) {
        let sum = |of: fn(&Counts) -> u64| {
            self.seconds
                .iter()
                .map(|second| of(&second.grown))
                .sum::<u64>() as f32
        };
        let (packets, lost) = (sum(|counts| counts.packets), sum(|counts| counts.lost));
        let recovered = sum(|counts| counts.recovered);
        let sent = (packets + lost).max(1.0);
        ((recovered + lost) / sent, lost / sent)
    }

    /// What is wrong with them. Only a whole ten seconds say how steady something is.
    pub(super) fn judge(&self, is_video: bool, found: &mut Vec<Defect>) {
        let (share, beyond_repair) = self.loss();
        if share > LOSS {
            found.push(Defect::Loss {
                share,
                beyond_repair,
            });
        }
        if !is_video || !self.seconds.is_full() {
            return;
        }
        let rates = || self.seconds.iter().map(Second::frame_rate);
        let (lowest, highest) = (
            rates().fold(f32::MAX, f32::min),
            rates().fold(0.0, f32::max),
        );
        if highest >= MIN_FRAME_RATE && lowest < FRAME_RATE * highest {
            found.push(Defect::FrameRateSwings { lowest, highest });
        }
        let rates = || {
            self.seconds
                .iter()
                .map(|second| second.bitrate(second.grown.bytes - second.grown.keyframe_bytes))
        };
        let (lowest, highest) = (rates().min().unwrap_or(0), rates().max().unwrap_or(0));
        if highest >= MIN_BITRATE && highest > BITRATE * lowest {
            found.push(Defect::BitrateSwings { lowest, highest });
        }
    }
}

impl Second {
    fn bitrate(&self, bytes: u64) -> u64 {
        let micros = self.took.as_micros().max(1) as u64;
        bytes * 8_000_000 / micros
    }

    fn frame_rate(&self) -> f32 {
        self.grown.frames as f32 / self.took.as_secs_f32()
    }
}
