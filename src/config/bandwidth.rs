//! Bandwidth adaptation, from what is written to what is meant. Pure.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::settings::Bandwidth;
use super::value::{flag, time, whole};
use super::{Error, raw};

/// What links may be believed to carry.
const BANDWIDTH_KBPS: RangeInclusive<usize> = 10..=1_000_000;

pub(super) fn bandwidth(raw: raw::Bandwidth) -> Result<Bandwidth, Error> {
    let kbps = |key, value, default| whole(key, value, default, BANDWIDTH_KBPS);
    Ok(Bandwidth {
        enabled: flag("media.bandwidth.enabled", raw.enabled, true)?,
        probing: flag("media.bandwidth.probing", raw.probing, true)?,
        start_kbps: kbps("media.bandwidth.start_kbps", raw.start_kbps, 3_000)?,
        floor_kbps: kbps("media.bandwidth.floor_kbps", raw.floor_kbps, 50)?,
        ceiling_kbps: kbps("media.bandwidth.ceiling_kbps", raw.ceiling_kbps, 100_000)?,
        pacing: flag("media.bandwidth.pacing", raw.pacing, true)?,
        pacing_queue_time: time(
            "media.bandwidth.pacing_queue_time",
            raw.pacing_queue_time,
            Duration::from_millis(500),
            Duration::from_millis(50)..=Duration::from_secs(5),
        )?,
        pacing_queue_bytes: whole(
            "media.bandwidth.pacing_queue_bytes",
            raw.pacing_queue_bytes,
            512 * 1024,
            16 * 1024..=64 * 1024 * 1024,
        )?,
    })
}
