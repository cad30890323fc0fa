//! The way of media from a stream to everyone: viewers, other shards, the HLS branch.

use std::sync::Arc;
use std::time::Instant;

use super::StreamKey;
use super::batch::SealedOutlet;
use super::clocks::{assume_clocks, time_egress};
use super::inbox::Age;
use super::local_stream::{Source, Target};
use super::session::Media;
use super::state::State;
use crate::rtp::MediaKind;
use crate::stream::{LayerId, LayersByTrack, TrackId};

impl State {
    /// Sends on all packets that came since the last time, viewer by viewer.
    pub(super) fn flush(&mut self, now: Instant) {
        // Taken out and put back, so that the list keeps its memory.
        let mut fresh = std::mem::take(&mut self.fresh);
        for key in fresh.drain(..) {
            self.flush_stream(now, key);
        }
        self.fresh = fresh;
    }

    fn flush_stream(&mut self, now: Instant, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        let counters = self.shards[usize::from(self.id.0)].counters();
        assume_clocks(stream, &self.shards, key);
        if let Source::Publisher { targets, hls, .. } = &mut stream.source {
            for Target { shard, needs } in targets {
                let shard = &self.shards[usize::from(shard.0)];
                for (id, track) in (0..).map(TrackId).zip(&stream.tracks) {
                    let layers = (0..).map(LayerId).zip(&track.layers);
                    for (_, layer) in layers.filter(|(layer, _)| needs.contains(id, *layer)) {
                        for packet in &layer.fresh {
                            if !shard.push_media(key, Arc::clone(packet), Age::New) {
                                counters.queue_overflow.add(1);
                            }
                        }
                    }
                }
                shard.wake();
            }
            if let Some(hls) = hls {
                for (id, track) in (0..).map(TrackId).zip(&stream.tracks) {
                    counters.hls_overflow.add(hls.push(id, track));
                }
            }
        }
        // Who is last may find the send buffer full: not the same ones each time.
        if !stream.subscribers.is_empty() {
            stream.subscribers.rotate_left(1);
        }
        // Sound is small and must not wait for a picture: everyone gets it before anyone gets more of that.
        let mut waiting = LayersByTrack::default();
        let switched = self.send_fresh(now, key, MediaKind::Audio, &mut waiting);
        let switched = self.send_fresh(now, key, MediaKind::Video, &mut waiting) || switched;
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        if std::mem::take(&mut stream.is_timed) {
            time_egress(stream);
        }
        stream.clear_fresh();
        // Somebody has left a layer.
        if switched && stream.has_layers() {
            for slot in stream.subscribers.clone() {
                self.note_standing(slot);
            }
            self.count_needs(key);
        }
        self.ask_for(now, key, &waiting);
    }

    /// Sends what is fresh of the tracks of one kind to everyone. Returns whether somebody has left a layer; whose
    /// next layer did not come, waits for a keyframe of one of those that are added to `waiting`.
    fn send_fresh(
        &mut self,
        now: Instant,
        key: StreamKey,
        kind: MediaKind,
        waiting: &mut LayersByTrack,
    ) -> bool {
        let Some(stream) = self.streams.get(&key) else {
            return false;
        };
        let fresh = stream.fresh(kind);
        if fresh.clone().next().is_none() {
            return false;
        }
        let counters = self.shards[usize::from(self.id.0)].counters();
        let (mut switched, before) = (false, counters.sent.get());
        for slot in &stream.subscribers {
            let Some(session) = self.sessions.get_mut(*slot) else {
                continue;
            };
            let Media::Subscriber(subscriber) = &mut session.media else {
                continue;
            };
            let (batch, wire) = (&mut self.batch, &mut self.wire);
            let outlet = SealedOutlet::new(&mut session.transport, batch, wire, counters);
            let Some(mut outlet) = outlet else {
                continue;
            };
            let before = subscriber.poll_timeout();
            for (id, layer, track, packets) in fresh.clone() {
                let clock = |layer| track.layer(layer).and_then(|layer| layer.clock);
                let packets = packets.iter().map(Arc::as_ref);
                switched |= subscriber.forward(now, id, layer, packets, clock, &mut outlet);
            }
            // All that is in the rings of video has been sent, where it was to be.
            if kind == MediaKind::Video && subscriber.is_turning() {
                let ring = |id, layer| stream.layer(id, layer).map(|layer| &layer.ring);
                let clock = |id, layer| stream.layer(id, layer)?.clock;
                switched |= subscriber.go_over(now, ring, clock, &mut outlet);
                waiting.extend(&subscriber.waiting_for_keyframe());
            }
            outlet.flush();
            if subscriber.catch_up_at().is_some() {
                let is_behind = &mut session.is_behind;
                self.catching_up.insert(now, session.key, is_behind);
            }
            if subscriber.poll_timeout() != before {
                let deadline = session.poll_timeout();
                self.timers
                    .schedule(session.key, &mut session.scheduled, deadline);
            }
        }
        if let Some(outgoing) = stream.counters.of(self.id)
            && !stream.subscribers.is_empty()
        {
            outgoing.packets.add(counters.sent.get() - before);
            // Once for all viewers, as they are sent it one after another within this round.
            let left = Instant::now();
            for packet in fresh.flat_map(|(.., packets)| packets) {
                outgoing.delayed(left.saturating_duration_since(packet.received));
            }
        }
        switched
    }
}
