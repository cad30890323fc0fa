//! The layers of a viewer's tracks, as the layer extension of WHEP shows and takes them.

/// The layers of one media section of a viewer's session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaLayers {
    /// The index of its m-line in the session's SDP.
    pub media: u8,
    /// The `a=mid` of that m-line.
    pub mid: String,
    /// Its layers.
    pub layers: Vec<LayerStatus>,
}

/// One layer that the publisher sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerStatus {
    /// The `rid` of its encoding (RFC 8851).
    pub encoding_id: String,
    /// The spatial layer within the encoding, when it has several.
    pub spatial: Option<u8>,
    /// The temporal layer within the encoding, when it has several.
    pub temporal: Option<u8>,
    /// What comes of it now, in bit/s; 0 when nothing does: the layer is inactive.
    pub bitrate: u64,
    /// What the publisher aims at, in bit/s, when that is known.
    pub target_bitrate: Option<u64>,
    /// Of the picture, in pixels.
    pub width: Option<u32>,
    /// Of the picture, in pixels.
    pub height: Option<u32>,
}

/// Which layer a viewer wants. All none: the server chooses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerChoice {
    /// The `a=mid` that is meant; none: the first video.
    pub media_id: Option<String>,
    /// The encoding.
    pub rid: Option<String>,
    /// The spatial layer within it.
    pub spatial: Option<u8>,
    /// The temporal layer within it.
    pub temporal: Option<u8>,
    /// No picture wider than this, in pixels.
    pub max_width: Option<u32>,
    /// No picture higher than this, in pixels.
    pub max_height: Option<u32>,
    /// No spatial layer above this.
    pub max_spatial: Option<u8>,
    /// No temporal layer above this.
    pub max_temporal: Option<u8>,
}
