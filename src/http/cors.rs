//! Cross-origin use of the API (the Fetch standard, "CORS protocol").

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::Response;

use super::problem::{ACCEPT_PATCH, ACCEPT_POST};

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PATCH, DELETE, OPTIONS");
const REQUEST_HEADERS: HeaderValue =
    HeaderValue::from_static("Authorization, Content-Type, If-Match");
const EXPOSED: HeaderValue =
    HeaderValue::from_static("Location, ETag, Link, Retry-After, Tidegate-Notice");
/// A day, in seconds. Browsers cut it to what they allow.
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// Which web origins may use the API. Tokens are asked for by header, never taken from a cookie, so
/// that allowing every origin gives no page a right that its user doesn't hand to it. Where being on
/// this machine stands in for a token, pages of other sites are refused whatever is allowed here.
#[derive(Clone, Debug, Default)]
pub enum Origins {
    /// Every origin.
    #[default]
    Any,
    /// These only; made by [`Origins::only`].
    Only(Vec<HeaderValue>),
}

/// An origin that no browser would send.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an origin; write scheme, host and port only, as in https://example.com:8443")]
pub struct OriginsError(String);

impl Origins {
    /// These origins only, as browsers write them: `https://example.com`, without a slash at the end.
    ///
    /// # Errors
    ///
    /// [`OriginsError`] for a text that is no origin.
    pub fn only<T: AsRef<str>>(origins: impl IntoIterator<Item = T>) -> Result<Self, OriginsError> {
        let parse = |origin: T| {
            let text = origin.as_ref();
            let wrong = || OriginsError(text.to_owned());
            let (scheme, host) = text.split_once("://").ok_or_else(wrong)?;
            if scheme.is_empty() || host.is_empty() || host.contains(['/', '?', '#', '@', ' ', '*'])
            {
                return Err(wrong());
            }
            HeaderValue::from_str(&text.to_ascii_lowercase()).map_err(|_| wrong())
        };
        origins
            .into_iter()
            .map(parse)
            .collect::<Result<_, _>>()
            .map(Self::Only)
    }

    fn allow(&self, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
        match self {
            Self::Any => Some(HeaderValue::from_static("*")),
            Self::Only(origins) => origins.iter().find(|o| Some(*o) == origin).cloned(),
        }
    }
}

/// Whether this is a browser's question before the real request.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// What a request asks of the CORS protocol.
#[derive(Debug)]
pub(super) struct Asked {
    preflight: bool,
    allowed: Option<HeaderValue>,
    /// The answer depends on who asks.
    varies: bool,
}

impl Asked {
    pub(super) fn of<B>(origins: &Origins, request: &Request<B>) -> Self {
        let headers = request.headers();
        Self {
            preflight: is_preflight(request.method(), headers),
            allowed: origins.allow(headers.get(header::ORIGIN)),
            varies: matches!(origins, Origins::Only(_)),
        }
    }

    /// Adds the CORS headers to the answer, and turns that to a preflight into a 204, whatever it is: browsers take no
    /// redirect in its place, and show a page no refusal of it.
    pub(super) fn answer(self, mut response: Response) -> Response {
        let preflight = self.preflight;
        if preflight {
            response = without_content(&response);
        }
        let headers = response.headers_mut();
        if self.varies {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        let Some(origin) = self.allowed else {
            return response;
        };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        if preflight || headers.contains_key(ACCEPT_POST) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        }
        response
    }
}

/// A 204 that keeps what the route says of itself.
fn without_content(response: &Response) -> Response {
    let mut empty = Response::new(Body::empty());
    *empty.status_mut() = StatusCode::NO_CONTENT;
    for name in [ACCEPT_POST, ACCEPT_PATCH] {
        if let Some(value) = response.headers().get(&name) {
            empty.headers_mut().insert(name, value.clone());
        }
    }
    empty
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_origins_as_browsers_write_them_are_taken() {
        assert!(Origins::only(["https://example.com", "http://localhost:8080"]).is_ok());
        for text in [
            "*",
            "example.com",
            "https://",
            "https://example.com/",
            "https://*.example.com",
        ] {
            assert!(Origins::only([text]).is_err(), "{text}");
        }
    }
}
