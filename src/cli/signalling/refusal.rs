//! What a server says when it says no: the status, and the detail of its problem document (RFC 9457).

use std::fmt;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::Deserialize;

use super::{content_type, text};

/// The longest detail that is shown, in characters.
const MAX_DETAIL: usize = 400;

/// A status other than the one that was hoped for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// What the server says about it, fit to be printed.
    pub detail: Option<String>,
    /// How long to wait before another try, when the server says so.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    pub(in crate::cli) fn new(status: StatusCode, headers: &HeaderMap, body: &str) -> Self {
        let detail = match content_type(headers) {
            Some("application/problem+json" | "application/json") => {
                serde_json::from_str::<Problem>(body)
                    .ok()
                    .and_then(|problem| problem.detail.or(problem.title))
            }
            Some("text/plain") => Some(body.to_owned()),
            _ => None,
        };
        Self {
            status: status.as_u16(),
            detail: detail
                .map(|detail| printable(&detail))
                .filter(|d| !d.is_empty()),
            retry_after: text(headers, RETRY_AFTER)
                .and_then(|value| value.trim().parse().ok())
                .map(Duration::from_secs),
        }
    }

    /// What to do, for statuses whose usual cause is known; used when the server gives no detail.
    fn advice(&self) -> &'static str {
        match self.status {
            301..=303 => {
                "it redirects in a way that drops the offer; give the URL that it leads to"
            }
            401 => "it wants a token; give one with --token",
            403 => "the token gives no right to this stream",
            404 | 405 => "there is no such endpoint; check the path of the URL",
            406 => "it wants to make the offer itself, which is not supported",
            409 => "nobody publishes this stream now, or somebody else does already",
            415 => "it takes no SDP; check the path of the URL",
            429 | 503 => "it is busy; try again later",
            _ => "it gives no reason",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detail = self.detail.as_deref().unwrap_or_else(|| self.advice());
        write!(f, "the server answered {}: {detail}", self.status)
    }
}

impl std::error::Error for Refusal {}

#[derive(Deserialize)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
}

/// One line without control characters: the text comes from the network and goes to a terminal.
fn printable(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_DETAIL)
        .collect();
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use reqwest::header::{CONTENT_TYPE, HeaderValue};

    use super::*;

    fn refusal(status: u16, kind: &'static str, body: &str) -> Refusal {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        Refusal::new(StatusCode::from_u16(status).unwrap(), &headers, body)
    }

    #[test]
    fn the_detail_of_a_problem_document_is_shown() {
        let body = r#"{"title":"Conflict","detail":"nobody publishes demo now"}"#;
        let shown = refusal(409, "application/problem+json; charset=utf-8", body).to_string();
        assert_eq!(shown, "the server answered 409: nobody publishes demo now");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let shown = refusal(400, "text/plain", "\x1b[2Jbad\noffer").to_string();
        assert_eq!(shown, "the server answered 400: [2Jbad offer");
    }

    #[test]
    fn pages_meant_for_browsers_are_not_shown() {
        let shown = refusal(404, "text/html", "<h1>nginx</h1>").to_string();
        assert!(shown.contains("check the path"), "{shown}");
        assert!(!shown.contains("nginx"));
    }
}
