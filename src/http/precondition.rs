//! The precondition of a PATCH: `If-Match` (RFC 9110, section 13.1.1), as clients send it.
//!
//! Besides the grammar it takes `"*"` for `*` (RFC 9725 writes it so in its example of an ICE restart)
//! and, where that is allowed, tags without quotes.

use axum::http::{HeaderMap, header};

use crate::gateway::IfMatch;

/// No request needs more tags than this.
const MAX_TAGS: usize = 8;

/// `If-Match` could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The alternatives of `If-Match`, any of which may hold; `None` when the header is absent.
/// Weak tags never match (RFC 9110, section 8.8.3.2), so they are left out; the list may be empty.
pub(super) fn if_match(
    headers: &HeaderMap,
    allow_unquoted: bool,
) -> Result<Option<Vec<IfMatch>>, Malformed> {
    let mut any_header = false;
    let mut alternatives = Vec::new();
    for value in headers.get_all(header::IF_MATCH) {
        any_header = true;
        let mut rest = value.to_str().map_err(|_| Malformed)?.trim();
        if rest.is_empty() {
            return Err(Malformed);
        }
        while !rest.is_empty() {
            let tag;
            (tag, rest) = next_tag(rest, allow_unquoted)?;
            alternatives.extend(tag);
            if alternatives.len() > MAX_TAGS {
                return Err(Malformed);
            }
        }
    }
    Ok(any_header.then_some(alternatives))
}

/// The first tag of a list and what follows its comma. A weak tag and an empty element are `None`.
fn next_tag(list: &str, allow_unquoted: bool) -> Result<(Option<IfMatch>, &str), Malformed> {
    let (weak, list) = match list.strip_prefix("W/") {
        Some(list) => (true, list),
        None => (false, list),
    };
    let (tag, rest) = match list.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').ok_or(Malformed)?,
        None => list.split_at(list.find(',').unwrap_or(list.len())),
    };
    let tag = tag.trim();
    let unquoted = !list.starts_with('"') && !matches!(tag, "" | "*");
    if tag.contains('"') || unquoted && !allow_unquoted {
        return Err(Malformed);
    }
    let rest = match rest.trim_start() {
        "" => "",
        rest => rest.strip_prefix(',').ok_or(Malformed)?.trim_start(),
    };
    let tag = match tag {
        _ if weak => None,
        "" => None,
        "*" => Some(IfMatch::Any),
        tag => Some(IfMatch::Tag(tag.to_owned())),
    };
    Ok((tag, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(values: &[&str]) -> Result<Option<Vec<IfMatch>>, Malformed> {
        parse_with(values, true)
    }

    fn parse_with(
        values: &[&str],
        allow_unquoted: bool,
    ) -> Result<Option<Vec<IfMatch>>, Malformed> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::IF_MATCH, value.parse().unwrap());
        }
        if_match(&headers, allow_unquoted)
    }

    #[test]
    fn every_spelling_of_a_precondition_is_read() {
        let tag = |text: &str| IfMatch::Tag(text.to_owned());
        for (values, expected) in [
            (&["\"a\""] as &[&str], vec![tag("a")]),
            (&["a"], vec![tag("a")]),
            (&["*"], vec![IfMatch::Any]),
            (&["\"*\""], vec![IfMatch::Any]),
            (&["\"a\", \"b\" , c"], vec![tag("a"), tag("b"), tag("c")]),
            (&["\"a\"", "\"b\""], vec![tag("a"), tag("b")]),
            (&["\"a,b\""], vec![tag("a,b")]),
            (&["W/\"a\""], vec![]),
            (&["W/\"a\", \"b\""], vec![tag("b")]),
            (&["W/a"], vec![]),
            (&["\"a\",,\"b\","], vec![tag("a"), tag("b")]),
        ] {
            assert_eq!(parse(values), Ok(Some(expected)), "{values:?}");
        }
        assert_eq!(parse(&[]), Ok(None));
    }

    #[test]
    fn tags_without_quotes_must_be_allowed() {
        for value in ["a", "W/a", "\"a\", b"] {
            assert_eq!(parse_with(&[value], false), Err(Malformed), "{value}");
        }
        for value in ["\"a\"", "*", "\"*\"", "\"a\",", "W/\"a\""] {
            assert!(parse_with(&[value], false).is_ok(), "{value}");
        }
    }

    #[test]
    fn what_is_no_list_of_tags_is_refused() {
        for value in ["", "\"a", "\"a\"b", "a\"b\"", &"\"a\",".repeat(9)] {
            assert_eq!(parse(&[value]), Err(Malformed), "{value}");
        }
    }
}
