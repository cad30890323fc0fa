//! What a peer's datagrams go over: UDP, or TCP with the framing of RFC 4571.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

/// A socket to the server.
pub(crate) enum Wire {
    Udp {
        socket: UdpSocket,
        server: SocketAddr,
        buffer: Vec<u8>,
    },
    Tcp {
        stream: TcpStream,
        /// What came and was not looked at.
        received: Vec<u8>,
        /// Into how large pieces what is sent is cut.
        piece: usize,
    },
}

impl Wire {
    /// A UDP socket of the same family as the server's.
    pub(super) async fn udp(server: SocketAddr) -> Self {
        let any = match server {
            SocketAddr::V4(_) => "127.0.0.1:0",
            SocketAddr::V6(_) => "[::1]:0",
        };
        Self::Udp {
            socket: UdpSocket::bind(any).await.unwrap(),
            server,
            buffer: vec![0; 2048],
        }
    }

    /// A connection to `door`.
    pub(super) async fn tcp(door: SocketAddr) -> Self {
        let stream = TcpStream::connect(door).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::Tcp {
            stream,
            received: Vec::new(),
            piece: usize::MAX,
        }
    }

    /// Cuts what is sent by TCP into so large pieces.
    pub(crate) fn cut(&mut self, len: usize) {
        if let Self::Tcp { piece, .. } = self {
            *piece = len;
        }
    }

    pub(super) async fn send(&mut self, datagram: &[u8]) {
        match self {
            Self::Udp { socket, server, .. } => {
                socket.send_to(datagram, *server).await.unwrap();
            }
            // What the server has closed is noticed by what does not come.
            Self::Tcp { stream, piece, .. } => {
                for piece in frame(datagram).chunks(*piece) {
                    let _ = stream.write_all(piece).await;
                }
            }
        }
    }

    /// The next datagram. Waits for ever where there is none; cancelling it loses nothing.
    pub(super) async fn recv(&mut self) -> Vec<u8> {
        loop {
            match self {
                Self::Udp { socket, buffer, .. } => {
                    // An ICMP error comes out of the socket too; it means nothing here.
                    if let Ok((len, _)) = socket.recv_from(buffer).await {
                        return buffer[..len].to_vec();
                    }
                }
                Self::Tcp {
                    stream, received, ..
                } => {
                    if let Some(datagram) = take_frame(received) {
                        return datagram;
                    }
                    if !matches!(stream.read_buf(received).await, Ok(1..)) {
                        std::future::pending::<()>().await;
                    }
                }
            }
        }
    }
}

/// RFC 4571, section 2.
pub(crate) fn frame(datagram: &[u8]) -> Vec<u8> {
    let len = u16::try_from(datagram.len()).unwrap();
    [&len.to_be_bytes(), datagram].concat()
}

fn take_frame(received: &mut Vec<u8>) -> Option<Vec<u8>> {
    let len = usize::from(u16::from_be_bytes(*received.first_chunk()?));
    let frame = received.get(2..2 + len)?.to_vec();
    received.drain(..2 + len);
    Some(frame)
}
