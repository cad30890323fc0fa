//! The bodies of the fuzz targets `http_headers` and `http_bodies`: what our own readers make of header
//! fields, URLs and JSON. What stands before them is hyper's.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};

use super::client::Proxies;
use super::events::EventNames;
use super::range::{self, Wanted};
use super::{auth, counter_offer, layer, precondition};
use crate::gateway::SessionId;
use crate::stream::StreamName;

/// One field value, read in every way.
pub(crate) fn headers(data: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(data) {
        read_fields(&value);
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
        let (mut request, ()) = Request::new(()).into_parts();
        request.uri = uri;
        let _ = auth::presented(&request, true);
    }
    if let Ok(name) = text.parse::<StreamName>() {
        assert_eq!(name.as_str(), text);
    }
    if let Ok(id) = text.parse::<SessionId>() {
        assert_eq!(id.to_string(), text);
    }
}

fn read_fields(value: &HeaderValue) {
    let field = |name: HeaderName| {
        let mut headers = HeaderMap::new();
        headers.append(name, value.clone());
        headers
    };
    for allow_unquoted in [false, true] {
        let headers = field(header::IF_MATCH);
        if let Ok(Some(tags)) = precondition::if_match(&headers, allow_unquoted) {
            assert!(tags.len() <= 8);
        }
    }
    let (mut request, ()) = Request::new(()).into_parts();
    request.headers = field(header::AUTHORIZATION);
    let _ = auth::presented(&request, false);
    let _ = counter_offer::prefers_problem(&field(header::ACCEPT));

    let peer: IpAddr = [127, 0, 0, 1].into();
    let proxies = ["127.0.0.0/8", "10.0.0.0/8"].map(|net| net.parse().expect("a network"));
    for name in ["forwarded", "x-forwarded-for"] {
        let headers = field(HeaderName::from_static(name));
        let trusted = Proxies::new(proxies.to_vec());
        let client = trusted.client(peer, &headers);
        assert_eq!(client.address, client.address.to_canonical());
        let untrusted = Proxies::new(Vec::new());
        assert_eq!(
            untrusted.client(peer, &headers).address,
            peer,
            "a stranger's word"
        );
    }
}

/// The bodies of the extensions of WHEP.
pub(crate) fn bodies(data: &[u8]) {
    if let Ok(events) = EventNames::parse(data) {
        assert!(!events.to_string().is_empty());
    }
    if let Ok(choice) = layer::parse(data) {
        let texts = [choice.media_id, choice.rid].into_iter().flatten();
        assert!(texts.map(|text| text.len()).sum::<usize>() <= data.len());
    }
}
