//! The settings of HLS, in the words of what makes and keeps it.

use std::time::Duration;

use super::streams;
use crate::config::Settings;
use crate::dvr::{Dvr, DvrSettings};
use crate::egress::hls::{Library, LibrarySettings};
use crate::media::{HlsSettings, Transcodes};
use crate::stream::StreamPattern;

/// What is kept of streams.
pub(super) fn library_settings(settings: &Settings) -> LibrarySettings {
    LibrarySettings {
        window: settings.hls.window,
        spare: settings.hls.spare_segments,
        hold_back: settings.hls.hold_back,
        waiting: settings.hls.waiting_requests,
        grace: settings.streams.every.reconnect_grace,
        graces: streams::graces(settings),
        dvr_window: settings.hls.dvr_window,
        dvr_windows: dvr_windows(settings),
        linger: settings.hls.linger,
        ..LibrarySettings::default()
    }
}

/// How streams become HLS.
pub(super) fn branch_settings(settings: &Settings) -> HlsSettings {
    HlsSettings {
        segment_target: settings.hls.segment_duration,
        part_target: settings.hls.part_duration,
        aac: settings.hls.aac,
        layers: u8::try_from(settings.hls.layers).unwrap_or(u8::MAX),
        transcodes: Transcodes::new(settings.hls.vp8_transcodes),
        ladder: streams::ladders(settings),
        ..HlsSettings::default()
    }
}

/// How much of the past of some streams is kept. A rule without a window has that of all, as another rule
/// must not be looked at.
fn dvr_windows(settings: &Settings) -> Vec<(StreamPattern, Duration)> {
    let every = settings.hls.dvr_window;
    let rules = settings.streams.rules.iter();
    rules
        .map(|(pattern, rules)| (pattern.clone(), rules.dvr_window.unwrap_or(every)))
        .collect()
}

/// Begins to keep the past of streams, if that of any is wanted. A disk that can't be used costs only that.
pub(super) fn dvr(settings: &Settings, library: &Library) -> Option<Dvr> {
    let directory = settings.hls.dvr_directory.clone()?;
    if !settings.hls.enabled || !library.keeps_past() {
        return None;
    }
    let dvr_settings = DvrSettings {
        directory,
        max_bytes: settings.hls.dvr_max_bytes as u64,
    };
    let started = Dvr::start(&dvr_settings, library.clone());
    started
        .inspect_err(|error| {
            let directory = dvr_settings.directory.display();
            library.filing_counters().handle_failure();
            tracing::error!(%error, %directory, "there is no DVR; all else goes on");
        })
        .ok()
}
