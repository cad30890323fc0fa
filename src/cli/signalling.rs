//! The HTTP side of a WHIP or WHEP client: offer out, answer in, session ended (RFC 9725).
//!
//! Depends on `reqwest` only, knows nothing of media and never logs SDP, tokens or session URLs.
//! An offer is sent whole: there is no trickle here, so candidates must be in it.

mod error;
mod refusal;
mod trust;

use std::fmt;
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Client, Method, Response, StatusCode, Url, redirect};

pub use error::SignallingError;
pub(super) use error::reason;
pub use refusal::Refusal;
pub use trust::Trust;

/// How long the server has to accept a TCP connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one request may take, its answer included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest answer that is read, in bytes; real ones have a tenth of this.
const MAX_BODY: usize = 64 * 1024;
/// The longest chain of redirects that is followed.
const MAX_REDIRECTS: usize = 5;
const SDP: HeaderValue = HeaderValue::from_static("application/sdp");

/// A WHIP or WHEP endpoint, and the right to use it.
#[derive(Clone)]
pub struct Endpoint {
    url: Url,
    authorization: Option<HeaderValue>,
    client: Client,
}

impl Endpoint {
    /// An endpoint by its URL, with the bearer token that it asks for, if any.
    ///
    /// # Errors
    /// When the URL is not an absolute `http` or `https` one, or the token has bytes that a header can't carry.
    pub fn new(url: &str, token: Option<&str>) -> Result<Self, SignallingError> {
        Self::trusting(&Trust::default(), url, token)
    }

    /// The same, with a say in which servers are believed.
    ///
    /// # Errors
    /// As [`Endpoint::new`], and when the file of certificates can't be used.
    pub fn trusting(
        trust: &Trust,
        url: &str,
        token: Option<&str>,
    ) -> Result<Self, SignallingError> {
        let url = Url::parse(url).map_err(|source| SignallingError::Url { source })?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(SignallingError::Scheme);
        }
        let authorization = token
            .map(|token| {
                let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
                    .map_err(|_| SignallingError::Token)?;
                value.set_sensitive(true);
                Ok(value)
            })
            .transpose()?;
        let mut builder = trust.apply(Client::builder())?;
        if is_here(&url) {
            // A proxy would look for the server on its own machine.
            builder = builder.no_proxy();
        }
        let client = builder
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|source| SignallingError::Client { source })?;
        Ok(Self {
            url,
            authorization,
            client,
        })
    }

    /// The loopback addresses that the host's name resolves to: a media connection to it has to come
    /// from one of them. All, as the server may have only one of `127.0.0.1` and `::1`. None for a
    /// host elsewhere, and when the name can't be resolved: the request will say so.
    pub async fn loopback(&self) -> Vec<IpAddr> {
        let (Some(port), Some(host)) = (self.url.port_or_known_default(), self.url.host_str())
        else {
            return Vec::new();
        };
        let resolved = tokio::net::lookup_host((host.trim_matches(['[', ']']), port)).await;
        let mut addresses: Vec<IpAddr> = resolved
            .into_iter()
            .flatten()
            .map(|address| address.ip())
            .filter(IpAddr::is_loopback)
            // Names resolve to `::1` on machines without IPv6 too.
            .filter(|ip| UdpSocket::bind((*ip, 0)).is_ok())
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// Sends the offer and makes a session of the answer (RFC 9725, section 4.2).
    ///
    /// Redirects that keep the method (307 and 308) are followed; the token goes along, but never
    /// from `https` to `http`.
    ///
    /// # Errors
    /// When the server can't be reached, refuses, or answers with something that is no session.
    pub async fn create(&self, offer: String) -> Result<Session, SignallingError> {
        let request = Request {
            method: Method::POST,
            body: Some(offer),
        };
        let (url, response) = self.send(self.url.clone(), &request).await?;
        if response.status() != StatusCode::CREATED {
            return Err(refused(response).await);
        }
        let headers = response.headers().clone();
        let location = text(&headers, header::LOCATION).ok_or(SignallingError::NoLocation)?;
        let session = url
            .join(location)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or(SignallingError::Location)?;
        let answer = read(response).await?;
        let is_sdp =
            content_type(&headers).is_none_or(|kind| kind.eq_ignore_ascii_case("application/sdp"));
        if !is_sdp || !answer.starts_with("v=0") {
            // The session exists and would live until its timeout: end it, whatever comes of that.
            let _ = self.end(session).await;
            return Err(SignallingError::NotSdp);
        }
        Ok(Session {
            answer,
            etag: text(&headers, header::ETAG).map(str::to_owned),
            url: session,
            endpoint: self.clone(),
        })
    }

    async fn end(&self, session: Url) -> Result<(), SignallingError> {
        let request = Request {
            method: Method::DELETE,
            body: None,
        };
        let (_, response) = self.send(session, &request).await?;
        match response.status() {
            // Gone already: what was asked for.
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(()),
            status if status.is_success() => Ok(()),
            _ => Err(refused(response).await),
        }
    }

    /// Sends a request and follows redirects; returns the answer with the URL that gave it.
    async fn send(&self, url: Url, request: &Request) -> Result<(Url, Response), SignallingError> {
        let mut url = url;
        let mut authorization = self.authorization.as_ref();
        if self.url.scheme() == "https" && url.scheme() != "https" {
            authorization = None;
        }
        for _ in 0..=MAX_REDIRECTS {
            let mut builder = self.client.request(request.method.clone(), url.clone());
            if let Some(value) = authorization {
                builder = builder.header(header::AUTHORIZATION, value.clone());
            }
            if let Some(body) = &request.body {
                builder = builder
                    .header(header::CONTENT_TYPE, SDP)
                    .header(header::ACCEPT, SDP)
                    .body(body.clone());
            }
            let response = builder
                .send()
                .await
                .map_err(|source| SignallingError::unreachable(&url, source))?;
            let next = match response.status() {
                StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => {
                    text(response.headers(), header::LOCATION)
                        .and_then(|location| url.join(location).ok())
                        .filter(|next| matches!(next.scheme(), "http" | "https"))
                        .ok_or(SignallingError::Location)?
                }
                _ => return Ok((url, response)),
            };
            if url.scheme() == "https" && next.scheme() != "https" {
                authorization = None;
            }
            url = next;
        }
        Err(SignallingError::Redirects)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("origin", &origin(&self.url))
            .finish_non_exhaustive()
    }
}

/// A session that the server made. It lives there until [`Session::delete`] or its timeout.
pub struct Session {
    /// The SDP answer.
    pub answer: String,
    /// The session URL, absolute. Whoever knows it can end the session: don't log it.
    pub url: Url,
    /// The entity tag of the ICE generation, for `PATCH` (RFC 9725, section 4.3.1).
    pub etag: Option<String>,
    endpoint: Endpoint,
}

impl Session {
    /// Ends the session (RFC 9725, section 4.2). One that has ended already counts as ended.
    ///
    /// # Errors
    /// When the server can't be reached or refuses.
    pub async fn delete(self) -> Result<(), SignallingError> {
        self.endpoint.end(self.url).await
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("origin", &origin(&self.url))
            .finish_non_exhaustive()
    }
}

struct Request {
    method: Method,
    body: Option<String>,
}

async fn refused(response: Response) -> SignallingError {
    let status = response.status();
    let headers = response.headers().clone();
    // A body that can't be read takes nothing from the status.
    let body = read(response).await.unwrap_or_default();
    SignallingError::Refused(Refusal::new(status, &headers, &body))
}

/// The body as text, of bounded length.
async fn read(mut response: Response) -> Result<String, SignallingError> {
    let broken = |reason: String| SignallingError::Broken { reason };
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|source| broken(error::reason(source)))?
    {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(broken(format!("it is longer than {MAX_BODY} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    String::from_utf8(body).map_err(|_| broken("it is not UTF-8".to_owned()))
}

/// Whether the URL leads to this machine by its name or by a loopback address.
pub(super) fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|ip| ip.is_loopback())
}

/// Scheme, host and port: what may be shown. Paths and queries may hold secrets.
fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// The media type without its parameters.
fn content_type(headers: &HeaderMap) -> Option<&str> {
    let value = text(headers, header::CONTENT_TYPE)?;
    Some(value.split(';').next().unwrap_or(value).trim())
}

#[cfg(test)]
pub(super) mod tests;
