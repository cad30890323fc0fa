//! The integration tests: one binary, one module for each behaviour.

#![allow(
    clippy::unwrap_used,
    reason = "what fails in a helper of a test fails the test"
)]

mod acme;
mod architecture;
mod backup;
mod bad_input;
mod check_network;
mod command_line;
mod conformance;
mod dvr;
mod fan_out;
mod front_door;
mod hls_media;
mod https;
mod licences;
mod ice_tcp;
mod lifetime;
mod memory;
mod namespaces;
mod pipelines;
mod reconnect;
mod refusals;
mod source;
mod support;
mod verdict;
