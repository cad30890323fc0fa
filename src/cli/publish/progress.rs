//! What `publish` prints: a line each second, and one at the end; for people or as JSON.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::PublishError;
use crate::media::publish::Stats;

/// Prints to the standard output, and remembers what the last line said.
pub(super) struct Output {
    json: bool,
    /// When the offer was sent, and when media could flow.
    asked: Instant,
    connected: Option<Instant>,
    /// Of the latest line.
    seconds: f64,
    previous: Stats,
}

impl Output {
    pub(super) fn new(json: bool, asked: Instant) -> Self {
        Self {
            json,
            asked,
            connected: None,
            seconds: 0.0,
            previous: Stats::default(),
        }
    }

    /// Media can flow from now on.
    pub(super) fn connected(&mut self, now: Instant) -> io::Result<()> {
        self.connected = Some(now);
        if self.json {
            return Ok(());
        }
        let after = (now - self.asked).as_millis();
        writeln!(
            io::stdout().lock(),
            "connected after {after} ms; publishing"
        )
    }

    /// What happened since the previous line.
    pub(super) fn progress(&mut self, now: Instant, stats: &Stats) -> io::Result<()> {
        let seconds = self.seconds_at(now);
        let span = seconds - self.seconds;
        let line = Line::new("progress", seconds, span, stats, &self.previous);
        (self.seconds, self.previous) = (seconds, *stats);
        self.print(&line)
    }

    /// What happened in all.
    pub(super) fn summary(
        &mut self,
        now: Instant,
        stats: &Stats,
        error: Option<&PublishError>,
    ) -> io::Result<()> {
        let seconds = self.seconds_at(now);
        let mut line = Line::new("summary", seconds, seconds, stats, &Stats::default());
        line.connect_ms = self.connected.map(|at| milliseconds(at - self.asked));
        line.ok = Some(error.is_none());
        line.error = error.map(ToString::to_string);
        self.print(&line)
    }

    fn seconds_at(&self, now: Instant) -> f64 {
        self.connected.map_or(0.0, |at| (now - at).as_secs_f64())
    }

    fn print(&self, line: &Line) -> io::Result<()> {
        let text = if self.json {
            serde_json::to_string(line)?
        } else {
            line.to_string()
        };
        writeln!(io::stdout().lock(), "{text}")
    }
}

/// One line. The names are an interface: scripts read them.
#[derive(Debug, Serialize)]
struct Line {
    event: &'static str,
    /// Since media began to flow.
    seconds: f64,
    /// Sent, RTP headers and retransmissions included.
    bitrate_bps: u64,
    fps: f64,
    frames: u64,
    keyframes: u64,
    packets_sent: u64,
    packets_lost: u64,
    retransmitted: u64,
    keyframe_requests: u64,
    rtt_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ok: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Line {
    fn new(event: &'static str, seconds: f64, span: f64, stats: &Stats, previous: &Stats) -> Self {
        let per_second = |now: u64, before: u64| {
            if span > 0.0 {
                now.saturating_sub(before) as f64 / span
            } else {
                0.0
            }
        };
        let tenths = |value: f64| (value * 10.0).round() / 10.0;
        Self {
            event,
            seconds: tenths(seconds),
            bitrate_bps: (per_second(stats.bytes_sent, previous.bytes_sent) * 8.0) as u64,
            fps: tenths(per_second(stats.frames, previous.frames)),
            frames: stats.frames,
            keyframes: stats.keyframes,
            packets_sent: stats.packets_sent,
            packets_lost: stats.packets_lost,
            retransmitted: stats.retransmitted,
            keyframe_requests: stats.keyframe_requests,
            rtt_ms: stats.round_trip.map(milliseconds),
            connect_ms: None,
            ok: None,
            error: None,
        }
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.ok.is_some() {
            write!(f, "in all: ")?;
        }
        write!(
            f,
            "{:>5.0} s  {:>6} kbit/s  {:>5.1} fps  {} frames  {} packets  {} lost",
            self.seconds,
            self.bitrate_bps / 1000,
            self.fps,
            self.frames,
            self.packets_sent,
            self.packets_lost,
        )?;
        match self.rtt_ms {
            Some(rtt) => write!(f, "  rtt {rtt} ms"),
            None => Ok(()),
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e4).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_last_span_and_counters_of_all() {
        let before = Stats {
            frames: 30,
            bytes_sent: 100_000,
            ..Stats::default()
        };
        let now = Stats {
            frames: 60,
            bytes_sent: 225_000,
            round_trip: Some(Duration::from_micros(1234)),
            ..Stats::default()
        };
        let line = Line::new("progress", 2.0, 1.0, &now, &before);
        let json: serde_json::Value = serde_json::to_value(&line).unwrap();
        assert_eq!(json["bitrate_bps"], 1_000_000);
        assert_eq!(json["fps"], 30.0);
        assert_eq!(json["frames"], 60);
        assert_eq!(json["rtt_ms"], 1.2);
        assert!(json.get("ok").is_none(), "only the summary tells success");
    }

    #[test]
    fn a_summary_of_nothing_divides_by_nothing() {
        let line = Line::new("summary", 0.0, 0.0, &Stats::default(), &Stats::default());
        assert_eq!((line.fps, line.bitrate_bps), (0.0, 0));
    }
}
