//! The layers of tracks with simulcast: what is known of them, who takes which, and which of them
//! other shards hand over.

use std::sync::Arc;
use std::time::Instant;

use super::inbox::Message;
use super::local_stream::Source;
use super::session::{Media, Session};
use super::state::State;
use super::{SessionKey, StreamKey};
use crate::egress::whep::Subscriber;
use crate::stream::{LayerChoice, LayersByTrack, RankedLayer, TrackId};

impl State {
    /// The layers of a track have changed: every viewer here goes over to the one that it is to have.
    /// From the publisher, or from its shard.
    pub(super) fn set_layers(
        &mut self,
        now: Instant,
        key: StreamKey,
        track: TrackId,
        ranked: &Arc<[RankedLayer]>,
    ) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        let Some(local) = stream.track_mut(track) else {
            return;
        };
        local.ranked = Arc::clone(ranked);
        let mut waiting = LayersByTrack::default();
        if let Source::Publisher { targets, hls, .. } = &mut stream.source {
            for target in targets {
                if let Some(shard) = self.shards.get(usize::from(target.shard.0)) {
                    shard.send(Message::Layers(key, track, Arc::clone(ranked)));
                }
            }
            if let Some(hls) = hls {
                waiting.extend(&hls.set_layers(track, ranked));
            }
        }
        for slot in stream.subscribers.clone() {
            if let Some(subscriber) = self.subscriber(slot) {
                subscriber.set_layers(track, ranked);
                waiting.extend(&subscriber.waiting_for_keyframe());
                self.note_standing(slot);
            }
        }
        self.ask_for(now, key, &waiting);
        self.count_needs(key);
    }

    /// A viewer wants another layer.
    pub(super) fn select_layer(&mut self, now: Instant, session: SessionKey, choice: &LayerChoice) {
        let Some(slot) = self.sessions.slot_of_key(session) else {
            return;
        };
        let Some(Session {
            stream: key,
            media: Media::Subscriber(subscriber),
            ..
        }) = self.sessions.get_mut(slot)
        else {
            return;
        };
        let (key, stream) = (*key, self.streams.get(key));
        subscriber.select(choice, |track| {
            stream?.track(track).map(|local| &*local.ranked)
        });
        let waiting = subscriber.waiting_for_keyframe();
        // One that is not connected yet asks for what it needs when it is.
        if stream.is_some_and(|stream| stream.subscribers.contains(&slot)) {
            self.note_standing(slot);
            self.ask_for(now, key, &waiting);
            self.count_needs(key);
        }
    }

    /// A viewer that is about to take the stream learns of its layers.
    pub(super) fn introduce(&mut self, slot: usize, key: StreamKey) {
        let Some(stream) = self.streams.get(&key) else {
            return;
        };
        let Some(Session {
            media: Media::Subscriber(subscriber),
            ..
        }) = self.sessions.get_mut(slot)
        else {
            return;
        };
        for (track, local) in (0..).map(TrackId).zip(&stream.tracks) {
            subscriber.set_layers(track, &local.ranked);
        }
        self.note_standing(slot);
    }

    /// Asks for the keyframes that somebody waits for, unless they have just begun.
    pub(super) fn ask_for(&mut self, now: Instant, key: StreamKey, waiting: &LayersByTrack) {
        for (track, layer) in waiting.iter() {
            let begins = self.streams.get(&key).is_some_and(|stream| {
                let local = stream.layer(track, layer);
                local.is_some_and(|local| local.fresh.iter().any(|packet| packet.keyframe))
                    || stream.line.holds_keyframe(track, layer)
            });
            if !begins {
                self.request_keyframe(now, key, track, layer);
            }
        }
    }

    /// Tells the publisher's shard what the subscribers here need, if that is something else than
    /// before. Nothing is counted where there is nothing to choose.
    pub(super) fn count_needs(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get(&key) else {
            return;
        };
        let Source::Replica { needs, .. } = stream.source else {
            return;
        };
        let subscribers = stream.subscribers.clone();
        let mut counted = LayersByTrack::default();
        for slot in subscribers {
            if let Some(subscriber) = self.subscriber(slot) {
                counted.extend(&subscriber.needs());
            }
        }
        if counted != needs {
            self.tell_needs(key, counted);
        }
    }

    /// Tells the publisher's shard what is needed here. Returns what it had not been told of: nothing of that has
    /// come for a time, so nobody can begin with what is left of it.
    pub(super) fn tell_needs(&mut self, key: StreamKey, counted: LayersByTrack) -> LayersByTrack {
        let mut missing = LayersByTrack::default();
        let Some(stream) = self.streams.get_mut(&key) else {
            return missing;
        };
        if let Source::Replica { origin, needs } = &mut stream.source {
            missing = counted.without(needs);
            *needs = counted;
            if let Some(shard) = self.shards.get(usize::from(origin.0)) {
                shard.send(Message::Subscribe(key, self.id, counted));
            }
        }
        for (track, layer) in missing.iter() {
            if let Some(local) = stream.layer_mut(track, layer) {
                local.ring.forget_start();
            }
        }
        missing
    }

    fn subscriber(&mut self, slot: usize) -> Option<&mut Subscriber> {
        match self.sessions.get_mut(slot) {
            Some(Session {
                media: Media::Subscriber(subscriber),
                ..
            }) => Some(subscriber),
            _ => None,
        }
    }
}
