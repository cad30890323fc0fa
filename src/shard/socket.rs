//! UDP as the shards use it: many datagrams a call in both directions.
//!
//! Above this file IPv4 addresses are IPv4 addresses, whatever family the socket is of, and every
//! datagram has both its ends: what is answered leaves from the address that was asked.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Type};

use super::counters::Counters;
use crate::transport::{Path, Via};

/// Room in the kernel for a keyframe to every viewer of a shard; the kernel caps it by its own setting.
pub(super) const SEND_BUFFER: usize = 16 << 20;
/// Room for what arrives while the shard is busy sending such a keyframe.
pub(super) const RECEIVE_BUFFER: usize = 8 << 20;

/// Datagrams of one receive call. With GRO each holds up to 64 packets.
const RECEIVE_BATCH: usize = 16;
/// The largest thing that the kernel hands over at once.
const RECEIVE_SLOT: usize = 64 * 1024;

/// Runs that are refused one after another, though their packets go one by one, before no more are
/// tried: then it is the interface, and not a route to some of the viewers.
const MAX_REFUSALS: u32 = 16;

/// One shard's socket, for receiving.
pub(super) struct Receiver {
    socket: Arc<UdpSocket>,
    state: UdpSocketState,
    /// The address that is bound to, told as the local one where the kernel does not say it.
    bound: IpAddr,
}

/// One shard's socket, for sending.
pub(super) struct Sender {
    socket: Arc<UdpSocket>,
    state: UdpSocketState,
    /// How many packets a run may have.
    max_segments: usize,
    /// Refused runs since one went.
    refusals: u32,
}

/// Where received datagrams are put.
pub(super) struct ReceiveBuffer {
    bytes: Vec<u8>,
    metas: [RecvMeta; RECEIVE_BATCH],
}

/// The sockets of `count` shards on one port, which nobody else may have.
///
/// `[::]` takes IPv4 too, and is `0.0.0.0` on a host without IPv6.
pub(super) fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<(Receiver, Sender)>> {
    match bind_exactly(address, count) {
        Err(error) if address.ip().is_unspecified() && address.is_ipv6() && lacks_ipv6(&error) => {
            tracing::info!("this host has no IPv6; media is taken by IPv4 only");
            bind_exactly((Ipv4Addr::UNSPECIFIED, address.port()).into(), count)
        }
        result => result,
    }
}

fn lacks_ipv6(error: &io::Error) -> bool {
    let unsupported = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
    error.raw_os_error() == Some(unsupported) || error.kind() == io::ErrorKind::AddrNotAvailable
}

fn bind_exactly(address: SocketAddr, count: usize) -> io::Result<Vec<(Receiver, Sender)>> {
    // The first takes the port for itself, so that a second server on it is told so, and not
    // given half of our datagrams; only then it lets the others in.
    let first = unbound(address)?;
    first.bind(&address.into())?;
    first.set_reuse_port(true)?;
    let first = halves(first)?;
    let address = first.0.local_address()?;
    let mut sockets = vec![first];
    for _ in 1..count {
        let other = unbound(address)?;
        other.set_reuse_port(true)?;
        other.bind(&address.into())?;
        sockets.push(halves(other)?);
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

fn halves(socket: socket2::Socket) -> io::Result<(Receiver, Sender)> {
    let socket = Arc::new(UdpSocket::from(socket));
    let bound = socket.local_addr()?.ip();
    let state = || UdpSocketState::new(UdpSockRef::from(&*socket));
    let receiver = Receiver {
        socket: Arc::clone(&socket),
        state: state()?,
        bound,
    };
    let state = state()?;
    let sender = Sender {
        max_segments: state.max_gso_segments(),
        state,
        socket,
        refusals: 0,
    };
    Ok((receiver, sender))
}

impl Receiver {
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

    /// Receives what is there, once, and shows each datagram with what it came by. Returns how many receive slots were filled.
    pub(super) fn receive(
        &self,
        buffer: &mut ReceiveBuffer,
        mut each: impl FnMut(Path, &mut [u8]),
    ) -> io::Result<usize> {
        let mut slots = buffer.bytes.chunks_exact_mut(RECEIVE_SLOT);
        let mut slices: [IoSliceMut<'_>; RECEIVE_BATCH] =
            std::array::from_fn(|_| IoSliceMut::new(slots.next().unwrap_or_default()));
        let count = self.state.recv(
            UdpSockRef::from(&*self.socket),
            &mut slices,
            &mut buffer.metas,
        )?;
        for (slot, meta) in buffer
            .bytes
            .chunks_exact_mut(RECEIVE_SLOT)
            .zip(&buffer.metas)
            .take(count)
        {
            let path = Path::udp(meta.addr, meta.dst_ip.unwrap_or(self.bound));
            if !can_answer(path) {
                continue;
            }
            let filled = meta.len.min(slot.len());
            for datagram in slot[..filled].chunks_mut(meta.stride.max(1)) {
                each(path, datagram);
            }
        }
        Ok(count)
    }
}

/// Nothing can be sent to port 0, nor from an address that many hosts have.
fn can_answer(path: Path) -> bool {
    let shared = match path.via {
        Via::Udp(IpAddr::V4(local)) => local.is_multicast() || local.is_broadcast(),
        Via::Udp(IpAddr::V6(local)) => local.is_multicast(),
        Via::Tcp(_) => false,
    };
    path.remote.port() != 0 && !shared
}

impl Sender {
    /// How many packets one send call may hold: 1 where the kernel or the interface refuses GSO.
    pub(super) fn max_segments(&self) -> usize {
        self.max_segments
    }

    /// Sends `contents` in packets of `segment` bytes, the last of them maybe shorter. What the
    /// kernel has no room for is counted and lost, as on any network.
    pub(super) fn send(
        &mut self,
        remote: SocketAddr,
        local: IpAddr,
        contents: &[u8],
        segment: usize,
        counters: &Counters,
    ) {
        let count = contents.len().div_ceil(segment.max(1)) as u64;
        match self.try_send(remote, local, contents, segment) {
            Ok(()) => {
                counters.sent.add(count);
                counters.send_calls.add(1);
                if count > 1 {
                    self.refusals = 0;
                }
            }
            Err(error) if count > 1 && refuses_runs(&error) => {
                self.send_apart(remote, local, contents, segment, counters);
            }
            Err(error) => self.note_failure(&error, count, counters),
        }
    }

    /// A run was refused: its packets go one by one.
    ///
    /// Some interfaces take no runs at all. But a run is refused with the same errors, EINVAL and
    /// EIO, where its packets are longer than the interface of this one route takes (kernels before
    /// 6.14), where the route is encrypted (IPsec), and where the address to send from is no longer
    /// ours. Those must not cost all other viewers their runs.
    fn send_apart(
        &mut self,
        remote: SocketAddr,
        local: IpAddr,
        contents: &[u8],
        segment: usize,
        counters: &Counters,
    ) {
        let mut sent = 0;
        let mut packets = contents.chunks(segment);
        while let Some(packet) = packets.next() {
            match self.try_send(remote, local, packet, packet.len()) {
                Ok(()) => sent += 1,
                Err(error) => {
                    self.note_failure(&error, 1, counters);
                    // What is too long for the route leaves room for the shorter ones behind it.
                    if !quinn_udp::is_msg_size_err(&error) {
                        counters.send_dropped.add(packets.len() as u64);
                        break;
                    }
                }
            }
        }
        counters.sent.add(sent);
        counters.send_calls.add(sent);
        if sent > 0 {
            self.refusals += 1;
            if self.refusals == MAX_REFUSALS {
                tracing::info!("the interface takes no runs of packets; they are sent one by one");
                self.max_segments = 1;
            }
        }
        self.keep_runs();
    }

    fn note_failure(&mut self, error: &io::Error, packets: u64, counters: &Counters) {
        if quinn_udp::is_msg_size_err(error) {
            counters.too_long.add(packets);
        } else {
            counters.send_dropped.add(packets);
        }
        self.keep_runs();
    }

    /// `quinn_udp` gives runs up for good at the first EINVAL or EIO, whatever it was for. When to
    /// do so is decided here.
    fn keep_runs(&mut self) {
        if self.max_segments > 1
            && self.state.max_gso_segments() == 1
            && let Ok(state) = UdpSocketState::new(UdpSockRef::from(&*self.socket))
        {
            self.state = state;
        }
    }

    fn try_send(
        &self,
        remote: SocketAddr,
        local: IpAddr,
        contents: &[u8],
        segment: usize,
    ) -> io::Result<()> {
        let transmit = Transmit {
            destination: remote,
            ecn: None,
            contents,
            segment_size: (segment < contents.len()).then_some(segment),
            src_ip: (!local.is_unspecified()).then_some(local),
        };
        self.state
            .try_send(UdpSockRef::from(&*self.socket), &transmit)
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

/// Whether it may be the run that the kernel refused, not where it was to go.
fn refuses_runs(error: &io::Error) -> bool {
    let errno = rustix::io::Errno::from_io_error(error);
    quinn_udp::is_msg_size_err(error)
        || matches!(
            errno,
            Some(rustix::io::Errno::INVAL | rustix::io::Errno::IO)
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Receives one datagram and answers it with three packets, as a run where runs go.
    fn echo(receiver: &Receiver, sender: &mut Sender, counters: &Counters) -> Path {
        let mut buffer = ReceiveBuffer::new();
        let mut came_by = None;
        while came_by.is_none() {
            let _ = receiver.receive(&mut buffer, |path, _| came_by = Some(path));
            std::thread::yield_now();
        }
        let path = came_by.unwrap();
        let Via::Udp(local) = path.via else {
            panic!("{path:?}")
        };
        sender.send(path.remote, local, &[7; 250], 100, counters);
        path
    }

    /// A client of `server` that takes answers from nowhere else.
    fn client(server: SocketAddr) -> UdpSocket {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::LOCALHOST, 0).into(),
            SocketAddr::V6(_) => (std::net::Ipv6Addr::LOCALHOST, 0).into(),
        };
        let client = UdpSocket::bind(any).unwrap();
        client.connect(server).unwrap();
        client
            .set_read_timeout(Some(std::time::Duration::from_secs(20)))
            .unwrap();
        client.send(b"hello").unwrap();
        client
    }

    #[test]
    fn answers_leave_from_the_address_that_was_asked() {
        for any in ["0.0.0.0:0", "[::]:0"] {
            let (receiver, mut sender) = bind(any.parse().unwrap(), 1).unwrap().remove(0);
            let port = receiver.local_address().unwrap().port();
            let counters = Counters::default();
            for host in [1, 2, 77] {
                let local = IpAddr::from([127, 0, 0, host]);
                let client = client((local, port).into());
                let path = echo(&receiver, &mut sender, &counters);
                assert!(path == Path::udp(client.local_addr().unwrap(), local));
                assert_eq!(client.recv(&mut [0; 300]).unwrap(), 100);
            }
            assert_eq!(counters.snapshot().sent, 9);
        }
    }

    #[test]
    fn one_socket_serves_both_families() {
        if UdpSocket::bind("[::1]:0").is_err() {
            return; // this host has no IPv6
        }
        let (receiver, mut sender) = bind("[::]:0".parse().unwrap(), 1).unwrap().remove(0);
        let port = receiver.local_address().unwrap().port();
        for local in ["127.0.0.1", "::1"] {
            let local: IpAddr = local.parse().unwrap();
            let client = client((local, port).into());
            let path = echo(&receiver, &mut sender, &Counters::default());
            assert!(path == Path::udp(client.local_addr().unwrap(), local));
            assert_eq!(path.remote.is_ipv4(), local.is_ipv4());
            assert_eq!(client.recv(&mut [0; 300]).unwrap(), 100);
        }
    }

    #[test]
    fn an_address_that_is_no_longer_ours_costs_others_no_runs() {
        let (_, mut sender) = bind("0.0.0.0:0".parse().unwrap(), 1).unwrap().remove(0);
        let runs = sender.max_segments();
        let counters = Counters::default();
        let gone = IpAddr::from([192, 0, 2, 1]);
        let remote = SocketAddr::from(([127, 0, 0, 1], 9));
        for _ in 0..2 * MAX_REFUSALS {
            sender.send(remote, gone, &[0; 250], 100, &counters);
            sender.send(remote, gone, &[0; 100], 100, &counters);
        }
        assert_eq!(counters.snapshot().sent, 0);
        assert_eq!(
            counters.snapshot().send_dropped,
            8 * u64::from(MAX_REFUSALS)
        );
        assert_eq!(sender.max_segments(), runs);
        assert_eq!(sender.state.max_gso_segments(), runs);
    }

    #[test]
    fn packets_that_are_too_long_for_the_interface_cost_others_no_runs() {
        let (_, mut sender) = bind("0.0.0.0:0".parse().unwrap(), 1).unwrap().remove(0);
        let runs = sender.max_segments();
        let counters = Counters::default();
        let loopback = IpAddr::from([127, 0, 0, 1]);
        // More than a datagram can hold: refused as what is longer than the MTU.
        sender.send(
            (loopback, 9).into(),
            loopback,
            &[0; 70_000],
            70_000,
            &counters,
        );
        assert_eq!(counters.snapshot().too_long, 1);
        assert_eq!(sender.state.max_gso_segments(), runs);
    }

    #[test]
    fn nothing_is_taken_that_could_not_be_answered() {
        let remote = SocketAddr::from(([192, 0, 2, 1], 9));
        let taken = |local: &str| can_answer(Path::udp(remote, local.parse().unwrap()));
        assert!(taken("192.0.2.9") && taken("2001:db8::1"));
        assert!(!taken("255.255.255.255") && !taken("224.0.0.1") && !taken("ff02::1"));
        let nowhere = SocketAddr::from(([192, 0, 2, 1], 0));
        assert!(!can_answer(Path::udp(nowhere, remote.ip())));
    }

    #[test]
    fn the_shards_share_a_port_that_a_second_server_is_refused() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let ours = bind(any, 3).unwrap();
        let address = ours[0].0.local_address().unwrap();
        assert!(
            ours.iter()
                .all(|(receiver, _)| receiver.local_address().unwrap() == address)
        );
        let refused = bind(address, 2).err().map(|error| error.kind());
        assert_eq!(refused, Some(io::ErrorKind::AddrInUse));
    }
}
