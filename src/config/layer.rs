//! One source of settings before any check: a tree of keys.

use std::fs;
use std::path::Path;

use serde::Deserialize as _;
use toml::{Table, Value};

use super::Error;
use super::raw::Raw;

/// The keys that one source sets. It may hold secrets, so it has no `Debug`.
#[derive(Default)]
pub struct Layer(Table);

impl Layer {
    /// Reads a TOML file.
    ///
    /// # Errors
    ///
    /// [`Error::Unreadable`], or [`Error::Malformed`] with the line.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(|source| Error::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::from_text(&text, path)
    }

    /// Reads TOML; `path` is for the error text.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] with the line.
    pub fn from_text(text: &str, path: &Path) -> Result<Self, Error> {
        let malformed = |error: &toml::de::Error| malformed(error, text, path);
        // The typed reading finds unknown keys while their line is still known.
        toml::from_str::<Raw>(text).map_err(|error| malformed(&error))?;
        toml::from_str(text)
            .map(Self)
            .map_err(|error| malformed(&error))
    }

    /// Sets `key`, such as `limits.sessions`.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        let mut table = &mut self.0;
        let mut parts = key.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                table.insert(part.to_owned(), Value::String(value.into()));
                return;
            }
            let child = table
                .entry(part)
                .or_insert_with(|| Value::Table(Table::new()));
            match child {
                Value::Table(child) => table = child,
                _ => return,
            }
        }
    }

    /// Takes `key` out, if it is set.
    pub(super) fn remove(&mut self, key: &str) {
        let mut table = &mut self.0;
        let mut parts = key.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                table.remove(part);
                return;
            }
            let Some(Value::Table(child)) = table.get_mut(part) else {
                return;
            };
            table = child;
        }
    }

    /// What `key` is set to, if that is text.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        let mut parts = key.split('.');
        let first = self.0.get(parts.next()?);
        parts
            .fold(first, |value, part| value?.get(part))
            .and_then(Value::as_str)
    }

    /// Puts what `over` sets in the place of what is here.
    pub fn overlay(&mut self, over: Self) {
        merge(&mut self.0, over.0);
    }

    /// Whether `key` is set.
    #[cfg(test)]
    pub(super) fn has(&self, key: &str) -> bool {
        let mut table = Some(&self.0);
        let mut found = None;
        for part in key.split('.') {
            found = table.and_then(|table| table.get(part));
            table = found.and_then(|value| match value {
                Value::Array(items) => items.first().and_then(Value::as_table),
                value => value.as_table(),
            });
        }
        found.is_some()
    }

    pub(super) fn into_raw(self) -> Result<Raw, Error> {
        Raw::deserialize(self.0).map_err(|error| Error::Invalid {
            key: "configuration".to_owned(),
            value: error.message().to_owned(),
            allowed: "what the example configuration shows".to_owned(),
        })
    }
}

fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => merge(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// Without the quoted line of the parser's own text: it could show a token.
fn malformed(error: &toml::de::Error, text: &str, path: &Path) -> Error {
    let start = error.span().map_or(0, |span| span.start);
    let line = 1 + text
        .bytes()
        .take(start)
        .filter(|&byte| byte == b'\n')
        .count();
    Error::Malformed {
        path: path.to_owned(),
        line,
        message: error.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        match Layer::from_text(text, Path::new("t.toml")) {
            Ok(_) => panic!("{text:?} was accepted"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_the_known_ones() {
        let message = refusal("listen = \"[::]:1\"\n[limits]\nsesions = 3\n");
        assert!(message.contains("t.toml, line 3"), "{message}");
        assert!(
            message.contains("sesions") && message.contains("`sessions`"),
            "{message}"
        );
    }

    #[test]
    fn a_mistake_in_the_line_of_a_token_does_not_show_the_token() {
        for text in [
            "[auth]\npublish_token = \"s3cret",
            "[auth]\npublish_tokn = \"s3cret\"",
        ] {
            let message = refusal(text);
            assert!(
                message.contains("line 2") && !message.contains("s3cret"),
                "{message}"
            );
        }
    }

    #[test]
    fn setting_a_key_keeps_its_neighbours() {
        let mut layer = Layer::from_text("[hls]\nwindow = 4\n", Path::new("t.toml")).unwrap();
        let mut over = Layer::default();
        over.set("hls.linger", "1s");
        layer.overlay(over);
        assert!(layer.has("hls.window") && layer.has("hls.linger"));
        layer.remove("hls.window");
        layer.remove("hls.window.inside");
        layer.remove("limits.sessions");
        assert!(!layer.has("hls.window"));
        assert_eq!(layer.text("hls.linger"), Some("1s"));
        for other in ["hls", "hls.linger.inside", "limits.sessions"] {
            assert_eq!(layer.text(other), None, "{other}");
        }
    }
}
