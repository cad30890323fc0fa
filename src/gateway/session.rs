//! The names and results of sessions, as WHIP and WHEP show them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Which protocol made a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionKind {
    /// A publisher (RFC 9725).
    Whip,
    /// A subscriber (draft-ietf-wish-whep).
    Whep,
}

/// The unguessable name of a session in its URL: 128 random bits as 32 hex digits.
///
/// It is a capability: it stays out of logs, so `Debug` shows nothing of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(u128);

impl SessionId {
    /// A new one, from the thread's cryptographically secure generator.
    pub fn random() -> Self {
        Self(rand::random())
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(…)")
    }
}

/// Not 32 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a session id")]
pub struct SessionIdError;

impl FromStr for SessionId {
    type Err = SessionIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        if text.len() != 32 || !text.bytes().all(hex) {
            return Err(SessionIdError);
        }
        u128::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| SessionIdError)
    }
}

/// A new session.
#[derive(Clone, Debug)]
pub struct Created {
    /// Its name for the session URL.
    pub id: SessionId,
    /// The strong entity tag of its ICE generation, without quotes.
    pub etag: String,
    /// The server's SDP.
    pub sdp: String,
    /// What that SDP is.
    pub description: Description,
    /// What is wrong with a publisher's offer though it was taken, in words, each behind a name.
    pub notices: Vec<String>,
}

/// What the server's SDP of a new session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Description {
    /// The answer to the client's offer (201).
    Answer,
    /// An offer of our own, which wants an answer within this time (406).
    CounterOffer {
        /// How long.
        valid: Duration,
    },
}

/// The precondition of a PATCH (RFC 9110, section 13.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// `*`: whatever the generation is. With new credentials this is an ICE restart.
    Any,
    /// An entity tag, without quotes.
    Tag(String),
}

/// What a PATCH did.
#[derive(Clone, Debug)]
pub enum Patched {
    /// The candidates were taken (204).
    Candidates,
    /// ICE was restarted (200).
    Restarted {
        /// The new entity tag, without quotes.
        etag: String,
        /// The server's new credentials and candidates, as `application/trickle-ice-sdpfrag`.
        fragment: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_url() {
        let id = SessionId::random();
        assert_eq!(id.to_string().parse::<SessionId>(), Ok(id));
    }

    #[test]
    fn other_spellings_are_no_ids() {
        for text in [
            "",
            "0",
            "+0000000000000000000000000000000",
            &"A".repeat(32),
            &"0".repeat(33),
        ] {
            assert!(text.parse::<SessionId>().is_err());
        }
    }
}
