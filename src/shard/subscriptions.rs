//! Who gets a stream: subscribers of this shard, the other shards, the HLS branch; and what they ask for.

use std::time::{Duration, Instant};

use super::inbox::{Message, Rebinding};
use super::local_stream::{LocalStream, Source};
use super::session::{Media, Session};
use super::state::State;
use super::{ShardId, StreamKey};
use crate::media::HlsFeed;
use crate::stream::{TrackId, TrackInfo};

/// A shard asks the publisher's shard for a keyframe of a track at most this often, whatever its viewers
/// send. The publisher itself is asked less often still.
const ASK_INTERVAL: Duration = Duration::from_millis(100);

impl State {
    /// A connected subscriber gets the stream from now on.
    pub(super) fn attach_subscriber(&mut self, now: Instant, slot: usize, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        stream.subscribers.push(slot);
        if let Source::Replica(origin) = stream.source
            && stream.subscribers.len() == 1
            && let Some(shard) = self.shards.get(usize::from(origin.0))
        {
            shard.send(Message::Subscribe(key, self.id));
        }
        let Some(Session {
            media: Media::Subscriber(subscriber),
            ..
        }) = self.sessions.get_mut(slot)
        else {
            return;
        };
        let waiting: Vec<_> = subscriber.waiting_for_keyframe().collect();
        for (track, _) in waiting {
            self.request_keyframe(now, key, track);
        }
    }

    pub(super) fn detach_subscriber(&mut self, slot: usize, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        let connected = stream.subscribers.len();
        stream.subscribers.retain(|other| *other != slot);
        stream.sessions -= 1;
        let Source::Replica(origin) = stream.source else {
            return;
        };
        if stream.sessions == 0 {
            self.remove_stream(key);
        } else if !stream.subscribers.is_empty() {
            return;
        }
        if connected > 0
            && let Some(shard) = self.shard(origin)
        {
            shard.send(Message::Unsubscribe(key, self.id));
        }
    }

    /// A subscriber turns to another broadcast: it stays connected, and its player sees one stream.
    pub(super) fn rebind(&mut self, now: Instant, rebinding: Rebinding) {
        let Rebinding {
            session,
            stream,
            origin,
            tracks,
            spec,
        } = rebinding;
        let Some(slot) = self.sessions.slot_of_key(session) else {
            return;
        };
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
        self.detach_subscriber(slot, before);
        self.enter_stream(stream, origin, &tracks);
        if connected {
            self.attach_subscriber(now, slot, stream);
        }
    }

    /// A subscriber session of this shard is about to take a stream.
    pub(super) fn enter_stream(&mut self, key: StreamKey, origin: ShardId, tracks: &[TrackInfo]) {
        if !self.streams.contains_key(&key) {
            let replica = LocalStream::new(tracks, Source::Replica(origin), &self.config);
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

    /// Another shard has subscribers of a stream whose publisher is here.
    pub(super) fn subscribe(&mut self, key: StreamKey, shard: ShardId) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        let clocks: Vec<_> = stream.tracks.iter().map(|track| track.clock).collect();
        if let Source::Publisher { targets, .. } = &mut stream.source
            && !targets.contains(&shard)
        {
            targets.push(shard);
        }
        for (index, clock) in clocks.into_iter().enumerate() {
            if let (Some(clock), Some(handle)) = (clock, self.shard(shard)) {
                handle.send(Message::Clock(key, TrackId(index as u8), clock));
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, key: StreamKey, shard: ShardId) {
        if let Some(LocalStream {
            source: Source::Publisher { targets, .. },
            ..
        }) = self.streams.get_mut(&key)
        {
            targets.retain(|target| *target != shard);
        }
    }

    pub(super) fn attach_hls(&mut self, key: StreamKey, feed: HlsFeed) {
        if let Some(LocalStream {
            source: Source::Publisher { hls, .. },
            ..
        }) = self.streams.get_mut(&key)
        {
            *hls = Some(feed);
        }
    }

    /// Somebody needs a keyframe: asks the publisher, here or on its shard.
    pub(super) fn request_keyframe(&mut self, now: Instant, key: StreamKey, track: TrackId) {
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
                    publisher.request_keyframe(now, track);
                    self.settle(now, slot);
                }
            }
            // A replica of what ended here has nobody to ask.
            Source::Replica(origin) if origin == self.id => {}
            Source::Replica(origin) => {
                let Some(local) = stream.track_mut(track) else {
                    return;
                };
                let asked_just_now = |at: Instant| now.saturating_duration_since(at) < ASK_INTERVAL;
                if local.asked.is_some_and(asked_just_now) {
                    return;
                }
                local.asked = Some(now);
                if let Some(shard) = self.shard(origin) {
                    shard.send(Message::RequestKeyframe(key, track));
                }
            }
        }
    }
}
