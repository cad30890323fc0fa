//! A session, as the directory knows it.

use tokio::sync::watch;

use crate::gateway::events::{Notice, Reconnect};
use crate::gateway::reception::Reception;
use crate::gateway::{Client, Rank, SessionId, SessionKind};
use crate::shard::{SessionKey, ShardId};
use crate::stream::StreamName;

/// Where a session is: enough to send something to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::gateway) struct Place {
    pub(in crate::gateway) key: SessionKey,
    pub(in crate::gateway) shard: ShardId,
}

/// A session.
#[derive(Debug)]
pub(in crate::gateway) struct Session {
    pub(in crate::gateway) id: SessionId,
    pub(in crate::gateway) place: Place,
    pub(in crate::gateway) kind: SessionKind,
    pub(in crate::gateway) stream: StreamName,
    /// The entity tag of its ICE generation.
    pub(in crate::gateway) etag: String,
    /// The other side's user name fragment, once it is known: a PATCH with another one restarts ICE.
    pub(in crate::gateway) peer_ufrag: Option<String>,
    pub(in crate::gateway) client: Client,
    pub(super) connected: bool,
    /// A publisher's place among those of its stream.
    pub(in crate::gateway) rank: Rank,
    /// What a viewer can be sent; none for a publisher.
    pub(in crate::gateway) reception: Option<Reception>,
    /// The names of all m-lines of a viewer's SDP.
    pub(in crate::gateway) mids: Vec<String>,
    /// What those who read its events see; none before the first.
    pub(super) notice: Option<watch::Sender<Notice>>,
    /// It was told to begin again, and so is who reads its events from now on.
    reconnect: Option<Reconnect>,
}

impl Session {
    /// One that has to connect yet.
    pub(in crate::gateway) fn new(
        id: SessionId,
        place: Place,
        kind: SessionKind,
        stream: StreamName,
        client: Client,
        etag: String,
    ) -> Self {
        Self {
            id,
            place,
            kind,
            stream,
            etag,
            peer_ufrag: None,
            client,
            connected: false,
            rank: Rank::default(),
            reception: None,
            mids: Vec::new(),
            notice: None,
            reconnect: None,
        }
    }

    /// Whether it is a viewer that has not answered our offer yet.
    pub(in crate::gateway) fn is_offered(&self) -> bool {
        matches!(self.reception, Some(Reception::Offered(_)))
    }

    /// What those who read its events see, from now on.
    pub(super) fn read_notice(&mut self) -> watch::Receiver<Notice> {
        let reconnect = &self.reconnect;
        let notice = self.notice.get_or_insert_with(|| {
            watch::Sender::new(Notice {
                reconnect: reconnect.clone(),
                ..Notice::default()
            })
        });
        notice.subscribe()
    }

    /// Tells its viewer to begin again, at `url` if there is one. There are no events after that for
    /// who reads them now.
    pub(super) fn send_away(&mut self, url: Option<String>) {
        let reconnect = Some(Reconnect { url });
        self.reconnect.clone_from(&reconnect);
        if let Some(notice) = self.notice.take() {
            notice.send_modify(|notice| notice.reconnect = reconnect);
        }
    }
}
