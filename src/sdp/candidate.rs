//! ICE candidates: ours, which go into answers, and those of fragments (RFC 8839, section 5.1).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// One of our host candidates: UDP, component 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where we listen, as clients see it.
    pub address: SocketAddr,
    /// The foundation, counted from 1: other addresses have other ones.
    foundation: u16,
}

impl Candidate {
    /// The candidates of `addresses`, with priorities that fall in their order. Put the most useful
    /// one first: FFmpeg tries no other.
    pub fn list(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<Self> {
        addresses
            .into_iter()
            .zip(1..)
            .map(|(address, foundation)| Self {
                address,
                foundation,
            })
            .collect()
    }

    /// RFC 8445, section 5.1.2.1: a host candidate of component 1.
    fn priority(self) -> u32 {
        const HOST: u32 = 126;
        const COMPONENT: u32 = 1;
        let preference = u32::from(u16::MAX - (self.foundation - 1));
        (HOST << 24) | (preference << 8) | (256 - COMPONENT)
    }
}

impl fmt::Display for Candidate {
    /// As in `a=candidate:…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            address,
            foundation,
        } = self;
        let (ip, port, priority) = (address.ip(), address.port(), self.priority());
        write!(f, "{foundation} 1 udp {priority} {ip} {port} typ host")
    }
}

/// Where the value of an `a=candidate` can be reached, when we could: UDP, component 1, and an
/// address. Names (mDNS) and TCP are passed over, as is what can't be read.
pub(super) fn usable_address(value: &str) -> Option<SocketAddr> {
    let mut fields = value.split_ascii_whitespace().skip(1);
    let (component, protocol) = (fields.next()?, fields.next()?);
    if component != "1" || !protocol.eq_ignore_ascii_case("udp") {
        return None;
    }
    let _priority: u32 = fields.next()?.parse().ok()?;
    let ip: IpAddr = fields.next()?.parse().ok()?;
    let port: u16 = fields.next()?.parse().ok()?;
    let is_usable = port != 0 && !ip.is_unspecified() && !ip.is_multicast();
    (is_usable && fields.next() == Some("typ")).then(|| SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_candidates_fall_in_priority() {
        let addresses = ["192.0.2.1:8443", "[2001:db8::1]:8443"].map(|text| text.parse().unwrap());
        let text: Vec<_> = Candidate::list(addresses)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            text,
            [
                "1 1 udp 2130706431 192.0.2.1 8443 typ host",
                "2 1 udp 2130706175 2001:db8::1 8443 typ host",
            ]
        );
        for (text, address) in text.iter().zip(addresses) {
            assert_eq!(usable_address(text), Some(address));
        }
    }

    #[test]
    fn what_we_cannot_reach_is_passed_over() {
        for value in [
            "",
            "1 1 UDP",
            "1 1 TCP 1015021823 10.77.0.2 9 typ host tcptype active",
            "1 2 UDP 2122187006 192.0.2.2 32801 typ host",
            "1 1 udp 2113937151 64172c9b-91ef-4104-8c9e-695efacc9098.local 33681 typ host",
            "1 1 udp 1 192.0.2.2 65536 typ host",
            "1 1 udp 1 192.0.2.2 0 typ host",
            "1 1 udp 1 0.0.0.0 9 typ host",
            "1 1 udp 1 239.0.0.1 9 typ host",
            "1 1 udp -1 192.0.2.2 9 typ host",
            "1 1 udp 1 192.0.2.2 9",
        ] {
            assert_eq!(usable_address(value), None, "{value}");
        }
    }
}
