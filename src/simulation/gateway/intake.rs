//! What becomes of a publisher's packets.

use std::sync::Arc;
use std::time::Instant;

use super::{Gateway, WALL_CLOCK};
use crate::ingest::Ingested;
use crate::simulation::AUDIO;
use crate::simulation::outlet::outlet;
use crate::stream::{LayerId, Packet, TrackId};

impl Gateway {
    pub(super) fn ingest(&mut self, now: Instant, bytes: &[u8]) {
        let mut packet = self.recycler.take(|| Packet::empty(now));
        let filling = Arc::get_mut(&mut packet).unwrap();
        if self.publisher.handle_rtp(now, bytes, filling) != Ingested::Media {
            self.recycler.put(packet);
            return;
        }
        loop {
            let mut missing = self.recycler.take(|| Packet::empty(now));
            let recovered = Arc::get_mut(&mut missing).unwrap();
            if !self.publisher.poll_recovered(now, bytes, recovered) {
                self.recycler.put(missing);
                break;
            }
            self.clocks.stamp(recovered);
            self.add_previous(recovered);
            self.keep(now, &missing);
            self.forward(now, &missing);
        }
        let mut all = Vec::new();
        while self.publisher.has_copies() {
            let mut copy = self.recycler.take(|| Packet::empty(now));
            let lesser = Arc::get_mut(&mut copy).unwrap();
            assert!(self.publisher.poll_copy(filling, lesser));
            self.clocks.stamp(lesser);
            all.push(copy);
        }
        self.clocks.stamp(filling);
        self.add_previous(filling);
        all.insert(0, packet);
        all.iter().for_each(|packet| self.keep(now, packet));
        // Before it is sent on, as a shard does: the packet may be of a layer that was paused.
        self.drain_publisher(now);
        all.iter().for_each(|packet| self.forward(now, packet));
        self.go_over(now);
        self.catch_up(now);
    }

    fn keep(&mut self, now: Instant, packet: &Arc<Packet>) {
        let (track, layer) = (packet.track, packet.layer);
        let local = &mut self.tracks[usize::from(track.0)].layers[usize::from(layer.0)];
        let wall = || WALL_CLOCK;
        let clock = self
            .clocks
            .packet(track, layer, packet.timestamp, now, wall);
        local.clock = clock.or(local.clock);
        let recycler = &mut self.recycler;
        local
            .ring
            .insert(Arc::clone(packet), |old| recycler.put(old));
    }

    fn forward(&mut self, now: Instant, packet: &Packet) {
        let (track, layer) = (packet.track, packet.layer);
        let layers = &self.tracks[usize::from(track.0)].layers;
        let clock = |layer: LayerId| layers[usize::from(layer.0)].clock;
        let viewers = self.subscribers.iter_mut().zip(&mut self.transports[1..]);
        for (index, (subscriber, transport)) in viewers.enumerate() {
            if let Some(mut outlet) = outlet(index + 1, transport, &mut self.outbox) {
                subscriber.forward(now, track, layer, [packet], clock, &mut outlet);
            }
        }
    }

    fn go_over(&mut self, now: Instant) {
        let tracks = &self.tracks;
        let layer = |track: TrackId, layer: LayerId| {
            let layers = &tracks.get(usize::from(track.0))?.layers;
            layers.get(usize::from(layer.0))
        };
        let ring = |track, id| layer(track, id).map(|layer| &layer.ring);
        let clock = |track, id| layer(track, id)?.clock;
        let viewers = self.subscribers.iter_mut().zip(&mut self.transports[1..]);
        for (index, (subscriber, transport)) in viewers.enumerate() {
            if let Some(mut outlet) = outlet(index + 1, transport, &mut self.outbox) {
                subscriber.go_over(now, ring, clock, &mut outlet);
            }
        }
    }

    fn add_previous(&self, packet: &mut Packet) {
        if self.keeps_previous && packet.track == AUDIO {
            let ring = &self.tracks[usize::from(AUDIO.0)].layers[0].ring;
            let before = ring.get(packet.sequence - 1).cloned();
            packet.keep_previous(before.as_deref());
        }
    }
}
