//! Which candidates a client gets, and in which order. Pure.

use std::net::IpAddr;

use super::announcement::{Announced, Announcement};
use super::scope::Scope;
use crate::sdp::{Candidate, Protocol};

/// What is announced, ready to be put into answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    announced: Vec<Announced>,
    loopback: Vec<Announced>,
}

impl From<Announcement> for Candidates {
    fn from(announcement: Announcement) -> Self {
        Self {
            announced: announcement.announced,
            loopback: announcement.loopback,
        }
    }
}

impl Candidates {
    /// For a client of which nothing is known.
    pub fn all(&self) -> Vec<Candidate> {
        list(self.announced.iter())
    }

    /// For the client at `client`, as it came to HTTP: first the family by which it came, since that
    /// is known to work. A client on this machine or in a private network gets the addresses of our
    /// interfaces before those outside of a NAT, which might not lead back in. A client on the
    /// internet gets no private ones if there is a public one. Loopback is for who `is_here` alone.
    pub fn for_client(&self, client: IpAddr, is_here: bool) -> Vec<Candidate> {
        let client = client.to_canonical();
        let is_near = Scope::of(client) != Scope::Public
            // It is where a NAT shows us, so it is behind the same one.
            || self.announced.iter().any(|announced| announced.udp.ip() == client);
        let has_public = self.announced.iter().any(|announced| {
            Scope::of(announced.udp.ip()) == Scope::Public
                && announced.udp.is_ipv4() == client.is_ipv4()
        });
        let can_work = |announced: &&Announced| {
            is_near
                || !has_public
                || !announced.is_here()
                || Scope::of(announced.udp.ip()) == Scope::Public
        };
        let mut chosen: Vec<_> = self.announced.iter().filter(can_work).collect();
        chosen.sort_by_key(|announced| {
            (
                announced.udp.is_ipv4() != client.is_ipv4(),
                is_near && !announced.is_here(),
            )
        });
        if is_here && client.is_loopback() {
            // Last: a proxy on this machine that was not made known looks like a client here.
            let missing = |loopback: &&Announced| {
                chosen.iter().all(|announced| announced.udp != loopback.udp)
            };
            let missing: Vec<_> = self.loopback.iter().filter(missing).collect();
            chosen.extend(missing);
        }
        list(chosen.into_iter())
    }
}

/// UDP before TCP: clients exist that stumble over a TCP candidate that stands first.
fn list<'a>(announced: impl Iterator<Item = &'a Announced> + Clone) -> Vec<Candidate> {
    let udp = announced
        .clone()
        .map(|announced| (Protocol::Udp, announced.udp));
    let tcp = announced.filter_map(|announced| Some((Protocol::TcpPassive, announced.tcp?)));
    Candidate::in_order(udp.chain(tcp))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::network::Reason;

    fn announced(udp: &str, reason: Reason) -> Announced {
        let udp: SocketAddr = udp.parse().unwrap();
        Announced {
            udp,
            tcp: Some(SocketAddr::new(udp.ip(), 443)),
            reason,
        }
    }

    fn eth0() -> Reason {
        Reason::Interface("eth0".to_owned())
    }

    /// A machine behind a NAT, with IPv6.
    fn candidates() -> Candidates {
        Candidates {
            announced: vec![
                announced("203.0.113.9:1", Reason::Mapped),
                announced("[2001:db8::7]:1", eth0()),
                announced("10.0.0.5:1", eth0()),
                announced("[fd00::5]:1", eth0()),
            ],
            loopback: vec![
                announced("127.0.0.1:1", Reason::Interface("lo".to_owned())),
                announced("[::1]:1", Reason::Interface("lo".to_owned())),
            ],
        }
    }

    fn udp(candidates: &[Candidate]) -> Vec<String> {
        let udp = candidates.iter().filter(|c| c.protocol == Protocol::Udp);
        udp.map(|candidate| candidate.address.ip().to_string())
            .collect()
    }

    #[test]
    fn the_order_follows_the_client() {
        for (client, expected) in [
            // Somewhere on the internet: by the family that it came by, nothing private.
            ("198.51.100.1", vec!["203.0.113.9", "2001:db8::7"]),
            ("2001:db8:1::1", vec!["2001:db8::7", "203.0.113.9"]),
            // In a private network, or behind our own NAT.
            (
                "10.0.0.77",
                vec!["10.0.0.5", "203.0.113.9", "2001:db8::7", "fd00::5"],
            ),
            (
                "203.0.113.9",
                vec!["10.0.0.5", "203.0.113.9", "2001:db8::7", "fd00::5"],
            ),
            (
                "::ffff:10.0.0.77",
                vec!["10.0.0.5", "203.0.113.9", "2001:db8::7", "fd00::5"],
            ),
            // On this machine.
            (
                "127.0.0.1",
                vec![
                    "10.0.0.5",
                    "203.0.113.9",
                    "2001:db8::7",
                    "fd00::5",
                    "127.0.0.1",
                    "::1",
                ],
            ),
            (
                "::1",
                vec![
                    "2001:db8::7",
                    "fd00::5",
                    "10.0.0.5",
                    "203.0.113.9",
                    "127.0.0.1",
                    "::1",
                ],
            ),
        ] {
            let list = candidates().for_client(client.parse().unwrap(), true);
            assert_eq!(udp(&list), expected, "{client}");
        }
    }

    #[test]
    fn without_a_public_address_the_private_ones_are_told_to_all() {
        let mut candidates = candidates();
        candidates.announced.drain(..2);
        let list = candidates.for_client("198.51.100.1".parse().unwrap(), false);
        assert_eq!(udp(&list), ["10.0.0.5", "fd00::5"]);
    }

    #[test]
    fn what_was_configured_is_told_to_all() {
        let candidates = Candidates {
            announced: vec![
                announced("203.0.113.9:1", Reason::Configured),
                announced("10.0.0.5:1", Reason::Configured),
            ],
            loopback: Vec::new(),
        };
        for client in ["198.51.100.1", "10.0.0.77", "127.0.0.1"] {
            let list = candidates.for_client(client.parse().unwrap(), true);
            assert_eq!(udp(&list), ["203.0.113.9", "10.0.0.5"], "{client}");
        }
    }

    #[test]
    fn tcp_follows_after_all_of_udp_with_a_lower_priority() {
        let text: Vec<_> = candidates().all().iter().map(ToString::to_string).collect();
        let is_udp: Vec<_> = text.iter().map(|line| line.contains(" udp ")).collect();
        assert_eq!(is_udp, [true, true, true, true, false, false, false, false]);
        let priorities: Vec<u32> = text
            .iter()
            .map(|line| line.split(' ').nth(3).unwrap().parse().unwrap())
            .collect();
        assert!(priorities.is_sorted_by(|a, b| a > b), "{text:?}");
        assert!(
            text[4].ends_with(" 203.0.113.9 443 typ host tcptype passive"),
            "{}",
            text[4]
        );
    }
}
