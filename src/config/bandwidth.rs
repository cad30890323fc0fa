//! Bandwidth adaptation, from what is written to what is meant. Pure.

use std::ops::RangeInclusive;

use super::settings::Bandwidth;
use super::value::{flag, whole};
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
    })
}
