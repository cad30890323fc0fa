//! What a player answers to an offer of ours (draft-ietf-wish-whep, section 4.2).

use super::offer::OfferError;
use super::text::Limits;

/// A player's answer. To be read as soon as we make offers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {}

impl Answer {
    /// Reads an answer.
    ///
    /// # Errors
    ///
    /// What [`Offer::parse`](super::Offer::parse) refuses.
    pub fn parse(text: &[u8], limits: &Limits) -> Result<Self, OfferError> {
        super::Offer::parse(text, limits).map(|_| Self {})
    }
}
