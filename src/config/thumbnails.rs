//! Still pictures, from what is written to what is meant. Pure.

use std::time::Duration;

use super::value::{flag, time, whole};
use super::{Error, raw};

/// Still pictures of what is live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnails {
    /// Whether there are any.
    pub enabled: bool,
    /// The longer side, in pixels.
    pub size: usize,
    /// How long a picture is good.
    pub refresh: Duration,
    /// How many are made at once.
    pub at_once: usize,
}

impl Default for Thumbnails {
    fn default() -> Self {
        Self {
            enabled: true,
            size: 640,
            refresh: Duration::from_secs(5),
            at_once: 2,
        }
    }
}

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
