//! `tidegate watch`: plays a WHEP stream without a window and says how it went.
//!
//! It runs against any WHEP server: a diagnostic for people, and with `--json` one for scripts.
//!
//! # The JSON object
//!
//! One line on standard output. Keys are only ever added. Times are milliseconds since the offer was
//! posted; a step that was not reached is `null`.
//!
//! | key | |
//! |---|---|
//! | `ok` | whether media came for the asked duration |
//! | `error`, `failed_at` | only if not: a sentence, and `http`, `answer`, `ice`, `dtls`, `media`, `connection` or `interrupted` |
//! | `url_host` | host and port of the URL |
//! | `created_ms`, `ice_ms`, `connected_ms` | the 201, a working pair of addresses, ICE and DTLS both |
//! | `first_packet_ms`, `first_frame_ms`, `first_keyframe_ms` | any packet; a whole video frame; a whole keyframe |
//! | `duration_s` | seconds from the first packet to the last |
//! | `tracks` | one object a track, see below |
//! | `freezes` | pauses over 200 ms and over three usual intervals between whole video frames |
//! | `latency_ms` | `p50` and `p99` from the clock of the sender reports to the last packet of a frame, or `null` |
//! | `latency_clock` | `same_host`, or `assumed_synchronised`: then it is as right as both machines' NTP |
//!
//! A track has `kind`, `codec`, `packets` (without duplicates), `bytes` and `bitrate_bps` (of payload),
//! `frames` (whole ones), `frames_per_s`, `keyframes`, `lost` (never came, retransmission included),
//! `retransmitted` (came by RTX), `duplicates`, `late` (after 500 ms; counted as lost), `jitter_ms`
//! (RFC 3550), `freezes`, `longest_pause_ms` and `latency_ms`.
//!
//! # Exit status
//!
//! 0 when media came for the asked duration: whole video frames if the server accepted video, else
//! audio packets. 1 otherwise.

mod depayload;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod mp4;
mod output;
mod peer;
mod picture;
mod report;
mod sample_entry;
mod save;
mod tap;
#[cfg(test)]
mod tests;
mod verdict;
mod viewing;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use peer::PeerError;
pub(super) use peer::{local_addresses, media_engine};
pub use save::SaveError;
pub(super) use tap::OFFERED;
pub use verdict::Failure;

use self::output::{SharedClock, Summary};
use self::peer::Peer;
use self::report::Clock;
use self::save::Saver;
use self::viewing::Viewing;
use super::goodbye;
use super::signalling::{Endpoint, SignallingError, Trust};
use crate::config::Secret;

/// The flags of `tidegate watch`.
#[derive(Debug, clap::Args)]
pub struct WatchArgs {
    /// The WHEP URL to play, for example http://127.0.0.1:8080/whep/demo
    #[arg(value_name = "URL")]
    pub url: String,
    /// The bearer token that the server asks for
    #[arg(
        long,
        value_name = "TOKEN",
        env = "TIDEGATE_TOKEN",
        hide_env_values = true
    )]
    pub token: Option<Secret>,
    /// Which servers are believed
    #[command(flatten)]
    pub trust: Trust,
    /// How long to watch from the first packet on, such as 10s, 500ms or 2m; 0 watches until Ctrl-C
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub duration: Duration,
    /// How long to wait for the first packet
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Print one JSON object at the end instead of a table; progress goes to standard error
    #[arg(long)]
    pub json: bool,
    /// Save what comes: .mp4 (H264, H265, AV1, VP9, VP8 and Opus), .ivf (VP8, VP9, AV1), .h264, or .ogg (Opus)
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Print no progress
    #[arg(long, short)]
    pub quiet: bool,
}

/// Why `watch` could not do its work. That a stream does not play is no error: see [`Failure`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// A URL or token that is none.
    #[error(transparent)]
    Endpoint(SignallingError),
    /// No peer on this machine.
    #[error(transparent)]
    Peer(PeerError),
    /// The file could not be written.
    #[error(transparent)]
    Save(SaveError),
    /// The report could not be printed.
    #[error("can't print the report: {0}")]
    Print(#[source] io::Error),
}

/// Watches a stream and prints the report.
///
/// # Errors
/// When the arguments are wrong or this machine cannot do it. A stream that does not play gives a
/// report and exit code 1.
pub async fn run(args: WatchArgs) -> Result<ExitCode, WatchError> {
    let (code, text) = watch(&args).await?;
    let mut out = io::stdout().lock();
    out.write_all(&text)
        .and_then(|()| out.flush())
        .map_err(WatchError::Print)?;
    Ok(code)
}

/// Watches a stream; returns the exit code and the report to print.
async fn watch(args: &WatchArgs) -> Result<(ExitCode, Vec<u8>), WatchError> {
    let token = args.token.as_ref().map(Secret::expose);
    let endpoint = Endpoint::trusting(&args.trust, &args.url, token);
    let endpoint = endpoint.map_err(WatchError::Endpoint)?;
    let saver = args.save.as_deref().map(Saver::create).transpose();
    let saver = saver.map_err(WatchError::Save)?;
    let loopback = endpoint.loopback().await;
    let (peer, events) = Peer::new(&loopback).await.map_err(WatchError::Peer)?;
    let offer = peer.offer().await.map_err(WatchError::Peer)?;
    let clock = Clock {
        instant: Instant::now(),
        unix: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0.0, |since| since.as_secs_f64()),
    };
    let mut viewing = Viewing::new(args, clock, saver);
    let outcome = match endpoint.create(offer).await {
        Ok(session) => {
            viewing.report.created = Some(Instant::now());
            let outcome = viewing.watch(&peer, events, &session.answer).await;
            goodbye(session).await;
            outcome
        }
        Err(error) => Err(Failure::Http(error)),
    };
    peer.close().await;
    viewing.recorder.finish().map_err(WatchError::Save)?;
    let summary = Summary {
        host: &host(&args.url),
        report: &viewing.report,
        failure: outcome.as_ref().err(),
        clock: match loopback.is_empty() {
            false => SharedClock::SameHost,
            true => SharedClock::AssumedSynchronised,
        },
    };
    let mut text = Vec::new();
    match args.json {
        true => summary.write_json(&mut text),
        false => summary.write_table(&mut text),
    }
    .map_err(WatchError::Print)?;
    let code = match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    };
    Ok((code, text))
}

/// Host and port of a URL, without user, path and query: those can hold secrets.
fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    host.to_owned()
}

pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: f64 = digits
        .parse()
        .map_err(|_| "write a number with a unit, such as 10s, 500ms or 2m".to_owned())?;
    let seconds = match &text[digits.len()..] {
        "ms" => number / 1000.0,
        "" | "s" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3600.0,
        unit => {
            return Err(format!(
                "no unit of time is named \"{unit}\": use ms, s, m or h"
            ));
        }
    };
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if duration <= Duration::from_secs(30 * 24 * 3600) => Ok(duration),
        _ => Err("choose a time from 0 to 30 days".to_owned()),
    }
}

#[cfg(test)]
mod flags {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        for text in ["", "s", "10x", "-1s", "1e99s", "nan"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        let command = <WatchArgs as clap::Args>::augment_args(clap::Command::new("watch"));
        command.clone().debug_assert();
        let matches = command.get_matches_from(["watch", "http://x/whep/a", "--duration", "0"]);
        let args = <WatchArgs as clap::FromArgMatches>::from_arg_matches(&matches).unwrap();
        assert_eq!((args.duration, args.json), (Duration::ZERO, false));
    }

    #[test]
    fn the_token_does_not_show_in_debug_output() {
        let command = <WatchArgs as clap::Args>::augment_args(clap::Command::new("watch"));
        let matches = command.get_matches_from(["watch", "http://x/whep/a", "--token", "hush"]);
        let args = <WatchArgs as clap::FromArgMatches>::from_arg_matches(&matches).unwrap();
        assert!(!format!("{args:?}").contains("hush"));
    }

    #[test]
    fn only_the_host_of_a_url_is_printed() {
        assert_eq!(
            host("http://u:p@example.com:8080/whep/x?t=1"),
            "example.com:8080"
        );
        assert_eq!(host("https://[::1]/whep"), "[::1]");
    }
}
