//! Which servers a client believes to be who they say they are.

use std::path::PathBuf;

use reqwest::{Certificate, ClientBuilder};

use super::SignallingError;

/// The flags for servers whose certificate no public authority has signed.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Trust {
    /// Trust the certificates in this PEM file as well, such as a server's self-signed.crt
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Talk to a server whatever its certificate, which anybody on the way can give himself out for
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
}

impl Trust {
    pub(super) fn apply(
        &self,
        mut client: ClientBuilder,
    ) -> Result<ClientBuilder, SignallingError> {
        if let Some(path) = &self.ca {
            let text = std::fs::read(path).map_err(|source| SignallingError::Ca {
                path: path.clone(),
                source,
            })?;
            let certificates = Certificate::from_pem_bundle(&text).unwrap_or_default();
            if certificates.is_empty() {
                return Err(SignallingError::NoCa { path: path.clone() });
            }
            for certificate in certificates {
                client = client.add_root_certificate(certificate);
            }
        }
        Ok(client.danger_accept_invalid_certs(self.insecure))
    }
}
