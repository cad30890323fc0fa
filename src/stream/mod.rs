//! A stream: a named broadcast with at most one publisher and any number of subscribers.
//!
//! Knows neither its publisher ([`crate::ingest`]) nor its subscribers ([`crate::egress`]).

pub mod layer;
pub mod name;
pub mod packet;
pub mod pattern;
pub mod recycler;
pub mod ring;
pub mod still;
#[cfg(test)]
pub(crate) mod testing;
pub mod track;

pub use layer::{
    LayerChoice, LayerChoiceError, LayerId, LayerSet, LayerStatus, LayersByTrack, RankedLayer,
};
pub use name::{StreamName, StreamNameError};
pub use packet::{ExtensionValues, Packet, Previous};
pub use pattern::{StreamPattern, StreamPatternError};
pub use recycler::Recycler;
pub use ring::{KeyframeCache, Ring, Start};
pub use still::Still;
pub use track::{TrackId, TrackInfo};
