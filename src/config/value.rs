//! Readers for one written value each. A refusal names the key, the value and what is allowed.
//!
//! Numbers and switches may be text as well: the environment and flags have nothing else.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use toml::Value;

use super::{Error, Secret, duration};

const MAX_TOKEN_LEN: usize = 256;

pub(super) fn parsed<T: FromStr>(
    key: &str,
    value: Option<Value>,
    allowed: &str,
) -> Result<Option<T>, Error> {
    let Some(value) = value else { return Ok(None) };
    let parsed = value.as_str().and_then(|text| text.parse().ok());
    parsed
        .map(Some)
        .ok_or_else(|| invalid(key, &value, allowed))
}

pub(super) fn flag(key: &str, value: Option<Value>, default: bool) -> Result<bool, Error> {
    let Some(value) = value else {
        return Ok(default);
    };
    let flag = value.as_bool().or_else(|| value.as_str()?.parse().ok());
    flag.ok_or_else(|| invalid(key, &value, "true or false"))
}

pub(super) fn whole(
    key: &str,
    value: Option<Value>,
    default: usize,
    range: RangeInclusive<usize>,
) -> Result<usize, Error> {
    let Some(value) = value else {
        return Ok(default);
    };
    number(&value)
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            invalid(
                key,
                &value,
                format!("a whole number from {} to {}", range.start(), range.end()),
            )
        })
}

pub(super) fn power_of_two(
    key: &str,
    value: Option<Value>,
    default: usize,
    range: RangeInclusive<usize>,
) -> Result<usize, Error> {
    let Some(value) = value else {
        return Ok(default);
    };
    number(&value)
        .filter(|number| number.is_power_of_two() && range.contains(number))
        .ok_or_else(|| {
            invalid(
                key,
                &value,
                format!("a power of two from {} to {}", range.start(), range.end()),
            )
        })
}

pub(super) fn time(
    key: &str,
    value: Option<Value>,
    default: Duration,
    range: RangeInclusive<Duration>,
) -> Result<Duration, Error> {
    let Some(value) = value else {
        return Ok(default);
    };
    let time = value
        .as_str()
        .and_then(duration::parse)
        .filter(|time| range.contains(time));
    time.ok_or_else(|| {
        let (least, most) = (
            duration::format(*range.start()),
            duration::format(*range.end()),
        );
        invalid(
            key,
            &value,
            format!("a duration in quotes from \"{least}\" to \"{most}\""),
        )
    })
}

/// A bearer token can only be what the header may carry (RFC 6750, section 2.1).
pub(super) fn token(key: &str, value: Option<Value>) -> Result<Option<Secret>, Error> {
    let Some(value) = value else { return Ok(None) };
    let wrong = match value.as_str() {
        None => "no text",
        Some("") => "empty",
        Some(text) if text.len() > MAX_TOKEN_LEN => "too long",
        Some(text) if !text.bytes().all(is_token_byte) => "text with other characters",
        Some(text) => return Ok(Some(Secret::new(text))),
    };
    Err(Error::Invalid {
        key: key.to_owned(),
        value: wrong.to_owned(),
        allowed: format!("1 to {MAX_TOKEN_LEN} letters, digits and - . _ ~ + / = in quotes"),
    })
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
}

fn number(value: &Value) -> Option<usize> {
    match value {
        Value::Integer(number) => usize::try_from(*number).ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// A list, or text with commas.
pub(super) fn words(value: Value) -> Option<Vec<String>> {
    match value {
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect(),
        Value::String(text) => {
            let words = text
                .split(',')
                .map(str::trim)
                .filter(|word| !word.is_empty());
            Some(words.map(str::to_owned).collect())
        }
        _ => None,
    }
}

pub(super) fn invalid(key: &str, value: &Value, allowed: impl Display) -> Error {
    Error::Invalid {
        key: key.to_owned(),
        value: value.to_string(),
        allowed: allowed.to_string(),
    }
}
