//! Who gets a stream: subscribers of this shard, the other shards, the HLS branch; and what they ask for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::hls_tap::HlsTap;
use super::inbox::{Message, Rebinding};
use super::local_stream::{LocalStream, Source, Target};
use super::session::{Media, Session};
use super::state::State;
use super::{ShardId, StreamCounters, StreamKey};
use crate::media::HlsFeed;
use crate::stream::{LayerId, LayersByTrack, TrackId, TrackInfo};

/// A shard asks the publisher's shard for a keyframe of a layer at most this often, whatever its viewers
/// send. The publisher itself is asked less often still.
const ASK_INTERVAL: Duration = Duration::from_millis(100);

impl State {
    /// A connected subscriber gets the stream from now on.
    pub(super) fn attach_subscriber(&mut self, now: Instant, slot: usize, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        stream.subscribers.push(slot);
        self.introduce(slot, key);
        let Some(Session {
            media: Media::Subscriber(subscriber),
            ..
        }) = self.sessions.get_mut(slot)
        else {
            return;
        };
        let needs = subscriber.needs();
        let mut missing = LayersByTrack::default();
        if let Some(LocalStream {
            source: Source::Replica { needs: told, .. },
            subscribers,
            ..
        }) = self.streams.get(&key)
        {
            let mut wanted = *told;
            wanted.extend(&needs);
            if wanted != *told || subscribers.len() == 1 {
                missing = self.tell_needs(key, wanted);
            }
        }
        // Of what this shard did not have, the keyframe is on its way, or is asked for there.
        let wanted = self.begin(now, slot, key).without(&missing);
        self.ask_for(now, key, &wanted);
    }

    /// A subscriber gets the stream no longer.
    pub(super) fn detach_subscriber(&mut self, slot: usize, key: StreamKey) {
        if self.withdraw(slot, key) {
            self.count_needs(key);
        }
    }

    /// Takes a subscriber out. Returns whether the others may need less layers than with it.
    fn withdraw(&mut self, slot: usize, key: StreamKey) -> bool {
        let Some(stream) = self.streams.get_mut(&key) else {
            return false;
        };
        let connected = stream.subscribers.len();
        stream.subscribers.retain(|other| *other != slot);
        stream.sessions -= 1;
        let Source::Replica { origin, needs } = &mut stream.source else {
            return false;
        };
        let origin = *origin;
        if stream.sessions == 0 {
            self.remove_stream(key);
        } else if !stream.subscribers.is_empty() {
            return stream.has_layers();
        } else {
            *needs = LayersByTrack::default();
        }
        if connected > 0
            && let Some(shard) = self.shard(origin)
        {
            shard.send(Message::Unsubscribe(key, self.id));
        }
        false
    }

    /// A subscriber turns to another broadcast: it stays connected, and its player sees one stream.
    pub(super) fn rebind(&mut self, now: Instant, rebinding: Rebinding) {
        let Rebinding {
            session,
            stream,
            origin,
            tracks,
            counters,
            spec,
        } = rebinding;
        let Some(slot) = self.sessions.slot_of_key(session) else {
            return;
        };
        // Of the broadcast before.
        self.forget_standing(slot);
        let Some(Session {
            stream: current,
            transport,
            media: Media::Subscriber(subscriber),
            ..
        }) = self.sessions.get_mut(slot)
        else {
            return;
        };
        subscriber.rebind(&spec, rand::random);
        let before = std::mem::replace(current, stream);
        let connected = transport.is_connected();
        // What the others need of a broadcast that is over, they need not count each time.
        self.withdraw(slot, before);
        self.enter_stream(stream, origin, &tracks, counters);
        if connected {
            self.attach_subscriber(now, slot, stream);
        }
    }

    /// A subscriber session of this shard is about to take a stream.
    pub(super) fn enter_stream(
        &mut self,
        key: StreamKey,
        origin: ShardId,
        tracks: &[TrackInfo],
        counters: Arc<StreamCounters>,
    ) {
        if !self.streams.contains_key(&key) {
            let source = Source::Replica {
                origin,
                needs: LayersByTrack::default(),
            };
            let replica = LocalStream::new(tracks, source, counters, &self.config);
            self.add_stream(key, replica);
        }
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.sessions += 1;
        }
    }

    pub(super) fn add_stream(&mut self, key: StreamKey, stream: LocalStream) {
        if self.streams.insert(key, stream).is_none() {
            self.me().counters().streams_opened.add(1);
        }
    }

    pub(super) fn remove_stream(&mut self, key: StreamKey) {
        if self.streams.remove(&key).is_some() {
            self.me().counters().streams_closed.add(1);
        }
    }

    /// Another shard has subscribers of a stream whose publisher is here, and needs these layers.
    pub(super) fn subscribe(
        &mut self,
        now: Instant,
        key: StreamKey,
        shard: ShardId,
        needs: LayersByTrack,
    ) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        let Source::Publisher { targets, .. } = &mut stream.source else {
            return;
        };
        if let Some(target) = targets.iter_mut().find(|target| target.shard == shard) {
            let before = std::mem::replace(&mut target.needs, needs);
            return self.send_past(now, key, shard, &needs.without(&before));
        }
        targets.push(Target { shard, needs });
        let Some(handle) = self.shards.get(usize::from(shard.0)) else {
            return;
        };
        for (track, layer, local) in stream.numbered() {
            if let Some(clock) = local.clock {
                handle.send(Message::Clock(key, track, layer, clock));
            }
        }
        for (track, local) in (0..).map(TrackId).zip(&stream.tracks) {
            if !local.ranked.is_empty() {
                handle.send(Message::Layers(key, track, Arc::clone(&local.ranked)));
            }
        }
        self.send_past(now, key, shard, &needs);
    }

    pub(super) fn unsubscribe(&mut self, key: StreamKey, shard: ShardId) {
        if let Some(LocalStream {
            source: Source::Publisher { targets, .. },
            ..
        }) = self.streams.get_mut(&key)
        {
            targets.retain(|target| target.shard != shard);
        }
    }

    /// The publisher of a stream is gone. Its viewers here may wait for another one for long: they need not keep
    /// what nobody begins with any more.
    pub(super) fn clear_replica(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(&key) {
            for layer in stream.tracks.iter_mut().flat_map(|track| &mut track.layers) {
                layer.ring.clear();
            }
        }
    }

    pub(super) fn attach_hls(&mut self, key: StreamKey, feed: HlsFeed) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        if let Source::Publisher { hls, .. } = &mut stream.source {
            *hls = Some(HlsTap::new(feed, &stream.tracks));
        }
    }

    pub(super) fn detach_hls(&mut self, key: StreamKey) {
        if let Some(LocalStream {
            source: Source::Publisher { hls, .. },
            ..
        }) = self.streams.get_mut(&key)
        {
            *hls = None;
        }
    }

    /// The HLS branch needs a keyframe of a track.
    pub(super) fn request_hls_keyframe(&mut self, now: Instant, key: StreamKey, track: TrackId) {
        if let Some(LocalStream {
            source: Source::Publisher { hls: Some(hls), .. },
            ..
        }) = self.streams.get(&key)
        {
            for (track, layer) in hls.layers(track).iter() {
                self.request_keyframe(now, key, track, layer);
            }
        }
    }

    /// Somebody needs a keyframe: asks the publisher, here or on its shard.
    pub(super) fn request_keyframe(
        &mut self,
        now: Instant,
        key: StreamKey,
        track: TrackId,
        layer: LayerId,
    ) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        match stream.source {
            Source::Publisher { slot, .. } => {
                if let Some(Session {
                    media: Media::Publisher(publisher),
                    ..
                }) = self.sessions.get_mut(slot)
                {
                    publisher.request_keyframe(now, track, layer);
                    self.settle(now, slot);
                }
            }
            // A replica of what ended here has nobody to ask.
            Source::Replica { origin, .. } if origin == self.id => {}
            Source::Replica { origin, .. } => {
                let Some(local) = stream.layer_mut(track, layer) else {
                    return;
                };
                let asked_just_now = |at: Instant| now.saturating_duration_since(at) < ASK_INTERVAL;
                if local.asked.is_some_and(asked_just_now) {
                    return;
                }
                local.asked = Some(now);
                if let Some(shard) = self.shard(origin) {
                    shard.send(Message::RequestKeyframe(key, track, layer));
                }
            }
        }
    }
}
