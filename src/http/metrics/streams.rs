//! The series of streams, their publishers and the layers of these.

use std::fmt;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::Series;
use crate::gateway::{PublisherState, PublisherStatus, Rank, StreamStatus};
use crate::ingest::LayerFigures;
use crate::shard::{DELAY_CLASSES, Delays, ESTIMATE_CLASSES, StreamSnapshot};

/// The labels of a series.
type Label = (&'static str, String);

pub(super) fn encode(streams: &[StreamStatus], out: &mut Series<'_, '_>) -> fmt::Result {
    let none: [Label; 0] = [];
    out.gauges(
        "streams",
        "Streams that are live",
        [(none, streams.len() as f64)],
    )?;
    let label = |stream: &StreamStatus| [("stream", stream.name.to_string())];
    let subscribers = streams
        .iter()
        .map(|stream| (label(stream), stream.subscribers as f64));
    out.gauges(
        "stream_subscribers",
        "WHEP sessions that are connected",
        subscribers,
    )?;
    delivery(streams, out)?;
    publishers(streams, out)?;
    layers(streams, out)
}

/// What leaves of each stream.
fn delivery(streams: &[StreamStatus], out: &mut Series<'_, '_>) -> fmt::Result {
    let counted: Vec<([Label; 1], StreamSnapshot)> = streams
        .iter()
        .map(|stream| {
            (
                [("stream", stream.name.to_string())],
                stream.counters.snapshot(),
            )
        })
        .collect();
    type Counter = (&'static str, &'static str, fn(&StreamSnapshot) -> u64);
    let counters: [Counter; 4] = [
        (
            "stream_packets",
            "Media packets sent to subscribers",
            |counted| counted.packets,
        ),
        ("stream_retransmissions", "Packets sent again", |counted| {
            counted.retransmissions
        }),
        (
            "stream_caught_up",
            "Packets of the past, sent to subscribers who came",
            |counted| counted.caught_up,
        ),
        (
            "stream_keyframe_requests",
            "Requests of subscribers for keyframes",
            |counted| counted.keyframe_requests,
        ),
    ];
    for (name, help, value) in counters {
        let values = counted
            .iter()
            .map(|(labels, counted)| (labels.clone(), value(counted)));
        out.counters(name, help, values)?;
    }
    let delays = counted
        .iter()
        .map(|(labels, counted)| (labels.clone(), Histogram(&counted.delays)));
    let help = "From the arrival of a packet until all subscribers of a shard have been sent it";
    out.family("stream_delay_seconds", help, delays)?;
    type Gauge = (
        &'static str,
        &'static str,
        fn(&StreamSnapshot) -> Option<i64>,
    );
    let gauges: [Gauge; 2] = [
        (
            "stream_one_way_seconds",
            "From the publisher to here, by both wall clocks",
            |counted| counted.one_way,
        ),
        (
            "stream_capture_to_egress_seconds",
            "From the capture to the leaving of the media, by both wall clocks",
            |counted| counted.capture_to_egress,
        ),
    ];
    for (name, help, value) in gauges {
        let values = counted
            .iter()
            .filter_map(|(labels, counted)| Some((labels.clone(), value(counted)? as f64 / 1e6)));
        out.gauges(name, help, values)?;
    }
    let limited = counted
        .iter()
        .map(|(labels, counted)| (labels.clone(), counted.standings.limited as f64));
    out.gauges(
        "stream_limited_subscribers",
        "Who would have a better layer if their links carried more",
        limited,
    )?;
    let is_measured =
        |counted: &StreamSnapshot| counted.standings.estimates.iter().any(|count| *count > 0);
    let measured = counted.iter().filter(|(_, counted)| is_measured(counted));
    let links = measured.flat_map(|([stream], counted)| {
        let ends = ESTIMATE_CLASSES.iter().map(u64::to_string);
        let ends = ends.chain(["+Inf".to_owned()]);
        let mut sum = 0;
        ends.zip(counted.standings.estimates)
            .map(move |(end, count)| {
                sum += count;
                ([stream.clone(), ("le", end)], sum as f64)
            })
    });
    out.gauges(
        "stream_link_bits_per_second",
        "Subscribers with layers to choose from whose links carry at most so much video",
        links,
    )?;
    let subscribers = streams.iter().zip(&counted).flat_map(|(stream, counted)| {
        let on_air = stream.publishers.iter().filter(|own| own.on_air);
        let layers = on_air.flat_map(|own| own.report.iter().flat_map(|report| &report.layers));
        let layers =
            layers.flat_map(|figures| figures.ids().map(|layer| (figures.stats.track, layer)));
        layers.map(move |(track, layer)| {
            let ([stream], counted) = counted;
            let labels = [
                stream.clone(),
                ("track", track.0.to_string()),
                ("layer", layer.0.to_string()),
            ];
            (labels, counted.standings.of_layer(track, layer) as f64)
        })
    });
    out.gauges(
        "stream_layer_subscribers",
        "Subscribers who are to have this layer",
        subscribers,
    )
}

fn publishers(streams: &[StreamStatus], out: &mut Series<'_, '_>) -> fmt::Result {
    let each = || {
        streams.iter().flat_map(|stream| {
            let name = stream.name.to_string();
            let of = move |publisher| (publisher_labels(&name, publisher), publisher);
            stream.publishers.iter().map(of)
        })
    };
    let on_air = each().map(|(labels, publisher)| (labels, f64::from(u8::from(publisher.on_air))));
    out.gauges(
        "publisher_on_air",
        "1 for the one that subscribers get",
        on_air,
    )?;
    let flows =
        |publisher: &PublisherStatus| matches!(publisher.state, PublisherState::Flowing { .. });
    let flowing = each().map(|(labels, publisher)| (labels, f64::from(u8::from(flows(publisher)))));
    out.gauges("publisher_flowing", "1 while media comes", flowing)?;
    let round_trip = each().filter_map(|(labels, publisher)| {
        let round_trip = publisher.report.as_ref()?.round_trip?;
        Some((labels, round_trip.as_secs_f64()))
    });
    out.gauges(
        "publisher_round_trip_seconds",
        "To the publisher and back",
        round_trip,
    )?;
    let findings = each().flat_map(|(labels, publisher)| {
        let report = publisher.report.iter();
        let findings = report.flat_map(|report| &report.findings);
        findings.map(move |finding| {
            let [stream, priority] = labels.clone();
            let own = [
                stream,
                priority,
                ("track", finding.track.0.to_string()),
                ("layer", finding.layer.0.to_string()),
                ("defect", finding.defect.name().to_owned()),
            ];
            (own, 1.0)
        })
    });
    out.gauges(
        "publisher_finding",
        "1 while something is wrong with what comes",
        findings,
    )
}

fn layers(streams: &[StreamStatus], out: &mut Series<'_, '_>) -> fmt::Result {
    let mut each: Vec<(Vec<Label>, &LayerFigures)> = Vec::new();
    for stream in streams {
        for publisher in &stream.publishers {
            for layer in publisher.report.iter().flat_map(|report| &report.layers) {
                let [name, priority] = publisher_labels(stream.name.as_str(), publisher);
                let track = stream.tracks.get(usize::from(layer.stats.track.0));
                let codec = track.map_or("", |track| track.codec.name());
                let labels = vec![
                    name,
                    priority,
                    ("track", layer.stats.track.0.to_string()),
                    ("layer", layer.stats.layer.0.to_string()),
                    ("codec", codec.to_owned()),
                ];
                each.push((labels, layer));
            }
        }
    }
    type Counter = (&'static str, &'static str, fn(&LayerFigures) -> Option<u64>);
    let counters: [Counter; 11] = [
        ("ingest_packets", "Packets that became media", |layer| {
            Some(layer.stats.packets)
        }),
        ("ingest_bytes", "Their payload", |layer| {
            Some(layer.stats.bytes)
        }),
        ("ingest_frames", "Frames whose last packet came", |layer| {
            video(layer, layer.stats.frames)
        }),
        ("ingest_keyframes", "Keyframes", |layer| {
            video(layer, layer.stats.keyframes)
        }),
        ("ingest_lost", "Packets that never came", |layer| {
            Some(layer.stats.lost)
        }),
        (
            "ingest_recovered",
            "Packets that were missing in their turn, and sent again or taken from redundancy",
            |layer| Some(layer.stats.recovered),
        ),
        (
            "ingest_duplicates",
            "Packets that came more than once",
            |layer| Some(layer.stats.duplicates),
        ),
        (
            "ingest_nacks",
            "Packets asked for, repetitions included",
            |layer| Some(layer.stats.nacks),
        ),
        ("ingest_keyframe_requests", "Keyframes asked for", |layer| {
            video(layer, layer.stats.keyframe_requests)
        }),
        ("ingest_restarts", "Changes of the source", |layer| {
            Some(layer.stats.restarts)
        }),
        ("ingest_sender_reports", "Sender reports", |layer| {
            Some(layer.sender_reports)
        }),
    ];
    for (name, help, value) in counters {
        let values = each
            .iter()
            .filter_map(|(labels, layer)| Some((labels.clone(), value(layer)?)));
        out.counters(name, help, values)?;
    }
    type Gauge = (&'static str, &'static str, fn(&LayerFigures) -> Option<f64>);
    let gauges: [Gauge; 8] = [
        (
            "ingest_bits_per_second",
            "Bitrate of the payload",
            |layer| Some(layer.bitrate as f64),
        ),
        ("ingest_frames_per_second", "Frame rate", |layer| {
            layer.is_video.then_some(layer.frame_rate.into())
        }),
        ("ingest_jitter_seconds", "Interarrival jitter", |layer| {
            Some(layer.jitter.as_secs_f64())
        }),
        (
            "ingest_loss_ratio",
            "Share of packets that did not come by themselves",
            |layer| Some(layer.loss.into()),
        ),
        (
            "ingest_keyframe_interval_seconds",
            "Between the last two keyframes",
            |layer| {
                layer
                    .keyframe_interval
                    .map(|interval| interval.as_secs_f64())
            },
        ),
        ("ingest_width_pixels", "Width of the picture", |layer| {
            layer.stats.picture_size.map(|(width, _)| width.into())
        }),
        ("ingest_height_pixels", "Height of the picture", |layer| {
            layer.stats.picture_size.map(|(_, height)| height.into())
        }),
        (
            "ingest_clock_drift_ratio",
            "How much faster the media's clock runs than the wall clock",
            |layer| layer.drift.map(|ppm| f64::from(ppm) / 1e6),
        ),
    ];
    for (name, help, value) in gauges {
        let values = each
            .iter()
            .filter_map(|(labels, layer)| Some((labels.clone(), value(layer)?)));
        out.gauges(name, help, values)?;
    }
    Ok(())
}

/// What there is of video only.
fn video(layer: &LayerFigures, value: u64) -> Option<u64> {
    layer.is_video.then_some(value)
}

fn publisher_labels(stream: &str, publisher: &PublisherStatus) -> [Label; 2] {
    let rank = match publisher.rank {
        Rank::Publisher(priority) => priority.0.to_string(),
        Rank::Slate => "slate".to_owned(),
    };
    [("stream", stream.to_owned()), ("priority", rank)]
}

/// Delays as a histogram in seconds.
struct Histogram<'a>(&'a Delays);

impl EncodeMetric for Histogram<'_> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let ends = DELAY_CLASSES.iter().map(|micros| *micros as f64 / 1e6);
        let classes: Vec<_> = ends.chain([f64::INFINITY]).zip(self.0.counts).collect();
        let count = self.0.counts.iter().sum();
        encoder.encode_histogram::<NoLabelSet>(self.0.sum as f64 / 1e6, count, &classes, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
