//! The addresses of this machine.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Linux tells the state of its IPv6 addresses here.
const IPV6_ADDRESSES: &str = "/proc/net/if_inet6";
/// `IFA_F_DADFAILED` and `IFA_F_DEPRECATED` of `linux/if_addr.h`: another machine has it, or it is about to go.
const UNUSABLE: u8 = 0x08 | 0x20;

/// An address of an interface that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The interface, such as `eth0`.
    pub name: String,
    /// The address.
    pub ip: IpAddr,
    /// Whether the system sends from it to the internet.
    pub is_default: bool,
}

impl Interface {
    /// Looks at this machine. One that can't be looked at has none.
    pub fn all() -> Vec<Self> {
        let unusable =
            fs::read_to_string(IPV6_ADDRESSES).map_or_else(|_| Vec::new(), |text| unusable(&text));
        let defaults = [
            route_source(
                Ipv4Addr::UNSPECIFIED.into(),
                Ipv4Addr::new(192, 0, 2, 1).into(),
            ),
            route_source(
                Ipv6Addr::UNSPECIFIED.into(),
                Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
            ),
        ];
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        interfaces
            .into_iter()
            .filter(|interface| interface.is_oper_up() && !unusable.contains(&interface.ip()))
            .map(|interface| Self {
                ip: interface.ip(),
                is_default: defaults.contains(&Some(interface.ip())),
                name: interface.name,
            })
            .collect()
    }

    /// Whether it is a network inside this machine, for its containers and virtual machines.
    pub(super) fn is_bridge(&self) -> bool {
        [
            "docker", "br-", "veth", "virbr", "cni", "podman", "lxc", "lxd",
        ]
        .iter()
        .any(|prefix| self.name.starts_with(prefix))
    }

    /// Whether it leads through another interface to a network of its own.
    pub(super) fn is_tunnel(&self) -> bool {
        ["tun", "tap", "wg", "tailscale", "zt", "ppp"]
            .iter()
            .any(|prefix| self.name.starts_with(prefix))
    }
}

/// The address that the system would send from towards `to`, an address for documentation
/// (RFC 5737, RFC 3849). Connecting a UDP socket asks the routing table and sends nothing.
fn route_source(any: IpAddr, to: IpAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((to, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The addresses that can't be used any more. A line has the address, the index of the interface, the
/// length of the prefix, the scope and the flags, all in hexadecimal, and the name.
fn unusable(text: &str) -> Vec<IpAddr> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let ip = u128::from_str_radix(fields.next()?, 16).ok()?;
            let flags = u8::from_str_radix(fields.nth(3)?, 16).ok()?;
            (flags & UNUSABLE != 0).then(|| Ipv6Addr::from_bits(ip).into())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_loopback() {
        assert!(
            Interface::all()
                .iter()
                .any(|interface| interface.ip.is_loopback())
        );
    }

    #[test]
    fn addresses_that_are_about_to_go_are_known() {
        let text = "\
fe8000000000000000fc00fffe000001 02 40 20 80     eth0
20010db8000000000000000000000007 02 40 00 20     eth0
20010db8000000000000000000000008 02 40 00 88     eth0
20010db8000000000000000000000009 02 40 00 01     eth0
00000000000000000000000000000001 01 80 10 80       lo
short 01
";
        let found: Vec<_> = unusable(text).iter().map(IpAddr::to_string).collect();
        assert_eq!(found, ["2001:db8::7", "2001:db8::8"]);
    }
}
