//! `tidegate check`: looks at a server from outside and says what is wrong with it.
//!
//! One file a subject: each has its flags and its `run`.

mod network;

use std::process::ExitCode;

use clap::{Args, Subcommand};

/// The flags of `tidegate check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Debug, Subcommand)]
enum Subject {
    /// Check whether clients can reach the gateway of this machine, and say what to mend.
    Network(network::NetworkArgs),
}

/// Runs the check that was asked for. The exit status is 0 when nothing that must hold fails, 1 when
/// something does.
pub async fn run(args: CheckArgs) -> ExitCode {
    match args.subject {
        Subject::Network(args) => network::run(args).await,
    }
}
