//! What the settings need to know of the machine.

use std::net::{Ipv6Addr, UdpSocket};
use std::thread;

/// The machine, as far as defaults depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// How many threads can run at once.
    pub cores: usize,
    /// Whether sockets for IPv6 can be had. They take IPv4 too.
    pub ipv6: bool,
}

impl Host {
    /// Looks at this machine. One that can't be looked at has one core.
    pub fn read() -> Self {
        Self {
            cores: thread::available_parallelism().map_or(1, Into::into),
            ipv6: has_ipv6(),
        }
    }

    /// A machine for tests.
    #[cfg(test)]
    pub(crate) fn example() -> Self {
        Self {
            cores: 4,
            ipv6: true,
        }
    }
}

/// A kernel without IPv6, or where `net.ipv6.conf.all.disable_ipv6` is set, binds none of its addresses.
fn has_ipv6() -> bool {
    UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_core() {
        assert!(Host::read().cores >= 1);
    }
}
