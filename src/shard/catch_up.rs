//! Viewers who are not up to date. Some have a link that is nearly full: what is new waits for it. Others
//! come: they begin with the last keyframe and get what came after it, out of the ring of their shard. A shard
//! that had no use for a layer gets that much of it from the publisher's shard first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::SealedOutlet;
use super::inbox::Age;
use super::session::{Media, Session};
use super::state::State;
use super::{SessionKey, ShardId, StreamKey};
use crate::rtp::MediaKind;
use crate::stream::LayersByTrack;

/// Who comes waits for those who watch: so many get a portion before all get what is new.
const SESSIONS_PER_ROUND: usize = 64;

/// How long until the next try where there is no way to a subscriber, as between two TCP connections.
const NO_WAY: Duration = Duration::from_millis(100);

/// The subscribers that are not up to date, each once, with the time of their next turn.
#[derive(Debug, Default)]
pub(super) struct CatchingUp {
    sessions: Vec<(Instant, SessionKey)>,
    next: Option<Instant>,
}

impl CatchingUp {
    /// When [`State::catch_up`] has something to do.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// A session has something to send that is not new; `is_listed` is its own note of that.
    pub(super) fn insert(&mut self, now: Instant, session: SessionKey, is_listed: &mut bool) {
        if !std::mem::replace(is_listed, true) {
            self.sessions.push((now, session));
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
            is_behind,
            ..
        }) = self.sessions.get_mut(slot)
        else {
            return LayersByTrack::default();
        };
        let ring = |track, layer| Some(&stream?.layer(track, layer)?.ring);
        let mut wanted = subscriber.begin_catch_up(now, self.config.catch_up_bitrate, ring);
        if subscriber.catch_up_at().is_some() {
            self.catching_up.insert(now, *session, is_behind);
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
        let (mut index, mut served) = (0, 0);
        while index < sessions.len() && served < SESSIONS_PER_ROUND {
            let (at, session) = sessions[index];
            let at = match now < at {
                true => Some(at),
                false => {
                    served += 1;
                    self.catch_up_one(now, session)
                }
            };
            match at {
                Some(at) => {
                    sessions[index].0 = at;
                    index += 1;
                }
                None => {
                    sessions.swap_remove(index);
                }
            }
        }
        let next = sessions.iter().map(|(at, _)| *at).min();
        // Who had no turn is the first in the next round.
        if index < sessions.len() {
            sessions.rotate_left(index);
        }
        self.catching_up = CatchingUp { sessions, next };
    }

    /// Sends a portion to one subscriber. Returns when it gets the next, none when it is up to date or gone.
    fn catch_up_one(&mut self, now: Instant, session: SessionKey) -> Option<Instant> {
        let slot = self.sessions.slot_of_key(session)?;
        let session = self.sessions.get_mut(slot)?;
        // Whatever ends this turn: who has another one is entered again.
        session.is_behind = false;
        let Media::Subscriber(subscriber) = &mut session.media else {
            return None;
        };
        let key = session.stream;
        let stream = self.streams.get(&key)?;
        subscriber.catch_up_at()?;
        session.is_behind = true;
        let counters = self.shards[usize::from(self.id.0)].counters();
        let (batch, wire) = (&mut self.batch, &mut self.wire);
        let outlet = SealedOutlet::new(&mut session.transport, batch, wire, counters);
        let Some(mut outlet) = outlet else {
            return Some(now + NO_WAY);
        };
        let ring = |track, layer| Some(&stream.layer(track, layer)?.ring);
        let clock = |track, layer| stream.layer(track, layer)?.clock;
        let before = subscriber.poll_timeout();
        let (sent, is_past) = (counters.sent.get(), subscriber.is_catching_up());
        subscriber.catch_up(now, ring, clock, &mut outlet);
        outlet.flush();
        if let Some(outgoing) = stream.counters.of(self.id) {
            let counter = match is_past {
                true => &outgoing.caught_up,
                false => &outgoing.packets,
            };
            counter.add(counters.sent.get() - sent);
        }
        let next = subscriber.catch_up_at();
        session.is_behind = next.is_some();
        // What it was to begin with may have been given up while it waited for its turn.
        let waiting = match next {
            None => subscriber.waiting_for_keyframe(),
            Some(_) => LayersByTrack::default(),
        };
        if subscriber.poll_timeout() != before {
            let deadline = session.poll_timeout();
            self.timers
                .schedule(session.key, &mut session.scheduled, deadline);
        }
        self.ask_for(now, key, &waiting);
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
                let fits = handle.has_room_for_past(last - start.sequence + 1);
                fits.then(|| {
                    (
                        packets.filter_map(|sequence| local.ring.get(sequence)),
                        last,
                    )
                })
            });
            let Some((packets, last)) = past else {
                without.insert(track, layer);
                continue;
            };
            for packet in packets {
                let is_last = packet.sequence == last;
                let age = if is_last { Age::LastPast } else { Age::Past };
                if !handle.push_media(key, Arc::clone(packet), age) {
                    counters.queue_overflow.add(1);
                    // Nobody begins without it.
                    if is_last {
                        without.insert(track, layer);
                    }
                }
            }
        }
        handle.wake();
        self.ask_for(now, key, &without);
    }
}
