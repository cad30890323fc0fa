//! `/metrics`: what the server counts, in the text format of OpenMetrics, which Prometheus reads.
//!
//! Nothing is counted here: the figures are those of the shards, of the publishers' reports and of the
//! kernel, put into words when somebody asks. There are as many series as there are live streams and
//! layers, which the settings bound. The only user of `prometheus_client`.

mod hls;
mod process;
mod streams;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::AppState;
use super::problem::Problem;
use crate::egress::hls::store::{Figures, FilingFigures};
use crate::gateway::StreamStatus;
use crate::shard::Snapshot;
use crate::stream::StreamName;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The route of the metrics.
pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(State(state): State<AppState>, request: Request) -> Response {
    let (request, _) = request.into_parts();
    let allow_query = state.settings.allow_query_token;
    if let Err(denied) = state.tokens.check_metrics(&request, allow_query) {
        return Problem::Denied(denied).into_response();
    }
    let streams = state.gateway.streams().await;
    let hls = streams
        .iter()
        .filter_map(|stream| Some((stream.name.clone(), state.hls.figures(&stream.name)?)));
    let measured = Measured {
        shards: (state.counters)(),
        hls: hls.collect(),
        filing: state.hls.filing(),
        streams,
    };
    let headers = [
        (header::CONTENT_TYPE, OPEN_METRICS),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, measured.into_text()).into_response()
}

/// All that is shown, at one time.
#[derive(Debug)]
struct Measured {
    shards: Vec<Snapshot>,
    /// Of the streams that have HLS.
    hls: Vec<(StreamName, Figures)>,
    filing: Option<FilingFigures>,
    streams: Arc<[StreamStatus]>,
}

impl Measured {
    fn into_text(self) -> String {
        let mut registry = Registry::with_prefix("tidegate");
        registry.register_collector(Box::new(self));
        let mut process = Registry::default();
        process.register_collector(Box::new(process::Process));
        let mut text = String::new();
        // Writing into a string never fails.
        let written = encode_registry(&mut text, &registry)
            .and_then(|()| encode_registry(&mut text, &process))
            .and_then(|()| encode_eof(&mut text));
        debug_assert!(written.is_ok());
        text
    }
}

impl Collector for Measured {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Series(&mut encoder);
        let version = [("version", env!("CARGO_PKG_VERSION").to_owned())];
        out.gauges("build", "The version that runs", [(version, 1.0)])?;
        let first = self.shards.first().copied().unwrap_or_default();
        for (index, (name, help, _)) in first.each().enumerate() {
            let of_shard = |(shard, snapshot): (usize, &Snapshot)| {
                let (_, _, value) = snapshot.each().nth(index)?;
                Some(([("shard", shard.to_string())], value))
            };
            let values = self.shards.iter().enumerate().filter_map(of_shard);
            out.counters(&format!("shard_{name}"), help.trim_end_matches('.'), values)?;
        }
        streams::encode(&self.streams, &mut out)?;
        hls::encode(&self.hls, &mut out)?;
        hls::encode_filing(self.filing, &mut out)
    }
}

/// Writes families of one kind each.
struct Series<'a, 'e>(&'a mut DescriptorEncoder<'e>);

impl Series<'_, '_> {
    fn counters<L: Labels>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let values = values
            .into_iter()
            .map(|(labels, value)| (labels, ConstCounter::new(value)));
        self.family(name, help, values)
    }

    fn gauges<L: Labels>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, f64)>,
    ) -> fmt::Result {
        let values = values
            .into_iter()
            .map(|(labels, value)| (labels, ConstGauge::new(value)));
        self.family(name, help, values)
    }

    fn family<L: Labels, M: EncodeMetric>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, M)>,
    ) -> fmt::Result {
        let mut values = values.into_iter().peekable();
        let Some((_, first)) = values.peek() else {
            return Ok(()); // a family without series says nothing
        };
        let kind = first.metric_type();
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, metric) in values {
            let labels: Vec<(&str, String)> = labels.into_iter().collect();
            metric.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// What tells the series of a family apart.
trait Labels: IntoIterator<Item = (&'static str, String)> {}

impl<L: IntoIterator<Item = (&'static str, String)>> Labels for L {}
