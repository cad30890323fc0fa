//! The integration tests: one binary, one module for each behaviour.

#![allow(
    clippy::unwrap_used,
    reason = "what fails in a helper of a test fails the test"
)]

mod architecture;
mod command_line;
mod fan_out;
mod licences;
mod source;
mod support;
