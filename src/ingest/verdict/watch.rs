//! One layer under watch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::LayerStats;
use super::clock::Clock;
use super::pictures::Pictures;
use super::rates::{Counts, Rates};
use super::report::{Defect, Finding, LayerFigures};
use crate::rtp::h264::ProfileLevelId;
use crate::rtp::{Codec, MediaKind, h264_profile, parameter_sets};
use crate::sdp::session::PublishedTrack;
use crate::stream::{LayerId, TrackId};

/// More jitter than this makes players wait.
const JITTER: Duration = Duration::from_millis(30);

/// Watches one layer.
#[derive(Debug)]
pub(in crate::ingest) struct Watch {
    track: TrackId,
    layer: LayerId,
    rid: Option<String>,
    codec: Codec,
    /// The profile and level that H.264 was agreed on with.
    agreed: Option<ProfileLevelId>,
    pictures: Pictures,
    rates: Rates,
    clock: Clock,
    keyframe_bytes: u64,
    wants_keyframe: bool,
    /// Since when its media comes without a pause.
    began: Option<Instant>,
}

/// A packet that became media.
#[derive(Clone, Copy, Debug)]
pub(in crate::ingest) struct Arrival<'a> {
    pub(in crate::ingest) payload: &'a [u8],
    /// Of the continuous timeline.
    pub(in crate::ingest) timestamp: u32,
    /// It is the newest, and no repair.
    pub(in crate::ingest) is_newest: bool,
    /// A keyframe begins with it.
    pub(in crate::ingest) keyframe: bool,
    /// As the last keyframe told it.
    pub(in crate::ingest) size: Option<(u16, u16)>,
}

impl Watch {
    pub(in crate::ingest) fn new(track: &PublishedTrack, layer: LayerId) -> Self {
        let own = track.layers.get(usize::from(layer.0));
        let parameter = |name| crate::sdp::format_parameter(&track.info.fmtp, name);
        let agreed = match track.info.codec {
            Codec::H264 => parameter("profile-level-id").and_then(ProfileLevelId::parse),
            _ => None,
        };
        Self {
            track: track.info.id,
            layer,
            rid: own.and_then(|layer| layer.rid.clone()),
            codec: track.info.codec,
            agreed,
            pictures: Pictures::default(),
            rates: Rates::new(),
            clock: Clock::default(),
            keyframe_bytes: 0,
            wants_keyframe: false,
            began: None,
        }
    }

    /// Media has come.
    pub(in crate::ingest) fn handle_media(&mut self, now: Instant, arrival: &Arrival<'_>) {
        self.began.get_or_insert(now);
        if self.codec.kind() == MediaKind::Audio {
            return;
        }
        if arrival.is_newest {
            self.pictures
                .handle_packet(arrival.timestamp, self.codec, arrival.payload);
        }
        if arrival.keyframe {
            self.pictures
                .begin_keyframe(now, arrival.timestamp, arrival.size);
            if self.codec == Codec::H264 {
                self.pictures.sent = h264_profile(arrival.payload).or(self.pictures.sent);
            }
        }
        if self.pictures.is_keyframe(arrival.timestamp) {
            self.keyframe_bytes += arrival.payload.len() as u64;
            let sets = parameter_sets(self.codec, arrival.payload);
            self.pictures.handle_sets(arrival.timestamp, sets);
        }
    }

    /// Whether a keyframe is to be asked for, to see whether one comes.
    pub(in crate::ingest) fn wants_keyframe(&self) -> bool {
        self.wants_keyframe
    }

    /// A keyframe was asked for.
    pub(in crate::ingest) fn handle_request(&mut self, now: Instant) {
        self.pictures.handle_request(now);
    }

    /// The current source has reported its clock.
    pub(in crate::ingest) fn handle_sender_report(
        &mut self,
        now: Instant,
        ntp: u64,
        timestamp: u32,
    ) {
        let clock_rate = self.codec.clock_rate();
        self.clock.handle_report(now, ntp, timestamp, clock_rate);
    }

    /// Another source sends from now on.
    pub(in crate::ingest) fn restart(&mut self) {
        self.pictures.restart();
        self.clock.restart();
        self.began = None;
    }

    /// The figures at `now`, and what is wrong.
    pub(in crate::ingest) fn judge(
        &mut self,
        now: Instant,
        stats: LayerStats,
        heard: Option<Instant>,
        found: &mut Vec<Finding>,
    ) -> LayerFigures {
        let is_video = self.codec.kind() == MediaKind::Video;
        self.rates.mark(
            now,
            Counts {
                packets: stats.packets,
                frames: self.pictures.frames,
                bytes: stats.bytes,
                keyframe_bytes: self.keyframe_bytes,
                recovered: stats.recovered,
                lost: stats.lost,
                restarts: stats.restarts,
            },
        );
        let comes = heard.is_some_and(|heard| now < heard + super::INTERVAL);
        if !comes {
            self.began = None; // a layer that pauses
        }
        let jitter =
            Duration::from_secs_f64(f64::from(stats.jitter) / f64::from(self.codec.clock_rate()));
        let mut defects = Vec::new();
        if is_video {
            self.wants_keyframe = self.pictures.judge(now, self.codec, comes, &mut defects);
            self.judge_profile(&mut defects);
        }
        if let Some(began) = self.began {
            self.rates.judge(is_video, &mut defects);
            self.clock.judge(now, began, &mut defects);
            // Frames that are stamped in another order than they come in are no jitter.
            if jitter > JITTER && self.pictures.depth == 0 {
                defects.push(Defect::Jitter { jitter });
            }
        }
        let (track, layer) = (self.track, self.layer);
        found.extend(defects.into_iter().map(|defect| Finding {
            track,
            layer,
            defect,
        }));
        let (loss, _) = self.rates.loss();
        LayerFigures {
            stats,
            rid: self.rid.clone(),
            is_video,
            bitrate: self.rates.bitrate(),
            frame_rate: self.rates.frame_rate(),
            jitter,
            loss,
            keyframe_interval: self.pictures.interval,
            reorder_depth: self.pictures.depth,
            drift: self.clock.drift,
            sender_reports: self.clock.reports,
            within: Arc::default(),
        }
    }

    fn judge_profile(&self, found: &mut Vec<Defect>) {
        let (Some(agreed), Some(sent)) = (self.agreed, self.pictures.sent) else {
            return;
        };
        let (of_sdp, of_media) = (agreed.profile(), sent.profile());
        if !of_media.is_decoded_by(of_sdp) {
            found.push(Defect::OtherProfile {
                agreed: of_sdp.name(),
                sent: of_media.name(),
            });
        }
        if !sent.is_within_level_of(agreed) {
            found.push(Defect::HigherLevel {
                agreed: agreed.level(),
                sent: sent.level(),
            });
        }
    }
}
