//! The layers of a viewer's tracks, as the layer extension of WHEP shows and takes them.

pub use crate::stream::{LayerChoice, LayerStatus};

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
