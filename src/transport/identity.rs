//! Who we are towards every peer: one certificate a process, and what is made of it once.

use std::sync::Arc;
use std::time::Duration;

use rtc::crypto::{CryptoError, HashAlgorithm, RTCCrypto, RTCCryptoProvider, default_provider};
use rtc::dtls::cipher_suite::CipherSuiteId;
use rtc::dtls::config::{ClientAuthType, ConfigBuilder, HandshakeConfig};
use rtc::dtls::crypto::Certificate;
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;

use crate::sdp::{DtlsRole, Fingerprint};

/// The DTLS identity of the process: a self-signed ECDSA P-256 certificate.
///
/// Sessions share it and the handshake settings for both roles, so that a new session costs no
/// key generation. Peers know it by the fingerprint in the answer (RFC 8122); no authority signs it.
pub struct Identity {
    fingerprint: Fingerprint,
    provider: Arc<dyn RTCCryptoProvider>,
    server: Arc<HandshakeConfig>,
    client: Arc<HandshakeConfig>,
}

/// The identity could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The certificate or the handshake settings were refused.
    #[error("can't make the DTLS certificate: {0}")]
    Dtls(#[from] rtc::shared::error::Error),
    /// The crypto provider failed.
    #[error("the crypto provider can't make the DTLS identity: {0}")]
    Crypto(#[from] CryptoError),
}

/// Retransmission is timed by [`super::dtls`]; the library must only agree that it is due.
pub(super) const FLIGHT_INTERVAL: Duration = Duration::from_millis(20);

impl Identity {
    /// Makes a new key and certificate.
    ///
    /// # Errors
    ///
    /// Only when the crypto provider fails, as it does without randomness.
    pub fn generate() -> Result<Self, IdentityError> {
        let provider = default_provider()?;
        let names = vec!["tidegate".to_owned()];
        let certificate = Certificate::generate_self_signed(names, provider.crypto())?;
        let leaf = certificate.certificate.first().map_or(&[][..], |der| der);
        let fingerprint = fingerprint(provider.crypto(), leaf)?;
        let config = |role| handshake_config(&provider, &certificate, role);
        Ok(Self {
            fingerprint,
            server: config(DtlsRole::Server)?,
            client: config(DtlsRole::Client)?,
            provider,
        })
    }

    /// The fingerprint for our SDP.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    pub(super) fn crypto(&self) -> &dyn RTCCrypto {
        self.provider.crypto()
    }

    pub(super) fn handshake(&self, role: DtlsRole) -> &Arc<HandshakeConfig> {
        match role {
            DtlsRole::Server => &self.server,
            DtlsRole::Client => &self.client,
        }
    }
}

/// The SHA-256 fingerprint of a certificate in DER.
pub(super) fn fingerprint(crypto: &dyn RTCCrypto, der: &[u8]) -> Result<Fingerprint, CryptoError> {
    let digest = crypto.hash(HashAlgorithm::Sha256, der)?;
    let digest = digest.try_into();
    digest
        .map(Fingerprint)
        .map_err(|_| CryptoError::Provider("a SHA-256 digest without 32 bytes".to_owned()))
}

fn handshake_config(
    provider: &Arc<dyn RTCCryptoProvider>,
    certificate: &Certificate,
    role: DtlsRole,
) -> Result<Arc<HandshakeConfig>, IdentityError> {
    // Our certificate is ECDSA, so RSA suites can only matter where the peer is the server.
    let suites = match role {
        DtlsRole::Server => vec![CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256],
        DtlsRole::Client => vec![
            CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256,
            CipherSuiteId::Tls_Ecdhe_Rsa_With_Aes_128_Gcm_Sha256,
        ],
    };
    let config = ConfigBuilder::default()
        .with_crypto_provider(Arc::clone(provider))
        .with_certificates(vec![certificate.clone()])
        .with_cipher_suites(suites)
        .with_srtp_protection_profiles(vec![
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
        ])
        .with_client_auth(ClientAuthType::RequireAnyClientCert)
        // No authority signs these certificates: the fingerprint of the SDP is what they are
        // checked against, after the handshake and before anything else.
        .with_insecure_skip_verify(true)
        // Else a client would send a name made of a remote address that we don't have.
        .with_server_name("tidegate".to_owned())
        .with_flight_interval(FLIGHT_INTERVAL)
        .build(role == DtlsRole::Client, None)?;
    Ok(Arc::new(config))
}
