//! The media part: a real WebRTC peer, so that ICE, DTLS and packets are tried, not only HTTP.
//!
//! A publisher sends the two pictures beside this file over and over, 64 pixels wide, each a keyframe
//! (colour bars, made with GStreamer's `videotestsrc`, `vp8enc` and `x264enc`), and silence in Opus. So
//! it needs no encoder.

mod observed;
mod peer;
mod publication;
mod source;

pub(super) use observed::Observed;
pub(super) use peer::{Direction, Peer};
pub(super) use publication::{Publication, Sending, connected};
