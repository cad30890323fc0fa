//! The event streams that viewers have asked for, by session.
//!
//! Small and bounded: a few for each session, and those of sessions that have ended are swept up when
//! their number has doubled.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::events::{EventNames, Reading};
use super::problem::Problem;
use crate::gateway::{Gateway, SessionError, SessionId, SessionKind};
use crate::stream::StreamName;

/// Of one session at once.
const MAX_PER_SESSION: usize = 4;

/// Sessions that are never worth a sweep.
const FEW: usize = 256;

/// All event streams.
#[derive(Debug, Default)]
pub(super) struct EventStreams {
    sessions: Mutex<Sessions>,
    sweeping: AtomicBool,
}

#[derive(Debug, Default)]
struct Sessions {
    by_id: HashMap<SessionId, OfSession>,
    /// How many there were after the last sweep.
    swept: usize,
}

#[derive(Debug)]
struct OfSession {
    stream: StreamName,
    /// The oldest first.
    streams: Vec<EventStream>,
}

#[derive(Debug)]
struct EventStream {
    /// As unguessable as a session's.
    id: SessionId,
    names: EventNames,
    /// The request that reads it; dropping this ends that.
    reader: Option<oneshot::Sender<()>>,
}

impl EventStream {
    fn is_read(&self) -> bool {
        self.reader
            .as_ref()
            .is_some_and(|reader| !reader.is_closed())
    }
}

impl EventStreams {
    /// Makes one. When a session has too many, the oldest that nobody reads gives way.
    pub(super) fn add(
        &self,
        stream: &StreamName,
        session: SessionId,
        names: EventNames,
    ) -> Result<SessionId, Problem> {
        let mut sessions = self.lock();
        let of_session = sessions.by_id.entry(session).or_insert_with(|| OfSession {
            stream: stream.clone(),
            streams: Vec::new(),
        });
        let streams = &mut of_session.streams;
        if streams.len() >= MAX_PER_SESSION {
            let unread = streams.iter().position(|stream| !stream.is_read());
            let unread = unread.ok_or(Problem::TooManyEventStreams(MAX_PER_SESSION))?;
            streams.remove(unread);
        }
        let id = SessionId::random();
        streams.push(EventStream {
            id,
            names,
            reader: None,
        });
        Ok(id)
    }

    /// Begins to read one, in the place of who reads it now: a player that comes back is often here
    /// before its old connection is known to be lost.
    pub(super) fn read(&self, session: SessionId, id: SessionId) -> Option<Reading> {
        let mut sessions = self.lock();
        let streams = &mut sessions.by_id.get_mut(&session)?.streams;
        let stream = streams.iter_mut().find(|stream| stream.id == id)?;
        let (reader, over) = oneshot::channel();
        stream.reader = Some(reader);
        Some(Reading {
            names: stream.names,
            over,
        })
    }

    /// Whether there is one.
    pub(super) fn exists(&self, session: SessionId, id: SessionId) -> bool {
        let sessions = self.lock();
        let of_session = sessions.by_id.get(&session);
        of_session.is_some_and(|of_session| of_session.streams.iter().any(|stream| stream.id == id))
    }

    /// Ends one. Whether there was one.
    pub(super) fn remove(&self, session: SessionId, id: SessionId) -> bool {
        let mut sessions = self.lock();
        let Some(of_session) = sessions.by_id.get_mut(&session) else {
            return false;
        };
        let streams = &mut of_session.streams;
        let before = streams.len();
        streams.retain(|stream| stream.id != id);
        let removed = streams.len() < before;
        if streams.is_empty() {
            sessions.by_id.remove(&session);
        }
        removed
    }

    /// Ends those of a session.
    pub(super) fn forget(&self, session: SessionId) {
        self.lock().by_id.remove(&session);
    }

    /// Forgets those of sessions that have ended otherwise than by a request, now and then.
    pub(super) fn sweep_if_many(self: &Arc<Self>, gateway: &Gateway) {
        let sessions = self.lock();
        let many = sessions.by_id.len() >= FEW.max(2 * sessions.swept);
        if !many || self.sweeping.swap(true, Ordering::AcqRel) {
            return;
        }
        let all = sessions.by_id.iter();
        let all: Vec<_> = all
            .map(|(id, of_session)| (*id, of_session.stream.clone()))
            .collect();
        drop(sessions);
        let (streams, gateway) = (Arc::clone(self), gateway.clone());
        tokio::spawn(async move {
            for (id, stream) in all {
                let exists = gateway.exists(SessionKind::Whep, stream, id).await;
                if matches!(exists, Err(SessionError::NotFound)) {
                    streams.forget(id);
                }
            }
            let mut sessions = streams.lock();
            sessions.swept = sessions.by_id.len();
            streams.sweeping.store(false, Ordering::Release);
        });
    }

    /// Nothing is half done when a holder of the lock panics.
    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(streams: &EventStreams, session: SessionId) -> Result<SessionId, Problem> {
        streams.add(&"live".parse().unwrap(), session, EventNames::ANNOUNCED)
    }

    #[test]
    fn a_new_reader_ends_the_one_before() {
        let streams = EventStreams::default();
        let session = SessionId::random();
        let id = add(&streams, session).unwrap();
        let mut one = streams.read(session, id).unwrap();
        assert!(one.over.try_recv().is_err());
        let _two = streams.read(session, id).unwrap();
        let ended = Err(oneshot::error::TryRecvError::Closed);
        assert_eq!(one.over.try_recv(), ended);
        assert!(streams.remove(session, id));
        assert!(!streams.remove(session, id));
        assert!(streams.read(session, id).is_none());
        assert!(streams.lock().by_id.is_empty());
    }

    #[test]
    fn the_oldest_that_nobody_reads_gives_way() {
        let streams = EventStreams::default();
        let session = SessionId::random();
        let ids: Vec<_> = (0..MAX_PER_SESSION)
            .map(|_| add(&streams, session).unwrap())
            .collect();
        let mut readings = vec![streams.read(session, ids[0]).unwrap()];
        let new = add(&streams, session).unwrap();
        assert!(streams.read(session, ids[1]).is_none());
        for id in [ids[2], ids[3], new] {
            readings.push(streams.read(session, id).unwrap());
        }
        assert!(matches!(
            add(&streams, session),
            Err(Problem::TooManyEventStreams(MAX_PER_SESSION))
        ));
        readings.clear();
        assert!(add(&streams, session).is_ok());
        assert!(add(&streams, SessionId::random()).is_ok());
    }
}
