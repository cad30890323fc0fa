//! Viewers who come: they begin with the last keyframe and get what came after it, out of the ring of their
//! shard. A shard that had no use for a layer gets that much of it from the publisher's shard first.

use std::sync::Arc;
use std::time::Instant;

use super::batch::SealedOutlet;
use super::inbox::Age;
use super::local_stream::Source;
use super::session::{Media, Session};
use super::state::State;
use super::{SessionKey, ShardId, StreamKey};
use crate::rtp::MediaKind;
use crate::stream::LayersByTrack;

/// Who comes waits for those who watch: so many get a portion before all get what is new.
const SESSIONS_PER_ROUND: usize = 64;

/// The subscribers that are not up to date, each once.
#[derive(Debug, Default)]
pub(super) struct CatchingUp {
    sessions: Vec<SessionKey>,
    next: Option<Instant>,
}

impl CatchingUp {
    /// When [`State::catch_up`] has something to do.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    fn insert(&mut self, now: Instant, session: SessionKey) {
        if !self.sessions.contains(&session) {
            self.sessions.push(session);
        }
        self.next = Some(now);
    }
}

impl State {
    /// A subscriber that is here begins, if it waits for keyframes and the stream has some. Returns what
    /// it waits for even so, and what it would rather have new.
    pub(super) fn begin(&mut self, now: Instant, slot: usize, key: StreamKey) -> LayersByTrack {
        let stream = self.streams.get(&key);
        let Some(Session {
            key: session,
            media: Media::Subscriber(subscriber),
            ..
        }) = self.sessions.get_mut(slot)
        else {
            return LayersByTrack::default();
        };
        let ring = |track, layer| Some(&stream?.layer(track, layer)?.ring);
        let mut wanted = subscriber.begin_catch_up(now, self.config.catch_up_bitrate, ring);
        if subscriber.catch_up_at().is_some() {
            self.catching_up.insert(now, *session);
        }
        wanted.extend(&subscriber.waiting_for_keyframe());
        wanted
    }

    /// All that has come since a layer's last keyframe is here now: those who wait for it begin.
    pub(super) fn begin_all(&mut self, now: Instant, key: StreamKey) {
        let slots = self
            .streams
            .get(&key)
            .map(|stream| stream.subscribers.clone());
        let mut wanted = LayersByTrack::default();
        for slot in slots.unwrap_or_default() {
            wanted.extend(&self.begin(now, slot, key));
        }
        self.ask_for(now, key, &wanted);
    }

    /// Sends what is due of the past. All that has come must have been flushed before.
    pub(super) fn catch_up(&mut self, now: Instant) {
        if self.catching_up.next.is_none_or(|at| now < at) {
            return;
        }
        // Taken out and put back, so that the list keeps its memory.
        let mut sessions = std::mem::take(&mut self.catching_up.sessions);
        let (mut next, mut index): (Option<Instant>, _) = (None, 0);
        for _ in 0..SESSIONS_PER_ROUND.min(sessions.len()) {
            match self.catch_up_one(now, sessions[index]) {
                Some(at) => {
                    next = Some(next.map_or(at, |next| next.min(at)));
                    index += 1;
                }
                None => {
                    sessions.swap_remove(index);
                }
            }
        }
        if index < sessions.len() {
            next = Some(now);
            sessions.rotate_left(index);
        }
        self.catching_up = CatchingUp { sessions, next };
    }

    /// Sends what is due to one subscriber. Returns when it is next, none when it is up to date or gone.
    fn catch_up_one(&mut self, now: Instant, session: SessionKey) -> Option<Instant> {
        let slot = self.sessions.slot_of_key(session)?;
        let session = self.sessions.get_mut(slot)?;
        let Media::Subscriber(subscriber) = &mut session.media else {
            return None;
        };
        let at = subscriber.catch_up_at()?;
        if now < at {
            return Some(at);
        }
        let stream = self.streams.get(&session.stream)?;
        let counters = self.shards[usize::from(self.id.0)].counters();
        let (batch, wire) = (&mut self.batch, &mut self.wire);
        let outlet = SealedOutlet::new(&mut session.transport, batch, wire, counters);
        let mut outlet = outlet?;
        let ring = |track, layer| Some(&stream.layer(track, layer)?.ring);
        let clock = |track, layer| stream.layer(track, layer)?.clock;
        let before = subscriber.poll_timeout();
        subscriber.catch_up(now, ring, clock, &mut outlet);
        outlet.flush();
        let next = subscriber.catch_up_at();
        if subscriber.poll_timeout() != before {
            let deadline = session.poll_timeout();
            self.timers
                .schedule(session.key, &mut session.scheduled, deadline);
        }
        next
    }

    /// Another shard has use for layers that it had none for: it gets the last keyframe of each and what
    /// came after it, before anything new. What has not been sent on yet is new.
    pub(super) fn send_past(
        &mut self,
        now: Instant,
        key: StreamKey,
        shard: ShardId,
        layers: &LayersByTrack,
    ) {
        let mut without = LayersByTrack::default();
        let (Some(stream), Some(handle)) = (
            self.streams.get(&key),
            self.shards.get(usize::from(shard.0)),
        ) else {
            return;
        };
        let counters = self.me().counters();
        for (track, layer) in layers.iter() {
            let is_video = |kind| kind == MediaKind::Video;
            if !stream
                .track(track)
                .is_some_and(|local| is_video(local.kind))
            {
                continue;
            }
            let past = stream.layer(track, layer).and_then(|local| {
                let (start, newest) = (local.ring.start()?, local.ring.newest()?);
                let is_new = |sequence| local.fresh.iter().any(|new| new.sequence == sequence);
                let last = (start.sequence..=newest)
                    .rev()
                    .find(|sequence| local.ring.get(*sequence).is_some() && !is_new(*sequence))?;
                let packets = (start.sequence..=last).filter(move |sequence| !is_new(*sequence));
                Some((
                    packets.filter_map(|sequence| local.ring.get(sequence)),
                    last,
                ))
            });
            let Some((packets, last)) = past else {
                without.insert(track, layer);
                continue;
            };
            for packet in packets {
                let age = if packet.sequence == last {
                    Age::LastPast
                } else {
                    Age::Past
                };
                if !handle.push_media(key, Arc::clone(packet), age) {
                    counters.queue_overflow.add(1);
                }
            }
        }
        handle.wake();
        self.ask_for(now, key, &without);
    }

    /// Forgets the beginnings of layers that did not come for a time; returns the layers of `needs` that
    /// the publisher's shard has not been told of.
    pub(super) fn forget_starts(&mut self, key: StreamKey, needs: &LayersByTrack) -> LayersByTrack {
        let mut missing = LayersByTrack::default();
        let Some(stream) = self.streams.get_mut(&key) else {
            return missing;
        };
        let Source::Replica { needs: told, .. } = &stream.source else {
            return missing;
        };
        let told = *told;
        for (track, layer) in needs
            .iter()
            .filter(|(track, layer)| !told.contains(*track, *layer))
        {
            missing.insert(track, layer);
            if let Some(local) = stream.layer_mut(track, layer) {
                local.ring.forget_start();
            }
        }
        missing
    }
}
