//! The connections that have not said yet what they are, and which of them has to make room. Pure.
//!
//! A flood of silent connections must not keep others out. So nobody new is turned away: the oldest
//! one goes, of the same address if that has too many, else of all. An honest client says what it
//! wants within a round trip and is gone from here before its turn comes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use crate::network;

/// The table. `K` names a connection.
#[derive(Debug)]
pub(super) struct Opening<K> {
    limits: Limits,
    /// By age.
    connections: BTreeMap<u64, (K, IpAddr)>,
    of_key: HashMap<K, u64>,
    of_network: HashMap<IpAddr, BTreeSet<u64>>,
    next: u64,
}

/// How many connections may be opening at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) in_all: usize,
    pub(super) of_address: usize,
}

impl<K: Copy + Eq + std::hash::Hash> Opening<K> {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            connections: BTreeMap::new(),
            of_key: HashMap::new(),
            of_network: HashMap::new(),
            next: 0,
        }
    }

    /// Takes one in. Returns the one that has to go for it, which is forgotten already.
    pub(super) fn insert(&mut self, key: K, peer: IpAddr) -> Option<K> {
        let network = network::holder(peer);
        // A proxy on this machine is many clients, and whoever else is here needs no bound.
        let same = self.of_network.get(&network);
        let same = same.filter(|_| !peer.to_canonical().is_loopback());
        let same = same.filter(|same| same.len() >= self.limits.of_address);
        let oldest = match same {
            Some(same) => same.first().copied(),
            None if self.connections.len() >= self.limits.in_all => self.oldest(),
            None => None,
        };
        let goes = oldest.and_then(|age| self.connections.get(&age).map(|(key, _)| *key));
        if let Some(key) = goes {
            self.remove(key);
        }
        self.connections.insert(self.next, (key, network));
        self.of_key.insert(key, self.next);
        self.of_network
            .entry(network)
            .or_default()
            .insert(self.next);
        self.next += 1;
        goes
    }

    /// Forgets one that has opened or ended.
    pub(super) fn remove(&mut self, key: K) {
        let Some(age) = self.of_key.remove(&key) else {
            return;
        };
        let Some((_, network)) = self.connections.remove(&age) else {
            return;
        };
        if let Some(same) = self.of_network.get_mut(&network) {
            same.remove(&age);
            if same.is_empty() {
                self.of_network.remove(&network);
            }
        }
    }

    fn oldest(&self) -> Option<u64> {
        self.connections.keys().next().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn opening(in_all: usize, of_address: usize) -> Opening<u32> {
        Opening::new(Limits { in_all, of_address })
    }

    #[test]
    fn the_oldest_of_all_makes_room() {
        let mut opening = opening(3, 2);
        for key in 0..3 {
            assert_eq!(opening.insert(key, ip(key as u8)), None);
        }
        opening.remove(1);
        assert_eq!(opening.insert(3, ip(3)), None);
        assert_eq!(opening.insert(4, ip(4)), Some(0));
        assert_eq!(opening.insert(5, ip(5)), Some(2));
    }

    #[test]
    fn an_address_with_too_many_makes_room_itself() {
        let mut opening = opening(10, 2);
        assert_eq!(opening.insert(0, ip(1)), None);
        for key in 1..3 {
            assert_eq!(opening.insert(key, ip(2)), None);
        }
        assert_eq!(opening.insert(3, ip(2)), Some(1));
        assert_eq!(opening.insert(4, ip(2)), Some(2));
        assert_eq!(opening.insert(5, ip(1)), None);
    }

    #[test]
    fn this_machine_is_bounded_with_all_others_alone() {
        let mut opening = opening(4, 1);
        let here = ["127.0.0.1", "::1", "::ffff:127.0.0.1", "127.0.0.1"];
        for (key, ip) in (0..).zip(here) {
            assert_eq!(opening.insert(key, ip.parse().unwrap()), None);
        }
        assert_eq!(opening.insert(4, ip(1)), Some(0));
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let mut opening = opening(10, 1);
        assert_eq!(opening.insert(0, "2001:db8:0:1::1".parse().unwrap()), None);
        assert_eq!(opening.insert(1, "2001:db8:0:2::1".parse().unwrap()), None);
        assert_eq!(
            opening.insert(2, "2001:db8:0:1::2".parse().unwrap()),
            Some(0)
        );
        assert_eq!(opening.insert(3, ip(1)), None);
        assert_eq!(
            opening.insert(4, "::ffff:192.0.2.1".parse().unwrap()),
            Some(3)
        );
    }

    #[test]
    fn nothing_is_left_of_those_who_have_gone() {
        let mut opening = opening(2, 2);
        for key in 0..100 {
            opening.insert(key, ip(key as u8));
            opening.remove(key);
            opening.remove(key);
        }
        assert!(opening.connections.is_empty() && opening.of_key.is_empty());
        assert!(opening.of_network.is_empty());
    }
}
