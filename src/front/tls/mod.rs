//! TLS for the front door: where its certificate comes from, and the handshake.
//!
//! Nothing else makes certificates, or serves by rustls; as a client `tidegate check` uses that too.
//! DTLS, which media uses, is another thing with another certificate (see
//! [`transport`](crate::transport)).

mod acme;
mod error;
mod files;
mod self_signed;

pub use acme::Acme;
pub use error::TlsError;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, Ticketer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::Begun;

/// A connection whose handshake is finished.
pub type TlsStream = tokio_rustls::server::TlsStream<Begun<TcpStream>>;

/// RFC 7301; the names stand in RFC 9113, section 3.1 and RFC 8737, section 6.2.
const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";
const ACME_CHALLENGE: &[u8] = b"acme-tls/1";

/// Where the certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// From two PEM files, which are read again when they change.
    Files {
        /// The chain, the server's own certificate first.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// Made here, again before it ends, and kept in a directory so that what browsers remember of it
    /// stays true.
    SelfSigned {
        /// The directory; it is made if there is none.
        directory: PathBuf,
        /// The host names and addresses that it is for.
        names: Vec<String>,
    },
    /// From a certificate authority that speaks ACME (RFC 8555).
    Acme(Acme),
}

/// Accepts TLS. The certificate is looked after until this is dropped.
pub struct Tls {
    acceptor: TlsAcceptor,
    keeper: Option<JoinHandle<()>>,
}

/// The certificate of now.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl Certificate {
    /// The file in its directory that a self-signed certificate is in, without its key: what a client
    /// needs to trust it.
    pub const SELF_SIGNED: &str = self_signed::CERTIFICATE;
}

impl Tls {
    /// Gets the certificate, or begins to get it, and starts what looks after it. Inside a runtime.
    ///
    /// # Errors
    ///
    /// When the files can't be read or written or hold something else. A certificate by ACME may
    /// come later; what goes wrong there is logged.
    pub fn start(certificate: &Certificate) -> Result<Self, TlsError> {
        let (resolver, keeper): (Arc<dyn ResolvesServerCert>, _) = match certificate {
            Certificate::Files { certificate, key } => {
                let files = files::Files::new(certificate, key);
                let seen = files.stamp();
                let current = Arc::new(Current::new(files.load()?));
                let keeper = files::watch(files, seen, Arc::clone(&current));
                (current, Some(tokio::spawn(keeper)))
            }
            Certificate::SelfSigned { directory, names } => {
                let key = self_signed::load_or_make(directory, names)?;
                let current = Arc::new(Current::new(key));
                let (directory, names) = (directory.clone(), names.clone());
                let keeper = self_signed::watch(directory, names, Arc::clone(&current));
                (current, Some(tokio::spawn(keeper)))
            }
            Certificate::Acme(acme) => {
                let (resolver, keeper) = acme::start(acme)?;
                (resolver, Some(tokio::spawn(keeper)))
            }
        };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
        if matches!(certificate, Certificate::Acme(_)) {
            config.alpn_protocols.push(ACME_CHALLENGE.to_vec());
        }
        // Clients that come back keep their session themselves.
        config.ticketer = Ticketer::new()?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            keeper,
        })
    }

    /// The handshake. `None` if it was a certificate authority, which has seen what it wanted.
    pub(super) async fn accept(&self, stream: Begun<TcpStream>) -> io::Result<Option<TlsStream>> {
        let mut stream = self.acceptor.accept(stream).await?;
        if stream.get_ref().1.alpn_protocol() == Some(ACME_CHALLENGE) {
            stream.shutdown().await?;
            return Ok(None);
        }
        Ok(Some(stream))
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        if let Some(keeper) = &self.keeper {
            keeper.abort();
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Current {
    fn new(key: CertifiedKey) -> Self {
        Self(RwLock::new(Arc::new(key)))
    }

    /// For connections that come from now on.
    fn set(&self, key: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let key = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&key))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
