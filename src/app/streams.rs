//! The settings of streams, in the words of the control plane.

use std::time::Duration;

use super::Error;
use crate::config::{self, Settings, StreamRules};
use crate::gateway::{SecondPublisher, StreamPolicies, StreamPolicy};
use crate::media::publish::SlateSettings;
use crate::media::{LadderSettings, Rung, Transcodes};
use crate::stream::StreamPattern;

pub(super) fn policies(settings: &Settings) -> StreamPolicies {
    let policy = |rules: &StreamRules| StreamPolicy {
        wait_for_publisher: rules.wait_for_publisher,
        reconnect_grace: rules.reconnect_grace,
        second_publisher: match rules.second_publisher {
            config::SecondPublisher::Replace => SecondPublisher::Replace,
            config::SecondPublisher::Refuse => SecondPublisher::Refuse,
            config::SecondPublisher::Backup => SecondPublisher::Backup,
        },
        stall_after: rules.stall_after,
        return_after: rules.return_after,
        slate: rules.slate,
        playout_delay: rules.playout_delay,
    };
    let some = settings.streams.rules.iter();
    StreamPolicies {
        every: policy(&settings.streams.every),
        some: some
            .map(|(pattern, rules)| (pattern.clone(), policy(rules)))
            .collect(),
    }
}

/// How long the playlists of some streams wait for another publisher: as long as their viewers do.
pub(super) fn graces(settings: &Settings) -> Vec<(StreamPattern, Duration)> {
    let rules = settings.streams.rules.iter();
    rules
        .map(|(pattern, rules)| (pattern.clone(), rules.reconnect_grace))
        .collect()
}

/// The transcoding ladders of HLS.
pub(super) fn ladders(settings: &Settings) -> LadderSettings {
    let rungs = |rungs: &[config::Rung]| {
        let rung = |rung: &config::Rung| Rung {
            height: rung.height,
            bitrate: rung.bitrate,
        };
        rungs.iter().map(rung).collect()
    };
    let every = &settings.hls.ladder;
    let rules = settings.streams.rules.iter();
    LadderSettings {
        every: rungs(every),
        // A rule without one has that of all, as another rule must not be looked at.
        some: rules
            .map(|(pattern, rules)| {
                let own = rules.ladder.as_ref().unwrap_or(every);
                (pattern.clone(), rungs(own))
            })
            .collect(),
        streams: Transcodes::new(settings.hls.ladder_streams),
        hardware: settings.hls.ladder_hardware,
    }
}

/// What slates look like. The file is read once, so that a mistake in its path shows at the start.
pub(super) fn slate(settings: &Settings) -> Result<SlateSettings, Error> {
    let Some(path) = &settings.streams.slate_pipeline else {
        return Ok(SlateSettings::default());
    };
    let text = std::fs::read_to_string(path).map_err(|source| Error::Slate {
        path: path.clone(),
        source,
    })?;
    Ok(SlateSettings::with_picture(&text))
}
