//! The TCP ports and what is served there: from settings to the front door.

use std::io;
use std::net::SocketAddr;

use super::{Error, names};
use crate::config::{self, Settings, TlsMode};
use crate::front::{self, BindError, Entrances, Listeners};
use crate::http::{self, PlainHttp};
use crate::network::Found;
use crate::shard::Shards;

/// Where HTTP is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The address that is configured as `listen`, with its port.
    pub http: SocketAddr,
    /// The one of HTTPS, if there is HTTPS. The same as a rule.
    pub https: Option<SocketAddr>,
}

impl Addresses {
    /// As they were bound.
    pub(super) fn of(entrances: &Entrances, settings: &Settings) -> Self {
        // There is one at least, see `entrances`.
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let https = entrances.web.last().copied();
        Self {
            http: entrances.web.first().copied().unwrap_or(unknown),
            https: https.filter(|_| has_tls(settings)),
        }
    }
}

/// Binds TCP, and media to the same port unless it has its own. A port of 0 is the system's choice,
/// which knows nothing of UDP: it is asked again while somebody else has the number there.
pub(super) async fn bind(
    settings: &Settings,
    start: impl Fn(SocketAddr) -> io::Result<Shards>,
) -> Result<(Listeners, Shards), Error> {
    const CHOICES: usize = 16;
    let chosen = settings.listen.port() == 0 && settings.media.listen.port() == 0;
    let mut choices = if chosen { CHOICES } else { 1 };
    loop {
        choices -= 1;
        let bind_error = |what| {
            move |BindError { address, source }| Error::Bind {
                address,
                what,
                source,
            }
        };
        let listeners = Listeners::bind(entrances(settings)).await;
        let listeners = listeners.map_err(bind_error("TCP"))?;
        let http = Addresses::of(listeners.entrances(), settings).http;
        let mut media = settings.media.listen;
        if media.port() == 0 {
            media.set_port(http.port());
        }
        match start(media) {
            Ok(shards) => return Ok((listeners, shards)),
            Err(error) if choices > 0 && error.kind() == io::ErrorKind::AddrInUse => {}
            Err(source) => {
                return Err(bind_error("media")(BindError {
                    address: media,
                    source,
                }));
            }
        }
    }
}

/// `listen` comes first, then that of HTTPS. Port 0 of the others is the port of that.
pub(crate) fn entrances(settings: &Settings) -> Entrances {
    let with_port = |mut address: SocketAddr| {
        if address.port() == 0 {
            address.set_port(settings.listen.port());
        }
        address
    };
    let https = settings.tls.listen.filter(|_| has_tls(settings));
    let ice = settings.media.tcp.then_some(settings.media.listen);
    Entrances {
        web: [settings.listen]
            .into_iter()
            .chain(https.map(with_port))
            .collect(),
        ice: ice.map(with_port).into_iter().collect(),
    }
}

fn has_tls(settings: &Settings) -> bool {
    settings.tls.mode != TlsMode::Off
}

pub(super) fn limits(settings: &Settings) -> front::Limits {
    let limits = &settings.limits;
    front::Limits {
        opening: limits.opening_connections,
        opening_per_address: limits.opening_connections_per_address,
        opening_timeout: limits.opening_timeout,
    }
}

pub(super) fn connection_limits(settings: &Settings) -> http::ConnectionLimits {
    http::ConnectionLimits {
        in_all: settings.limits.connections,
        of_address: settings.limits.connections_per_address,
    }
}

/// `found` is for the names of a self-signed one.
pub(super) fn certificate(settings: &Settings, found: &Found) -> Option<front::Certificate> {
    let directory = &settings.tls.directory;
    match settings.tls.mode.clone() {
        TlsMode::Off => None,
        TlsMode::Files { certificate, key } => Some(front::Certificate::Files { certificate, key }),
        TlsMode::SelfSigned { names } => Some(front::Certificate::SelfSigned {
            directory: directory.clone(),
            names: names
                .unwrap_or_else(|| names::own(&settings.media.addresses, &found.interfaces)),
        }),
        TlsMode::Acme(acme) => Some(front::Certificate::Acme(front::Acme {
            domains: acme.domains,
            contact: acme.contact,
            directory: match acme.authority {
                config::Authority::LetsEncrypt => front::Acme::LETS_ENCRYPT.to_owned(),
                config::Authority::LetsEncryptStaging => {
                    front::Acme::LETS_ENCRYPT_STAGING.to_owned()
                }
                config::Authority::Url(url) => url,
            },
            root: acme.root,
            cache: directory.join("acme"),
        })),
    }
}

pub(super) fn plain_http(settings: &Settings, addresses: Addresses) -> PlainHttp {
    let Some(https) = addresses.https else {
        return PlainHttp::Serve;
    };
    match settings.tls.plain_http {
        config::PlainHttp::Serve => PlainHttp::Serve,
        config::PlainHttp::Refuse => PlainHttp::Refuse,
        config::PlainHttp::Redirect => PlainHttp::Redirect {
            port: settings.tls.listen.map(|_| https.port()),
        },
    }
}
