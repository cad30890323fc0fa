//! What a branch costs.

use crate::egress::hls::store::Figures;
use crate::media::cpu::{self, CpuTime};

use super::ladder::Ladder;

/// The CPU time of the pipelines of a branch, by what they do.
#[derive(Debug, Default)]
pub(super) struct Cpu {
    /// What the publisher sends into samples.
    pub(super) segments: CpuTime,
    pub(super) aac: CpuTime,
    pub(super) ladder: CpuTime,
}

impl Cpu {
    /// All that is known of the branch now, for the thread of its worker to say.
    pub(super) fn figures(&self, ladder: Option<&Ladder>) -> Figures {
        Figures {
            segments: self.segments.total() + cpu::of_this_thread(),
            aac: self.aac.total(),
            ladder: self.ladder.total(),
            rungs: ladder.map_or(0, Ladder::running),
            ladder_pictures: ladder.map_or(0, Ladder::pictures),
            ladder_waiting: ladder.map_or(0, Ladder::waiting),
            ladder_failures: ladder.map_or(0, Ladder::failures),
        }
    }
}
