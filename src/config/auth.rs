//! Tokens, from what is written to what is meant. Pure.

use std::collections::BTreeMap;

use toml::Value;

use super::secret::Secret;
use super::settings::{Auth, StreamAuth};
use super::streams::{SecondPublisher, Streams};
use super::value::{flag, invalid, parsed, token};
use super::{Error, raw};
use crate::stream::StreamName;

/// Validates the tokens; `rules` tell which streams may have a backup.
pub(super) fn auth(raw: raw::Auth, rules: &Streams) -> Result<Auth, Error> {
    let publish_token = token("auth.publish_token", raw.publish_token)?;
    let mut streams = BTreeMap::new();
    for (index, stream) in raw.stream.into_iter().enumerate() {
        let key = |name: &str| format!("auth.stream[{index}].{name}");
        let allowed = "a stream name (letters, digits and - _ . ~), each only once";
        let missing = || invalid(&key("name"), &Value::String(String::new()), allowed);
        let shown = stream.name.clone().ok_or_else(missing)?;
        let name: StreamName = parsed(&key("name"), stream.name, allowed)?.ok_or_else(missing)?;
        let tokens = StreamAuth {
            publish_token: token(&key("publish_token"), stream.publish_token)?,
            backup_token: token(&key("backup_token"), stream.backup_token)?,
            play_token: token(&key("play_token"), stream.play_token)?,
        };
        if let Some(backup) = &tokens.backup_token {
            let publish = tokens.publish_token.as_ref().or(publish_token.as_ref());
            let second = rules.of(&name).second_publisher;
            check_backup(backup, publish, second).map_err(|allowed| Error::Invalid {
                key: key("backup_token"),
                value: "set".to_owned(),
                allowed: allowed.to_owned(),
            })?;
        }
        if streams.insert(name, tokens).is_some() {
            return Err(invalid(&key("name"), &shown, allowed));
        }
    }
    Ok(Auth {
        publish_token,
        play_token: token("auth.play_token", raw.play_token)?,
        metrics_token: token("auth.metrics_token", raw.metrics_token)?,
        allow_query_token: flag("auth.allow_query_token", raw.allow_query_token, false)?,
        streams,
    })
}

/// Whether a token for backups bounds what its holder can do; the error says what has to be so.
fn check_backup(
    backup: &Secret,
    publish: Option<&Secret>,
    second: SecondPublisher,
) -> Result<(), &'static str> {
    match publish {
        // Everybody who may publish without a token would go before it.
        None => Err("only beside a publish_token, of the stream or in auth"),
        Some(publish) if publish == backup => Err("another token than the publish_token"),
        // Elsewhere there is no priority, and the second publisher may take the stream over.
        Some(_) if second != SecondPublisher::Backup => {
            Err("only for a stream whose second_publisher is \"backup\"")
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_for_backups_needs_somebody_who_goes_first() {
        let (one, other) = (Secret::new("one"), Secret::new("other"));
        let (backup, replace) = (SecondPublisher::Backup, SecondPublisher::Replace);
        for (publish, second, is_right) in [
            (Some(&other), backup, true),
            (Some(&one), backup, false),
            (None, backup, false),
            (Some(&other), replace, false),
            (Some(&other), SecondPublisher::Refuse, false),
        ] {
            let checked = check_backup(&one, publish, second);
            assert_eq!(checked.is_ok(), is_right, "{publish:?}, {second:?}");
        }
    }
}
