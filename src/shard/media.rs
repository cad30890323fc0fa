//! The way of media through a shard: from the publisher into the stream, from the stream to everyone.

use std::sync::Arc;
use std::time::Instant;

use super::StreamKey;
use super::batch::SealedOutlet;
use super::clocks::{guess_clocks, set_clock};
use super::local_stream::{Source, empty_packet};
use super::session::{Media, Session};
use super::state::State;
use crate::egress::SenderClock;
use crate::ingest::{self, Ingested};
use crate::stream::{LayerId, Packet, TrackId};
use crate::transport::CloseReason;

impl State {
    /// A decrypted RTP packet of a session.
    pub(super) fn handle_rtp(&mut self, now: Instant, slot: usize, bytes: &[u8]) {
        let counters = self.shards[usize::from(self.id.0)].counters();
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        let (Media::Publisher(publisher), Some(stream)) =
            (&mut session.media, self.streams.get_mut(&session.stream))
        else {
            counters.discarded.add(1);
            return;
        };
        let Source::Publisher { recycler, .. } = &mut stream.source else {
            return;
        };
        let mut allocated = 0;
        let mut packet = recycler.take(|| {
            allocated += 1;
            empty_packet(now)
        });
        counters.packets_allocated.add(allocated);
        // The recycler gives nothing that somebody else holds.
        let Some(filling) = Arc::get_mut(&mut packet) else {
            return;
        };
        match publisher.handle_rtp(now, bytes, filling) {
            Ingested::Media => {
                let key = session.stream;
                if stream.push(packet) {
                    self.fresh.push(key);
                }
            }
            Ingested::Nothing(_) => {
                recycler.put(packet);
                counters.discarded.add(1);
            }
        }
    }

    /// Decrypted RTCP of a session.
    pub(super) fn handle_rtcp(&mut self, now: Instant, slot: usize, bytes: &[u8]) {
        let counters = self.shards[usize::from(self.id.0)].counters();
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        let key = session.stream;
        let subscriber = match &mut session.media {
            Media::Publisher(publisher) => return publisher.handle_rtcp(now, bytes),
            Media::Subscriber(subscriber) => subscriber,
        };
        let Some((srtp, to)) = Session::outbound(&mut session.transport) else {
            return;
        };
        let mut outlet = SealedOutlet {
            batch: &mut self.batch,
            wire: &mut self.wire,
            srtp,
            to,
            counters,
        };
        let stream = self.streams.get(&key);
        let ring = |track, _| {
            stream
                .and_then(|stream| stream.track(track))
                .map(|track| &track.ring)
        };
        let wanted = subscriber.handle_rtcp(now, bytes, ring, &mut outlet);
        outlet.flush();
        for (track, _) in wanted.keyframes() {
            self.request_keyframe(now, key, track);
        }
    }

    /// What a publisher's state has to say: RTCP for the publisher, and its clock.
    pub(super) fn drain_publisher(&mut self, slot: usize, ended: &mut Option<CloseReason>) {
        let Some(Session {
            media: Media::Publisher(publisher),
            transport,
            stream: key,
            ..
        }) = self.sessions.get_mut(slot)
        else {
            return;
        };
        let counters = self.shards[usize::from(self.id.0)].counters();
        while let Some(mut compound) = publisher.poll_rtcp() {
            let Some((srtp, to)) = Session::outbound(transport) else {
                break;
            };
            if srtp.protect_rtcp(&mut compound).is_ok() {
                self.wire.send(to, &compound, counters);
            }
        }
        let key = *key;
        while let Some(event) = publisher.poll_event() {
            match event {
                ingest::Event::SenderReport {
                    track,
                    rtp_timestamp,
                    ntp,
                    received,
                } => {
                    let Some(stream) = self.streams.get_mut(&key) else {
                        continue;
                    };
                    if let Source::Publisher { hls: Some(hls), .. } = &stream.source {
                        hls.sender_report(track, rtp_timestamp, ntp);
                    }
                    if let Some(local) = stream.track(track) {
                        let clock =
                            SenderClock::new(ntp, rtp_timestamp, received, local.clock_rate);
                        set_clock(stream, &self.shards, key, track, clock);
                    }
                }
                ingest::Event::Ended => *ended = Some(CloseReason::PeerClosed),
            }
        }
    }

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
        let missing_clocks = stream
            .tracks
            .iter()
            .any(|track| track.clock.is_none() && !track.fresh.is_empty());
        if missing_clocks {
            guess_clocks(stream, &self.shards, key);
        }
        if let Source::Publisher { targets, hls, .. } = &stream.source {
            for target in targets {
                let shard = &self.shards[usize::from(target.0)];
                for packet in stream.tracks.iter().flat_map(|track| &track.fresh) {
                    if !shard.push_media(key, Arc::clone(packet)) {
                        counters.queue_overflow.add(1);
                    }
                }
                shard.wake();
            }
            if let Some(hls) = hls {
                for packet in stream.tracks.iter().flat_map(|track| &track.fresh) {
                    if !hls.push(packet) {
                        counters.hls_overflow.add(1);
                    }
                }
            }
        }
        // Who is last may find the send buffer full: not the same ones each time.
        if !stream.subscribers.is_empty() {
            stream.subscribers.rotate_left(1);
        }
        for slot in &stream.subscribers {
            let Some(session) = self.sessions.get_mut(*slot) else {
                continue;
            };
            let Media::Subscriber(subscriber) = &mut session.media else {
                continue;
            };
            let Some((srtp, to)) = Session::outbound(&mut session.transport) else {
                continue;
            };
            let mut outlet = SealedOutlet {
                batch: &mut self.batch,
                wire: &mut self.wire,
                srtp,
                to,
                counters,
            };
            let before = subscriber.poll_timeout();
            for (id, track) in stream.in_sending_order() {
                if !track.fresh.is_empty() {
                    let packets = track.fresh.iter().map(Arc::as_ref);
                    subscriber.forward(now, id, LayerId(0), packets, |_| track.clock, &mut outlet);
                }
            }
            outlet.flush();
            if subscriber.poll_timeout() != before {
                let deadline = session.poll_timeout();
                self.timers
                    .schedule(session.key, &mut session.scheduled, deadline);
            }
        }
        for track in &mut stream.tracks {
            track.fresh.clear();
        }
    }

    /// A packet from the publisher's shard.
    pub(super) fn handle_media(&mut self, key: StreamKey, packet: Arc<Packet>) {
        if let Some(stream) = self.streams.get_mut(&key)
            && stream.push(packet)
        {
            self.fresh.push(key);
        }
    }

    /// The publisher's clock, from its shard.
    pub(super) fn handle_clock(&mut self, key: StreamKey, track: TrackId, clock: SenderClock) {
        if let Some(track) = self
            .streams
            .get_mut(&key)
            .and_then(|stream| stream.track_mut(track))
        {
            track.clock = Some(clock);
        }
    }

    /// Sends the sender reports of a subscriber that are due.
    pub(super) fn send_reports(&mut self, now: Instant, slot: usize) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        let Media::Subscriber(subscriber) = &mut session.media else {
            return;
        };
        let stream = self.streams.get(&session.stream);
        let clocks = |track, _| {
            stream
                .and_then(|stream| stream.track(track))
                .and_then(|track| track.clock.as_ref())
        };
        self.compound.clear();
        if !subscriber.handle_timeout(now, clocks, &mut self.compound) {
            return;
        }
        if let Some((srtp, to)) = Session::outbound(&mut session.transport)
            && srtp.protect_rtcp(&mut self.compound).is_ok()
        {
            let counters = self.shards[usize::from(self.id.0)].counters();
            self.wire.send(to, &self.compound, counters);
        }
    }
}
