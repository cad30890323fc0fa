//! What the settings need to know of the machine.

use std::net::{Ipv6Addr, UdpSocket};
use std::path::PathBuf;
use std::{env, thread};

/// The machine, as far as defaults depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// How many threads can run at once.
    pub cores: usize,
    /// Whether sockets for IPv6 can be had. They take IPv4 too.
    pub ipv6: bool,
    /// Where we may keep what has to outlive a restart.
    pub state: PathBuf,
}

impl Host {
    /// Looks at this machine. One that can't be looked at has one core.
    pub fn read() -> Self {
        Self {
            cores: thread::available_parallelism().map_or(1, Into::into),
            ipv6: has_ipv6(),
            state: state(|name| env::var_os(name).map(PathBuf::from)),
        }
    }

    /// A machine for tests.
    #[cfg(test)]
    pub(crate) fn example() -> Self {
        Self {
            cores: 4,
            ipv6: true,
            state: PathBuf::from("/var/lib/tidegate"),
        }
    }
}

/// A kernel without IPv6, or where `net.ipv6.conf.all.disable_ipv6` is set, binds none of its addresses.
fn has_ipv6() -> bool {
    UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// What systemd gives to a service, the place that users have for it (XDG base directories), or that
/// of the system. Relative paths there mean nothing.
fn state(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    let path = |name: &str| variable(name).filter(|path| path.is_absolute());
    let own = |base: PathBuf| base.join("tidegate");
    path("STATE_DIRECTORY")
        .or_else(|| path("XDG_STATE_HOME").map(own))
        .or_else(|| path("HOME").map(|home| own(home.join(".local/state"))))
        .unwrap_or_else(|| own("/var/lib".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_goes_where_the_environment_says() {
        let with = |set: &[(&str, &str)]| {
            let value = |name: &str| set.iter().find(|(key, _)| *key == name);
            state(|name| value(name).map(|(_, path)| path.into()))
        };
        let home = ("HOME", "/home/a");
        let xdg = ("XDG_STATE_HOME", "/state");
        for (set, path) in [
            (&[][..], "/var/lib/tidegate"),
            (&[home], "/home/a/.local/state/tidegate"),
            (&[home, xdg], "/state/tidegate"),
            (
                &[home, ("XDG_STATE_HOME", "x")],
                "/home/a/.local/state/tidegate",
            ),
            (
                &[home, xdg, ("STATE_DIRECTORY", "/var/lib/b")],
                "/var/lib/b",
            ),
        ] {
            assert_eq!(with(set), PathBuf::from(path));
        }
    }

    #[test]
    fn this_machine_has_a_core() {
        assert!(Host::read().cores >= 1);
    }
}
