//! One RTP packet of a track, as the whole stream shares it.

use std::time::Instant;

use super::{LayerId, LayerSet, TrackId};
use crate::rtp::{Extension, PictureCounters, red};

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
    /// Where a picture begins of a source with several layers: this layer, and the others that who has got this one
    /// whole so far can go on with here, at the same picture.
    pub leads_to: LayerSet,
    /// The counters that are part of the payload, where there are some.
    pub picture: Option<PictureCounters>,
    /// When the shard read it from its socket.
    pub received: Instant,
    /// The payload without padding.
    pub payload: Vec<u8>,
    /// What the packet before it held, where it may be sent once more with this one.
    pub previous: Previous,
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
            leads_to: LayerSet::NONE,
            picture: None,
            received,
            payload: Vec::new(),
            previous: Previous::default(),
            extensions: ExtensionValues::default(),
        }
    }

    /// Keeps what `before`, the packet before this one, held, if it may be sent once more with it: see [`Previous`].
    pub fn keep_previous(&mut self, before: Option<&Self>) {
        self.previous.clear();
        let Some(before) = before else {
            return;
        };
        let offset = self.timestamp.wrapping_sub(before.timestamp);
        let len = red::HEADER_LEN + before.payload.len() + self.payload.len();
        let fits = (1..=red::MAX_TIMESTAMP_OFFSET).contains(&offset)
            && before.payload.len() <= red::MAX_BLOCK_LEN
            && len <= Previous::MAX_PAYLOAD;
        if fits && !self.payload.is_empty() {
            self.previous.timestamp_offset = offset;
            self.previous.payload.reserve(red::MAX_BLOCK_LEN);
            self.previous.payload.extend_from_slice(&before.payload);
        }
    }

    /// Becomes the same as `other`. Its own buffer is used again.
    pub fn copy_from(&mut self, other: &Self) {
        let mut payload = std::mem::take(&mut self.payload);
        payload.clear();
        payload.extend_from_slice(&other.payload);
        let mut previous = std::mem::take(&mut self.previous);
        previous.copy_from(&other.previous);
        let extensions = other.extensions.clone();
        *self = Self {
            payload,
            previous,
            extensions,
            ..*other
        };
    }
}

/// The payload of the packet before another, for viewers who get sound with redundancy (RFC 2198). Empty where there is
/// none: it is lost, or too long ago, or the two have no room in one packet.
///
/// It is kept when the packet is made and never looked up when it is sent, as what is sent again must have the same
/// bytes: no other may be encrypted under the same number.
#[derive(Clone, Debug, Default)]
pub struct Previous {
    timestamp_offset: u32,
    payload: Vec<u8>,
}

impl Previous {
    /// The longest payload of both together and their header, in bytes. With the headers below it, extensions and the
    /// tag of SRTP it stays within the 1280 that each path of IPv6 carries.
    const MAX_PAYLOAD: usize = 1_150;

    /// How much earlier it begins, in units of the codec's clock.
    pub fn timestamp_offset(&self) -> u32 {
        self.timestamp_offset
    }

    /// What it held; empty for none.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Forgets it.
    pub fn clear(&mut self) {
        self.payload.clear();
    }

    /// Forgets it, and gives its buffer away, if it has one.
    pub fn take_buffer(&mut self) -> Option<Vec<u8>> {
        let buffer = std::mem::take(&mut self.payload);
        (buffer.capacity() > 0).then_some(buffer)
    }

    /// Takes a buffer to be filled, if it has none. `spare` gives one that was used before.
    pub fn ensure_buffer(&mut self, spare: impl FnOnce() -> Option<Vec<u8>>) {
        if self.payload.capacity() == 0 {
            self.payload = spare().unwrap_or_default();
            self.payload.clear();
        }
    }

    fn copy_from(&mut self, other: &Self) {
        self.timestamp_offset = other.timestamp_offset;
        self.payload.clear();
        self.payload.extend_from_slice(&other.payload);
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

    fn sound(timestamp: u32, len: usize) -> Packet {
        Packet {
            timestamp,
            payload: vec![0xFC; len],
            ..Packet::empty(Instant::now())
        }
    }

    #[test]
    fn what_may_be_sent_once_more_is_kept() {
        let mut packet = sound(500, 80);
        packet.keep_previous(Some(&sound(500_u32.wrapping_sub(960), 70)));
        assert_eq!(packet.previous.timestamp_offset(), 960);
        assert_eq!(packet.previous.payload(), [0xFC; 70]);
        let mut copy = sound(1, 1);
        copy.copy_from(&packet);
        assert_eq!(copy.previous.payload(), [0xFC; 70]);
        packet.keep_previous(None);
        assert!(packet.previous.payload().is_empty());
    }

    #[test]
    fn what_has_no_room_or_no_sense_is_not_kept() {
        let keeps = |packet: Packet, before: &Packet| {
            let mut packet = packet;
            packet.keep_previous(Some(before));
            !packet.previous.payload().is_empty()
        };
        let before = sound(0, 100);
        assert!(keeps(sound(red::MAX_TIMESTAMP_OFFSET, 100), &before));
        assert!(!keeps(sound(red::MAX_TIMESTAMP_OFFSET + 1, 100), &before));
        // Not before it, and nothing to send it with.
        assert!(!keeps(sound(0, 100), &before));
        assert!(!keeps(sound(960, 0), &before));
        let own = Previous::MAX_PAYLOAD - red::HEADER_LEN - 100;
        assert!(keeps(sound(960, own), &before));
        assert!(!keeps(sound(960, own + 1), &before));
        assert!(keeps(sound(960, 1), &sound(0, red::MAX_BLOCK_LEN)));
        assert!(!keeps(sound(960, 1), &sound(0, red::MAX_BLOCK_LEN + 1)));
    }

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
