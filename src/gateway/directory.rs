//! The directory of streams and sessions: who publishes what, who takes it, on which shard.
//!
//! Pure: it decides, the task beside it acts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use std::time::Duration;

use tokio::sync::watch;

use super::events::{Notice, Presence};
use super::limits::Addresses;
use super::{
    Client, CreateError, Events, Limits, SessionError, SessionId, SessionKind, StreamStatus,
};
use crate::shard::{SessionKey, ShardId, StreamKey};
use crate::stream::{StreamName, TrackInfo};

/// When a viewer of a stream that nobody publishes may try again.
const RETRY_OFFLINE: Duration = Duration::from_secs(2);

/// All streams and sessions.
#[derive(Debug)]
pub(super) struct Directory {
    limits: Limits,
    streams: BTreeMap<StreamName, Stream>,
    sessions: HashMap<SessionId, Session>,
    ids: HashMap<SessionKey, SessionId>,
    /// Sessions by shard.
    load: Vec<usize>,
    half_open: usize,
    addresses: Addresses,
    last_key: u64,
    /// Whose viewers are to be told of a new count.
    recounted: BTreeSet<StreamName>,
}

/// A broadcast.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) key: StreamKey,
    pub(super) publisher: SessionId,
    pub(super) shard: ShardId,
    pub(super) tracks: Arc<[TrackInfo]>,
    /// The publisher has connected: others may take the stream.
    live: bool,
    /// Subscriber sessions, and how many of them are connected.
    subscribers: Vec<SessionId>,
    connected: usize,
    /// What those who read the events of a subscriber see; none before the first.
    presence: Option<watch::Sender<Presence>>,
}

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) key: SessionKey,
    pub(super) kind: SessionKind,
    pub(super) stream: StreamName,
    pub(super) shard: ShardId,
    /// The entity tag of its ICE generation.
    pub(super) etag: String,
    pub(super) client: Client,
    connected: bool,
    /// What those who read its events see; none before the first.
    notice: Option<watch::Sender<Notice>>,
}

/// What is left to close when a session has gone.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Orphans(pub(super) Vec<(SessionKey, ShardId)>);

impl Directory {
    pub(super) fn new(limits: Limits, shards: usize) -> Self {
        Self {
            limits,
            streams: BTreeMap::new(),
            sessions: HashMap::new(),
            ids: HashMap::new(),
            load: vec![0; shards.max(1)],
            half_open: 0,
            addresses: Addresses::default(),
            last_key: 0,
            recounted: BTreeSet::new(),
        }
    }

    /// Whether `name` may be published now.
    pub(super) fn may_publish(&self, name: &StreamName, client: Client) -> Result<(), CreateError> {
        if self.streams.contains_key(name) {
            return Err(CreateError::AlreadyPublished(name.clone()));
        }
        self.room("limits.streams", self.streams.len(), self.limits.streams)?;
        // Half-open sessions don't count here: a flood of viewers must not keep publishers out.
        self.room("limits.sessions", self.sessions.len(), self.limits.sessions)?;
        self.addresses.room(client.address, &self.limits)
    }

    /// The stream that a new subscriber of `name` takes.
    pub(super) fn may_subscribe(
        &self,
        name: &StreamName,
        client: Client,
    ) -> Result<&Stream, CreateError> {
        let stream = self.streams.get(name).filter(|stream| stream.live);
        let stream = stream.ok_or_else(|| CreateError::Offline {
            stream: name.clone(),
            retry_after: RETRY_OFFLINE,
        })?;
        self.room(
            "limits.sessions_per_stream",
            stream.subscribers.len(),
            self.limits.sessions_per_stream,
        )?;
        self.room_for_session()?;
        self.addresses.room(client.address, &self.limits)?;
        Ok(stream)
    }

    fn room_for_session(&self) -> Result<(), CreateError> {
        self.room("limits.sessions", self.sessions.len(), self.limits.sessions)?;
        self.room(
            "limits.half_open_sessions",
            self.half_open,
            self.limits.half_open_sessions,
        )
    }

    fn room(&self, setting: &'static str, count: usize, limit: usize) -> Result<(), CreateError> {
        if count < limit {
            Ok(())
        } else {
            Err(CreateError::Full { setting, limit })
        }
    }

    /// The shard with the fewest sessions.
    pub(super) fn least_loaded(&self) -> ShardId {
        let (index, _) = self
            .load
            .iter()
            .enumerate()
            .min_by_key(|(_, load)| **load)
            .unwrap_or((0, &0));
        ShardId(index as u8)
    }

    pub(super) fn next_session_key(&mut self) -> SessionKey {
        self.last_key += 1;
        SessionKey(self.last_key)
    }

    /// A new publisher of `name`, who has to connect yet.
    pub(super) fn add_publisher(
        &mut self,
        id: SessionId,
        session: Session,
        tracks: Arc<[TrackInfo]>,
    ) -> StreamKey {
        let key = StreamKey(session.key.0);
        let stream = Stream {
            key,
            publisher: id,
            shard: session.shard,
            tracks,
            live: false,
            subscribers: Vec::new(),
            connected: 0,
            presence: None,
        };
        self.streams.insert(session.stream.clone(), stream);
        self.add_session(id, session);
        key
    }

    /// A new subscriber, who has to connect yet.
    pub(super) fn add_subscriber(&mut self, id: SessionId, session: Session) {
        if let Some(stream) = self.streams.get_mut(&session.stream) {
            stream.subscribers.push(id);
        }
        self.add_session(id, session);
    }

    fn add_session(&mut self, id: SessionId, session: Session) {
        self.ids.insert(session.key, id);
        self.load[usize::from(session.shard.0)] += 1;
        self.half_open += 1;
        self.addresses.add(session.client.address);
        self.sessions.insert(id, session);
    }

    /// The session that a request means: by its id, of its kind and its stream.
    pub(super) fn session(
        &mut self,
        kind: SessionKind,
        stream: &StreamName,
        id: SessionId,
    ) -> Result<&mut Session, SessionError> {
        self.sessions
            .get_mut(&id)
            .filter(|session| session.kind == kind && session.stream == *stream)
            .ok_or(SessionError::NotFound)
    }

    /// ICE and DTLS of a session are done. Returns the stream if it became live by that.
    pub(super) fn connected(&mut self, key: SessionKey) -> Option<(StreamName, &Stream)> {
        let session = self.sessions.get_mut(self.ids.get(&key)?)?;
        if session.connected {
            return None;
        }
        session.connected = true;
        self.half_open -= 1;
        self.addresses.connected(session.client.address);
        let (kind, name) = (session.kind, session.stream.clone());
        let stream = self.streams.get_mut(&name)?;
        match kind {
            SessionKind::Whip => {
                stream.live = true;
                Some((name, stream))
            }
            SessionKind::Whep => {
                stream.connected += 1;
                if stream.presence.is_some() {
                    self.recounted.insert(name);
                }
                None
            }
        }
    }

    /// Forgets a session. The subscribers of a publisher are left without a stream: they are to be closed.
    pub(super) fn remove(&mut self, key: SessionKey) -> Option<(Session, Orphans)> {
        let id = *self.ids.get(&key)?;
        let session = self.forget(id)?;
        let mut orphans = Orphans::default();
        match session.kind {
            SessionKind::Whip => {
                if self
                    .streams
                    .get(&session.stream)
                    .is_some_and(|stream| stream.publisher == id)
                {
                    let stream = self.streams.remove(&session.stream);
                    for subscriber in stream.into_iter().flat_map(|stream| stream.subscribers) {
                        if let Some(subscriber) = self.forget(subscriber) {
                            orphans.0.push((subscriber.key, subscriber.shard));
                        }
                    }
                }
            }
            SessionKind::Whep => {
                if let Some(stream) = self.streams.get_mut(&session.stream) {
                    stream.subscribers.retain(|other| *other != id);
                    stream.connected -= usize::from(session.connected);
                    if session.connected && stream.presence.is_some() {
                        self.recounted.insert(session.stream.clone());
                    }
                }
            }
        }
        Some((session, orphans))
    }

    fn forget(&mut self, id: SessionId) -> Option<Session> {
        let session = self.sessions.remove(&id)?;
        self.ids.remove(&session.key);
        self.load[usize::from(session.shard.0)] -= 1;
        self.half_open -= usize::from(!session.connected);
        self.addresses
            .remove(session.client.address, session.connected);
        Some(session)
    }

    /// The events of a subscriber.
    pub(super) fn events(
        &mut self,
        name: &StreamName,
        id: SessionId,
    ) -> Result<Events, SessionError> {
        let session = self.session(SessionKind::Whep, name, id)?;
        let notice = session
            .notice
            .get_or_insert_with(|| watch::Sender::new(Notice::default()))
            .subscribe();
        let stream = self.streams.get_mut(name).ok_or(SessionError::NotFound)?;
        let presence = Presence {
            active: stream.live,
            viewers: stream.connected,
        };
        let presence = stream
            .presence
            .get_or_insert_with(|| watch::Sender::new(presence))
            .subscribe();
        Ok(Events::new(presence, notice))
    }

    /// Whether some viewers are to be told of a new count.
    pub(super) fn is_recounted(&self) -> bool {
        !self.recounted.is_empty()
    }

    /// Tells the viewers of all streams that have a new count. To be called at most once a second.
    pub(super) fn tell_counts(&mut self) {
        for name in std::mem::take(&mut self.recounted) {
            let Some(stream) = self.streams.get(&name) else {
                continue;
            };
            if let Some(presence) = &stream.presence {
                let viewers = stream.connected;
                presence.send_if_modified(|presence| {
                    std::mem::replace(&mut presence.viewers, viewers) != viewers
                });
            }
        }
    }

    /// The live streams, by name.
    pub(super) fn streams(&self) -> Vec<StreamStatus> {
        self.streams
            .iter()
            .filter(|(_, stream)| stream.live)
            .map(|(name, stream)| StreamStatus {
                name: name.clone(),
                tracks: stream.tracks.to_vec(),
                subscribers: stream.connected,
            })
            .collect()
    }
}

impl Session {
    pub(super) fn new(
        key: SessionKey,
        kind: SessionKind,
        stream: StreamName,
        client: Client,
        shard: ShardId,
        etag: String,
    ) -> Self {
        Self {
            key,
            kind,
            stream,
            shard,
            etag,
            client,
            connected: false,
            notice: None,
        }
    }
}

#[cfg(test)]
mod tests;
