//! The body of the fuzz target `http_headers`: what our own readers make of header fields and URLs.
//! What stands before them is hyper's.

use axum::http::{HeaderMap, HeaderValue, Uri, header};

use super::range::{self, Wanted};
use super::{auth, precondition};
use crate::gateway::SessionId;
use crate::stream::StreamName;

/// One field value, read in every way.
pub(crate) fn headers(data: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(data) {
        let mut headers = HeaderMap::new();
        for name in [header::IF_MATCH, header::AUTHORIZATION] {
            headers.append(&name, value.clone());
        }
        if let Ok(Some(tags)) = precondition::if_match(&headers) {
            assert!(tags.len() <= 8);
        }
        let _ = auth::bearer(&headers);
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for size in [0, 1, 1000] {
        if let Wanted::Part(part) = range::wanted(text, size) {
            assert!(part.start < part.end && part.end <= size);
        }
    }
    if let Ok(uri) = text.parse::<Uri>() {
        let _ = auth::query_token(&uri);
    }
    if let Ok(name) = text.parse::<StreamName>() {
        assert_eq!(name.as_str(), text);
    }
    if let Ok(id) = text.parse::<SessionId>() {
        assert_eq!(id.to_string(), text);
    }
}
