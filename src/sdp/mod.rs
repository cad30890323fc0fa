//! SDP for WHIP and WHEP: offers in, answers out (RFC 8866, RFC 8829, RFC 9725).
//!
//! Pure: no socket, no clock, no randomness of its own.

pub mod session;

pub use session::{
    DtlsRole, Feedback, Fingerprint, IceCredentials, PublishedTrack, PublisherSpec,
    SubscribedTrack, SubscriberSpec,
};
