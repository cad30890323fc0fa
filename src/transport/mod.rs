//! One WebRTC transport of one session: ICE-lite, DTLS and SRTP put together.
//!
//! Pure: it owns no socket and reads no clock. Datagrams of the session go in by
//! [`Transport::handle_datagram`], which decrypts media in place; what is to be sent and what the
//! caller must know come out of [`Transport::poll_transmit`] and [`Transport::poll_event`].
//! Media goes out through [`Transport::outbound`], which does not pass here at all.
//!
//! What the network may cost us is bounded: nothing is kept for a path before a STUN check by it
//! was authentic, DTLS is heard only by such paths and only so much of it, and SRTP
//! states are made only for authentic packets. Nothing that is not authentic is ever answered.
//!
//! It never logs addresses, credentials or keys.

pub mod demux;
mod dtls;
mod event;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod framing;
pub mod ice;
mod identity;
mod path;
pub mod srtp;
#[cfg(test)]
pub(crate) mod testing;

pub use event::{CloseReason, Counters, Event, Received};
pub use identity::{Identity, IdentityError};
pub use path::{ConnectionId, Path, Via};

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::demux::Kind;
use self::dtls::{Dtls, Progress};
use self::ice::{Agent, Changes, Outcome};
use self::srtp::{Inbound, Outbound, SrtpError};
use crate::sdp::{DtlsRole, Fingerprint, IceCredentials};

/// What a session's offer and answer agreed on for its transport.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our credentials in the answer. The peer's are of no use to a lite agent, which checks nothing.
    pub local: IceCredentials,
    /// The peer's certificate, from its offer.
    pub remote_fingerprint: Fingerprint,
    /// Our role.
    pub dtls_role: DtlsRole,
    /// How long to wait.
    pub timeouts: Timeouts,
}

/// How long a transport waits for its peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// From its creation until ICE and DTLS are done.
    pub connect: Duration,
    /// Without an authentic STUN check, SRTP or SRTCP packet (RFC 7675 speaks of 30 s).
    pub consent: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            consent: Duration::from_secs(15),
        }
    }
}

/// The transport of one session.
pub struct Transport {
    identity: Arc<Identity>,
    timeouts: Timeouts,
    phase: Phase,
    /// When something authentic came last.
    last_heard: Instant,
    // The layers.
    ice: Agent,
    dtls: Dtls,
    srtp: Option<Box<(Outbound, Inbound)>>,
    // What the caller polls.
    transmits: VecDeque<(Path, Vec<u8>)>,
    events: VecDeque<Event>,
    counters: Counters,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Connecting { deadline: Instant },
    Connected,
    Closed,
}

impl Transport {
    /// A transport that waits for its peer.
    ///
    /// # Errors
    ///
    /// [`CloseReason::Crypto`] when the crypto provider fails.
    pub fn new(
        now: Instant,
        identity: &Arc<Identity>,
        config: &Config,
    ) -> Result<Self, CloseReason> {
        Ok(Self {
            phase: Phase::Connecting {
                deadline: now + config.timeouts.connect,
            },
            timeouts: config.timeouts,
            last_heard: now,
            ice: Agent::new(identity.crypto(), &config.local).map_err(|_| CloseReason::Crypto)?,
            dtls: Dtls::new(identity, config.dtls_role, config.remote_fingerprint),
            srtp: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
            identity: Arc::clone(identity),
        })
    }

    /// Takes a datagram that came by `from`. Media is decrypted in place.
    pub fn handle_datagram(&mut self, now: Instant, from: Path, datagram: &mut [u8]) -> Received {
        if self.phase == Phase::Closed {
            return Received::Nothing;
        }
        let kind = demux::classify(datagram);
        match kind {
            Kind::Stun => self.handle_stun(now, from, datagram),
            Kind::Other => self.counters.unknown += 1,
            Kind::Dtls | Kind::Rtp | Kind::Rtcp if !self.ice.is_validated(from) => {
                self.counters.foreign_path += 1;
            }
            Kind::Dtls => self.handle_dtls(now, from, datagram),
            Kind::Rtp | Kind::Rtcp => return self.handle_media(now, from, kind, datagram),
        }
        Received::Nothing
    }

    /// Takes an RTP packet that came by a path on which the peer has not been checked: decrypts it in
    /// place if it is authentic, and else drops it.
    ///
    /// For media that a peer sends while a NAT has given it another address and its next check is
    /// seconds away (RFC 7675, section 5.1). Only the packet is taken: nothing is ever sent there, so
    /// whoever repeats a packet from elsewhere turns nothing to a victim.
    pub fn handle_stray_media(&mut self, now: Instant, datagram: &mut [u8]) -> Received {
        if self.phase != Phase::Connected {
            self.counters.foreign_path += 1;
            return Received::Nothing;
        }
        let received = self.decrypt(Kind::Rtp, datagram);
        if !matches!(received, Received::Nothing) {
            self.last_heard = now;
        }
        received
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Connecting { deadline } if deadline <= now => {
                self.end(CloseReason::ConnectTimeout);
            }
            Phase::Connected if self.consent_deadline() <= now => {
                self.end(CloseReason::ConsentExpired);
            }
            Phase::Connecting { .. } | Phase::Connected => {
                let result = self.dtls.handle_timeout(now);
                self.flush_dtls();
                if let Err(reason) = result {
                    self.end(reason);
                }
            }
            Phase::Closed => {}
        }
    }

    /// When [`Self::handle_timeout`] must be called. Later calls of other methods may move it;
    /// a call that comes too early does no harm.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadline = match self.phase {
            Phase::Connecting { deadline } => deadline,
            Phase::Connected => self.consent_deadline(),
            Phase::Closed => return None,
        };
        let due = self.dtls.poll_timeout();
        Some(due.map_or(deadline, |due| due.min(deadline)))
    }

    /// The next datagram to send that is not media: STUN answers and DTLS records.
    pub fn poll_transmit(&mut self) -> Option<(Path, Vec<u8>)> {
        self.transmits.pop_front()
    }

    /// What happened since the last call.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Where media goes: the path that the peer nominated last, or before any nomination the first
    /// that a check came by. `None` before that.
    pub fn path(&self) -> Option<Path> {
        self.ice.selected()
    }

    /// Whether media may flow.
    pub fn is_connected(&self) -> bool {
        self.phase == Phase::Connected
    }

    /// The sending side of SRTP; `None` unless connected.
    pub fn outbound(&mut self) -> Option<&mut Outbound> {
        match (&mut self.srtp, self.phase) {
            (Some(srtp), Phase::Connected) => Some(&mut srtp.0),
            _ => None,
        }
    }

    /// The path has come to its end: a connection was closed. Without another one that was heard
    /// just now the transport waits for a check, as long as it waits for any sign of life.
    pub fn forget_path(&mut self, now: Instant, path: Path) {
        let changes = self.ice.forget(now, path);
        self.note_changes(changes);
    }

    /// Begins an ICE restart with new local credentials (RFC 8445, section 9).
    ///
    /// The old ones go on being accepted until a check with the new ones succeeds, and media goes
    /// on by the old path until the peer nominates another.
    pub fn restart_ice(&mut self, local: &IceCredentials) {
        if self.ice.restart(self.identity.crypto(), local).is_err() {
            self.end(CloseReason::Crypto);
        }
    }

    /// Ends the transport: a `close_notify` for the peer is queued, nothing else happens any more.
    pub fn close(&mut self, now: Instant) {
        if self.phase != Phase::Closed {
            self.dtls.close(now);
            self.flush_dtls();
            self.phase = Phase::Closed;
            self.srtp = None;
        }
    }

    /// What was dropped since the last call.
    pub fn take_counters(&mut self) -> Counters {
        std::mem::take(&mut self.counters)
    }

    fn handle_stun(&mut self, now: Instant, from: Path, datagram: &[u8]) {
        match self.ice.handle(now, from, datagram) {
            Ok(Outcome::Checked { response, changes }) => {
                self.last_heard = now;
                self.transmits.push_back((from, response));
                self.note_changes(changes);
                if changes.selected.is_some() {
                    let result = self.dtls.start(now, &self.identity);
                    self.flush_dtls();
                    if let Err(reason) = result {
                        self.end(reason);
                    }
                }
            }
            Ok(Outcome::Refused { response }) => {
                self.counters.stun_refused += 1;
                self.transmits.push_back((from, response));
            }
            Ok(Outcome::Ignored) => {}
            Ok(Outcome::Unauthenticated) => self.counters.stun_unauthenticated += 1,
            Err(_) => self.end(CloseReason::Crypto),
        }
    }

    fn handle_dtls(&mut self, now: Instant, from: Path, datagram: &[u8]) {
        let changes = Changes {
            selected: self.ice.note_dtls(from),
            ..Changes::default()
        };
        self.note_changes(changes);
        let result = self.dtls.handle_datagram(now, &self.identity, datagram);
        self.flush_dtls();
        match result {
            Ok(Progress::None) => {}
            Ok(Progress::Dropped) => self.counters.dtls_dropped += 1,
            Ok(Progress::Established(srtp)) => {
                self.srtp = Some(srtp);
                self.phase = Phase::Connected;
                self.last_heard = now;
                self.events.push_back(Event::Connected);
            }
            Err(reason) => self.end(reason),
        }
    }

    fn handle_media(
        &mut self,
        now: Instant,
        from: Path,
        kind: Kind,
        datagram: &mut [u8],
    ) -> Received {
        let received = self.decrypt(kind, datagram);
        if !matches!(received, Received::Nothing) {
            self.last_heard = now;
            let selected = self.ice.note_media(now, from);
            self.events.extend(selected.map(Event::PathChanged));
        }
        received
    }

    /// Decrypts RTP or RTCP in place. Nothing of what is not authentic.
    fn decrypt(&mut self, kind: Kind, datagram: &mut [u8]) -> Received {
        let Some(srtp) = &mut self.srtp else {
            self.counters.early_media += 1;
            return Received::Nothing;
        };
        let inbound = &mut srtp.1;
        let result = if kind == Kind::Rtcp {
            inbound
                .unprotect_rtcp(datagram)
                .map(|len| Received::Rtcp { len })
        } else {
            srtp::rtp_header_len(datagram)
                .ok_or(SrtpError::Malformed)
                .and_then(|header_len| inbound.unprotect_rtp(datagram, header_len))
                .map(|len| Received::Rtp { len })
        };
        match result {
            Ok(received) => received,
            Err(SrtpError::Replayed) => {
                self.counters.srtp_replayed += 1;
                Received::Nothing
            }
            Err(_) => {
                self.counters.srtp_unauthenticated += 1;
                Received::Nothing
            }
        }
    }

    fn note_changes(&mut self, changes: Changes) {
        let events = [
            changes.forgotten.map(Event::PathForgotten),
            changes.validated.map(Event::PathValidated),
            changes.selected.map(Event::PathChanged),
        ];
        self.events.extend(events.into_iter().flatten());
    }

    fn flush_dtls(&mut self) {
        while let Some(datagram) = self.dtls.poll_transmit() {
            if let Some(path) = self.ice.selected() {
                self.transmits.push_back((path, datagram));
            }
        }
    }

    fn consent_deadline(&self) -> Instant {
        self.last_heard + self.timeouts.consent
    }

    /// The one way in which a transport ends by itself.
    fn end(&mut self, reason: CloseReason) {
        if self.phase != Phase::Closed {
            self.phase = Phase::Closed;
            self.srtp = None;
            self.events.push_back(Event::Closed(reason));
        }
    }
}

#[cfg(test)]
mod tests;
