//! The newest whole keyframe of a layer, for a still picture.

use std::sync::Arc;

use super::{Packet, Ring, TrackInfo};

/// A keyframe as it came, and what it is coded in.
#[derive(Clone, Debug)]
pub struct Still {
    /// The track.
    pub track: TrackInfo,
    /// The packets of the keyframe, in order and without a gap.
    pub packets: Vec<Arc<Packet>>,
}

impl Still {
    /// The packets of the newest keyframe of a ring that are all there.
    pub fn packets_of(ring: &Ring) -> Option<Vec<Arc<Packet>>> {
        let newest = ring.newest()?;
        let oldest = newest.saturating_sub(ring.capacity() as u64 - 1);
        // Known without a search, mostly.
        if let Some(packet) = ring.start().and_then(|start| ring.get(start.sequence)) {
            let frame = frame(ring, packet, oldest..=newest);
            if frame.last().is_some_and(|last| last.marker) {
                return Some(frame);
            }
        }
        let mut before = newest + 1;
        while let Some(marked) = (oldest..before)
            .rev()
            .find_map(|number| ring.get(number).filter(|packet| packet.keyframe))
        {
            let frame = frame(ring, marked, oldest..=newest);
            let first = frame
                .first()
                .map_or(marked.sequence, |first| first.sequence);
            if frame.last().is_some_and(|last| last.marker) {
                return Some(frame);
            }
            before = first.min(marked.sequence);
        }
        None
    }
}

/// The packets of the frame that one of them belongs to, as far as there is no gap.
fn frame(ring: &Ring, of: &Packet, numbers: std::ops::RangeInclusive<u64>) -> Vec<Arc<Packet>> {
    let is_of_it = |number: &u64| {
        ring.get(*number)
            .filter(|one| one.timestamp == of.timestamp)
    };
    let first = (*numbers.start()..of.sequence)
        .rev()
        .take_while(|number| is_of_it(number).is_some_and(|packet| !packet.marker))
        .last()
        .unwrap_or(of.sequence);
    let mut packets = Vec::new();
    for packet in (first..=*numbers.end()).map_while(|number| is_of_it(&number)) {
        packets.push(Arc::clone(packet));
        if packet.marker {
            break;
        }
    }
    packets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::KeyframeCache;
    use crate::stream::testing::packet;

    fn ring(packets: &[(u64, u32, bool, bool)]) -> Ring {
        let mut ring = Ring::new(16, KeyframeCache::OFF);
        for &(sequence, timestamp, keyframe, marker) in packets {
            let packet = Packet {
                timestamp,
                keyframe,
                marker,
                ..packet(sequence)
            };
            ring.insert(Arc::new(packet), drop);
        }
        ring
    }

    fn numbers(ring: &Ring) -> Option<Vec<u64>> {
        let packets = Still::packets_of(ring)?;
        Some(packets.iter().map(|packet| packet.sequence).collect())
    }

    #[test]
    fn the_newest_whole_keyframe_is_found() {
        let mut packets = vec![
            (20, 1, true, false),
            (21, 1, true, false),
            (22, 1, false, true),
            (23, 2, false, true),
            (24, 3, true, false),
            (25, 3, false, false),
        ];
        assert_eq!(
            numbers(&ring(&packets)),
            Some(vec![20, 21, 22]),
            "the other has no end yet"
        );
        packets.push((26, 3, false, true));
        assert_eq!(numbers(&ring(&packets)), Some(vec![24, 25, 26]));
    }

    #[test]
    fn a_keyframe_with_a_gap_is_none() {
        assert_eq!(
            numbers(&ring(&[(20, 1, true, false), (22, 1, false, true)])),
            None
        );
        assert_eq!(numbers(&ring(&[(20, 1, false, true)])), None);
        assert_eq!(numbers(&Ring::new(4, KeyframeCache::OFF)), None);
    }

    #[test]
    fn parameter_sets_before_the_keyframe_belong_to_it() {
        let packets = [
            (19, 0, false, true),
            (20, 1, false, false),
            (21, 1, true, true),
        ];
        assert_eq!(numbers(&ring(&packets)), Some(vec![20, 21]));
    }
}
