//! What the machine gives to the socket of a shard, found out with one that is made in the same way.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use quinn_udp::{UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, SockRef, Type};

use super::socket::{RECEIVE_BUFFER, SEND_BUFFER};

/// A bound socket and what it got.
#[derive(Debug)]
pub struct Probe {
    /// The socket. It does not block.
    pub socket: UdpSocket,
    /// How many packets one send call may hold (UDP GSO); 1 where the kernel has none.
    pub gso_segments: usize,
    /// The kernel's room for what is to be sent.
    pub send_buffer: Buffer,
    /// The kernel's room for what was received.
    pub receive_buffer: Buffer,
}

/// Room in the kernel, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// What shards ask for.
    pub asked: usize,
    /// What they get.
    pub got: usize,
}

impl Probe {
    /// Binds `address` as shards do, to the exclusion of others.
    ///
    /// # Errors
    ///
    /// When the address can't be bound: [`io::ErrorKind::AddrInUse`] if somebody has it.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let domain = Domain::for_address(address);
        let socket = socket2::Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        // The kernel caps what is asked for, and says nothing of it.
        let _ = socket.set_send_buffer_size(SEND_BUFFER);
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        let socket = UdpSocket::from(socket);
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let sizes = SockRef::from(&socket);
        Ok(Self {
            gso_segments: state.max_gso_segments(),
            // Linux tells twice what can be used (socket(7)).
            send_buffer: Buffer {
                asked: SEND_BUFFER,
                got: sizes.send_buffer_size()? / 2,
            },
            receive_buffer: Buffer {
                asked: RECEIVE_BUFFER,
                got: sizes.recv_buffer_size()? / 2,
            },
            socket,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_told_from_a_free_one() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let ours = Probe::bind(any).unwrap();
        assert!(ours.send_buffer.got > 0 && ours.receive_buffer.got > 0 && ours.gso_segments >= 1);
        let taken = ours.socket.local_addr().unwrap();
        assert_eq!(
            Probe::bind(taken).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
    }
}
