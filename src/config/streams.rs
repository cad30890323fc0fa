//! What happens when publishers come and go, from what is written to what is meant. Pure.

use std::path::PathBuf;
use std::time::Duration;

use toml::Value;

use super::hls::dvr_window;
use super::ladder::{self, Rung, ladder};
use super::value::{flag, invalid, parsed, time};
use super::{Error, duration, raw};
use crate::rtp::PlayoutDelay;
use crate::stream::{StreamName, StreamPattern};

/// The lifetimes of streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Streams {
    /// The rules of streams that have none of their own.
    pub every: StreamRules,
    /// Other rules for some streams. The first whose pattern matches holds.
    pub rules: Vec<(StreamPattern, StreamRules)>,
    /// A file with the pipeline of the slate's picture; none: the picture that comes with the server.
    pub slate_pipeline: Option<PathBuf>,
    /// Where viewers are sent when the server ends, with `{stream}` for the name of their stream;
    /// none: to the same URL again.
    pub drain_url: Option<String>,
}

/// What is settled for each stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRules {
    /// Whether viewers may come before the publisher.
    pub wait_for_publisher: bool,
    /// How long viewers stay without their publisher; zero: they leave with it.
    pub reconnect_grace: Duration,
    /// What a second publisher of a name gets.
    pub second_publisher: SecondPublisher,
    /// How long media may be away until another publisher is taken, or the slate.
    pub stall_after: Duration,
    /// How long a better publisher must have been there to be taken again.
    pub return_after: Duration,
    /// Whether viewers get the slate while there is nothing else.
    pub slate: bool,
    /// How long players are to wait before they show a frame; none: what the publisher says.
    pub playout_delay: Option<PlayoutDelay>,
    /// Its transcoding ladder, as [`Hls::ladder`](super::settings::Hls::ladder); none: that one.
    pub ladder: Option<Vec<Rung>>,
    /// How much of its past is kept, as [`Hls::dvr_window`](super::settings::Hls::dvr_window); none: as much.
    pub dvr_window: Option<Duration>,
}

/// What becomes of a publisher whose stream is being published already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondPublisher {
    /// It takes the stream over.
    Replace,
    /// It is refused.
    Refuse,
    /// It stands by, or the first one does.
    Backup,
}

impl Streams {
    /// The rules of a stream.
    pub fn of(&self, name: &StreamName) -> &StreamRules {
        let own = self.rules.iter().find(|(pattern, _)| pattern.matches(name));
        own.map_or(&self.every, |(_, rules)| rules)
    }
}

impl Default for StreamRules {
    fn default() -> Self {
        Self {
            wait_for_publisher: false,
            reconnect_grace: Duration::from_secs(10),
            second_publisher: SecondPublisher::Replace,
            stall_after: Duration::from_millis(500),
            return_after: Duration::from_secs(5),
            slate: false,
            playout_delay: None,
            ladder: None,
            dvr_window: None,
        }
    }
}

impl SecondPublisher {
    fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Refuse => "refuse",
            Self::Backup => "backup",
        }
    }
}

pub(super) fn streams(raw: raw::Streams) -> Result<Streams, Error> {
    let every = raw::StreamRules {
        wait_for_publisher: raw.wait_for_publisher,
        reconnect_grace: raw.reconnect_grace,
        second_publisher: raw.second_publisher,
        stall_after: raw.stall_after,
        return_after: raw.return_after,
        slate: raw.slate,
        playout_delay: raw.playout_delay,
        ladder: None,
        dvr_window: None,
        name: None,
    };
    let every = rules("streams", every, &StreamRules::default())?;
    let mut some: Vec<(StreamPattern, StreamRules)> = Vec::new();
    for (index, mut own) in raw.rule.into_iter().enumerate() {
        let table = format!("streams.rule[{index}]");
        let key = format!("{table}.name");
        let allowed = "a stream name, or the beginning of names with * after it, each only once";
        let name = own.name.take();
        let shown = name.clone().unwrap_or_else(|| Value::String(String::new()));
        let pattern: Option<StreamPattern> = parsed(&key, name, allowed)?;
        let pattern = pattern.filter(|new| some.iter().all(|(known, _)| known != new));
        let pattern = pattern.ok_or_else(|| invalid(&key, &shown, allowed))?;
        some.push((pattern, rules(&table, own, &every)?));
    }
    let slate_pipeline = match raw.slate_pipeline {
        None => None,
        Some(Value::String(path)) if path.is_empty() => None,
        Some(Value::String(path)) => Some(PathBuf::from(path)),
        Some(value) => {
            let allowed = "the path of a file with a pipeline, or empty for the built-in slate";
            return Err(invalid("streams.slate_pipeline", &value, allowed));
        }
    };
    let drain_url = match raw.drain_url {
        None => None,
        Some(Value::String(url)) if is_url(&url) => Some(url),
        Some(value) => {
            let allowed = "a URL with http or https, such as https://b.example/whep/{stream}";
            return Err(invalid("streams.drain_url", &value, allowed));
        }
    };
    Ok(Streams {
        every,
        rules: some,
        slate_pipeline,
        drain_url,
    })
}

/// The rules in one table; what is not there is as in `default`.
fn rules(table: &str, raw: raw::StreamRules, default: &StreamRules) -> Result<StreamRules, Error> {
    let key = |name: &str| format!("{table}.{name}");
    let long = Duration::from_secs(600);
    Ok(StreamRules {
        wait_for_publisher: flag(
            &key("wait_for_publisher"),
            raw.wait_for_publisher,
            default.wait_for_publisher,
        )?,
        reconnect_grace: time(
            &key("reconnect_grace"),
            raw.reconnect_grace,
            default.reconnect_grace,
            Duration::ZERO..=long,
        )?,
        second_publisher: match raw.second_publisher {
            None => default.second_publisher,
            Some(Value::String(text)) if text == "replace" => SecondPublisher::Replace,
            Some(Value::String(text)) if text == "refuse" => SecondPublisher::Refuse,
            Some(Value::String(text)) if text == "backup" => SecondPublisher::Backup,
            Some(value) => {
                let allowed = "\"replace\", \"refuse\" or \"backup\"";
                return Err(invalid(&key("second_publisher"), &value, allowed));
            }
        },
        stall_after: time(
            &key("stall_after"),
            raw.stall_after,
            default.stall_after,
            Duration::from_millis(100)..=Duration::from_secs(60),
        )?,
        return_after: time(
            &key("return_after"),
            raw.return_after,
            default.return_after,
            Duration::ZERO..=long,
        )?,
        slate: flag(&key("slate"), raw.slate, default.slate)?,
        playout_delay: match raw.playout_delay {
            None => default.playout_delay,
            Some(Value::String(text)) if text.is_empty() => None,
            Some(value) => Some(playout_delay(&key("playout_delay"), &value)?),
        },
        ladder: match raw.ladder {
            None => default.ladder.clone(),
            written => Some(ladder(&key("ladder"), written, &[])?),
        },
        dvr_window: match raw.dvr_window {
            None => default.dvr_window,
            written => Some(dvr_window(&key("dvr_window"), written, Duration::ZERO)?),
        },
    })
}

impl From<&Streams> for raw::Streams {
    fn from(streams: &Streams) -> Self {
        let every = raw::StreamRules::from(&streams.every);
        let own = |(pattern, rules): &(StreamPattern, StreamRules)| raw::StreamRules {
            name: Some(Value::String(pattern.to_string())),
            ..raw::StreamRules::from(rules)
        };
        let path = streams.slate_pipeline.clone().unwrap_or_default();
        Self {
            wait_for_publisher: every.wait_for_publisher,
            reconnect_grace: every.reconnect_grace,
            second_publisher: every.second_publisher,
            stall_after: every.stall_after,
            return_after: every.return_after,
            slate: every.slate,
            playout_delay: every.playout_delay,
            slate_pipeline: Some(path.to_string_lossy().into_owned().into()),
            drain_url: streams.drain_url.clone().map(Value::String),
            rule: streams.rules.iter().map(own).collect(),
        }
    }
}

impl From<&StreamRules> for raw::StreamRules {
    fn from(rules: &StreamRules) -> Self {
        let time = |time| Some(Value::String(duration::format(time)));
        Self {
            name: None,
            wait_for_publisher: Some(rules.wait_for_publisher.into()),
            reconnect_grace: time(rules.reconnect_grace),
            second_publisher: Some(rules.second_publisher.as_str().into()),
            stall_after: time(rules.stall_after),
            return_after: time(rules.return_after),
            slate: Some(rules.slate.into()),
            playout_delay: Some(Value::String(rules.playout_delay.map_or_else(
                String::new,
                |delay| {
                    let [min, max] = [delay.min(), delay.max()].map(duration::format);
                    format!("{min} to {max}")
                },
            ))),
            ladder: rules.ladder.as_deref().map(ladder::printed),
            dvr_window: rules.dvr_window.and_then(time),
        }
    }
}

/// Two times, the least and the most, such as `"0ms to 200ms"`.
fn playout_delay(key: &str, value: &Value) -> Result<PlayoutDelay, Error> {
    let read = || {
        let (min, max) = value.as_str()?.split_once(" to ")?;
        let time = |text: &str| duration::parse(text.trim());
        PlayoutDelay::new(time(min)?, time(max)?)
    };
    let allowed = "two times, the least and the most, such as \"0ms to 200ms\", up to 40.95 s; empty \
                   for what the publisher says";
    read().ok_or_else(|| invalid(key, value, allowed))
}

fn is_url(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        !rest.starts_with('/') && !rest.is_empty() && rest.bytes().all(|c| c.is_ascii_graphic())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Streams, Error> {
        streams(toml::from_str::<raw::Raw>(text).unwrap().streams)
    }

    #[test]
    fn a_rule_overrides_the_common_ones_for_its_streams() {
        let text = r#"
            [streams]
            reconnect_grace = "3s"
            [[streams.rule]]
            name = "final*"
            second_publisher = "backup"
            stall_after = "250ms"
            [[streams.rule]]
            name = "lobby"
            reconnect_grace = "1m"
            slate = true
            playout_delay = "0ms to 200ms"
            ladder = [{ height = 480, bitrate = "800k" }]
            dvr_window = "2h"
        "#;
        let streams = read(text).unwrap();
        assert_eq!(streams.every.second_publisher, SecondPublisher::Replace);
        let (pattern, finals) = &streams.rules[0];
        assert_eq!(pattern.to_string(), "final*");
        assert_eq!(finals.second_publisher, SecondPublisher::Backup);
        assert_eq!(finals.stall_after, Duration::from_millis(250));
        assert_eq!(finals.reconnect_grace, Duration::from_secs(3));
        let (_, lobby) = &streams.rules[1];
        assert_eq!((lobby.reconnect_grace.as_secs(), lobby.slate), (60, true));
        let delay = PlayoutDelay::new(Duration::ZERO, Duration::from_millis(200));
        assert_eq!((finals.playout_delay, lobby.playout_delay), (None, delay));
        let rung = Rung {
            height: 480,
            bitrate: 800_000,
        };
        assert_eq!(lobby.ladder, Some(vec![rung]));
        assert_eq!(finals.ladder, None);
        let windows = (finals.dvr_window, lobby.dvr_window);
        assert_eq!(windows, (None, Some(Duration::from_secs(7_200))));
        let again = toml::to_string(&raw::Streams::from(&streams)).unwrap();
        let again = super::streams(toml::from_str(&again).unwrap()).unwrap();
        assert_eq!(again, streams, "what is printed is what is read");
    }

    #[test]
    fn a_refusal_names_the_rule() {
        for (rule, wanted) in [
            ("", ["streams.rule[0].name", "each only once"]),
            ("name = \"a b\"", ["streams.rule[0].name", "a b"]),
            (
                "name = \"a\"\n[[streams.rule]]\nname = \"a\"",
                ["rule[1].name", "each only once"],
            ),
            (
                "name = \"a\"\nstall_after = \"1ms\"",
                ["rule[0].stall_after", "100ms"],
            ),
            (
                "name = \"a\"\nplayout_delay = \"1s to 100ms\"",
                ["rule[0].playout_delay", "the least and the most"],
            ),
            (
                "name = \"a\"\nsecond_publisher = \"x\"",
                ["rule[0].second_publisher", "backup"],
            ),
            (
                "name = \"a\"\nladder = \"x\"",
                ["rule[0].ladder", "3 rungs"],
            ),
        ] {
            let error = read(&format!("[[streams.rule]]\n{rule}"))
                .unwrap_err()
                .to_string();
            assert!(wanted.iter().all(|part| error.contains(part)), "{error}");
        }
    }
}
