//! A peer's socket with ICE, DTLS and SRTP on it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Received;
use super::keys;
use super::sdp::{Answer, Options};
use super::wire::Wire;
use bytes::BytesMut;
use rtc::dtls::endpoint::{Endpoint, EndpointEvent};
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::rtcp;
use rtc::shared::TransportProtocol;
use rtc::srtp::context::Context;
use rtc::stun::attributes::{
    ATTR_ICE_CONTROLLING, ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME,
};
use rtc::stun::fingerprint::FINGERPRINT;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{BINDING_REQUEST, BINDING_SUCCESS, Message, Setter, TransactionId};
use rtc::stun::textattrs::TextAttribute;

/// The time between two checks: before the first answer, and afterwards (RFC 7675 asks for 5 s).
const CHECKING: Duration = Duration::from_millis(50);
const KEEPING: Duration = Duration::from_secs(1);
/// The longest time between two looks at the DTLS timers.
const LOOK: Duration = Duration::from_millis(100);

/// What a check is signed with.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    pub(crate) ufrag: String,
    pub(crate) pwd: String,
}

/// The DTLS handshake failed.
#[derive(Debug)]
pub(crate) struct LinkError(pub(crate) String);

/// The transport of one peer.
pub(crate) struct Link {
    pub(crate) wire: Wire,
    pub(crate) server: SocketAddr,
    pub(crate) check: Check,
    is_client: bool,
    endpoint: Endpoint,
    profiles: Vec<SrtpProtectionProfile>,
    /// The server answered a check.
    reached: bool,
    next_check: Instant,
    /// To send and to receive with.
    srtp: Option<(Context, Context)>,
    closed: bool,
}

impl Link {
    pub(crate) async fn new(answer: &Answer, options: &Options) -> Self {
        let is_client = answer.peer_begins;
        let server_config =
            (!is_client).then(|| Arc::new(keys::handshake(false, &options.profiles)));
        Self {
            wire: Wire::udp(answer.server).await,
            server: answer.server,
            check: Check {
                ufrag: answer.ufrag.clone(),
                pwd: answer.pwd.clone(),
            },
            is_client,
            endpoint: Endpoint::new(answer.server, TransportProtocol::UDP, server_config),
            profiles: options.profiles.clone(),
            reached: false,
            next_check: Instant::now(),
            srtp: None,
            closed: false,
        }
    }

    /// Does ICE and DTLS.
    pub(crate) async fn connect(&mut self) -> Result<(), LinkError> {
        let connecting = self.do_connect();
        let connected = tokio::time::timeout(super::PATIENCE, connecting).await;
        connected.unwrap_or_else(|_| Err(LinkError("it took too long".to_owned())))
    }

    async fn do_connect(&mut self) -> Result<(), LinkError> {
        let mut received = VecDeque::new();
        while !self.reached {
            self.turn(&mut received).await;
        }
        if self.is_client {
            let config = Arc::new(keys::handshake(true, &self.profiles));
            self.endpoint
                .connect(Instant::now(), self.server, config, None)
                .map_err(|error| LinkError(error.to_string()))?;
        }
        while self.srtp.is_none() {
            self.turn(&mut received).await;
            if self.closed {
                return Err(LinkError("the server closed the handshake".to_owned()));
            }
        }
        Ok(())
    }

    /// Does ICE only: checks until one is answered.
    pub(crate) async fn reach(&mut self) {
        let reaching = async {
            while !self.reached {
                self.turn(&mut VecDeque::new()).await;
            }
        };
        let reached = tokio::time::timeout(super::PATIENCE, reaching).await;
        assert!(reached.is_ok(), "no check was answered");
    }

    /// A binding request that nominates.
    pub(crate) fn request(check: &Check) -> Vec<u8> {
        let mut message = Message::new();
        message.set_type(BINDING_REQUEST);
        TransactionId::new().add_to(&mut message).unwrap();
        message.write_header();
        TextAttribute::new(ATTR_USERNAME, format!("{}:peer", check.ufrag))
            .add_to(&mut message)
            .unwrap();
        message.add(ATTR_PRIORITY, &[0, 0, 0, 1]);
        message.add(ATTR_ICE_CONTROLLING, &[0; 8]);
        message.add(ATTR_USE_CANDIDATE, &[]);
        MessageIntegrity::new_short_term_integrity_with_provider(
            check.pwd.clone(),
            keys::provider().crypto(),
        )
        .add_to(&mut message)
        .unwrap();
        FINGERPRINT.add_to(&mut message).unwrap();
        message.raw
    }

    /// The first flight of a handshake, which is not sent.
    pub(crate) fn client_hello(&mut self) -> Vec<u8> {
        let config = Arc::new(keys::handshake(true, &self.profiles));
        self.endpoint
            .connect(Instant::now(), self.server, config, None)
            .unwrap();
        self.endpoint.poll_transmit().unwrap().message.to_vec()
    }

    /// Sends a DTLS `close_notify`.
    pub(crate) async fn say_goodbye(&mut self) {
        self.endpoint.close(Instant::now()).unwrap();
        self.flush().await;
    }

    /// Moves to another port, as behind a NAT that forgot its mapping. The next turn sends a check.
    pub(crate) async fn rebind(&mut self) {
        self.wire = Wire::udp(self.server).await;
        self.next_check = Instant::now();
        self.reached = false;
    }

    /// Moves to a TCP connection to `door`. The next turn sends a check.
    pub(crate) async fn go_by_tcp(&mut self, door: SocketAddr) {
        self.wire = Wire::tcp(door).await;
        self.next_check = Instant::now();
        self.reached = false;
    }

    /// Sends no checks until [`Self::rebind`] or [`Self::restart`].
    pub(crate) fn hold_checks(&mut self) {
        self.next_check = Instant::now() + Duration::from_secs(3_600);
    }

    /// Goes on with other credentials after an ICE restart.
    pub(crate) fn restart(&mut self, check: Check) {
        self.check = check;
        self.reached = false;
        self.next_check = Instant::now();
    }

    pub(crate) fn is_reached(&self) -> bool {
        self.reached
    }

    /// Sends any bytes.
    pub(crate) async fn send(&mut self, datagram: &[u8]) {
        self.wire.send(datagram).await;
    }

    pub(crate) fn protect_rtp(&mut self, packet: &[u8]) -> Vec<u8> {
        let (outbound, _) = self.srtp.as_mut().expect("connected");
        outbound.encrypt_rtp(packet).unwrap().to_vec()
    }

    pub(crate) async fn send_rtp(&mut self, packet: &[u8]) {
        let datagram = self.protect_rtp(packet);
        self.send(&datagram).await;
    }

    pub(crate) async fn send_rtcp(&mut self, packets: &[Box<dyn rtcp::Packet>]) {
        let compound = rtcp::packet::marshal(packets).unwrap();
        let (outbound, _) = self.srtp.as_mut().expect("connected");
        let datagram = outbound.encrypt_rtcp(&compound).unwrap();
        self.send(&datagram).await;
    }

    /// Waits for a datagram or for what is due, and sees to it.
    pub(crate) async fn turn(&mut self, received: &mut VecDeque<Received>) {
        self.keep_alive().await;
        let now = Instant::now();
        let due = self.endpoint.poll_timeout(&self.server);
        let until = due
            .unwrap_or(now + LOOK)
            .min(self.next_check)
            .min(now + LOOK);
        let arrival = tokio::time::timeout_at(until.into(), self.wire.recv());
        if let Ok(datagram) = arrival.await {
            self.handle(&datagram, received);
        }
        self.flush().await;
    }

    async fn keep_alive(&mut self) {
        let now = Instant::now();
        if self.next_check <= now {
            self.next_check = now + if self.reached { KEEPING } else { CHECKING };
            self.send(&Self::request(&self.check)).await;
        }
        if self
            .endpoint
            .poll_timeout(&self.server)
            .is_some_and(|due| due <= now)
        {
            let _ = self.endpoint.handle_timeout(self.server, now);
        }
        self.flush().await;
    }

    async fn flush(&mut self) {
        while let Some(datagram) = self.endpoint.poll_transmit() {
            self.send(&datagram.message).await;
        }
    }

    fn handle(&mut self, datagram: &[u8], received: &mut VecDeque<Received>) {
        match datagram {
            [0..=3, ..] => self.handle_stun(datagram),
            [20..=63, ..] => self.handle_dtls(datagram, received),
            // RFC 5761, section 4
            [_, 192..=223, ..] => self.handle_rtcp(datagram, received),
            _ => {
                if let Some((_, inbound)) = &mut self.srtp {
                    let packet = inbound.decrypt_rtp(datagram).unwrap();
                    received.push_back(Received::Rtp(packet.to_vec()));
                }
            }
        }
    }

    fn handle_stun(&mut self, datagram: &[u8]) {
        let mut message = Message::new();
        message.raw = datagram.to_vec();
        if message.decode().is_ok() && message.typ == BINDING_SUCCESS {
            self.reached = true;
        }
    }

    fn handle_dtls(&mut self, datagram: &[u8], received: &mut VecDeque<Received>) {
        let events =
            self.endpoint
                .read(Instant::now(), self.server, None, BytesMut::from(datagram));
        for event in events.into_iter().flatten() {
            match event {
                EndpointEvent::HandshakeComplete => {
                    let state = self.endpoint.get_connection_state(self.server).unwrap();
                    self.srtp = Some(keys::srtp(state, self.is_client));
                }
                EndpointEvent::PeerClosed => {
                    self.closed = true;
                    received.push_back(Received::Closed);
                }
                _ => {}
            }
        }
    }

    fn handle_rtcp(&mut self, datagram: &[u8], received: &mut VecDeque<Received>) {
        if let Some((_, inbound)) = &mut self.srtp {
            let compound = inbound.decrypt_rtcp(datagram).unwrap();
            let packets = rtcp::packet::unmarshal(&mut &compound[..]).unwrap();
            received.extend(packets.into_iter().map(Received::Rtcp));
        }
    }
}
