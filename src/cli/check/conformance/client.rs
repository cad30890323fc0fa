//! The HTTP side of the check: sends what a rule needs, however wrong it is, and forgets no session.
//!
//! Every answer that makes something (`201`, or a counter-offer) is remembered until a `DELETE` of it
//! was answered; [`Client::clean_up`] deletes what is left.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url, redirect};

use super::evidence::{Exchange, Response, Unanswered};
use crate::cli::signalling::{is_here, reason};

/// The longest body that is read, in bytes.
const MAX_BODY: usize = 1 << 20;
/// The longest chain of redirects that is followed.
const MAX_REDIRECTS: usize = 5;
/// A server that asks to wait is waited for: so often, and so long at most.
const WAITS: u32 = 4;
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// An `Origin` that is none of the server's own.
pub(super) const ORIGIN: &str = "https://check.tidegate.example";
/// Who asks.
pub(super) const USER_AGENT: &str = concat!("tidegate-check/", env!("CARGO_PKG_VERSION"));

/// How the server is reached.
pub(super) struct Access {
    pub(super) token: Option<HeaderValue>,
    /// More header fields for every request.
    pub(super) headers: HeaderMap,
    pub(super) timeout: Duration,
    /// Any certificate will do.
    pub(super) insecure: bool,
    /// Certificates to trust besides the public ones.
    pub(super) roots: Vec<reqwest::Certificate>,
}

/// Which token a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Given,
    None,
    Wrong,
}

/// A request that is not sent yet.
#[derive(Clone, Debug)]
pub(super) struct Request {
    method: Method,
    url: Url,
    token: Token,
    headers: Vec<(HeaderName, String)>,
    body: Option<Vec<u8>>,
    /// Read only until the first event of a stream came.
    stream: bool,
}

impl Request {
    pub(super) fn new(method: Method, url: &Url) -> Self {
        Self {
            method,
            url: url.clone(),
            token: Token::Given,
            headers: Vec::new(),
            body: None,
            stream: false,
        }
    }

    pub(super) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn body(self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut request = self.header(header::CONTENT_TYPE, content_type);
        request.body = Some(body.into());
        request
    }

    /// Without the token.
    pub(super) fn anonymous(mut self) -> Self {
        self.token = Token::None;
        self
    }

    /// With a token that nobody gave.
    pub(super) fn wrong_token(mut self) -> Self {
        self.token = Token::Wrong;
        self
    }

    /// Whose answer may have no end.
    pub(super) fn stream(mut self) -> Self {
        self.stream = true;
        self
    }
}

/// Something that was made on the server and not ended yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leftover {
    /// What the server said to the `DELETE`.
    pub(super) reason: String,
}

/// The client.
pub(super) struct Client {
    http: reqwest::Client,
    access: Access,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In the order in which they were made.
    open: Vec<Url>,
    redirects: Vec<u16>,
    sessions: Vec<Url>,
}

impl Client {
    /// A client for the server of `url`.
    ///
    /// # Errors
    /// When TLS can't be set up.
    pub(super) fn new(url: &Url, access: Access) -> Result<Self, reqwest::Error> {
        let mut builder = reqwest::Client::builder();
        if is_here(url) {
            // A proxy would look for the server on its own machine.
            builder = builder.no_proxy();
        }
        for root in &access.roots {
            builder = builder.add_root_certificate(root.clone());
        }
        let http = builder
            .user_agent(USER_AGENT)
            .connect_timeout(access.timeout)
            .timeout(access.timeout)
            .danger_accept_invalid_certs(access.insecure)
            .redirect(redirect::Policy::none())
            .build()?;
        Ok(Self {
            http,
            access,
            state: Mutex::default(),
        })
    }

    pub(super) fn timeout(&self) -> Duration {
        self.access.timeout
    }

    pub(super) fn has_token(&self) -> bool {
        self.access.token.is_some()
    }

    /// The statuses of redirects that a POST met.
    pub(super) fn redirects(&self) -> Vec<u16> {
        self.state(|state| state.redirects.clone())
    }

    /// The URLs of all sessions that were made, in order.
    pub(super) fn sessions(&self) -> Vec<Url> {
        self.state(|state| state.sessions.clone())
    }

    /// Sends a request. Waits when the server asks for it (429, or 503 with `Retry-After`), and follows
    /// the redirects of a POST that keep the method.
    pub(super) async fn send(&self, request: Request) -> Exchange {
        let mut request = request;
        let (mut waits, mut redirects) = (0, 0);
        loop {
            let response = self.send_once(&request).await?;
            if let Some(wait) = wait(&response).filter(|_| waits < WAITS) {
                waits += 1;
                tokio::time::sleep(wait).await;
                continue;
            }
            let is_redirect = matches!(response.status, 301..=303 | 307 | 308);
            if request.method == Method::POST && is_redirect {
                self.state(|state| state.redirects.push(response.status));
                let next = response.location();
                if let (307 | 308, Some(next), true) =
                    (response.status, next, redirects < MAX_REDIRECTS)
                {
                    redirects += 1;
                    // The token never goes from https to http.
                    if request.url.scheme() == "https" && next.scheme() != "https" {
                        request = request.anonymous();
                    }
                    request.url = next;
                    continue;
                }
            }
            self.remember(&request, &response);
            return Ok(response);
        }
    }

    async fn send_once(&self, request: &Request) -> Exchange {
        let unanswered = |error: reqwest::Error| Unanswered(why(error));
        let mut builder = self
            .http
            .request(request.method.clone(), request.url.clone())
            .headers(self.access.headers.clone());
        match (request.token, &self.access.token) {
            (Token::Given, Some(token)) => {
                builder = builder.header(header::AUTHORIZATION, token.clone());
            }
            (Token::Wrong, _) => builder = builder.bearer_auth("tidegate-check-wrong-token"),
            (Token::None, _) | (Token::Given, None) => {}
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            // What a server sent may come back here; a value that can't be sent is left out.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.append(name.clone(), value);
            }
        }
        builder = builder.headers(headers);
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        let mut response = builder.send().await.map_err(unanswered)?;
        let (status, headers, url) = (
            response.status().as_u16(),
            response.headers().clone(),
            response.url().clone(),
        );
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() < MAX_BODY => body.extend_from_slice(&chunk),
                Ok(_) => break,
                // A stream that says nothing for now is no error.
                Err(error) if request.stream && error.is_timeout() => break,
                Err(error) => return Err(unanswered(error)),
            }
            let has_event = || body.windows(2).any(|end| end == b"\n\n");
            if request.stream && has_event() {
                break;
            }
        }
        Ok(Response {
            status,
            headers,
            body,
            url,
        })
    }

    /// Keeps the books on what is open.
    fn remember(&self, request: &Request, response: &Response) {
        let ended = request.method == Method::DELETE
            && (response.is_success() || matches!(response.status, 404 | 410));
        let made = request.method == Method::POST && matches!(response.status, 201 | 406);
        self.state(|state| {
            if ended {
                state.open.retain(|open| *open != request.url);
            }
            if let Some(url) = response.location().filter(|_| made) {
                let is_session = response.content_type().as_deref() == Some("application/sdp");
                if is_session && response.status == 201 {
                    state.sessions.push(url.clone());
                }
                if !state.open.contains(&url) {
                    state.open.push(url);
                }
            }
        });
    }

    /// Ends everything that was made and not ended; says what could not be.
    pub(super) async fn clean_up(&self) -> Vec<Leftover> {
        let mut leftovers = Vec::new();
        while let Some(url) = self.state(|state| state.open.last().cloned()) {
            let answer = self.send(Request::new(Method::DELETE, &url)).await;
            let reason = match answer {
                Ok(response) => response.describe(),
                Err(Unanswered(reason)) => reason,
            };
            self.state(|state| {
                if state.open.contains(&url) {
                    state.open.retain(|open| *open != url);
                    leftovers.push(Leftover { reason });
                }
            });
        }
        leftovers
    }

    fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        // Nothing in here can leave it half changed.
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How long the server asks to wait, if it does and it is bearable.
fn wait(response: &Response) -> Option<Duration> {
    let asked = response
        .header(header::RETRY_AFTER)
        .and_then(|value| value.trim().parse().ok())
        .map(Duration::from_secs);
    match response.status {
        429 => Some(asked.unwrap_or(Duration::from_secs(1))),
        503 => asked,
        _ => None,
    }
    .filter(|wait| *wait <= LONGEST_WAIT)
}

fn why(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    format!("no answer: {}", reason(error))
}

/// Header fields given as `Name: value`.
///
/// # Errors
/// The text that is none.
pub(super) fn headers(texts: &[String]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for text in texts {
        let parsed = text.split_once(':').and_then(|(name, value)| {
            let name = name.trim().parse::<HeaderName>().ok()?;
            let mut value = HeaderValue::from_str(value.trim()).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        });
        let (name, value) = parsed.ok_or_else(|| text.clone())?;
        headers.append(name, value);
    }
    Ok(headers)
}
