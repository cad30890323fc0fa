//! What a viewer can show: a frame when all of it has come, after the one before it or from a keyframe on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::viewer::Got;

/// So long a keyframe that is complete waits for what is missing before it, as a player's buffer lets it.
const PATIENCE: Duration = Duration::from_millis(400);

/// A decoder that refers back to the frame before, as those of live broadcasts do.
pub(super) struct Decoder {
    /// The first packet of the frame that it can take; none before the first keyframe.
    next: Option<u64>,
    /// First packets of keyframes that were not shown yet, and when they came.
    keyframes: Vec<(u64, Instant)>,
    /// The last packet of each frame, by what it holds, and when the frame could be shown.
    pub(super) shown: BTreeMap<u32, Instant>,
    waits_since: Instant,
}

impl Decoder {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            next: None,
            keyframes: Vec::new(),
            shown: BTreeMap::new(),
            waits_since: now,
        }
    }

    pub(super) fn next(&self) -> Option<u64> {
        self.next
    }

    /// Since when it has had nothing to show, or was told to wait on.
    pub(super) fn waits_since(&self) -> Instant {
        self.waits_since
    }

    pub(super) fn wait(&mut self, now: Instant) {
        self.waits_since = now;
    }

    /// A packet has come: shows what can be shown by now.
    pub(super) fn advance(&mut self, now: Instant, packets: &BTreeMap<u64, Got>, arrived: u64) {
        if self.next.is_some_and(|next| arrived < next) {
            return;
        }
        if packets[&arrived].keyframe {
            self.keyframes.push((arrived, now));
        }
        loop {
            let next = self.next.and_then(|next| Self::frame(next, packets));
            let is_first = self.next.is_none();
            let from_keyframe = || {
                let due = |came: Instant| is_first || came + PATIENCE <= now;
                let mut keyframes = self.keyframes.iter().filter(|(_, came)| due(*came));
                keyframes.find_map(|(first, _)| Self::frame(*first, packets))
            };
            let Some((last, id)) = next.or_else(from_keyframe) else {
                return;
            };
            self.next = Some(last + 1);
            self.keyframes.retain(|(first, _)| *first > last);
            self.shown.insert(id, now);
            self.waits_since = now;
        }
    }

    /// The last packet of the frame that begins with packet `first`, and what it holds, if all of it has come.
    fn frame(first: u64, packets: &BTreeMap<u64, Got>) -> Option<(u64, u32)> {
        (first..)
            .map_while(|number| Some((number, packets.get(&number)?)))
            .find(|(_, got)| got.marker)
            .map(|(last, got)| (last, got.id))
    }
}
