//! What `watch` prints: lines while it runs, a table or a JSON object at the end.
//!
//! Writes to whatever it is given; keys and columns only grow, since scripts read them.

use std::io::{self, Write};
use std::time::Instant;

use serde::Serialize;

use super::report::{Latency, Report, Track, milliseconds};
use super::verdict::Failure;
use crate::rtp::MediaKind;

/// Whether the clock of the sender's reports is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SharedClock {
    /// The server is on this machine.
    SameHost,
    /// The latency is right only if both machines are synchronised.
    AssumedSynchronised,
}

/// The end of a viewing, as it is printed.
pub(super) struct Summary<'a> {
    pub(super) host: &'a str,
    pub(super) report: &'a Report,
    pub(super) failure: Option<&'a Failure>,
    pub(super) clock: SharedClock,
}

/// The totals at the last line, to print what a second brought.
#[derive(Default)]
pub(super) struct Progress {
    totals: Vec<(u64, u64, u64)>,
    at: Option<Instant>,
}

impl Progress {
    /// One line about the time since the last one.
    pub(super) fn line(
        &mut self,
        out: &mut impl Write,
        report: &Report,
        now: Instant,
    ) -> io::Result<()> {
        let seconds = report
            .since_start(Some(now))
            .map_or(0.0, |milliseconds| milliseconds / 1000.0);
        let span = self
            .at
            .replace(now)
            .map_or(seconds, |at| {
                now.saturating_duration_since(at).as_secs_f64()
            })
            .max(0.001);
        write!(out, "{seconds:6.1} s")?;
        if report.tracks.is_empty() {
            let step = match (report.created, report.ice, report.connected) {
                (_, _, Some(_)) => "connected, waiting for media",
                (_, Some(_), None) => "addresses found, waiting for DTLS",
                (Some(_), ..) => "session made, looking for a pair of addresses",
                _ => "waiting for the server's answer",
            };
            return writeln!(out, "  {step}");
        }
        self.totals.resize(report.tracks.len(), (0, 0, 0));
        for (track, total) in report.tracks.iter().zip(&mut self.totals) {
            let now = (track.bytes, track.frames, track.lost());
            let bits = (now.0 - total.0) as f64 * 8.0 / span / 1000.0;
            write!(out, "  {} {bits:.0} kbit/s", track.codec)?;
            if track.codec.kind() == MediaKind::Video {
                write!(out, " {:.1} frames/s", (now.1 - total.1) as f64 / span)?;
            }
            write!(out, " {} lost", now.2 - total.2)?;
            *total = now;
        }
        writeln!(out)
    }
}

impl Summary<'_> {
    /// The whole report as one JSON object on one line.
    pub(super) fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        let report = self.report;
        let at = |instant| report.since_start(instant).map(round);
        let json = Json {
            ok: self.failure.is_none(),
            error: self.failure.map(ToString::to_string),
            failed_at: self.failure.map(Failure::stage),
            url_host: self.host,
            created_ms: at(report.created),
            ice_ms: at(report.ice),
            connected_ms: at(report.connected),
            first_packet_ms: at(report.earliest(|track| Some(track.first))),
            first_frame_ms: at(report.earliest(|track| {
                (track.codec.kind() == MediaKind::Video)
                    .then_some(track.first_frame)
                    .flatten()
            })),
            first_keyframe_ms: at(report.earliest(|track| track.first_keyframe)),
            duration_s: round(self.media_seconds()),
            tracks: report.tracks.iter().map(JsonTrack::from).collect(),
            freezes: report.freezes(),
            latency_ms: report.latency().map(JsonLatency::from),
            latency_clock: self.clock,
        };
        serde_json::to_writer(&mut *out, &json)?;
        writeln!(out)
    }

    /// The whole report for people.
    pub(super) fn write_table(&self, out: &mut impl Write) -> io::Result<()> {
        let report = self.report;
        let line = |out: &mut dyn Write, name: &str, at| match report.since_start(at) {
            Some(ms) => writeln!(out, "{name:<26}{ms:>9.1} ms"),
            None => writeln!(out, "{name:<26}{:>9}", "-"),
        };
        writeln!(out, "\nfrom the POST to")?;
        line(out, "  201 Created", report.created)?;
        line(out, "  ICE", report.ice)?;
        line(out, "  ICE and DTLS", report.connected)?;
        line(out, "  first packet", report.earliest(|t| Some(t.first)))?;
        line(out, "  first frame", report.earliest(|t| t.first_frame))?;
        line(
            out,
            "  first keyframe",
            report.earliest(|t| t.first_keyframe),
        )?;
        if !report.tracks.is_empty() {
            writeln!(
                out,
                "\n{:<6}{:>9}{:>12}{:>9}{:>10}{:>6}{:>7}{:>9}{:>7}{:>7}{:>10}",
                "track",
                "packets",
                "kbit/s",
                "frames",
                "frames/s",
                "keys",
                "lost",
                "resent",
                "twice",
                "late",
                "jitter"
            )?;
        }
        for track in &report.tracks {
            writeln!(
                out,
                "{:<6}{:>9}{:>12.1}{:>9}{:>10.1}{:>6}{:>7}{:>9}{:>7}{:>7}{:>7.1} ms",
                track.codec.name(),
                track.packets,
                track.bitrate() / 1000.0,
                track.frames,
                track.frame_rate(),
                track.keyframes,
                track.lost(),
                track.retransmitted,
                track.duplicates,
                track.late,
                track.jitter()
            )?;
        }
        writeln!(out)?;
        let pause = report.tracks.iter().map(|track| track.longest_pause).max();
        writeln!(
            out,
            "{} freezes, longest pause between frames {:.0} ms, {:.1} s of media",
            report.freezes(),
            pause.map_or(0.0, milliseconds),
            self.media_seconds()
        )?;
        match report.latency() {
            Some(Latency { p50, p99 }) => writeln!(
                out,
                "latency by sender reports: p50 {p50:.1} ms, p99 {p99:.1} ms ({})",
                match self.clock {
                    SharedClock::SameHost => "same machine, same clock",
                    SharedClock::AssumedSynchronised =>
                        "true only if both machines are synchronised by NTP",
                }
            )?,
            None => writeln!(
                out,
                "latency: unknown (no sender report with a wall clock like ours)"
            )?,
        }
        match self.failure {
            Some(failure) => writeln!(out, "FAILED at {failure}"),
            None => writeln!(out, "ok"),
        }
    }

    /// From the first packet of any track to the last.
    fn media_seconds(&self) -> f64 {
        let first = self.report.earliest(|track| Some(track.first));
        match (first, self.report.last_packet()) {
            (Some(first), Some(last)) => last.duration_since(first).as_secs_f64(),
            _ => 0.0,
        }
    }
}

#[derive(Serialize)]
struct Json<'a> {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_at: Option<&'static str>,
    url_host: &'a str,
    created_ms: Option<f64>,
    ice_ms: Option<f64>,
    connected_ms: Option<f64>,
    first_packet_ms: Option<f64>,
    first_frame_ms: Option<f64>,
    first_keyframe_ms: Option<f64>,
    duration_s: f64,
    tracks: Vec<JsonTrack>,
    freezes: u64,
    latency_ms: Option<JsonLatency>,
    latency_clock: SharedClock,
}

#[derive(Serialize)]
struct JsonTrack {
    kind: &'static str,
    codec: &'static str,
    packets: u64,
    bytes: u64,
    bitrate_bps: f64,
    frames: u64,
    frames_per_s: f64,
    keyframes: u64,
    lost: u64,
    retransmitted: u64,
    duplicates: u64,
    late: u64,
    jitter_ms: f64,
    freezes: u64,
    longest_pause_ms: f64,
    latency_ms: Option<JsonLatency>,
}

impl From<&Track> for JsonTrack {
    fn from(track: &Track) -> Self {
        Self {
            kind: track.codec.kind().as_str(),
            codec: track.codec.name(),
            packets: track.packets,
            bytes: track.bytes,
            bitrate_bps: track.bitrate().round(),
            frames: track.frames,
            frames_per_s: round(track.frame_rate()),
            keyframes: track.keyframes,
            lost: track.lost(),
            retransmitted: track.retransmitted,
            duplicates: track.duplicates,
            late: track.late,
            jitter_ms: round(track.jitter()),
            freezes: track.freezes,
            longest_pause_ms: round(milliseconds(track.longest_pause)),
            latency_ms: track.latency().map(JsonLatency::from),
        }
    }
}

#[derive(Serialize)]
struct JsonLatency {
    p50: f64,
    p99: f64,
}

impl From<Latency> for JsonLatency {
    fn from(latency: Latency) -> Self {
        Self {
            p50: latency.p50,
            p99: latency.p99,
        }
    }
}

/// Three digits after the point: a microsecond of a millisecond is noise already.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::super::frame::Packet;
    use super::super::report::Clock;
    use super::*;
    use crate::rtp::Codec;

    fn report() -> (Instant, Report) {
        let start = Instant::now();
        let mut report = Report::new(Clock {
            instant: start,
            unix: 0.0,
        });
        report.created = Some(start + Duration::from_millis(5));
        for number in 0..26u16 {
            let packet = Packet {
                sequence: number,
                timestamp: u32::from(number) * 3600,
                marker: true,
                payload: Bytes::from_static(&[0x10, 0x00, 0xff, 0xff]),
            };
            let at = start + Duration::from_millis(100 + 40 * u64::from(number));
            report.handle_packet(at, 1, Codec::Vp8, false, packet, |_, _| {});
        }
        (start, report)
    }

    fn summary<'a>(report: &'a Report, failure: Option<&'a Failure>) -> Summary<'a> {
        Summary {
            host: "example.com",
            report,
            failure,
            clock: SharedClock::AssumedSynchronised,
        }
    }

    #[test]
    fn scripts_find_their_keys() {
        let (_, report) = report();
        let mut text = Vec::new();
        summary(&report, None).write_json(&mut text).unwrap();
        assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 1);
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(json["ok"], true);
        assert_eq!(json["created_ms"], 5.0);
        assert_eq!(json["first_keyframe_ms"], 100.0);
        assert_eq!(json["duration_s"], 1.0);
        assert_eq!(json["latency_clock"], "assumed_synchronised");
        for key in ["connected_ms", "ice_ms", "latency_ms"] {
            assert!(
                json.get(key).is_some_and(serde_json::Value::is_null),
                "{key}"
            );
        }
        assert!(json.get("error").is_none());
        let track = &json["tracks"][0];
        assert_eq!(
            (&track["packets"], &track["bytes"]),
            (&26.into(), &104.into())
        );
        assert_eq!(track["bitrate_bps"], 832.0);
        assert_eq!(track["frames_per_s"], 25.0);
    }

    #[test]
    fn people_read_what_failed() {
        let (_, report) = report();
        let mut text = Vec::new();
        summary(&report, Some(&Failure::NoVideo))
            .write_table(&mut text)
            .unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("FAILED at media: only audio came"), "{text}");
        assert!(text.contains("latency: unknown"), "{text}");
    }

    #[test]
    fn progress_tells_what_came_since_the_last_line() {
        let (start, report) = report();
        let mut progress = Progress::default();
        let mut text = Vec::new();
        let first = start + Duration::from_secs(1);
        progress.line(&mut text, &report, first).unwrap();
        progress
            .line(&mut text, &report, first + Duration::from_secs(1))
            .unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert!(
            lines[0].contains("VP8 1 kbit/s 26.0 frames/s 0 lost"),
            "{text}"
        );
        assert!(
            lines[1].contains("VP8 0 kbit/s 0.0 frames/s 0 lost"),
            "{text}"
        );
    }
}
