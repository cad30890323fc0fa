//! One TCP port for HTTP, HTTPS and ICE, over real sockets, and who can't keep others out of it.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidegate::front::{Entrances, Front, IceHandler, Limits, Listeners, Scheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::support::peer::PATIENCE;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
/// A binding request, framed (RFC 4571).
const CHECK: &[u8] = b"\x00\x14\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl";
const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
/// As long as no test takes.
const LONG: Duration = Duration::from_secs(600);

struct Door {
    front: Front,
    web: SocketAddr,
    ice: mpsc::UnboundedReceiver<(std::net::TcpStream, Vec<u8>)>,
}

impl Door {
    async fn open(limits: Limits) -> Self {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        Self::at(vec![any], vec![any], limits).await
    }

    async fn at(web: Vec<SocketAddr>, ice: Vec<SocketAddr>, limits: Limits) -> Self {
        let listeners = Listeners::bind(Entrances { web, ice }).await.unwrap();
        let web = listeners.entrances().web[0];
        let (took, ice) = mpsc::unbounded_channel();
        let handler: IceHandler = Arc::new(move |stream, first| {
            let _ = took.send((stream, first));
        });
        Self {
            front: Front::new(listeners, None, Some(handler), limits),
            web,
            ice,
        }
    }

    async fn connect(&self, first: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.web).await.unwrap();
        stream.write_all(first).await.unwrap();
        stream
    }

    /// Lets in until `what` has happened; nothing that speaks HTTP may come meanwhile.
    async fn while_open<T>(&mut self, what: impl Future<Output = T>) -> T {
        let happened = tokio::time::timeout(PATIENCE, what);
        tokio::select! {
            happened = happened => happened.expect("it happens in time"),
            connection = self.front.accept() => panic!("{connection:?} got in"),
        }
    }

    /// The first bytes of the next connection that speaks HTTP.
    async fn request(&mut self, length: usize) -> Vec<u8> {
        let accepted = tokio::time::timeout(PATIENCE, self.front.accept()).await;
        let mut connection = accepted.expect("a connection gets in");
        assert_eq!(connection.scheme, Scheme::Http);
        assert_eq!(connection.local, self.web);
        let mut request = vec![0; length];
        connection.stream.read_exact(&mut request).await.unwrap();
        request
    }
}

fn few() -> Limits {
    Limits {
        opening: 8,
        opening_per_address: 8,
        opening_timeout: LONG,
    }
}

async fn ends(stream: &mut TcpStream) {
    let mut buffer = [0; 64];
    // What was not read here makes an end a reset.
    let end = stream.read(&mut buffer).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}

#[tokio::test]
async fn a_request_gets_in_whole_though_its_bytes_come_one_by_one() {
    let mut door = Door::open(Limits::default()).await;
    let mut client = door.connect(b"").await;
    let sending = async {
        for byte in REQUEST {
            client.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let (request, ()) = tokio::join!(door.request(REQUEST.len()), sending);
    assert_eq!(request, REQUEST);
}

#[tokio::test]
async fn ice_is_handed_over_with_the_bytes_that_were_read() {
    let mut door = Door::open(Limits::default()).await;
    let mut client = door.connect(&CHECK[..7]).await;
    let handed_over = async {
        tokio::task::yield_now().await;
        client.write_all(&CHECK[7..]).await.unwrap();
    };
    door.while_open(handed_over).await;
    let (front, ice) = (&mut door.front, &mut door.ice);
    let (mut stream, mut got) = tokio::select! {
        taken = ice.recv() => taken.unwrap(),
        connection = front.accept() => panic!("{connection:?} got in"),
    };
    stream.set_nonblocking(false).unwrap();
    assert!(stream.nodelay().unwrap());
    let read = got.len();
    got.resize(CHECK.len(), 0);
    stream.read_exact(&mut got[read..]).unwrap();
    assert_eq!(got, CHECK);
    stream.write_all(b"answer").unwrap();
    let mut answer = [0; 6];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"answer");
}

#[tokio::test]
async fn what_is_no_protocol_of_ours_is_closed_at_once() {
    let mut door = Door::open(few()).await;
    for garbage in [
        &b"\x00\x00\x00\x00\x00\x00\x00\x00"[..],
        b"\xff\xff\xff\xff",
        b"\x03\x00\x00\x00\x00\x00\x00",
        // TLS where there is none.
        CLIENT_HELLO,
    ] {
        let mut client = door.connect(garbage).await;
        door.while_open(ends(&mut client)).await;
    }
    // A connection that ends before it has said anything leaves nothing behind.
    for _ in 0..100 {
        let mut client = door.connect(b"").await;
        client.shutdown().await.unwrap();
        door.while_open(ends(&mut client)).await;
    }
}

#[tokio::test]
async fn a_connection_that_does_not_begin_is_ended_in_time() {
    let limits = Limits {
        opening_timeout: Duration::from_millis(50),
        ..Limits::default()
    };
    let mut door = Door::open(limits).await;
    for begin in [&b""[..], &CHECK[..9], b"\x16"] {
        let mut client = door.connect(begin).await;
        door.while_open(ends(&mut client)).await;
    }
}

#[tokio::test]
async fn many_silent_connections_keep_nobody_out() {
    let mut door = Door::open(few()).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(door.connect(&CHECK[..3]).await);
    }
    let client = door.connect(REQUEST).await;
    assert_eq!(door.request(REQUEST.len()).await, REQUEST);
    drop(client);
    // The oldest had to make room, the newest are still waited for.
    for old in &mut silent[..40] {
        door.while_open(ends(old)).await;
    }
    let newest = silent.last_mut().unwrap();
    assert!(newest.try_read(&mut [0]).is_err(), "it is still open");
}

#[tokio::test]
async fn an_address_that_is_for_media_alone_takes_no_http() {
    let web: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let ice: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let mut door = Door::at(vec![web], vec![ice], few()).await;
    let elsewhere = SocketAddr::from(([127, 0, 0, 2], door.web.port()));
    let mut refused = TcpStream::connect(elsewhere).await.unwrap();
    refused.write_all(REQUEST).await.unwrap();
    door.while_open(ends(&mut refused)).await;
    let mut check = TcpStream::connect(elsewhere).await.unwrap();
    check.write_all(CHECK).await.unwrap();
    let (front, ice) = (&mut door.front, &mut door.ice);
    tokio::select! {
        taken = ice.recv() => assert_eq!(taken.unwrap().1, CHECK),
        connection = front.accept() => panic!("{connection:?} got in"),
    }
    let client = door.connect(REQUEST).await;
    assert_eq!(door.request(REQUEST.len()).await, REQUEST);
    drop(client);
}
