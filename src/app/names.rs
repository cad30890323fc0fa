//! What people on the network may call this machine, for its self-signed certificate.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::{Endpoint, HostName};
use crate::network::Interface;

/// The names and addresses, the surest first, as a certificate has room for so many.
pub(super) fn own(announced: &[Endpoint], interfaces: &[Interface]) -> Vec<String> {
    let interfaces = interfaces.iter().map(|interface| interface.ip);
    list(hostname().as_deref(), announced, interfaces)
}

fn list(
    hostname: Option<&str>,
    announced: &[Endpoint],
    interfaces: impl Iterator<Item = IpAddr>,
) -> Vec<String> {
    let mut names = vec!["localhost".to_owned()];
    if let Some(name) = hostname {
        names.push(name.to_owned());
        if !name.contains('.') {
            // Its name by mDNS (RFC 6762).
            names.push(format!("{name}.local"));
        }
    }
    let announced = announced.iter().map(|endpoint| match &endpoint.host {
        HostName::Ip(ip) => ip.to_string(),
        HostName::Name(name) => name.clone(),
    });
    let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let addresses = loopback.into_iter().chain(interfaces);
    // Nobody can write the address of a link into a URL, as it needs the interface.
    let addresses =
        addresses.filter(|ip| !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local()));
    for name in announced.chain(addresses.map(|ip| ip.to_string())) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.truncate(MAX_NAMES);
    names
}

/// Nothing for a name that can't stand in a certificate, or what systems without a name say.
fn hostname() -> Option<String> {
    let system = rustix::system::uname();
    let name = system.nodename().to_str().ok()?.to_ascii_lowercase();
    let usable = matches!(name.parse(), Ok(HostName::Name(_)));
    (usable && name != "localhost").then_some(name)
}

/// More only make handshakes longer.
const MAX_NAMES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_every_name_once() {
        let announced = ["203.0.113.9:443", "live.example.org", "192.0.2.7"];
        let announced = announced.map(|text| text.parse().unwrap());
        let interfaces = ["192.0.2.7", "127.0.0.1", "2001:db8::7", "fe80::1"];
        let interfaces = interfaces.iter().map(|text| text.parse().unwrap());
        let expected = [
            "localhost",
            "gate",
            "gate.local",
            "203.0.113.9",
            "live.example.org",
            "192.0.2.7",
            "127.0.0.1",
            "::1",
            "2001:db8::7",
        ];
        assert_eq!(list(Some("gate"), &announced, interfaces), expected);
    }
}
