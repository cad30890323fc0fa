//! The ways out of a stream.

pub mod hls;
