//! The commands of the program. Each has its arguments and its `run` in a file of its own.

mod config;
mod serve;
mod settings;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{app, telemetry};

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway: take broadcasts by WHIP, give them by WHEP and HLS.
    Serve(serve::Args),
    /// Print the settings that are in force, secrets hidden.
    Config(config::Args),
}

/// Why a command failed. The text is for the user.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] crate::config::Error),
    /// There is no log.
    #[error(transparent)]
    Telemetry(#[from] telemetry::Error),
    /// The system refuses something that every command needs.
    #[error("can't {doing}: {source}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The gateway did not start or broke down.
    #[error(transparent)]
    App(#[from] app::Error),
}

impl Cli {
    /// Does what was asked; the exit status is 0 only if that came about.
    ///
    /// # Errors
    ///
    /// See [`Error`]; nothing was printed about it yet.
    pub fn run(self) -> Result<ExitCode, Error> {
        match self.command {
            Command::Serve(args) => serve::run(args)?,
            Command::Config(args) => config::run(args)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Error {
    /// Exit status of a wrong flag or setting (`EX_USAGE`).
    pub const USAGE: u8 = 64;

    /// The exit status that tells a script what kind of failure it was: 64 if the flags or the
    /// settings have to be changed, else 1.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Config(_) => Self::USAGE,
            Self::Telemetry(_) | Self::System { .. } | Self::App(_) => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
//! The commands: flags in, an exit code out.
//!
//! Each command's module holds its `clap` arguments, its `run` and what it prints; the work is done
//! by the modules below. Nothing below may depend on this one.

pub mod signalling;
pub mod watch;
pub mod publish;
pub mod signalling;
