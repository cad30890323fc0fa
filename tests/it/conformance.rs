//! `tidegate check whip|whep`: our own server passes, and a bad one is caught fault by fault.
//!
//! The program runs as a user runs it, over real sockets.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::support::server::Server;

/// Runs the check; its exit status and report.
async fn check(arguments: &[&str]) -> (i32, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .arg("check")
        .args(arguments)
        .arg("--json")
        .env_clear()
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let report = serde_json::from_str(&text).unwrap_or_else(|error| {
        let stderr = String::from_utf8_lossy(&output.stderr);
        panic!("{error}: {text}\n{stderr}")
    });
    (output.status.code().unwrap(), report)
}

/// The rules with a verdict, with what was expected and what came.
fn rules(report: &Value, verdict: &str) -> Vec<String> {
    let rules = report["rules"].as_array().unwrap().iter();
    rules
        .filter(|rule| rule["verdict"] == verdict)
        .map(|rule| format!("{}: {} / {}", rule["id"], rule["expected"], rule["got"]))
        .collect()
}

/// A report without any failure, of a check that was whole and left nothing behind.
fn assert_clean(status: i32, report: &Value) {
    let failed = rules(report, "fail");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert_eq!(status, 0, "{report}");
    assert_eq!(report["incomplete"], Value::Null);
    assert_eq!(report["leftovers"], serde_json::json!([]));
    assert!(report["summary"]["pass"].as_u64().unwrap() > 70, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_whip_endpoint_keeps_every_rule() {
    let server = Server::start(|settings| {
        settings.auth.publish_token = Some("right".to_owned().into());
        settings.auth.play_token = Some("right".to_owned().into());
    })
    .await;
    let url = server.whip("checked");
    let (status, report) = check(&["whip", &url, "--token", "right", "--strict"]).await;
    assert_clean(status, &report);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_whep_endpoint_keeps_every_rule_that_has_to_hold() {
    let server = Server::start(|settings| {
        settings.auth.publish_token = Some("right".to_owned().into());
        settings.auth.play_token = Some("right".to_owned().into());
    })
    .await;
    let (url, publish) = (server.whep("checked"), server.whip("checked"));
    let arguments = ["whep", &url, "--token", "right", "--via-whip", &publish];
    let (status, report) = check(&arguments).await;
    // Some players send no If-Match, so by default it may be missing.
    let failed = rules(&report, "fail");
    let lenient = |rule: &&String| rule.starts_with("\"ice.if-match-missing\"");
    let others: Vec<_> = failed.iter().filter(|rule| !lenient(rule)).collect();
    assert!(others.is_empty(), "{others:#?}");
    assert_eq!((status, &report["incomplete"]), (0, &Value::Null));
    assert_eq!(report["leftovers"], serde_json::json!([]));
}

#[tokio::test]
async fn without_a_server_or_the_token_it_can_not_be_run() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["check", "whip", &format!("http://{address}/whip/a")])
        .env_clear()
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let server = Server::start(|settings| {
        settings.auth.publish_token = Some("right".to_owned().into());
    })
    .await;
    let (status, report) = check(&["whip", &server.whip("a"), "--no-media"]).await;
    assert_eq!(status, 2);
    let why = report["incomplete"].as_str().unwrap();
    assert!(why.contains("--token"), "{why}");
}

/// What is wrong with the bad server, and the rule that tells. Without media.
const FAULTS: &[(&str, &str)] = &[
    ("200 for 201", "endpoint.created"),
    ("no location", "endpoint.location"),
    ("answer as text", "endpoint.content-type"),
    ("302", "endpoint.redirect"),
    ("page for get", "endpoint.get"),
    ("no options", "endpoint.options"),
    ("no accept-post", "endpoint.accept-post"),
    ("takes anything", "offer.garbage"),
    ("takes anything", "offer.wrong-type"),
    ("takes anything", "offer.short-ufrag"),
    ("takes anything", "offer.no-fingerprint"),
    ("500 for nonsense", "http.no-5xx"),
    ("sendrecv", "answer.direction"),
    ("no bundle", "answer.bundle"),
    ("no candidates", "answer.candidates"),
    ("counted sessions", "session.secret"),
    ("delete needs if-match", "session.delete"),
    ("204 for delete", "session.delete-200"),
    ("sessions never end", "session.delete-again"),
    ("sessions never end", "session.get-deleted"),
    ("weak etag", "ice.etag-strong"),
    ("if-match is not read", "ice.if-match-missing"),
    ("if-match is not read", "ice.if-match-stale"),
    ("200 for trickle", "ice.trickle"),
    ("same credentials", "ice.restart-credentials"),
    ("same etag", "ice.restart-etag"),
    ("same etag", "ice.restart-old-etag"),
    ("broken restart ends it", "ice.restart-broken-keeps"),
    ("no cors", "cors.preflight"),
    ("nothing exposed", "cors.expose-location"),
    ("no challenge", "auth.challenge"),
    ("delete without token", "auth.delete"),
    ("405 without allow", "http.method"),
    ("plain errors", "http.problem"),
    ("bad link", "link.form"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_one_fault_is_caught_by_the_rule_about_it() {
    let (address, bad) = Bad::start().await;
    let url = format!("http://{address}/whip/a");
    let run = async |fault: &'static str, only: &'static str| {
        bad.set(fault);
        let mut arguments = vec!["whip", &url, "--token", "right", "--no-media"];
        if !only.is_empty() {
            arguments.extend(["--only", only, "--strict"]);
        }
        check(&arguments).await
    };
    let (status, report) = run("", "").await;
    let failed = rules(&report, "fail");
    assert_eq!((status, failed), (0, Vec::new()), "it has no fault yet");
    for (fault, rule) in FAULTS {
        let (status, report) = run(fault, rule).await;
        let failed = rules(&report, "fail");
        assert_eq!((status, failed.len()), (1, 1), "{fault}, {rule}: {report}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_refuses_to_end_is_told() {
    let (address, bad) = Bad::start().await;
    bad.set("no delete");
    let url = format!("http://{address}/whip/a");
    let (status, report) = check(&["whip", &url, "--token", "right", "--no-media"]).await;
    assert_eq!(status, 1);
    let leftovers = report["leftovers"].as_array().unwrap();
    assert!(!leftovers.is_empty(), "{report}");
    assert!(
        leftovers[0].as_str().unwrap().starts_with("403"),
        "{leftovers:?}"
    );
}

/// A WHIP server without media that has at most one fault, by its name.
#[derive(Clone, Default)]
struct Bad(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    fault: &'static str,
    /// Sessions and their tags; an offer's credentials.
    sessions: HashMap<String, u64>,
    next: u64,
}

const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

impl Bad {
    async fn start() -> (SocketAddr, Self) {
        let bad = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(serve).with_state(bad.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (address, bad)
    }

    fn set(&self, fault: &'static str) {
        *self.0.lock().unwrap() = Inner {
            fault,
            ..Inner::default()
        };
    }
}

async fn serve(State(bad): State<Bad>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if parts.version == axum::http::Version::HTTP_11 && !parts.headers.contains_key(header::HOST) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let path = parts.uri.path().trim_start_matches("/whip/a").to_owned();
    let is_allowed = parts
        .headers
        .get(header::AUTHORIZATION)
        .is_some_and(|value| value == "Bearer right");
    let is_refused =
        matches!(parts.method, Method::POST | Method::PATCH | Method::DELETE) && !is_allowed;
    let fault = bad.0.lock().unwrap().fault;
    // Refused before its body is asked for, as it should be.
    if is_refused && !(fault == "delete without token" && parts.method == Method::DELETE) {
        return finish(fault, &parts.headers, problem(fault, 401));
    }
    // Read to the end in any case: closing with something unread would cost the client the answer.
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let mut inner = bad.0.lock().unwrap();
    let response = match body {
        body if body.len() > 1 << 20 => problem(fault, 413),
        body if path.is_empty() => endpoint(&mut inner, &parts.method, &parts.headers, &body),
        body => {
            let id = path.trim_start_matches('/');
            session(&mut inner, id, &parts.method, &parts.headers, &body)
        }
    };
    finish(fault, &parts.headers, response)
}

/// CORS.
fn finish(fault: &str, request: &HeaderMap, mut response: Response) -> Response {
    if fault == "no cors" || !request.contains_key(header::ORIGIN) {
        return response;
    }
    let mut set = |name: &'static str, value: &'static str| {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    };
    set("access-control-allow-origin", "*");
    set(
        "access-control-allow-headers",
        "authorization, content-type, if-match",
    );
    set("access-control-allow-methods", "POST, PATCH, DELETE");
    if fault != "nothing exposed" {
        set("access-control-expose-headers", "location, etag, link");
    }
    response
}

fn problem(fault: &str, status: u16) -> Response {
    let status = match (fault, status) {
        ("500 for nonsense", 400) => 500,
        (_, status) => status,
    };
    let mut response = Response::builder().status(status);
    if status == 401 && fault != "no challenge" {
        response = response.header(header::WWW_AUTHENTICATE, "Bearer");
    }
    if status == 405 && fault != "405 without allow" {
        response = response.header(header::ALLOW, "POST");
    }
    if fault == "plain errors" {
        return response.body(Body::from("no")).unwrap();
    }
    response
        .header(header::CONTENT_TYPE, "application/problem+json")
        .body(Body::from(r#"{"status":400,"detail":"Send another."}"#))
        .unwrap()
}

fn endpoint(inner: &mut Inner, method: &Method, headers: &HeaderMap, body: &[u8]) -> Response {
    let fault = inner.fault;
    match *method {
        Method::POST => create(inner, headers, body),
        Method::GET | Method::HEAD if fault == "page for get" => "<html>".into_response(),
        Method::GET | Method::HEAD => StatusCode::NO_CONTENT.into_response(),
        Method::OPTIONS if fault == "no options" => problem(fault, 405),
        Method::OPTIONS if fault == "no accept-post" => StatusCode::OK.into_response(),
        Method::OPTIONS => [("accept-post", "application/sdp")].into_response(),
        _ => problem(fault, 405),
    }
}

fn create(inner: &mut Inner, headers: &HeaderMap, body: &[u8]) -> Response {
    let fault = inner.fault;
    if fault == "302" {
        return (StatusCode::FOUND, [("location", "/elsewhere")]).into_response();
    }
    let offer = String::from_utf8_lossy(body).into_owned();
    if fault != "takes anything" {
        let kind = headers[header::CONTENT_TYPE]
            .to_str()
            .unwrap()
            .to_ascii_lowercase();
        if !kind.starts_with("application/sdp") {
            return problem(fault, 415);
        }
        if let Err(status) = judge(&offer) {
            return problem(fault, status);
        }
    }
    inner.next += 1;
    let id = match fault {
        "counted sessions" => inner.next.to_string(),
        _ => format!("{:032x}", rand_like(inner.next)),
    };
    inner.sessions.insert(id.clone(), 1);
    let status = if fault == "200 for 201" { 200 } else { 201 };
    let kind = if fault == "answer as text" {
        "text/plain"
    } else {
        "application/sdp"
    };
    let etag = if fault == "weak etag" {
        "W/\"1\""
    } else {
        "\"1\""
    };
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, kind)
        .header(header::ETAG, etag);
    if fault != "no location" {
        response = response.header(header::LOCATION, format!("/whip/a/{id}"));
    }
    let link = match fault {
        "bad link" => "stun:stun.example; rel=\"ice-server\"",
        _ => "<stun:stun.example>; rel=\"ice-server\"",
    };
    let response = response.header(header::LINK, link);
    response.body(Body::from(answer(fault, &offer))).unwrap()
}

/// Numbers without a pattern that shows.
fn rand_like(number: u64) -> u128 {
    let mixed = |salt: u64| {
        (number ^ salt)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(31)
    };
    let half =
        |salt: u64| u128::from(mixed(salt).wrapping_mul(0xBF58_476D_1CE4_E5B9) ^ mixed(salt));
    half(0xA5A5) << 64 | half(0x5A5A)
}

/// What a server has to look at in an offer.
fn judge(offer: &str) -> Result<(), u16> {
    let value = |name: &str| offer.lines().find_map(|line| line.strip_prefix(name));
    let len = |name: &str| value(name).map_or(0, str::len);
    let is_whole = offer.starts_with("v=0")
        && offer.contains("m=")
        && len("a=ice-ufrag:") >= 4
        && len("a=ice-pwd:") >= 22
        && len("a=fingerprint:sha-256 ") == 95;
    if !is_whole {
        return Err(400);
    }
    let is_served = offer.contains("a=sendonly")
        && offer.matches("m=video").count() <= 1
        && !offer.contains("TIDEGATE-CHECK");
    if is_served { Ok(()) } else { Err(422) }
}

fn answer(fault: &str, offer: &str) -> String {
    let direction = if fault == "sendrecv" {
        "sendrecv"
    } else {
        "recvonly"
    };
    let setup = if offer.contains("a=setup:passive") {
        "active"
    } else {
        "passive"
    };
    let mids = if offer.contains("m=video") {
        "0 1"
    } else {
        "0"
    };
    let mut text = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-lite\r\n".to_owned();
    if fault != "no bundle" {
        text.push_str(&format!("a=group:BUNDLE {mids}\r\n"));
    }
    let media = [
        ("audio", "111", "opus/48000/2"),
        ("video", "96", "VP8/90000"),
    ];
    for (mid, (kind, number, codec)) in media.into_iter().enumerate() {
        if !offer.contains(&format!("m={kind}")) {
            continue;
        }
        text.push_str(&format!(
            "m={kind} 9 UDP/TLS/RTP/SAVPF {number}\r\na=rtpmap:{number} {codec}\r\na=mid:{mid}\r\n\
             a={direction}\r\na=setup:{setup}\r\na=rtcp-mux\r\na=ice-ufrag:serv\r\n\
             a=ice-pwd:the-password-of-a-server\r\na=fingerprint:sha-256 {}\r\n",
            vec!["AB"; 32].join(":")
        ));
        if fault != "no candidates" {
            text.push_str("a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host\r\n");
        }
    }
    text
}

fn session(
    inner: &mut Inner,
    id: &str,
    method: &Method,
    headers: &HeaderMap,
    body: &[u8],
) -> Response {
    let fault = inner.fault;
    if *method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    let Some(tag) = inner.sessions.get(id).copied() else {
        return problem(fault, 404);
    };
    let if_match = headers
        .get(header::IF_MATCH)
        .map(|value| value.to_str().unwrap());
    match *method {
        Method::GET | Method::HEAD => StatusCode::NO_CONTENT.into_response(),
        Method::DELETE if fault == "no delete" => problem(fault, 403),
        Method::DELETE if fault == "delete needs if-match" && if_match.is_some() => {
            problem(fault, 412)
        }
        Method::DELETE => {
            if fault != "sessions never end" {
                inner.sessions.remove(id);
            }
            match fault {
                "204 for delete" => StatusCode::NO_CONTENT.into_response(),
                _ => StatusCode::OK.into_response(),
            }
        }
        Method::PATCH => patch(inner, id, tag, if_match, headers, body),
        _ => problem(fault, 405),
    }
}

fn patch(
    inner: &mut Inner,
    id: &str,
    tag: u64,
    if_match: Option<&str>,
    headers: &HeaderMap,
    body: &[u8],
) -> Response {
    let fault = inner.fault;
    let text = String::from_utf8_lossy(body);
    let restarts = matches!(if_match, Some("*" | "\"*\""));
    if headers[header::CONTENT_TYPE] != FRAGMENT {
        return problem(fault, 415);
    }
    let password = text
        .lines()
        .find_map(|line| line.strip_prefix("a=ice-pwd:"));
    if password.is_none_or(|password| password.len() < 22) {
        if fault == "broken restart ends it" && restarts {
            inner.sessions.remove(id);
        }
        return problem(fault, 400);
    }
    match if_match {
        _ if restarts => {}
        _ if fault == "if-match is not read" => {}
        None => return problem(fault, 428),
        Some(given) if given.trim_start_matches("W/") != format!("\"{tag}\"") => {
            return problem(fault, 412);
        }
        Some(_) => {}
    }
    if !restarts {
        return match fault {
            "200 for trickle" => StatusCode::OK.into_response(),
            _ => StatusCode::NO_CONTENT.into_response(),
        };
    }
    let tag = if fault == "same etag" { tag } else { tag + 1 };
    inner.sessions.insert(id.to_owned(), tag);
    let ufrag = if fault == "same credentials" {
        "serv".to_owned()
    } else {
        format!("new{tag}")
    };
    let body =
        format!("a=ice-lite\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:another-password-of-a-server\r\n");
    let headers = [
        (header::CONTENT_TYPE, FRAGMENT.to_owned()),
        (header::ETAG, format!("\"{tag}\"")),
    ];
    (headers, body).into_response()
}
