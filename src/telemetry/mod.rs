//! The log: who gets it, in which form, and what must never be in it.
//!
//! Never logged: SDP, tokens, ICE credentials, session ids and whole addresses
//! ([`PartialAddr`] shows what may be shown of one). Nothing is logged per packet.

#[cfg(test)]
pub(crate) mod capture;
mod redaction;

pub use redaction::PartialAddr;

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::config::{Log, LogFormat};

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The filter can't be read. Settings hold a checked one.
    #[error("`log.filter` can't be used: {0}")]
    Filter(#[from] ParseError),
    /// The process has a log already.
    #[error("the log was started twice: {0}")]
    Started(#[from] TryInitError),
}

/// Starts the log of this process on stderr.
///
/// # Errors
///
/// See [`Error`].
pub fn init(log: &Log) -> Result<(), Error> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(&log.filter)?)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match log.format {
        LogFormat::Text => builder.compact().finish().try_init()?,
        LogFormat::Json => builder.json().finish().try_init()?,
    }
    Ok(())
}

/// The library of DTLS warns of each extension that it does not know, several for each browser that
/// comes; whoever wants to see that can name it.
fn filter(directives: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::try_new(format!("rtc_dtls=error,{directives}"))
}
