//! The directory of streams and sessions: who publishes what, who takes it, on which shard.
//!
//! A stream waits for its first publisher, is live, or in a gap between two of them; where viewers
//! can't stay in either, it ends with its publisher. It may have several publishers, of which one has
//! the air and the others stand by. Pure: it decides, the task beside it acts.

mod layering;
mod lineup;
mod session;
mod slate;
mod stream;
mod succession;
mod telling;
mod verdict;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use lineup::PublisherState;
pub(super) use session::{Place, Session};
pub(super) use slate::SlateOrder;
pub(super) use stream::Broadcast;
pub(super) use succession::{Debut, Departure};

use stream::Stream;

use super::limits::Addresses;
use super::reception::Reception;
use super::{
    Client, CreateError, Limits, PublisherStatus, Rank, SecondPublisher, SessionError, SessionId,
    SessionKind, StreamPolicies, StreamPolicy, StreamStatus,
};
use crate::shard::{SessionKey, ShardId, StreamCounters, StreamKey};
use crate::stream::{StreamName, TrackInfo};

/// All streams and sessions.
#[derive(Debug)]
pub(super) struct Directory {
    limits: Limits,
    policies: StreamPolicies,
    streams: BTreeMap<StreamName, Stream>,
    sessions: HashMap<SessionKey, Session>,
    keys: HashMap<SessionId, SessionKey>,
    /// Sessions by shard.
    load: Vec<usize>,
    half_open: usize,
    /// How many of them have not answered our offer.
    offered: usize,
    addresses: Addresses,
    last_key: u64,
    /// When streams are to be seen to though nothing happens; of each stream one time at most.
    due: BTreeSet<(Instant, StreamName)>,
    /// Changes of what viewers get that have not been fetched.
    debuts: VecDeque<Debut>,
    /// Forgotten sessions that are to be closed.
    retired: Vec<Place>,
    /// The streams that have a slate, and what is to be told of that.
    slates: BTreeSet<StreamName>,
    slate_orders: VecDeque<SlateOrder>,
    /// When our offers lose their validity, in this order. One that was answered is passed over.
    offers: VecDeque<(Instant, SessionKey)>,
    /// Whose viewers are to be told of a new count.
    recounted: BTreeSet<StreamName>,
}

impl Directory {
    pub(super) fn new(limits: Limits, policies: impl Into<StreamPolicies>, shards: usize) -> Self {
        Self {
            limits,
            policies: policies.into(),
            streams: BTreeMap::new(),
            sessions: HashMap::new(),
            keys: HashMap::new(),
            load: vec![0; shards.max(1)],
            half_open: 0,
            offered: 0,
            addresses: Addresses::default(),
            last_key: 0,
            due: BTreeSet::new(),
            debuts: VecDeque::new(),
            retired: Vec::new(),
            slates: BTreeSet::new(),
            slate_orders: VecDeque::new(),
            offers: VecDeque::new(),
            recounted: BTreeSet::new(),
        }
    }

    /// Whether `name` may be published now by one of that rank.
    pub(super) fn may_publish(
        &self,
        name: &StreamName,
        client: Client,
        rank: Rank,
    ) -> Result<(), CreateError> {
        let stream = self.streams.get(name);
        let is_published = stream.is_some_and(Stream::has_publisher);
        let policy = self.policies.of(name);
        if rank == Rank::Slate {
            if !self.slates.contains(name) {
                return Err(CreateError::offline(name)); // it is needed no longer
            }
        } else if is_published && policy.second_publisher == SecondPublisher::Refuse {
            return Err(CreateError::AlreadyPublished(name.clone()));
        } else if is_published {
            let others = stream.map_or(0, |stream| stream.lineup.ranks_but(rank));
            let limit = self.limits.publishers_per_stream;
            self.room("limits.publishers_per_stream", others, limit)?;
        } else {
            let published = self
                .streams
                .values()
                .filter(|stream| stream.has_publisher());
            self.room("limits.streams", published.count(), self.limits.streams)?;
        }
        // Half-open sessions don't count here: a flood of viewers must not keep publishers out.
        self.room("limits.sessions", self.sessions.len(), self.limits.sessions)?;
        self.addresses.room(client, &self.limits)
    }

    /// The rules of a stream.
    pub(super) fn policy(&self, name: &StreamName) -> &StreamPolicy {
        self.policies.of(name)
    }

    /// Whether `name` may have one more viewer. Returns what that takes now; none while it has to wait.
    pub(super) fn may_subscribe(
        &self,
        name: &StreamName,
        client: Client,
    ) -> Result<Option<Broadcast>, CreateError> {
        let stream = self.streams.get(name);
        let live = stream.and_then(Stream::live);
        if live.is_none() && !self.policies.of(name).wait_for_publisher {
            return Err(CreateError::offline(name));
        }
        self.room(
            "limits.sessions_per_stream",
            stream.map_or(0, |stream| stream.subscribers.len()),
            self.limits.sessions_per_stream,
        )?;
        self.room("limits.sessions", self.sessions.len(), self.limits.sessions)?;
        self.room(
            "limits.half_open_sessions",
            self.half_open,
            self.limits.half_open_sessions,
        )?;
        self.addresses.room(client, &self.limits)?;
        Ok(live.cloned())
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

    pub(super) fn next_key(&mut self) -> u64 {
        self.last_key += 1;
        self.last_key
    }

    /// A new publisher, who has to connect yet. Another one that has to is forgotten, and to be closed.
    pub(super) fn add_publisher(
        &mut self,
        session: Session,
        tracks: Arc<[TrackInfo]>,
        counters: Arc<StreamCounters>,
    ) -> (StreamKey, Option<Place>) {
        let key = StreamKey(session.place.key.0);
        let broadcast = Broadcast {
            key,
            publisher: session.place,
            tracks,
            counters,
        };
        let stream = self.streams.entry(session.stream.clone()).or_default();
        let before = stream.lineup.admit(broadcast, session.rank);
        let before = before.and_then(|before| self.forget(before.publisher.key));
        self.add_session(session);
        (key, before.map(|session| session.place))
    }

    /// A new viewer, who has to connect yet.
    pub(super) fn add_subscriber(&mut self, mut session: Session, reception: Reception) {
        session.reception = Some(reception);
        let stream = self.streams.entry(session.stream.clone()).or_default();
        stream.subscribers.insert(session.place.key);
        let name = session.stream.clone();
        self.add_session(session);
        self.see_to_slate(&name);
    }

    /// A viewer has been made an offer. Returns how long it may take to answer.
    pub(super) fn await_answer(&mut self, id: SessionId, now: Instant) -> Duration {
        let valid = self.limits.answer_timeout;
        if let Some(key) = self.keys.get(&id) {
            self.offers.push_back((now + valid, *key));
        }
        valid
    }

    /// Makes room for one more offer: they may hold half of the half-open places, as they cost who
    /// asks for them nothing. Returns whose offers gave way, the oldest, who are to be closed.
    pub(super) fn make_room_for_offer(&mut self, now: Instant) -> Vec<Place> {
        let most = (self.limits.half_open_sessions / 2).max(1);
        let mut closed = Vec::new();
        while self.offered >= most
            && let Some((_, key)) = self.offers.pop_front()
        {
            closed.extend(self.withdraw(key, now));
        }
        closed
    }

    /// A viewer has answered our offer.
    pub(super) fn settle(&mut self, key: SessionKey, reception: Reception) {
        if let Some(session) = self.sessions.get_mut(&key) {
            self.offered -= usize::from(session.is_offered());
            session.reception = Some(reception);
        }
    }

    /// What is being broadcast under a name.
    pub(super) fn live(&self, name: &StreamName) -> Option<&Broadcast> {
        self.streams.get(name)?.live()
    }

    fn add_session(&mut self, session: Session) {
        self.keys.insert(session.id, session.place.key);
        self.load[usize::from(session.place.shard.0)] += 1;
        self.half_open += 1;
        self.offered += usize::from(session.is_offered());
        self.addresses.add(session.client);
        self.sessions.insert(session.place.key, session);
    }

    /// The session that a request means: by its id, of its kind and its stream.
    pub(super) fn session(
        &mut self,
        kind: SessionKind,
        stream: &StreamName,
        id: SessionId,
    ) -> Result<&mut Session, SessionError> {
        let key = self.keys.get(&id);
        key.and_then(|key| self.sessions.get_mut(key))
            .filter(|session| session.kind == kind && session.stream == *stream)
            .ok_or(SessionError::NotFound)
    }

    /// Forgets a session, also as a viewer of its stream.
    fn leave(&mut self, key: SessionKey) -> Option<Session> {
        let session = self.forget(key)?;
        if let Some(stream) = self.streams.get_mut(&session.stream)
            && stream.subscribers.remove(&key)
            && session.connected
        {
            stream.connected -= 1;
            self.recount(&session.stream);
        }
        Some(session)
    }

    fn forget(&mut self, key: SessionKey) -> Option<Session> {
        let session = self.sessions.remove(&key)?;
        self.keys.remove(&session.id);
        self.load[usize::from(session.place.shard.0)] -= 1;
        self.half_open -= usize::from(!session.connected);
        self.offered -= usize::from(session.is_offered());
        self.addresses.remove(session.client, session.connected);
        Some(session)
    }

    /// The live streams, by name.
    pub(super) fn streams(&self) -> Vec<StreamStatus> {
        self.streams
            .iter()
            .filter_map(|(name, stream)| Some((name, stream, stream.live()?)))
            .map(|(name, stream, live)| StreamStatus {
                name: name.clone(),
                tracks: live.tracks.to_vec(),
                subscribers: stream.connected,
                counters: Arc::clone(&live.counters),
                publishers: stream
                    .lineup
                    .by_rank()
                    .into_iter()
                    .map(|entry| PublisherStatus {
                        rank: entry.rank,
                        state: entry.state,
                        on_air: entry.broadcast.key == live.key,
                        report: entry.report.clone(),
                    })
                    .collect(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
