//! How one publisher of a stream follows another, and what becomes of the viewers meanwhile.

use std::time::Instant;

use super::stream::{Broadcast, Stream};
use super::{Directory, Place, Session};
use crate::gateway::{Rank, SessionKind};
use crate::sdp::SubscriberSpec;
use crate::shard::{SessionKey, StreamKey};
use crate::stream::StreamName;

/// Viewers get another broadcast of their stream from now on.
#[derive(Debug)]
pub(in crate::gateway) struct Debut {
    pub(in crate::gateway) name: StreamName,
    pub(in crate::gateway) broadcast: Broadcast,
    /// The one before, if it stands by from now on.
    pub(in crate::gateway) standby: Option<Broadcast>,
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
    /// ICE and DTLS of a session are done. A publisher's goes live with it, or stands by.
    pub(in crate::gateway) fn connected(&mut self, key: SessionKey, now: Instant) -> Option<Debut> {
        let session = self.sessions.get_mut(&key)?;
        if std::mem::replace(&mut session.connected, true) {
            return None;
        }
        self.half_open -= 1;
        self.addresses.connected(session.client);
        let (kind, rank, name) = (session.kind, session.rank, session.stream.clone());
        let stream = self.streams.get_mut(&name)?;
        if kind == SessionKind::Whep {
            stream.connected += 1;
            self.recount(&name);
            return None;
        }
        let before = stream.live().cloned();
        let replaced = stream.lineup.connected(key, now);
        if rank != Rank::Slate {
            stream.gap = None;
        }
        let mut debut = self.choose(&name, before, now);
        if let Some(place) = replaced.and_then(|replaced| self.dismiss(replaced.publisher.key)) {
            match &mut debut {
                Some(debut) => debut.closed.push(place),
                None => self.retired.push(place),
            }
        }
        debut
    }

    /// The media of a publisher comes again, or has stopped to.
    pub(in crate::gateway) fn set_flow(&mut self, broadcast: StreamKey, flows: bool, now: Instant) {
        // A broadcast has the number of its publisher's session.
        let publisher = self.sessions.get(&SessionKey(broadcast.0));
        let Some(name) = publisher.map(|session| session.stream.clone()) else {
            return;
        };
        if let Some(stream) = self.streams.get_mut(&name) {
            let before = stream.live().cloned();
            stream.lineup.set_flow(broadcast, flows, now);
            let debut = self.choose(&name, before, now);
            self.debuts.extend(debut);
        }
    }

    /// The next change of what viewers get that came of something else than a connection.
    pub(in crate::gateway) fn poll_debut(&mut self) -> Option<Debut> {
        self.debuts.pop_front()
    }

    /// Who has been forgotten meanwhile, and is to be closed, after all debuts.
    pub(in crate::gateway) fn take_retired(&mut self) -> Vec<Place> {
        std::mem::take(&mut self.retired)
    }

    /// Gives the air of a stream to whom it belongs now; `before` had it.
    fn choose(
        &mut self,
        name: &StreamName,
        before: Option<Broadcast>,
        now: Instant,
    ) -> Option<Debut> {
        let return_after = self.policies.of(name).return_after;
        let stream = self.streams.get_mut(name)?;
        stream.lineup.choose(now, return_after);
        stream.tell_active();
        let broadcast = stream.live().cloned();
        let debut = broadcast
            .filter(|live| before.as_ref().is_none_or(|before| before.key != live.key))
            .map(|broadcast| self.go_live(name, broadcast, before));
        self.see_to_slate(name);
        self.schedule(name, now);
        debut
    }

    /// Viewers turn to a broadcast; those that can't take it leave, unless it is the slate.
    fn go_live(
        &mut self,
        name: &StreamName,
        broadcast: Broadcast,
        before: Option<Broadcast>,
    ) -> Debut {
        let (mut bound, mut unfit) = (Vec::new(), Vec::new());
        let mut standby = None;
        if let Some(stream) = self.streams.get_mut(name) {
            standby = before.filter(|before| stream.lineup.has(before.key));
            let is_slate = !stream.is_active();
            if !is_slate {
                stream.tracks = Some(std::sync::Arc::clone(&broadcast.tracks));
            }
            stream.layers.clear();
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
                    // What it saw last stays.
                    None if is_slate => {}
                    None => unfit.push(*key),
                }
            }
        }
        let closed = unfit.into_iter().filter_map(|key| self.dismiss(key));
        Debut {
            name: name.clone(),
            closed: closed.collect(),
            broadcast,
            standby,
            bound,
        }
    }

    /// Forgets a session that somebody else has taken the place of, or that has to begin again.
    fn dismiss(&mut self, key: SessionKey) -> Option<Place> {
        if let Some(session) = self.sessions.get_mut(&key) {
            session.send_away(None);
        }
        self.leave(key).map(|session| session.place)
    }

    /// A session has ended or is to end.
    pub(in crate::gateway) fn remove(
        &mut self,
        key: SessionKey,
        now: Instant,
    ) -> Option<Departure> {
        let session = self.leave(key)?;
        let name = &session.stream;
        match session.kind {
            SessionKind::Whip => self.lose_publisher(&session, now),
            SessionKind::Whep => self.lose_viewer(name, now),
        }
        let closed = match self.streams.get(name) {
            Some(stream) if stream.is_over(now) => self.end(name),
            _ => Vec::new(),
        };
        let stream = self.streams.get(name);
        if stream.is_some_and(Stream::is_deserted) {
            self.end(name);
        }
        let gap = self.streams.get(name).filter(|stream| !stream.is_active());
        Some(Departure {
            waiting: gap.map_or(0, |stream| stream.subscribers.len()),
            session,
            closed,
        })
    }

    /// The slate may be needed no longer.
    fn lose_viewer(&mut self, name: &StreamName, now: Instant) {
        if !self.slates.contains(name) {
            return;
        }
        let before = self.live(name).cloned();
        self.see_to_slate(name);
        // A publisher that has stalled is better than nothing.
        let debut = self.choose(name, before, now);
        self.debuts.extend(debut);
    }

    /// The stream goes on without this publisher.
    fn lose_publisher(&mut self, gone: &Session, now: Instant) {
        let name = &gone.stream;
        let grace = self.policies.of(name).reconnect_grace;
        let Some(stream) = self.streams.get_mut(name) else {
            return;
        };
        let before = stream.live().cloned();
        stream.lineup.remove(gone.place.key);
        let was_published = gone.connected && gone.rank != Rank::Slate;
        if was_published && !stream.has_connected_publisher() {
            stream.gap = Some(now + grace);
        }
        let debut = self.choose(name, before, now);
        self.debuts.extend(debut);
    }

    /// Sees to it that the stream gets its turn when something has to be done without an event.
    fn schedule(&mut self, name: &StreamName, now: Instant) {
        let return_after = self.policies.of(name).return_after;
        let Some(stream) = self.streams.get_mut(name) else {
            return;
        };
        let choice = stream.lineup.poll_timeout(return_after);
        // Where somebody is still connecting when the gap is over, the end of that decides.
        let gap = stream.gap.filter(|until| *until > now);
        let due = [choice, gap].into_iter().flatten().min();
        if let Some(before) = std::mem::replace(&mut stream.due, due) {
            self.due.remove(&(before, name.clone()));
        }
        self.due.extend(due.map(|due| (due, name.clone())));
    }

    /// When [`Self::handle_timeout`] is due.
    pub(in crate::gateway) fn poll_timeout(&self) -> Option<Instant> {
        let stream = self.due.first().map(|(due, _)| *due);
        let offer = self.offers.front().map(|(until, _)| *until);
        [stream, offer].into_iter().flatten().min()
    }

    /// Ends what has waited long enough, and lets publishers return that were away for long enough.
    /// Returns who was forgotten and is to be closed.
    pub(in crate::gateway) fn handle_timeout(&mut self, now: Instant) -> Vec<Place> {
        let mut closed = Vec::new();
        while self.due.first().is_some_and(|(due, _)| *due <= now)
            && let Some((_, name)) = self.due.pop_first()
        {
            let Some(stream) = self.streams.get_mut(&name) else {
                continue;
            };
            stream.due = None;
            if stream.is_over(now) {
                closed.extend(self.end(&name));
                continue;
            }
            let before = stream.live().cloned();
            let debut = self.choose(&name, before, now);
            self.debuts.extend(debut);
        }
        while let Some((_, key)) = self.offers.pop_front_if(|(until, _)| *until <= now) {
            closed.extend(self.withdraw(key, now));
        }
        closed
    }

    /// Takes back an offer of ours, unless it was answered. Returns who was forgotten.
    pub(super) fn withdraw(&mut self, key: SessionKey, now: Instant) -> Option<Place> {
        self.sessions
            .get(&key)
            .filter(|session| session.is_offered())?;
        self.remove(key, now).map(|gone| gone.session.place)
    }

    /// A stream has no publisher and will have none in time: its viewers leave.
    fn end(&mut self, name: &StreamName) -> Vec<Place> {
        let Some(stream) = self.streams.remove(name) else {
            return Vec::new();
        };
        if let Some(due) = stream.due {
            self.due.remove(&(due, name.clone()));
        }
        self.stop_slate(name);
        let slate = stream
            .lineup
            .slate()
            .map(|slate| slate.broadcast.publisher.key);
        let sessions = stream.subscribers.into_iter().chain(slate);
        let sessions = sessions.filter_map(|key| self.forget(key));
        sessions.map(|session| session.place).collect()
    }
}
