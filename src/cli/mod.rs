//! The commands of the program. Each has its arguments and its `run` in a file of its own.

pub mod check;
pub mod publish;
pub mod signalling;
pub mod watch;

mod config;
mod demo;
mod serve;
mod settings;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::config::{Log, LogFormat};
use crate::{app, telemetry};
use signalling::Session;
use watch::parse_duration as duration;

/// What `publish` and `watch` log: the stacks below them speak of every lost packet as a warning.
const CLIENT_LOG: &str = "error,tidegate=warn";

/// How long ending the session may hold up the end of a client.
const GOODBYE: Duration = Duration::from_secs(3);

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
    /// Publish a test picture, a file or a camera by WHIP.
    Publish(publish::PublishArgs),
    /// Play a WHEP stream without a window and report what came.
    Watch(watch::WatchArgs),
    /// Check a WHIP or WHEP server, any server's, against the documents; or the network of this machine.
    Check(check::CheckArgs),
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
    /// Publishing failed.
    #[error(transparent)]
    Publish(#[from] publish::PublishError),
    /// Watching failed.
    #[error(transparent)]
    Watch(#[from] watch::WatchError),
    /// A check could not be run.
    #[error(transparent)]
    Check(#[from] check::CheckError),
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
            Command::Publish(args) => return Ok(client(publish::run(args))??),
            Command::Watch(args) => return Ok(client(watch::run(args))??),
            Command::Check(args) => return Ok(client(check::run(args))??),
            Command::Config(args) => config::run(args)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Runs a command that is a client: it logs only what goes wrong, and needs few threads.
fn client<T>(command: impl Future<Output = T>) -> Result<T, Error> {
    telemetry::init(&Log {
        filter: CLIENT_LOG.to_owned(),
        format: LogFormat::Text,
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|source| Error::System {
            doing: "start the threads",
            source,
        })?;
    Ok(runtime.block_on(command))
}

/// Ctrl-C, or SIGTERM.
async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    // Without a handler the signal ends the program at once, which stops it too.
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Ends a client's session. A server that doesn't confirm it is not waited for long.
async fn goodbye(session: Session) {
    match tokio::time::timeout(GOODBYE, session.delete()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(%error, "the session was not ended; the server will time it out");
        }
        Err(_) => tracing::warn!("the server did not confirm the end of the session in time"),
    }
}

impl Error {
    /// Exit status of a wrong flag or setting (`EX_USAGE`).
    pub const USAGE: u8 = 64;

    /// The exit status that tells a script what kind of failure it was: 64 if the flags or the
    /// settings have to be changed, 2 if a check could not be run, else 1.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Config(_) => Self::USAGE,
            Self::Check(error) => error.exit_status(),
            Self::Telemetry(_)
            | Self::System { .. }
            | Self::App(_)
            | Self::Publish(_)
            | Self::Watch(_) => 1,
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
