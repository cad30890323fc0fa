//! Which of the spatial layers of AV1 come, and how large the picture is. The sequence header tells of the greatest alone,
//! whether it comes or not; the dependency descriptor of a keyframe tells of all.

use crate::rtp::Extension;
use crate::rtp::dependency_descriptor::{Descriptor, Structure};
use crate::stream::Packet;

/// Follows the keyframes of a line of packets.
#[derive(Debug, Default)]
pub(super) struct SpatialLayers {
    structure: Option<Box<Structure>>,
    /// The highest spatial layer of the newest keyframe.
    highest: u8,
    /// The newest packet is of a keyframe.
    in_keyframe: bool,
}

impl SpatialLayers {
    /// Takes a packet in order. Reads nothing but those of keyframes.
    pub(super) fn handle_packet(&mut self, packet: &Packet) {
        if packet.keyframe {
            *self = Self {
                in_keyframe: true,
                ..Self::default()
            };
        }
        if !self.in_keyframe {
            return;
        }
        self.in_keyframe = !packet.marker;
        let mut values = packet.extensions.iter();
        let descriptor = values.find(|(kind, _)| *kind == Extension::DependencyDescriptor);
        let read = descriptor
            .and_then(|(_, value)| Descriptor::read(value, self.structure.as_deref()).ok());
        if let Some(read) = read {
            self.highest = self.highest.max(read.frame.spatial);
            self.structure = read.structure.or(self.structure.take());
        }
    }

    /// The highest spatial layer of the newest keyframe, where its packets have told.
    pub(super) fn highest(&self) -> Option<u8> {
        self.structure.as_ref().map(|_| self.highest)
    }

    /// Width and height of the newest keyframe in pixels, where its packets have told.
    pub(super) fn size(&self) -> Option<(u16, u16)> {
        let (width, height) = self.structure.as_ref()?.resolution(self.highest)?;
        Some((width.try_into().ok()?, height.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::dependency_descriptor::tests::{spatial_frame, spatial_structure};
    use crate::stream::testing::packet;

    /// A picture of a packet for each of so many layers.
    fn picture(layers: u8, keyframe: bool) -> impl Iterator<Item = Packet> {
        let structure = spatial_structure(3, (640, 360));
        (0..layers).map(move |spatial| {
            let mut packet = Packet {
                keyframe: keyframe && spatial == 0,
                marker: spatial + 1 == layers,
                ..packet(70_000)
            };
            let frame = u16::from(spatial);
            let value = spatial_frame(&structure, (spatial, keyframe), frame, (true, true));
            packet
                .extensions
                .push(Extension::DependencyDescriptor, &value);
            packet
        })
    }

    #[test]
    fn what_comes_is_told_by_the_keyframe() {
        let mut known = SpatialLayers::default();
        for (layers, expected) in [(3, (640, 360)), (1, (160, 90)), (2, (320, 180))] {
            picture(layers, true).for_each(|packet| known.handle_packet(&packet));
            assert_eq!(known.size(), Some(expected));
            assert_eq!(known.highest(), Some(layers - 1));
            // What follows may be of other layers, until the next keyframe.
            picture(3, false).for_each(|packet| known.handle_packet(&packet));
            assert_eq!(known.size(), Some(expected));
        }
        known.handle_packet(&Packet {
            keyframe: true,
            ..packet(70_000)
        });
        let told = (known.size(), known.highest());
        assert_eq!(told, (None, None), "a keyframe without descriptor");
    }
}
