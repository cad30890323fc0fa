//! A stream in full, as JSON: how its publishers do, and what leaves of it.

use std::time::Duration;

use serde::Serialize;

use crate::egress::hls::store::Figures;
use crate::gateway::{PublisherStatus, StreamStatus};
use crate::ingest::verdict::Report;
use crate::ingest::{Finding, LayerFigures};
use crate::shard::{DELAY_CLASSES, ESTIMATE_CLASSES, Standings};
use crate::stream::LayerId;

use super::{Publisher, Stream, Track};

/// `/streams/{stream}`.
#[derive(Serialize)]
pub(super) struct Detail {
    name: String,
    tracks: Vec<Track>,
    subscribers: usize,
    publishers: Vec<Ingest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    no_hls: Option<String>,
    delivery: Delivery,
    #[serde(skip_serializing_if = "Option::is_none")]
    hls: Option<Hls>,
}

/// What comes of one publisher, and what is wrong with it. Without a report nothing came yet.
#[derive(Serialize)]
struct Ingest {
    priority: Option<u8>,
    state: &'static str,
    on_air: bool,
    round_trip_ms: Option<f64>,
    malformed_packets: u64,
    unknown_packets: u64,
    layers: Vec<Layer>,
    findings: Vec<Found>,
}

#[derive(Serialize)]
struct Layer {
    track: u8,
    layer: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    rid: Option<String>,
    /// How many are to have it, or a part of it; none of a publisher that is not on air.
    #[serde(skip_serializing_if = "Option::is_none")]
    subscribers: Option<u64>,
    /// The layers within it, itself among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    within: Vec<Within>,
    bitrate: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    video: Option<Video>,
    packets: u64,
    bytes: u64,
    lost: u64,
    recovered: u64,
    duplicates: u64,
    nacks: u64,
    loss_percent: f32,
    jitter_ms: f64,
    restarts: u64,
    sender_reports: u64,
    clock_drift_ppm: Option<i32>,
}

/// A layer of a scalable encoding.
#[derive(Serialize)]
struct Within {
    layer: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    spatial: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temporal: Option<u8>,
    bitrate: u64,
    width: Option<u32>,
    height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscribers: Option<u64>,
}

#[derive(Serialize)]
struct Video {
    width: Option<u16>,
    height: Option<u16>,
    frames: u64,
    frame_rate: f32,
    keyframes: u64,
    keyframe_interval_ms: Option<f64>,
    keyframe_requests: u64,
    reorder_depth: u8,
}

/// A finding, with the setting to change.
#[derive(Serialize)]
struct Found {
    defect: &'static str,
    track: u8,
    layer: u8,
    message: String,
    effect: &'static str,
    obs: &'static str,
    others: &'static str,
}

/// What leaves of the stream by WHEP.
#[derive(Serialize)]
struct Delivery {
    packets: u64,
    retransmissions: u64,
    caught_up: u64,
    keyframe_requests: u64,
    /// Half of the packets, and 99 of 100, have left for all within this time or less.
    delay_p50_ms: Option<f64>,
    delay_p99_ms: Option<f64>,
    one_way_ms: Option<f64>,
    capture_to_egress_ms: Option<f64>,
    links: Links,
}

/// What the links of viewers carry who have layers to choose from.
#[derive(Serialize)]
struct Links {
    /// How many of them are measured, and how many would have a better layer if they carried more.
    measured: u64,
    limited: u64,
    /// 5 of 100 of the measured ones, and half of them, carry at most about so much video, in bit/s.
    bitrate_p5: Option<u64>,
    bitrate_p50: Option<u64>,
}

/// What making HLS of the stream costs.
#[derive(Serialize)]
struct Hls {
    cpu_seconds: CpuSeconds,
    ladder: Ladder,
}

#[derive(Serialize)]
struct CpuSeconds {
    segments: f64,
    aac: f64,
    ladder: f64,
}

/// The transcoding ladder.
#[derive(Serialize)]
struct Ladder {
    rungs: usize,
    pictures: u64,
    waiting_pictures: u64,
    failures: u64,
}

impl Detail {
    pub(super) fn new(stream: Stream, status: &StreamStatus, hls: Option<Figures>) -> Self {
        let counted = status.counters.snapshot();
        let millis = |micros: i64| micros as f64 / 1e3;
        let delay = |share| {
            let micros = quantile(&counted.delays.counts, &DELAY_CLASSES, share)?;
            Some(micros as f64 / 1e3)
        };
        let Stream {
            name,
            tracks,
            subscribers,
            no_hls,
            ..
        } = stream;
        Self {
            name,
            tracks,
            subscribers,
            no_hls,
            hls: hls.map(Hls::from),
            publishers: status
                .publishers
                .iter()
                .map(|publisher| Ingest::of(publisher, &counted.standings))
                .collect(),
            delivery: Delivery {
                packets: counted.packets,
                retransmissions: counted.retransmissions,
                caught_up: counted.caught_up,
                keyframe_requests: counted.keyframe_requests,
                delay_p50_ms: delay(0.5),
                delay_p99_ms: delay(0.99),
                one_way_ms: counted.one_way.map(millis),
                capture_to_egress_ms: counted.capture_to_egress.map(millis),
                links: Links::of(&counted.standings),
            },
        }
    }
}

impl From<Figures> for Hls {
    fn from(figures: Figures) -> Self {
        Self {
            cpu_seconds: CpuSeconds {
                segments: figures.segments.as_secs_f64(),
                aac: figures.aac.as_secs_f64(),
                ladder: figures.ladder.as_secs_f64(),
            },
            ladder: Ladder {
                rungs: figures.rungs,
                pictures: figures.ladder_pictures,
                waiting_pictures: figures.ladder_waiting,
                failures: figures.ladder_failures,
            },
        }
    }
}

impl Links {
    fn of(standings: &Standings) -> Self {
        let bitrate = |share| quantile(&standings.estimates, &ESTIMATE_CLASSES, share);
        Self {
            measured: standings.estimates.iter().sum(),
            limited: standings.limited,
            bitrate_p5: bitrate(0.05),
            bitrate_p50: bitrate(0.5),
        }
    }
}

impl Ingest {
    fn of(publisher: &PublisherStatus, standings: &Standings) -> Self {
        let none = Report::default();
        let report = publisher.report.as_deref().unwrap_or(&none);
        let Publisher {
            priority,
            state,
            on_air,
            ..
        } = publisher.into();
        Self {
            priority,
            state,
            on_air,
            round_trip_ms: report.round_trip.map(millis),
            malformed_packets: report.malformed,
            unknown_packets: report.unknown,
            layers: report
                .layers
                .iter()
                .map(|layer| Layer::of(layer, on_air.then_some(standings)))
                .collect(),
            findings: report.findings.iter().map(Found::of).collect(),
        }
    }
}

impl Layer {
    fn of(layer: &LayerFigures, standings: Option<&Standings>) -> Self {
        let stats = &layer.stats;
        let (width, height) = stats.picture_size.unzip();
        let subscribers = |of: LayerId| standings.map(|all| all.of_layer(stats.track, of));
        let within = layer.within.iter().map(|within| Within {
            layer: within.id.0,
            spatial: within.status.spatial,
            temporal: within.status.temporal,
            bitrate: within.status.bitrate,
            width: within.status.width,
            height: within.status.height,
            subscribers: subscribers(within.id),
        });
        Self {
            track: stats.track.0,
            layer: stats.layer.0,
            rid: layer.rid.clone(),
            subscribers: layer
                .ids()
                .filter_map(subscribers)
                .reduce(|sum, one| sum + one),
            within: within.collect(),
            bitrate: layer.bitrate,
            video: layer.is_video.then_some(Video {
                width,
                height,
                frames: stats.frames,
                frame_rate: (10.0 * layer.frame_rate).round() / 10.0,
                keyframes: stats.keyframes,
                keyframe_interval_ms: layer.keyframe_interval.map(millis),
                keyframe_requests: stats.keyframe_requests,
                reorder_depth: layer.reorder_depth,
            }),
            packets: stats.packets,
            bytes: stats.bytes,
            lost: stats.lost,
            recovered: stats.recovered,
            duplicates: stats.duplicates,
            nacks: stats.nacks,
            loss_percent: (10_000.0 * layer.loss).round() / 100.0,
            jitter_ms: millis(layer.jitter),
            restarts: stats.restarts,
            sender_reports: layer.sender_reports,
            clock_drift_ppm: layer.drift,
        }
    }
}

impl Found {
    fn of(finding: &Finding) -> Self {
        let advice = finding.defect.advice();
        Self {
            defect: finding.defect.name(),
            track: finding.track.0,
            layer: finding.layer.0,
            message: finding.to_string(),
            effect: advice.effect,
            obs: advice.obs,
            others: advice.others,
        }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

/// The upper end of the class that this share of all lies in or below; none when there are none, or when it
/// lies beyond the last class.
fn quantile(counts: &[u64], ends: &[u64], share: f64) -> Option<u64> {
    let all: u64 = counts.iter().sum();
    let wanted = (share * all as f64).ceil().max(1.0) as u64;
    let mut sum = 0;
    let class = counts.iter().position(|count| {
        sum += count;
        sum >= wanted
    })?;
    ends.get(class).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_end_of_its_class() {
        let ends = [50, 100, 200, 500];
        let mut counts = [0; 5];
        assert_eq!(quantile(&counts, &ends, 0.5), None);
        counts[0] = 98;
        counts[3] = 2;
        assert_eq!(quantile(&counts, &ends, 0.5), Some(50));
        assert_eq!(quantile(&counts, &ends, 0.98), Some(50));
        assert_eq!(quantile(&counts, &ends, 0.99), Some(500));
        counts[4] = 100;
        assert_eq!(quantile(&counts, &ends, 0.99), None);
    }
}
