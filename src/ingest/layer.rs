//! One layer of a publisher's track: its timeline, its losses, its keyframes. A track without
//! simulcast is one layer.

mod place;
mod redundancy;

use std::time::Instant;

use super::keyframes::{Beginning, Keyframes};
use super::ladder::Figures;
use super::nack::{GivenUp, Losses, RoundTrip};
use super::outbox::Outbox;
use super::reports::Reception;
use super::scalable::Scalable;
use super::source::{Carries, Source};
use super::timeline::{Order, Place, Timeline};
use super::verdict::{Arrival, Finding, LayerFigures, Watch};
use super::{Config, Event, Ingested, LayerStats, Reason};
use crate::rtp::keyframe::starts_keyframe;
use crate::rtp::{Codec, ExtensionMap, Header, MediaKind, PictureCounters, picture_size, vp9};
use crate::sdp::session::{Feedback, PublishedTrack};
use crate::stream::{LayerId, LayerSet, Packet, TrackId};

use place::Placed;

#[derive(Debug)]
pub(super) struct Layer {
    track: TrackId,
    id: LayerId,
    codec: Codec,
    payload_type: u8,
    red_payload_type: Option<u8>,
    rtx_payload_type: Option<u8>,
    feedback: Feedback,
    pub(super) extensions: ExtensionMap,
    epoch: Instant,

    current: Option<Current>,
    timeline: Timeline,
    losses: Losses,
    keyframes: Keyframes,
    fir_sequence: u8,
    watch: Watch,
    stats: LayerStats,
    /// The layers within it, where its packets could tell of such. Of a simulcast each layer is one.
    scalable: Option<Box<Scalable>>,
}

/// The source that sends media now.
#[derive(Debug)]
struct Current {
    ssrc: u32,
    /// When it took over.
    since: Instant,
    last: Instant,
    reception: Reception,
    /// No media came of it yet.
    fresh: bool,
    goodbye: bool,
}

impl Layer {
    pub(super) fn new(
        epoch: Instant,
        track: &PublishedTrack,
        id: LayerId,
        config: &Config,
    ) -> Self {
        let clock_rate = track.info.codec.clock_rate();
        Self {
            track: track.info.id,
            id,
            codec: track.info.codec,
            payload_type: track.payload_type,
            red_payload_type: track.red_payload_type,
            rtx_payload_type: track.rtx_payload_type,
            feedback: track.feedback,
            extensions: track.extensions,
            epoch,
            current: None,
            timeline: Timeline::new(clock_rate),
            losses: Losses::new(
                config.reorder_tolerance,
                config.loss_age_limit,
                track.feedback.nack,
            ),
            keyframes: Keyframes::new(config.keyframe_request_interval),
            fir_sequence: 0,
            watch: Watch::new(track, id),
            stats: LayerStats::default(),
            scalable: match track.layers.len() {
                1 => Scalable::new(track.info.codec),
                _ => None,
            },
        }
    }

    pub(super) fn is(&self, track: TrackId, layer: LayerId) -> bool {
        (self.track, self.id) == (track, layer)
    }

    /// A packet of one of the layer's sources.
    pub(super) fn handle_rtp(
        &mut self,
        now: Instant,
        source: Source,
        header: &Header,
        payload: &[u8],
        round_trip: &mut RoundTrip,
        packet: &mut Packet,
    ) -> Ingested {
        let placed = match source.carries {
            Carries::Media => self.place_media(now, header, payload),
            Carries::Repair => self.place_repair(now, source, header, payload),
        };
        let placed = match placed {
            Ok(placed) => placed,
            Err(reason) => {
                if reason == Reason::Duplicate {
                    self.stats.duplicates += 1;
                }
                return Ingested::Nothing(reason);
            }
        };
        self.repair(now, source.carries, placed.place, round_trip);
        self.emit(now, &placed, packet)
    }

    /// Keeps the account of what is missing.
    fn repair(&mut self, now: Instant, by: Carries, place: Place, round_trip: &mut RoundTrip) {
        let mut retransmitted = by == Carries::Repair;
        match place.order {
            Order::Newest { missing: 0 } => {}
            Order::Newest { missing } => {
                let given_up = self.losses.miss(now, place.number - missing..place.number);
                self.give_up(now, given_up);
            }
            Order::Late => {
                if let Some(repaired) = self.losses.arrive(now, place.number) {
                    round_trip.learn(repaired);
                    retransmitted |= repaired.tries > 0;
                }
            }
        }
        if retransmitted {
            self.stats.recovered += 1;
        }
    }

    fn emit(&mut self, now: Instant, placed: &Placed<'_>, packet: &mut Packet) -> Ingested {
        let (place, header) = (placed.place, placed.header);
        // A packet without media is taken out if nobody knows of its place yet, so that subscribers
        // see no gap. Otherwise the gap is known, and the packet goes on, empty, to fill it.
        if placed.payload.is_empty() && self.timeline.take_out(place.number) {
            return Ingested::Nothing(Reason::Padding);
        }
        if matches!(place.order, Order::Newest { .. }) {
            self.timeline.follow(now, place.number, header.timestamp);
        }
        let Some((sequence, timestamp)) = self.timeline.map(place.number, header.timestamp) else {
            return Ingested::Nothing(Reason::TooOld);
        };
        let keyframe = starts_keyframe(self.codec, placed.payload)
            && (self.codec.kind() == MediaKind::Audio
                || self.begin_keyframe(place.number, sequence, timestamp, placed.payload));
        if let Some(current) = &mut self.current
            && std::mem::take(&mut current.fresh)
            && !keyframe
        {
            self.request_keyframe(now);
        }
        self.stats.packets += 1;
        self.stats.frames += u64::from(header.marker);
        self.stats.bytes += placed.payload.len() as u64;
        self.watch.handle_media(
            now,
            &Arrival {
                payload: placed.payload,
                timestamp,
                is_newest: matches!(place.order, Order::Newest { .. }),
                keyframe,
                size: self.stats.picture_size,
            },
        );
        packet.track = self.track;
        packet.layer = self.id;
        packet.sequence = sequence;
        packet.timestamp = timestamp;
        packet.marker = header.marker;
        packet.keyframe = keyframe;
        packet.picture = match self.codec {
            Codec::Vp8 => PictureCounters::read(placed.payload),
            Codec::Vp9 => vp9::Descriptor::read(placed.payload).and_then(|read| read.counters),
            _ => None,
        };
        packet.received = now;
        packet.payload.clear();
        packet.payload.extend_from_slice(placed.payload);
        packet.previous.clear();
        match &mut self.scalable {
            Some(scalable) => scalable.handle_packet(packet),
            None => packet.leads_to = LayerSet::NONE,
        }
        Ingested::Media
    }

    /// Whether this is the first packet of a keyframe, of which it looks like a part.
    fn begin_keyframe(
        &mut self,
        number: u64,
        sequence: u64,
        timestamp: u32,
        payload: &[u8],
    ) -> bool {
        if let Some(size) = picture_size(self.codec, payload) {
            self.stats.picture_size = Some(size);
        }
        self.keyframes.begin(Beginning {
            number,
            sequence,
            timestamp,
        })
    }

    /// See [`super::Publisher::request_keyframe`].
    pub(super) fn request_keyframe(&mut self, now: Instant) {
        if self.codec.kind() == MediaKind::Video {
            self.keyframes.request(now);
        }
    }

    fn give_up(&mut self, now: Instant, given_up: GivenUp) {
        self.stats.lost += given_up.count;
        if let Some(newest) = given_up.newest
            && !self.keyframes.began_after(newest)
        {
            self.request_keyframe(now);
        }
    }

    /// A sender report: the event that it becomes if it is of the current source, and the first for a while.
    pub(super) fn sender_report(
        &mut self,
        now: Instant,
        ssrc: u32,
        ntp: u64,
        timestamp: u32,
    ) -> Option<Event> {
        let current = self
            .current
            .as_mut()
            .filter(|current| current.ssrc == ssrc)?;
        let is_new = current.reception.sender_report(now, ntp);
        self.watch.handle_sender_report(now, ntp, timestamp);
        is_new.then(|| Event::SenderReport {
            track: self.track,
            layer: self.id,
            rtp_timestamp: timestamp.wrapping_add(self.timeline.timestamp_offset()),
            ntp,
            received: now,
        })
    }

    /// The source says that it stops.
    pub(super) fn goodbye(&mut self, ssrc: u32) {
        if let Some(current) = &mut self.current
            && current.ssrc == ssrc
        {
            current.goodbye = true;
        }
    }

    /// Whether its source stopped; none when there never was one.
    pub(super) fn has_ended(&self) -> Option<bool> {
        self.current.as_ref().map(|current| current.goodbye)
    }

    /// Sends the report block of the current source.
    pub(super) fn report(&mut self, now: Instant, outbox: &mut Outbox) {
        if let Some(report) = self
            .current
            .as_mut()
            .and_then(|current| current.reception.report(now))
        {
            outbox.report(report);
        }
    }

    /// Requests wait for a source: before there is one, nobody could be asked.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.current.as_ref()?;
        [self.losses.poll_timeout(), self.keyframes.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        round_trip: RoundTrip,
        outbox: &mut Outbox,
    ) {
        let Some(media_ssrc) = self.current.as_ref().map(|current| current.ssrc) else {
            return;
        };
        let mut ask = Vec::new();
        let given_up = self.losses.handle_timeout(now, round_trip, &mut ask);
        self.give_up(now, given_up);
        self.stats.nacks += ask.len() as u64;
        outbox.nack(media_ssrc, &ask);
        if !self.keyframes.handle_timeout(now) {
            return;
        }
        self.stats.keyframe_requests += 1;
        self.watch.handle_request(now);
        // Where neither was agreed on, PLI is understood by most and harms nobody.
        if self.feedback.fir && !self.feedback.pli {
            outbox.full_intra_request(media_ssrc, self.fir_sequence);
            self.fir_sequence = self.fir_sequence.wrapping_add(1);
        } else {
            outbox.picture_loss(media_ssrc);
        }
    }

    /// The layers within it, if there are several.
    pub(super) fn scalable(&self) -> Option<&Scalable> {
        self.source().filter(|scalable| scalable.has_layers())
    }

    /// The layers within it, if it may have several.
    pub(super) fn source(&self) -> Option<&Scalable> {
        self.scalable.as_deref()
    }

    pub(super) fn scalable_mut(&mut self) -> Option<&mut Scalable> {
        self.scalable.as_deref_mut()
    }

    pub(super) fn track(&self) -> TrackId {
        self.track
    }

    pub(super) fn kind(&self) -> MediaKind {
        self.codec.kind()
    }

    /// What is wrong with it, and its figures.
    pub(super) fn judge(&mut self, now: Instant, found: &mut Vec<Finding>) -> LayerFigures {
        let (stats, heard) = (self.stats(), self.heard());
        let figures = self.watch.judge(now, stats, heard, found);
        if self.watch.wants_keyframe() {
            self.request_keyframe(now);
        }
        figures
    }

    /// When its last packet came.
    pub(super) fn heard(&self) -> Option<Instant> {
        self.current.as_ref().map(|current| current.last)
    }

    /// For the comparison of the layers of a simulcast.
    pub(super) fn figures(&self) -> Figures {
        Figures {
            packets: self.stats.packets,
            frames: self.stats.frames,
            bytes: self.stats.bytes,
            size: self.stats.picture_size,
            heard: self.heard(),
        }
    }

    pub(super) fn stats(&self) -> LayerStats {
        // A keyframe of several spatial layers tells the size of the lowest.
        let whole = self.scalable().map(|scalable| scalable.figures(LayerId(0)));
        let size = whole.and_then(|whole| whole.size);
        LayerStats {
            picture_size: size.or(self.stats.picture_size),
            track: self.track,
            layer: self.id,
            keyframes: self.keyframes.count,
            jitter: self
                .current
                .as_ref()
                .map_or(0, |current| current.reception.jitter()),
            ..self.stats
        }
    }
}
