//! Still pictures, from what is written to what is meant. Pure.

use std::time::Duration;

use super::settings::Thumbnails;
use super::value::{flag, time, whole};
use super::{Error, raw};

pub(super) fn thumbnails(raw: raw::Thumbnails) -> Result<Thumbnails, Error> {
    let default = Thumbnails::default();
    Ok(Thumbnails {
        enabled: flag("thumbnails.enabled", raw.enabled, default.enabled)?,
        size: whole("thumbnails.size", raw.size, default.size, 16..=1920)?,
        refresh: time(
            "thumbnails.refresh",
            raw.refresh,
            default.refresh,
            Duration::from_secs(1)..=Duration::from_secs(3_600),
        )?,
        at_once: whole("thumbnails.at_once", raw.at_once, default.at_once, 1..=64)?,
    })
}
