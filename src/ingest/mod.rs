//! A publisher: which track a packet belongs to, the repair of losses, and the feedback that goes
//! back.
//!
//! [`Publisher`] is told decrypted RTP and RTCP. It gives every track one continuous timeline
//! (whatever the publisher does with its SSRCs, sequence numbers and timestamps), asks for what is
//! missing, reports what arrived, and asks for keyframes. It knows [`crate::rtp`], the words of
//! [`crate::stream`] and what the SDP agreed on; it never touches a socket, a key or a subscriber.
//!
//! The interceptors of `rtc` are not used: they come as a chain that owns the packets, allocate for
//! each, and know nothing of a timeline over several sources. Only the RTCP that is sent is built of
//! its types.

mod event;
pub mod flow;
mod keyframes;
mod ladder;
mod layer;
mod nack;
mod outbox;
mod playout_delay;
mod redundancy;
mod reports;
mod scalable;
mod source;
mod stats;
mod timeline;
pub(crate) mod transport_cc;
pub mod verdict;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::rtp::rtcp::{SourceReport, read_source_reports};
use crate::rtp::{Extension, Header, MediaKind, PlayoutDelay};
use crate::sdp::session::PublisherSpec;
use crate::stream::{LayerId, Packet, TrackId};

pub use event::{Event, Ingested, Reason};
pub use flow::Flow;
pub use redundancy::MAX_RECOVERED;
pub use stats::{LayerStats, Stats};
pub use verdict::{Defect, Finding, LayerFigures};

use ladder::Ladder;
use layer::Layer;
use nack::RoundTrip;
use outbox::Outbox;
use playout_delay::Delays;
use redundancy::Redundancy;
use scalable::Scalable;
use source::Sources;
use transport_cc::Arrivals;
use verdict::{Judge, Totals};

/// Events that nobody fetches are dropped, oldest first.
const MAX_EVENTS: usize = 64;

/// The media state of one WHIP session.
///
/// Sequence numbers of packets without media (padding, foreign payload types) are taken out of the
/// timeline while they are the newest; one that comes later than its successors is forwarded with an
/// empty payload, because its place is known by then and would look like a loss.
#[derive(Debug)]
pub struct Publisher {
    config: Config,
    sources: Sources,
    /// Track by track.
    layers: Vec<Layer>,
    /// One a track with simulcast, or with spatial layers.
    ladders: Vec<Ladder>,
    round_trip: RoundTrip,
    /// None when transport-wide feedback was not negotiated.
    arrivals: Option<Arrivals>,
    next_report: Option<Instant>,
    judge: Judge,
    /// None: what the publisher says.
    delays: Option<Delays>,
    outbox: Outbox,
    events: VecDeque<Event>,
    /// The index of the layer that copies are fetched of.
    copied: usize,
    /// What the newest packet brought once more.
    redundancy: Option<Redundancy>,
    /// Since when every source has said goodbye. One that changes its SSRC says it for the old one
    /// (RFC 3550, section 8.2), and a paused one too: only silence after it is the end.
    ended: Option<Instant>,
    malformed: u64,
    unknown: u64,
}

/// How patient a [`Publisher`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// At most one keyframe request a track in this time.
    pub keyframe_request_interval: Duration,
    /// How often receiver reports are sent.
    pub receiver_report_interval: Duration,
    /// How often transport-wide feedback is sent.
    pub transport_feedback_interval: Duration,
    /// How long a missing packet may be late before it is asked for.
    pub reorder_tolerance: Duration,
    /// How long a missing packet is waited for before it is given up.
    pub loss_age_limit: Duration,
    /// How long the silence after the goodbye of all sources must last to be the end.
    pub goodbye_grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            keyframe_request_interval: Duration::from_millis(500),
            receiver_report_interval: Duration::from_secs(1),
            transport_feedback_interval: Duration::from_millis(100),
            reorder_tolerance: Duration::from_millis(10),
            loss_age_limit: Duration::from_secs(1),
            goodbye_grace: Duration::from_secs(5),
        }
    }
}

impl Publisher {
    /// The state of a session whose SDP agreed on `spec`. `local_ssrc` is the SSRC that our RTCP is
    /// sent from.
    pub fn new(now: Instant, spec: PublisherSpec, config: Config, local_ssrc: u32) -> Self {
        let (mut layers, mut ladders) = (Vec::new(), Vec::new());
        for track in &spec.tracks {
            let first = layers.len();
            let ids = (0..).map(LayerId).zip(&track.layers);
            layers.extend(ids.map(|(id, _)| Layer::new(now, track, id, &config)));
            if track.layers.iter().any(|layer| layer.rid.is_some()) {
                ladders.push(Ladder::new(now, track, first));
            }
        }
        let transport_cc = spec.tracks.iter().any(|track| {
            track.feedback.transport_cc
                && track
                    .extensions
                    .id(Extension::TransportSequenceNumber)
                    .is_some()
        });
        Self {
            arrivals: transport_cc.then(|| Arrivals::new(now, config.transport_feedback_interval)),
            config,
            judge: Judge::new(&spec),
            delays: None,
            sources: Sources::new(spec.tracks),
            layers,
            ladders,
            round_trip: RoundTrip::default(),
            next_report: None,
            outbox: Outbox::new(local_ssrc),
            events: VecDeque::new(),
            copied: 0,
            redundancy: None,
            ended: None,
            malformed: 0,
            unknown: 0,
        }
    }

    /// What players are told from now on of how long to wait before they show a frame; none: what the
    /// publisher says.
    pub fn set_playout_delay(&mut self, delay: Option<PlayoutDelay>) {
        self.delays = delay.map(|delay| Delays::new(delay, self.layers.len()));
    }

    /// Takes a whole decrypted RTP packet. Fills `packet` when it is media; its payload buffer is used
    /// again, so that nothing is allocated once it is large enough.
    pub fn handle_rtp(&mut self, now: Instant, bytes: &[u8], packet: &mut Packet) -> Ingested {
        let Ok(header) = Header::parse(bytes) else {
            self.malformed += 1;
            return Ingested::Nothing(Reason::Malformed);
        };
        let Ok(payload) = header.payload(bytes) else {
            self.malformed += 1;
            return Ingested::Nothing(Reason::Malformed);
        };
        let source = match self.sources.find(now, &header, bytes) {
            Ok(source) => source,
            Err(reason) => {
                self.unknown += 1;
                return Ingested::Nothing(reason);
            }
        };
        self.redundancy = None;
        let layer = &mut self.layers[source.layer];
        packet.extensions.clear();
        for (id, value) in header.extensions(bytes) {
            match (layer.extensions.extension(id), value, &mut self.arrivals) {
                (Some(Extension::TransportSequenceNumber), [high, low, ..], Some(arrivals)) => {
                    let number = u16::from_be_bytes([*high, *low]);
                    arrivals.record(now, number, header.ssrc);
                }
                (Some(Extension::PlayoutDelay), ..) if self.delays.is_some() => {}
                (Some(extension), ..) if extension.is_end_to_end() => {
                    packet.extensions.push(extension, value);
                }
                _ => {}
            }
        }
        if layer.is_replaced(now, &header, source) {
            return Ingested::Nothing(Reason::TooOld);
        }
        self.next_report
            .get_or_insert(now + self.config.receiver_report_interval);
        self.ended = None;
        let ingested =
            layer.handle_rtp(now, source, &header, payload, &mut self.round_trip, packet);
        if ingested == Ingested::Media {
            self.judge.handle_media(now);
            self.redundancy = Redundancy::of(source.layer, layer, &header);
            if let Some(delays) = self
                .delays
                .as_mut()
                .filter(|_| layer.kind() == MediaKind::Video)
            {
                delays.set(source.layer, packet);
            }
        }
        if ingested == Ingested::Media {
            self.copied = source.layer;
            self.rank(now, source.layer);
        }
        ingested
    }

    /// Media came of the layer of this index: tells of the layers of its track, if there are several.
    fn rank(&mut self, now: Instant, index: usize) {
        let ladder = self.ladders.iter().position(|ladder| ladder.has(index));
        let ladder = match ladder {
            Some(known) => &mut self.ladders[known],
            None => {
                let layer = &self.layers[index];
                if layer.scalable().is_none() {
                    return;
                }
                let ladder = Ladder::of_scalable(now, layer.track(), index);
                self.ladders.push(ladder);
                let last = self.ladders.len() - 1;
                &mut self.ladders[last]
            }
        };
        ladder.hear(now, index, &self.layers, &mut self.events);
    }

    /// Whether [`Self::poll_copy`] has something to give for the newest packet.
    pub fn has_copies(&self) -> bool {
        let layer = self.layers.get(self.copied);
        layer
            .and_then(Layer::scalable)
            .is_some_and(Scalable::has_copies)
    }

    /// Where the newest packet, the one given, is of a source with several layers: fills `copy` with it as a part of
    /// a lesser one. False when there is no more such layer.
    pub fn poll_copy(&mut self, packet: &Packet, copy: &mut Packet) -> bool {
        let layer = self.layers.get_mut(self.copied);
        layer
            .and_then(Layer::scalable_mut)
            .is_some_and(|scalable| scalable.poll_copy(packet, copy))
    }

    /// Takes a whole decrypted RTCP packet, compound or reduced-size (RFC 5506).
    pub fn handle_rtcp(&mut self, now: Instant, bytes: &[u8]) {
        let (layers, events) = (&mut self.layers, &mut self.events);
        let is_whole = read_source_reports(bytes, |report| match report {
            SourceReport::Sender {
                ssrc,
                ntp,
                rtp_timestamp,
            } => {
                let reported = layers.iter_mut().find_map(|layer| {
                    Some((layer.sender_report(now, ssrc, ntp, rtp_timestamp)?, layer))
                });
                if let Some((event, layer)) = reported {
                    let lesser = layer.scalable().into_iter().flat_map(Scalable::lesser);
                    let of_lesser = lesser.map(|layer| event.clone().of_layer(layer));
                    of_lesser.for_each(|event| push_event(events, event));
                    push_event(events, event);
                }
            }
            SourceReport::Goodbye { ssrc } => {
                layers.iter_mut().for_each(|layer| layer.goodbye(ssrc));
            }
        });
        if !is_whole {
            self.malformed += 1;
        }
        let mut sources = self.layers.iter().filter_map(Layer::has_ended).peekable();
        if sources.peek().is_some() && sources.all(|ended| ended) {
            self.ended.get_or_insert(now);
        }
    }

    /// Wants a keyframe of a layer of a video track: PLI, or FIR where only that was negotiated. At
    /// most one request is sent in [`Config::keyframe_request_interval`]; one that has to wait is
    /// forgotten when a keyframe begins meanwhile. Unknown and audio tracks are ignored.
    pub fn request_keyframe(&mut self, now: Instant, track: TrackId, layer: LayerId) {
        // The layers within a source are asked of the source.
        let found = self.layers.iter_mut().find(|known| {
            known.is(track, layer) || (known.track() == track && known.scalable().is_some())
        });
        if let Some(layer) = found {
            layer.request_keyframe(now);
            layer.handle_timeout(now, self.round_trip, &mut self.outbox);
        }
    }

    /// When [`Self::handle_timeout`] wants to be called next. It may have passed already.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.layers
            .iter()
            .map(Layer::poll_timeout)
            .chain(self.ladders.iter().map(Ladder::poll_timeout))
            .chain([
                self.next_report,
                self.judge.poll_timeout(),
                self.ended.map(|since| since + self.config.goodbye_grace),
                self.arrivals.as_ref().and_then(Arrivals::poll_timeout),
            ])
            .flatten()
            .min()
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        for layer in &mut self.layers {
            layer.handle_timeout(now, self.round_trip, &mut self.outbox);
        }
        for ladder in &mut self.ladders {
            ladder.handle_timeout(now, &self.layers, &mut self.events);
        }
        let silent = |since: &Instant| *since + self.config.goodbye_grace <= now;
        if self.ended.take_if(|since| silent(since)).is_some() {
            push_event(&mut self.events, Event::Ended);
        }
        if self.next_report.is_some_and(|due| due <= now) {
            // The next packet sets it again: nothing is said to a publisher that is silent.
            self.next_report = None;
            for layer in &mut self.layers {
                layer.report(now, &mut self.outbox);
            }
        }
        let totals = Totals {
            malformed: self.malformed,
            unknown: self.unknown,
            round_trip: self.round_trip.measured(),
        };
        let report = self
            .judge
            .handle_timeout(now, &mut self.layers, &self.ladders, totals);
        if let Some(report) = report {
            push_event(&mut self.events, Event::Report(report));
        }
        if let Some(arrivals) = &mut self.arrivals {
            while let Some(feedback) = arrivals.poll_feedback(now, self.outbox.sender_ssrc()) {
                self.outbox.feedback(feedback);
            }
        }
    }

    /// The next RTCP compound packet to protect and send.
    pub fn poll_rtcp(&mut self) -> Option<Vec<u8>> {
        self.outbox.poll()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The counters at this moment.
    pub fn stats(&self) -> Stats {
        Stats {
            layers: self.layers.iter().map(Layer::stats).collect(),
            malformed: self.malformed,
            unknown: self.unknown,
            round_trip: self.round_trip.measured(),
        }
    }
}

fn push_event(events: &mut VecDeque<Event>, event: Event) {
    if events.len() == MAX_EVENTS {
        events.pop_front();
    }
    events.push_back(event);
}

#[cfg(test)]
mod tests;
