//! What came of the layers of a scalable source.

use std::time::Instant;

use super::super::ladder::{Figures, PAUSE};
use super::{ALL_TEMPORAL, Extent, Part, SPATIAL, TEMPORAL};
use crate::stream::Packet;

/// The counts of each layer.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// By spatial layer.
    spatial: [Count; SPATIAL],
    /// Of the lowest spatial layer, by temporal layer.
    temporal: [Count; TEMPORAL],
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    bytes: u64,
    packets: u64,
    frames: u64,
    heard: Option<Instant>,
    size: Option<(u16, u16)>,
}

impl Count {
    fn add(&mut self, packet: &Packet, ends: bool) {
        self.bytes += packet.payload.len() as u64;
        self.packets += 1;
        self.frames += u64::from(ends);
        self.heard = Some(packet.received);
    }
}

impl Account {
    pub(super) fn count(&mut self, packet: &Packet, part: Part) {
        if let Some(count) = self.spatial.get_mut(usize::from(part.spatial)) {
            count.add(packet, part.ends);
        }
        if part.spatial == 0 {
            let temporal = part.temporal.min(ALL_TEMPORAL);
            self.temporal[usize::from(temporal)].add(packet, part.ends);
        }
    }

    /// The sizes of the pictures, from the lowest spatial layer on; one that is not told stays as it was.
    pub(super) fn set_sizes(&mut self, sizes: impl Iterator<Item = Option<(u16, u16)>>) {
        for (count, size) in self.spatial.iter_mut().zip(sizes) {
            count.size = size.or(count.size);
        }
    }

    /// The highest of so many spatial layers that comes as lately as any other.
    pub(super) fn highest(&self, layers: u8) -> u8 {
        let newest = self.spatial.iter().filter_map(|count| count.heard).max();
        let is_fresh = |count: &Count| {
            let heard = count.heard.zip(newest);
            heard.is_some_and(|(heard, newest)| heard + PAUSE >= newest)
        };
        let layers = usize::from(layers).min(SPATIAL);
        self.spatial[..layers]
            .iter()
            .rposition(is_fresh)
            .unwrap_or(0) as u8
    }

    /// What came of all layers.
    pub(super) fn bytes(&self) -> u64 {
        self.spatial.iter().map(|count| count.bytes).sum()
    }

    /// What came of a layer.
    pub(super) fn figures(&self, extent: Extent) -> Figures {
        let own = &self.spatial[usize::from(extent.spatial)];
        let parts = match extent.temporal {
            ALL_TEMPORAL => &self.spatial[..=usize::from(extent.spatial)],
            temporal => &self.temporal[..=usize::from(temporal)],
        };
        // Pictures of all spatial layers are the same, those of temporal layers are others.
        let counted = match extent.temporal {
            ALL_TEMPORAL => std::slice::from_ref(own),
            _ => parts,
        };
        Figures {
            packets: counted.iter().map(|count| count.packets).sum(),
            frames: counted.iter().map(|count| count.frames).sum(),
            bytes: parts.iter().map(|count| count.bytes).sum(),
            size: own.size,
            heard: counted.iter().filter_map(|count| count.heard).max(),
        }
    }
}
