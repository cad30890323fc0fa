//! Everything that uses GStreamer, and nothing else does.

pub mod publish;
