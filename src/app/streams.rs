//! The settings of streams, in the words of the control plane.

use std::time::Duration;

use super::Error;
use crate::config::{self, Settings, StreamRules};
use crate::gateway::{SecondPublisher, StreamPolicies, StreamPolicy};
use crate::media::publish::SlateSettings;
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
        answer_timeout: settings.limits.answer_timeout,
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
