//! What a log may show of an address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The network of an address, for logs: the first 24 bits of IPv4, the first 48 of IPv6, no port.
/// Enough to tell a provider or an office, not a person.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PartialAddr(IpAddr);

impl From<IpAddr> for PartialAddr {
    fn from(ip: IpAddr) -> Self {
        // An IPv4 address in IPv6 clothes would show itself whole in the last 32 bits.
        Self(match ip.to_canonical() {
            IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() & (u32::MAX << 8)).into(),
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 80)).into(),
        })
    }
}

impl From<SocketAddr> for PartialAddr {
    fn from(address: SocketAddr) -> Self {
        address.ip().into()
    }
}

impl fmt::Display for PartialAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = if self.0.is_ipv4() { 24 } else { 48 };
        write!(f, "{}/{bits}", self.0)
    }
}

impl fmt::Debug for PartialAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        PartialAddr::from(text.parse::<IpAddr>().unwrap()).to_string()
    }

    #[test]
    fn only_the_network_is_shown() {
        assert_eq!(shown("203.0.113.77"), "203.0.113.0/24");
        assert_eq!(shown("2001:db8:1:2:3:4:5:6"), "2001:db8:1::/48");
        assert_eq!(shown("::ffff:203.0.113.77"), "203.0.113.0/24");
    }

    #[test]
    fn a_port_is_not_shown() {
        let address: SocketAddr = "203.0.113.77:5004".parse().unwrap();
        assert_eq!(
            format!("{:?}", PartialAddr::from(address)),
            "203.0.113.0/24"
        );
    }
}
