//! What the renditions of a stream take.

use super::shelf::{Shelf, Stored};
use crate::egress::hls::playlist::Bits;

/// What a rendition takes.
#[derive(Debug)]
pub(super) struct Rates {
    pub(super) all: Bits,
    /// The keyframes alone, when there are any.
    pub(super) iframes: Option<Bits>,
    /// Samples a second.
    pub(super) pictures: f64,
}

#[derive(Default)]
struct Sum {
    bits: f64,
    seconds: f64,
    peak: f64,
}

impl Sum {
    fn add(&mut self, bytes: usize, seconds: f64) {
        let bits = bytes as f64 * 8.0;
        self.bits += bits;
        self.seconds += seconds;
        self.peak = self.peak.max(bits / seconds.max(0.001));
    }

    fn bits(&self) -> Bits {
        Bits {
            peak: self.peak.ceil() as u64,
            average: (self.bits / self.seconds.max(0.001)).ceil() as u64,
        }
    }
}

impl Shelf {
    /// What the segments take that have the newest one's format.
    pub(super) fn rates(&self, window: usize) -> Rates {
        let newest = self.segments.back().map(|last| last.init_number);
        let run = self.run(window);
        Self::rates_of(run.filter(|segment| Some(segment.init_number) == newest))
    }

    /// What these segments take; an open one counts where there is no whole one.
    pub(super) fn rates_of<'a>(segments: impl Iterator<Item = &'a Stored> + Clone) -> Rates {
        let any = segments.clone().any(|segment| segment.complete);
        let same = segments.filter(|segment| segment.complete || !any);
        let (mut all, mut iframes, mut samples) = (Sum::default(), Sum::default(), 0.0);
        for segment in same {
            let length = segment.duration.as_secs_f64();
            samples += segment.samples as f64;
            all.add(segment.bytes, length);
            if let Some(bytes) = segment.keyframe {
                iframes.add(bytes, length);
            }
        }
        Rates {
            pictures: samples / all.seconds.max(0.001),
            iframes: (iframes.seconds > 0.0).then(|| iframes.bits()),
            all: all.bits(),
        }
    }
}
