//! What can be configured of the HTTP side.

use std::time::Duration;

use ipnet::IpNet;

use super::rate::Rate;
use super::{ConnectionLimits, Origins, OriginsError};
use crate::config::{self, Compatibility, CorsOrigins, IceServer, Secret};
use crate::sdp;

/// What can be configured of the HTTP side.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which web origins may use the API.
    pub origins: Origins,
    /// The proxies that may say for whom they ask.
    pub trusted_proxies: Vec<IpNet>,
    /// How many connections there may be.
    pub connections: ConnectionLimits,
    /// How often one address may ask for what costs something: POST, PATCH, DELETE, and OPTIONS that is no preflight.
    pub address_rate: Rate,
    /// How often that may be asked with one token.
    pub token_rate: Rate,
    /// The limits of the SDP parsers.
    pub sdp_limits: sdp::Limits,
    /// The largest request body, in bytes.
    pub max_body: usize,
    /// How long a request body may take to arrive.
    pub body_timeout: Duration,
    /// Whether tokens are taken as `?token=…` too. Query strings end up in logs and histories, so
    /// this is off by default.
    pub allow_query_token: bool,
    /// With what the URLs of HLS are signed that hold their own right; none: there are no such URLs.
    pub hls_secret: Option<Secret>,
    /// The STUN and TURN servers that clients are told of.
    pub ice_servers: Vec<IceServer>,
    /// Whether WHEP answers with an offer of its own where it can't take the player's.
    pub counter_offer: bool,
    /// The rules that clients may bend.
    pub compatibility: Compatibility,
    /// The origin where viewers are sent when this server ends, if it is another one.
    pub drain_origin: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            origins: Origins::Any,
            trusted_proxies: Vec::new(),
            connections: ConnectionLimits::UNLIMITED,
            address_rate: Rate::UNLIMITED,
            token_rate: Rate::UNLIMITED,
            sdp_limits: sdp::Limits::default(),
            max_body: 64 * 1024,
            body_timeout: Duration::from_secs(10),
            allow_query_token: false,
            hls_secret: None,
            ice_servers: Vec::new(),
            counter_offer: true,
            compatibility: Compatibility::default(),
            drain_origin: None,
        }
    }
}

impl Settings {
    /// Those of the configuration.
    ///
    /// # Errors
    ///
    /// [`OriginsError`] for an origin that no browser would send.
    pub fn of(settings: &config::Settings) -> Result<Self, OriginsError> {
        let limits = &settings.limits;
        Ok(Self {
            origins: match &settings.http.cors_origins {
                CorsOrigins::Any => Origins::Any,
                CorsOrigins::Only(origins) => Origins::only(origins)?,
            },
            trusted_proxies: settings.http.trusted_proxies.clone(),
            connections: ConnectionLimits {
                in_all: settings.limits.connections,
                of_address: settings.limits.connections_per_address,
            },
            address_rate: rate(
                limits.address_requests_per_second,
                limits.address_request_burst,
            ),
            token_rate: rate(limits.token_requests_per_second, limits.token_request_burst),
            sdp_limits: sdp::Limits {
                bytes: limits.sdp_bytes,
                ..sdp::Limits::default()
            },
            max_body: limits.body_bytes,
            allow_query_token: settings.auth.allow_query_token,
            hls_secret: settings.hls.url_secret.clone(),
            ice_servers: settings.ice_servers.clone(),
            counter_offer: settings.whep.counter_offer,
            compatibility: settings.compatibility,
            drain_origin: settings.streams.drain_url.as_deref().and_then(origin),
            ..Self::default()
        })
    }
}

fn rate(per_second: usize, burst: usize) -> Rate {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Rate {
        per_second: number(per_second),
        burst: number(burst),
    }
}

/// Scheme, host and port of a URL; none of one without a host.
fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?;
    (!host.is_empty()).then(|| format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_of_a_url_is_what_a_policy_names() {
        let of = |url| origin(url);
        assert_eq!(
            of("https://b.example:8443/whep/{stream}").as_deref(),
            Some("https://b.example:8443")
        );
        assert_eq!(
            of("http://b.example?x").as_deref(),
            Some("http://b.example")
        );
        assert_eq!(of("https:///x"), None);
        assert_eq!(of("b.example"), None);
    }
}
