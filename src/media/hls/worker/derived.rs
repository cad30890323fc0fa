//! What is made of the publisher's media beside it: AAC, the rungs of a ladder, and what all of that costs.

use std::time::{Duration, Instant};

use super::Worker;
use crate::egress::hls::RenditionId;
use crate::media::hls::ladder::Ladder;

impl Worker {
    /// Makes AAC while somebody asks for it.
    pub(super) fn handle_demand(&mut self, now: Instant) {
        let Some(aac) = &mut self.aac else {
            return;
        };
        let is_wanted = self.assembly.is_wanted(RenditionId::Aac, now);
        if aac.handle_demand(is_wanted, now) {
            self.assembly.leave(RenditionId::Aac);
            self.fed = true;
        }
    }

    pub(super) fn handle_aac(&mut self, now: Instant) {
        let Some(aac) = &mut self.aac else {
            return;
        };
        if aac.handle_pipeline(now, &mut self.samples) {
            self.assembly.leave(RenditionId::Aac);
        }
        self.fed |= !self.samples.is_empty();
        self.assembly
            .take(&self.tracks, RenditionId::Aac, &mut self.samples);
    }

    /// Takes what the rungs have made.
    pub(super) fn handle_ladder(&mut self, now: Instant) {
        let Some(ladder) = &mut self.ladder else {
            return;
        };
        let mut failed = ladder.handle_timeout(now);
        for rendition in ladder.renditions() {
            failed |= ladder.poll_samples(rendition, &mut self.samples, now);
            self.fed |= !self.samples.is_empty();
            self.assembly
                .take(&self.tracks, rendition, &mut self.samples);
        }
        if failed {
            self.leave_rungs();
        }
    }

    /// Nothing comes of the rungs for now.
    pub(super) fn leave_rungs(&mut self) {
        let renditions = self.ladder.iter().flat_map(Ladder::renditions);
        renditions.for_each(|rendition| self.assembly.leave(rendition));
        self.fed = true;
    }

    /// Tells what the branch costs, from time to time.
    pub(super) fn tell_figures(&mut self, now: Instant) {
        if now >= self.next_figures {
            self.next_figures = now + FIGURES;
            let figures = self.cpu.figures(self.ladder.as_ref());
            self.assembly.set_figures(figures);
        }
    }

    /// What is still in the encoders at the end.
    pub(super) fn finish_derived(&mut self, now: Instant) {
        if let Some(aac) = &mut self.aac {
            self.samples = aac.finish(now);
            self.assembly.withdraw(aac);
            self.assembly
                .take(&self.tracks, RenditionId::Aac, &mut self.samples);
        }
        if let Some(mut ladder) = self.ladder.take() {
            ladder.finish(|rendition, mut samples| {
                self.assembly.take(&self.tracks, rendition, &mut samples);
            });
        }
    }
}

/// How often the figures are told: each thread of a pipeline costs a file to read.
const FIGURES: Duration = Duration::from_secs(5);
