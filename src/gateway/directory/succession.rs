//! How one publisher of a stream follows another, and what becomes of the viewers meanwhile.

use std::time::Instant;

use super::stream::{Air, Stream};
use super::{Broadcast, Directory, Place, Session};
use crate::gateway::SessionKind;
use crate::sdp::SubscriberSpec;
use crate::shard::SessionKey;
use crate::stream::StreamName;

/// A stream has become live.
#[derive(Debug)]
pub(in crate::gateway) struct Debut {
    pub(in crate::gateway) name: StreamName,
    pub(in crate::gateway) broadcast: Broadcast,
    /// The viewers that were there already, and what they get.
    pub(in crate::gateway) bound: Vec<(Place, SubscriberSpec)>,
    /// Forgotten, and to be closed: the publisher before, and viewers that can't take this one.
    pub(in crate::gateway) closed: Vec<Place>,
}

/// A session has gone.
#[derive(Debug)]
pub(in crate::gateway) struct Departure {
    pub(in crate::gateway) session: Session,
    /// Forgotten, and to be closed: those who could not be without it.
    pub(in crate::gateway) closed: Vec<Place>,
    /// So many viewers wait for another publisher.
    pub(in crate::gateway) waiting: usize,
}

impl Directory {
    /// ICE and DTLS of a session are done. With a publisher's its stream becomes live.
    pub(in crate::gateway) fn connected(&mut self, key: SessionKey) -> Option<Debut> {
        let session = self.sessions.get_mut(&key)?;
        if std::mem::replace(&mut session.connected, true) {
            return None;
        }
        self.half_open -= 1;
        self.addresses.connected(session.client.address);
        let (kind, name) = (session.kind, session.stream.clone());
        let stream = self.streams.get_mut(&name)?;
        match kind {
            SessionKind::Whip => self.go_live(key, name),
            SessionKind::Whep => {
                stream.connected += 1;
                self.recount(&name);
                None
            }
        }
    }

    fn go_live(&mut self, publisher: SessionKey, name: StreamName) -> Option<Debut> {
        let stream = self.streams.get_mut(&name)?;
        let broadcast = stream
            .next
            .take_if(|next| next.publisher.key == publisher)?;
        let before = std::mem::replace(&mut stream.air, Air::Live(broadcast.clone()));
        stream.tell_active();
        stream.layers.clear();
        let (mut bound, mut unfit) = (Vec::new(), Vec::new());
        for key in &stream.subscribers {
            let session = self.sessions.get(key);
            let Some((session, reception)) =
                session.and_then(|session| Some((session, session.reception.as_ref()?)))
            else {
                continue;
            };
            match reception.bind(&broadcast.tracks) {
                Some(spec) => {
                    bound.push((session.place, spec));
                    session.tell_layers(&broadcast.tracks, &stream.layers);
                }
                // It is bound when it answers.
                None if session.is_offered() => {}
                None => unfit.push(*key),
            }
        }
        if let Air::Live(before) = before {
            unfit.push(before.publisher.key);
        }
        let mut closed = Vec::new();
        for key in unfit {
            if let Some(session) = self.sessions.get_mut(&key) {
                session.send_away(None);
            }
            closed.extend(self.leave(key).map(|session| session.place));
        }
        Some(Debut {
            name,
            broadcast,
            bound,
            closed,
        })
    }

    /// A session has ended or is to end.
    pub(in crate::gateway) fn remove(
        &mut self,
        key: SessionKey,
        now: Instant,
    ) -> Option<Departure> {
        let session = self.leave(key)?;
        let name = &session.stream;
        if session.kind == SessionKind::Whip {
            self.lose_publisher(key, name, now);
        }
        let closed = match self.streams.get(name) {
            Some(stream) if stream.is_over(now) => self.end(name),
            _ => Vec::new(),
        };
        let stream = self.streams.get(name);
        if stream.is_some_and(Stream::is_deserted) {
            self.streams.remove(name);
        }
        let gap = self
            .streams
            .get(name)
            .filter(|stream| stream.live().is_none());
        Some(Departure {
            waiting: gap.map_or(0, |stream| stream.subscribers.len()),
            session,
            closed,
        })
    }

    /// The stream goes on without this publisher, if it has had to do with it.
    fn lose_publisher(&mut self, key: SessionKey, name: &StreamName, now: Instant) {
        let Some(stream) = self.streams.get_mut(name) else {
            return;
        };
        stream.next.take_if(|next| next.publisher.key == key);
        if stream.live().is_some_and(|live| live.publisher.key == key) {
            let until = now + self.policy.reconnect_grace;
            stream.air = Air::Gap { until };
            stream.tell_active();
            self.gaps.push_back((until, name.clone()));
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub(in crate::gateway) fn poll_timeout(&self) -> Option<Instant> {
        let gap = self.gaps.front().map(|(until, _)| *until);
        let offer = self.offers.front().map(|(until, _)| *until);
        [gap, offer].into_iter().flatten().min()
    }

    /// Ends what has waited long enough. Returns who was forgotten and is to be closed.
    pub(in crate::gateway) fn handle_timeout(&mut self, now: Instant) -> Vec<Place> {
        let mut closed = Vec::new();
        while let Some((_, name)) = self.gaps.pop_front_if(|(until, _)| *until <= now) {
            if self
                .streams
                .get(&name)
                .is_some_and(|stream| stream.is_over(now))
            {
                closed.extend(self.end(&name));
            }
        }
        while let Some((_, key)) = self.offers.pop_front_if(|(until, _)| *until <= now) {
            if self.sessions.get(&key).is_some_and(Session::is_offered) {
                if let Some(gone) = self.remove(key, now) {
                    closed.push(gone.session.place);
                    closed.extend(gone.closed);
                }
            }
        }
        closed
    }

    /// A stream has no publisher and will have none in time: its viewers leave.
    fn end(&mut self, name: &StreamName) -> Vec<Place> {
        let Some(stream) = self.streams.remove(name) else {
            return Vec::new();
        };
        let sessions = stream.subscribers.into_iter();
        let sessions = sessions.filter_map(|key| self.forget(key));
        sessions.map(|session| session.place).collect()
    }
}
