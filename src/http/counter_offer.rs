//! When and how WHEP answers with an offer of its own (draft-ietf-wish-whep, section 4.3.2).
//!
//! A player gets one that POSTs nothing, with `Content-Type: application/sdp` or without any type, and
//! one whose offer has no codec of the stream. A client that would rather read why its offer does not
//! do says so by `Accept: application/problem+json`, and is refused.

use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, header};
use chrono::{DateTime, Utc};

use super::problem::{PROBLEM, SDP};
use crate::sdp::Refusal;

/// Whether the player might answer where its own offer did not fit.
pub(super) fn may_help(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::CodecNotReceived { .. } | Refusal::NoTrack(_)
    )
}

/// The media type of an offer that is good for so long from now. The date is in whole seconds and never
/// later than the end.
pub(super) fn content_type(valid: Duration) -> String {
    format!(
        "{SDP}; valid-until=\"{}\"",
        http_date(SystemTime::now() + valid)
    )
}

/// The form of dates in header fields (RFC 9110, section 5.6.7).
fn http_date(time: SystemTime) -> String {
    let time = DateTime::<Utc>::from(time);
    time.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Whether the client would rather have problem details than SDP.
pub(super) fn prefers_problem(headers: &HeaderMap) -> bool {
    quality(headers, PROBLEM) > quality(headers, SDP)
}

/// How much the client wants this media type, in thousandths (RFC 9110, section 12.5.1).
fn quality(headers: &HeaderMap, wanted: &str) -> u16 {
    let (main, _) = wanted.split_once('/').unwrap_or((wanted, ""));
    let mut best = (0, 0);
    let values = headers.get_all(header::ACCEPT).iter();
    for range in values.flat_map(|value| value.to_str().unwrap_or_default().split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let fits = match name.split_once('/') {
            Some(("*", "*")) => 1,
            Some((kind, "*")) if kind.eq_ignore_ascii_case(main) => 2,
            _ if name.eq_ignore_ascii_case(wanted) => 3,
            _ => continue,
        };
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
        let weight = (weight.unwrap_or(1.0).clamp(0.0, 1.0) * 1000.0) as u16;
        // The range that says most of a type decides.
        if fits > best.0 {
            best = (fits, weight);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_as_http_has_them() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_900);
        assert_eq!(http_date(time), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn only_who_asks_for_problems_gets_them_in_the_place_of_an_offer() {
        for (accept, expected) in [
            ("", false),
            ("*/*", false),
            ("application/*", false),
            ("application/sdp", false),
            ("application/sdp, application/problem+json", false),
            ("application/problem+json", true),
            ("Application/Problem+JSON, */*;q=0.5", true),
            (
                "application/sdp;q=0.4, application/problem+json;q=0.5",
                true,
            ),
            ("application/sdp, application/problem+json;q=0.9", false),
            ("application/problem+json;q=0", false),
            ("nonsense, ,;q=x", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(prefers_problem(&headers), expected, "{accept}");
        }
        assert!(!prefers_problem(&HeaderMap::new()));
    }
}
