//! A source that sends all spatial layers of its picture in one line of packets (SVC).
//!
//! The whole of it is layer 0 of the track. What is left of it without the highest spatial layers is
//! given to viewers as layers of their own: for them each is a line of dense numbers like that of a
//! simulcast, so that nothing that follows a layer need know how it came about. It costs a copy of
//! the lesser layers' packets, once per stream and not once per viewer.
//!
//! Which layer a packet is of, VP9 tells in its payload descriptor and AV1 in the dependency
//! descriptor. Pure.

mod line;

use std::time::Instant;

use super::ladder::Figures;
use crate::rtp::{Codec, Extension, dependency_descriptor, vp9};
use crate::stream::{LayerId, Packet};

use line::Line;

/// The spatial layers that are told apart. What is above is part of the whole alone.
const SPATIAL: usize = LayerId::MAX_LAYERS;

/// The layers within the source of one track.
#[derive(Debug)]
pub(super) struct Scalable {
    codec: Codec,
    structure: Option<Box<dependency_descriptor::Structure>>,
    /// How many spatial layers the source has: 1 for one that is not scalable.
    layers: u8,
    /// By spatial layer.
    spatial: [Spatial; SPATIAL],
    /// What is left without the layers above; by spatial layer, the highest is the whole itself.
    lines: [Line; SPATIAL - 1],
    /// The copies that are to be made of the newest packet.
    copies: [Option<Copy>; SPATIAL - 1],
}

/// What came of one spatial layer.
#[derive(Clone, Copy, Debug, Default)]
struct Spatial {
    bytes: u64,
    packets: u64,
    frames: u64,
    heard: Option<Instant>,
    size: Option<(u16, u16)>,
}

/// A packet as a part of a lesser layer.
#[derive(Clone, Copy, Debug)]
struct Copy {
    sequence: u64,
    marker: bool,
    /// It is of a higher layer after all, and fills the place that was kept for it.
    is_empty: bool,
}

/// Which part of a picture a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    spatial: u8,
    begins: bool,
    ends: bool,
}

impl Scalable {
    /// None where packets of the codec don't tell their layer.
    pub(super) fn new(codec: Codec) -> Option<Box<Self>> {
        matches!(codec, Codec::Vp9 | Codec::Av1).then(|| {
            Box::new(Self {
                codec,
                structure: None,
                layers: 1,
                spatial: [Spatial::default(); SPATIAL],
                lines: Default::default(),
                copies: [None; SPATIAL - 1],
            })
        })
    }

    /// How many spatial layers are told apart.
    pub(super) fn layers(&self) -> usize {
        usize::from(self.layers).min(SPATIAL)
    }

    /// The layers beside the whole.
    pub(super) fn lesser(&self) -> impl Iterator<Item = LayerId> + use<> {
        (0..self.layers() - 1).rev().map(id)
    }

    /// The spatial layer that a layer of the track ends with; none for one that there is not.
    pub(super) fn spatial_of(&self, layer: LayerId) -> Option<u8> {
        let highest = (0..self.layers()).rev();
        match layer.0 {
            0 => highest
                .map(|spatial| spatial as u8)
                .find(|spatial| self.is_fresh(*spatial)),
            _ => highest
                .skip(1)
                .find(|spatial| id(*spatial) == layer)
                .map(|spatial| spatial as u8),
        }
    }

    /// Whether players can put the layer together only with the dependency descriptor: VP9 says in its own payload what
    /// is part of a picture.
    pub(super) fn needs_descriptor(&self, layer: LayerId) -> bool {
        self.codec == Codec::Av1 && self.spatial_of(layer) > Some(0)
    }

    /// Takes a packet of the source that is ready to leave but for [`Packet::unit_start`], which it sets. Copies of
    /// it are to be fetched by [`Self::poll_copy`].
    pub(super) fn handle_packet(&mut self, packet: &mut Packet) {
        packet.unit_start = false;
        self.copies = [None; SPATIAL - 1];
        let part = self.read(packet);
        if self.layers == 1 {
            return;
        }
        // What says nothing of its layer may be needed by all; what is empty is needed by nobody.
        let part = part.unwrap_or(Part {
            spatial: 0,
            begins: false,
            ends: false,
        });
        packet.unit_start = part.begins && part.spatial == 0;
        if let Some(spatial) = self.spatial.get_mut(usize::from(part.spatial)) {
            spatial.bytes += packet.payload.len() as u64;
            spatial.packets += 1;
            spatial.frames += u64::from(part.ends);
            spatial.heard = Some(packet.received);
        }
        let lines = self.lines.iter_mut().zip(&mut self.copies).zip(0..);
        for ((line, copy), highest) in lines.take(usize::from(self.layers) - 1) {
            let is_part = part.spatial <= highest && !packet.payload.is_empty();
            *copy = line.place(packet.sequence, is_part).map(|sequence| Copy {
                sequence,
                marker: packet.marker || (part.ends && part.spatial == highest),
                is_empty: !is_part,
            });
        }
    }

    /// Fills `copy` with the newest packet as a part of a lesser layer; false when there are no more of those.
    pub(super) fn poll_copy(&mut self, packet: &Packet, copy: &mut Packet) -> bool {
        let next = self.copies.iter_mut().enumerate().rev();
        let Some((highest, part)) = next
            .filter_map(|(highest, copy)| Some((highest, copy.take()?)))
            .next()
        else {
            return false;
        };
        copy.copy_from(packet);
        copy.layer = id(highest);
        copy.sequence = part.sequence;
        copy.marker = part.marker;
        if part.is_empty {
            copy.payload.clear();
            copy.extensions.clear();
            copy.picture = None;
            copy.unit_start = false;
        }
        true
    }

    /// Whether [`Self::poll_copy`] has something to give.
    pub(super) fn has_copies(&self) -> bool {
        self.copies.iter().any(Option::is_some)
    }

    /// What came of a layer of the track so far.
    pub(super) fn figures(&self, layer: LayerId) -> Figures {
        let Some(highest) = self.spatial_of(layer) else {
            return Figures::default();
        };
        let parts = &self.spatial[..=usize::from(highest)];
        let own = parts[usize::from(highest)];
        Figures {
            packets: own.packets,
            frames: own.frames,
            bytes: parts.iter().map(|part| part.bytes).sum(),
            size: own.size,
            heard: own.heard,
        }
    }

    /// Whether a spatial layer came as lately as any other.
    fn is_fresh(&self, spatial: u8) -> bool {
        let newest = self.spatial.iter().filter_map(|part| part.heard).max();
        let own = self.spatial[usize::from(spatial)].heard;
        own.zip(newest)
            .is_some_and(|(own, newest)| own + super::ladder::PAUSE >= newest)
    }

    fn read(&mut self, packet: &Packet) -> Option<Part> {
        match self.codec {
            Codec::Vp9 => self.read_vp9(&packet.payload),
            _ => self.read_descriptor(packet),
        }
    }

    fn read_vp9(&mut self, payload: &[u8]) -> Option<Part> {
        let read = vp9::Descriptor::read(payload)?;
        let (spatial, _) = read.layer.unwrap_or((0, 0));
        if let Some(structure) = read.structure {
            self.layers = structure.layers;
            for (spatial, part) in (0..structure.layers).zip(&mut self.spatial) {
                part.size = structure.size(spatial).or(part.size);
            }
        }
        self.layers = self.layers.max(spatial + 1);
        Some(Part {
            spatial,
            begins: read.begins_frame,
            ends: read.ends_frame,
        })
    }

    fn read_descriptor(&mut self, packet: &Packet) -> Option<Part> {
        let (_, value) = packet
            .extensions
            .iter()
            .find(|(extension, _)| *extension == Extension::DependencyDescriptor)?;
        let read =
            dependency_descriptor::Descriptor::read(value, self.structure.as_deref()).ok()?;
        if let Some(structure) = read.structure {
            self.layers = structure.spatial_layers();
            for (spatial, part) in (0..self.layers).zip(&mut self.spatial) {
                let size = structure.resolution(spatial);
                let size = size.map(|(width, height)| {
                    let most = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
                    (most(width), most(height))
                });
                part.size = size.or(part.size);
            }
            self.structure = Some(structure);
        }
        Some(Part {
            spatial: read.frame.spatial,
            begins: read.starts_frame,
            ends: read.ends_frame,
        })
    }
}

/// The layer of the track that ends with a spatial layer, where that is not the highest one: a layer with a
/// smaller picture has the higher number.
fn id(spatial: usize) -> LayerId {
    LayerId((SPATIAL - 1 - spatial) as u8)
}

#[cfg(test)]
mod tests;
