//! The directory of streams and sessions: who publishes what, who takes it, on which shard.
//!
//! Pure: it decides, the task beside it acts.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{CreateError, SessionError, SessionId, SessionKind, StreamStatus};
use crate::shard::{SessionKey, ShardId, StreamKey};
use crate::stream::{StreamName, TrackInfo};

/// How much the server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions in all.
    pub sessions: usize,
    /// Subscribers of one stream.
    pub sessions_per_stream: usize,
    /// Streams at once.
    pub streams: usize,
    /// Sessions that have not finished ICE and DTLS.
    pub half_open_sessions: usize,
}

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
    last_key: u64,
}

/// A broadcast.
#[derive(Clone, Debug)]
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
}

/// A session.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) key: SessionKey,
    pub(super) kind: SessionKind,
    pub(super) stream: StreamName,
    pub(super) shard: ShardId,
    /// The entity tag of its ICE generation.
    pub(super) etag: String,
    connected: bool,
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
            last_key: 0,
        }
    }

    /// Whether `name` may be published now.
    pub(super) fn may_publish(&self, name: &StreamName) -> Result<(), CreateError> {
        if self.streams.contains_key(name) {
            return Err(CreateError::AlreadyPublished(name.clone()));
        }
        self.room("limits.streams", self.streams.len(), self.limits.streams)?;
        // Half-open sessions don't count here: a flood of viewers must not keep publishers out.
        self.room("limits.sessions", self.sessions.len(), self.limits.sessions)
    }

    /// The stream that a new subscriber of `name` takes.
    pub(super) fn may_subscribe(&self, name: &StreamName) -> Result<&Stream, CreateError> {
        let stream = self.streams.get(name).filter(|stream| stream.live);
        let stream = stream.ok_or_else(|| CreateError::Offline(name.clone()))?;
        self.room(
            "limits.sessions_per_stream",
            stream.subscribers.len(),
            self.limits.sessions_per_stream,
        )?;
        self.room_for_session()?;
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
        let (kind, name) = (session.kind, session.stream.clone());
        let stream = self.streams.get_mut(&name)?;
        match kind {
            SessionKind::Whip => {
                stream.live = true;
                Some((name, stream))
            }
            SessionKind::Whep => {
                stream.connected += 1;
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
        Some(session)
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
        shard: ShardId,
        etag: String,
    ) -> Self {
        Self {
            key,
            kind,
            stream,
            shard,
            etag,
            connected: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        sessions: 4,
        sessions_per_stream: 2,
        streams: 2,
        half_open_sessions: 3,
    };

    fn name(name: &str) -> StreamName {
        name.parse().unwrap()
    }

    fn publish(directory: &mut Directory, stream: &str) -> (SessionId, SessionKey) {
        directory.may_publish(&name(stream)).unwrap();
        let (id, key, shard) = (
            SessionId::random(),
            directory.next_session_key(),
            directory.least_loaded(),
        );
        let session = Session::new(key, SessionKind::Whip, name(stream), shard, String::new());
        directory.add_publisher(id, session, Arc::new([]));
        (id, key)
    }

    fn subscribe(directory: &mut Directory, stream: &str) -> (SessionId, SessionKey) {
        directory.may_subscribe(&name(stream)).unwrap();
        let (id, key, shard) = (
            SessionId::random(),
            directory.next_session_key(),
            directory.least_loaded(),
        );
        directory.add_subscriber(
            id,
            Session::new(key, SessionKind::Whep, name(stream), shard, String::new()),
        );
        (id, key)
    }

    #[test]
    fn a_stream_is_offline_until_its_publisher_has_connected() {
        let mut directory = Directory::new(LIMITS, 2);
        let (_, key) = publish(&mut directory, "demo");
        assert!(matches!(
            directory.may_subscribe(&name("demo")),
            Err(CreateError::Offline(_))
        ));
        assert!(directory.streams().is_empty());
        assert!(directory.connected(key).is_some());
        assert!(directory.connected(key).is_none(), "only once");
        assert!(directory.may_subscribe(&name("demo")).is_ok());
        assert_eq!(directory.streams().len(), 1);
    }

    #[test]
    fn a_name_has_one_publisher_at_a_time() {
        let mut directory = Directory::new(LIMITS, 1);
        let (_, key) = publish(&mut directory, "demo");
        assert!(matches!(
            directory.may_publish(&name("demo")),
            Err(CreateError::AlreadyPublished(_))
        ));
        directory.remove(key).unwrap();
        publish(&mut directory, "demo");
    }

    #[test]
    fn subscribers_leave_with_their_publisher() {
        let mut directory = Directory::new(LIMITS, 2);
        let (_, publisher) = publish(&mut directory, "demo");
        directory.connected(publisher);
        let (id, subscriber) = subscribe(&mut directory, "demo");
        directory.connected(subscriber);
        assert_eq!(directory.streams()[0].subscribers, 1);
        let (_, orphans) = directory.remove(publisher).unwrap();
        assert_eq!(orphans.0.len(), 1);
        assert_eq!(orphans.0[0].0, subscriber);
        assert!(
            directory
                .session(SessionKind::Whep, &name("demo"), id)
                .is_err()
        );
        assert_eq!((directory.half_open, &directory.load[..]), (0, &[0, 0][..]));
    }

    #[test]
    fn a_session_answers_only_to_its_kind_and_stream() {
        let mut directory = Directory::new(LIMITS, 1);
        let (id, _) = publish(&mut directory, "demo");
        assert!(
            directory
                .session(SessionKind::Whip, &name("demo"), id)
                .is_ok()
        );
        assert!(
            directory
                .session(SessionKind::Whep, &name("demo"), id)
                .is_err()
        );
        assert!(
            directory
                .session(SessionKind::Whip, &name("other"), id)
                .is_err()
        );
    }

    #[test]
    fn every_limit_names_its_setting() {
        let full = |result: Result<(), CreateError>| match result {
            Err(CreateError::Full { setting, limit }) => (setting, limit),
            other => panic!("{other:?}"),
        };
        let mut directory = Directory::new(LIMITS, 1);
        let (_, first) = publish(&mut directory, "a");
        publish(&mut directory, "b");
        assert_eq!(
            full(directory.may_publish(&name("c"))),
            ("limits.streams", 2)
        );
        directory.connected(first);
        subscribe(&mut directory, "a");
        subscribe(&mut directory, "a");
        assert_eq!(
            full(directory.may_subscribe(&name("a")).map(drop)),
            ("limits.sessions_per_stream", 2)
        );
        let mut directory = Directory::new(
            Limits {
                half_open_sessions: 1,
                ..LIMITS
            },
            1,
        );
        let (_, key) = publish(&mut directory, "a");
        directory.connected(key);
        subscribe(&mut directory, "a");
        assert!(directory.may_publish(&name("b")).is_ok());
        assert_eq!(
            full(directory.may_subscribe(&name("a")).map(drop)),
            ("limits.half_open_sessions", 1)
        );
        let mut directory = Directory::new(
            Limits {
                sessions: 1,
                ..LIMITS
            },
            1,
        );
        publish(&mut directory, "a");
        assert_eq!(
            full(directory.may_publish(&name("b"))),
            ("limits.sessions", 1)
        );
    }

    #[test]
    fn sessions_are_spread_over_the_shards() {
        let mut directory = Directory::new(LIMITS, 2);
        let (_, key) = publish(&mut directory, "demo");
        directory.connected(key);
        subscribe(&mut directory, "demo");
        subscribe(&mut directory, "demo");
        assert_eq!(directory.load, [2, 1]);
    }
}
