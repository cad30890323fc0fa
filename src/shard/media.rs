//! The way of media into a shard and its streams; the way on is in `fan_out`.

use std::sync::Arc;
use std::time::Instant;

use super::batch::SealedOutlet;
use super::clocks::{set_clock, time_report};
use super::local_stream::{Source, empty_packet};
use super::session::{Media, Session};
use super::state::State;
use super::{Event, StreamKey};
use crate::egress::SenderClock;
use crate::ingest::{self, Ingested, Publisher};
use crate::stream::{LayerId, TrackId};
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
        let Source::Publisher {
            recycler, clocks, ..
        } = &mut stream.source
        else {
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
                let mut recovered = [const { None }; ingest::MAX_RECOVERED];
                if publisher.has_redundancy() {
                    for slot in &mut recovered {
                        let mut missing = recycler.take(|| {
                            counters.packets_allocated.add(1);
                            empty_packet(now)
                        });
                        let is_there = Arc::get_mut(&mut missing).is_some_and(|missing| {
                            publisher.poll_recovered(now, bytes, missing) && {
                                clocks.stamp(missing);
                                true
                            }
                        });
                        if !is_there {
                            recycler.put(missing);
                            break;
                        }
                        *slot = Some(missing);
                    }
                }
                let mut copies = [const { None }; LayerId::MAX_LAYERS - 1];
                if publisher.has_copies() {
                    for slot in &mut copies {
                        let mut copy = recycler.take(|| {
                            counters.packets_allocated.add(1);
                            empty_packet(now)
                        });
                        let is_copied = Arc::get_mut(&mut copy).is_some_and(|lesser| {
                            publisher.poll_copy(filling, lesser) && {
                                clocks.stamp(lesser);
                                true
                            }
                        });
                        match is_copied {
                            true => *slot = Some(copy),
                            false => recycler.put(copy),
                        }
                    }
                }
                clocks.stamp(filling);
                let key = session.stream;
                if let Some(flow) = &mut session.flow
                    && flow.handle_media(now)
                {
                    let flows = true;
                    let _ = self.events.send(Event::Flow { stream: key, flows });
                }
                let recovered = recovered.into_iter().flatten();
                let copies = copies.into_iter().flatten();
                for mut packet in recovered.chain([packet]).chain(copies) {
                    stream.add_previous(&mut packet);
                    if self.turns.take(key, stream, packet) {
                        self.fresh.push(key);
                    }
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
        let (batch, wire) = (&mut self.batch, &mut self.wire);
        let outlet = SealedOutlet::new(&mut session.transport, batch, wire, counters);
        let Some(mut outlet) = outlet else {
            return;
        };
        let stream = self.streams.get(&key);
        let ring = |track, layer| Some(&stream?.layer(track, layer)?.ring);
        let before = counters.sent.get();
        let wanted = subscriber.handle_rtcp(now, bytes, ring, &mut outlet);
        outlet.flush();
        if let Some(outgoing) = stream.and_then(|stream| stream.counters.of(self.id)) {
            outgoing.retransmissions.add(counters.sent.get() - before);
            outgoing.keyframe_requests.add(wanted.iter().count() as u64);
        }
        if subscriber.is_catching_up() {
            self.catching_up
                .insert(now, session.key, &mut session.is_behind);
        }
        for (track, layer) in wanted.iter() {
            self.request_keyframe(now, key, track, layer);
        }
        self.adapt(now, slot);
    }

    /// What a publisher's state has to say: RTCP for the publisher, and its clock.
    pub(super) fn drain_publisher(
        &mut self,
        now: Instant,
        slot: usize,
        ended: &mut Option<CloseReason>,
    ) {
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
        while let Some(event) = self.publisher(slot).and_then(Publisher::poll_event) {
            match event {
                ingest::Event::SenderReport {
                    track,
                    layer,
                    rtp_timestamp,
                    ntp,
                    received,
                } => {
                    let Some(stream) = self.streams.get_mut(&key) else {
                        continue;
                    };
                    time_report(stream, ntp);
                    if let Source::Publisher { hls: Some(hls), .. } = &stream.source {
                        hls.sender_report(track, layer, rtp_timestamp, ntp);
                    }
                    if let Some(local) = stream.track(track) {
                        let clock =
                            SenderClock::new(ntp, rtp_timestamp, received, local.clock_rate);
                        set_clock(stream, &self.shards, key, (track, layer), clock);
                    }
                }
                ingest::Event::Layers { track, layers } => {
                    self.set_layers(now, key, track, &layers);
                }
                ingest::Event::LayerReport { track, layers } => {
                    // What viewers get goes by the bitrates.
                    self.set_layers(now, key, track, &layers);
                    let layers = layers.iter().map(|layer| layer.status.clone()).collect();
                    // The receiver is gone only while the process ends.
                    let _ = self.events.send(Event::Layers {
                        stream: key,
                        track,
                        layers,
                    });
                }
                ingest::Event::Report(report) => {
                    if let Some(stream) = self.streams.get_mut(&key) {
                        stream.is_timed = true;
                    }
                    let stream = key;
                    let _ = self.events.send(Event::Report { stream, report });
                }
                ingest::Event::Ended => *ended = Some(CloseReason::PeerClosed),
            }
        }
    }

    fn publisher(&mut self, slot: usize) -> Option<&mut Publisher> {
        match self.sessions.get_mut(slot) {
            Some(Session {
                media: Media::Publisher(publisher),
                ..
            }) => Some(publisher),
            _ => None,
        }
    }

    /// The publisher's clock of a layer, from its shard.
    pub(super) fn handle_clock(
        &mut self,
        key: StreamKey,
        track: TrackId,
        layer: LayerId,
        clock: SenderClock,
    ) {
        let stream = self.streams.get_mut(&key);
        if let Some(layer) = stream.and_then(|stream| stream.layer_mut(track, layer)) {
            layer.clock = Some(clock);
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
        let clocks = |track, layer| stream?.layer(track, layer)?.clock.as_ref();
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
