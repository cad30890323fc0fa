//! One track on its way to one subscriber: begins at a keyframe, then rewrites each header.

use std::time::Instant;

use super::outlet::Outlet;
use super::retransmission::Retransmitter;
use crate::rtp::{ExtensionMap, MediaKind, header, sequence};
use crate::sdp::SubscribedTrack;
use crate::stream::{ExtensionValues, Packet, Ring, TrackId};

/// The state of one (subscriber, track).
#[derive(Debug)]
pub(super) struct Forwarder {
    /// None while the broadcast has nothing for it.
    track: Option<TrackId>,
    clock_rate: u32,
    kind: MediaKind,
    extensions: ExtensionMap,
    payload_type: u8,
    ssrc: u32,
    retransmitter: Retransmitter,
    /// How the publisher's numbers become ours; none before the first packet.
    mapping: Option<Mapping>,
    /// Where our numbers begin, with the first source or with the next.
    next_sequence: u64,
    timestamp_offset: u32,
    /// The timestamp of the newest packet, as it left, and when it came.
    newest: Option<(u32, Instant)>,
    tally: Tally,
}

/// What a forwarder sent, and what its receiver said of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Media packets sent, without retransmissions.
    pub packets: u64,
    /// Their payload, in bytes.
    pub bytes: u64,
    /// Packets sent again.
    pub retransmissions: u64,
    /// Packets asked for that the ring holds no longer, or that came too soon after the last try.
    pub retransmissions_missed: u64,
    /// Packets asked for beyond what retransmission may cost.
    pub retransmissions_refused: u64,
    /// Share of packets that the receiver lost of late, in 1/256.
    pub fraction_lost: u8,
    /// Packets that the receiver lost since it began.
    pub cumulative_lost: i32,
}

#[derive(Clone, Copy, Debug)]
struct Mapping {
    /// The publisher's number of the first packet that was sent on.
    source: u64,
    /// Ours for the same packet.
    own: u64,
    /// The highest of ours so far.
    highest: u64,
}

impl Forwarder {
    pub(super) fn new(track: &SubscribedTrack, first_sequence: u32, timestamp_offset: u32) -> Self {
        Self {
            track: Some(track.track),
            clock_rate: track.clock_rate,
            kind: track.kind,
            extensions: track.extensions,
            payload_type: track.payload_type,
            ssrc: track.ssrc,
            retransmitter: Retransmitter::new(track.rtx_payload_type.zip(track.rtx_ssrc)),
            mapping: None,
            // Below 2^15, so that a loss right at the start can't confuse the receiver's
            // guess of the roll-over counter (RFC 3711, section 3.3.1).
            next_sequence: u64::from(first_sequence & 0x7FFF),
            timestamp_offset,
            newest: None,
            tally: Tally::default(),
        }
    }

    /// Takes another source from its next keyframe on: a track of another broadcast, or none. For the
    /// receiver it is the same one: numbers go on by one, timestamps by the time that has passed.
    pub(super) fn rebind(&mut self, track: Option<&SubscribedTrack>) {
        self.track = track.map(|track| track.track);
        if let Some(mapping) = self.mapping.take() {
            self.next_sequence = mapping.highest + 1;
        }
        if let Some(track) = track {
            self.clock_rate = track.clock_rate;
            self.extensions = track.extensions;
            self.payload_type = track.payload_type;
            self.retransmitter.set_payload_type(track.rtx_payload_type);
        }
    }

    pub(super) fn track(&self) -> Option<TrackId> {
        self.track
    }

    pub(super) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(super) fn tally_mut(&mut self) -> &mut Tally {
        &mut self.tally
    }

    pub(super) fn waits_for_keyframe(&self) -> bool {
        self.kind == MediaKind::Video && self.track.is_some() && self.mapping.is_none()
    }

    /// What is added to the publisher's timestamps, once something was sent.
    pub(super) fn timestamp_offset(&self) -> Option<u32> {
        self.mapping.map(|_| self.timestamp_offset)
    }

    /// Sends a packet on; returns whether it did.
    pub(super) fn forward(&mut self, packet: &Packet, outlet: &mut impl Outlet) -> bool {
        let Some(own) = self.own_sequence(packet) else {
            return false;
        };
        self.send(packet, own, outlet);
        self.tally.packets += 1;
        self.tally.bytes += packet.payload.len() as u64;
        true
    }

    /// Answers a NACK for our sequence `number`.
    pub(super) fn retransmit(
        &mut self,
        now: Instant,
        number: u16,
        ring: &Ring,
        outlet: &mut impl Outlet,
    ) {
        let found = self.mapping.and_then(|mapping| {
            let own = sequence::nearest(mapping.highest, number);
            let source = own.checked_sub(mapping.own)? + mapping.source;
            (own <= mapping.highest).then_some(())?;
            ring.get(source).map(|packet| (own, packet))
        });
        let Some((own, packet)) = found.filter(|(own, _)| self.retransmitter.may_repeat(now, *own))
        else {
            self.tally.retransmissions_missed += 1;
            return;
        };
        self.tally.retransmissions += 1;
        match self.retransmitter.next() {
            Some(rtx) => {
                let header = HeaderFields {
                    payload_type: rtx.payload_type,
                    ssrc: rtx.ssrc,
                    sequence: rtx.sequence,
                };
                let original = (own as u16).to_be_bytes();
                self.write(packet, header, &original, outlet);
            }
            // The very same packet again: the same bytes at the same index, so that nothing new is
            // encrypted under an index that was used before.
            None => self.send(packet, own, outlet),
        }
    }

    /// Our number of a packet, or none where it is not to be sent: before the first keyframe.
    fn own_sequence(&mut self, packet: &Packet) -> Option<u64> {
        match &mut self.mapping {
            Some(mapping) => {
                let own = packet.sequence.checked_sub(mapping.source)? + mapping.own;
                if own > mapping.highest {
                    mapping.highest = own;
                    self.follow(packet);
                }
                Some(own)
            }
            None if self.kind == MediaKind::Video && !packet.keyframe => None,
            None => {
                let own = self.next_sequence;
                self.begin(packet);
                self.mapping = Some(Mapping {
                    source: packet.sequence,
                    own,
                    highest: own,
                });
                Some(own)
            }
        }
    }

    /// A source begins with this packet: as much later than the one before as it came later.
    fn begin(&mut self, packet: &Packet) {
        if let Some((timestamp, arrived)) = self.newest {
            let elapsed = packet.received.saturating_duration_since(arrived);
            let ticks = elapsed.as_micros() * u128::from(self.clock_rate) / 1_000_000;
            // Two pictures never share a timestamp.
            let timestamp = timestamp.wrapping_add((ticks as u32).max(1));
            self.timestamp_offset = timestamp.wrapping_sub(packet.timestamp);
        }
        self.follow(packet);
    }

    fn follow(&mut self, packet: &Packet) {
        let timestamp = packet.timestamp.wrapping_add(self.timestamp_offset);
        self.newest = Some((timestamp, packet.received));
    }

    fn send(&self, packet: &Packet, own: u64, outlet: &mut impl Outlet) {
        let header = HeaderFields {
            payload_type: self.payload_type,
            ssrc: self.ssrc,
            sequence: own,
        };
        self.write(packet, header, &[], outlet);
    }

    /// Writes a packet: our header, the extensions under the subscriber's ids, `prefix`, the payload.
    fn write(
        &self,
        packet: &Packet,
        header: HeaderFields,
        prefix: &[u8],
        outlet: &mut impl Outlet,
    ) {
        let extensions = ExtensionBlock::of(&packet.extensions, &self.extensions);
        let header_len = header::FIXED_LEN + extensions.len();
        let len = header_len + prefix.len() + packet.payload.len();
        let timestamp = packet.timestamp.wrapping_add(self.timestamp_offset);
        outlet.send(len, header_len, header.sequence, |buffer| {
            buffer[0] = if extensions.is_empty() { 0x80 } else { 0x90 };
            buffer[1] = u8::from(packet.marker) << 7 | header.payload_type;
            buffer[2..4].copy_from_slice(&(header.sequence as u16).to_be_bytes());
            buffer[4..8].copy_from_slice(&timestamp.to_be_bytes());
            buffer[8..12].copy_from_slice(&header.ssrc.to_be_bytes());
            buffer[header::FIXED_LEN..header_len].copy_from_slice(extensions.as_bytes());
            let (head, payload) = buffer[header_len..].split_at_mut(prefix.len());
            head.copy_from_slice(prefix);
            payload.copy_from_slice(&packet.payload);
        });
    }
}

#[derive(Clone, Copy)]
struct HeaderFields {
    payload_type: u8,
    ssrc: u32,
    sequence: u64,
}

/// A header extension block ready for the wire (RFC 8285), empty when there is nothing to say.
struct ExtensionBlock {
    buffer: [u8; Self::CAPACITY],
    len: usize,
}

impl ExtensionBlock {
    /// The values in their two-byte form, the block's own head, and padding to a word.
    const CAPACITY: usize = ExtensionValues::CAPACITY + 8;

    /// The values that the subscriber has ids for. One-byte form where ids and lengths allow it.
    fn of(values: &ExtensionValues, ids: &ExtensionMap) -> Self {
        let mut block = Self {
            buffer: [0; Self::CAPACITY],
            len: 0,
        };
        if values.is_empty() {
            return block;
        }
        let known = || {
            values
                .iter()
                .filter_map(|(extension, value)| ids.id(extension).map(|id| (id, value)))
        };
        if known().next().is_none() {
            return block;
        }
        let two_byte = known().any(|(id, value)| id > 14 || value.is_empty() || value.len() > 16);
        let mut len = 4;
        for (id, value) in known() {
            if two_byte {
                block.buffer[len..len + 2].copy_from_slice(&[id, value.len() as u8]);
                len += 2;
            } else {
                block.buffer[len] = id << 4 | (value.len() - 1) as u8;
                len += 1;
            }
            block.buffer[len..len + value.len()].copy_from_slice(value);
            len += value.len();
        }
        block.len = len.next_multiple_of(4);
        let profile: u16 = if two_byte { 0x1000 } else { 0xBEDE };
        block.buffer[..2].copy_from_slice(&profile.to_be_bytes());
        block.buffer[2..4].copy_from_slice(&((block.len / 4 - 1) as u16).to_be_bytes());
        block
    }

    fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn len(&self) -> usize {
        self.len
    }

    fn as_bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}
