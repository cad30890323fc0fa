//! The integration tests: one binary, one module for each behaviour.

mod architecture;
mod command_line;
mod licences;
mod source;
