//! What a publisher's state has counted.

use std::time::Duration;

use crate::stream::{LayerId, TrackId};

/// Counters of a [`super::Publisher`] since it began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Track by track, each by [`LayerId`].
    pub layers: Vec<LayerStats>,
    /// RTP and RTCP packets that could not be parsed.
    pub malformed: u64,
    /// RTP packets that belong to no track or layer.
    pub unknown: u64,
    /// Measured by NACK and repair, when it was.
    pub round_trip: Option<Duration>,
}

/// Counters of one layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerStats {
    /// Its track.
    pub track: TrackId,
    /// Which layer of that.
    pub layer: LayerId,
    /// Packets that became media.
    pub packets: u64,
    /// Frames whose last packet came.
    pub frames: u64,
    /// The payload of its packets, in bytes.
    pub bytes: u64,
    /// Packets that were missing and given up.
    pub lost: u64,
    /// Packets that were missing in their turn, and were sent again or taken from the redundancy of a later one. That
    /// may only have been overtaken.
    pub recovered: u64,
    /// Packets that came more than once.
    pub duplicates: u64,
    /// Sequence numbers asked for, repetitions included.
    pub nacks: u64,
    /// Keyframes that began.
    pub keyframes: u64,
    /// Keyframe requests sent.
    pub keyframe_requests: u64,
    /// How often the source was replaced or jumped.
    pub restarts: u64,
    /// The interarrival jitter in units of the RTP clock (RFC 3550, section 6.4.1).
    pub jitter: u32,
    /// Width and height in pixels, as the newest keyframe that tells them does.
    pub picture_size: Option<(u16, u16)>,
}
