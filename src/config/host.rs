//! What the settings need to know of the machine: its cores, its addresses and its name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::path::PathBuf;
use std::{env, thread};

/// The machine, as far as defaults depend on it.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// How many threads can run at once.
    pub cores: usize,
    /// The addresses of its interfaces, best first, loopback last.
    pub addresses: Vec<IpAddr>,
    /// What it is called in its network.
    pub name: Option<String>,
    /// Where we may keep what has to outlive a restart.
    pub state: PathBuf,
}

impl Host {
    /// Looks at this machine. A machine that can't be looked at has one core and only loopback.
    pub fn read() -> Self {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        let interfaces = interfaces
            .iter()
            .filter(|interface| interface.is_oper_up())
            .map(|interface| (interface.name.as_str(), interface.ip()));
        let preferred = [
            route_source(
                Ipv4Addr::UNSPECIFIED.into(),
                Ipv4Addr::new(192, 0, 2, 1).into(),
            ),
            route_source(
                Ipv6Addr::UNSPECIFIED.into(),
                Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
            ),
        ];
        let preferred: Vec<_> = preferred.into_iter().flatten().collect();
        Self {
            cores: thread::available_parallelism().map_or(1, Into::into),
            addresses: rank(interfaces, &preferred),
            name: name(),
            state: state(|name| env::var_os(name).map(PathBuf::from)),
        }
    }

    /// A machine for tests.
    #[cfg(test)]
    pub(crate) fn example() -> Self {
        Self {
            cores: 4,
            addresses: vec![
                Ipv4Addr::new(198, 51, 100, 7).into(),
                Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7).into(),
                Ipv4Addr::LOCALHOST.into(),
            ],
            name: Some("gate".to_owned()),
            state: PathBuf::from("/var/lib/tidegate"),
        }
    }
}

/// Nothing for a name that is no text, or what systems without one say.
fn name() -> Option<String> {
    let system = rustix::system::uname();
    let name = system.nodename().to_str().ok()?;
    (!["", "localhost", "(none)"].contains(&name)).then(|| name.to_owned())
}

/// What systemd gives to a service, the place that users have for it (XDG base directories), or that
/// of the system. Relative paths there mean nothing.
fn state(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    let path = |name: &str| variable(name).filter(|path| path.is_absolute());
    let own = |base: PathBuf| base.join("tidegate");
    path("STATE_DIRECTORY")
        .or_else(|| path("XDG_STATE_HOME").map(own))
        .or_else(|| path("HOME").map(|home| own(home.join(".local/state"))))
        .unwrap_or_else(|| own("/var/lib".into()))
}

/// The address that the system would send from towards `to`, an address for documentation
/// (RFC 5737, RFC 3849). Connecting a UDP socket asks the routing table and sends nothing.
fn route_source(any: IpAddr, to: IpAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((to, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Best first: clients exist that try only the first candidate they are given. What an ICE
/// client elsewhere can't use (link-local) is left out.
fn rank<'a>(
    interfaces: impl Iterator<Item = (&'a str, IpAddr)>,
    preferred: &[IpAddr],
) -> Vec<IpAddr> {
    let mut found: Vec<_> = interfaces
        .filter(|(_, ip)| !is_link_local(ip))
        .map(|(name, ip)| {
            let class = if ip.is_loopback() {
                3
            } else if is_bridge(name) {
                2
            } else if preferred.contains(&ip) {
                0
            } else {
                1
            };
            ((class, ip.is_ipv6(), ip), ip)
        })
        .collect();
    found.sort();
    found.dedup();
    let mut addresses: Vec<_> = found.into_iter().map(|(_, ip)| ip).collect();
    if addresses.is_empty() {
        addresses.push(Ipv4Addr::LOCALHOST.into());
    }
    addresses
}

/// A network inside this machine, for its containers and virtual machines.
fn is_bridge(name: &str) -> bool {
    ["docker", "br-", "veth", "virbr", "cni", "podman", "lxc"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

fn is_link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(interfaces: &[(&str, &str)], preferred: &[&str]) -> Vec<String> {
        let parse = |text: &str| text.parse::<IpAddr>().unwrap();
        let preferred: Vec<_> = preferred.iter().map(|ip| parse(ip)).collect();
        rank(
            interfaces.iter().map(|(name, ip)| (*name, parse(ip))),
            &preferred,
        )
        .iter()
        .map(IpAddr::to_string)
        .collect()
    }

    #[test]
    fn the_address_towards_the_world_comes_first_and_loopback_last() {
        let interfaces = [
            ("lo", "127.0.0.1"),
            ("docker0", "172.17.0.1"),
            ("eth0", "10.0.0.5"),
            ("eth1", "198.51.100.7"),
            ("eth1", "2001:db8::7"),
            ("eth1", "fe80::1"),
        ];
        assert_eq!(
            ranked(&interfaces, &["198.51.100.7", "2001:db8::7"]),
            [
                "198.51.100.7",
                "2001:db8::7",
                "10.0.0.5",
                "172.17.0.1",
                "127.0.0.1"
            ]
        );
    }

    #[test]
    fn a_machine_without_interfaces_still_has_loopback() {
        assert_eq!(ranked(&[], &[]), ["127.0.0.1"]);
    }

    #[test]
    fn state_goes_where_the_environment_says() {
        let with = |set: &[(&str, &str)]| {
            let value = |name: &str| set.iter().find(|(key, _)| *key == name);
            state(|name| value(name).map(|(_, path)| path.into()))
        };
        let home = ("HOME", "/home/a");
        let xdg = ("XDG_STATE_HOME", "/state");
        for (set, path) in [
            (&[][..], "/var/lib/tidegate"),
            (&[home], "/home/a/.local/state/tidegate"),
            (&[home, xdg], "/state/tidegate"),
            (
                &[home, ("XDG_STATE_HOME", "x")],
                "/home/a/.local/state/tidegate",
            ),
            (
                &[home, xdg, ("STATE_DIRECTORY", "/var/lib/b")],
                "/var/lib/b",
            ),
        ] {
            assert_eq!(with(set), PathBuf::from(path));
        }
    }

    #[test]
    fn this_machine_has_a_core_and_an_address() {
        let host = Host::read();
        assert!(host.cores >= 1 && !host.addresses.is_empty());
    }
}
