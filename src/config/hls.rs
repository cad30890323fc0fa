//! HLS, from what is written to what is meant. Pure.

use std::time::Duration;

use toml::Value;

use super::ladder::ladder;
use super::settings::Hls;
use super::streams::Streams;
use super::value::{flag, invalid, time, token, whole};
use super::{Error, raw};

/// How much of the past is kept; bounded as playlists list all of it.
pub(super) fn dvr_window(
    key: &str,
    value: Option<Value>,
    default: Duration,
) -> Result<Duration, Error> {
    let most = Duration::from_secs(12 * 3_600);
    time(key, value, default, Duration::ZERO..=most)
}

/// A past needs a place.
pub(super) fn check_dvr(hls: &Hls, streams: &Streams) -> Result<(), Error> {
    let rules = streams.rules.iter();
    let own = rules.filter_map(|(_, rules)| rules.dvr_window);
    let wanted = own.chain([hls.dvr_window]).any(|window| !window.is_zero());
    if wanted && hls.dvr_directory.is_none() {
        let allowed = "the path of a directory, as a dvr_window is set";
        let none = Value::String(String::new());
        return Err(invalid(DVR_DIRECTORY, &none, allowed));
    }
    Ok(())
}

const DVR_DIRECTORY: &str = "hls.dvr_directory";

pub(super) fn hls(raw: raw::Hls) -> Result<Hls, Error> {
    let default = Hls::default();
    Ok(Hls {
        enabled: flag("hls.enabled", raw.enabled, default.enabled)?,
        segment_duration: time(
            "hls.segment_duration",
            raw.segment_duration,
            default.segment_duration,
            Duration::from_secs(1)..=Duration::from_secs(10),
        )?,
        part_duration: time(
            "hls.part_duration",
            raw.part_duration,
            default.part_duration,
            Duration::from_millis(200)..=Duration::from_secs(2),
        )?,
        hold_back: time(
            "hls.hold_back",
            raw.hold_back,
            default.hold_back,
            Duration::ZERO..=Duration::from_secs(30),
        )?,
        window: whole("hls.window", raw.window, default.window, 3..=100)?,
        spare_segments: whole(
            "hls.spare_segments",
            raw.spare_segments,
            default.spare_segments,
            1..=100,
        )?,
        dvr_window: dvr_window("hls.dvr_window", raw.dvr_window, default.dvr_window)?,
        dvr_directory: match raw.dvr_directory {
            None => default.dvr_directory,
            Some(Value::String(path)) if path.is_empty() => None,
            Some(Value::String(path)) => Some(path.into()),
            Some(value) => return Err(invalid(DVR_DIRECTORY, &value, "the path of a directory")),
        },
        dvr_max_bytes: whole(
            "hls.dvr_max_bytes",
            raw.dvr_max_bytes,
            default.dvr_max_bytes,
            1 << 20..=1 << 50,
        )?,
        waiting_requests: whole(
            "hls.waiting_requests",
            raw.waiting_requests,
            default.waiting_requests,
            1..=1_000_000,
        )?,
        url_secret: token("hls.url_secret", raw.url_secret)?,
        linger: time(
            "hls.linger",
            raw.linger,
            default.linger,
            Duration::ZERO..=Duration::from_secs(3_600),
        )?,
        aac: flag("hls.aac", raw.aac, default.aac)?,
        layers: whole("hls.layers", raw.layers, default.layers, 1..=4)?,
        vp8_transcodes: whole(
            "hls.vp8_transcodes",
            raw.vp8_transcodes,
            default.vp8_transcodes,
            0..=1000,
        )?,
        ladder: ladder("hls.ladder", raw.ladder, &default.ladder)?,
        ladder_streams: whole(
            "hls.ladder_streams",
            raw.ladder_streams,
            default.ladder_streams,
            0..=1000,
        )?,
        ladder_hardware: flag(
            "hls.ladder_hardware",
            raw.ladder_hardware,
            default.ladder_hardware,
        )?,
    })
}
