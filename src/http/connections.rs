//! The established connections: how many there are, in all and of one address.
//!
//! Who is over a limit is closed at once, unless a connection without a request in flight can make room: somebody who is
//! being answered is never closed for somebody new.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::holdings::{Full, Holdings};
use super::idle::{Admitted, IdleConnections};

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

/// Who holds how many connections.
#[derive(Debug)]
pub(super) struct Connections {
    limits: ConnectionLimits,
    holdings: Holdings,
    idle: IdleConnections,
    warned: Option<Instant>,
}

impl Connections {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        Self {
            limits,
            holdings: Holdings::default(),
            idle: IdleConnections::default(),
            warned: None,
        }
    }

    /// Counts a connection of `peer`; `None` if there are too many. If there are too many in all, the longest idle one makes
    /// room.
    pub(super) fn admit(&mut self, peer: IpAddr) -> Option<Admitted> {
        let peer = peer.to_canonical();
        let counted = (!peer.is_loopback()).then_some(peer);
        let mut held = self.holdings.take(counted, self.limits);
        if let Err(full) = held {
            self.warn(full);
            if full == Full::InAll && self.idle.end_longest() {
                held = self.holdings.take(counted, self.limits);
            }
        }
        held.ok().map(|held| self.idle.enter(held))
    }

    fn warn(&mut self, full: Full) {
        let now = Instant::now();
        let setting = match full {
            Full::InAll => "limits.connections",
            Full::OfAddress => "limits.connections_per_address",
        };
        if self
            .warned
            .is_none_or(|warned| now.duration_since(warned) >= WARNING_INTERVAL)
        {
            self.warned = Some(now);
            tracing::warn!(setting, "a connection was closed, as there are too many");
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Version;
    use tokio::sync::oneshot::error::TryRecvError::{Closed, Empty};

    use super::*;

    #[test]
    fn an_idle_connection_makes_room_for_another_address_and_a_busy_one_does_not() {
        let limits = ConnectionLimits {
            in_all: 3,
            of_address: 2,
        };
        let mut connections = Connections::new(limits);
        let mut admit = |last: u8| connections.admit(IpAddr::from([192, 0, 2, last]));
        let busy = admit(1).unwrap();
        let request = busy.activity.begin(Version::HTTP_11);
        let mut idle = admit(1).unwrap();
        // An address with too many makes nobody go.
        assert!(admit(1).is_none());
        let other = admit(2).unwrap();
        let requests = (request, other.activity.begin(Version::HTTP_2));
        assert!(idle.ended.try_recv().is_err_and(|error| error == Empty));
        let third = admit(3).unwrap();
        assert!(idle.ended.try_recv().is_err_and(|error| error == Closed));
        let requests = (requests, third.activity.begin(Version::HTTP_2));
        // The one that has made room counts no more, so its own end makes none.
        drop(idle);
        assert!(admit(4).is_none());
        drop((requests, busy, other));
        assert!(admit(4).is_some());
    }
}
