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

mod keyframes;
mod nack;
mod outbox;
mod reports;
mod source;
mod timeline;
mod track;
mod transport_cc;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::rtp::{Extension, Header};
use crate::sdp::session::PublisherSpec;
use crate::stream::{Packet, TrackId};

use nack::RoundTrip;
use outbox::Outbox;
use reports::Report;
use source::Sources;
use track::Track;
use transport_cc::Arrivals;

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
    tracks: Vec<Track>,
    round_trip: RoundTrip,
    /// None when transport-wide feedback was not negotiated.
    arrivals: Option<Arrivals>,
    next_report: Option<Instant>,
    outbox: Outbox,
    events: VecDeque<Event>,
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

/// What became of an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Ingested {
    /// The [`Packet`] was filled: forward it.
    Media,
    /// There is nothing to forward; the [`Packet`] holds nothing of meaning.
    Nothing(Reason),
}

/// Why a packet gave no media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The bytes are no RTP packet.
    Malformed,
    /// No track could be found for its SSRC.
    UnknownSource,
    /// Its payload type is not the one that was negotiated.
    UnknownPayloadType,
    /// It came before.
    Duplicate,
    /// It is older than what can be told from a duplicate, or of a source that was replaced.
    TooOld,
    /// It is padding alone.
    Padding,
    /// Its sequence number is far off; the next packet decides if the source jumped.
    Jump,
}

/// What a [`Publisher`] tells besides packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A sender report (RFC 3550, section 6.4.1).
    SenderReport {
        /// The track that it is about.
        track: TrackId,
        /// The instant of `ntp` in the continuous timeline of [`Packet::timestamp`].
        rtp_timestamp: u32,
        /// The publisher's wall clock, 32.32 fixed point seconds.
        ntp: u64,
        /// When it arrived.
        received: Instant,
    },
    /// The publisher said goodbye for all of its sources, and nothing came since.
    Ended,
}

/// Counters of a [`Publisher`] since it began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// By [`TrackId`].
    pub tracks: Vec<TrackStats>,
    /// RTP and RTCP packets that could not be parsed.
    pub malformed: u64,
    /// RTP packets that belong to no track.
    pub unknown: u64,
    /// Measured by NACK and repair, when it was.
    pub round_trip: Option<Duration>,
}

/// Counters of one track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackStats {
    /// Packets that became media.
    pub packets: u64,
    /// Their payload in bytes.
    pub bytes: u64,
    /// Packets that were missing and given up.
    pub lost: u64,
    /// Packets that a retransmission brought back.
    pub recovered: u64,
    /// Packets that came more than once.
    pub duplicates: u64,
    /// Sequence numbers asked for, repetitions included.
    pub nacks: u64,
    /// Keyframes that began.
    pub keyframes: u64,
    /// Keyframe requests sent.
    pub keyframe_requests: u64,
    /// How often the source was replaced or jumped.
    pub restarts: u64,
    /// The interarrival jitter in units of the RTP clock (RFC 3550, section 6.4.1).
    pub jitter: u32,
}

impl Publisher {
    /// The state of a session whose SDP agreed on `spec`. `local_ssrc` is the SSRC that our RTCP is
    /// sent from.
    pub fn new(now: Instant, spec: PublisherSpec, config: Config, local_ssrc: u32) -> Self {
        let tracks: Vec<_> = spec
            .tracks
            .iter()
            .map(|track| Track::new(now, track, &config))
            .collect();
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
            sources: Sources::new(spec.tracks),
            tracks,
            round_trip: RoundTrip::default(),
            next_report: None,
            outbox: Outbox::new(local_ssrc),
            events: VecDeque::new(),
            ended: None,
            malformed: 0,
            unknown: 0,
        }
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
        let track = &mut self.tracks[source.track];
        packet.extensions.clear();
        for (id, value) in header.extensions(bytes) {
            match (track.extensions.extension(id), value, &mut self.arrivals) {
                (Some(Extension::TransportSequenceNumber), [high, low, ..], Some(arrivals)) => {
                    let number = u16::from_be_bytes([*high, *low]);
                    arrivals.record(now, number, header.ssrc);
                }
                (Some(extension), ..) if extension.is_end_to_end() => {
                    packet.extensions.push(extension, value);
                }
                _ => {}
            }
        }
        if track.is_replaced(now, &header, source) {
            return Ingested::Nothing(Reason::TooOld);
        }
        self.next_report
            .get_or_insert(now + self.config.receiver_report_interval);
        self.ended = None;
        track.handle_rtp(now, source, &header, payload, &mut self.round_trip, packet)
    }

    /// Takes a whole decrypted RTCP packet, compound or reduced-size (RFC 5506).
    pub fn handle_rtcp(&mut self, now: Instant, bytes: &[u8]) {
        let (tracks, events) = (&mut self.tracks, &mut self.events);
        let read = reports::read(bytes, |report| match report {
            Report::Sender {
                ssrc,
                ntp,
                timestamp,
            } => {
                let event = tracks
                    .iter_mut()
                    .find_map(|track| track.sender_report(now, ssrc, ntp, timestamp));
                if let Some(event) = event {
                    push_event(events, event);
                }
            }
            Report::Goodbye { ssrc } => tracks.iter_mut().for_each(|track| track.goodbye(ssrc)),
        });
        if read.is_err() {
            self.malformed += 1;
        }
        let mut sources = self.tracks.iter().filter_map(Track::has_ended).peekable();
        if sources.peek().is_some() && sources.all(|ended| ended) {
            self.ended.get_or_insert(now);
        }
    }

    /// Wants a keyframe of a video track: PLI, or FIR where only that was negotiated. At most one
    /// request is sent in [`Config::keyframe_request_interval`]; one that has to wait is forgotten
    /// when a keyframe begins meanwhile. Unknown and audio tracks are ignored.
    pub fn request_keyframe(&mut self, now: Instant, track: TrackId) {
        if let Some(track) = self.tracks.iter_mut().find(|known| known.id() == track) {
            track.request_keyframe(now);
            track.handle_timeout(now, self.round_trip, &mut self.outbox);
        }
    }

    /// When [`Self::handle_timeout`] wants to be called next. It may have passed already.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.tracks
            .iter()
            .map(Track::poll_timeout)
            .chain([
                self.next_report,
                self.ended.map(|since| since + self.config.goodbye_grace),
                self.arrivals.as_ref().and_then(Arrivals::poll_timeout),
            ])
            .flatten()
            .min()
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        for track in &mut self.tracks {
            track.handle_timeout(now, self.round_trip, &mut self.outbox);
        }
        let silent = |since: &Instant| *since + self.config.goodbye_grace <= now;
        if self.ended.take_if(|since| silent(since)).is_some() {
            push_event(&mut self.events, Event::Ended);
        }
        if self.next_report.is_some_and(|due| due <= now) {
            // The next packet sets it again: nothing is said to a publisher that is silent.
            self.next_report = None;
            for track in &mut self.tracks {
                track.report(now, &mut self.outbox);
            }
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
            tracks: self.tracks.iter().map(Track::stats).collect(),
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
