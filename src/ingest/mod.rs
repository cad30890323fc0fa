//! A publisher: which track a packet belongs to, the repair of losses, and the feedback that goes
//! back.
//!
//! [`Publisher`] is told decrypted RTP and RTCP. It gives every track one continuous timeline
//! (whatever the publisher does with its SSRCs, sequence numbers and timestamps), asks for what is
//! missing, reports what arrived, and asks for keyframes. It knows [`crate::rtp`], the words of
//! [`crate::stream`] and what the SDP agreed on; it never touches a socket, a key or a subscriber.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::sdp::session::PublisherSpec;
use crate::stream::{Packet, TrackId};

/// The media state of one WHIP session.
#[derive(Debug)]
pub struct Publisher {
    spec: PublisherSpec,
    events: VecDeque<Event>,
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
}

impl Default for Config {
    fn default() -> Self {
        Self {
            keyframe_request_interval: Duration::from_millis(500),
            receiver_report_interval: Duration::from_secs(1),
            transport_feedback_interval: Duration::from_millis(100),
            reorder_tolerance: Duration::from_millis(10),
            loss_age_limit: Duration::from_secs(1),
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
    /// The publisher said goodbye for all of its sources.
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
        let _ = (now, config, local_ssrc);
        Self {
            spec,
            events: VecDeque::new(),
        }
    }

    /// Takes a whole decrypted RTP packet. Fills `packet` (its payload buffer is used again) when it
    /// is media.
    pub fn handle_rtp(&mut self, now: Instant, bytes: &[u8], packet: &mut Packet) -> Ingested {
        let _ = (now, bytes, packet);
        Ingested::Nothing(Reason::UnknownSource)
    }

    /// Takes a whole decrypted RTCP packet, compound or reduced-size (RFC 5506).
    pub fn handle_rtcp(&mut self, now: Instant, bytes: &[u8]) {
        let _ = (now, bytes);
    }

    /// Wants a keyframe of a video track. Requests are brought together: see
    /// [`Config::keyframe_request_interval`].
    pub fn request_keyframe(&mut self, now: Instant, track: TrackId) {
        let _ = (now, track);
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// The next RTCP compound packet to protect and send.
    pub fn poll_rtcp(&mut self) -> Option<Vec<u8>> {
        None
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The counters at this moment.
    pub fn stats(&self) -> Stats {
        Stats {
            tracks: vec![TrackStats::default(); self.spec.tracks.len()],
            ..Stats::default()
        }
    }
}
