//! A source that sends all layers of its picture in one line of packets (SVC): spatial ones, each a larger
//! picture made of the one below, and temporal ones, each with pictures between those of the one below.
//!
//! The whole of it is layer 0 of the track. What is left of it without the highest layers is
//! given to viewers as layers of their own: for them each is a line of dense numbers like that of a
//! simulcast, so that nothing that follows a layer need know how it came about. It costs a copy of
//! the lesser layers' packets, once per stream and not once per viewer.
//!
//! First the higher spatial layers are left out, then the higher temporal ones of the lowest, so that each
//! lesser layer is part of all that are greater. Which layer a packet is of, VP9 tells in its payload
//! descriptor; of AV1, H264 and H265 the dependency descriptor does, where the sender has it. Pure.

mod account;
mod line;

use super::ladder::Figures;
use crate::rtp::{Codec, Extension, dependency_descriptor, vp9};
use crate::stream::{LayerId, LayerSet, Packet};

use account::Account;
use line::Line;

/// The spatial layers that are told apart. What is above is part of the whole alone.
const SPATIAL: usize = 4;

/// The temporal layers that are told apart; the highest has all that are above as well.
const TEMPORAL: usize = LayerId::MAX_LAYERS - SPATIAL + 1;
const ALL_TEMPORAL: u8 = TEMPORAL as u8 - 1;

/// So many pictures have one of each temporal layer: encoders repeat their pattern every eight at the latest.
const GROUP: u32 = 8;

/// The layers beside the whole.
const LESSER: usize = LayerId::MAX_LAYERS - 1;

/// The layers within the source of one track.
#[derive(Debug)]
pub(super) struct Scalable {
    codec: Codec,
    structure: Option<Box<dependency_descriptor::Structure>>,
    /// How many spatial layers the source has, 1 at least.
    spatial: u8,
    /// How many temporal layers, 1 at least.
    temporal: u8,
    /// What came since the last keyframe of VP9.
    group: Group,
    account: Account,
    /// By [`LayerId`], from 1 on.
    lines: [Line; LESSER],
    /// The copies that are to be made of the newest packet, by [`LayerId`], from 1 on.
    copies: [Option<Copy>; LESSER],
}

/// The pictures from one keyframe to the next.
#[derive(Clone, Copy, Debug, Default)]
struct Group {
    pictures: u32,
    /// How many temporal layers they have.
    temporal: u8,
}

/// The highest layers that are part of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extent {
    spatial: u8,
    temporal: u8,
}

/// A packet as a part of a lesser layer.
#[derive(Clone, Copy, Debug)]
struct Copy {
    sequence: u64,
    marker: bool,
    leads_to: LayerSet,
    /// It is of a higher layer after all, and fills the place that was kept for it.
    is_empty: bool,
}

/// Which part of a picture a packet is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Part {
    spatial: u8,
    temporal: u8,
    begins: bool,
    ends: bool,
    /// Who has had only lower temporal layers so far can go on with the higher ones behind the picture.
    is_switching_point: bool,
}

impl Extent {
    /// That of a lesser layer: one that is part of others has the higher number.
    fn of_lesser(layer: LayerId) -> Self {
        match usize::from(layer.0).checked_sub(SPATIAL) {
            None => Self {
                spatial: (SPATIAL - 1) as u8 - layer.0,
                temporal: ALL_TEMPORAL,
            },
            Some(below) => Self {
                spatial: 0,
                temporal: ALL_TEMPORAL - 1 - below as u8,
            },
        }
    }

    fn has(self, part: Part) -> bool {
        part.spatial <= self.spatial && part.temporal.min(ALL_TEMPORAL) <= self.temporal
    }
}

impl Scalable {
    /// None where packets of the codec don't tell their layer.
    pub(super) fn new(codec: Codec) -> Option<Box<Self>> {
        // Players of VP8 count pictures, so that none may be missing.
        let is_told = matches!(codec, Codec::Vp9 | Codec::Av1 | Codec::H264 | Codec::H265);
        is_told.then(|| {
            Box::new(Self {
                codec,
                structure: None,
                spatial: 1,
                temporal: 1,
                group: Group::default(),
                account: Account::default(),
                lines: Default::default(),
                copies: [None; LESSER],
            })
        })
    }

    /// Whether there is more than one layer.
    pub(super) fn has_layers(&self) -> bool {
        self.spatial > 1 || self.temporal > 1
    }

    /// The layers beside the whole.
    pub(super) fn lesser(&self) -> impl Iterator<Item = LayerId> + use<> {
        let (spatial, temporal) = (self.spatial, self.temporal);
        (1..=LESSER as u8).map(LayerId).filter(move |layer| {
            let extent = Extent::of_lesser(*layer);
            match extent.temporal {
                ALL_TEMPORAL => extent.spatial + 1 < spatial,
                below => below + 1 < temporal,
            }
        })
    }

    /// Whether there is such a layer. The whole always is.
    pub(super) fn has(&self, layer: LayerId) -> bool {
        layer.0 == 0 || self.lesser().any(|lesser| lesser == layer)
    }

    fn extent(&self, layer: LayerId) -> Extent {
        match layer.0 {
            0 => Extent {
                spatial: self.account.highest(self.spatial),
                temporal: ALL_TEMPORAL,
            },
            _ => Extent::of_lesser(layer),
        }
    }

    /// The spatial layer that a layer of the track ends with; none where there is but one.
    pub(super) fn spatial_of(&self, layer: LayerId) -> Option<u8> {
        let is_told = self.spatial > 1 && self.has(layer);
        is_told.then(|| self.extent(layer).spatial)
    }

    /// The temporal layer that a layer of the track ends with; none where there is but one.
    pub(super) fn temporal_of(&self, layer: LayerId) -> Option<u8> {
        let is_told = self.temporal > 1 && self.has(layer);
        let highest = self.temporal - 1;
        is_told.then(|| match self.extent(layer).temporal {
            ALL_TEMPORAL => highest,
            below => below,
        })
    }

    /// Whether players can put the layer together only with the dependency descriptor: VP9 says in its own payload what
    /// is part of a picture.
    pub(super) fn needs_descriptor(&self, layer: LayerId) -> bool {
        self.codec == Codec::Av1 && self.spatial_of(layer) > Some(0)
    }

    /// Takes a packet of the source that is ready to leave but for [`Packet::leads_to`], which it sets. Copies of
    /// it are to be fetched by [`Self::poll_copy`].
    pub(super) fn handle_packet(&mut self, packet: &mut Packet) {
        packet.leads_to = LayerSet::NONE;
        self.copies = [None; LESSER];
        let part = self.read(packet);
        if !self.has_layers() {
            return;
        }
        // What says nothing of its layer may be needed by all; what is empty is needed by nobody.
        let part = part.unwrap_or_default();
        self.account.count(packet, part);
        packet.leads_to = self.leads_to(LayerId(0), packet, part);
        for layer in self.lesser() {
            let extent = Extent::of_lesser(layer);
            let is_part = extent.has(part) && !packet.payload.is_empty();
            let index = usize::from(layer.0) - 1;
            let placed = self.lines[index].place(packet.sequence, is_part);
            self.copies[index] = placed.map(|sequence| Copy {
                sequence,
                marker: packet.marker || (part.ends && part.spatial == extent.spatial),
                leads_to: match is_part {
                    true => self.leads_to(layer, packet, part),
                    false => LayerSet::NONE,
                },
                is_empty: !is_part,
            });
        }
    }

    /// See [`Packet::leads_to`], of the packet as a part of `layer`.
    fn leads_to(&self, layer: LayerId, packet: &Packet, part: Part) -> LayerSet {
        if !part.begins || part.spatial > 0 {
            return LayerSet::NONE;
        }
        // Who has got a layer has got all lesser ones; to get more pictures, it must be a picture that those do without
        // what was before it.
        let goes_up = part.is_switching_point || packet.keyframe;
        // Of the whole it counts what the source has, and not what comes just now.
        let extent = |layer: LayerId| match layer.0 {
            0 => Extent {
                spatial: self.spatial - 1,
                temporal: ALL_TEMPORAL,
            },
            _ => Extent::of_lesser(layer),
        };
        let others = self.lesser().chain([LayerId(0)]);
        let led_to = others.filter(|other| {
            let is_lesser = *other >= layer;
            let has_size = extent(*other).spatial == extent(layer).spatial;
            (is_lesser || goes_up && has_size) && extent(*other).has(part)
        });
        led_to.collect()
    }

    /// Fills `copy` with the newest packet as a part of a lesser layer; false when there are no more of those.
    pub(super) fn poll_copy(&mut self, packet: &Packet, copy: &mut Packet) -> bool {
        let mut copies = (1..).map(LayerId).zip(&mut self.copies);
        let Some((layer, part)) = copies.find_map(|(layer, copy)| Some((layer, copy.take()?)))
        else {
            return false;
        };
        copy.copy_from(packet);
        copy.layer = layer;
        copy.sequence = part.sequence;
        copy.marker = part.marker;
        copy.leads_to = part.leads_to;
        if part.is_empty {
            copy.payload.clear();
            copy.extensions.clear();
            copy.picture = None;
        }
        true
    }

    /// Whether [`Self::poll_copy`] has something to give.
    pub(super) fn has_copies(&self) -> bool {
        self.copies.iter().any(Option::is_some)
    }

    /// What came of a layer of the track so far.
    pub(super) fn figures(&self, layer: LayerId) -> Figures {
        match self.has(layer) {
            true if layer.0 == 0 => Figures {
                // Bytes only grow, whatever pauses.
                bytes: self.account.bytes(),
                ..self.account.figures(self.extent(layer))
            },
            true => self.account.figures(self.extent(layer)),
            false => Figures::default(),
        }
    }

    fn read(&mut self, packet: &Packet) -> Option<Part> {
        match self.codec {
            Codec::Vp9 => self.read_vp9(&packet.payload),
            _ => self.read_descriptor(packet),
        }
    }

    fn read_vp9(&mut self, payload: &[u8]) -> Option<Part> {
        let read = vp9::Descriptor::read(payload)?;
        let (spatial, temporal) = read.layer.unwrap_or((0, 0));
        if let Some(structure) = read.structure {
            self.spatial = structure.layers;
            let sizes = (0..structure.layers).map(|spatial| structure.size(spatial));
            self.account.set_sizes(sizes);
        }
        if read.begins_keyframe() && spatial == 0 {
            self.begin_group();
        }
        self.group.pictures += u32::from(read.begins_frame && spatial == 0);
        self.group.temporal = self.group.temporal.max(temporal + 1);
        self.spatial = self.spatial.max(spatial + 1);
        self.temporal = self.temporal.max(temporal + 1);
        Some(Part {
            spatial,
            temporal,
            begins: read.begins_frame,
            ends: read.ends_frame,
            is_switching_point: read.is_switching_point,
        })
    }

    /// A keyframe of VP9, which says nothing of temporal layers: there are those that came since the one before, if that
    /// was long enough ago to have them all.
    fn begin_group(&mut self) {
        let group = std::mem::take(&mut self.group);
        if group.pictures >= GROUP {
            self.temporal = group.temporal;
        }
    }

    fn read_descriptor(&mut self, packet: &Packet) -> Option<Part> {
        let (_, value) = packet
            .extensions
            .iter()
            .find(|(extension, _)| *extension == Extension::DependencyDescriptor)?;
        let read =
            dependency_descriptor::Descriptor::read(value, self.structure.as_deref()).ok()?;
        if let Some(structure) = read.structure {
            self.spatial = structure.spatial_layers();
            self.temporal = structure.temporal_layers();
            let sizes = (0..self.spatial).map(|spatial| structure.resolution(spatial));
            let sizes = sizes.map(|size| {
                let most = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
                size.map(|(width, height)| (most(width), most(height)))
            });
            self.account.set_sizes(sizes);
            self.structure = Some(structure);
        }
        let structure = self.structure.as_deref()?;
        Some(Part {
            spatial: read.frame.spatial,
            temporal: read.frame.temporal,
            begins: read.starts_frame,
            ends: read.ends_frame,
            is_switching_point: read.starts_frame && structure.is_switching_point(&read.frame),
        })
    }
}

#[cfg(test)]
mod tests;
