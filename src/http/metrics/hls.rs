//! The series of what making HLS costs.

use std::fmt;

use prometheus_client::metrics::counter::ConstCounter;

use super::Series;
use crate::egress::hls::store::{Figures, FilingFigures};
use crate::stream::StreamName;

pub(super) fn encode(streams: &[(StreamName, Figures)], out: &mut Series<'_, '_>) -> fmt::Result {
    let cpu = streams.iter().flat_map(|(name, figures)| {
        let works = [
            ("segments", figures.segments),
            ("aac", figures.aac),
            ("ladder", figures.ladder),
        ];
        works.map(|(work, time)| {
            let labels = [("stream", name.to_string()), ("work", work.to_owned())];
            (labels, ConstCounter::new(time.as_secs_f64()))
        })
    });
    out.family("hls_cpu_seconds", "CPU time of making HLS", cpu)?;
    let label = |name: &StreamName| [("stream", name.to_string())];
    type Gauge = (&'static str, &'static str, fn(&Figures) -> f64);
    let gauges: [Gauge; 2] = [
        (
            "hls_ladder_rungs",
            "Rungs of the transcoding ladder that are made",
            |figures| figures.rungs as f64,
        ),
        (
            "hls_ladder_waiting_pictures",
            "Pictures that are not out of the slowest rung yet",
            |figures| figures.ladder_waiting as f64,
        ),
    ];
    for (name, help, value) in gauges {
        let values = streams
            .iter()
            .map(|(name, figures)| (label(name), value(figures)));
        out.gauges(name, help, values)?;
    }
    type Counter = (&'static str, &'static str, fn(&Figures) -> u64);
    let counters: [Counter; 2] = [
        (
            "hls_ladder_pictures",
            "Pictures that the ladder was given, whether it ran or not",
            |figures| figures.ladder_pictures,
        ),
        (
            "hls_ladder_failures",
            "How often the ladder failed",
            |figures| figures.ladder_failures,
        ),
    ];
    for (name, help, value) in counters {
        let values = streams
            .iter()
            .map(|(name, figures)| (label(name), value(figures)));
        out.counters(name, help, values)?;
    }
    Ok(())
}

/// The series of the DVR.
pub(super) fn encode_filing(
    filing: Option<FilingFigures>,
    out: &mut Series<'_, '_>,
) -> fmt::Result {
    const NONE: [(&str, String); 0] = [];
    let Some(filing) = filing else {
        return Ok(());
    };
    let (bytes, segments) = (filing.bytes as f64, filing.segments as f64);
    out.gauges(
        "hls_dvr_bytes",
        "Bytes of segments on disk",
        [(NONE, bytes)],
    )?;
    out.gauges("hls_dvr_segments", "Segments on disk", [(NONE, segments)])?;
    let failures = [(NONE, filing.failures)];
    out.counters(
        "hls_dvr_failures",
        "Files that could not be written or removed",
        failures,
    )
}
