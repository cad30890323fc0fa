//! ICE-lite (RFC 8445, section 2.5): it answers checks and follows where they come from.
//!
//! It never sends a check of its own, so it needs nothing of the peer's credentials. Nothing is
//! kept for a path before a check by it was authentic.

mod stun;

#[cfg(any(test, fuzzing))]
pub(super) use stun::fuzz as fuzz_stun;
pub use stun::request_ufrag;

use std::time::{Duration, Instant};

use rtc::crypto::{CryptoError, HmacAlgorithm, Mac, RTCCrypto};

use self::stun::BindingRequest;
use super::{Path, Via};
use crate::sdp::IceCredentials;

/// How many paths of a peer are remembered: two interfaces with two families and a NAT each.
const MAX_PATHS: usize = 8;
/// A path beyond them costs another its place, and all shards are told of both. In the long run one is
/// taken in this time, and at once so many as can be remembered; a check by another is answered and
/// counts for nothing.
const REPLACEMENT_INTERVAL: Duration = Duration::from_secs(1);
/// A selected path that was silent for this long loses its place to one that a check comes by
/// without a nomination. Longer than the 2.5 s between the checks of Chromium.
const SILENCE: Duration = Duration::from_secs(3);
/// The same for one that media comes by: a peer sends media by the pair that it has chosen, and by
/// no other. Longer than a datagram is late that left before the peer chose again.
const MEDIA_SILENCE: Duration = Duration::from_millis(250);

/// The lite agent of one session.
pub(super) struct Agent {
    current: Credentials,
    /// Before an ICE restart; until a check with the current ones succeeds.
    previous: Option<Credentials>,
    validated: Vec<Validated>,
    selected: Option<Path>,
    /// The selected path was chosen by the peer, not for being the first.
    nominated: bool,
    /// When all replacements of paths so far are paid for.
    replaced_until: Option<Instant>,
}

struct Credentials {
    ufrag: String,
    /// Keyed with the password.
    mac: Box<dyn Mac>,
}

struct Validated {
    path: Path,
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

/// How the paths to a peer changed.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) validated: Option<Path>,
    pub(super) forgotten: Option<Path>,
    pub(super) selected: Option<Path>,
}

impl Agent {
    pub(super) fn new(crypto: &dyn RTCCrypto, local: &IceCredentials) -> Result<Self, CryptoError> {
        Ok(Self {
            current: Credentials::new(crypto, local)?,
            previous: None,
            validated: Vec::new(),
            selected: None,
            nominated: false,
            replaced_until: None,
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
    pub(super) fn selected(&self) -> Option<Path> {
        self.selected
    }

    /// Whether a check by `path` has succeeded.
    pub(super) fn is_validated(&self, path: Path) -> bool {
        self.selected == Some(path) || self.validated.iter().any(|known| known.path == path)
    }

    /// Notes that the peer does DTLS by a validated path: as long as it nominated none, it expects
    /// the answer there. Returns the path when it is selected by that.
    pub(super) fn note_dtls(&mut self, from: Path) -> Option<Path> {
        if self.nominated {
            return None;
        }
        self.select(from)
    }

    /// Notes authentic media by a validated path. Returns the path when it is selected by that:
    /// the peer has moved there.
    pub(super) fn note_media(&mut self, now: Instant, from: Path) -> Option<Path> {
        self.note_heard(now, from);
        if self.selected == Some(from) || !self.selected_is_silent(now, MEDIA_SILENCE) {
            return None;
        }
        self.select(from)
    }

    /// Forgets a path that has come to its end. Media goes on by the one that was heard last, if
    /// that is not long ago, and else waits for a check.
    pub(super) fn forget(&mut self, now: Instant, path: Path) -> Changes {
        let known = self.validated.len();
        self.validated.retain(|other| other.path != path);
        let mut changes = Changes::default();
        if self.validated.len() < known {
            changes.forgotten = Some(path);
        }
        if self.selected == Some(path) {
            self.nominated = false;
            let heard = self
                .validated
                .iter()
                .filter(|other| now.saturating_duration_since(other.last_heard) < SILENCE);
            self.selected = heard
                .max_by_key(|other| other.last_heard)
                .map(|other| other.path);
            changes.selected = self.selected;
        }
        changes
    }

    /// Answers a binding request.
    ///
    /// # Errors
    ///
    /// Only when the crypto provider fails.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        from: Path,
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
        let response = request.accept(from.remote, mac)?;
        if is_current {
            self.previous = None;
        }
        let changes = self.note_check(now, from, request.nominates);
        Ok(Outcome::Checked { response, changes })
    }

    fn note_check(&mut self, now: Instant, from: Path, nominates: bool) -> Changes {
        let mut changes = Changes::default();
        let is_new = !self.is_validated(from);
        let replaces = is_new && self.validated.len() >= MAX_PATHS;
        if replaces && !self.may_replace(now) {
            return changes;
        }
        if is_new {
            changes.validated = Some(from);
            if replaces {
                changes.forgotten = self.forget_oldest();
            }
            self.validated.push(Validated {
                path: from,
                last_heard: now,
            });
        }
        self.note_heard(now, from);
        self.nominated |= nominates;
        if nominates || self.selected_is_silent(now, SILENCE) || (is_new && self.is_rebound(from)) {
            changes.selected = self.select(from);
        }
        changes
    }

    /// Whether a path may take the place of another one now.
    fn may_replace(&mut self, now: Instant) -> bool {
        let paid = self.replaced_until.map_or(now, |until| until.max(now));
        let paid = paid + REPLACEMENT_INTERVAL;
        let may = paid.saturating_duration_since(now) <= REPLACEMENT_INTERVAL * MAX_PATHS as u32;
        if may {
            self.replaced_until = Some(paid);
        }
        may
    }

    fn note_heard(&mut self, now: Instant, from: Path) {
        if let Some(known) = self.validated.iter_mut().find(|known| known.path == from) {
            known.last_heard = now;
        }
    }

    fn select(&mut self, path: Path) -> Option<Path> {
        (self.selected.replace(path) != Some(path)).then_some(path)
    }

    fn selected_is_silent(&self, now: Instant, silence: Duration) -> bool {
        let selected = self
            .validated
            .iter()
            .find(|known| Some(known.path) == self.selected);
        selected.is_none_or(|known| now.saturating_duration_since(known.last_heard) >= silence)
    }

    /// Whether a path that was never seen before looks like the nominated one after a NAT forgot
    /// its mapping: only the peer's port is another. Peers that nominate once and then check
    /// without a word (Pion, `rtc`) say no more than that. Should the old path be alive after all,
    /// the next media by it takes it back.
    fn is_rebound(&self, path: Path) -> bool {
        let Some(selected) = self.selected else {
            return false;
        };
        self.nominated
            && matches!(path.via, Via::Udp(_))
            && path.via == selected.via
            && path.remote.ip() == selected.remote.ip()
    }

    fn forget_oldest(&mut self) -> Option<Path> {
        let others = self.validated.iter().enumerate();
        let (index, _) = others
            .filter(|(_, known)| Some(known.path) != self.selected)
            .min_by_key(|(_, known)| known.last_heard)?;
        Some(self.validated.swap_remove(index).path)
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
