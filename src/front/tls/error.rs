//! Why there is no TLS, in words for the one who runs the server.

use std::io;
use std::path::PathBuf;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file can't be read.
    #[error("can't read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or directory can't be written.
    #[error(
        "can't write {}: {source}; let `tls.directory` name a directory that the server may write to",
        path.display()
    )]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file has no certificate.
    #[error(
        "{} holds no certificate; it has to be a PEM file with the server's certificate first and those of its issuers after it",
        path.display()
    )]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A file has no private key.
    #[error("{} holds no private key; it has to be a PEM file with a key that has no passphrase", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// Key and certificate don't belong together, or are of a kind that is not supported.
    #[error(
        "the certificate in {} and the key in {} can't be used together: {source}",
        certificate.display(),
        key.display()
    )]
    Pair {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// A certificate can't be made.
    #[error("can't make a certificate: {0}; look at `tls.names`")]
    Make(#[from] rcgen::Error),
    /// TLS can't be set up.
    #[error("can't set up TLS: {0}")]
    Setup(#[from] rustls::Error),
}
