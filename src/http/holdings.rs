//! How much of something each client holds.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ConnectionLimits;
use crate::network;

/// Counts what is held: as many entries as there are addresses that hold something.
#[derive(Clone, Debug, Default)]
pub(super) struct Holdings {
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    in_all: usize,
    of_network: HashMap<IpAddr, usize>,
}

/// One thing that is held until this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    holdings: Holdings,
    network: Option<IpAddr>,
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    InAll,
    OfAddress,
}

impl Holdings {
    /// Counts one more, of this address if of any. What is held already is never taken away for it.
    pub(super) fn take(
        &self,
        address: Option<IpAddr>,
        limits: ConnectionLimits,
    ) -> Result<Held, Full> {
        let network = address.map(network::holder);
        let mut counts = self.lock();
        let same = network.and_then(|network| counts.of_network.get(&network));
        // First, as whoever makes room in all makes none for this address.
        if same.is_some_and(|same| *same >= limits.of_address) {
            return Err(Full::OfAddress);
        }
        if counts.in_all >= limits.in_all {
            return Err(Full::InAll);
        }
        counts.in_all += 1;
        if let Some(network) = network {
            *counts.of_network.entry(network).or_default() += 1;
        }
        Ok(Held {
            holdings: self.clone(),
            network,
        })
    }

    /// Nothing panics while it is locked.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut counts = self.holdings.lock();
        counts.in_all -= 1;
        if let Some(network) = self.network
            && let Some(same) = counts.of_network.get_mut(&network)
        {
            *same -= 1;
            if *same == 0 {
                counts.of_network.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_counted_in_all_and_by_network_while_it_lasts() {
        let holdings = Holdings::default();
        let limits = ConnectionLimits {
            in_all: 4,
            of_address: 2,
        };
        let take = |address: &str| holdings.take(Some(address.parse().unwrap()), limits);
        let first = take("2001:db8::1").unwrap();
        let second = take("2001:db8::2").unwrap();
        assert_eq!(take("2001:db8::3").unwrap_err(), Full::OfAddress);
        let third = take("192.0.2.1").unwrap();
        let fourth = take("::ffff:192.0.2.1").unwrap();
        assert_eq!(holdings.take(None, limits).unwrap_err(), Full::InAll);
        assert_eq!(take("2001:db8::3").unwrap_err(), Full::OfAddress);
        drop((first, third));
        let free = [(); 2].map(|()| holdings.take(None, limits).unwrap());
        drop(free);
        let rest = [
            holdings.take(None, limits).unwrap(),
            take("2001:db8::3").unwrap(),
        ];
        drop((rest, second, fourth));
        let counts = holdings.lock();
        assert!(counts.in_all == 0 && counts.of_network.is_empty());
    }
}
