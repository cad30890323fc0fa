//! SDP for WHIP and WHEP: offers in, answers out (RFC 8866, RFC 8829, RFC 9725).
//!
//! | file | what it is about |
//! |---|---|
//! | `text` | lines and limits, for offers and fragments |
//! | `offer`, `media_section`, `simulcast`, `payload_format`, `transport_attributes` | what a client offers |
//! | `publish`, `subscribe` | what comes of it: an answer with a spec, or a refusal |
//! | `codec_choice` | which payload type is used |
//! | `answer` | the text of answers |
//! | `description`, `media_section`, `payload_format`, `transport_attributes` | what a client says |
//! | `offer`, `player_answer` | the two kinds of it |
//! | `publish`, `subscribe`, `waiting` | what comes of an offer: an answer with a spec, or a refusal |
//! | `counter_offer` | our own offer to a player, and what comes of the answer |
//! | `codec_choice`, `profile`, `redundancy`, `leniency` | which payload types are used |
//! | `answer`, `writer` | what our answers have in common; their text |
//! | `fragment`, `candidate` | trickle and ICE restarts |
//! | `session` | what both sides agreed on, for the media path |
//!
//! Pure: no socket, no clock, no randomness of its own. Nothing here panics, and an offer costs
//! time and memory in proportion to [`Limits`].

mod answer;
mod candidate;
mod codec_choice;
mod counter_offer;
mod description;
mod fragment;
mod leniency;
mod media_section;
mod offer;
mod payload_format;
mod player_answer;
mod profile;
mod publish;
mod redundancy;
mod refusal;
pub mod session;
mod simulcast;
mod subscribe;
mod text;
mod transport_attributes;
mod waiting;
mod writer;

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;

pub use answer::{Accepted, Local};
pub use candidate::{Candidate, Protocol};
pub use codec_choice::{CodecPolicy, may_replace};
pub use counter_offer::{Agreed, CounterOffer, counter_offer};
pub use description::DescriptionError;
pub use fragment::{Fragment, FragmentError};
pub use leniency::Leniency;
pub use media_section::{Direction, ExtensionOffer, MediaSection};
pub use offer::{Offer, OfferError};
pub use payload_format::PayloadFormat;
pub(crate) use payload_format::parameter as format_parameter;
pub use player_answer::Answer;
pub use publish::accept_publisher;
pub use refusal::{CodecList, MediaKinds, Refusal};
pub use session::{
    DtlsRole, Feedback, Fingerprint, IceCredentials, PublishedLayer, PublishedTrack, PublisherSpec,
    SubscribedTrack, SubscriberSpec,
};
pub use simulcast::RidOffer;
pub use subscribe::accept_subscriber;
pub use text::{Limits, TextError};
pub use transport_attributes::{Setup, TransportError};
pub use waiting::{WaitingSpec, accept_waiting};
