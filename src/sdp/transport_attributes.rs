//! The attributes that describe the transport: ICE credentials (RFC 8839), the certificate's
//! fingerprint (RFC 8122) and the DTLS role (RFC 8842).
//!
//! They stand on the session level, on each media section, or on both.

use super::session::{DtlsRole, Fingerprint, IceCredentials};

/// `a=setup`: who may send the ClientHello (RFC 4145, section 4; RFC 5763, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// Either side.
    Actpass,
    /// The sender of the description.
    Active,
    /// The reader of the description. FFmpeg offers it, against the letter.
    Passive,
    /// Nobody, for now.
    Holdconn,
}

impl Setup {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "actpass" => Self::Actpass,
            "active" => Self::Active,
            "passive" => Self::Passive,
            "holdconn" => Self::Holdconn,
            _ => return None,
        })
    }

    /// The role that we take towards an offer of it, when there is one.
    pub(super) fn our_role(self) -> Option<DtlsRole> {
        match self {
            Self::Actpass | Self::Active => Some(DtlsRole::Server),
            Self::Passive => Some(DtlsRole::Client),
            Self::Holdconn => None,
        }
    }
}

/// Transport attributes that are missing, malformed, or at odds with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// No `a=ice-ufrag`, or no `a=ice-pwd`.
    #[error("a={0} is missing; WebRTC needs both a=ice-ufrag and a=ice-pwd")]
    MissingIce(&'static str),
    /// A length out of bounds (RFC 8839, section 5.4).
    #[error("a={attribute} has {length} characters; it must have {min} to 256")]
    IceLength {
        /// `ice-ufrag` or `ice-pwd`.
        attribute: &'static str,
        /// What it has.
        length: usize,
        /// The least that is allowed.
        min: usize,
    },
    /// A character that is no ice-char.
    #[error("a={0} holds a character that ICE doesn't allow; use letters, digits, + and /")]
    IceCharacter(&'static str),
    /// Two ICE credentials for one transport.
    #[error("the bundled m-lines have different ICE credentials; one bundle has one ufrag and pwd")]
    ConflictingIce,
    /// No fingerprint with SHA-256.
    #[error("a=fingerprint:sha-256 is missing; WebRTC needs the fingerprint of a certificate")]
    MissingFingerprint,
    /// A fingerprint that can't be read.
    #[error("a=fingerprint:sha-256 is malformed; it has 32 bytes in hex with colons between them")]
    Fingerprint,
    /// Two certificates for one transport.
    #[error("the m-lines have different fingerprints; one bundle has one certificate")]
    ConflictingFingerprint,
    /// A role that nobody knows.
    #[error("a=setup is malformed; offer a=setup:actpass")]
    Setup,
    /// Two roles for one transport.
    #[error("the bundled m-lines have different a=setup; offer a=setup:actpass on all of them")]
    ConflictingSetup,
}

/// What one level of a description says of its transport.
#[derive(Clone, Debug, Default)]
pub(super) struct TransportAttributes<'a> {
    ufrag: Option<&'a str>,
    pwd: Option<&'a str>,
    fingerprint: Option<Fingerprint>,
    setup: Option<Setup>,
}

impl<'a> TransportAttributes<'a> {
    /// Takes an attribute in; others than those of the transport are passed over.
    pub(super) fn read(&mut self, name: &str, value: &'a str) -> Result<(), TransportError> {
        match name {
            "ice-ufrag" => self.ufrag = Some(value),
            "ice-pwd" => self.pwd = Some(value),
            "setup" => self.setup = Some(Setup::from_name(value).ok_or(TransportError::Setup)?),
            "fingerprint" => {
                // A certificate may be named by several hashes; the one that we check counts.
                if let Some(fingerprint) = sha256(value)? {
                    if self.fingerprint.is_some_and(|first| first != fingerprint) {
                        return Err(TransportError::ConflictingFingerprint);
                    }
                    self.fingerprint = Some(fingerprint);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes over from `other` what is not said here.
    pub(super) fn inherit(mut self, other: &Self) -> Self {
        if self.ufrag.is_none() && self.pwd.is_none() {
            (self.ufrag, self.pwd) = (other.ufrag, other.pwd);
        }
        self.fingerprint = self.fingerprint.or(other.fingerprint);
        self.setup = self.setup.or(other.setup);
        self
    }

    /// Like [`Self::inherit`] for another section of the same transport, which must not disagree.
    pub(super) fn join(self, other: &Self) -> Result<Self, TransportError> {
        fn differ<T: PartialEq>(one: &Option<T>, other: &Option<T>) -> bool {
            one.is_some() && other.is_some() && one != other
        }
        if differ(&self.ufrag, &other.ufrag) || differ(&self.pwd, &other.pwd) {
            return Err(TransportError::ConflictingIce);
        }
        if differ(&self.fingerprint, &other.fingerprint) {
            return Err(TransportError::ConflictingFingerprint);
        }
        if differ(&self.setup, &other.setup) {
            return Err(TransportError::ConflictingSetup);
        }
        Ok(self.inherit(other))
    }

    /// The ICE credentials; `None` when neither half is there.
    pub(super) fn ice(&self) -> Result<Option<IceCredentials>, TransportError> {
        let (ufrag, pwd) = match (self.ufrag, self.pwd) {
            (None, None) => return Ok(None),
            (None, Some(_)) => return Err(TransportError::MissingIce("ice-ufrag")),
            (Some(_), None) => return Err(TransportError::MissingIce("ice-pwd")),
            (Some(ufrag), Some(pwd)) => (ufrag, pwd),
        };
        Ok(Some(IceCredentials {
            ufrag: ice_chars("ice-ufrag", ufrag, 4)?,
            pwd: ice_chars("ice-pwd", pwd, 22)?,
        }))
    }

    pub(super) fn fingerprint(&self) -> Result<Fingerprint, TransportError> {
        self.fingerprint.ok_or(TransportError::MissingFingerprint)
    }

    /// The role, when one is said.
    pub(super) fn setup(&self) -> Option<Setup> {
        self.setup
    }
}

/// Lenient on the characters: anything visible but the colon, which parts the two fragments of a
/// STUN user name (RFC 8445, section 7.2.2).
fn ice_chars(attribute: &'static str, text: &str, min: usize) -> Result<String, TransportError> {
    if !text.bytes().all(|c| c.is_ascii_graphic() && c != b':') {
        return Err(TransportError::IceCharacter(attribute));
    }
    if !(min..=256).contains(&text.len()) {
        return Err(TransportError::IceLength {
            attribute,
            length: text.len(),
            min,
        });
    }
    Ok(text.to_owned())
}

/// `None` for another hash.
fn sha256(value: &str) -> Result<Option<Fingerprint>, TransportError> {
    let mut fields = value.split_ascii_whitespace();
    let (Some(hash), Some(hex), None) = (fields.next(), fields.next(), fields.next()) else {
        return Err(TransportError::Fingerprint);
    };
    if !hash.eq_ignore_ascii_case("sha-256") {
        return Ok(None);
    }
    let mut digest = [0; 32];
    let mut bytes = hex.split(':');
    for byte in &mut digest {
        *byte = bytes
            .next()
            .and_then(hex_byte)
            .ok_or(TransportError::Fingerprint)?;
    }
    match bytes.next() {
        None => Ok(Some(Fingerprint(digest))),
        Some(_) => Err(TransportError::Fingerprint),
    }
}

fn hex_byte(text: &str) -> Option<u8> {
    // `from_str_radix` alone would take a sign.
    let well_formed = text.len() == 2 && text.bytes().all(|c| c.is_ascii_hexdigit());
    well_formed
        .then(|| u8::from_str_radix(text, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_survives_its_text() {
        let fingerprint = Fingerprint(std::array::from_fn(|index| index as u8 * 8));
        assert_eq!(
            sha256(&format!("SHA-256 {fingerprint}")),
            Ok(Some(fingerprint))
        );
        let lower = fingerprint.to_string().to_lowercase();
        assert_eq!(sha256(&format!("sha-256 {lower}")), Ok(Some(fingerprint)));
    }

    #[test]
    fn our_role_is_the_other_one() {
        assert_eq!(Setup::Actpass.our_role(), Some(DtlsRole::Server));
        assert_eq!(Setup::Active.our_role(), Some(DtlsRole::Server));
        assert_eq!(Setup::Passive.our_role(), Some(DtlsRole::Client));
        assert_eq!(Setup::Holdconn.our_role(), None);
    }
}
