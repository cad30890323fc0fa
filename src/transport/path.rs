//! Where a datagram came from, which is where its answer goes.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The two ends of what a datagram came over: the pair that an ICE check validates.
///
/// Both matter. A host with several addresses must answer from the one that was asked, or the
/// peer and the NATs between take the answer for a stranger's; and the same peer may come by UDP
/// and by TCP.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// The peer's address as it is seen here; IPv4 is never written as IPv6.
    pub remote: SocketAddr,
    /// Our end.
    pub via: Via,
}

/// Our end of a [`Path`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// The media port, at this address of the host.
    Udp(IpAddr),
    /// A TCP connection (ICE-TCP, RFC 6544).
    Tcp(ConnectionId),
}

/// The name of a TCP connection within its shard. Never used again for another one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ConnectionId {
    /// Where it is kept.
    pub index: u32,
    /// Tells it from those that were kept there before.
    pub generation: u32,
}

impl Path {
    /// A path over UDP. IPv4-mapped IPv6 addresses, as sockets for both families show them,
    /// become what they are.
    pub fn udp(remote: SocketAddr, local: IpAddr) -> Self {
        Self {
            remote: canonical(remote),
            via: Via::Udp(local.to_canonical()),
        }
    }

    /// A path over a TCP connection.
    pub fn tcp(remote: SocketAddr, connection: ConnectionId) -> Self {
        Self {
            remote: canonical(remote),
            via: Via::Tcp(connection),
        }
    }

    /// The connection of a path over TCP.
    pub fn connection(self) -> Option<ConnectionId> {
        match self.via {
            Via::Udp(_) => None,
            Via::Tcp(connection) => Some(connection),
        }
    }
}

impl Via {
    /// UDP where the system did not tell which of our addresses it was: it chooses then.
    pub const UNKNOWN: Self = Self::Udp(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
}

/// Of the peer's address alone: a table of paths is looked into for every packet, and hardly ever
/// has the same peer by two paths.
impl Hash for Path {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.remote.hash(state);
    }
}

/// Without addresses: they are not to be in any log.
impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.via.fmt(f)
    }
}

impl fmt::Debug for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(_) => f.write_str("Udp"),
            Self::Tcp(ConnectionId { index, generation }) => {
                write!(f, "Tcp({index}.{generation})")
            }
        }
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        // The scope of a link-local address stays.
        IpAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_has_one_form() {
        let plain = Path::udp(
            "192.0.2.1:9".parse().unwrap(),
            "198.51.100.1".parse().unwrap(),
        );
        let mapped = Path::udp(
            "[::ffff:192.0.2.1]:9".parse().unwrap(),
            "::ffff:198.51.100.1".parse().unwrap(),
        );
        assert!(plain == mapped);
    }

    #[test]
    fn the_scope_of_a_link_local_address_is_kept() {
        let remote: SocketAddr = "[fe80::1%3]:9".parse().unwrap();
        assert_eq!(Path::udp(remote, "fe80::2".parse().unwrap()).remote, remote);
    }

    #[test]
    fn a_path_is_small_and_shows_no_address() {
        assert!(size_of::<Path>() <= 56, "{}", size_of::<Path>());
        let path = Path::udp("192.0.2.1:9".parse().unwrap(), "192.0.2.2".parse().unwrap());
        assert_eq!(format!("{path:?}"), "Udp");
    }
}
