//! The control plane: the one owner of the directory of streams and sessions.
//!
//! [`http`](crate::http) asks through a [`Gateway`], a cheap handle; one task answers, so that two
//! publishers of one name or a viewer that comes as the publisher leaves are decided in one place.
//! Packets never pass here.

mod directory;
mod session;
mod task;

pub use directory::Limits;
pub use session::{Created, IfMatch, Patched, SessionId, SessionKind};
pub use task::{Config, start};

use tokio::sync::{mpsc, oneshot};

use crate::sdp;
use crate::stream::{StreamName, TrackInfo};

/// A handle to the control plane. Clones lead to the same one.
#[derive(Clone)]
pub struct Gateway {
    requests: mpsc::Sender<Request>,
}

/// Why a session was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The offer is well formed, but can't be served (422).
    #[error(transparent)]
    Refused(#[from] sdp::Refusal),
    /// Nobody publishes this stream now (409, try again later).
    #[error("nobody publishes {0} now; try again when the broadcast has begun")]
    Offline(StreamName),
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
    /// The server ends (503).
    #[error("this server is shutting down")]
    ShuttingDown,
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
    /// The server ends (503).
    #[error("this server is shutting down")]
    ShuttingDown,
}

/// A live stream, as the API and the pages show it.
#[derive(Clone, Debug)]
pub struct StreamStatus {
    /// Its name.
    pub name: StreamName,
    /// Its tracks, in the order of the publisher's offer.
    pub tracks: Vec<TrackInfo>,
    /// How many WHEP sessions are connected to it.
    pub subscribers: usize,
}

pub(crate) type Reply<T> = oneshot::Sender<T>;

/// What the task answers. One variant a method of [`Gateway`].
pub(crate) enum Request {
    Create {
        kind: SessionKind,
        stream: StreamName,
        offer: Box<sdp::Offer>,
        reply: Reply<Result<Created, CreateError>>,
    },
    Patch {
        kind: SessionKind,
        stream: StreamName,
        id: SessionId,
        if_match: IfMatch,
        fragment: sdp::Fragment,
        reply: Reply<Result<Patched, SessionError>>,
    },
    Delete {
        kind: SessionKind,
        stream: StreamName,
        id: SessionId,
        reply: Reply<Result<(), SessionError>>,
    },
    Exists {
        kind: SessionKind,
        stream: StreamName,
        id: SessionId,
        reply: Reply<Result<(), SessionError>>,
    },
    Streams {
        reply: Reply<Vec<StreamStatus>>,
    },
}

impl Gateway {
    /// A handle and the queue that its requests arrive on. When `capacity` requests wait, further
    /// callers wait for a place.
    pub(crate) fn channel(capacity: usize) -> (Self, mpsc::Receiver<Request>) {
        let (requests, inbox) = mpsc::channel(capacity);
        (Self { requests }, inbox)
    }

    /// Makes a session of `kind` on `stream` out of a parsed offer.
    ///
    /// # Errors
    ///
    /// See [`CreateError`]; nothing is left behind by a refusal.
    pub async fn create(
        &self,
        kind: SessionKind,
        stream: StreamName,
        offer: sdp::Offer,
    ) -> Result<Created, CreateError> {
        let offer = Box::new(offer);
        self.ask(|reply| Request::Create {
            kind,
            stream,
            offer,
            reply,
        })
        .await
        .unwrap_or(Err(CreateError::ShuttingDown))
    }

    /// Takes a trickle fragment: new candidates, or an ICE restart.
    ///
    /// # Errors
    ///
    /// See [`SessionError`]; the session goes on as it was.
    pub async fn patch(
        &self,
        kind: SessionKind,
        stream: StreamName,
        id: SessionId,
        if_match: IfMatch,
        fragment: sdp::Fragment,
    ) -> Result<Patched, SessionError> {
        self.ask(|reply| Request::Patch {
            kind,
            stream,
            id,
            if_match,
            fragment,
            reply,
        })
        .await
        .unwrap_or(Err(SessionError::ShuttingDown))
    }

    /// Ends a session: DTLS is closed at once, so that the other side sees it.
    ///
    /// # Errors
    ///
    /// [`SessionError::NotFound`] when it has ended before.
    pub async fn delete(
        &self,
        kind: SessionKind,
        stream: StreamName,
        id: SessionId,
    ) -> Result<(), SessionError> {
        self.ask(|reply| Request::Delete {
            kind,
            stream,
            id,
            reply,
        })
        .await
        .unwrap_or(Err(SessionError::ShuttingDown))
    }

    /// Whether there is such a session.
    ///
    /// # Errors
    ///
    /// [`SessionError::NotFound`] when there is none.
    pub async fn exists(
        &self,
        kind: SessionKind,
        stream: StreamName,
        id: SessionId,
    ) -> Result<(), SessionError> {
        self.ask(|reply| Request::Exists {
            kind,
            stream,
            id,
            reply,
        })
        .await
        .unwrap_or(Err(SessionError::ShuttingDown))
    }

    /// The streams that are live now, by name.
    pub async fn streams(&self) -> Vec<StreamStatus> {
        self.ask(|reply| Request::Streams { reply })
            .await
            .unwrap_or_default()
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.ok()?;
        answer.await.ok()
    }
}
