//! Where a line has come to. Pure.

use std::time::Instant;

use super::{Segment, Shift};
use crate::rtp::{Extension, dependency_descriptor};
use crate::stream::Packet;

/// Of the newest packet, as it left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newest {
    pub(super) sequence: u64,
    pub(super) timestamp: u32,
    /// None before the first packet.
    pub(super) arrived: Option<Instant>,
    pub(super) picture: Option<u16>,
    pub(super) base_layer: Option<u8>,
    pub(super) frame: Option<u16>,
}

impl Newest {
    pub(super) fn follow(&mut self, packet: &Packet, segment: &Segment) {
        let Shift {
            timestamp,
            picture,
            base_layer,
            frame,
        } = segment.shifts.of(packet);
        self.timestamp = packet.timestamp.wrapping_add(timestamp);
        self.arrived = Some(packet.received);
        if let Some(counters) = packet.picture {
            self.picture = counters.picture.map(|own| own.id.wrapping_add(picture));
            self.base_layer = counters
                .base_layer
                .map(|(index, _)| index.wrapping_add(base_layer));
        }
        if let Some(number) = frame_number(packet) {
            self.frame = Some(number.wrapping_add(frame));
        }
    }

    /// The shift of a source that begins with `packet`: one picture on.
    pub(super) fn shift_to(&self, packet: &Packet, by_clock: u32) -> Shift {
        let mut timestamp = packet.timestamp.wrapping_add(by_clock);
        // Two pictures never share a timestamp, and none is before the one that was sent before it.
        if self.arrived.is_some() && (timestamp.wrapping_sub(self.timestamp) as i32) <= 0 {
            timestamp = self.timestamp.wrapping_add(1);
        }
        let counters = packet.picture;
        let id = counters.and_then(|counters| counters.picture);
        let index = counters.and_then(|counters| counters.base_layer);
        Shift {
            timestamp: timestamp.wrapping_sub(packet.timestamp),
            picture: self.picture.zip(id).map_or(0, |(newest, own)| {
                newest.wrapping_add(1).wrapping_sub(own.id)
            }),
            base_layer: self.base_layer.zip(index).map_or(0, |(newest, (own, _))| {
                newest.wrapping_add(1).wrapping_sub(own)
            }),
            frame: self
                .frame
                .zip(frame_number(packet))
                .map_or(0, |(newest, own)| newest.wrapping_add(1).wrapping_sub(own)),
        }
    }
}

/// The frame number of its dependency descriptor.
fn frame_number(packet: &Packet) -> Option<u16> {
    if packet.extensions.is_empty() {
        return None;
    }
    let (_, value) = packet
        .extensions
        .iter()
        .find(|(extension, _)| *extension == Extension::DependencyDescriptor)?;
    dependency_descriptor::frame_number(value)
}
