//! HLS, from what is written to what is meant. Pure.

use std::time::Duration;

use super::ladder::ladder;
use super::settings::Hls;
use super::value::{flag, time, token, whole};
use super::{Error, raw};

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
