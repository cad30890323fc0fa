//! What the benches share: a stage with real sessions on it, a synthetic broadcast, and ways to measure.

#![allow(dead_code, reason = "each bench uses a part of it")]
#![allow(
    clippy::unwrap_used,
    reason = "what fails in a bench fails the bench, loudly"
)]
#![allow(clippy::disallowed_methods, reason = "a bench is about the clock")]

pub(crate) mod arguments;
pub(crate) mod broadcast;
pub(crate) mod cpu;
pub(crate) mod http;
pub(crate) mod limit;
pub(crate) mod nginx;
pub(crate) mod peer;
pub(crate) mod players;
pub(crate) mod plot;
pub(crate) mod report;
pub(crate) mod server;
pub(crate) mod stage;
pub(crate) mod steady_state;
pub(crate) mod viewers;
