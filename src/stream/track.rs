//! A track: one audio or video line of a stream.

use crate::rtp::{Codec, MediaKind};

/// The number of a track within its stream, counted from 0 in the order of the publisher's offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u8);

/// What subscribers must know of a track to be able to play it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackInfo {
    /// Its number within the stream.
    pub id: TrackId,
    /// What the publisher sends.
    pub codec: Codec,
    /// The publisher's format parameters (`a=fmtp` without its payload type), empty when it gave none.
    pub fmtp: String,
    /// Audio channels of the `a=rtpmap`; 1 for video.
    pub channels: u8,
}

impl TrackInfo {
    /// Audio or video.
    pub fn kind(&self) -> MediaKind {
        self.codec.kind()
    }
}
