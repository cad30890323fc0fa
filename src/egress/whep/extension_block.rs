//! The header extensions of a packet, as one viewer agreed on them. Pure; allocates nothing.

use crate::rtp::dependency_descriptor::shift_frame_number;
use crate::rtp::{Extension, ExtensionMap};
use crate::stream::ExtensionValues;

/// A header extension block ready for the wire (RFC 8285), empty when there is nothing to say.
pub(super) struct ExtensionBlock {
    buffer: [u8; Self::CAPACITY],
    len: usize,
    /// Where the transport-wide number stands, 0 for nowhere.
    stamp_at: usize,
}

impl ExtensionBlock {
    /// The values in their two-byte form, the block's own head, and padding to a word.
    const CAPACITY: usize = ExtensionValues::CAPACITY + 12;

    /// The values that the subscriber has ids for. One-byte form where ids and lengths allow it.
    /// `frame` is added to the frame number of a dependency descriptor.
    /// `stamped` is the id of a transport-wide number, for which it leaves room.
    pub(super) fn of(
        values: &ExtensionValues,
        ids: &ExtensionMap,
        frame: u16,
        stamped: Option<u8>,
    ) -> Self {
        let mut block = Self {
            buffer: [0; Self::CAPACITY],
            len: 0,
            stamp_at: 0,
        };
        if values.is_empty() && stamped.is_none() {
            return block;
        }
        let known = || {
            values
                .iter()
                .filter_map(|(extension, value)| ids.id(extension).map(|id| (id, value, extension)))
        };
        if stamped.is_none() && known().next().is_none() {
            return block;
        }
        let two_byte = stamped.is_some_and(|id| id > 14)
            || known().any(|(id, value, _)| id > 14 || value.is_empty() || value.len() > 16);
        let mut len = 4;
        for (id, value, extension) in known() {
            if two_byte {
                block.buffer[len..len + 2].copy_from_slice(&[id, value.len() as u8]);
                len += 2;
            } else {
                block.buffer[len] = id << 4 | (value.len() - 1) as u8;
                len += 1;
            }
            let own = &mut block.buffer[len..len + value.len()];
            own.copy_from_slice(value);
            if extension == Extension::DependencyDescriptor {
                shift_frame_number(own, frame);
            }
            len += value.len();
        }
        if let Some(id) = stamped {
            if two_byte {
                block.buffer[len..len + 2].copy_from_slice(&[id, 2]);
                len += 2;
            } else {
                block.buffer[len] = id << 4 | 1;
                len += 1;
            }
            block.stamp_at = len;
            len += 2;
        }
        block.len = len.next_multiple_of(4);
        let profile: u16 = if two_byte { 0x1000 } else { 0xBEDE };
        block.buffer[..2].copy_from_slice(&profile.to_be_bytes());
        block.buffer[2..4].copy_from_slice(&((block.len / 4 - 1) as u16).to_be_bytes());
        block
    }

    /// Writes the transport-wide number, where there is room for one.
    pub(super) fn stamp(&mut self, number: u16) {
        if self.stamp_at > 0 {
            self.buffer[self.stamp_at..self.stamp_at + 2].copy_from_slice(&number.to_be_bytes());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}
