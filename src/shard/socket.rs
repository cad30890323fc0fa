//! UDP as the shards use it: many datagrams a call in both directions.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd as _;

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Type};

/// Room in the kernel for a keyframe to every viewer of a shard; the kernel caps it by its own setting.
pub(super) const SEND_BUFFER: usize = 16 << 20;
/// Room for what arrives while the shard is busy sending such a keyframe.
pub(super) const RECEIVE_BUFFER: usize = 8 << 20;

/// Datagrams of one receive call. With GRO each holds up to 64 packets.
const RECEIVE_BATCH: usize = 16;
/// The largest thing that the kernel hands over at once.
const RECEIVE_SLOT: usize = 64 * 1024;

/// One shard's socket.
pub(super) struct Socket {
    socket: std::net::UdpSocket,
    state: UdpSocketState,
}

/// Where received datagrams are put.
pub(super) struct ReceiveBuffer {
    bytes: Vec<u8>,
    metas: [RecvMeta; RECEIVE_BATCH],
}

impl Socket {
    /// The sockets of `count` shards on one port, which nobody else may have.
    pub(super) fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<Self>> {
        // The first takes the port for itself, so that a second server on it is told so, and not
        // given half of our datagrams; only then it lets the others in.
        let first = Self::unbound(address)?;
        first.bind(&address.into())?;
        first.set_reuse_port(true)?;
        let first = Self::bound(first)?;
        let address = first.local_address()?;
        let mut sockets = vec![first];
        for _ in 1..count {
            let other = Self::unbound(address)?;
            other.set_reuse_port(true)?;
            other.bind(&address.into())?;
            sockets.push(Self::bound(other)?);
        }
        Ok(sockets)
    }

    fn unbound(address: SocketAddr) -> io::Result<socket2::Socket> {
        let domain = Domain::for_address(address);
        let socket = socket2::Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        // An IPv6 wildcard takes IPv4 too, so that one socket serves both families.
        if let IpAddr::V6(ip) = address.ip() {
            socket.set_only_v6(!ip.is_unspecified())?;
        }
        socket.set_nonblocking(true)?;
        // Less than asked for is no reason not to run: loss is repaired.
        let _ = socket.set_send_buffer_size(SEND_BUFFER);
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        Ok(socket)
    }

    fn bound(socket: socket2::Socket) -> io::Result<Self> {
        let socket = std::net::UdpSocket::from(socket);
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        Ok(Self { socket, state })
    }

    pub(super) fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    pub(super) fn register(&self, poll: &mio::Poll, token: mio::Token) -> io::Result<()> {
        let fd = self.socket.as_raw_fd();
        poll.registry().register(
            &mut mio::unix::SourceFd(&fd),
            token,
            mio::Interest::READABLE,
        )
    }

    /// How many packets one send call may hold: 1 where the kernel or the interface refuses GSO.
    pub(super) fn max_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// Sends `contents` in packets of `segment` bytes, the last of them maybe shorter.
    pub(super) fn send(&self, to: SocketAddr, contents: &[u8], segment: usize) -> io::Result<()> {
        let transmit = Transmit {
            destination: to,
            ecn: None,
            contents,
            segment_size: (segment < contents.len()).then_some(segment),
            src_ip: None,
        };
        self.state
            .try_send(UdpSockRef::from(&self.socket), &transmit)
    }

    /// Receives what is there, once, and shows each datagram with its sender. Returns how many receive slots were filled.
    pub(super) fn receive(
        &self,
        buffer: &mut ReceiveBuffer,
        mut each: impl FnMut(SocketAddr, &mut [u8]),
    ) -> io::Result<usize> {
        let mut slots = buffer.bytes.chunks_exact_mut(RECEIVE_SLOT);
        let mut slices: [IoSliceMut<'_>; RECEIVE_BATCH] =
            std::array::from_fn(|_| IoSliceMut::new(slots.next().unwrap_or_default()));
        let count = self.state.recv(
            UdpSockRef::from(&self.socket),
            &mut slices,
            &mut buffer.metas,
        )?;
        for (slot, meta) in buffer
            .bytes
            .chunks_exact_mut(RECEIVE_SLOT)
            .zip(&buffer.metas)
            .take(count)
        {
            let from = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
            // Nothing can be sent there, and the error of a try would be taken for one of GSO.
            if from.port() == 0 {
                continue;
            }
            let filled = meta.len.min(slot.len());
            for datagram in slot[..filled].chunks_mut(meta.stride.max(1)) {
                each(from, datagram);
            }
        }
        Ok(count)
    }
}

impl ReceiveBuffer {
    /// How many slots one call can fill.
    pub(super) const SLOTS: usize = RECEIVE_BATCH;

    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; RECEIVE_BATCH * RECEIVE_SLOT],
            metas: [RecvMeta::default(); RECEIVE_BATCH],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shards_share_a_port_that_a_second_server_is_refused() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let ours = Socket::bind(any, 3).unwrap();
        let address = ours[0].local_address().unwrap();
        assert!(
            ours.iter()
                .all(|socket| socket.local_address().unwrap() == address)
        );
        let refused = Socket::bind(address, 2).err().map(|error| error.kind());
        assert_eq!(refused, Some(io::ErrorKind::AddrInUse));
    }
}
