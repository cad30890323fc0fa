//! The certificate of all peers of a process, and the SRTP keys of a session.

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use rtc::crypto::{HashAlgorithm, RTCCryptoProvider, default_provider};
use rtc::dtls::cipher_suite::CipherSuiteId;
use rtc::dtls::config::{ClientAuthType, ConfigBuilder, HandshakeConfig};
use rtc::dtls::crypto::Certificate;
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::dtls::state::State;
use rtc::srtp::context::Context;
use rtc::srtp::protection_profile::ProtectionProfile;

static PROVIDER: LazyLock<Arc<dyn RTCCryptoProvider>> =
    LazyLock::new(|| default_provider().unwrap());
static CERTIFICATE: LazyLock<(Certificate, String)> = LazyLock::new(|| {
    let crypto = PROVIDER.crypto();
    let certificate = Certificate::generate_self_signed(vec!["peer".to_owned()], crypto).unwrap();
    let digest = crypto
        .hash(HashAlgorithm::Sha256, &certificate.certificate[0])
        .unwrap();
    let mut fingerprint = String::new();
    for byte in digest {
        let colon = if fingerprint.is_empty() { "" } else { ":" };
        let _ = write!(fingerprint, "{colon}{byte:02X}");
    }
    (certificate, fingerprint)
});

pub(super) fn provider() -> &'static dyn RTCCryptoProvider {
    &**PROVIDER
}

/// As in `a=fingerprint:sha-256 …`.
pub(super) fn fingerprint() -> &'static str {
    &CERTIFICATE.1
}

pub(super) fn handshake(is_client: bool, profiles: &[SrtpProtectionProfile]) -> HandshakeConfig {
    ConfigBuilder::default()
        .with_crypto_provider(PROVIDER.clone())
        .with_certificates(vec![CERTIFICATE.0.clone()])
        .with_cipher_suites(vec![CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256])
        .with_srtp_protection_profiles(profiles.to_vec())
        .with_client_auth(ClientAuthType::RequireAnyClientCert)
        .with_insecure_skip_verify(true)
        .with_server_name("peer".to_owned())
        .build(is_client, None)
        .unwrap()
}

/// The contexts to send and to receive with.
pub(super) fn srtp(state: &State, is_client: bool) -> (Context, Context) {
    let (profile, salt_len) = match state.srtp_protection_profile() {
        SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => (ProtectionProfile::AeadAes128Gcm, 12),
        SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => {
            (ProtectionProfile::Aes128CmHmacSha1_80, 14)
        }
        other => panic!("the server chose {other:?}"),
    };
    let material = state
        .export_keying_material("EXTRACTOR-dtls_srtp", &[], 2 * (16 + salt_len))
        .unwrap();
    let (keys, salts) = material.as_ref().split_at(32);
    let context = |client: bool| {
        let (key, salt) = match client {
            true => (&keys[..16], &salts[..salt_len]),
            false => (&keys[16..], &salts[salt_len..]),
        };
        Context::new(key, salt, profile, None, None, PROVIDER.crypto()).unwrap()
    };
    (context(is_client), context(!is_client))
}
