//! The manifest of MPEG-DASH (ISO/IEC 23009-1) for the segments that [`hls`](super::hls) keeps: one with
//! low latency, whose segments can be asked for while they grow.
//!
//! Pure: what is in it is decided by [`hls::store`](super::hls::store).

mod manifest;
#[cfg(test)]
pub(crate) mod validator;
mod xml;

pub use manifest::{Addressing, Manifest, Period, Representation, TimelineEntry};
