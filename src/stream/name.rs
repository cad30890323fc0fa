//! The name of a stream, as it stands in the URL.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A valid name of a stream: 1 to [`StreamName::MAX_LEN`] characters out of `A-Z a-z 0-9 - _ . ~`,
/// the first of them a letter or a digit. These need no escaping in a URL, a file name or a metric.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName(Arc<str>);

/// Why a name was refused; the text is for the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamNameError {
    /// There was no name.
    #[error("the stream name is empty; put a name after the last slash of the URL")]
    Empty,
    /// It has too many characters.
    #[error("the stream name is {0} characters long; at most {max} are allowed", max = StreamName::MAX_LEN)]
    TooLong(usize),
    /// It begins with something else than a letter or digit.
    #[error("the stream name begins with {0:?}; it must begin with a letter or a digit")]
    BadStart(char),
    /// It holds a character that is not allowed.
    #[error("the stream name holds {0:?}; allowed are letters, digits and - _ . ~")]
    BadCharacter(char),
}

impl StreamName {
    /// The longest name, in characters.
    pub const MAX_LEN: usize = 64;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StreamName {
    type Err = StreamNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let first = name.chars().next().ok_or(StreamNameError::Empty)?;
        if let Some(bad) = name
            .chars()
            .find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.' | '~'))
        {
            return Err(StreamNameError::BadCharacter(bad));
        }
        if !first.is_ascii_alphanumeric() {
            return Err(StreamNameError::BadStart(first));
        }
        if name.len() > Self::MAX_LEN {
            return Err(StreamNameError::TooLong(name.len()));
        }
        Ok(Self(name.into()))
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_for_urls_are_accepted() {
        for name in ["demo", "a", "Stream-1_b.c~d", &"x".repeat(64)] {
            assert_eq!(name.parse::<StreamName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn a_refusal_says_what_is_wrong() {
        for (name, error) in [
            ("", StreamNameError::Empty),
            (".hidden", StreamNameError::BadStart('.')),
            ("a/b", StreamNameError::BadCharacter('/')),
            ("caf\u{e9}", StreamNameError::BadCharacter('\u{e9}')),
            (&"x".repeat(65), StreamNameError::TooLong(65)),
        ] {
            assert_eq!(name.parse::<StreamName>(), Err(error));
        }
    }
}
