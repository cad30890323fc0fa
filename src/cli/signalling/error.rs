//! Why there is no session, in words for the one who runs the client; no secrets, no paths.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use super::{MAX_REDIRECTS, Refusal, origin};

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignallingError {
    /// The text is no URL.
    #[error(
        "the URL can't be read ({source}); give a whole one such as http://127.0.0.1:8080/whip/demo"
    )]
    Url {
        /// What is wrong with it.
        source: <Url as std::str::FromStr>::Err,
    },
    /// A URL of another kind than HTTP.
    #[error("the URL must begin with http:// or https:// and name a host")]
    Scheme,
    /// The token has bytes that an HTTP header can't carry.
    #[error("the token has characters that a header can't carry; check how it was pasted")]
    Token,
    /// The HTTP client could not be set up.
    #[error("can't set up the HTTP client: {source}")]
    Client {
        /// The reason.
        source: reqwest::Error,
    },
    /// The file of certificates can't be read.
    #[error("can't read the certificates in {}: {source}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file has no certificates.
    #[error("{} holds no certificate in PEM form", path.display())]
    NoCa {
        /// The file.
        path: PathBuf,
    },
    /// The server's certificate is of nobody who is trusted, or for another name.
    #[error(
        "the certificate of {origin} is not trusted ({reason}); if it is your own server, name its certificate with --ca, or use --insecure"
    )]
    Untrusted {
        /// Scheme, host and port of the server.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No answer came.
    #[error("can't reach {origin}: {reason}; check that the server runs and that the URL is right")]
    Unreachable {
        /// Scheme, host and port of the server.
        origin: String,
        /// The innermost reason, from the system or the TLS library.
        reason: String,
    },
    /// The connection broke while the answer was read, or the answer is over 64 KiB.
    #[error("the server's answer can't be read: {reason}")]
    Broken {
        /// The reason.
        reason: String,
    },
    /// The server said no.
    #[error(transparent)]
    Refused(Refusal),
    /// `201` without `Location`.
    #[error(
        "the server made a session but did not say where (no Location); is this a WHIP or WHEP URL?"
    )]
    NoLocation,
    /// A `Location` that is no HTTP URL.
    #[error("the server's Location is not a URL that can be followed")]
    Location,
    /// The answer is no SDP.
    #[error("the server's answer is not SDP; is this a WHIP or WHEP URL?")]
    NotSdp,
    /// A circle, or a long chain, of redirects.
    #[error(
        "the server redirects more than {MAX_REDIRECTS} times; check its cluster configuration"
    )]
    Redirects,
}

impl SignallingError {
    /// How long the server asks to wait before another try (`Retry-After`), when it says so: nobody
    /// publishes yet, too many requests, or it is full.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            _ => None,
        }
    }

    pub(super) fn unreachable(url: &Url, source: reqwest::Error) -> Self {
        let (origin, reason) = (origin(url), reason(source));
        match reason.strip_prefix("invalid peer certificate: ") {
            Some(reason) => Self::Untrusted {
                origin,
                reason: reason.to_owned(),
            },
            None => Self::Unreachable { origin, reason },
        }
    }
}

/// The innermost cause: the outer ones only say that a request failed. The URL is left out.
pub(in crate::cli) fn reason(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
