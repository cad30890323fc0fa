//! The established connections: how many there are, in all and of one address.
//!
//! Who is over a limit is closed at once: somebody who has been let in already is never closed for
//! somebody new.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::holdings::{Full, Held, Holdings};

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
    warned: Option<Instant>,
}

impl Connections {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        Self {
            limits,
            holdings: Holdings::default(),
            warned: None,
        }
    }

    /// Counts a connection of `peer`; `None` if there are too many.
    pub(super) fn admit(&mut self, peer: IpAddr) -> Option<Held> {
        let peer = peer.to_canonical();
        let counted = (!peer.is_loopback()).then_some(peer);
        match self.holdings.take(counted, self.limits) {
            Ok(held) => Some(held),
            Err(full) => {
                self.warn(full);
                None
            }
        }
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
