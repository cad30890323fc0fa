//! The real `tidegate serve` as a process of its own on the measured core, and just enough of an HTTP
//! client to make sessions on it.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tidegate::sdp::IceCredentials;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::cpu::{self, Thread};
use super::peer::PeerIdentity;

/// A running server; ends with this value.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
}

/// A session that a POST made.
#[derive(Debug)]
pub(crate) struct Created {
    pub(crate) credentials: IceCredentials,
    /// The path of the session.
    pub(crate) location: String,
}

impl Server {
    /// One shard, no HLS, and nobody is closed for being silent for a while.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same, with more settings by their environment variables.
    pub(crate) fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::spawn(settings, Stdio::inherit())
    }

    /// The same, with its log in a file.
    pub(crate) fn start_logged(log: &Path, settings: &[(&str, &str)]) -> Self {
        Self::spawn(settings, File::create(log).unwrap().into())
    }

    fn spawn(settings: &[(&str, &str)], log: Stdio) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        // The process inherits the core.
        Thread::current().pin(cpu::MEASURED);
        let process = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["serve", "--shards", "1", "--listen", &address.to_string()])
            .env("TIDEGATE_HLS_ENABLED", "false")
            .env("TIDEGATE_LIMITS_CONSENT_TIMEOUT", "10m")
            .env("TIDEGATE_LOG_FILTER", "warn")
            .envs(settings.iter().copied())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Thread::current().pin(cpu::OTHERS);
        let server = Self { process, address };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "no server");
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }

    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    /// CPU of the media thread, and of all others.
    pub(crate) fn cpu(&self) -> (Duration, Duration) {
        let sum = |name| -> Duration {
            let threads = Thread::named(self.process(), name);
            threads.into_iter().map(Thread::cpu).sum()
        };
        let shard = sum("shard-0");
        (shard, sum("") - shard)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Posts an offer. `kind` is `whip` or `whep`.
pub(crate) async fn post(server: SocketAddr, kind: &str, identity: &PeerIdentity) -> Created {
    post_from(Ipv4Addr::LOCALHOST, server, kind, identity).await
}

/// Posts an offer from a loopback address of its own.
pub(crate) async fn post_from(
    client: Ipv4Addr,
    server: SocketAddr,
    kind: &str,
    identity: &PeerIdentity,
) -> Created {
    let answer = ask(client, server, kind, identity).await;
    created(kind, &answer).unwrap_or_else(|| panic!("{answer}"))
}

/// Posts an offer that may be refused.
pub(crate) async fn try_post(
    server: SocketAddr,
    kind: &str,
    identity: &PeerIdentity,
) -> Option<Created> {
    let answer = ask(Ipv4Addr::LOCALHOST, server, kind, identity).await;
    created(kind, &answer)
}

async fn ask(client: Ipv4Addr, server: SocketAddr, kind: &str, identity: &PeerIdentity) -> String {
    let offer = offer(kind, identity);
    request(client, server, "POST", &format!("/{kind}/bench"), &offer).await
}

fn created(kind: &str, answer: &str) -> Option<Created> {
    if !answer.starts_with("HTTP/1.1 201 ") {
        return None;
    }
    let after = |mark: &str| {
        let (_, rest) = answer.split_once(mark).unwrap();
        rest.lines().next().unwrap().trim().to_owned()
    };
    let location = after("\nlocation: ");
    Some(Created {
        credentials: IceCredentials {
            ufrag: after("a=ice-ufrag:"),
            pwd: after("a=ice-pwd:"),
        },
        location: location[location.find(&format!("/{kind}/")).unwrap()..].to_owned(),
    })
}

/// Ends a session.
pub(crate) async fn delete(server: SocketAddr, location: &str) {
    let answer = request(Ipv4Addr::LOCALHOST, server, "DELETE", location, "").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// Ends a session that may have ended.
pub(crate) async fn try_delete(server: SocketAddr, location: &str) {
    request(Ipv4Addr::LOCALHOST, server, "DELETE", location, "").await;
}

/// The body of a file, and its head.
pub(crate) async fn get(server: SocketAddr, path: &str) -> String {
    request(Ipv4Addr::LOCALHOST, server, "GET", path, "").await
}

/// The body of a file.
pub(crate) async fn get_bytes(server: SocketAddr, path: &str) -> Vec<u8> {
    let mut answer = exchange(Ipv4Addr::LOCALHOST, server, "GET", path, "").await;
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
    answer.split_off(head.unwrap() + 4)
}

async fn request(
    client: Ipv4Addr,
    server: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> String {
    let answer = exchange(client, server, method, path, body).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn exchange(
    client: Ipv4Addr,
    server: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> Vec<u8> {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((client, 0))).unwrap();
    let mut stream = socket.connect(server).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {server}\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

/// What a small client would offer.
fn offer(kind: &str, identity: &PeerIdentity) -> String {
    let direction = match kind {
        "whip" => "sendonly",
        _ => "recvonly",
    };
    let fingerprint = identity.fingerprint;
    let section = |mid, line: &str, formats: &str| {
        format!(
            "{line}\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na={direction}\r\na=rtcp-mux\r\n\
             a=ice-ufrag:peer\r\na=ice-pwd:the-password-of-the-peer\r\n\
             a=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\n{formats}"
        )
    };
    let audio = section(
        0,
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "a=rtpmap:111 opus/48000/2\r\n",
    );
    let video = section(
        1,
        "m=video 9 UDP/TLS/RTP/SAVPF 102 103",
        "a=rtpmap:102 H264/90000\r\n\
         a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n\
         a=rtcp-fb:102 nack\r\na=rtcp-fb:102 nack pli\r\n\
         a=rtpmap:103 rtx/90000\r\na=fmtp:103 apt=102\r\n",
    );
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n{audio}{video}"
    )
}
