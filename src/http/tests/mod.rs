//! The promises of WHIP and WHEP, a row each, against the router in process. The control plane is a
//! double that answers by the stream's name.

mod access;
mod cross_origin;
mod double;
mod endpoint;
mod files;
mod session;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::auth::LocalAddress;
use super::{AppState, Settings, Tokens, router};
use double::Library;

const SDP: (&str, &str) = ("content-type", "application/sdp");
const FRAGMENT: (&str, &str) = ("content-type", "application/trickle-ice-sdpfrag");
const PROBLEM: (&str, &str) = ("content-type", "application/problem+json");

const OFFER: &str = "v=0\r\n\
    o=- 1 1 IN IP4 127.0.0.1\r\n\
    s=-\r\n\
    t=0 0\r\n\
    a=group:BUNDLE 0\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 96\r\n\
    c=IN IP4 0.0.0.0\r\n\
    a=ice-ufrag:abcd\r\n\
    a=ice-pwd:0123456789012345678901\r\n\
    a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:\
    10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n\
    a=setup:actpass\r\n\
    a=mid:0\r\n\
    a=sendonly\r\n\
    a=rtcp-mux\r\n\
    a=rtpmap:96 VP8/90000\r\n";

const CANDIDATES: &str = "a=ice-ufrag:abcd\r\n\
    a=ice-pwd:0123456789012345678901\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 96\r\n\
    a=mid:0\r\n\
    a=candidate:1 1 udp 2130706431 192.0.2.1 50000 typ host\r\n\
    a=end-of-candidates\r\n";

/// A request and what must come back.
struct Row {
    name: &'static str,
    method: &'static str,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    status: u16,
    /// A header and what it holds; an empty text stands for a header that must not be there.
    answer: &'static [(&'static str, &'static str)],
    /// A part of the body.
    holds: &'static str,
}

impl Row {
    const fn new(
        name: &'static str,
        method: &'static str,
        path: &'static str,
        status: u16,
    ) -> Self {
        Self {
            name,
            method,
            path,
            headers: &[],
            body: "",
            status,
            answer: &[],
            holds: "",
        }
    }

    const fn with(mut self, headers: &'static [(&'static str, &'static str)]) -> Self {
        self.headers = headers;
        self
    }

    const fn body(mut self, body: &'static str) -> Self {
        self.body = body;
        self
    }

    const fn answers(mut self, answer: &'static [(&'static str, &'static str)]) -> Self {
        self.answer = answer;
        self
    }

    const fn holds(mut self, text: &'static str) -> Self {
        self.holds = text;
        self
    }

    async fn check(&self, router: &Router) {
        let name = self.name;
        let answer = send(router, self.method, self.path, self.headers, self.body).await;
        assert_eq!(answer.status, self.status, "{name}: {answer:?}");
        for (header, expected) in self.answer {
            let value = answer.headers.get(*header).map(|v| v.to_str().unwrap());
            let holds = match value {
                Some(value) => !expected.is_empty() && value.contains(expected),
                None => expected.is_empty(),
            };
            assert!(holds, "{name}: {header} is {value:?}, not {expected:?}");
        }
        assert!(answer.body.contains(self.holds), "{name}: {answer:?}");
        if self.status >= 400 && self.method != "HEAD" {
            answer.assert_problem(name);
        } else if self.holds.is_empty() {
            assert_eq!(answer.body, "", "{name}");
        }
    }
}

async fn check_all(router: &Router, rows: &[Row]) {
    for row in rows {
        row.check(router).await;
    }
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    /// E10: problem details, with a detail that says something.
    fn assert_problem(&self, name: &str) {
        assert_eq!(self.headers["content-type"], PROBLEM.1, "{name}");
        let problem: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["type"], "about:blank", "{name}");
        assert_eq!(problem["status"], self.status.as_u16(), "{name}");
        assert_eq!(
            problem["title"],
            self.status.canonical_reason().unwrap(),
            "{name}"
        );
        assert!(
            problem["detail"].as_str().unwrap().len() > 15,
            "{name}: {problem}"
        );
    }
}

async fn send(
    router: &Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    let given = |name: &str| headers.iter().any(|(n, _)| *n == name);
    if !given("host") {
        request = request.header("host", "gateway.test");
    }
    for (name, value) in headers {
        if !value.is_empty() {
            request = request.header(*name, *value);
        }
    }
    let peer = if given("test-remote") {
        "192.0.2.7:1"
    } else if given("test-own-address") {
        "192.0.2.1:1"
    } else {
        "[::ffff:127.0.0.1]:1"
    };
    let peer: SocketAddr = peer.parse().unwrap();
    let local = LocalAddress([192, 0, 2, 1].into());
    let mut request = request.body(body.into()).unwrap();
    request.extensions_mut().insert(ConnectInfo(peer));
    request.extensions_mut().insert(local);
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    }
}

fn app(tokens: Tokens, settings: Settings) -> Router {
    router(AppState {
        gateway: double::gateway(),
        hls: Arc::new(Library),
        tokens: Arc::new(tokens),
        settings: Arc::new(settings),
    })
}

fn open_app() -> Router {
    app(Tokens::default(), Settings::default())
}
