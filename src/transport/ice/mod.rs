//! ICE-lite (RFC 8445, section 2.5): it answers checks and follows where they come from.
//!
//! It never sends a check of its own, so it needs nothing of the peer's credentials. Nothing is
//! kept for an address before a check from it was authentic.

mod stun;

#[cfg(any(test, fuzzing))]
pub(super) use stun::fuzz as fuzz_stun;
pub use stun::request_ufrag;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rtc::crypto::{CryptoError, HmacAlgorithm, Mac, RTCCrypto};

use self::stun::BindingRequest;
use crate::sdp::IceCredentials;

/// How many addresses of a peer are remembered: two interfaces with two families and a NAT each.
const MAX_ADDRESSES: usize = 8;
/// A selected address that was silent for this long loses its place to one that is heard without
/// a nomination. Longer than the 2.5 s between the checks of Chromium.
const SILENCE: Duration = Duration::from_secs(3);

/// The lite agent of one session.
pub(super) struct Agent {
    current: Credentials,
    /// Before an ICE restart; until a check with the current ones succeeds.
    previous: Option<Credentials>,
    addresses: Vec<Address>,
    selected: Option<SocketAddr>,
    /// The selected address was chosen by the peer, not for being the first.
    nominated: bool,
}

struct Credentials {
    ufrag: String,
    /// Keyed with the password.
    mac: Box<dyn Mac>,
}

struct Address {
    address: SocketAddr,
    last_heard: Instant,
}

/// What a STUN message led to.
pub(super) enum Outcome {
    /// A valid check: the response, and what changed.
    Checked { response: Vec<u8>, changes: Changes },
    /// An authentic request that gets an error and counts for nothing.
    Refused { response: Vec<u8> },
    /// A response or an indication: a lite agent has no use for it.
    Ignored,
    /// Malformed, or not authentic. Never answered.
    Unauthenticated,
}

/// How the addresses of a peer changed.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) validated: Option<SocketAddr>,
    pub(super) forgotten: Option<SocketAddr>,
    pub(super) selected: Option<SocketAddr>,
}

impl Agent {
    pub(super) fn new(crypto: &dyn RTCCrypto, local: &IceCredentials) -> Result<Self, CryptoError> {
        Ok(Self {
            current: Credentials::new(crypto, local)?,
            previous: None,
            addresses: Vec::new(),
            selected: None,
            nominated: false,
        })
    }

    /// Begins an ICE restart (RFC 8445, section 9).
    pub(super) fn restart(
        &mut self,
        crypto: &dyn RTCCrypto,
        local: &IceCredentials,
    ) -> Result<(), CryptoError> {
        let current = Credentials::new(crypto, local)?;
        self.previous = Some(std::mem::replace(&mut self.current, current));
        Ok(())
    }

    /// Where to send to.
    pub(super) fn selected(&self) -> Option<SocketAddr> {
        self.selected
    }

    /// Whether a check from `address` has succeeded.
    pub(super) fn is_validated(&self, address: SocketAddr) -> bool {
        self.selected == Some(address) || self.addresses.iter().any(|a| a.address == address)
    }

    /// Notes that something authentic came from a validated address.
    pub(super) fn note_heard(&mut self, now: Instant, from: SocketAddr) {
        if let Some(address) = self.addresses.iter_mut().find(|a| a.address == from) {
            address.last_heard = now;
        }
    }

    /// Notes that the peer does DTLS from a validated address: as long as it nominated none, it
    /// expects the answer there. Returns the address when it is selected by that.
    pub(super) fn note_dtls(&mut self, from: SocketAddr) -> Option<SocketAddr> {
        if self.nominated {
            return None;
        }
        self.select(from)
    }

    /// Answers a binding request.
    ///
    /// # Errors
    ///
    /// Only when the crypto provider fails.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Result<Outcome, CryptoError> {
        const CLASS_BITS: u16 = 0x0110;
        if let &[a, b, ..] = datagram
            && u16::from_be_bytes([a, b]) & CLASS_BITS != 0
        {
            return Ok(Outcome::Ignored);
        }
        let Some(request) = BindingRequest::parse(datagram) else {
            return Ok(Outcome::Unauthenticated);
        };
        let is_current = request.ufrag == self.current.ufrag;
        let credentials = match &mut self.previous {
            _ if is_current => &mut self.current,
            Some(previous) if previous.ufrag == request.ufrag => previous,
            _ => return Ok(Outcome::Unauthenticated),
        };
        let mac = credentials.mac.as_mut();
        if !request.is_authentic(mac)? {
            return Ok(Outcome::Unauthenticated);
        }
        if request.wants_control_by_us {
            let response = request.refuse_role(mac)?;
            return Ok(Outcome::Refused { response });
        }
        let response = request.accept(from, mac)?;
        if is_current {
            self.previous = None;
        }
        let changes = self.note_check(now, from, request.nominates);
        Ok(Outcome::Checked { response, changes })
    }

    fn note_check(&mut self, now: Instant, from: SocketAddr, nominates: bool) -> Changes {
        let mut changes = Changes::default();
        if !self.is_validated(from) {
            changes.validated = Some(from);
            if self.addresses.len() >= MAX_ADDRESSES {
                changes.forgotten = self.forget_oldest();
            }
            self.addresses.push(Address {
                address: from,
                last_heard: now,
            });
        }
        self.note_heard(now, from);
        if nominates {
            self.nominated = true;
            changes.selected = self.select(from);
        } else if self.selected_is_silent(now) {
            changes.selected = self.select(from);
        }
        changes
    }

    fn select(&mut self, address: SocketAddr) -> Option<SocketAddr> {
        (self.selected.replace(address) != Some(address)).then_some(address)
    }

    fn selected_is_silent(&self, now: Instant) -> bool {
        let selected = self
            .addresses
            .iter()
            .find(|a| Some(a.address) == self.selected);
        selected.is_none_or(|a| now.saturating_duration_since(a.last_heard) >= SILENCE)
    }

    fn forget_oldest(&mut self) -> Option<SocketAddr> {
        let others = self.addresses.iter().enumerate();
        let (index, _) = others
            .filter(|(_, a)| Some(a.address) != self.selected)
            .min_by_key(|(_, a)| a.last_heard)?;
        Some(self.addresses.swap_remove(index).address)
    }
}

impl Credentials {
    fn new(crypto: &dyn RTCCrypto, local: &IceCredentials) -> Result<Self, CryptoError> {
        Ok(Self {
            ufrag: local.ufrag.clone(),
            mac: crypto.new_hmac(HmacAlgorithm::Sha1, local.pwd.as_bytes())?,
        })
    }
}
