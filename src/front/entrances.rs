//! Which addresses are listened on, and what may come in at each. Pure.
//!
//! HTTP and ICE over TCP share a port as a rule. Where they don't, one may be for the whole world and
//! the other for loopback only, even under one port number: so what a connection may speak is decided
//! by the address that it came to.

use std::net::{IpAddr, SocketAddr};

/// The addresses of each purpose. Port 0 stands for one port of the system's choice, the same for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entrances {
    /// Where HTTP and HTTPS come in.
    pub web: Vec<SocketAddr>,
    /// Where ICE over TCP comes in.
    pub ice: Vec<SocketAddr>,
}

/// What a connection may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Admission {
    /// HTTP and TLS.
    pub(super) web: bool,
    /// ICE over TCP.
    pub(super) ice: bool,
}

impl Entrances {
    /// The addresses to bind, each once: the system has no room for an address beside one that
    /// covers it.
    pub fn to_bind(&self) -> Vec<SocketAddr> {
        let all = || self.web.iter().chain(&self.ice);
        let mut found: Vec<SocketAddr> = Vec::new();
        for address in all() {
            let covered = |by: &SocketAddr| by != address && covers(*by, *address);
            if !all().any(covered) && !found.contains(address) {
                found.push(*address);
            }
        }
        found
    }

    /// Puts the port that the system chose in the place of 0.
    pub fn resolve(&mut self, port: u16) {
        for address in self.web.iter_mut().chain(&mut self.ice) {
            if address.port() == 0 {
                address.set_port(port);
            }
        }
    }

    /// What a connection that came to the address `local` of this machine may speak.
    pub(super) fn admit(&self, local: SocketAddr) -> Admission {
        let among = |addresses: &[SocketAddr]| addresses.iter().any(|at| covers(*at, local));
        Admission {
            web: among(&self.web),
            ice: among(&self.ice),
        }
    }
}

/// Whether what comes to `address` comes to a socket bound to `bound`. `[::]` takes IPv4 as well.
fn covers(bound: SocketAddr, address: SocketAddr) -> bool {
    let (ip, to) = (bound.ip(), address.ip().to_canonical());
    let covered = match ip {
        IpAddr::V6(ip) if ip.is_unspecified() => true,
        IpAddr::V4(ip) if ip.is_unspecified() => to.is_ipv4(),
        ip => ip.to_canonical() == to,
    };
    bound.port() == address.port() && covered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entrances(web: &[&str], ice: &[&str]) -> Entrances {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Entrances {
            web: parse(web),
            ice: parse(ice),
        }
    }

    fn bound(web: &[&str], ice: &[&str]) -> Vec<String> {
        let bound = entrances(web, ice).to_bind();
        bound.iter().map(SocketAddr::to_string).collect()
    }

    #[test]
    fn an_address_that_another_covers_is_not_bound() {
        for (web, ice, expected) in [
            (
                &["0.0.0.0:80"][..],
                &["0.0.0.0:80"][..],
                &["0.0.0.0:80"][..],
            ),
            (&["127.0.0.1:80"], &["0.0.0.0:80"], &["0.0.0.0:80"]),
            (&["127.0.0.1:80"], &["[::]:80"], &["[::]:80"]),
            (&["0.0.0.0:80"], &["[::]:80"], &["[::]:80"]),
            (&["127.0.0.1:0"], &["0.0.0.0:0"], &["0.0.0.0:0"]),
            (
                &["127.0.0.1:80"],
                &["0.0.0.0:81"],
                &["127.0.0.1:80", "0.0.0.0:81"],
            ),
            (&["[::1]:80"], &["0.0.0.0:80"], &["[::1]:80", "0.0.0.0:80"]),
            (
                &["0.0.0.0:80", "0.0.0.0:443"],
                &["0.0.0.0:443"],
                &["0.0.0.0:80", "0.0.0.0:443"],
            ),
        ] {
            assert_eq!(bound(web, ice), expected, "{web:?} {ice:?}");
        }
    }

    #[test]
    fn what_may_come_in_depends_on_the_address() {
        let entrances = entrances(&["127.0.0.1:80"], &["[::]:80"]);
        for (local, web) in [
            ("127.0.0.1:80", true),
            ("[::ffff:127.0.0.1]:80", true),
            ("192.0.2.1:80", false),
            ("[::1]:80", false),
        ] {
            let admission = entrances.admit(local.parse().unwrap());
            assert_eq!(admission, Admission { web, ice: true }, "{local}");
        }
        let nobody = Admission {
            web: false,
            ice: false,
        };
        assert_eq!(entrances.admit("127.0.0.1:81".parse().unwrap()), nobody);
    }

    #[test]
    fn the_port_that_the_system_chose_is_the_port_of_all() {
        let mut entrances = entrances(&["127.0.0.1:0", "127.0.0.1:1"], &["0.0.0.0:0"]);
        entrances.resolve(9);
        assert_eq!(
            entrances,
            self::entrances(&["127.0.0.1:9", "127.0.0.1:1"], &["0.0.0.0:9"])
        );
    }
}
