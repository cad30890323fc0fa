//! The line structure that offers and trickle fragments share: `x=value`, one a line (RFC 8866,
//! section 5), read under limits.
//!
//! This is our own reader and not [`rtc::sdp`], although that one neither panics nor takes
//! quadratic time: it knows no fragments (RFC 8840), whose first line is an attribute; it refuses
//! lines out of order and origins that real clients send; and it can't say which line is at fault.
//! We need only the `m=` and `a=` lines, so little is written twice.
//!
//! Borrows from the body and never allocates.

/// What a body may cost us before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The whole body, in bytes.
    pub bytes: usize,
    /// Lines, empty ones included.
    pub lines: usize,
    /// `m=` lines.
    pub media_sections: usize,
}

impl Default for Limits {
    /// Several times what the largest offer of a browser needs.
    fn default() -> Self {
        Self {
            bytes: 64 * 1024,
            lines: 2000,
            media_sections: 32,
        }
    }
}

/// A body that is no SDP at all, or too much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// Larger than [`Limits::bytes`].
    #[error("the body has more than {0} bytes; offer fewer codecs or leave candidates out")]
    TooManyBytes(usize),
    /// More lines than [`Limits::lines`].
    #[error("the body has more than {0} lines; offer fewer codecs or leave candidates out")]
    TooManyLines(usize),
    /// More `m=` lines than [`Limits::media_sections`].
    #[error("the body has more than {0} m-lines; one audio and one video line are enough")]
    TooManyMediaSections(usize),
    /// Not UTF-8.
    #[error("the body is not UTF-8 text; send the SDP itself, neither compressed nor as JSON")]
    NotUtf8,
    /// A control character within a line.
    #[error("line {line} holds a control character; end lines with CRLF or LF only")]
    ControlCharacter {
        /// Counted from 1.
        line: usize,
    },
    /// A line that is not `x=value`.
    #[error("line {line} is not SDP; each line is a small letter, an equals sign and a value")]
    NotALine {
        /// Counted from 1.
        line: usize,
    },
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Counted from 1.
    pub(super) number: usize,
    /// The letter before the equals sign.
    pub(super) letter: u8,
    /// What stands behind it, without white space at the end.
    pub(super) value: &'a str,
}

impl<'a> Line<'a> {
    /// Name and value of an `a=` line (RFC 8866, section 5.13).
    pub(super) fn attribute(&self) -> Option<(&'a str, &'a str)> {
        if self.letter != b'a' {
            return None;
        }
        Some(self.value.split_once(':').unwrap_or((self.value, "")))
    }
}

/// Checks the limits and the form of every line before anything is made of them. Empty lines are
/// passed over; lines end with LF or CRLF.
pub(super) fn lines<'a>(
    body: &'a [u8],
    limits: &Limits,
) -> Result<impl Iterator<Item = Line<'a>> + use<'a>, TextError> {
    if body.len() > limits.bytes {
        return Err(TextError::TooManyBytes(limits.bytes));
    }
    let text = std::str::from_utf8(body).map_err(|_| TextError::NotUtf8)?;
    let mut media_sections = 0;
    for (index, raw) in text.lines().enumerate() {
        if index >= limits.lines {
            return Err(TextError::TooManyLines(limits.lines));
        }
        let number = index + 1;
        if raw.contains(|c: char| c.is_control() && c != '\t') {
            return Err(TextError::ControlCharacter { line: number });
        }
        let line = match line(number, raw) {
            Some(line) => line,
            None if raw.trim_end().is_empty() => continue,
            None => return Err(TextError::NotALine { line: number }),
        };
        media_sections += usize::from(line.letter == b'm');
        if media_sections > limits.media_sections {
            return Err(TextError::TooManyMediaSections(limits.media_sections));
        }
    }
    Ok(text
        .lines()
        .enumerate()
        .filter_map(|(index, raw)| line(index + 1, raw)))
}

fn line(number: usize, raw: &str) -> Option<Line<'_>> {
    let (letter, value) = raw.split_once('=')?;
    let &[letter @ b'a'..=b'z'] = letter.as_bytes() else {
        return None;
    };
    Some(Line {
        number,
        letter,
        value: value.trim_end(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Vec<Line<'_>>, TextError> {
        lines(body.as_bytes(), &Limits::default()).map(Iterator::collect)
    }

    #[test]
    fn both_line_ends_and_empty_lines_are_taken() {
        let lines = read("v=0\r\n\r\na=mid:0 \na=x").unwrap();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[1].number, 3);
        assert_eq!(lines[1].attribute(), Some(("mid", "0")));
        assert_eq!(lines[2].attribute(), Some(("x", "")));
        assert_eq!(lines[0].attribute(), None);
    }

    #[test]
    fn what_is_no_line_is_named_by_its_number() {
        for body in [
            "v=0\nnonsense",
            "v=0\n=",
            "v=0\nab=1",
            "v=0\nA=1",
            "v=0\n{\"a\"=1",
        ] {
            assert_eq!(read(body), Err(TextError::NotALine { line: 2 }), "{body}");
        }
        for body in ["v=0\na=\0", "v=0\na=b\rc=d\n", "v=0\na=\u{7f}"] {
            assert_eq!(read(body), Err(TextError::ControlCharacter { line: 2 }));
        }
    }

    #[test]
    fn limits_hold_to_the_last_line_and_byte() {
        let limits = Limits {
            bytes: 12,
            lines: 3,
            media_sections: 2,
        };
        let read = |body: &str| lines(body.as_bytes(), &limits).map(Iterator::count);
        assert_eq!(read("m=1\nm=2\na=3\n"), Ok(3));
        assert_eq!(read("m=1\nm=2\na=34\n"), Err(TextError::TooManyBytes(12)));
        assert_eq!(read("m=\nm=\na=\n\n"), Err(TextError::TooManyLines(3)));
        assert_eq!(
            read("m=\nm=\nm=\n"),
            Err(TextError::TooManyMediaSections(2))
        );
    }
}
