//! Why the control plane refused something.

use std::time::Duration;

use crate::sdp;
use crate::stream::{LayerChoiceError, StreamName};

/// Why a session was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The offer is well formed, but can't be served (422).
    #[error(transparent)]
    Refused(#[from] sdp::Refusal),
    /// Nobody publishes this stream now (409, try again later).
    #[error("nobody publishes {stream} now; try again when the broadcast has begun")]
    Offline {
        /// Which stream.
        stream: StreamName,
        /// When trying again makes sense.
        retry_after: Duration,
    },
    /// Somebody else publishes this stream (409).
    #[error("{0} is being published already; end that session first or publish under another name")]
    AlreadyPublished(StreamName),
    /// A limit of the configuration is reached (503).
    #[error(
        "this server has as many sessions as it is configured to take ({limit}, `{setting}`); try again later"
    )]
    Full {
        /// The setting's key.
        setting: &'static str,
        /// Its value.
        limit: usize,
    },
    /// The client's address holds as many sessions as one may (429).
    #[error(
        "this address has as many sessions as one address may have ({limit}, `{setting}`); \
         end some of them first"
    )]
    TooManyFromAddress {
        /// The setting's key.
        setting: &'static str,
        /// Its value.
        limit: usize,
    },
    /// The server ends (503).
    #[error("this server is shutting down")]
    ShuttingDown,
}

/// Why there is no still picture of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StillError {
    /// Nobody publishes it.
    #[error("nobody publishes this stream now")]
    Offline,
    /// It has no video track.
    #[error("this stream has no picture")]
    NoPicture,
}

/// When a viewer of a stream that nobody publishes may try again.
const RETRY_OFFLINE: Duration = Duration::from_secs(2);

impl CreateError {
    /// [`Self::Offline`], to be tried again soon.
    pub(super) fn offline(stream: &StreamName) -> Self {
        Self::Offline {
            stream: stream.clone(),
            retry_after: RETRY_OFFLINE,
        }
    }
}

/// Why a request to a session failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// There is no such session of this kind and stream (404).
    #[error("there is no such session; it has ended or never was")]
    NotFound,
    /// The `If-Match` names an older ICE generation (412).
    #[error("the ETag is not the session's current one; the ICE session was restarted since")]
    Stale,
    /// The fragment can't be used on this session (400).
    #[error(transparent)]
    Fragment(#[from] sdp::FragmentError),
    /// The player's answer does not fit our offer (422).
    #[error(transparent)]
    Refused(#[from] sdp::Refusal),
    /// The session has no offer of ours that waits for an answer (409).
    #[error("this session waits for no answer; it began with an offer of the player's own")]
    NotWaiting,
    /// The session has no such media section (400).
    #[error("this session has no media of that id; the event `layers` lists what there is")]
    NoLayer,
    /// The stream has no such layer (400).
    #[error(transparent)]
    Layer(#[from] LayerChoiceError),
    /// The server ends (503).
    #[error("this server is shutting down")]
    ShuttingDown,
}
