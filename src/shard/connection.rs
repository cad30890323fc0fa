//! One TCP connection: what has come of it, what waits to go, and whose it is.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::transport::framing::{Deframer, SendQueue};

/// What may wait in the kernel without having been sent. It is out of our reach there: no newer
/// packet can take its place. Enough to fill the link until the next round.
const KERNEL_UNSENT: u32 = 64 * 1024;

/// A connection that a peer made to us.
pub(super) struct Connection {
    /// Set by the table.
    pub(super) generation: u32,
    pub(super) stream: mio::net::TcpStream,
    pub(super) remote: SocketAddr,
    phase: Phase,
    pub(super) queue: SendQueue,
    /// The kernel takes no more until it says so.
    pub(super) is_blocked: bool,
    // Whether it is in the table's list.
    pub(super) is_in_readable: bool,
    pub(super) is_in_writable: bool,
}

enum Phase {
    /// The first frame, which says whose it is, has not come in full.
    Opening(Vec<u8>),
    /// Frames are taken; no check has been authentic.
    Stranger(Deframer),
    /// It is a session's.
    Owned(Deframer),
}

/// What reading led to.
pub(super) enum Reading {
    /// So many bytes came; there may be more.
    Bytes(usize),
    /// Nothing, for now.
    Nothing,
    /// Nothing, ever again.
    End,
}

impl Connection {
    /// Takes a connection, which is a stranger's at first.
    pub(super) fn new(stream: TcpStream, queue_bytes: usize) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let remote = stream.peer_addr()?;
        let socket = socket2::SockRef::from(&stream);
        socket.set_tcp_nodelay(true)?;
        // Without it a peer that reads slowly sees what is older; it works all the same.
        let _ = socket.set_tcp_notsent_lowat(KERNEL_UNSENT);
        Ok(Self {
            generation: 0,
            stream: mio::net::TcpStream::from_std(stream),
            remote,
            phase: Phase::Opening(Vec::new()),
            queue: SendQueue::new(queue_bytes),
            is_blocked: false,
            is_in_readable: false,
            is_in_writable: false,
        })
    }

    pub(super) fn is_stranger(&self) -> bool {
        !matches!(self.phase, Phase::Owned(_))
    }

    /// Adds to the bytes of a first frame that was not whole; returns all of them.
    pub(super) fn opening(&mut self, bytes: &[u8]) -> Option<&[u8]> {
        match &mut self.phase {
            Phase::Opening(opening) => {
                opening.extend_from_slice(bytes);
                Some(opening)
            }
            Phase::Stranger(_) | Phase::Owned(_) => None,
        }
    }

    /// The first frame is whole: returns all that came, which nothing was taken out of.
    pub(super) fn open(&mut self) -> Vec<u8> {
        let Phase::Opening(opening) = &mut self.phase else {
            return Vec::new();
        };
        let bytes = std::mem::take(opening);
        self.phase = Phase::Stranger(Deframer::default());
        bytes
    }

    /// It belongs to a session. Returns whether that is new.
    pub(super) fn set_owned(&mut self) -> bool {
        let Phase::Stranger(deframer) = &mut self.phase else {
            return false;
        };
        self.phase = Phase::Owned(std::mem::take(deframer));
        true
    }

    /// What takes its bytes apart; none before the first frame is whole.
    pub(super) fn deframer(&mut self) -> Option<&mut Deframer> {
        match &mut self.phase {
            Phase::Opening(_) => None,
            Phase::Stranger(deframer) | Phase::Owned(deframer) => Some(deframer),
        }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Reading {
        loop {
            return match self.stream.read(buffer) {
                Ok(0) => Reading::End,
                Ok(count) => Reading::Bytes(count),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => continue,
                    io::ErrorKind::WouldBlock => Reading::Nothing,
                    _ => Reading::End,
                },
            };
        }
    }

    /// Writes until nothing is left or the kernel takes no more. Returns the number of calls.
    pub(super) fn write(&mut self) -> io::Result<u64> {
        let mut calls = 0;
        while !self.queue.is_empty() {
            calls += 1;
            match self.stream.write_vectored(&self.queue.slices()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.queue.consume(count),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => {
                        self.is_blocked = true;
                        break;
                    }
                    _ => return Err(error),
                },
            }
        }
        Ok(calls)
    }

    /// Ends it; what waits is sent as far as the kernel takes it.
    pub(super) fn close(mut self) {
        let _ = self.write();
        let _ = self.stream.shutdown(Shutdown::Write);
        // What was never read would make the kernel break the connection off, and the peer miss
        // what we sent last.
        let _ = self.stream.read(&mut [0; 4096]);
    }
}
