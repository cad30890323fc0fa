//! One RTP packet of a track, as the whole stream shares it.

use std::time::Instant;

use super::{LayerId, TrackId};
use crate::rtp::{Extension, PictureCounters};

/// A packet of a publisher, decrypted and taken apart once, then shared by every subscriber.
///
/// It carries what a forwarder needs to write a header of its own; the publisher's header is not kept.
#[derive(Clone, Debug)]
pub struct Packet {
    /// The track that it belongs to.
    pub track: TrackId,
    /// The layer of that track: each has numbers and timestamps of its own.
    pub layer: LayerId,
    /// The publisher's sequence number, unwrapped: strictly one a packet, gaps are losses.
    /// It begins at 2^16 or above, so that a packet before the first one has a number too.
    pub sequence: u64,
    /// The publisher's RTP timestamp.
    pub timestamp: u32,
    /// The marker bit: the last packet of a frame for video.
    pub marker: bool,
    /// A decoder can begin with this packet: it holds the start of a keyframe (or its parameter sets).
    pub keyframe: bool,
    /// The first packet of a picture of a source with several spatial layers. Who has got one of these layers whole so
    /// far can go on with a lesser one here.
    pub unit_start: bool,
    /// The counters that are part of the payload, where there are some.
    pub picture: Option<PictureCounters>,
    /// When the shard read it from its socket.
    pub received: Instant,
    /// The payload without padding.
    pub payload: Vec<u8>,
    /// The end-to-end header extensions that came with it.
    pub extensions: ExtensionValues,
}

impl Packet {
    /// A packet with nothing in it yet, which allocates nothing.
    pub fn empty(received: Instant) -> Self {
        Self {
            track: TrackId(0),
            layer: LayerId(0),
            sequence: 0,
            timestamp: 0,
            marker: false,
            keyframe: false,
            unit_start: false,
            picture: None,
            received,
            payload: Vec::new(),
            extensions: ExtensionValues::default(),
        }
    }

    /// Becomes the same as `other`. Its own buffer is used again.
    pub fn copy_from(&mut self, other: &Self) {
        let mut payload = std::mem::take(&mut self.payload);
        payload.clear();
        payload.extend_from_slice(&other.payload);
        let extensions = other.extensions.clone();
        *self = Self {
            payload,
            extensions,
            ..*other
        };
    }
}

/// The values of the header extensions of a packet, in a buffer of fixed size so that none is allocated.
#[derive(Clone, Debug)]
pub struct ExtensionValues {
    /// Entries of kind, length, value.
    buffer: [u8; Self::CAPACITY],
    len: u8,
}

impl ExtensionValues {
    /// Bytes for all values together with two bytes each of bookkeeping. The structure of three spatial and three temporal
    /// layers, in a dependency descriptor, takes about 100.
    pub const CAPACITY: usize = 160;

    /// Whether the packet had none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets all values.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Keeps a value. One that has no room any more is dropped: they are hints, media goes on without.
    pub fn push(&mut self, extension: Extension, value: &[u8]) {
        let start = usize::from(self.len);
        let end = start + 2 + value.len();
        let (Ok(len), true) = (u8::try_from(value.len()), end <= Self::CAPACITY) else {
            return;
        };
        self.buffer[start] = extension as u8;
        self.buffer[start + 1] = len;
        self.buffer[start + 2..end].copy_from_slice(value);
        self.len = end as u8;
    }

    /// Takes a value out and reads it; the others keep their order.
    pub fn remove<R>(&mut self, extension: Extension, read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let mut end = 0;
        let range = self.iter().find_map(|(known, value)| {
            let start = end;
            end += 2 + value.len();
            (known == extension).then_some(start..end)
        })?;
        let read = read(&self.buffer[range.start + 2..range.end]);
        self.buffer
            .copy_within(range.end..usize::from(self.len), range.start);
        self.len -= range.len() as u8;
        Some(read)
    }

    /// The values in the order of [`Self::push`].
    pub fn iter(&self) -> impl Iterator<Item = (Extension, &[u8])> {
        let mut rest = &self.buffer[..usize::from(self.len)];
        std::iter::from_fn(move || {
            let [kind, len, tail @ ..] = rest else {
                return None;
            };
            let (value, tail) = tail.split_at(usize::from(*len));
            rest = tail;
            Some((Extension::ALL[usize::from(*kind)], value))
        })
    }
}

impl Default for ExtensionValues {
    fn default() -> Self {
        Self {
            buffer: [0; Self::CAPACITY],
            len: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_in_order() {
        let mut values = ExtensionValues::default();
        values.push(Extension::AudioLevel, &[0x85]);
        values.push(Extension::PlayoutDelay, &[1, 2, 3]);
        values.push(Extension::ColorSpace, &[]);
        let all: Vec<_> = values.iter().collect();
        assert_eq!(
            all,
            [
                (Extension::AudioLevel, &[0x85][..]),
                (Extension::PlayoutDelay, &[1, 2, 3]),
                (Extension::ColorSpace, &[])
            ]
        );
    }

    #[test]
    fn a_value_that_is_taken_out_leaves_its_room() {
        let mut values = ExtensionValues::default();
        values.push(Extension::AudioLevel, &[0x85]);
        values.push(Extension::PlayoutDelay, &[1, 2, 3]);
        values.push(Extension::ColorSpace, &[4; 144]);
        let mut take = |extension| values.remove(extension, <[u8]>::to_vec);
        assert_eq!(take(Extension::PlayoutDelay), Some(vec![1, 2, 3]));
        assert_eq!(take(Extension::PlayoutDelay), None);
        values.push(Extension::VideoContentType, &[5; 6]);
        let all: Vec<_> = values.iter().collect();
        assert_eq!(
            all,
            [
                (Extension::AudioLevel, &[0x85][..]),
                (Extension::ColorSpace, &[4; 144]),
                (Extension::VideoContentType, &[5; 6])
            ]
        );
    }

    #[test]
    fn a_value_without_room_is_dropped_alone() {
        let mut values = ExtensionValues::default();
        values.push(Extension::DependencyDescriptor, &[7; 140]);
        values.push(Extension::ColorSpace, &[1; 28]);
        values.push(Extension::AudioLevel, &[1]);
        assert_eq!(
            values.iter().map(|(e, _)| e).collect::<Vec<_>>(),
            [Extension::DependencyDescriptor, Extension::AudioLevel]
        );
    }
}
