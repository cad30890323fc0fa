//! One track of the branch: its packets put in order, dated and made into samples.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::arrival::ArrivalClock;
use super::clock::LineClock;
use super::description::Description;
use super::frame::parameter_sets;
use super::spatial::SpatialLayers;
use super::supervisor::Supervisor;
use super::transcodes::Permit;
use super::{HlsSettings, Line, Wake};
use crate::egress::hls::reorder::{Ordered, Reorder};
use crate::egress::hls::{Format, RenditionId, Sample, av1, vp9};
use crate::media::MediaError;
use crate::media::cpu::CpuTime;
use crate::rtp::av1::narrowed;
use crate::rtp::{Codec, opus};
use crate::stream::{Packet, TrackInfo};

/// A track and its way to samples.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) info: TrackInfo,
    /// What it becomes.
    pub(super) rendition: RenditionId,
    /// Which of the packets of the track are its own.
    pub(super) line: Line,
    pub(super) clock: LineClock,
    pub(super) reorder: Reorder,
    depayloader: Kind,
    /// Packets were lost since the last question.
    lossy: bool,
    /// The right to encode pictures, held while it does.
    _permit: Option<Permit>,
}

#[derive(Debug)]
enum Kind {
    /// The RTP payload is the packet (RFC 7587, section 4.2): nothing to take apart.
    Opus {
        format: Arc<Format>,
    },
    /// GStreamer 1.22 has no depayloader.
    Av1 {
        depayloader: av1::Depayloader,
        layers: SpatialLayers,
        format: Option<Arc<Format>>,
    },
    /// That of GStreamer 1.22 gives keyframes alone where higher spatial layers refer to lower ones in those only.
    Vp9 {
        depayloader: vp9::Depayloader,
        format: Option<Arc<Format>>,
    },
    Pipeline(Box<Supervisor>),
}

/// What happened to the pipeline of a track.
#[derive(Debug)]
pub(super) enum Change {
    /// It has failed; it will be started anew.
    Failed(MediaError),
    /// It was started anew.
    Restarted,
}

impl Track {
    /// Starts a track, or a layer of it.
    ///
    /// # Errors
    ///
    /// [`MediaError`] when it can't be carried.
    pub(super) fn start(
        settings: &HlsSettings,
        info: TrackInfo,
        rendition: RenditionId,
        wake: &Wake,
        cpu: &CpuTime,
        now: Instant,
    ) -> Result<Self, MediaError> {
        let mut permit = None;
        if info.codec == Codec::Vp8 {
            let limit = settings.transcodes.limit();
            permit = settings.transcodes.take();
            if permit.is_none() {
                return Err(match limit {
                    0 => MediaError::Vp8,
                    limit => MediaError::TooManyTranscodes { limit },
                });
            }
        }
        let depayloader = match (info.codec, Description::of(info.codec)?) {
            (codec, Some(description)) => {
                let fields = parameter_sets(&info);
                let started = Supervisor::start(codec, description, fields, wake, cpu, now)?;
                Kind::Pipeline(Box::new(started))
            }
            (Codec::Av1, None) => Kind::Av1 {
                depayloader: av1::Depayloader::default(),
                layers: SpatialLayers::default(),
                format: None,
            },
            (Codec::Vp9, None) => Kind::Vp9 {
                depayloader: vp9::Depayloader::default(),
                format: None,
            },
            (_, None) => Kind::Opus {
                format: Arc::new(Format::opus(info.channels)),
            },
        };
        Ok(Self {
            clock: LineClock::new(info.codec.clock_rate()),
            info,
            line: match rendition {
                RenditionId::Video(layer) => Line(layer),
                RenditionId::Audio | RenditionId::Aac => Line::MAIN,
            },
            rendition,
            reorder: Reorder::new(settings.reorder_patience),
            depayloader,
            lossy: false,
            _permit: permit,
        })
    }

    /// Takes the packets that are in order now; samples go to `out` as they come.
    pub(super) fn handle_ordered(
        &mut self,
        arrivals: &ArrivalClock,
        now: Instant,
        out: &mut Vec<Sample>,
    ) -> Option<Change> {
        while let Some(Ordered { packet, lost }) = self.reorder.poll_packet(now) {
            let time = self
                .clock
                .handle_packet(packet.timestamp, arrivals.unix(packet.received));
            self.lossy |= lost > 0;
            match &mut self.depayloader {
                Kind::Opus { format } => out_opus(&packet, time, format, out),
                Kind::Av1 {
                    depayloader,
                    layers,
                    format,
                } => {
                    layers.handle_packet(&packet);
                    if lost > 0 {
                        depayloader.handle_loss();
                    }
                    let unit = depayloader.handle_payload(&packet.payload, packet.marker);
                    self.lossy |= depayloader.needs_keyframe();
                    let Some(mut unit) = unit else {
                        continue;
                    };
                    if unit.keyframe {
                        let highest = layers.highest();
                        if let Some(narrowed) = highest.and_then(|last| narrowed(&unit.data, last))
                        {
                            unit.data = narrowed;
                        }
                        follow(format, Format::av1(&unit.data, layers.size()).ok());
                    }
                    out.extend(picture(time, unit.keyframe, unit.data, format.as_ref()));
                }
                Kind::Vp9 {
                    depayloader,
                    format,
                } => {
                    if lost > 0 {
                        depayloader.handle_loss();
                    }
                    let whole = depayloader.handle_payload(&packet.payload, packet.marker);
                    self.lossy |= depayloader.needs_keyframe();
                    let Some(whole) = whole else {
                        continue;
                    };
                    if whole.keyframe {
                        follow(format, whole.format().ok());
                    }
                    out.extend(picture(time, whole.keyframe, whole.data, format.as_ref()));
                }
                Kind::Pipeline(supervisor) => {
                    if let Err(error) = supervisor.push(&packet, time, now) {
                        return Some(Change::Failed(error));
                    }
                }
            }
        }
        None
    }

    /// Takes what the pipeline has made and looks after it.
    pub(super) fn handle_pipeline(
        &mut self,
        now: Instant,
        out: &mut Vec<Sample>,
    ) -> Option<Change> {
        let Kind::Pipeline(supervisor) = &mut self.depayloader else {
            return None;
        };
        loop {
            match supervisor.poll_sample(now) {
                Ok(Some(sample)) => out.push(sample),
                Ok(None) => break,
                Err(error) => return Some(Change::Failed(error)),
            }
        }
        match supervisor.handle_timeout(now) {
            Ok(true) => Some(Change::Restarted),
            Ok(false) => None,
            Err(error) => Some(Change::Failed(error)),
        }
    }

    /// Whether a picture was lost, so that a keyframe is needed; true once for each loss.
    pub(super) fn poll_keyframe_request(&mut self) -> bool {
        let forced = match &self.depayloader {
            Kind::Pipeline(supervisor) => supervisor.poll_keyframe_request(),
            Kind::Opus { .. } | Kind::Av1 { .. } | Kind::Vp9 { .. } => false,
        };
        std::mem::take(&mut self.lossy) | forced
    }

    /// Whether packets should wait until the pipeline has worked at those before.
    pub(super) fn is_behind(&self) -> bool {
        matches!(&self.depayloader, Kind::Pipeline(supervisor) if supervisor.is_behind())
    }

    /// What is still in the pipeline at the end of the branch.
    pub(super) fn finish(&mut self, now: Instant) -> Vec<Sample> {
        match &mut self.depayloader {
            Kind::Pipeline(supervisor) => supervisor.finish(now),
            Kind::Opus { .. } | Kind::Av1 { .. } | Kind::Vp9 { .. } => Vec::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn break_down(&self) {
        if let Kind::Pipeline(supervisor) = &self.depayloader {
            supervisor.break_down();
        }
    }
}

/// How long the last picture lasts (ns), as nothing says so.
const FRAME: i64 = 33_333_333;

/// Takes the format of a keyframe, if it is another one.
fn follow(format: &mut Option<Arc<Format>>, read: Option<Format>) {
    if let Some(read) = read
        && format.as_deref() != Some(&read)
    {
        *format = Some(Arc::new(read));
    }
}

/// A picture that is shown in the order in which it is decoded; none before the first format.
fn picture(time: i64, keyframe: bool, data: Bytes, format: Option<&Arc<Format>>) -> Option<Sample> {
    Some(Sample {
        dts: time,
        pts: time,
        duration: FRAME,
        keyframe,
        data,
        format: Arc::clone(format?),
    })
}

fn out_opus(packet: &Arc<Packet>, time: i64, format: &Arc<Format>, out: &mut Vec<Sample>) {
    let Some(samples) = opus::duration(&packet.payload) else {
        return;
    };
    out.push(Sample {
        dts: time,
        pts: time,
        duration: i64::from(samples) * 1_000_000_000 / 48_000,
        keyframe: true,
        data: Bytes::from_owner(Payload(Arc::clone(packet))),
        format: Arc::clone(format),
    });
}

/// The payload where the stream keeps it, without a copy.
struct Payload(Arc<Packet>);

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        &self.0.payload
    }
}
