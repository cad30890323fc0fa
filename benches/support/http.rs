//! The parts of a small HTTP/1.1 client that looks at heads and lets bodies go: the kernel drops them, so that the
//! client costs little of what it measures.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, recv};
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::{TcpSocket, TcpStream};

/// A connection that is kept for request after request.
pub(crate) struct Connection {
    stream: TcpStream,
    server: SocketAddr,
    request: Vec<u8>,
    /// What was read; a head, and what came with it.
    buffer: Vec<u8>,
    filled: usize,
}

/// The head of an answer. The body is still to be read or dropped.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Where the value of `ETag` is in the head; empty for none.
    pub(crate) etag: Range<usize>,
    pub(crate) is_gzip: bool,
    /// Bytes of the head.
    pub(crate) length: usize,
    /// Bytes of the body.
    pub(crate) body: usize,
}

impl Connection {
    pub(crate) async fn open(server: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let stream = socket.connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            server,
            request: Vec::with_capacity(512),
            buffer: vec![0; 64 << 10],
            filled: 0,
        })
    }

    /// Asks for a path, and reads the head of the answer.
    pub(crate) async fn ask(&mut self, path: &str) -> io::Result<Head> {
        self.request.clear();
        write_request(&mut self.request, self.server, path);
        self.stream.write_all(&self.request).await?;
        self.filled = 0;
        loop {
            let read = self.read().await?;
            self.filled += read;
            if let Some(head) = Head::parse(&self.buffer[..self.filled]) {
                return Ok(head);
            }
            if read == 0 || self.filled == self.buffer.len() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn read(&mut self) -> io::Result<usize> {
        let (stream, filled) = (&self.stream, self.filled);
        let rest = &mut self.buffer[filled..];
        loop {
            stream.readable().await?;
            match stream.try_read(rest) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }

    /// Drops the body of the answer; gives its length.
    pub(crate) async fn drop_body(&mut self, head: &Head) -> io::Result<usize> {
        let mut left = (head.length + head.body).saturating_sub(self.filled);
        while left > 0 {
            self.stream.readable().await?;
            let most = left.min(self.buffer.len());
            let dropped = self.stream.try_io(Interest::READABLE, || {
                drop_bytes(&self.stream, &mut self.buffer[..most])
            });
            match dropped {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => left -= count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(head.body)
    }
}

/// A request as players in browsers make it.
pub(crate) fn write_request(request: &mut Vec<u8>, server: SocketAddr, path: &str) {
    use std::io::Write as _;
    write!(
        request,
        "GET {path} HTTP/1.1\r\nHost: {server}\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nConnection: keep-alive\r\n\r\n",
    )
    .unwrap();
}

/// Takes as many bytes from the socket as `place` has room for, or fewer; the kernel copies none of them (tcp(7),
/// `MSG_TRUNC`).
pub(crate) fn drop_bytes(stream: &impl AsRawFd, place: &mut [u8]) -> io::Result<usize> {
    let flags = MsgFlags::MSG_TRUNC | MsgFlags::MSG_DONTWAIT;
    Ok(recv(stream.as_raw_fd(), place, flags)?)
}

impl Head {
    /// None while there is more to come.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let length = 4 + bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let text = std::str::from_utf8(&bytes[..length]).ok()?;
        let mut head = Self {
            status: text.get(9..12)?.parse().ok()?,
            etag: 0..0,
            is_gzip: false,
            length,
            body: 0,
        };
        let mut end = 0;
        for line in text.split_inclusive("\r\n") {
            end += line.len();
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                continue;
            };
            if name.eq_ignore_ascii_case("content-length") {
                head.body = value.parse().ok()?;
            } else if name.eq_ignore_ascii_case("etag") {
                head.etag = end - 2 - value.len()..end - 2;
            } else if name.eq_ignore_ascii_case("content-encoding") {
                head.is_gzip = value == "gzip";
            }
        }
        Some(head)
    }
}
