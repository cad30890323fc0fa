//! What concerns WHIP and WHEP over HTTP: origins, proxies, ICE servers, and the rules that clients may
//! bend. Settings and their checks.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use toml::Value;

use super::settings::{CorsOrigins, Http};
use super::value::{flag, invalid, time, words};
use super::{Error, Secret, raw};

/// Each URL is a header field of every answer.
const MAX_URLS: usize = 16;

/// What WHEP offers beyond the answer to an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whep {
    /// Whether an offer without a codec of the stream, or none, is answered with one of the server
    /// (406). Otherwise it is refused (422).
    pub counter_offer: bool,
}

impl Default for Whep {
    fn default() -> Self {
        Self {
            counter_offer: true,
        }
    }
}

/// A STUN or TURN server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceServer {
    /// Its URLs (RFC 7064, RFC 7065); at least one.
    pub urls: Vec<String>,
    /// What clients show there. TURN needs it.
    pub login: Option<IceLogin>,
}

/// What clients show to a TURN server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IceLogin {
    /// The same for all.
    Fixed {
        /// The username.
        username: String,
        /// The password.
        credential: Secret,
    },
    /// Made for each session from a shared secret.
    Limited {
        /// coturn's `static-auth-secret`.
        secret: Secret,
        /// How long it is good.
        lifetime: Duration,
    },
}

/// The rules that clients may bend. Each is on only where a client that people use needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compatibility {
    /// Where a PATCH may come without `If-Match`.
    pub patch_without_if_match: LenientPatch,
    /// Whether the ETag may come back without its quotes.
    pub unquoted_etag: bool,
    /// Whether a viewer may get H264 of another profile than it offered.
    pub any_h264_profile: bool,
    /// Whether a viewer without `packetization-mode=1` may get H264 in that mode.
    pub any_h264_packetization: bool,
    /// Whether an offer may say `a=setup:passive`.
    pub passive_setup: bool,
}

impl Default for Compatibility {
    fn default() -> Self {
        Self {
            patch_without_if_match: LenientPatch::Whep,
            unquoted_etag: true,
            any_h264_profile: true,
            any_h264_packetization: true,
            passive_setup: true,
        }
    }
}

/// Where a PATCH may come without `If-Match`, against RFC 9725, section 4.3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LenientPatch {
    /// Nowhere.
    Never,
    /// On sessions of WHEP, where the player whip-whep sends none.
    Whep,
    /// On all sessions.
    Always,
}

impl LenientPatch {
    const ALL: [(&str, Self); 3] = [
        ("never", Self::Never),
        ("whep", Self::Whep),
        ("always", Self::Always),
    ];
}

impl fmt::Display for LenientPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(_, value)| value == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

pub(super) fn http(raw: raw::Http) -> Result<Http, Error> {
    Ok(Http {
        cors_origins: match raw.cors_origins {
            Some(value) => origins(&value)?,
            None => CorsOrigins::Any,
        },
        trusted_proxies: match raw.trusted_proxies {
            Some(value) => proxies(&value)?,
            None => Vec::new(),
        },
    })
}

fn origins(value: &Value) -> Result<CorsOrigins, Error> {
    let allowed =
        "a list of origins, such as https://example.org, or only \"*\"; an empty list allows none";
    let refuse = || invalid("http.cors_origins", value, allowed);
    let origins = words(value.clone()).ok_or_else(refuse)?;
    if origins == ["*"] {
        return Ok(CorsOrigins::Any);
    }
    if !origins.iter().all(|origin| is_origin(origin)) {
        return Err(refuse());
    }
    Ok(CorsOrigins::Only(origins))
}

/// A scheme and a host, without path: what browsers send as `Origin` (RFC 6454, section 7).
fn is_origin(text: &str) -> bool {
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| {
        !host.is_empty()
            && host
                .bytes()
                .all(|c| c.is_ascii_graphic() && !b"/?#*,\"@".contains(&c))
    })
}

fn proxies(value: &Value) -> Result<Vec<IpNet>, Error> {
    let allowed = "a list of addresses or ranges, such as 127.0.0.1 or 10.0.0.0/8";
    let refuse = || invalid("http.trusted_proxies", value, allowed);
    let texts = words(value.clone()).ok_or_else(refuse)?;
    let network = |text: &String| {
        let one = || text.parse().map(|ip: IpAddr| IpNet::from(ip));
        text.parse().or_else(|_| one()).map_err(|_| refuse())
    };
    texts.iter().map(network).collect()
}

pub(super) fn whep(raw: raw::Whep) -> Result<Whep, Error> {
    let default = Whep::default();
    Ok(Whep {
        counter_offer: flag(
            "whep.counter_offer",
            raw.counter_offer,
            default.counter_offer,
        )?,
    })
}

pub(super) fn compatibility(raw: raw::Compatibility) -> Result<Compatibility, Error> {
    let default = Compatibility::default();
    let patch_without_if_match = match raw.patch_without_if_match {
        None => default.patch_without_if_match,
        Some(value) => LenientPatch::ALL
            .iter()
            .find(|(name, _)| value.as_str() == Some(name))
            .map(|(_, lenient)| *lenient)
            .ok_or_else(|| {
                let key = "compatibility.patch_without_if_match";
                invalid(key, &value, "\"never\", \"whep\" or \"always\"")
            })?,
    };
    Ok(Compatibility {
        patch_without_if_match,
        unquoted_etag: flag(
            "compatibility.unquoted_etag",
            raw.unquoted_etag,
            default.unquoted_etag,
        )?,
        any_h264_profile: flag(
            "compatibility.any_h264_profile",
            raw.any_h264_profile,
            default.any_h264_profile,
        )?,
        any_h264_packetization: flag(
            "compatibility.any_h264_packetization",
            raw.any_h264_packetization,
            default.any_h264_packetization,
        )?,
        passive_setup: flag(
            "compatibility.passive_setup",
            raw.passive_setup,
            default.passive_setup,
        )?,
    })
}

pub(super) fn ice_servers(raw: Vec<raw::IceServer>) -> Result<Vec<IceServer>, Error> {
    let servers: Vec<_> = raw
        .into_iter()
        .enumerate()
        .map(|(index, raw)| ice_server(index, raw))
        .collect::<Result<_, _>>()?;
    let urls: usize = servers.iter().map(|server| server.urls.len()).sum();
    if urls > MAX_URLS {
        return Err(Error::Invalid {
            key: "ice_servers".to_owned(),
            value: format!("{urls} URLs in all"),
            allowed: format!("up to {MAX_URLS}, as every answer lists all of them"),
        });
    }
    Ok(servers)
}

fn ice_server(index: usize, raw: raw::IceServer) -> Result<IceServer, Error> {
    let key = |name: &str| format!("ice_servers[{index}].{name}");
    let allowed = "a list of URLs such as stun:stun.example.org:3478 or \
        turn:turn.example.org:3478?transport=udp";
    let empty = Value::Array(Vec::new());
    let value = raw.urls.unwrap_or(empty);
    let urls = words(value.clone()).unwrap_or_default();
    if urls.is_empty() || !urls.iter().all(|url| is_ice_url(url)) {
        return Err(invalid(&key("urls"), &value, allowed));
    }
    let username = quotable(&key("username"), raw.username)?;
    let credential = quotable(&key("credential"), raw.credential)?;
    let secret = quotable(&key("secret"), raw.secret)?;
    let wrong = |name: &str, value: &str, allowed: &str| Error::Invalid {
        key: key(name),
        value: value.to_owned(),
        allowed: allowed.to_owned(),
    };
    let login = match (username, credential, secret) {
        (None, None, None) => None,
        (Some(username), Some(credential), None) => Some(IceLogin::Fixed {
            username,
            credential: credential.into(),
        }),
        (None, None, Some(secret)) => Some(IceLogin::Limited {
            secret: secret.into(),
            lifetime: time(
                &key("lifetime"),
                raw.lifetime.clone(),
                Duration::from_secs(12 * 3_600),
                Duration::from_secs(60)..=Duration::from_secs(7 * 24 * 3_600),
            )?,
        }),
        _ => {
            let allowed = "either username and credential, or secret alone";
            return Err(wrong(
                "credential",
                "not complete, or one too many",
                allowed,
            ));
        }
    };
    if raw.lifetime.is_some() && !matches!(login, Some(IceLogin::Limited { .. })) {
        return Err(wrong("lifetime", "set", "a lifetime for a secret only"));
    }
    // Browsers refuse a TURN server without them (W3C WebRTC, section 4.4.1.6).
    if login.is_none() && urls.iter().any(|url| url.starts_with("turn")) {
        let allowed = "username and credential, or secret: TURN asks for them";
        return Err(wrong("credential", "missing", allowed));
    }
    Ok(IceServer { urls, login })
}

/// `stun:host`, with a port perhaps (RFC 7064), and `turn:` with a transport too (RFC 7065).
fn is_ice_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let place = match (scheme, rest.split_once('?')) {
        ("stun" | "stuns", None) | ("turn" | "turns", None) => rest,
        ("turn" | "turns", Some((place, "transport=udp" | "transport=tcp"))) => place,
        _ => return false,
    };
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or("no port"))),
            None => return false,
        },
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let host_fits = match place.starts_with('[') {
        true => host.parse::<std::net::Ipv6Addr>().is_ok(),
        false => {
            let fits = |c: u8| c.is_ascii_alphanumeric() || b"-._~".contains(&c);
            !host.is_empty() && host.bytes().all(fits)
        }
    };
    host_fits && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
}

/// Text that fits into a quoted string of a header field. It may be a secret and is not shown.
fn quotable(key: &str, value: Option<Value>) -> Result<Option<String>, Error> {
    const MAX_LEN: usize = 256;
    let Some(value) = value else { return Ok(None) };
    let wrong = match value.as_str() {
        None => "no text",
        Some("") => "empty",
        Some(text) if text.len() > MAX_LEN => "too long",
        Some(text) if !text.bytes().all(|c| c == b' ' || c.is_ascii_graphic()) => {
            "text with other characters"
        }
        // What stands for a secret in printed settings.
        Some("(hidden)") => "hidden",
        Some(text) => return Ok(Some(text.to_owned())),
    };
    Err(Error::Invalid {
        key: key.to_owned(),
        value: wrong.to_owned(),
        allowed: format!("1 to {MAX_LEN} printable ASCII characters in quotes"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Host, Settings, validate};

    fn settings(text: &str) -> Result<Settings, Error> {
        validate(toml::from_str(text).unwrap(), &Host::example())
    }

    fn refusal(text: &str) -> String {
        settings(text).expect_err(text).to_string()
    }

    #[test]
    fn origins_are_all_some_or_none() {
        let origins = |text: &str| settings(text).unwrap().http.cors_origins;
        assert_eq!(origins(""), CorsOrigins::Any);
        assert_eq!(origins("http.cors_origins = \"*\""), CorsOrigins::Any);
        assert_eq!(origins("http.cors_origins = []"), CorsOrigins::Only(vec![]));
        let one = CorsOrigins::Only(vec!["http://localhost:3000".to_owned()]);
        assert_eq!(
            origins("http.cors_origins = [\"http://localhost:3000\"]"),
            one
        );
    }

    #[test]
    fn proxies_are_addresses_and_ranges() {
        let proxies = |text: &str| {
            let settings = settings(&format!("http.trusted_proxies = {text}")).unwrap();
            let proxies = settings.http.trusted_proxies;
            proxies.iter().map(IpNet::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            proxies("[\"127.0.0.1\", \"10.0.0.0/8\", \"2001:db8::/32\"]"),
            ["127.0.0.1/32", "10.0.0.0/8", "2001:db8::/32"]
        );
        assert_eq!(proxies("\"127.0.0.1,::1\""), ["127.0.0.1/32", "::1/128"]);
        for text in ["[\"proxy\"]", "[\"10.0.0.0/33\"]", "7"] {
            let message = refusal(&format!("http.trusted_proxies = {text}"));
            assert!(message.contains("`http.trusted_proxies`"), "{message}");
        }
    }

    #[test]
    fn a_turn_server_has_fixed_credentials_or_a_secret() {
        let text = "[[ice_servers]]\nurls = [\"stun:a.example\"]\n\
             [[ice_servers]]\nurls = \"turn:[2001:db8::1]:3478?transport=tcp\"\n\
             username = \"u\"\ncredential = \"p\"\n\
             [[ice_servers]]\nurls = [\"turns:a.example:5349\", \"stun:a.example:3478\"]\nsecret = \"s\"";
        let servers = settings(text).unwrap().ice_servers;
        assert_eq!(servers[0].login, None);
        assert!(matches!(servers[1].login, Some(IceLogin::Fixed { .. })));
        let limited = IceLogin::Limited {
            secret: Secret::new("s"),
            lifetime: Duration::from_secs(43_200),
        };
        assert_eq!(servers[2].login, Some(limited));
        assert_eq!(servers[2].urls.len(), 2);
    }

    #[test]
    fn an_ice_server_that_can_not_work_is_refused_by_name() {
        for (text, part) in [
            ("", "urls"),
            ("urls = []", "urls"),
            ("urls = [\"http://a.example\"]", "urls"),
            ("urls = [\"stun:a.example?transport=udp\"]", "urls"),
            ("urls = [\"stun:a.example:0\"]", "urls"),
            ("urls = [\"stun:a b\"]", "urls"),
            ("urls = [\"stun:[::1\"]", "urls"),
            ("urls = [\"stun:a.example>\"]", "urls"),
            ("urls = [\"turn:a.example\"]", "credential"),
            (
                "urls = [\"turn:a.example\"]\nusername = \"u\"",
                "credential",
            ),
            (
                "urls = [\"turn:a.example\"]\nsecret = \"hunter2\"\nusername = \"u\"",
                "credential",
            ),
            (
                "urls = [\"turn:a.example\"]\nsecret = \"hunter2\\n\"",
                "secret",
            ),
            (
                "urls = [\"turn:a.example\"]\nsecret = \"hunter2\"\nlifetime = \"1s\"",
                "lifetime",
            ),
            ("urls = [\"stun:a.example\"]\nlifetime = \"1h\"", "lifetime"),
        ] {
            let message = refusal(&format!("[[ice_servers]]\n{text}"));
            assert!(
                message.contains(&format!("`ice_servers[0].{part}`")),
                "{text}: {message}"
            );
            assert!(!message.contains("hunter2"), "{message}");
        }
        let many = vec!["\"stun:a.example\""; 17].join(",");
        let message = refusal(&format!("[[ice_servers]]\nurls = [{many}]"));
        assert!(message.contains("17 URLs"), "{message}");
    }

    #[test]
    fn no_credential_of_an_ice_server_is_shown() {
        let text = "[[ice_servers]]\nurls = [\"turn:a.example\"]\nsecret = \"hunter2\"\n\
             [[ice_servers]]\nurls = [\"turn:b.example\"]\nusername = \"u\"\ncredential = \"hunter3\"";
        let settings = settings(text).unwrap();
        let printed = settings.to_toml();
        for shown in [format!("{settings:?}"), printed.clone()] {
            assert!(!shown.contains("hunter"), "{shown}");
        }
        assert!(refusal(&printed).contains("ice_servers[0].secret"));
    }

    #[test]
    fn leniencies_are_named() {
        let lenient = |text: &str| settings(text).unwrap().compatibility;
        assert_eq!(lenient(""), Compatibility::default());
        let strict = "[compatibility]\npatch_without_if_match = \"never\"\nunquoted_etag = false\n\
             any_h264_profile = false\nany_h264_packetization = false\npassive_setup = false";
        assert_eq!(
            lenient(strict),
            Compatibility {
                patch_without_if_match: LenientPatch::Never,
                unquoted_etag: false,
                any_h264_profile: false,
                any_h264_packetization: false,
                passive_setup: false,
            }
        );
        let message = refusal("compatibility.patch_without_if_match = true");
        assert!(message.contains("\"whep\""), "{message}");
    }
}
