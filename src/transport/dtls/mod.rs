//! DTLS 1.2 of one session: the handshake that gives the SRTP keys (RFC 6347, RFC 5764).
//!
//! The state machine is `rtc::dtls`. Around it: bounds on what a peer may send, the timing of
//! retransmissions, and the check of the peer's certificate against the SDP.

mod records;

#[cfg(any(test, fuzzing))]
pub(super) use records::fuzz as fuzz_records;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rtc::dtls::endpoint::{Endpoint, EndpointEvent};
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::dtls::state::State;
use rtc::shared::TransportProtocol;
use rtc::shared::error::Error;

use self::records::{Records, Verdict};
use super::CloseReason;
use super::identity::{self, FLIGHT_INTERVAL, Identity};
use super::srtp::{self, Inbound, Outbound, Profile};
use crate::sdp::{DtlsRole, Fingerprint};

/// The one address that the library knows the peer by, so that it does not matter to DTLS when
/// the real one changes.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);
/// RFC 5764, section 4.2.
const EXPORTER_LABEL: &str = "EXTRACTOR-dtls_srtp";

/// When the first ClientHello is sent again, doubled each time. FFmpeg drops one that comes right
/// after ICE.
const HELLO_RETRANSMIT: Duration = Duration::from_millis(75);
/// The same for a client's later flights, and for a server's. Longer than the second of RFC 6347,
/// section 4.2.4.1: the peer's own repeats, which are answered at once, shall come first. Peers
/// made of `rtc::dtls` stop repeating a flight when they get ours twice.
const CLIENT_RETRANSMIT: Duration = Duration::from_millis(1200);
const SERVER_RETRANSMIT: Duration = Duration::from_secs(3);
/// The library fails a handshake on the retransmission after this one; the connect deadline is
/// ours to keep, so it is not asked for more. The last one comes after 9.5 s at least.
const MAX_RETRANSMISSIONS: u32 = 7;
/// A peer that repeats its flight gets ours again, but not more often than this.
const REPEAT_INTERVAL: Duration = Duration::from_millis(40);

/// The DTLS association of one session.
pub(super) struct Dtls {
    endpoint: Endpoint,
    records: Records,
    role: DtlsRole,
    remote_fingerprint: Fingerprint,
    /// The flight that the peer has not answered yet.
    flight: Option<Flight>,
    phase: Phase,
}

struct Flight {
    /// When the library would send it again; this changes with every flight, so it tells them apart.
    library_due: Instant,
    sent: Instant,
    interval: Duration,
    retransmissions: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Handshake,
    Established,
    Closed,
}

/// What a datagram led to.
pub(super) enum Progress {
    /// Nothing that the caller must know.
    None,
    /// Nothing of it was of use; count it.
    Dropped,
    /// The handshake is done and the peer is who the SDP said.
    Established(Box<(Outbound, Inbound)>),
}

impl Dtls {
    pub(super) fn new(
        identity: &Identity,
        role: DtlsRole,
        remote_fingerprint: Fingerprint,
    ) -> Self {
        let server_config = match role {
            DtlsRole::Server => Some(Arc::clone(identity.handshake(role))),
            DtlsRole::Client => None,
        };
        Self {
            endpoint: Endpoint::new(PEER, TransportProtocol::UDP, server_config),
            records: Records::new(),
            role,
            remote_fingerprint,
            flight: None,
            phase: Phase::Handshake,
        }
    }

    /// The peer can be reached: a client sends its ClientHello. Again is harmless.
    pub(super) fn start(&mut self, now: Instant, identity: &Identity) -> Result<(), CloseReason> {
        if self.role == DtlsRole::Server || self.phase != Phase::Handshake {
            return Ok(());
        }
        let config = Arc::clone(identity.handshake(self.role));
        let result = self.endpoint.connect(now, PEER, config, None);
        self.note_flight(now, HELLO_RETRANSMIT);
        result.map_err(|_| self.fail(now, CloseReason::HandshakeFailed))
    }

    /// Takes a datagram that came from a validated address.
    ///
    /// # Errors
    ///
    /// Why the session must end.
    pub(super) fn handle_datagram(
        &mut self,
        now: Instant,
        identity: &Identity,
        datagram: &[u8],
    ) -> Result<Progress, CloseReason> {
        if self.phase == Phase::Closed {
            return Ok(Progress::Dropped);
        }
        let records = match self.records.filter(datagram) {
            Verdict::Pass(records) => records,
            Verdict::Repeated => {
                self.repeat(now)?;
                return Ok(Progress::None);
            }
            Verdict::Dropped => return Ok(Progress::Dropped),
        };
        let result = self.read(now, records);
        let interval = match self.role {
            DtlsRole::Client => CLIENT_RETRANSMIT,
            DtlsRole::Server => SERVER_RETRANSMIT,
        };
        self.note_flight(now, interval);
        match result? {
            true => self.establish(now, identity),
            false => Ok(Progress::None),
        }
    }

    /// Sends the flight again when its time has come.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), CloseReason> {
        if self.poll_timeout().is_some_and(|due| due <= now) {
            self.retransmit(now)?;
        }
        Ok(())
    }

    /// When the flight must be sent again.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let flight = self.flight.as_ref()?;
        if flight.retransmissions >= MAX_RETRANSMISSIONS {
            return None;
        }
        Some(flight.sent + flight.interval * (1 << flight.retransmissions))
    }

    /// The next datagram for the peer.
    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.endpoint
            .poll_transmit()
            .map(|transmit| transmit.message.into())
    }

    /// Queues a `close_notify`; nothing else happens from now on.
    pub(super) fn close(&mut self, now: Instant) {
        if self.phase != Phase::Closed {
            self.phase = Phase::Closed;
            self.flight = None;
            // Dropped here: all that the association kept.
            drop(self.endpoint.stop(now, PEER));
        }
    }

    /// Gives records to the library. True when they completed the handshake.
    fn read(&mut self, now: Instant, records: BytesMut) -> Result<bool, CloseReason> {
        match self.endpoint.read(now, PEER, None, records) {
            Ok(events) => {
                let closed = events
                    .iter()
                    .any(|e| matches!(e, EndpointEvent::PeerClosed));
                if closed {
                    return Err(self.fail(now, CloseReason::PeerClosed));
                }
                Ok(events
                    .iter()
                    .any(|e| matches!(e, EndpointEvent::HandshakeComplete)))
            }
            Err(_) if self.phase == Phase::Handshake => {
                Err(self.fail(now, CloseReason::HandshakeFailed))
            }
            Err(Error::ErrAlertFatalOrClose) => Err(self.fail(now, CloseReason::PeerClosed)),
            // A warning of the peer, or a record that was not for us.
            Err(_) => Ok(false),
        }
    }

    /// Checks who the peer is, before anything else counts, and takes the keys.
    fn establish(&mut self, now: Instant, identity: &Identity) -> Result<Progress, CloseReason> {
        let role = self.role;
        let keys = match self.endpoint.get_connection_state(PEER) {
            Some(state) => keys(identity, role, &self.remote_fingerprint, state),
            None => Err(CloseReason::HandshakeFailed),
        };
        let keys = keys.map_err(|reason| self.fail(now, reason))?;
        self.phase = Phase::Established;
        self.flight = None;
        self.records.set_established();
        Ok(Progress::Established(Box::new(keys)))
    }

    fn repeat(&mut self, now: Instant) -> Result<(), CloseReason> {
        let recent = |flight: &Flight| now.saturating_duration_since(flight.sent) < REPEAT_INTERVAL;
        match &self.flight {
            Some(flight) if flight.retransmissions < MAX_RETRANSMISSIONS && !recent(flight) => {
                self.retransmit(now)
            }
            _ => Ok(()),
        }
    }

    fn retransmit(&mut self, now: Instant) -> Result<(), CloseReason> {
        let Some(flight) = &mut self.flight else {
            return Ok(());
        };
        flight.retransmissions += 1;
        flight.sent = now;
        // The library only compares this with its own timer, which is shorter than ours.
        let due = now.max(flight.library_due);
        let result = self.endpoint.handle_timeout(PEER, due);
        if let Some(flight) = &mut self.flight
            && let Some(library_due) = self.endpoint.poll_timeout(&PEER)
        {
            flight.library_due = library_due;
        }
        result.map_err(|_| self.fail(now, CloseReason::HandshakeFailed))
    }

    /// Notices that the library has sent another flight or waits for no answer any more.
    fn note_flight(&mut self, now: Instant, interval: Duration) {
        let due = match self.phase {
            Phase::Handshake => self.endpoint.poll_timeout(&PEER),
            Phase::Established | Phase::Closed => None,
        };
        match (due, &self.flight) {
            (Some(due), Some(flight)) if flight.library_due == due => {}
            (Some(library_due), _) => {
                self.flight = Some(Flight {
                    library_due,
                    sent: now,
                    interval,
                    retransmissions: 0,
                });
            }
            (None, _) => self.flight = None,
        }
    }

    fn fail(&mut self, now: Instant, reason: CloseReason) -> CloseReason {
        self.close(now);
        reason
    }
}

/// The SRTP halves out of a completed handshake with the right peer.
fn keys(
    identity: &Identity,
    role: DtlsRole,
    remote_fingerprint: &Fingerprint,
    state: &State,
) -> Result<(Outbound, Inbound), CloseReason> {
    let crypto = identity.crypto();
    let leaf = state
        .peer_certificates
        .first()
        .ok_or(CloseReason::FingerprintMismatch)?;
    match identity::fingerprint(crypto, leaf) {
        Ok(fingerprint) if fingerprint == *remote_fingerprint => {}
        _ => return Err(CloseReason::FingerprintMismatch),
    }
    let profile = match state.srtp_protection_profile() {
        SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => Profile::AeadAes128Gcm,
        SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => Profile::Aes128CmSha1_80,
        _ => return Err(CloseReason::NoSrtpProfile),
    };
    let material = state
        .export_keying_material(EXPORTER_LABEL, &[], profile.keying_material_len())
        .map_err(|_| CloseReason::HandshakeFailed)?;
    srtp::session(crypto, profile, role, material.as_ref())
        .map_err(|_| CloseReason::HandshakeFailed)
}

const _: () = assert!(FLIGHT_INTERVAL.as_nanos() < REPEAT_INTERVAL.as_nanos());
