//! How much the server takes, of everybody and of one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use super::CreateError;

/// How much the server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions in all.
    pub sessions: usize,
    /// Subscribers of one stream.
    pub sessions_per_stream: usize,
    /// Sessions of one client address.
    pub sessions_per_address: usize,
    /// Streams at once.
    pub streams: usize,
    /// Sessions that have not finished ICE and DTLS.
    pub half_open_sessions: usize,
    /// Such sessions of one client address.
    pub half_open_sessions_per_address: usize,
}

/// Who holds how many sessions: as many entries as there are addresses with one.
#[derive(Debug, Default)]
pub(super) struct Addresses(HashMap<IpAddr, Held>);

#[derive(Clone, Copy, Debug, Default)]
struct Held {
    sessions: usize,
    half_open: usize,
}

impl Addresses {
    /// Whether a client at `address` may have one more session.
    pub(super) fn room(&self, address: IpAddr, limits: &Limits) -> Result<(), CreateError> {
        let Some(held) = counted(address).and_then(|address| self.0.get(&address)) else {
            return Ok(());
        };
        for (setting, count, limit) in [
            (
                "limits.sessions_per_address",
                held.sessions,
                limits.sessions_per_address,
            ),
            (
                "limits.half_open_sessions_per_address",
                held.half_open,
                limits.half_open_sessions_per_address,
            ),
        ] {
            if count >= limit {
                return Err(CreateError::TooManyFromAddress { setting, limit });
            }
        }
        Ok(())
    }

    /// Counts a session that has to connect yet.
    pub(super) fn add(&mut self, address: IpAddr) {
        if let Some(address) = counted(address) {
            let held = self.0.entry(address).or_default();
            held.sessions += 1;
            held.half_open += 1;
        }
    }

    /// One of its sessions has connected.
    pub(super) fn connected(&mut self, address: IpAddr) {
        if let Some(held) = counted(address).and_then(|address| self.0.get_mut(&address)) {
            held.half_open -= 1;
        }
    }

    /// One of its sessions has gone.
    pub(super) fn remove(&mut self, address: IpAddr, was_connected: bool) {
        let Some(address) = counted(address) else {
            return;
        };
        if let Some(held) = self.0.get_mut(&address) {
            held.sessions -= 1;
            held.half_open -= usize::from(!was_connected);
            if held.sessions == 0 {
                self.0.remove(&address);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What an address counts as. One of IPv6 stands for its /64, out of which a single machine may
/// take any (RFC 4291, section 2.5.1). Loopback counts as nobody: behind it stand this machine's own
/// programs, or all the clients of a proxy that is not configured as one.
fn counted(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        address if address.is_loopback() => None,
        IpAddr::V4(address) => Some(IpAddr::V4(address)),
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & (u128::MAX << 64);
            Some(IpAddr::V6(Ipv6Addr::from(prefix)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        sessions: 100,
        sessions_per_stream: 100,
        sessions_per_address: 3,
        streams: 100,
        half_open_sessions: 100,
        half_open_sessions_per_address: 2,
    };

    fn refused(addresses: &Addresses, address: &str) -> Option<&'static str> {
        match addresses.room(address.parse().unwrap(), &LIMITS) {
            Ok(()) => None,
            Err(CreateError::TooManyFromAddress { setting, .. }) => Some(setting),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn an_address_has_its_own_limits_and_leaves_nothing_behind() {
        let mut addresses = Addresses::default();
        let address = "192.0.2.1".parse().unwrap();
        addresses.add(address);
        addresses.add(address);
        let half_open = Some("limits.half_open_sessions_per_address");
        assert_eq!(refused(&addresses, "192.0.2.1"), half_open);
        assert_eq!(refused(&addresses, "::ffff:192.0.2.1"), half_open);
        assert_eq!(refused(&addresses, "192.0.2.2"), None);
        addresses.connected(address);
        assert_eq!(refused(&addresses, "192.0.2.1"), None);
        addresses.add(address);
        addresses.connected(address);
        let all = Some("limits.sessions_per_address");
        assert_eq!(refused(&addresses, "192.0.2.1"), all);
        addresses.remove(address, true);
        assert_eq!(refused(&addresses, "192.0.2.1"), None);
        addresses.remove(address, true);
        addresses.remove(address, false);
        assert!(addresses.is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_client_and_loopback_none() {
        let mut addresses = Addresses::default();
        for address in [
            "2001:db8::1",
            "2001:db8::2",
            "127.0.0.1",
            "127.0.0.1",
            "::1",
            "::1",
        ] {
            addresses.add(address.parse().unwrap());
        }
        assert!(refused(&addresses, "2001:db8::3").is_some());
        assert!(refused(&addresses, "2001:db8:0:1::3").is_none());
        assert!(refused(&addresses, "127.0.0.1").is_none());
        assert!(refused(&addresses, "::1").is_none());
    }
}
