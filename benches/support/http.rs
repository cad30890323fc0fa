//! A small HTTP/1.1 client for many connections on one thread, which looks at heads and lets bodies go:
//! the kernel drops them, so that the client costs little of what it measures.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd as _;

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
    pub(crate) etag: String,
    pub(crate) is_gzip: bool,
    /// Bytes of the head in the buffer.
    length: usize,
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

    /// Asks for a path as players in browsers do, and reads the head of the answer.
    pub(crate) async fn ask(&mut self, path: &str) -> io::Result<Head> {
        use std::io::Write as _;
        self.request.clear();
        write!(
            self.request,
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\n\
             User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nConnection: keep-alive\r\n\r\n",
            self.server
        )?;
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

    /// The body of the answer, which must be small.
    pub(crate) async fn body(&mut self, head: &Head) -> io::Result<&[u8]> {
        let end = head.length + head.body;
        assert!(end <= self.buffer.len(), "a body of {} bytes", head.body);
        while self.filled < end {
            match self.read().await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.filled += read,
            }
        }
        Ok(&self.buffer[head.length..end])
    }

    /// Drops the body of the answer; gives its length.
    pub(crate) async fn drop_body(&mut self, head: &Head) -> io::Result<usize> {
        let mut left = (head.length + head.body).saturating_sub(self.filled);
        while left > 0 {
            self.stream.readable().await?;
            let most = left.min(self.buffer.len());
            let dropped = self.stream.try_io(Interest::READABLE, || {
                drop_bytes(&self.stream, &mut self.buffer, most)
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

/// Takes bytes from the socket; the kernel copies none of them (tcp(7), `MSG_TRUNC`).
fn drop_bytes(stream: &TcpStream, buffer: &mut [u8], most: usize) -> io::Result<usize> {
    let flags = MsgFlags::MSG_TRUNC | MsgFlags::MSG_DONTWAIT;
    Ok(recv(stream.as_raw_fd(), &mut buffer[..most], flags)?)
}

impl Head {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let length = 4 + bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let text = std::str::from_utf8(&bytes[..length]).ok()?;
        let mut head = Self {
            status: text.get(9..12)?.parse().ok()?,
            etag: String::new(),
            is_gzip: false,
            length,
            body: 0,
        };
        for (name, value) in text.lines().filter_map(|line| line.split_once(": ")) {
            if name.eq_ignore_ascii_case("content-length") {
                head.body = value.parse().ok()?;
            } else if name.eq_ignore_ascii_case("etag") {
                value.clone_into(&mut head.etag);
            } else if name.eq_ignore_ascii_case("content-encoding") {
                head.is_gzip = value == "gzip";
            }
        }
        Some(head)
    }
}
