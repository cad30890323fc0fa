//! The established connections: how many there are, in all and of one address.
//!
//! Who is over a limit is closed at once: somebody who has been let in already is never closed for
//! somebody new.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::front;

/// How long to be silent after a warning.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// How many connections may be established at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// In all.
    pub in_all: usize,
    /// Of one address (of IPv6: of one /64). Loopback is not limited.
    pub of_address: usize,
}

impl ConnectionLimits {
    /// No limit.
    pub const UNLIMITED: Self = Self {
        in_all: usize::MAX,
        of_address: usize::MAX,
    };
}

/// Who holds how many connections: as many entries as there are addresses with one.
#[derive(Debug)]
pub(super) struct Connections {
    limits: ConnectionLimits,
    held: Arc<Mutex<Held>>,
    warned: Option<Instant>,
}

#[derive(Debug, Default)]
struct Held {
    in_all: usize,
    of_network: HashMap<IpAddr, usize>,
}

/// Counts one connection until it is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    held: Arc<Mutex<Held>>,
    network: Option<IpAddr>,
}

impl Connections {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        Self {
            limits,
            held: Arc::default(),
            warned: None,
        }
    }

    /// Counts a connection of `peer`; `None` if there are too many.
    pub(super) fn admit(&mut self, peer: IpAddr) -> Option<Counted> {
        let peer = peer.to_canonical();
        let network = (!peer.is_loopback()).then(|| front::network(peer));
        let mut held = lock(&self.held);
        let same = network.and_then(|network| held.of_network.get(&network));
        let full = if held.in_all >= self.limits.in_all {
            Some("limits.connections")
        } else if same.is_some_and(|same| *same >= self.limits.of_address) {
            Some("limits.connections_per_address")
        } else {
            None
        };
        if let Some(setting) = full {
            drop(held);
            self.warn(setting);
            return None;
        }
        held.in_all += 1;
        if let Some(network) = network {
            *held.of_network.entry(network).or_default() += 1;
        }
        Some(Counted {
            held: Arc::clone(&self.held),
            network,
        })
    }

    fn warn(&mut self, setting: &str) {
        let now = Instant::now();
        if self
            .warned
            .is_none_or(|warned| now.duration_since(warned) >= WARNING_INTERVAL)
        {
            self.warned = Some(now);
            tracing::warn!(setting, "a connection was closed, as there are too many");
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut held = lock(&self.held);
        held.in_all -= 1;
        if let Some(network) = self.network
            && let Some(same) = held.of_network.get_mut(&network)
        {
            *same -= 1;
            if *same == 0 {
                held.of_network.remove(&network);
            }
        }
    }
}

/// Nothing panics while it is locked.
fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_in_all_and_by_network_while_they_last() {
        let mut connections = Connections::new(ConnectionLimits {
            in_all: 4,
            of_address: 2,
        });
        let mut admit = |peer: &str| connections.admit(peer.parse().unwrap());
        let first = admit("2001:db8::1");
        let second = admit("2001:db8::2");
        assert!(first.is_some() && second.is_some());
        assert!(admit("2001:db8::3").is_none(), "one network");
        let third = admit("192.0.2.1");
        let fourth = admit("::ffff:192.0.2.1");
        assert!(third.is_some() && fourth.is_some());
        assert!(admit("127.0.0.1").is_none(), "the limit in all");
        drop((first, third));
        let here = [(); 2].map(|()| admit("127.0.0.1"));
        assert!(here.iter().all(Option::is_some));
        drop(here);
        let here = [admit("::1"), admit("2001:db8::3")];
        assert!(here.iter().all(Option::is_some));
        drop((here, second, fourth));
        let held = lock(&connections.held);
        assert!(held.in_all == 0 && held.of_network.is_empty());
    }
}
