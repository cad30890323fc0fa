//! What a client has already (RFC 9110, section 13.1.2).

use axum::http::{HeaderMap, header};

/// Whether the client has just what this entity tag stands for.
pub(super) fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut tags = values.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    tags.any(|known| known.trim().trim_start_matches("W/") == tag)
}
