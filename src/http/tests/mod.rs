//! The promises of WHIP and WHEP, a row each, against the router in process. The control plane is a
//! double that answers by the stream's name.

mod access;
mod coverage;
mod cross_origin;
mod double;
mod endpoint;
mod events;
mod files;
mod ice_servers;
mod leniency;
mod log;
mod offers;
mod rate;
mod reports;
mod session;
mod thumbnails;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::auth::LocalAddress;
use super::{AppState, Settings, Tokens, router};
use crate::gateway::Gateway;
use crate::shard::Snapshot;
use double::Library;

const SDP: (&str, &str) = ("content-type", "application/sdp");
const FRAGMENT: (&str, &str) = ("content-type", "application/trickle-ice-sdpfrag");
const PROBLEM: (&str, &str) = ("content-type", "application/problem+json");

/// A publisher's offer. For WHEP its direction is turned round.
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
    a=rtpmap:96 VP8/90000\r\n\
    a=rtcp-fb:96 nack pli\r\n";

const CANDIDATES: &str = "a=ice-ufrag:abcd\r\n\
    a=ice-pwd:0123456789012345678901\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 96\r\n\
    a=mid:0\r\n\
    a=candidate:1 1 udp 2130706431 192.0.2.1 50000 typ host\r\n\
    a=end-of-candidates\r\n";

/// A request and what must come back. In the path `{kind}` stands for both protocols, and
/// `/{kind}{session}`, `/whip{session}` and `/whep{session}` for the sessions that there are.
struct Row {
    /// The lines of the digest that it shows, as in `E1 S3: what it is about`.
    name: &'static str,
    method: &'static str,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    /// Parts of the body, and what stands in their place.
    edits: &'static [(&'static str, &'static str)],
    status: u16,
    /// A header and what it holds; an empty text stands for a header that must not be there.
    answer: &'static [(&'static str, &'static str)],
    /// Parts of the body that comes back.
    holds: &'static [&'static str],
    /// What the body does not hold.
    lacks: &'static [&'static str],
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
            edits: &[],
            status,
            answer: &[],
            holds: &[],
            lacks: &[],
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

    const fn edit(mut self, edits: &'static [(&'static str, &'static str)]) -> Self {
        self.edits = edits;
        self
    }

    const fn answers(mut self, answer: &'static [(&'static str, &'static str)]) -> Self {
        self.answer = answer;
        self
    }

    const fn holds(mut self, parts: &'static [&'static str]) -> Self {
        self.holds = parts;
        self
    }

    const fn lacks(mut self, parts: &'static [&'static str]) -> Self {
        self.lacks = parts;
        self
    }

    /// The protocols that the row is for.
    fn kinds(&self) -> &'static [&'static str] {
        match self.path {
            path if path.starts_with("/{kind}") => &["whip", "whep"],
            path if path.starts_with("/whip") => &["whip"],
            path if path.starts_with("/whep") => &["whep"],
            _ => &[""],
        }
    }

    /// The lines of the digest that the row shows.
    fn lines(&self) -> impl Iterator<Item = &'static str> {
        let lines = self.name.split_once(": ").map_or("", |(lines, _)| lines);
        lines.split(' ').filter(|line| !line.is_empty())
    }

    async fn check(&self, router: &Router) {
        for kind in self.kinds() {
            self.check_kind(router, kind).await;
        }
    }

    async fn check_kind(&self, router: &Router, kind: &str) {
        let name = format!("{} ({kind})", self.name);
        let session = match kind {
            "whep" => double::WHEP_SESSION,
            _ => double::WHIP_SESSION,
        };
        let of_kind = format!("/{kind}");
        let fill = |text: &str| {
            text.replace("/{kind}{session}", session)
                .replace(&format!("{of_kind}{{session}}"), session)
                .replace("{session}", session)
                .replace("{kind}", kind)
        };
        let mut body = self.body.to_owned();
        if kind == "whep" {
            body = body.replace("a=sendonly", "a=recvonly");
        }
        for (part, other) in self.edits {
            assert!(body.contains(part), "{name}: {part} is not in the body");
            body = body.replace(part, other);
        }
        let answer = send(router, self.method, &fill(self.path), self.headers, body).await;
        assert_eq!(answer.status, self.status, "{name}: {answer:?}");
        for (header, expected) in self.answer {
            let values = answer.headers.get_all(*header).iter();
            let values: Vec<_> = values.map(|value| value.to_str().unwrap()).collect();
            let expected = fill(expected);
            let holds = match expected.as_str() {
                "" => values.is_empty(),
                expected => values.iter().any(|value| value.contains(expected)),
            };
            assert!(holds, "{name}: {header} is {values:?}, not {expected:?}");
        }
        for part in self.holds {
            assert!(
                answer.body.contains(part),
                "{name}: no {part} in {answer:?}"
            );
        }
        for part in self.lacks {
            assert!(!answer.body.contains(part), "{name}: {part} in {answer:?}");
        }
        let offered = answer
            .headers
            .get("content-type")
            .is_some_and(|v| v.to_str().unwrap().starts_with(SDP.1) && self.status == 406);
        if self.status >= 400 && self.method != "HEAD" && !offered {
            answer.assert_problem(&name);
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
    let response = respond(router, method, path, headers, body).await;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    }
}

/// The answer whose body may still go on.
async fn respond(
    router: &Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Response {
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
    } else if given("test-proxy") {
        "10.0.0.1:1"
    } else {
        "[::ffff:127.0.0.1]:1"
    };
    let peer: SocketAddr = peer.parse().unwrap();
    let local = LocalAddress([192, 0, 2, 1].into());
    let mut request = request.body(body.into()).unwrap();
    request.extensions_mut().insert(ConnectInfo(peer));
    request.extensions_mut().insert(local);
    router.clone().oneshot(request).await.unwrap()
}

fn app(tokens: Tokens, settings: Settings) -> Router {
    app_of(double::gateway(), tokens, settings)
}

fn app_of(gateway: Gateway, tokens: Tokens, settings: Settings) -> Router {
    router(AppState {
        gateway,
        hls: Arc::new(Library),
        thumbnails: Arc::new(double::Album),
        counters: Arc::new(|| vec![Snapshot::default(); 2]),
        tokens: Arc::new(tokens),
        settings: Arc::new(settings),
    })
}

fn open_app() -> Router {
    app(Tokens::default(), Settings::default())
}
