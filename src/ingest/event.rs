//! What a publisher's state answers and tells.

use std::sync::Arc;
use std::time::Instant;

use super::verdict;
use crate::stream::{LayerId, RankedLayer, TrackId};

/// What became of an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Ingested {
    /// The [`Packet`](crate::stream::Packet) was filled: forward it.
    Media,
    /// There is nothing to forward; the [`Packet`](crate::stream::Packet) holds nothing of meaning.
    Nothing(Reason),
}

/// Why a packet gave no media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The bytes are no RTP packet.
    Malformed,
    /// No track or layer could be found for its SSRC.
    UnknownSource,
    /// Its payload type is not the one that was negotiated.
    UnknownPayloadType,
    /// It came before.
    Duplicate,
    /// It is older than what can be told from a duplicate, or of a source that was replaced.
    TooOld,
    /// It is padding alone.
    Padding,
    /// Its sequence number is far off; the next packet decides if the source jumped.
    Jump,
}

/// What a [`Publisher`](super::Publisher) tells besides packets.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A sender report (RFC 3550, section 6.4.1).
    SenderReport {
        /// The track that it is about.
        track: TrackId,
        /// The layer of that: each has a clock of its own.
        layer: LayerId,
        /// The instant of `ntp` in the continuous timeline of [`Packet::timestamp`](crate::stream::Packet::timestamp).
        rtp_timestamp: u32,
        /// The publisher's wall clock, 32.32 fixed point seconds.
        ntp: u64,
        /// When it arrived.
        received: Instant,
    },
    /// What comes of the layers of a track with simulcast has changed: one was paused or came back,
    /// or another is the best.
    Layers {
        /// The track.
        track: TrackId,
        /// All of its layers, the best first.
        layers: Arc<[RankedLayer]>,
    },
    /// The same for those who watch the figures: at most once a second, when they differ from the last.
    LayerReport {
        /// The track.
        track: TrackId,
        /// All of its layers, the best first.
        layers: Arc<[RankedLayer]>,
    },
    /// How the publisher does: about once a second while its media comes.
    Report(Arc<verdict::Report>),
    /// The publisher said goodbye for all of its sources, and nothing came since.
    Ended,
}

impl Event {
    /// The same sender report for another layer, which has the same clock.
    pub(super) fn of_layer(mut self, other: LayerId) -> Self {
        if let Self::SenderReport { layer, .. } = &mut self {
            *layer = other;
        }
        self
    }
}
