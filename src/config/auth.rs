//! Tokens, from what is written to what is meant. Pure.

use std::collections::BTreeMap;

use toml::Value;

use super::settings::{Auth, StreamAuth};
use super::value::{flag, invalid, parsed, token};
use super::{Error, raw};
use crate::stream::StreamName;

pub(super) fn auth(raw: raw::Auth) -> Result<Auth, Error> {
    let mut streams = BTreeMap::new();
    for (index, stream) in raw.stream.into_iter().enumerate() {
        let key = |name: &str| format!("auth.stream[{index}].{name}");
        let allowed = "a stream name (letters, digits and - _ . ~), each only once";
        let missing = || invalid(&key("name"), &Value::String(String::new()), allowed);
        let shown = stream.name.clone().ok_or_else(missing)?;
        let name: StreamName = parsed(&key("name"), stream.name, allowed)?.ok_or_else(missing)?;
        let tokens = StreamAuth {
            publish_token: token(&key("publish_token"), stream.publish_token)?,
            play_token: token(&key("play_token"), stream.play_token)?,
        };
        if streams.insert(name, tokens).is_some() {
            return Err(invalid(&key("name"), &shown, allowed));
        }
    }
    Ok(Auth {
        publish_token: token("auth.publish_token", raw.publish_token)?,
        play_token: token("auth.play_token", raw.play_token)?,
        metrics_token: token("auth.metrics_token", raw.metrics_token)?,
        allow_query_token: flag("auth.allow_query_token", raw.allow_query_token, false)?,
        streams,
    })
}
