//! What only shows on a socket: row E18, and the end of the server.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::front::{Entrances, Front, Limits, Listeners};
use crate::http::serve::Server as Http;
use crate::http::{ConnectionLimits, PlainHttp};

const LONG: Duration = Duration::from_secs(20);

struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        Self::with_header_timeout(LONG).await
    }

    async fn with_header_timeout(timeout: Duration) -> Self {
        Self::with(timeout, LONG, 100).await
    }

    async fn with(timeout: Duration, write_timeout: Duration, connections: usize) -> Self {
        let listeners = Listeners::bind(Entrances {
            web: vec!["127.0.0.1:0".parse().unwrap()],
            ice: Vec::new(),
        });
        let listeners = listeners.await.unwrap();
        let address = listeners.entrances().web[0];
        let limits = Limits {
            opening_timeout: timeout,
            ..Limits::default()
        };
        let front = Front::new(listeners, None, None, limits);
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            let _ = stopped.await;
        };
        let http = Http {
            router: open_app(),
            plain: PlainHttp::Serve,
            limits: ConnectionLimits {
                in_all: connections,
                of_address: connections,
            },
            header_timeout: timeout,
            write_timeout,
        };
        let task = tokio::spawn(http.run(front, stopped));
        Self {
            address,
            stop,
            task,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// Reads until the head of an answer of this status has come.
async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut got = Vec::new();
    while !String::from_utf8_lossy(&got).contains(text) {
        let read = stream.read_buf(&mut got);
        let read = tokio::time::timeout(Duration::from_secs(20), read).await;
        assert_ne!(
            read.expect("an answer").unwrap(),
            0,
            "{}",
            String::from_utf8_lossy(&got)
        );
    }
    String::from_utf8_lossy(&got).into_owned()
}

/// Begins a request that lasts, if it is let in.
async fn begin(server: &Server) -> Option<TcpStream> {
    const HEAD: &[u8] = b"POST /whip/live HTTP/1.1\r\nHost: a\r\nContent-Type: application/sdp\r\n\
        Content-Length: 9\r\nExpect: 100-continue\r\n\r\n";
    ask(server, HEAD).await
}

/// Sends a request and reads the first line of the answer, if there is one.
async fn ask(server: &Server, request: &[u8]) -> Option<TcpStream> {
    let mut stream = server.connect().await;
    // What is closed with unread bytes may be reset.
    let _ = stream.write_all(request).await;
    let mut answer = [0; 12];
    let read = tokio::time::timeout(LONG, stream.read_exact(&mut answer)).await;
    let served = read.expect("an answer or the end").is_ok();
    served.then_some(stream)
}

#[tokio::test]
async fn a_connection_too_many_is_closed_until_another_one_ends() {
    let server = Server::with(LONG, LONG, 2).await;
    let first = begin(&server).await.expect("served");
    let _second = begin(&server).await.expect("served");
    assert!(begin(&server).await.is_none());
    assert!(begin(&server).await.is_none());
    drop(first);
    // It takes a moment until the server has seen it.
    let next = async {
        loop {
            if let Some(next) = begin(&server).await {
                break next;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let next = tokio::time::timeout(LONG, next).await;
    next.expect("there is room again");
}

#[tokio::test]
async fn the_longest_idle_connection_makes_room() {
    const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let server = Server::with(LONG, LONG, 3).await;
    let _busy = begin(&server).await.expect("served");
    let mut idle = Vec::new();
    for _ in 0..2 {
        let mut stream = ask(&server, REQUEST).await.expect("served");
        read_until(&mut stream, "ok").await;
        idle.push(stream);
    }
    ask(&server, REQUEST).await.expect("room is made");
    let end = tokio::time::timeout(LONG, idle[0].read(&mut [0; 16])).await;
    assert_eq!(end.expect("the end").unwrap(), 0);
    // The one that was idle for less is still served.
    idle[1].write_all(REQUEST).await.unwrap();
    read_until(&mut idle[1], "ok").await;
}

#[tokio::test]
async fn a_client_that_waits_for_100_gets_it_at_once() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    let head = format!(
        "POST /whip/live HTTP/1.1\r\nHost: a\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        OFFER.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    read_until(&mut stream, "100 Continue").await;
    stream.write_all(OFFER.as_bytes()).await.unwrap();
    read_until(&mut stream, "201 Created").await;
}

#[tokio::test]
async fn a_client_that_waits_for_100_is_refused_before_it_sends() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    let head = "POST /whip/live HTTP/1.1\r\nHost: a\r\nContent-Type: application/sdp\r\n\
                Content-Length: 10485760\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_until(&mut stream, "413").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn a_client_that_sends_a_large_body_reads_why_it_is_refused() {
    let server = Server::start().await;
    for (head, status) in [
        (
            "POST /whip/live HTTP/1.1\r\nContent-Type: application/sdp",
            "413",
        ),
        (
            "POST /whip/live HTTP/1.1\r\nContent-Type: text/plain",
            "415",
        ),
        ("PUT /whip/live HTTP/1.1", "405"),
        ("POST /nothing HTTP/1.1", "404"),
    ] {
        let mut stream = server.connect().await;
        let head = format!("{head}\r\nHost: a\r\nContent-Length: 10485760\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b'a'; 10_485_760]).await.unwrap();
        let answer = read_until(&mut stream, "\"status\"").await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn the_peer_is_known_to_the_routes() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    let request = format!(
        "POST /whip/live HTTP/1.1\r\nHost: a\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{OFFER}",
        OFFER.len()
    );
    // Publishing without a token is open to loopback peers only.
    stream.write_all(request.as_bytes()).await.unwrap();
    read_until(&mut stream, "201 Created").await;
}

#[tokio::test]
async fn the_end_waits_for_no_idle_connection() {
    let server = Server::start().await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    read_until(&mut idle, "ok").await;
    server.stop.send(()).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(4), server.task).await;
    ended.expect("the server ends").unwrap();
    assert_eq!(idle.read(&mut [0; 16]).await.unwrap(), 0);
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// HEADERS that end stream 1: GET, http, /healthz, a (RFC 7541, section 6).
const HEALTH: &[u8] = b"\0\0\x0f\x01\x05\0\0\0\x01\x82\x86\x04\x08/healthz\x01\x01a";
/// Types of frames (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const GOAWAY: u8 = 7;

/// The types of the frames that come until the end.
async fn frames(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(LONG, stream.read_to_end(&mut answer)).await;
    read.expect("an end").unwrap();
    let (mut rest, mut kinds) = (&*answer, Vec::new());
    while let [_, high, low, kind, ..] = rest {
        kinds.push(*kind);
        rest = &rest[9 + usize::from(u16::from_be_bytes([*high, *low]))..];
    }
    kinds
}

#[tokio::test]
async fn who_does_not_read_an_answer_over_http_2_is_closed() {
    let server = Server::with(LONG, Duration::from_millis(200), 100).await;
    let mut stream = server.connect().await;
    // SETTINGS: no room for the bodies of answers, SETTINGS_INITIAL_WINDOW_SIZE = 0 (RFC 9113, section 6.5).
    let settings = b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0";
    let bytes = [PREFACE, &settings[..], HEALTH].concat();
    stream.write_all(&bytes).await.unwrap();
    let kinds = frames(&mut stream).await;
    // The head, and nothing of the body.
    let [data, headers] = [DATA, HEADERS].map(|kind| kinds.contains(&kind));
    assert!(headers && !data, "{kinds:?}");
}

/// The client answers nothing, neither GOAWAY nor pings.
#[tokio::test]
async fn a_connection_over_http_2_that_asks_for_nothing_more_is_ended() {
    let server = Server::with(Duration::from_millis(200), LONG, 100).await;
    let mut stream = server.connect().await;
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    let bytes = [PREFACE, &settings[..], HEALTH].concat();
    stream.write_all(&bytes).await.unwrap();
    let kinds = frames(&mut stream).await;
    for kind in [HEADERS, DATA, GOAWAY] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
}

#[tokio::test]
async fn a_connection_that_asks_for_nothing_is_ended() {
    let server = Server::with_header_timeout(Duration::from_millis(50)).await;
    // Whether it says nothing at all, or begins a request and goes no further.
    for begin in ["", "G"] {
        let mut silent = server.connect().await;
        silent.write_all(begin.as_bytes()).await.unwrap();
        let read = tokio::time::timeout(LONG, silent.read(&mut [0; 16])).await;
        assert_eq!(read.expect("the end").unwrap(), 0, "{begin:?}");
    }
}
