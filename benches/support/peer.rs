//! The other side of a session: a controlling ICE agent and a DTLS client, made of the parts of
//! `rtc` and not of ours. It owns no socket and reads no clock.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rtc::crypto::{HashAlgorithm, RTCCryptoProvider, default_provider};
use rtc::dtls::cipher_suite::CipherSuiteId;
use rtc::dtls::config::{ClientAuthType, ConfigBuilder, HandshakeConfig};
use rtc::dtls::crypto::Certificate;
use rtc::dtls::endpoint::{Endpoint, EndpointEvent};
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::shared::TransportProtocol;
use rtc::srtp::context::Context;
use rtc::srtp::protection_profile::ProtectionProfile;
use rtc::stun::attributes::{
    ATTR_ICE_CONTROLLING, ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME,
};
use rtc::stun::fingerprint::FINGERPRINT;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{BINDING_REQUEST, Message, Setter, TransactionId};
use rtc::stun::textattrs::TextAttribute;
use tidegate::sdp::{Fingerprint, IceCredentials};

/// How long to wait for an answer before asking again.
pub(crate) const PATIENCE: Duration = Duration::from_millis(50);

/// One certificate for all peers of a bench: making one is no part of what is measured.
#[derive(Clone)]
pub(crate) struct PeerIdentity {
    pub(crate) fingerprint: Fingerprint,
    handshake: Arc<HandshakeConfig>,
    provider: Arc<dyn RTCCryptoProvider>,
}

impl PeerIdentity {
    pub(crate) fn generate() -> Self {
        let provider = default_provider().unwrap();
        let crypto = provider.crypto();
        let certificate =
            Certificate::generate_self_signed(vec!["peer".to_owned()], crypto).unwrap();
        let digest = crypto
            .hash(HashAlgorithm::Sha256, &certificate.certificate[0])
            .unwrap();
        let handshake = ConfigBuilder::default()
            .with_crypto_provider(Arc::clone(&provider))
            .with_certificates(vec![certificate])
            .with_cipher_suites(vec![CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256])
            .with_srtp_protection_profiles(vec![SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm])
            .with_client_auth(ClientAuthType::RequireAnyClientCert)
            .with_insecure_skip_verify(true)
            .with_server_name("peer".to_owned())
            .build(true, None)
            .unwrap();
        Self {
            fingerprint: Fingerprint(digest.try_into().unwrap()),
            handshake: Arc::new(handshake),
            provider,
        }
    }
}

/// A WebRTC client as far as its transport.
pub(crate) struct Peer {
    identity: PeerIdentity,
    server: SocketAddr,
    credentials: IceCredentials,
    endpoint: Endpoint,
    /// What it sends is sealed with; none before it is connected.
    outbound: Option<Context>,
    started: bool,
}

impl Peer {
    /// A peer of the session that `server` knows under `credentials`.
    pub(crate) fn new(
        identity: &PeerIdentity,
        server: SocketAddr,
        credentials: IceCredentials,
    ) -> Self {
        Self {
            identity: identity.clone(),
            server,
            credentials,
            endpoint: Endpoint::new(server, TransportProtocol::UDP, None),
            outbound: None,
            started: false,
        }
    }

    /// A check that nominates its pair.
    pub(crate) fn check(&self) -> Vec<u8> {
        let mut message = Message::new();
        message.set_type(BINDING_REQUEST);
        TransactionId::new().add_to(&mut message).unwrap();
        message.write_header();
        TextAttribute::new(ATTR_USERNAME, format!("{}:peer", self.credentials.ufrag))
            .add_to(&mut message)
            .unwrap();
        message.add(ATTR_PRIORITY, &[0, 0, 0, 1]);
        message.add(ATTR_ICE_CONTROLLING, &[0; 8]);
        message.add(ATTR_USE_CANDIDATE, &[]);
        MessageIntegrity::new_short_term_integrity_with_provider(
            self.credentials.pwd.clone(),
            self.identity.provider.crypto(),
        )
        .add_to(&mut message)
        .unwrap();
        FINGERPRINT.add_to(&mut message).unwrap();
        message.raw
    }

    /// Takes what came from the server. Returns whether it was media.
    pub(crate) fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> bool {
        match datagram.first() {
            // The answer to a check: the path is good, DTLS may begin.
            Some(0..=3) if !self.started => {
                self.started = true;
                let handshake = Arc::clone(&self.identity.handshake);
                self.endpoint
                    .connect(now, self.server, handshake, None)
                    .unwrap();
            }
            Some(20..=63) => {
                let datagram = BytesMut::from(datagram);
                let events = self.endpoint.read(now, self.server, None, datagram);
                for event in events.unwrap() {
                    if matches!(event, EndpointEvent::HandshakeComplete) {
                        self.take_keys();
                    }
                }
            }
            Some(128..=191) => return true,
            _ => {}
        }
        false
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        Some(self.endpoint.poll_transmit()?.message.to_vec())
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.endpoint.poll_timeout(&self.server)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let _ = self.endpoint.handle_timeout(self.server, now);
    }

    pub(crate) fn is_started(&self) -> bool {
        self.started
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.outbound.is_some()
    }

    pub(crate) fn protect_rtp(&mut self, packet: &[u8]) -> Vec<u8> {
        let outbound = self.outbound.as_mut().unwrap();
        outbound.encrypt_rtp(packet).unwrap().to_vec()
    }

    /// A request to send the packet before this one again (RFC 4585, section 6.2.1).
    pub(crate) fn nack(&mut self, datagram: &[u8]) -> Option<Vec<u8>> {
        let (head, ssrc) = (datagram.first_chunk::<12>()?, datagram.get(8..12)?);
        let before = u16::from_be_bytes([head[2], head[3]]).wrapping_sub(1);
        let mut body = ssrc.to_vec();
        body.extend_from_slice(&before.to_be_bytes());
        body.extend_from_slice(&[0, 0]);
        self.feedback(0x81, 205, &body)
    }

    /// A request for a keyframe (RFC 4585, section 6.3.1).
    pub(crate) fn picture_loss(&mut self, datagram: &[u8]) -> Option<Vec<u8>> {
        let ssrc = datagram.get(8..12)?.to_vec();
        self.feedback(0x81, 206, &ssrc)
    }

    fn feedback(&mut self, first: u8, kind: u8, body: &[u8]) -> Option<Vec<u8>> {
        let words = (4 + body.len()) / 4;
        let mut packet = vec![first, kind, 0, words as u8, 0, 0, 0, 1];
        packet.extend_from_slice(body);
        Some(self.outbound.as_mut()?.encrypt_rtcp(&packet).ok()?.to_vec())
    }

    /// Does ICE and DTLS over `socket`, waiting for it.
    pub(crate) fn connect(&mut self, socket: &UdpSocket) {
        let begun = Instant::now();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut buffer = [0; 2048];
        while !self.is_connected() {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "a peer could not connect"
            );
            if !self.started {
                socket.send_to(&self.check(), self.server).unwrap();
            }
            match socket.recv_from(&mut buffer) {
                Ok((len, _)) => {
                    self.handle_datagram(Instant::now(), &buffer[..len]);
                }
                Err(_) => self.handle_timeout(Instant::now()),
            }
            while let Some(datagram) = self.poll_transmit() {
                socket.send_to(&datagram, self.server).unwrap();
            }
        }
    }

    fn take_keys(&mut self) {
        const KEY: usize = 16;
        const SALT: usize = 12;
        let state = self.endpoint.get_connection_state(self.server).unwrap();
        let material = state
            .export_keying_material("EXTRACTOR-dtls_srtp", &[], 2 * (KEY + SALT))
            .unwrap();
        let (keys, salts) = material.as_ref().split_at(2 * KEY);
        let context = Context::new(
            &keys[..KEY],
            &salts[..SALT],
            ProtectionProfile::AeadAes128Gcm,
            None,
            None,
            self.identity.provider.crypto(),
        );
        self.outbound = Some(context.unwrap());
    }
}
