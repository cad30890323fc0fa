//! Which streams a setting is for.

use std::fmt;
use std::str::FromStr;

use super::StreamName;

/// A stream's name, or with `*` at its end all names that begin so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamPattern {
    start: String,
    exact: bool,
}

/// Neither a name nor the beginning of one with `*` after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a stream name, nor the beginning of one with * after it")]
pub struct StreamPatternError;

impl StreamPattern {
    /// Whether the stream is meant.
    pub fn matches(&self, name: &StreamName) -> bool {
        match self.exact {
            true => name.as_str() == self.start,
            false => name.as_str().starts_with(&self.start),
        }
    }
}

impl FromStr for StreamPattern {
    type Err = StreamPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (start, exact) = match text.strip_suffix('*') {
            Some(start) => (start, false),
            None => (text, true),
        };
        // The beginning of a name is a name, but for the empty one.
        let is_name = start.parse::<StreamName>().is_ok();
        if is_name || (start.is_empty() && !exact) {
            let start = start.to_owned();
            return Ok(Self { start, exact });
        }
        Err(StreamPatternError)
    }
}

impl fmt::Display for StreamPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.start)?;
        f.write_str(if self.exact { "" } else { "*" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_the_beginning_of_names() {
        let takes = |pattern: &str, name: &str| {
            let pattern: StreamPattern = pattern.parse().unwrap();
            pattern.matches(&name.parse().unwrap())
        };
        assert!(takes("live", "live") && !takes("live", "live2"));
        assert!(takes("live*", "live") && takes("live*", "live2") && !takes("live*", "liv"));
        assert!(takes("*", "anything"));
    }

    #[test]
    fn what_could_match_nothing_is_refused() {
        for text in ["", "a/b", "a*b", "**", "*a"] {
            assert!(text.parse::<StreamPattern>().is_err(), "{text}");
        }
        assert_eq!("a-*".parse::<StreamPattern>().unwrap().to_string(), "a-*");
    }
}
