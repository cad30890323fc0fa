//! Where something is, as it is written in the configuration: an address or a name, maybe a port.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// An address or a name, and a port if there is one: `203.0.113.9`, `[2001:db8::9]:443`,
/// `live.example.org:3478`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// The machine.
    pub host: HostName,
    /// The port, never 0.
    pub port: Option<u16>,
}

/// What tells the machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostName {
    /// An address, neither unspecified nor multicast.
    Ip(IpAddr),
    /// A name to resolve (RFC 1123, section 2.1), in small letters.
    Name(String),
}

/// The text is no address, name, or either with a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no address or name, with or without a port")]
pub struct EndpointError;

impl From<IpAddr> for Endpoint {
    fn from(ip: IpAddr) -> Self {
        Self {
            host: HostName::Ip(ip),
            port: None,
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let (host, port) = if text.parse::<Ipv6Addr>().is_ok() || text.ends_with(']') {
            (text, None)
        } else {
            match text.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        let port = match port {
            None => None,
            Some(port) => match port.parse() {
                Ok(0) | Err(_) => return Err(EndpointError),
                Ok(port) => Some(port),
            },
        };
        let inside = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = match inside {
            Some(inside) => HostName::Ip(IpAddr::V6(inside.parse().map_err(|_| EndpointError)?)),
            None => host.parse()?,
        };
        match host {
            HostName::Ip(ip) if ip.is_unspecified() || ip.is_multicast() => Err(EndpointError),
            host => Ok(Self { host, port }),
        }
    }
}

impl FromStr for HostName {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(ip));
        }
        let labels = text.strip_suffix('.').unwrap_or(text).split('.');
        let is_name = text.len() <= 253
            && labels.clone().all(is_label)
            // `1.2.3` is a mistyped address.
            && labels.clone().next_back().is_some_and(|last| !last.bytes().all(|c| c.is_ascii_digit()));
        if is_name {
            Ok(Self::Name(text.to_ascii_lowercase()))
        } else {
            Err(EndpointError)
        }
    }
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host, self.port) {
            (HostName::Ip(IpAddr::V6(ip)), Some(port)) => write!(f, "[{ip}]:{port}"),
            (host, Some(port)) => write!(f, "{host}:{port}"),
            (host, None) => write!(f, "{host}"),
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => write!(f, "{ip}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_read_and_written_alike() {
        for (text, port) in [
            ("203.0.113.9", None),
            ("203.0.113.9:443", Some(443)),
            ("2001:db8::9", None),
            ("[2001:db8::9]:443", Some(443)),
            ("live.example.org", None),
            ("live.example.org:3478", Some(3478)),
            ("localhost", None),
            ("my_host-1", None),
        ] {
            let endpoint: Endpoint = text.parse().expect(text);
            assert_eq!(endpoint.port, port, "{text}");
            assert_eq!(endpoint.to_string(), text);
        }
        assert_eq!("[::1]".parse::<Endpoint>().unwrap().to_string(), "::1");
        assert_eq!(
            "A.Example".parse::<Endpoint>().unwrap().to_string(),
            "a.example"
        );
    }

    #[test]
    fn what_nobody_can_send_to_is_refused() {
        for text in [
            "",
            ":443",
            "0.0.0.0",
            "::",
            "239.0.0.1:9",
            "203.0.113",
            "203.0.113.9:0",
            "203.0.113.9:65536",
            "[203.0.113.9]:443",
            "[2001:db8::9",
            "a b",
            "a..b",
            "-a",
            "https://a.example",
            "a.example:x",
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(EndpointError), "{text}");
        }
    }
}
