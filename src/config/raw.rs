//! The configuration as it is written: names without meaning yet.
//!
//! Every value is kept as it stands, so that [`validate`](super::validate) can say in one form of
//! words which key holds what and what is allowed.

use serde::{Deserialize, Serialize};
use toml::Value;

/// Every key that can be set from the environment, in the order of the example file.
///
/// A variable's name is `TIDEGATE_` and the key in capitals with `_` for `.`. The entries of
/// `auth.stream`, `streams.rule` and `ice_servers` are lists of tables and can only stand in the file.
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
    "media.interfaces",
    "media.stun",
    "media.address_refresh",
    "media.tcp",
    "media.shards",
    "media.keyframe_request_interval",
    "media.retransmission_packets.video",
    "media.retransmission_packets.audio",
    "media.video_per_round",
    "media.audio_redundancy",
    "media.reorder_tolerance",
    "media.loss_timeout",
    "media.keyframe_cache_bytes",
    "media.keyframe_cache_age",
    "media.catch_up_bitrate",
    "media.bandwidth.enabled",
    "media.bandwidth.probing",
    "media.bandwidth.start_kbps",
    "media.bandwidth.floor_kbps",
    "media.bandwidth.ceiling_kbps",
    "media.bandwidth.pacing",
    "media.bandwidth.pacing_queue_time",
    "media.bandwidth.pacing_queue_bytes",
    "auth.publish_token",
    "auth.play_token",
    "auth.metrics_token",
    "auth.allow_query_token",
    "streams.wait_for_publisher",
    "streams.reconnect_grace",
    "streams.second_publisher",
    "streams.stall_after",
    "streams.return_after",
    "streams.slate",
    "streams.playout_delay",
    "streams.slate_pipeline",
    "streams.drain_url",
    "limits.sessions",
    "limits.sessions_per_stream",
    "limits.sessions_per_address",
    "limits.streams",
    "limits.publishers_per_stream",
    "limits.slates",
    "limits.half_open_sessions",
    "limits.opening_connections",
    "limits.opening_connections_per_address",
    "limits.opening_timeout",
    "limits.connections",
    "limits.connections_per_address",
    "limits.half_open_sessions_per_address",
    "limits.sdp_bytes",
    "limits.body_bytes",
    "limits.address_requests_per_second",
    "limits.address_request_burst",
    "limits.token_requests_per_second",
    "limits.token_request_burst",
    "limits.connect_timeout",
    "limits.consent_timeout",
    "limits.tcp_half_open_connections",
    "limits.tcp_check_timeout",
    "limits.tcp_queue_bytes",
    "limits.answer_timeout",
    "limits.viewer_retransmissions",
    "limits.viewer_keyframe_interval",
    "hls.enabled",
    "hls.segment_duration",
    "hls.part_duration",
    "hls.hold_back",
    "hls.spare_segments",
    "hls.dvr_window",
    "hls.dvr_directory",
    "hls.dvr_max_bytes",
    "hls.waiting_requests",
    "hls.url_secret",
    "hls.window",
    "hls.linger",
    "hls.aac",
    "hls.layers",
    "hls.vp8_transcodes",
    "hls.ladder",
    "hls.ladder_streams",
    "hls.ladder_hardware",
    "thumbnails.enabled",
    "thumbnails.size",
    "thumbnails.refresh",
    "thumbnails.at_once",
    "http.cors_origins",
    "http.trusted_proxies",
    "whep.counter_offer",
    "compatibility.patch_without_if_match",
    "compatibility.unquoted_etag",
    "compatibility.any_h264_profile",
    "compatibility.any_h264_packetization",
    "compatibility.passive_setup",
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
    pub(super) streams: Streams,
    pub(super) limits: Limits,
    pub(super) hls: Hls,
    pub(super) thumbnails: Thumbnails,
    pub(super) http: Http,
    pub(super) whep: Whep,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) ice_servers: Vec<IceServer>,
    pub(super) compatibility: Compatibility,
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
    pub(super) interfaces: Option<Value>,
    pub(super) stun: Option<Value>,
    pub(super) address_refresh: Option<Value>,
    pub(super) tcp: Option<Value>,
    pub(super) shards: Option<Value>,
    pub(super) keyframe_request_interval: Option<Value>,
    pub(super) retransmission_packets: RetransmissionPackets,
    pub(super) video_per_round: Option<Value>,
    pub(super) audio_redundancy: Option<Value>,
    pub(super) reorder_tolerance: Option<Value>,
    pub(super) loss_timeout: Option<Value>,
    pub(super) keyframe_cache_bytes: Option<Value>,
    pub(super) keyframe_cache_age: Option<Value>,
    pub(super) catch_up_bitrate: Option<Value>,
    pub(super) bandwidth: Bandwidth,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Bandwidth {
    pub(super) enabled: Option<Value>,
    pub(super) probing: Option<Value>,
    pub(super) start_kbps: Option<Value>,
    pub(super) floor_kbps: Option<Value>,
    pub(super) ceiling_kbps: Option<Value>,
    pub(super) pacing: Option<Value>,
    pub(super) pacing_queue_time: Option<Value>,
    pub(super) pacing_queue_bytes: Option<Value>,
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
    pub(super) metrics_token: Option<Value>,
    pub(super) allow_query_token: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) stream: Vec<AuthStream>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AuthStream {
    pub(super) name: Option<Value>,
    pub(super) publish_token: Option<Value>,
    pub(super) backup_token: Option<Value>,
    pub(super) play_token: Option<Value>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Streams {
    pub(super) wait_for_publisher: Option<Value>,
    pub(super) reconnect_grace: Option<Value>,
    pub(super) second_publisher: Option<Value>,
    pub(super) stall_after: Option<Value>,
    pub(super) return_after: Option<Value>,
    pub(super) slate: Option<Value>,
    pub(super) playout_delay: Option<Value>,
    pub(super) slate_pipeline: Option<Value>,
    pub(super) drain_url: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) rule: Vec<StreamRules>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct StreamRules {
    pub(super) name: Option<Value>,
    pub(super) wait_for_publisher: Option<Value>,
    pub(super) reconnect_grace: Option<Value>,
    pub(super) second_publisher: Option<Value>,
    pub(super) stall_after: Option<Value>,
    pub(super) return_after: Option<Value>,
    pub(super) slate: Option<Value>,
    pub(super) playout_delay: Option<Value>,
    pub(super) ladder: Option<Value>,
    pub(super) dvr_window: Option<Value>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) sessions: Option<Value>,
    pub(super) sessions_per_stream: Option<Value>,
    pub(super) sessions_per_address: Option<Value>,
    pub(super) streams: Option<Value>,
    pub(super) publishers_per_stream: Option<Value>,
    pub(super) slates: Option<Value>,
    pub(super) half_open_sessions: Option<Value>,
    pub(super) opening_connections: Option<Value>,
    pub(super) opening_connections_per_address: Option<Value>,
    pub(super) opening_timeout: Option<Value>,
    pub(super) connections: Option<Value>,
    pub(super) connections_per_address: Option<Value>,
    pub(super) half_open_sessions_per_address: Option<Value>,
    pub(super) sdp_bytes: Option<Value>,
    pub(super) body_bytes: Option<Value>,
    pub(super) address_requests_per_second: Option<Value>,
    pub(super) address_request_burst: Option<Value>,
    pub(super) token_requests_per_second: Option<Value>,
    pub(super) token_request_burst: Option<Value>,
    pub(super) connect_timeout: Option<Value>,
    pub(super) consent_timeout: Option<Value>,
    pub(super) tcp_half_open_connections: Option<Value>,
    pub(super) tcp_check_timeout: Option<Value>,
    pub(super) tcp_queue_bytes: Option<Value>,
    pub(super) answer_timeout: Option<Value>,
    pub(super) viewer_retransmissions: Option<Value>,
    pub(super) viewer_keyframe_interval: Option<Value>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Hls {
    pub(super) enabled: Option<Value>,
    pub(super) segment_duration: Option<Value>,
    pub(super) part_duration: Option<Value>,
    pub(super) hold_back: Option<Value>,
    pub(super) spare_segments: Option<Value>,
    pub(super) dvr_window: Option<Value>,
    pub(super) dvr_directory: Option<Value>,
    pub(super) dvr_max_bytes: Option<Value>,
    pub(super) waiting_requests: Option<Value>,
    pub(super) url_secret: Option<Value>,
    pub(super) window: Option<Value>,
    pub(super) linger: Option<Value>,
    pub(super) aac: Option<Value>,
    pub(super) layers: Option<Value>,
    pub(super) vp8_transcodes: Option<Value>,
    pub(super) ladder: Option<Value>,
    pub(super) ladder_streams: Option<Value>,
    pub(super) ladder_hardware: Option<Value>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Thumbnails {
    pub(super) enabled: Option<Value>,
    pub(super) size: Option<Value>,
    pub(super) refresh: Option<Value>,
    pub(super) at_once: Option<Value>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Http {
    pub(super) cors_origins: Option<Value>,
    pub(super) trusted_proxies: Option<Value>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Whep {
    pub(super) counter_offer: Option<Value>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct IceServer {
    pub(super) urls: Option<Value>,
    pub(super) username: Option<Value>,
    pub(super) credential: Option<Value>,
    pub(super) secret: Option<Value>,
    pub(super) lifetime: Option<Value>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Compatibility {
    pub(super) patch_without_if_match: Option<Value>,
    pub(super) unquoted_etag: Option<Value>,
    pub(super) any_h264_profile: Option<Value>,
    pub(super) any_h264_packetization: Option<Value>,
    pub(super) passive_setup: Option<Value>,
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
