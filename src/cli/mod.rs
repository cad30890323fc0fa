//! The commands: flags in, an exit code out.
//!
//! Each command's module holds its `clap` arguments, its `run` and what it prints; the work is done
//! by the modules below. Nothing below may depend on this one.

pub mod publish;
pub mod signalling;
