//! The other side: a gateway inside the test's process, and WebRTC peers that talk to it.

pub(crate) mod broadcast;
pub(crate) mod door;
pub(crate) mod peer;
pub(crate) mod server;
