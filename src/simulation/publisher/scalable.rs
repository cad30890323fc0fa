//! Pictures in spatial layers.

use std::time::Instant;

use super::PublishingPeer;
use crate::simulation::{BEGINS, ENDS, LARGE, PREDICTED, SCALABLE};

impl PublishingPeer {
    /// A picture in three sizes of about 240, 530 and 1500 kbit/s, those below included.
    pub(super) fn send_picture(&mut self, now: Instant) {
        let source = &mut self.sources[0];
        let keyframe = std::mem::take(&mut source.keyframe_wanted);
        source.next_id |= LARGE;
        for (spatial, count) in (0..3).zip([1, 2, 4]) {
            self.sources[0].spatial = spatial;
            // Two at least: a keyframe does not begin and end with one packet.
            let count = if keyframe { 2 * count } else { count };
            for index in 0..count {
                let mut first = SCALABLE;
                first |= if index == 0 { BEGINS } else { 0 };
                first |= if index + 1 == count { ENDS } else { 0 };
                first |= if keyframe { 0 } else { PREDICTED };
                self.send(now, 0, first, spatial == 2 && index + 1 == count);
            }
        }
        self.sources[0].media_time += 2_970;
    }
}
