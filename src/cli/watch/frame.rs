//! From the packets of one track, in whatever order they arrive, to whole frames.
//!
//! Pure: told each packet with its instant of arrival. It waits a while for what is missing, since a
//! retransmission can still come, then gives it up and counts it as lost. A frame is told only when
//! every packet of it is there.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::depayload;
use crate::rtp::{Codec, MediaKind};

/// How long a missing packet is waited for.
const PATIENCE: Duration = Duration::from_millis(500);
/// The most packets that wait behind a missing one: 12 Mbit/s for [`PATIENCE`].
const MAX_WAITING: usize = 1024;
/// A jump of the numbering beyond this is a sender that began anew, not loss.
const MAX_JUMP: u64 = 5000;
/// The most packets of parameter sets that are kept for the picture after them.
const MAX_PREFIX: usize = 8;
/// The most packets of one frame.
const MAX_FRAME: usize = 4096;

/// One RTP packet of a track.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    pub(super) payload: Bytes,
}

/// A frame with all its packets.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// The RTP timestamp, unwrapped: it does not start again at 2^32.
    pub(super) timestamp: u64,
    pub(super) keyframe: bool,
    /// When the last packet that it needed was there.
    pub(super) complete: Instant,
    /// The payloads in order.
    pub(super) payloads: Vec<Bytes>,
}

/// What a packet was to the numbering of its track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It was missing until now.
    New,
    /// It was here already.
    Duplicate,
    /// It was given up before it came; it stays counted as lost.
    Late,
}

/// Puts the packets of one track in order and tells whole frames.
#[derive(Debug)]
pub(super) struct Reorder {
    codec: Codec,
    /// The number of the packet that is due.
    next: Option<u64>,
    /// Packets after a gap.
    waiting: BTreeMap<u64, Packet>,
    /// Since when the packet that is due is missing.
    gap: Option<Instant>,
    /// What was given up lately, to tell a late packet from a duplicate.
    given_up: VecDeque<u64>,
    lost: u64,
    timestamp: Option<u64>,
    open: Open,
    /// Payloads of parameter sets that came with a marker of their own.
    prefix: Vec<Bytes>,
    frames: VecDeque<Frame>,
}

/// The frame that is being put together.
#[derive(Debug)]
enum Open {
    /// The next packet begins a frame.
    Ready,
    Frame {
        timestamp: u64,
        keyframe: bool,
        picture: bool,
        payloads: Vec<Bytes>,
    },
    /// A packet was lost: what follows with this timestamp is no use.
    Broken { timestamp: Option<u64> },
}

impl Reorder {
    pub(super) fn new(codec: Codec) -> Self {
        Self {
            codec,
            next: None,
            waiting: BTreeMap::new(),
            gap: None,
            given_up: VecDeque::new(),
            lost: 0,
            timestamp: None,
            open: Open::Broken { timestamp: None },
            prefix: Vec::new(),
            frames: VecDeque::new(),
        }
    }

    /// Takes a packet that arrived at `now`.
    pub(super) fn handle_packet(&mut self, now: Instant, packet: Packet) -> Arrival {
        let next = *self
            .next
            .get_or_insert((1 << 32) + u64::from(packet.sequence));
        let mut sequence = unwrap(next, u64::from(packet.sequence), 16);
        if sequence.abs_diff(next) > MAX_JUMP {
            self.flush(now);
            self.waiting.clear();
            self.open = Open::Broken { timestamp: None };
            sequence = (1 << 32) + u64::from(packet.sequence);
            self.next = Some(sequence);
        } else if sequence < next {
            return match self.given_up.contains(&sequence) {
                true => Arrival::Late,
                false => Arrival::Duplicate,
            };
        }
        if self.waiting.contains_key(&sequence) {
            return Arrival::Duplicate;
        }
        self.waiting.insert(sequence, packet);
        self.advance(now);
        Arrival::New
    }

    /// The next whole frame.
    pub(super) fn poll_frame(&mut self) -> Option<Frame> {
        self.frames.pop_front()
    }

    /// When [`Self::handle_timeout`] is due.
    #[cfg(test)]
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.gap.map(|since| since + PATIENCE)
    }

    /// Gives up what has been missing for too long.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    /// Gives up everything that is missing: no more packets will come.
    pub(super) fn flush(&mut self, now: Instant) {
        while !self.waiting.is_empty() {
            self.skip();
            self.advance(now);
        }
    }

    /// The packets that never came, retransmitted or not.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    fn advance(&mut self, now: Instant) {
        while let Some(next) = self.next {
            if let Some(packet) = self.waiting.remove(&next) {
                self.next = Some(next + 1);
                self.gap = None;
                self.push(now, packet);
            } else if self.waiting.is_empty() {
                break;
            } else {
                let since = *self.gap.get_or_insert(now);
                let is_over = now.saturating_duration_since(since) >= PATIENCE;
                if !is_over && self.waiting.len() < MAX_WAITING {
                    break;
                }
                self.skip();
            }
        }
    }

    /// Gives up the packets before the first one that waits.
    fn skip(&mut self) {
        let (Some(next), Some((&first, _))) = (self.next, self.waiting.first_key_value()) else {
            return;
        };
        if first == next {
            return;
        }
        self.lost += first - next;
        self.given_up.extend(next..first);
        let excess = self.given_up.len().saturating_sub(MAX_WAITING);
        self.given_up.drain(..excess);
        self.next = Some(first);
        self.gap = None;
        self.prefix.clear();
        self.open = Open::Broken {
            timestamp: match self.open {
                Open::Frame { timestamp, .. } => Some(timestamp),
                Open::Broken { timestamp } => timestamp,
                Open::Ready => None,
            },
        };
    }

    /// Takes the packet that was due.
    fn push(&mut self, now: Instant, packet: Packet) {
        // Padding that fills a probe: it has a number, but belongs to no frame.
        if packet.payload.is_empty() {
            return;
        }
        let reference = self
            .timestamp
            .unwrap_or((1 << 40) + u64::from(packet.timestamp));
        let stamp = unwrap(reference, u64::from(packet.timestamp), 32);
        self.timestamp = Some(stamp);
        if let Open::Frame { timestamp, .. } = self.open
            && timestamp != stamp
        {
            self.finish(now);
        }
        let begins = match self.open {
            Open::Ready => true,
            Open::Frame { .. } => false,
            Open::Broken { timestamp } => {
                timestamp != Some(stamp) && depayload::begins_frame(self.codec, &packet.payload)
            }
        };
        if begins {
            self.open = Open::Frame {
                timestamp: stamp,
                keyframe: false,
                picture: false,
                payloads: std::mem::take(&mut self.prefix),
            };
        }
        match &mut self.open {
            Open::Frame {
                keyframe,
                picture,
                payloads,
                ..
            } if payloads.len() < MAX_FRAME => {
                *keyframe |= depayload::holds_keyframe(self.codec, &packet.payload);
                *picture |= depayload::holds_picture(self.codec, &packet.payload);
                payloads.push(packet.payload);
            }
            _ => {
                self.open = Open::Broken {
                    timestamp: Some(stamp),
                };
            }
        }
        if packet.marker || self.codec.kind() == MediaKind::Audio {
            self.finish(now);
        }
    }

    fn finish(&mut self, now: Instant) {
        let Open::Frame {
            timestamp,
            keyframe,
            picture,
            payloads,
        } = std::mem::replace(&mut self.open, Open::Ready)
        else {
            return;
        };
        if picture {
            self.frames.push_back(Frame {
                timestamp,
                keyframe,
                complete: now,
                payloads,
            });
        } else if payloads.len() <= MAX_PREFIX {
            self.prefix = payloads;
        }
    }
}

/// The number nearest to `reference` whose lowest `bits` bits are `value`.
pub(super) fn unwrap(reference: u64, value: u64, bits: u32) -> u64 {
    let span = 1u64 << bits;
    let candidate = (reference & !(span - 1)) | (value & (span - 1));
    if candidate > reference && candidate - reference > span / 2 {
        candidate.saturating_sub(span)
    } else if reference > candidate && reference - candidate > span / 2 {
        candidate + span
    } else {
        candidate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u16, timestamp: u32, marker: bool) -> Packet {
        // A VP8 descriptor: the start of a frame when the timestamp says so below, a continuation else.
        Packet {
            sequence,
            timestamp,
            marker,
            payload: Bytes::from_static(&[0x10, 0x01]),
        }
    }

    fn continuation(sequence: u16, timestamp: u32, marker: bool) -> Packet {
        Packet {
            payload: Bytes::from_static(&[0x00, 0x01]),
            ..packet(sequence, timestamp, marker)
        }
    }

    fn frames(reorder: &mut Reorder) -> Vec<(u64, usize)> {
        std::iter::from_fn(|| reorder.poll_frame())
            .map(|frame| (frame.timestamp & 0xffff_ffff, frame.payloads.len()))
            .collect()
    }

    #[test]
    fn a_frame_is_told_when_its_last_packet_is_there() {
        let now = Instant::now();
        let mut reorder = Reorder::new(Codec::Vp8);
        reorder.handle_packet(now, packet(65534, 10, false));
        reorder.handle_packet(now, continuation(0, 10, true));
        assert_eq!(frames(&mut reorder), []);
        reorder.handle_packet(now, continuation(65535, 10, false));
        assert_eq!(frames(&mut reorder), [(10, 3)]);
        assert_eq!(reorder.lost(), 0);
        assert_eq!(
            reorder.handle_packet(now, continuation(0, 10, true)),
            Arrival::Duplicate
        );
    }

    #[test]
    fn a_new_timestamp_ends_a_frame_without_marker() {
        let now = Instant::now();
        let mut reorder = Reorder::new(Codec::Vp8);
        reorder.handle_packet(now, packet(1, 10, false));
        reorder.handle_packet(now, packet(2, 20, false));
        assert_eq!(frames(&mut reorder), [(10, 1)]);
    }

    #[test]
    fn a_frame_with_a_hole_is_never_told() {
        let now = Instant::now();
        let mut reorder = Reorder::new(Codec::Vp8);
        reorder.handle_packet(now, packet(1, 10, true));
        reorder.handle_packet(now, packet(2, 20, false));
        reorder.handle_packet(now, continuation(4, 20, true));
        reorder.handle_packet(now, packet(5, 30, true));
        assert_eq!(frames(&mut reorder), [(10, 1)]);
        let due = reorder.poll_timeout().unwrap();
        reorder.handle_timeout(due);
        assert_eq!(frames(&mut reorder), [(30, 1)]);
        assert_eq!(reorder.lost(), 1);
        assert_eq!(
            reorder.handle_packet(due, continuation(3, 20, false)),
            Arrival::Late
        );
        assert_eq!(reorder.lost(), 1);
    }

    #[test]
    fn joining_in_the_middle_of_a_frame_waits_for_the_next() {
        let now = Instant::now();
        let mut reorder = Reorder::new(Codec::Vp8);
        reorder.handle_packet(now, continuation(1, 10, true));
        reorder.handle_packet(now, packet(2, 20, true));
        assert_eq!(frames(&mut reorder), [(20, 1)]);
    }

    #[test]
    fn parameter_sets_with_their_own_marker_join_the_next_picture() {
        let now = Instant::now();
        let mut reorder = Reorder::new(Codec::H264);
        let nal = |sequence, timestamp, kind| Packet {
            payload: Bytes::copy_from_slice(&[kind, 0]),
            ..packet(sequence, timestamp, true)
        };
        reorder.handle_packet(now, nal(1, 10, 0x67));
        reorder.handle_packet(now, nal(2, 10, 0x68));
        assert_eq!(frames(&mut reorder), []);
        reorder.handle_packet(now, nal(3, 10, 0x65));
        let frame = reorder.poll_frame().unwrap();
        assert!(frame.keyframe);
        assert_eq!(frame.payloads.len(), 3);
    }

    #[test]
    fn padding_breaks_no_frame() {
        let now = Instant::now();
        let mut reorder = Reorder::new(Codec::Vp8);
        reorder.handle_packet(now, packet(1, 10, false));
        let padding = Packet {
            payload: Bytes::new(),
            ..packet(2, 99, false)
        };
        reorder.handle_packet(now, padding);
        reorder.handle_packet(now, continuation(3, 10, true));
        assert_eq!(frames(&mut reorder), [(10, 2)]);
    }

    #[test]
    fn a_jump_of_the_numbering_is_no_loss() {
        let now = Instant::now();
        let mut reorder = Reorder::new(Codec::Vp8);
        reorder.handle_packet(now, packet(1, 10, true));
        reorder.handle_packet(now, packet(30000, 20, true));
        assert_eq!(frames(&mut reorder), [(10, 1), (20, 1)]);
        assert_eq!(reorder.lost(), 0);
    }

    #[test]
    fn numbers_are_unwrapped_both_ways() {
        assert_eq!(unwrap(0x1_0000, 0xffff, 16), 0xffff);
        assert_eq!(unwrap(0x1_ffff, 1, 16), 0x2_0001);
        assert_eq!(unwrap(0x1_0005, 7, 16), 0x1_0007);
    }
}
