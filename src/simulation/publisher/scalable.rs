//! Pictures in layers.

use std::time::Instant;

use super::PublishingPeer;
use crate::simulation::{BEGINS, ENDS, LARGE, PREDICTED, SCALABLE};

/// The layers of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulation) enum Scalability {
    /// Three sizes of each picture, of about 240, 530 and 1500 kbit/s, those below included.
    Spatial,
    /// A quarter of the pictures, half of them, and all: about 500, 800 and 1400 kbit/s, those below included. With
    /// every eighth picture those follow that do without what was before it.
    Temporal,
}

/// The temporal layers of four pictures, and how many packets each has.
const TEMPORAL: [(u8, usize); 4] = [(0, 8), (2, 5), (1, 6), (2, 5)];

/// The layers that a packet is of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    spatial: u8,
    temporal: u8,
    leads_up: bool,
    pictures: usize,
}

impl Place {
    /// TID, U and SID in the first byte of the id (RFC 9628, section 4.2).
    pub(super) fn bits(self) -> u32 {
        let byte = self.temporal << 5 | u8::from(self.leads_up) << 4 | self.spatial << 1;
        u32::from(byte) << 24
    }

    pub(super) fn leads_up(self) -> bool {
        self.leads_up
    }

    /// From the lowest on; a source has either.
    pub(super) fn layer(self) -> usize {
        usize::from(self.spatial + self.temporal)
    }
}

impl PublishingPeer {
    pub(super) fn send_picture(&mut self, now: Instant, scalability: Scalability) {
        let source = &mut self.sources[0];
        let keyframe = std::mem::take(&mut source.keyframe_wanted);
        source.next_id |= LARGE;
        match scalability {
            Scalability::Spatial => {
                for (spatial, count) in (0..3).zip([1, 2, 4]) {
                    self.sources[0].place.spatial = spatial;
                    // Two at least: a keyframe does not begin and end with one packet.
                    let count = if keyframe { 2 * count } else { count };
                    self.send_layer(now, keyframe, count, spatial == 2);
                }
            }
            Scalability::Temporal => {
                let place = &mut source.place;
                // A keyframe begins the pattern anew.
                place.pictures = if keyframe { 0 } else { place.pictures + 1 };
                let (temporal, count) = TEMPORAL[place.pictures % 4];
                place.temporal = temporal;
                place.leads_up = !keyframe && place.pictures.is_multiple_of(8);
                self.send_layer(now, keyframe, count, true);
            }
        }
        self.sources[0].media_time += 2_970;
    }

    /// The part of a picture that is of one spatial layer.
    fn send_layer(&mut self, now: Instant, keyframe: bool, count: usize, is_last: bool) {
        for index in 0..count {
            let mut first = SCALABLE;
            first |= if index == 0 { BEGINS } else { 0 };
            first |= if index + 1 == count { ENDS } else { 0 };
            first |= if keyframe { 0 } else { PREDICTED };
            self.send(now, 0, first, is_last && index + 1 == count);
        }
    }
}
