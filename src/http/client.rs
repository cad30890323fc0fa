//! Who asks: the address behind trusted proxies (RFC 7239, and `X-Forwarded-For`).
//!
//! Whatever a client writes into these fields, it writes to the left of what our proxies add. So they
//! count from the right, as far as each next address is a proxy that is trusted. From everybody else
//! they say nothing. What a request says of its client can make it another one, but never a program
//! of this machine, for which no limit of one address holds. Scheme and host as a proxy got them are not needed: our URLs are paths.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{ConnectInfo, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

use crate::gateway::Client;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// More proxies than this stand in no row.
const MAX_HOPS: usize = 16;

/// The proxies whose word counts.
#[derive(Debug, Default)]
pub(super) struct Proxies {
    trusted: Vec<IpNet>,
    /// A proxy that is not trusted is pointed out once.
    told: AtomicBool,
}

impl Proxies {
    pub(super) fn new(trusted: Vec<IpNet>) -> Self {
        Self {
            trusted,
            told: AtomicBool::new(false),
        }
    }

    /// Who asks, when `peer` is who connected.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Client {
        Client {
            address: self.address(peer.to_canonical(), headers),
            is_here: peer.to_canonical().is_loopback() && !is_forwarded(headers),
        }
    }

    fn address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.trust(peer) {
            return peer;
        }
        let standard = chain(headers, &header::FORWARDED, forwarded_for);
        let usual = chain(headers, &X_FORWARDED_FOR, node);
        match (standard, usual) {
            (Some(chain), None) | (None, Some(chain)) => self.walk(peer, chain),
            (Some(one), Some(other)) => {
                // A proxy writes one of them and may pass on the other as the client made it up.
                // Which one is not known here, so they count only when they agree.
                let (one, other) = (self.walk(peer, one), self.walk(peer, other));
                if one == other { one } else { peer }
            }
            (None, None) => peer,
        }
    }

    fn walk(&self, peer: IpAddr, chain: Vec<Option<IpAddr>>) -> IpAddr {
        let mut client = peer;
        for hop in chain.into_iter().rev().take(MAX_HOPS) {
            // An address that is hidden or unreadable ends the row: it is somebody behind the last.
            let Some(address) = hop else { break };
            client = address;
            if !self.trust(address) {
                break;
            }
        }
        client
    }

    fn trust(&self, address: IpAddr) -> bool {
        self.trusted
            .iter()
            .any(|network| network.contains(&address))
    }

    /// Says once that a proxy nearby is not trusted, as all its clients count as one then.
    fn point_out(&self, peer: IpAddr, headers: &HeaderMap) {
        let nearby = match peer.to_canonical() {
            IpAddr::V4(ip) => ip.is_loopback() || ip.is_private(),
            IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
        };
        if nearby
            && is_forwarded(headers)
            && !self.trust(peer.to_canonical())
            && !self.told.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                "a proxy names clients that it forwards, but is not in `http.trusted_proxies`: \
                 all of them count as one address"
            );
        }
    }
}

/// Whether a proxy passed this request on, trusted or not.
pub(super) fn is_forwarded(headers: &HeaderMap) -> bool {
    let marks = [header::FORWARDED, X_FORWARDED_FOR, header::VIA];
    marks.iter().any(|name| headers.contains_key(name)) || headers.contains_key("x-real-ip")
}

/// Finds out who asks, for [`of`].
pub(super) fn identify(proxies: &Proxies, request: &mut Request) {
    if let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() {
        let peer = peer.ip();
        proxies.point_out(peer, request.headers());
        // As a request extension; absent if the connection has no address.
        let client = proxies.client(peer, request.headers());
        request.extensions_mut().insert(client);
    }
}

/// Who asks, for the control plane. What was not asked over a connection comes from this process.
pub(super) fn of(request: &Parts) -> Client {
    let known = request.extensions.get::<Client>().copied();
    known.unwrap_or(Client {
        address: Ipv4Addr::LOCALHOST.into(),
        is_here: true,
    })
}

/// The elements of a list field, the nearest last; `None` when there is no such field. What is no text
/// spoils its own element alone.
fn chain(
    headers: &HeaderMap,
    name: &HeaderName,
    read: fn(&str) -> Option<IpAddr>,
) -> Option<Vec<Option<IpAddr>>> {
    headers.contains_key(name).then(|| {
        let values = headers.get_all(name).iter();
        let elements = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        let read = |element| read(std::str::from_utf8(element).ok()?);
        elements.map(read).collect()
    })
}

/// The `for` parameter of an element of `Forwarded` (RFC 7239, section 4).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let value = value.trim();
        name.trim()
            .eq_ignore_ascii_case("for")
            .then(|| node(value.trim_matches('"')))?
    })
}

/// An address, with or without brackets and port.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        // One colon goes before a port, more of them are IPv6.
        None => match text.split_once(':') {
            Some((address, port)) if !port.contains(':') => address,
            _ => text,
        },
    };
    bare.parse().ok().map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn ask(trusted: &[&str], peer: &str, headers: &[(&str, &str)]) -> Client {
        let trusted = trusted.iter().map(|text| text.parse().unwrap()).collect();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let proxies = Proxies::new(trusted);
        proxies.client(peer.parse().unwrap(), &map)
    }

    fn client(trusted: &[&str], peer: &str, headers: &[(&str, &str)]) -> String {
        ask(trusted, peer, headers).address.to_string()
    }

    const XFF: &str = "x-forwarded-for";
    const PROXY: &[&str] = &["10.0.0.0/8", "2001:db8:1::/48"];

    #[test]
    fn nobody_is_believed_unless_configured() {
        let said = [(XFF, "192.0.2.1"), ("forwarded", "for=192.0.2.1")];
        assert_eq!(client(&[], "198.51.100.1", &said), "198.51.100.1");
        assert_eq!(client(PROXY, "198.51.100.1", &said), "198.51.100.1");
        assert_eq!(client(PROXY, "10.1.2.3", &said), "192.0.2.1");
        assert_eq!(client(PROXY, "::ffff:10.1.2.3", &said), "192.0.2.1");
        assert_eq!(client(PROXY, "10.1.2.3", &[]), "10.1.2.3");
    }

    #[test]
    fn the_rightmost_address_that_is_no_proxy_is_the_client() {
        for (value, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("203.0.113.9, 192.0.2.1", "192.0.2.1"),
            ("203.0.113.9, 192.0.2.1, 10.9.9.9", "192.0.2.1"),
            ("10.9.9.8, 10.9.9.9", "10.9.9.8"),
            ("192.0.2.1:4711, 10.9.9.9:80", "192.0.2.1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("203.0.113.9, unknown, 10.9.9.9", "10.9.9.9"),
            ("203.0.113.9, ", "10.0.0.1"),
            ("", "10.0.0.1"),
        ] {
            assert_eq!(
                client(PROXY, "10.0.0.1", &[(XFF, value)]),
                expected,
                "{value}"
            );
        }
        let lines = [(XFF, "203.0.113.9"), (XFF, "192.0.2.1"), (XFF, "10.2.2.2")];
        assert_eq!(client(PROXY, "10.0.0.1", &lines), "192.0.2.1");
    }

    #[test]
    fn the_standard_field_is_read_as_well() {
        for (value, expected) in [
            ("for=192.0.2.1;proto=https;by=10.0.0.1", "192.0.2.1"),
            ("For=\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("proto=https; for=192.0.2.1:80", "192.0.2.1"),
            ("for=203.0.113.9, for=192.0.2.1", "192.0.2.1"),
            ("for=192.0.2.1, for=\"[2001:db8:1::7]\"", "192.0.2.1"),
            ("for=_hidden", "10.0.0.1"),
            ("for=unknown, for=10.3.3.3", "10.3.3.3"),
            ("proto=https", "10.0.0.1"),
            ("for=\"192.0.2.1", "192.0.2.1"),
        ] {
            let said = [("forwarded", value)];
            assert_eq!(client(PROXY, "10.0.0.1", &said), expected, "{value}");
        }
    }

    #[test]
    fn a_field_that_the_proxy_only_passed_on_can_not_lead_astray() {
        let said = [("forwarded", "for=203.0.113.9"), (XFF, "192.0.2.1")];
        assert_eq!(client(PROXY, "10.0.0.1", &said), "10.0.0.1");
        let said = [("forwarded", "for=192.0.2.1"), (XFF, "192.0.2.1")];
        assert_eq!(client(PROXY, "10.0.0.1", &said), "192.0.2.1");
    }

    #[test]
    fn nothing_that_a_client_sends_through_a_proxy_makes_it_a_program_of_this_machine() {
        const HERE: &[&str] = &["127.0.0.1/32", "192.168.0.0/16"];
        let disagreement = [("forwarded", "for=203.0.113.9"), (XFF, "192.0.2.1")];
        let no_text = [(XFF, "\u{fc}, 192.0.2.1")];
        let only_no_text = [(XFF, "\u{fc}")];
        let loopback = [(XFF, "127.0.0.1")];
        for (peer, said, address) in [
            ("127.0.0.1", &disagreement[..], "127.0.0.1"),
            ("127.0.0.1", &no_text, "192.0.2.1"),
            ("127.0.0.1", &only_no_text, "127.0.0.1"),
            ("127.0.0.1", &loopback, "127.0.0.1"),
            ("192.168.0.1", &loopback, "127.0.0.1"),
            ("127.0.0.1", &[("via", "1.1 a")], "127.0.0.1"),
        ] {
            for trusted in [HERE, &[]] {
                assert!(!ask(trusted, peer, said).is_here, "{peer} {said:?}");
            }
            assert_eq!(client(HERE, peer, said), address, "{peer} {said:?}");
        }
        for (peer, is_here) in [
            ("127.0.0.1", true),
            ("::ffff:127.0.0.1", true),
            ("::1", true),
            ("192.168.0.1", false),
        ] {
            assert_eq!(ask(HERE, peer, &[]).is_here, is_here, "{peer}");
        }
    }

    #[test]
    fn a_long_row_ends() {
        let row = vec!["10.1.1.1"; 40].join(",");
        let said = [(XFF, row.as_str())];
        assert_eq!(client(PROXY, "10.0.0.1", &said), "10.1.1.1");
    }
}
