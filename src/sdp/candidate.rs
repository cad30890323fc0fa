//! ICE candidates: ours, which go into answers, and those of fragments (RFC 8839, section 5.1).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// One of our candidates: component 1, and of the type host, the only one that a lite agent has
/// (RFC 8445, section 2.5), also where a NAT gives us the address. FFmpeg takes no other type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// How clients reach it.
    pub protocol: Protocol,
    /// Where we listen, as clients see it.
    pub address: SocketAddr,
    /// The foundation, counted from 1: other addresses have other ones.
    foundation: u16,
}

/// How a candidate is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// By datagrams.
    Udp,
    /// By a connection that the client opens (RFC 6544, section 3).
    TcpPassive,
}

impl Candidate {
    /// Candidates with priorities that fall in this order. Put the most useful one first: FFmpeg tries no
    /// other. UDP has to stand before TCP.
    pub fn in_order(candidates: impl IntoIterator<Item = (Protocol, SocketAddr)>) -> Vec<Self> {
        candidates
            .into_iter()
            .zip(1..)
            .map(|((protocol, address), foundation)| Self {
                protocol,
                address,
                foundation,
            })
            .collect()
    }

    /// As [`Self::in_order`], all of them UDP.
    pub fn list(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<Self> {
        Self::in_order(
            addresses
                .into_iter()
                .map(|address| (Protocol::Udp, address)),
        )
    }

    /// RFC 8445, section 5.1.2.1, and for TCP RFC 6544, section 4.2: below all of UDP, and with the
    /// direction preference of a passive host candidate in the upper bits of the local preference.
    fn priority(self) -> u32 {
        const COMPONENT: u32 = 1;
        let order = u32::from(self.foundation - 1);
        let (kind, preference) = match self.protocol {
            Protocol::Udp => (126, u32::from(u16::MAX) - order),
            Protocol::TcpPassive => (90, (4 << 13) | 0x1FFF_u32.saturating_sub(order)),
        };
        (kind << 24) | (preference << 8) | (256 - COMPONENT)
    }
}

impl fmt::Display for Candidate {
    /// As in `a=candidate:…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            protocol,
            address,
            foundation,
        } = self;
        let (ip, port, priority) = (address.ip(), address.port(), self.priority());
        let (name, kind) = match protocol {
            Protocol::Udp => ("udp", ""),
            Protocol::TcpPassive => ("tcp", " tcptype passive"),
        };
        write!(
            f,
            "{foundation} 1 {name} {priority} {ip} {port} typ host{kind}"
        )
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
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let text: Vec<_> = Candidate::in_order([
            (Protocol::Udp, address("192.0.2.1:8443")),
            (Protocol::Udp, address("[2001:db8::1]:8443")),
            (Protocol::TcpPassive, address("192.0.2.1:443")),
        ])
        .iter()
        .map(ToString::to_string)
        .collect();
        assert_eq!(
            text,
            [
                "1 1 udp 2130706431 192.0.2.1 8443 typ host",
                "2 1 udp 2130706175 2001:db8::1 8443 typ host",
                "3 1 tcp 1520434687 192.0.2.1 443 typ host tcptype passive",
            ]
        );
        assert_eq!(usable_address(&text[0]), Some(address("192.0.2.1:8443")));
        assert_eq!(
            usable_address(&text[1]),
            Some(address("[2001:db8::1]:8443"))
        );
        assert_eq!(usable_address(&text[2]), None);
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
