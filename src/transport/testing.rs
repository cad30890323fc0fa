//! The other side of a [`Transport`] for tests: a controlling ICE agent, DTLS and SRTP, made of
//! the parts of `rtc` and not of ours. Time is what the test says it is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
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
    ATTR_ICE_CONTROLLED, ATTR_ICE_CONTROLLING, ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME,
};
use rtc::stun::fingerprint::FINGERPRINT;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{BINDING_REQUEST, Message, Setter, TransactionId};
use rtc::stun::textattrs::TextAttribute;

use super::srtp::Profile;
use super::{Config, Event, Identity, Path, Received, Timeouts, Transport};
use crate::sdp::{DtlsRole, Fingerprint, IceCredentials};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SERVER: SocketAddr = SocketAddr::new(LOCAL, 9);
/// How long a datagram is under way in [`Pair::run`].
const TRANSIT: Duration = Duration::from_millis(5);

/// The credentials that [`Pair`] gives to the transport.
pub(crate) fn server_credentials() -> IceCredentials {
    IceCredentials {
        ufrag: "srvr".to_owned(),
        pwd: "the-server-password-0123".to_owned(),
    }
}

/// The path of a client over UDP, from this port of its.
pub(crate) fn client_path(port: u16) -> Path {
    path_from(([192, 0, 2, 1], port))
}

/// The path of a client over UDP, from this address of its.
pub(crate) fn path_from(remote: impl Into<SocketAddr>) -> Path {
    Path::udp(remote.into(), LOCAL)
}

/// What a binding request carries.
#[derive(Clone, Copy, Default)]
pub(crate) struct Check {
    pub(crate) nominate: bool,
    /// Neither PRIORITY nor ICE-CONTROLLING, as FFmpeg 8.0.
    pub(crate) bare: bool,
    /// Claims the controlled role.
    pub(crate) controlled: bool,
}

/// A client made of the parts of `rtc`.
pub(crate) struct Peer {
    pub(crate) fingerprint: Fingerprint,
    /// What the checks name and are signed with.
    pub(crate) server: IceCredentials,
    role: DtlsRole,
    config: Arc<HandshakeConfig>,
    endpoint: Endpoint,
    /// To send and to receive.
    srtp: Option<(Context, Context)>,
    pub(crate) closed_by_server: bool,
    provider: Arc<dyn RTCCryptoProvider>,
}

impl Peer {
    /// `role` is the peer's own.
    pub(crate) fn new(role: DtlsRole, profiles: &[Profile]) -> Self {
        let provider = default_provider().unwrap();
        let crypto = provider.crypto();
        let certificate =
            Certificate::generate_self_signed(vec!["peer".to_owned()], crypto).unwrap();
        let digest = crypto
            .hash(HashAlgorithm::Sha256, &certificate.certificate[0])
            .unwrap();
        let profiles = profiles.iter().map(|profile| match profile {
            Profile::AeadAes128Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
            Profile::Aes128CmSha1_80 => SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
        });
        let config = ConfigBuilder::default()
            .with_crypto_provider(provider.clone())
            .with_certificates(vec![certificate])
            .with_cipher_suites(vec![CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256])
            .with_srtp_protection_profiles(profiles.collect())
            .with_client_auth(ClientAuthType::RequireAnyClientCert)
            .with_insecure_skip_verify(true)
            .with_server_name("peer".to_owned())
            .build(role == DtlsRole::Client, None)
            .unwrap();
        let config = Arc::new(config);
        let server_config = (role == DtlsRole::Server).then(|| config.clone());
        Self {
            fingerprint: Fingerprint(digest.try_into().unwrap()),
            server: server_credentials(),
            role,
            config,
            endpoint: Endpoint::new(SERVER, TransportProtocol::UDP, server_config),
            srtp: None,
            closed_by_server: false,
            provider,
        }
    }

    /// A binding request.
    pub(crate) fn check(&self, check: Check) -> Vec<u8> {
        let mut message = Message::new();
        let username = format!("{}:peer", self.server.ufrag);
        message.set_type(BINDING_REQUEST);
        TransactionId::new().add_to(&mut message).unwrap();
        message.write_header();
        TextAttribute::new(ATTR_USERNAME, username)
            .add_to(&mut message)
            .unwrap();
        if !check.bare {
            message.add(ATTR_PRIORITY, &[0, 0, 0, 1]);
            let role = match check.controlled {
                true => ATTR_ICE_CONTROLLED,
                false => ATTR_ICE_CONTROLLING,
            };
            message.add(role, &[0; 8]);
        }
        if check.nominate {
            message.add(ATTR_USE_CANDIDATE, &[]);
        }
        MessageIntegrity::new_short_term_integrity_with_provider(
            self.server.pwd.clone(),
            self.provider.crypto(),
        )
        .add_to(&mut message)
        .unwrap();
        FINGERPRINT.add_to(&mut message).unwrap();
        message.raw
    }

    /// Sends the ClientHello, when it is the client.
    pub(crate) fn start_dtls(&mut self, now: Instant) {
        if self.role == DtlsRole::Client {
            let config = self.config.clone();
            self.endpoint.connect(now, SERVER, config, None).unwrap();
        }
    }

    /// Takes DTLS records of the server; anything else is ignored.
    pub(crate) fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        if !matches!(datagram.first(), Some(20..=63)) {
            return;
        }
        let result = self
            .endpoint
            .read(now, SERVER, None, BytesMut::from(datagram));
        for event in result.into_iter().flatten() {
            match event {
                EndpointEvent::HandshakeComplete => self.take_keys(),
                EndpointEvent::PeerClosed => self.closed_by_server = true,
                _ => {}
            }
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.endpoint.poll_timeout(&SERVER)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let _ = self.endpoint.handle_timeout(SERVER, now);
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        Some(self.endpoint.poll_transmit()?.message.to_vec())
    }

    /// Says that it goes.
    pub(crate) fn close(&mut self, now: Instant) {
        self.endpoint.close(now).unwrap();
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.srtp.is_some()
    }

    pub(crate) fn protect_rtp(&mut self, packet: &[u8]) -> Vec<u8> {
        let (send, _) = self.srtp.as_mut().unwrap();
        send.encrypt_rtp(packet).unwrap().to_vec()
    }

    pub(crate) fn protect_rtcp(&mut self, packet: &[u8]) -> Vec<u8> {
        let (send, _) = self.srtp.as_mut().unwrap();
        send.encrypt_rtcp(packet).unwrap().to_vec()
    }

    pub(crate) fn unprotect_rtp(&mut self, packet: &[u8]) -> Vec<u8> {
        let (_, receive) = self.srtp.as_mut().unwrap();
        receive.decrypt_rtp(packet).unwrap().to_vec()
    }

    pub(crate) fn unprotect_rtcp(&mut self, packet: &[u8]) -> Vec<u8> {
        let (_, receive) = self.srtp.as_mut().unwrap();
        receive.decrypt_rtcp(packet).unwrap().to_vec()
    }

    fn take_keys(&mut self) {
        let state = self.endpoint.get_connection_state(SERVER).unwrap();
        let (profile, salt_len) = match state.srtp_protection_profile() {
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => (ProtectionProfile::AeadAes128Gcm, 12),
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => {
                (ProtectionProfile::Aes128CmHmacSha1_80, 14)
            }
            _ => return,
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
            Context::new(key, salt, profile, None, None, self.provider.crypto()).unwrap()
        };
        let is_client = self.role == DtlsRole::Client;
        self.srtp = Some((context(is_client), context(!is_client)));
    }
}

/// A [`Transport`] and its [`Peer`] with a network between them, in virtual time.
pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) transport: Transport,
    pub(crate) peer: Peer,
    /// What the peer's datagrams come by.
    pub(crate) path: Path,
    /// What the transport reported, in order.
    pub(crate) events: Vec<Event>,
    /// What is under way, with the time of arrival.
    to_transport: Vec<(Instant, Vec<u8>)>,
    to_peer: Vec<(Instant, Vec<u8>)>,
    /// Datagrams sent so far in both directions; handed to the loss function.
    pub(crate) sent: usize,
}

impl Pair {
    /// `role` is the transport's.
    pub(crate) fn new(role: DtlsRole, profiles: &[Profile]) -> Self {
        let peer_role = match role {
            DtlsRole::Client => DtlsRole::Server,
            DtlsRole::Server => DtlsRole::Client,
        };
        let peer = Peer::new(peer_role, profiles);
        let fingerprint = peer.fingerprint;
        Self::with_fingerprint(role, peer, fingerprint)
    }

    /// As if the SDP had told of another certificate.
    pub(crate) fn with_fingerprint(role: DtlsRole, peer: Peer, fingerprint: Fingerprint) -> Self {
        let now = Instant::now();
        let identity = Arc::new(Identity::generate().unwrap());
        let config = Config {
            local: server_credentials(),
            remote_fingerprint: fingerprint,
            dtls_role: role,
            timeouts: Timeouts::default(),
        };
        Self {
            now,
            transport: Transport::new(now, &identity, &config).unwrap(),
            peer,
            path: client_path(1000),
            events: Vec::new(),
            to_transport: Vec::new(),
            to_peer: Vec::new(),
            sent: 0,
        }
    }

    /// A connected pair with AES-GCM.
    pub(crate) fn connected() -> Self {
        let mut pair = Self::new(DtlsRole::Server, &[Profile::AeadAes128Gcm]);
        pair.connect();
        pair
    }

    /// Does ICE and DTLS without loss.
    pub(crate) fn connect(&mut self) {
        self.begin();
        self.run(Duration::from_secs(2), |_| false);
        assert!(self.transport.is_connected() && self.peer.is_connected());
    }

    /// Sends a nominating check and, as a client, the ClientHello.
    pub(crate) fn begin(&mut self) {
        self.send_check(Check {
            nominate: true,
            ..Check::default()
        });
        self.peer.start_dtls(self.now);
    }

    /// Sends a check by the peer's path; the answer is left in the transport.
    pub(crate) fn send_check(&mut self, check: Check) {
        let request = self.peer.check(check);
        self.deliver(request);
    }

    /// Gives a datagram of the peer to the transport at once; returns what it was and its bytes.
    pub(crate) fn deliver(&mut self, mut datagram: Vec<u8>) -> (Received, Vec<u8>) {
        let received = self
            .transport
            .handle_datagram(self.now, self.path, &mut datagram);
        self.drain_events();
        (received, datagram)
    }

    /// Lets both sides do what they want for `duration`. Datagrams for which `lose` is true of
    /// their number never arrive.
    pub(crate) fn run(&mut self, duration: Duration, lose: impl Fn(usize) -> bool) {
        let end = self.now + duration;
        loop {
            self.collect(&lose);
            let arrivals = self.to_transport.iter().chain(&self.to_peer);
            let next = arrivals
                .map(|(at, _)| *at)
                .chain(self.transport.poll_timeout())
                .chain(self.peer.poll_timeout())
                .min();
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            self.step();
        }
        self.now = end;
    }

    fn collect(&mut self, lose: &impl Fn(usize) -> bool) {
        let arrival = self.now + TRANSIT;
        while let Some((_, datagram)) = self.transport.poll_transmit() {
            if !lose(self.sent) {
                self.to_peer.push((arrival, datagram));
            }
            self.sent += 1;
        }
        while let Some(datagram) = self.peer.poll_transmit() {
            if !lose(self.sent) {
                self.to_transport.push((arrival, datagram));
            }
            self.sent += 1;
        }
    }

    fn step(&mut self) {
        let now = self.now;
        for (_, mut datagram) in self.to_transport.extract_if(.., |(at, _)| *at <= now) {
            self.transport
                .handle_datagram(now, self.path, &mut datagram);
        }
        for (_, datagram) in self.to_peer.extract_if(.., |(at, _)| *at <= now) {
            self.peer.handle_datagram(now, &datagram);
        }
        if self.transport.poll_timeout().is_some_and(|due| due <= now) {
            self.transport.handle_timeout(now);
        }
        if self.peer.poll_timeout().is_some_and(|due| due <= now) {
            self.peer.handle_timeout(now);
        }
        self.drain_events();
    }

    fn drain_events(&mut self) {
        self.events
            .extend(std::iter::from_fn(|| self.transport.poll_event()));
    }
}
