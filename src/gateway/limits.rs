//! How much the server takes, of everybody and of one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use super::{Client, CreateError};
use crate::network;

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
    /// Publishers of one stream, of different priorities.
    pub publishers_per_stream: usize,
    /// Slates at once.
    pub slates: usize,
    /// Sessions that have not finished ICE and DTLS.
    pub half_open_sessions: usize,
    /// Such sessions of one client address.
    pub half_open_sessions_per_address: usize,
    /// How long a player may take to answer an offer of ours.
    pub answer_timeout: Duration,
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
    /// Whether `client` may have one more session.
    pub(super) fn room(&self, client: Client, limits: &Limits) -> Result<(), CreateError> {
        let Some(held) = counted(client).and_then(|address| self.0.get(&address)) else {
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
    pub(super) fn add(&mut self, client: Client) {
        if let Some(address) = counted(client) {
            let held = self.0.entry(address).or_default();
            held.sessions += 1;
            held.half_open += 1;
        }
    }

    /// One of its sessions has connected.
    pub(super) fn connected(&mut self, client: Client) {
        if let Some(held) = counted(client).and_then(|address| self.0.get_mut(&address)) {
            held.half_open -= 1;
        }
    }

    /// One of its sessions has gone.
    pub(super) fn remove(&mut self, client: Client, was_connected: bool) {
        let Some(address) = counted(client) else {
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

/// What a client counts as. This machine's own programs count as nobody; a loopback address
/// that a proxy named, or that stands for clients of one, counts as any other.
fn counted(client: Client) -> Option<IpAddr> {
    (!client.is_here).then(|| network::holder(client.address))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        sessions: 100,
        sessions_per_stream: 100,
        sessions_per_address: 3,
        streams: 100,
        publishers_per_stream: 2,
        slates: 1,
        half_open_sessions: 100,
        half_open_sessions_per_address: 2,
        answer_timeout: Duration::from_secs(30),
    };

    fn client(address: &str) -> Client {
        let address: IpAddr = address.parse().unwrap();
        Client {
            address,
            is_here: address.is_loopback(),
        }
    }

    fn refused(addresses: &Addresses, address: &str) -> Option<&'static str> {
        match addresses.room(client(address), &LIMITS) {
            Ok(()) => None,
            Err(CreateError::TooManyFromAddress { setting, .. }) => Some(setting),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn an_address_has_its_own_limits_and_leaves_nothing_behind() {
        let mut addresses = Addresses::default();
        let address = client("192.0.2.1");
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
            addresses.add(client(address));
        }
        assert!(refused(&addresses, "2001:db8::3").is_some());
        assert!(refused(&addresses, "2001:db8:0:1::3").is_none());
        assert!(refused(&addresses, "127.0.0.1").is_none());
        assert!(refused(&addresses, "::1").is_none());
        let named = Client {
            is_here: false,
            ..client("127.0.0.1")
        };
        addresses.add(named);
        addresses.add(named);
        assert!(addresses.room(named, &LIMITS).is_err());
        assert!(refused(&addresses, "127.0.0.1").is_none());
    }
}
