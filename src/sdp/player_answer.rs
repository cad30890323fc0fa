//! What a player answers to an offer of ours (draft-ietf-wish-whep, section 4.2), read and checked
//! on its own: whether it fits that offer is decided by [`CounterOffer`](super::CounterOffer).

use std::fmt;

use super::description::{Description, DescriptionError};
use super::media_section::MediaSection;
use super::session::{DtlsRole, Fingerprint, IceCredentials};
use super::text::Limits;
use super::transport_attributes::Setup;

/// A well-formed answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its media sections, in order; at least one.
    pub media: Vec<MediaSection>,
    /// The mids of its first BUNDLE group (RFC 8843), empty when it has none.
    pub bundle: Vec<String>,
    /// The player's credentials for the bundle.
    pub ice: IceCredentials,
    /// The player's certificate.
    pub fingerprint: Fingerprint,
    /// The DTLS role that the player leaves to us.
    pub our_role: DtlsRole,
    /// `a=ice-lite`: the player sends no checks.
    pub ice_lite: bool,
}

impl fmt::Debug for Answer {
    /// Without what is the player's own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("media", &self.media.len())
            .field("our_role", &self.our_role)
            .finish_non_exhaustive()
    }
}

impl Answer {
    /// Reads an answer, as strict and as lenient as [`Offer::parse`](super::Offer::parse).
    ///
    /// # Errors
    ///
    /// See [`DescriptionError`]; the first mistake is named.
    pub fn parse(body: &[u8], limits: &Limits) -> Result<Self, DescriptionError> {
        let description = Description::parse(body, limits)?;
        // RFC 8842, section 5.3: an answer takes one of the roles.
        let our_role = match description.setup {
            Some(setup @ (Setup::Active | Setup::Passive)) => setup.our_role(),
            Some(Setup::Actpass | Setup::Holdconn) | None => None,
        };
        Ok(Self {
            media: description.media,
            bundle: description.bundle,
            ice: description.ice,
            fingerprint: description.fingerprint,
            our_role: our_role.ok_or(DescriptionError::AnswerSetup)?,
            ice_lite: description.ice_lite,
        })
    }
}
