//! The figures and findings of one publisher at one time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::super::LayerStats;
use crate::rtp::MediaKind;
use crate::stream::{LayerId, RankedLayer, TrackId};

/// What a publisher sends, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Track by track, each by [`LayerId`].
    pub layers: Vec<LayerFigures>,
    /// What is wrong; empty when nothing is.
    pub findings: Vec<Finding>,
    /// To the publisher and back, when it was measured.
    pub round_trip: Option<Duration>,
    /// RTP and RTCP packets that could not be parsed.
    pub malformed: u64,
    /// RTP packets that belong to no track or layer.
    pub unknown: u64,
}

/// One layer in figures. What only grows is in `stats`, the rest is of the last seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerFigures {
    /// Since the publisher began.
    pub stats: LayerStats,
    /// The name of the layer, where there are several.
    pub rid: Option<String>,
    /// Whether it is of a video track.
    pub is_video: bool,
    /// Of the payload, in bit/s, over the last second.
    pub bitrate: u64,
    /// Frames per second over the last second; 0 for audio.
    pub frame_rate: f32,
    /// The interarrival jitter (RFC 3550, section 6.4.1).
    pub jitter: Duration,
    /// The share of packets that did not come by themselves, repaired or not, of the last ten seconds.
    pub loss: f32,
    /// Between the last two keyframes.
    pub keyframe_interval: Option<Duration>,
    /// How many frames at most come before one that is shown earlier: above 0 with B-frames.
    pub reorder_depth: u8,
    /// How much faster the media's clock runs than the publisher's wall clock, in parts per million.
    pub drift: Option<i32>,
    /// Sender reports that came.
    pub sender_reports: u64,
    /// The layers that viewers may get of it, itself among them, the best first; empty where there is but one.
    pub within: Arc<[RankedLayer]>,
}

impl LayerFigures {
    /// The layers that viewers may get of it, itself among them.
    pub fn ids(&self) -> impl Iterator<Item = LayerId> {
        let own = self.within.is_empty().then_some(self.stats.layer);
        let within = self.within.iter().map(|within| within.id);
        own.into_iter().chain(within)
    }
}

/// A defect of one layer, or of a whole track (then the layer is the first).
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Of which track.
    pub track: TrackId,
    /// Of which layer.
    pub layer: LayerId,
    /// What it is.
    pub defect: Defect,
}

impl Finding {
    /// Whether both are one defect, maybe with other figures.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.track, self.layer, self.defect.name())
            == (other.track, other.layer, other.defect.name())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.defect.fmt(f)
    }
}

/// Something that a publisher should do otherwise.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Defect {
    /// Frames come in another order than they are shown in.
    BFrames {
        /// How many frames come before one that is shown ahead of them; 0 where the timestamps don't
        /// tell, which are those of decoding.
        depth: u8,
        /// The share of frames that are shown ahead of an earlier one.
        share: f32,
    },
    /// Too long from one keyframe to the next, by one who does not send them on request.
    LongKeyframeInterval {
        /// The longest that was seen.
        interval: Duration,
    },
    /// The distance of keyframes varies though nobody asks for them.
    IrregularKeyframes {
        /// Of the last ones.
        shortest: Duration,
        /// Of the last ones.
        longest: Duration,
    },
    /// No keyframe came on requests.
    KeyframeRequestsIgnored {
        /// How many times since it began none came within three seconds.
        times: u32,
    },
    /// The bitstream is of another profile than the SDP says, which not everybody decodes who took
    /// the SDP's.
    OtherProfile {
        /// As the SDP says.
        agreed: String,
        /// As the bitstream says.
        sent: String,
    },
    /// The same for the level.
    HigherLevel {
        /// As the SDP says.
        agreed: String,
        /// As the bitstream says.
        sent: String,
    },
    /// Keyframes come without the parameter sets that a decoder needs to begin.
    NoParameterSets {
        /// Which are missing.
        missing: &'static str,
    },
    /// The size of the picture changes again and again.
    ResolutionChanges {
        /// In the last minute.
        count: u8,
    },
    /// The frame rate is not steady.
    FrameRateSwings {
        /// Of the last ten seconds, in frames per second.
        lowest: f32,
        /// Of the last ten seconds, in frames per second.
        highest: f32,
    },
    /// The bitrate is not steady, keyframes left out.
    BitrateSwings {
        /// Of the last ten seconds, in bit/s.
        lowest: u64,
        /// Of the last ten seconds, in bit/s.
        highest: u64,
    },
    /// Packets are lost on the way.
    Loss {
        /// The share that did not come by itself.
        share: f32,
        /// The share that could not be repaired.
        beyond_repair: f32,
    },
    /// Packets come irregularly.
    Jitter {
        /// As RFC 3550, section 6.4.1, has it.
        jitter: Duration,
    },
    /// Nothing comes of a track while another one's media does.
    SilentTrack {
        /// What is missing.
        kind: MediaKind,
        /// What comes.
        other: MediaKind,
        /// Whether anything of it came before.
        ever: bool,
    },
    /// The media's clock runs away from the publisher's wall clock.
    ClockDrift {
        /// Parts per million; above 0 when the media's is too fast.
        ppm: i32,
    },
    /// No sender reports: sound and picture can't be told to belong together.
    NoSenderReports,
    /// The offer has no generic NACK: what is lost stays lost.
    NoRepair,
    /// The offer has neither PLI nor FIR for a video track.
    NoKeyframeRequests,
}
