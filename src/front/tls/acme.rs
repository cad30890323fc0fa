//! A certificate by ACME (RFC 8555): ordered, kept, renewed in time.
//!
//! The authority convinces itself by TLS-ALPN-01 (RFC 8737) that the name is ours: it connects to
//! port 443 of the name, which has to lead to the front door, and to nothing else. Account and
//! certificate are kept, as authorities give few of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::ResolvesServerCert;
use rustls::{ClientConfig, RootCertStore};
use rustls_acme::acme::{
    Identifier, LETS_ENCRYPT_PRODUCTION_DIRECTORY, LETS_ENCRYPT_STAGING_DIRECTORY,
};
use rustls_acme::caches::DirCache;
use rustls_acme::{AcmeConfig, EventError, EventOk, OrderError};
use tokio_stream::StreamExt as _;

use super::self_signed::make_directory;
use super::{TlsError, files, provider};

/// What the authority is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// The names of the certificate.
    pub domains: Vec<String>,
    /// Mail addresses for warnings of the authority.
    pub contact: Vec<String>,
    /// The URL of the authority's directory.
    pub directory: String,
    /// A PEM file with the roots that the authority's own server is trusted by, in the place of the
    /// usual ones.
    pub root: Option<PathBuf>,
    /// Where account and certificate are kept.
    pub cache: PathBuf,
}

impl Acme {
    /// The directory of Let's Encrypt.
    pub const LETS_ENCRYPT: &str = LETS_ENCRYPT_PRODUCTION_DIRECTORY;
    /// The directory of its test system.
    pub const LETS_ENCRYPT_STAGING: &str = LETS_ENCRYPT_STAGING_DIRECTORY;
}

/// After a failure it waits so long, after each further one four times as long: authorities count.
const FIRST_WAIT: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_secs(6 * 3600);

/// What answers handshakes, and what keeps the certificate new for as long as it is polled.
pub(super) fn start(
    acme: &Acme,
) -> Result<
    (
        Arc<dyn ResolvesServerCert>,
        impl Future<Output = ()> + use<>,
    ),
    TlsError,
> {
    // It writes its keys as readable to all.
    make_directory(&acme.cache)?;
    let contact = acme
        .contact
        .iter()
        .map(|address| format!("mailto:{address}"));
    let mut config = AcmeConfig::new_with_provider(&acme.domains, provider())
        .contact(contact)
        .directory(&acme.directory);
    if let Some(root) = &acme.root {
        let client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots(root)?)
            .with_no_client_auth();
        config = config.client_tls_config(Arc::new(client));
    }
    let mut state = config.cache(DirCache::new(acme.cache.clone())).state();
    let resolver = state.resolver();
    let keeper = async move {
        let mut wait = FIRST_WAIT;
        while let Some(event) = state.next().await {
            match event {
                Ok(EventOk::DeployedNewCert) => {
                    tracing::info!("got a new certificate for HTTPS from the authority");
                    wait = FIRST_WAIT;
                }
                Ok(EventOk::DeployedCachedCert) => {
                    tracing::info!("the certificate for HTTPS of the last start is still good");
                }
                Ok(event) => tracing::debug!(?event, "ACME"),
                Err(EventError::Order(error)) => {
                    tracing::warn!(
                        error = reason(&error),
                        retry_after = ?wait,
                        "the authority gave no certificate for HTTPS; port 443 of each name in \
                         `tls.acme.domains` has to lead here"
                    );
                    tokio::time::sleep(wait).await;
                    wait = (wait * 4).min(LONGEST_WAIT);
                }
                Err(error) => tracing::warn!(%error, "ACME: the cache or a certificate in it"),
            }
        }
    };
    Ok((resolver, keeper))
}

/// What the authority found wrong with a name; the error itself is its whole answer.
fn reason(error: &OrderError) -> String {
    let OrderError::BadAuth(auth) = error else {
        return error.to_string();
    };
    let Identifier::Dns(name) = &auth.identifier;
    let problems = auth.challenges.iter().filter_map(|of| of.error.as_ref());
    let details: Vec<_> = problems.filter_map(|of| of.detail.as_deref()).collect();
    format!("{name}: {}", details.join("; "))
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let text = files::read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&text).filter_map(Result::ok);
    if roots.add_parsable_certificates(certificates).0 == 0 {
        return Err(TlsError::NoCertificate {
            path: path.to_owned(),
        });
    }
    Ok(roots)
}
