//! The configuration as it is written: names without meaning yet.
//!
//! Every value is kept as it stands, so that [`validate`](super::validate) can say in one form of
//! words which key holds what and what is allowed.

use serde::{Deserialize, Serialize};
use toml::Value;

/// Every key that can be set from the environment, in the order of the example file.
///
/// A variable's name is `TIDEGATE_` and the key in capitals with `_` for `.`. The entries of
/// `auth.stream` are a list of tables and can only stand in the file.
pub(super) const KEYS: &[&str] = &[
    "listen",
    "demo",
    "tls.mode",
    "tls.certificate",
    "tls.key",
    "tls.names",
    "tls.listen",
    "tls.plain_http",
    "tls.directory",
    "tls.acme.domains",
    "tls.acme.contact",
    "tls.acme.authority",
    "tls.acme.root",
    "media.listen",
    "media.addresses",
    "media.shards",
    "media.keyframe_request_interval",
    "media.retransmission_packets.video",
    "media.retransmission_packets.audio",
    "auth.publish_token",
    "auth.play_token",
    "auth.allow_query_token",
    "limits.sessions",
    "limits.sessions_per_stream",
    "limits.streams",
    "limits.half_open_sessions",
    "limits.opening_connections",
    "limits.opening_connections_per_address",
    "limits.opening_timeout",
    "limits.sdp_bytes",
    "limits.body_bytes",
    "limits.connect_timeout",
    "limits.consent_timeout",
    "hls.enabled",
    "hls.segment_duration",
    "hls.window",
    "hls.linger",
    "http.cors_origins",
    "log.filter",
    "log.format",
];

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) listen: Option<Value>,
    pub(super) demo: Option<Value>,
    pub(super) tls: Tls,
    pub(super) media: Media,
    pub(super) auth: Auth,
    pub(super) limits: Limits,
    pub(super) hls: Hls,
    pub(super) http: Http,
    pub(super) log: Log,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) mode: Option<Value>,
    pub(super) certificate: Option<Value>,
    pub(super) key: Option<Value>,
    pub(super) names: Option<Value>,
    pub(super) listen: Option<Value>,
    pub(super) plain_http: Option<Value>,
    pub(super) directory: Option<Value>,
    pub(super) acme: TlsAcme,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TlsAcme {
    pub(super) domains: Option<Value>,
    pub(super) contact: Option<Value>,
    pub(super) authority: Option<Value>,
    pub(super) root: Option<Value>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Media {
    pub(super) listen: Option<Value>,
    pub(super) addresses: Option<Value>,
    pub(super) shards: Option<Value>,
    pub(super) keyframe_request_interval: Option<Value>,
    pub(super) retransmission_packets: RetransmissionPackets,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RetransmissionPackets {
    pub(super) video: Option<Value>,
    pub(super) audio: Option<Value>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Auth {
    pub(super) publish_token: Option<Value>,
    pub(super) play_token: Option<Value>,
    pub(super) allow_query_token: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) stream: Vec<AuthStream>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AuthStream {
    pub(super) name: Option<Value>,
    pub(super) publish_token: Option<Value>,
    pub(super) play_token: Option<Value>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) sessions: Option<Value>,
    pub(super) sessions_per_stream: Option<Value>,
    pub(super) streams: Option<Value>,
    pub(super) half_open_sessions: Option<Value>,
    pub(super) opening_connections: Option<Value>,
    pub(super) opening_connections_per_address: Option<Value>,
    pub(super) opening_timeout: Option<Value>,
    pub(super) sdp_bytes: Option<Value>,
    pub(super) body_bytes: Option<Value>,
    pub(super) connect_timeout: Option<Value>,
    pub(super) consent_timeout: Option<Value>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Hls {
    pub(super) enabled: Option<Value>,
    pub(super) segment_duration: Option<Value>,
    pub(super) window: Option<Value>,
    pub(super) linger: Option<Value>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Http {
    pub(super) cors_origins: Option<Value>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Log {
    pub(super) filter: Option<Value>,
    pub(super) format: Option<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_list_exists() {
        for key in KEYS {
            let text = format!("{key} = 1\n");
            assert!(toml::from_str::<Raw>(&text).is_ok(), "{key}");
        }
    }
}
