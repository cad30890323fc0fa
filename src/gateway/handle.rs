//! The handle to the control plane, and what it sends to the task behind it.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::listing::Listing;
use super::{
    Client, CreateError, Created, Events, IfMatch, LayerChoice, Patched, Rank, SessionError,
    SessionId, SessionKind, StillError, StreamStatus,
};
use crate::sdp;
use crate::stream::{Packet, Still, StreamName, TrackInfo};

/// A handle to the control plane. Clones lead to the same one.
#[derive(Clone)]
pub struct Gateway {
    requests: mpsc::Sender<Request>,
    listing: Listing,
}

/// A handle to a control plane that may be gone.
#[derive(Clone, Debug)]
pub(super) struct WeakGateway {
    requests: mpsc::WeakSender<Request>,
    listing: Listing,
}

impl WeakGateway {
    pub(super) fn upgrade(&self) -> Option<Gateway> {
        Some(Gateway {
            requests: self.requests.upgrade()?,
            listing: self.listing.clone(),
        })
    }
}

pub(crate) type Reply<T> = oneshot::Sender<T>;

/// What a shard will say of the newest keyframe.
pub(crate) type PendingStill = oneshot::Receiver<Option<Vec<Arc<Packet>>>>;

/// What the task answers. One variant a method of [`Gateway`].
pub(crate) enum Request {
    Create {
        kind: SessionKind,
        stream: StreamName,
        offer: Box<sdp::Offer>,
        client: Client,
        rank: Rank,
        reply: Reply<Result<Created, CreateError>>,
    },
    CounterOffer {
        stream: StreamName,
        client: Client,
        reason: Option<String>,
        reply: Reply<Result<Created, CreateError>>,
    },
    Accept {
        stream: StreamName,
        id: SessionId,
        answer: Box<sdp::Answer>,
        reply: Reply<Result<(), SessionError>>,
    },
    Events {
        stream: StreamName,
        id: SessionId,
        reply: Reply<Result<Events, SessionError>>,
    },
    SelectLayer {
        stream: StreamName,
        id: SessionId,
        choice: LayerChoice,
        reply: Reply<Result<(), SessionError>>,
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
    Drain {
        reply: Reply<()>,
    },
    Still {
        stream: StreamName,
        reply: Reply<Result<(TrackInfo, PendingStill), StillError>>,
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
        let listing = Listing::default();
        (Self { requests, listing }, inbox)
    }

    /// A handle that does not keep the control plane alive.
    pub(super) fn downgrade(&self) -> WeakGateway {
        WeakGateway {
            requests: self.requests.downgrade(),
            listing: self.listing.clone(),
        }
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
        client: Client,
    ) -> Result<Created, CreateError> {
        self.create_ranked(kind, stream, offer, client, Rank::default())
            .await
    }

    /// The same for a publisher of some rank.
    ///
    /// # Errors
    ///
    /// See [`CreateError`]; nothing is left behind by a refusal.
    pub async fn publish(
        &self,
        stream: StreamName,
        offer: sdp::Offer,
        client: Client,
        rank: Rank,
    ) -> Result<Created, CreateError> {
        self.create_ranked(SessionKind::Whip, stream, offer, client, rank)
            .await
    }

    async fn create_ranked(
        &self,
        kind: SessionKind,
        stream: StreamName,
        offer: sdp::Offer,
        client: Client,
        rank: Rank,
    ) -> Result<Created, CreateError> {
        let offer = Box::new(offer);
        self.ask(|reply| Request::Create {
            kind,
            stream,
            offer,
            client,
            rank,
            reply,
        })
        .await
        .unwrap_or(Err(CreateError::ShuttingDown))
    }

    /// Makes a WHEP session that begins with an offer of ours (draft-ietf-wish-whep, section 4.2: 406).
    /// It waits for [`Self::accept`], and ends when that does not come in time. The `reason` why the
    /// player's own offer did not do stands in ours.
    ///
    /// # Errors
    ///
    /// See [`CreateError`]; nothing is left behind by a refusal.
    pub async fn counter_offer(
        &self,
        stream: StreamName,
        client: Client,
        reason: Option<String>,
    ) -> Result<Created, CreateError> {
        self.ask(|reply| Request::CounterOffer {
            stream,
            client,
            reason,
            reply,
        })
        .await
        .unwrap_or(Err(CreateError::ShuttingDown))
    }

    /// Takes a player's answer to our offer.
    ///
    /// # Errors
    ///
    /// See [`SessionError`]; after a refusal the session goes on waiting for an answer that fits.
    pub async fn accept(
        &self,
        stream: StreamName,
        id: SessionId,
        answer: sdp::Answer,
    ) -> Result<(), SessionError> {
        let answer = Box::new(answer);
        self.ask(|reply| Request::Accept {
            stream,
            id,
            answer,
            reply,
        })
        .await
        .unwrap_or(Err(SessionError::ShuttingDown))
    }

    /// The events of a WHEP session. There may be several readers; each gets all of them.
    ///
    /// # Errors
    ///
    /// [`SessionError::NotFound`] when there is no such session.
    pub async fn events(&self, stream: StreamName, id: SessionId) -> Result<Events, SessionError> {
        self.ask(|reply| Request::Events { stream, id, reply })
            .await
            .unwrap_or(Err(SessionError::ShuttingDown))
    }

    /// Chooses the layer that a WHEP session gets of a track.
    ///
    /// # Errors
    ///
    /// [`SessionError::NoLayer`] when the stream has none like it.
    pub async fn select_layer(
        &self,
        stream: StreamName,
        id: SessionId,
        choice: LayerChoice,
    ) -> Result<(), SessionError> {
        self.ask(|reply| Request::SelectLayer {
            stream,
            id,
            choice,
            reply,
        })
        .await
        .unwrap_or(Err(SessionError::ShuttingDown))
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

    /// Lets nobody in any more, and tells the viewers that read their events to begin again elsewhere.
    /// Their events end with that; their sessions go on until the shards end.
    pub async fn drain(&self) {
        // Without a task nobody is to be told.
        let _ = self.ask(|reply| Request::Drain { reply }).await;
    }

    /// The streams that are live now, by name.
    pub async fn streams(&self) -> Arc<[StreamStatus]> {
        let list = || async {
            let list = self.ask(|reply| Request::Streams { reply }).await;
            list.unwrap_or_default()
        };
        self.listing.get(list).await
    }

    /// The newest keyframe of a stream; none when there is no whole one yet, and one was asked for.
    ///
    /// # Errors
    ///
    /// [`StillError`] when there can be none.
    pub async fn still(&self, stream: StreamName) -> Result<Option<Still>, StillError> {
        let (track, packets) = self
            .ask(|reply| Request::Still { stream, reply })
            .await
            .unwrap_or(Err(StillError::Offline))?;
        let packets = packets.await.ok().flatten();
        Ok(packets.map(|packets| Still { track, packets }))
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.ok()?;
        answer.await.ok()
    }
}
