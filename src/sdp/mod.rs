//! SDP for WHIP and WHEP: offers in, answers out (RFC 8866, RFC 8829, RFC 9725).
//!
//! Pure: no socket, no clock, no randomness of its own.

mod media_section;
mod offer;
mod payload_format;
pub mod session;
mod text;
mod transport_attributes;

#[cfg(test)]
mod fixtures;

pub use media_section::{Direction, ExtensionOffer, MediaSection};
pub use offer::{Offer, OfferError};
pub use payload_format::PayloadFormat;
pub use session::{
    DtlsRole, Feedback, Fingerprint, IceCredentials, PublishedTrack, PublisherSpec,
    SubscribedTrack, SubscriberSpec,
};
pub use text::{Limits, TextError};
pub use transport_attributes::{Setup, TransportError};
