//! `tidegate check`: looks at a server from outside and says what is wrong with it.
//!
//! One file a subject: each has its flags and its `run`.

mod conformance;
mod network;

use std::process::ExitCode;

use clap::{Args, Subcommand};

pub use conformance::{CheckError, ConformanceArgs};

/// The flags of `tidegate check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Debug, Subcommand)]
enum Subject {
    /// Check a WHIP endpoint against RFC 9725: any server's, one line a rule.
    Whip(ConformanceArgs),
    /// Check a WHEP endpoint against draft-ietf-wish-whep-04: any server's, one line a rule.
    Whep(ConformanceArgs),
    /// Check whether clients can reach the gateway of this machine, and say what to mend.
    Network(network::NetworkArgs),
}

/// Runs the check that was asked for. The exit status is 0 when nothing that must hold fails, 1 when
/// something does.
///
/// # Errors
/// When the check could not be run.
pub async fn run(args: CheckArgs) -> Result<ExitCode, CheckError> {
    match args.subject {
        Subject::Whip(args) => conformance::run(conformance::Protocol::Whip, args).await,
        Subject::Whep(args) => conformance::run(conformance::Protocol::Whep, args).await,
        Subject::Network(args) => Ok(network::run(args).await),
    }
}
