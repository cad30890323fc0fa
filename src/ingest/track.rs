//! One track of a publisher: its timeline, its losses, its keyframes.

use std::time::{Duration, Instant};

use super::keyframes::{Beginning, Keyframes};
use super::nack::{GivenUp, Losses, RoundTrip};
use super::outbox::Outbox;
use super::reports::Reception;
use super::source::{Carries, Source};
use super::timeline::{Displaced, Order, Place, Timeline};
use super::{Config, Event, Ingested, Reason, TrackStats};
use crate::rtp::keyframe::starts_keyframe;
use crate::rtp::{Codec, ExtensionMap, Header, MediaKind, PictureCounters};
use crate::sdp::session::{Feedback, PublishedTrack};
use crate::stream::{LayerId, Packet, TrackId};

/// An SSRC that was replaced may come back after its successor was silent for so long; until then
/// its packets are stragglers.
const SUCCESSION: Duration = Duration::from_millis(500);

/// So long after a new SSRC, retransmissions of a source that was there before it repair the old one.
const OLD_REPAIRS: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Track {
    id: TrackId,
    codec: Codec,
    payload_type: u8,
    rtx_payload_type: Option<u8>,
    feedback: Feedback,
    pub(super) extensions: ExtensionMap,
    epoch: Instant,

    current: Option<Current>,
    timeline: Timeline,
    losses: Losses,
    keyframes: Keyframes,
    fir_sequence: u8,
    stats: TrackStats,
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

/// A packet that found its place.
struct Placed<'a> {
    place: Place,
    header: &'a Header,
    payload: &'a [u8],
}

impl Track {
    pub(super) fn new(epoch: Instant, track: &PublishedTrack, config: &Config) -> Self {
        let clock_rate = track.info.codec.clock_rate();
        Self {
            id: track.info.id,
            codec: track.info.codec,
            payload_type: track.payload_type,
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
            stats: TrackStats::default(),
        }
    }

    pub(super) fn id(&self) -> TrackId {
        self.id
    }

    /// A packet of one of the track's sources.
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

    fn place_media<'a>(
        &mut self,
        now: Instant,
        header: &'a Header,
        payload: &'a [u8],
    ) -> Result<Placed<'a>, Reason> {
        let place = match &mut self.current {
            Some(current) if current.ssrc == header.ssrc => {
                match self.timeline.place(header.sequence_number) {
                    Ok(place) => place,
                    Err(Displaced::Jumped) => self.begin(now, header),
                    Err(Displaced::Drop(reason)) => {
                        if reason == Reason::Duplicate {
                            current.reception.other(None);
                        }
                        return Err(reason);
                    }
                }
            }
            _ => self.begin(now, header),
        };
        if let Some(current) = &mut self.current {
            current.last = now;
            current.goodbye = false;
            match place.order {
                Order::Newest { .. } => {
                    current
                        .reception
                        .newest(now, place.number, header.timestamp);
                }
                Order::Late => current.reception.other(Some(place.number)),
            }
        }
        // Comfort noise and the like share the SSRC: no media of the track, but part of its numbers.
        let payload = match header.payload_type == self.payload_type {
            true => payload,
            false => &[],
        };
        Ok(Placed {
            place,
            header,
            payload,
        })
    }

    /// Unwraps a retransmission (RFC 4588, section 4): its payload begins with the original number.
    fn place_repair<'a>(
        &mut self,
        now: Instant,
        source: Source,
        header: &'a Header,
        payload: &'a [u8],
    ) -> Result<Placed<'a>, Reason> {
        if Some(header.payload_type) != self.rtx_payload_type {
            return Err(Reason::UnknownPayloadType);
        }
        let current = self.current.as_ref().ok_or(Reason::UnknownSource)?;
        if source.learned < current.since && now < current.since + OLD_REPAIRS {
            return Err(Reason::TooOld);
        }
        // Probes for bandwidth carry no original, or one that came long ago.
        let (original, payload) = match payload.split_first_chunk::<2>() {
            Some((original, payload)) if !payload.is_empty() => (original, payload),
            _ => return Err(Reason::Padding),
        };
        match self.timeline.place_repair(u16::from_be_bytes(*original)) {
            Ok(place) => Ok(Placed {
                place,
                header,
                payload,
            }),
            Err(Displaced::Drop(reason)) => Err(reason),
            Err(Displaced::Jumped) => Err(Reason::Jump),
        }
    }

    /// Whether packets of a source, of which some came before, are stragglers.
    pub(super) fn is_replaced(&self, now: Instant, header: &Header, source: Source) -> bool {
        source.carries == Carries::Media
            && self.current.as_ref().is_some_and(|current| {
                current.ssrc != header.ssrc && !source.is_new && now < current.last + SUCCESSION
            })
    }

    /// A source begins, or begins anew, with this packet.
    fn begin(&mut self, now: Instant, header: &Header) -> Place {
        self.stats.lost += self.losses.clear().count;
        self.keyframes.forget();
        let place = self
            .timeline
            .begin(now, header.sequence_number, header.timestamp);
        let reception = Reception::new(
            self.epoch,
            header.ssrc,
            self.codec.clock_rate(),
            place.number,
        );
        let before = self.current.take();
        if before.is_some() {
            self.stats.restarts += 1;
        }
        let since = before
            .filter(|before| before.ssrc == header.ssrc)
            .map_or(now, |before| before.since);
        self.current = Some(Current {
            ssrc: header.ssrc,
            since,
            last: now,
            reception,
            fresh: true,
            goodbye: false,
        });
        place
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
                || self.keyframes.begin(Beginning {
                    number: place.number,
                    sequence,
                    timestamp,
                }));
        if let Some(current) = &mut self.current
            && std::mem::take(&mut current.fresh)
            && !keyframe
        {
            self.request_keyframe(now);
        }
        self.stats.packets += 1;
        self.stats.bytes += placed.payload.len() as u64;
        packet.track = self.id;
        packet.layer = LayerId(0);
        packet.sequence = sequence;
        packet.timestamp = timestamp;
        packet.marker = header.marker;
        packet.keyframe = keyframe;
        packet.picture = match self.codec {
            Codec::Vp8 => PictureCounters::read(placed.payload),
            _ => None,
        };
        packet.received = now;
        packet.payload.clear();
        packet.payload.extend_from_slice(placed.payload);
        Ingested::Media
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

    /// A sender report: the event that it becomes if it is of the current source.
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
        current.reception.sender_report(now, ntp);
        Some(Event::SenderReport {
            track: self.id,
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
        // Where neither was agreed on, PLI is understood by most and harms nobody.
        if self.feedback.fir && !self.feedback.pli {
            outbox.full_intra_request(media_ssrc, self.fir_sequence);
            self.fir_sequence = self.fir_sequence.wrapping_add(1);
        } else {
            outbox.picture_loss(media_ssrc);
        }
    }

    pub(super) fn stats(&self) -> TrackStats {
        TrackStats {
            keyframes: self.keyframes.count,
            jitter: self
                .current
                .as_ref()
                .map_or(0, |current| current.reception.jitter()),
            ..self.stats
        }
    }
}
