//! The `Link` fields of a new session: ICE servers and the extensions of WHEP (RFC 8288).

use std::time::SystemTime;

use axum::http::{HeaderMap, HeaderValue, header};

use super::events::EventNames;
use super::ice_servers;
use crate::config::IceServer;

const EVENTS: &str = "urn:ietf:params:whep:ext:core:server-sent-events";
const LAYER: &str = "urn:ietf:params:whep:ext:core:layer";

/// A field for each URL, with credentials made now.
pub(super) fn of_ice_servers(servers: &[IceServer]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for link in ice_servers::links(servers, SystemTime::now(), rand::random()) {
        headers.append(header::LINK, link);
    }
    headers
}

/// The extensions of the WHEP session at `url`.
pub(super) fn add_extensions(headers: &mut HeaderMap, url: &str) {
    let events = EventNames::ANNOUNCED;
    for link in [
        format!("<{url}/events>; rel=\"{EVENTS}\"; events=\"{events}\""),
        format!("<{url}/layer>; rel=\"{LAYER}\""),
    ] {
        // A path of stream names and hex digits fits into every field.
        if let Ok(value) = HeaderValue::from_str(&link) {
            headers.append(header::LINK, value);
        }
    }
}
