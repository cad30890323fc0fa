//! Settings written as a configuration file again, without their secrets.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use toml::Value;

use super::http::{IceLogin, IceServer};
use super::raw::{self, Raw};
use super::settings::{CorsOrigins, LogFormat, Settings, StreamAuth};
use super::{Secret, duration, ladder};
use crate::stream::StreamName;

/// Stands for a secret. No token may hold parentheses, so that what is printed is refused as a
/// configuration file until the secrets are filled in, instead of opening the server to this text.
const HIDDEN: &str = "(hidden)";

impl From<&Settings> for Raw {
    fn from(settings: &Settings) -> Self {
        let Settings {
            listen,
            demo,
            tls,
            media,
            auth,
            streams,
            limits,
            hls,
            thumbnails,
            http,
            whep,
            ice_servers,
            compatibility,
            log,
        } = settings;
        let origins = match &http.cors_origins {
            CorsOrigins::Any => vec!["*".to_owned()],
            CorsOrigins::Only(origins) => origins.clone(),
        };
        Self {
            listen: text(listen),
            demo: Some((*demo).into()),
            tls: tls.into(),
            media: raw::Media {
                listen: text(media.listen),
                addresses: list(&media.addresses),
                interfaces: list(&media.interfaces),
                stun: text(
                    media
                        .stun
                        .as_ref()
                        .map_or_else(String::new, ToString::to_string),
                ),
                address_refresh: time(media.address_refresh),
                tcp: Some(media.tcp.into()),
                shards: number(media.shards),
                keyframe_request_interval: time(media.keyframe_request_interval),
                retransmission_packets: raw::RetransmissionPackets {
                    video: number(media.retransmission_packets.video),
                    audio: number(media.retransmission_packets.audio),
                },
                video_per_round: number(media.video_per_round),
                audio_redundancy: Some(media.audio_redundancy.into()),
                reorder_tolerance: time(media.reorder_tolerance),
                loss_timeout: time(media.loss_timeout),
                keyframe_cache_bytes: number(media.keyframe_cache_bytes),
                keyframe_cache_age: time(media.keyframe_cache_age),
                catch_up_bitrate: number(media.catch_up_bitrate as usize),
                bandwidth: raw::Bandwidth {
                    enabled: Some(media.bandwidth.enabled.into()),
                    probing: Some(media.bandwidth.probing.into()),
                    start_kbps: number(media.bandwidth.start_kbps),
                    floor_kbps: number(media.bandwidth.floor_kbps),
                    ceiling_kbps: number(media.bandwidth.ceiling_kbps),
                    pacing: Some(media.bandwidth.pacing.into()),
                    pacing_queue_time: time(media.bandwidth.pacing_queue_time),
                    pacing_queue_bytes: number(media.bandwidth.pacing_queue_bytes),
                },
            },
            auth: raw::Auth {
                publish_token: hidden(auth.publish_token.as_ref()),
                play_token: hidden(auth.play_token.as_ref()),
                metrics_token: hidden(auth.metrics_token.as_ref()),
                allow_query_token: Some(auth.allow_query_token.into()),
                stream: auth.streams.iter().map(raw_stream).collect(),
            },
            streams: raw::Streams::from(streams),
            limits: raw::Limits {
                sessions: number(limits.sessions),
                sessions_per_stream: number(limits.sessions_per_stream),
                sessions_per_address: number(limits.sessions_per_address),
                streams: number(limits.streams),
                publishers_per_stream: number(limits.publishers_per_stream),
                slates: number(limits.slates),
                half_open_sessions: number(limits.half_open_sessions),
                opening_connections: number(limits.opening_connections),
                opening_connections_per_address: number(limits.opening_connections_per_address),
                opening_timeout: time(limits.opening_timeout),
                connections: number(limits.connections),
                connections_per_address: number(limits.connections_per_address),
                half_open_sessions_per_address: number(limits.half_open_sessions_per_address),
                sdp_bytes: number(limits.sdp_bytes),
                body_bytes: number(limits.body_bytes),
                address_requests_per_second: number(limits.address_requests_per_second),
                address_request_burst: number(limits.address_request_burst),
                token_requests_per_second: number(limits.token_requests_per_second),
                token_request_burst: number(limits.token_request_burst),
                connect_timeout: time(limits.connect_timeout),
                consent_timeout: time(limits.consent_timeout),
                tcp_half_open_connections: number(limits.tcp_half_open_connections),
                tcp_check_timeout: time(limits.tcp_check_timeout),
                tcp_queue_bytes: number(limits.tcp_queue_bytes),
                answer_timeout: time(limits.answer_timeout),
                viewer_retransmissions: number(limits.viewer_retransmissions),
                viewer_keyframe_interval: time(limits.viewer_keyframe_interval),
            },
            hls: raw::Hls {
                enabled: Some(hls.enabled.into()),
                segment_duration: time(hls.segment_duration),
                part_duration: time(hls.part_duration),
                hold_back: time(hls.hold_back),
                spare_segments: number(hls.spare_segments),
                dvr_window: time(hls.dvr_window),
                dvr_directory: text(
                    hls.dvr_directory
                        .as_deref()
                        .unwrap_or(Path::new(""))
                        .display(),
                ),
                dvr_max_bytes: number(hls.dvr_max_bytes),
                waiting_requests: number(hls.waiting_requests),
                url_secret: hidden(hls.url_secret.as_ref()),
                window: number(hls.window),
                linger: time(hls.linger),
                aac: Some(hls.aac.into()),
                layers: number(hls.layers),
                vp8_transcodes: number(hls.vp8_transcodes),
                ladder: Some(ladder::printed(&hls.ladder)),
                ladder_streams: number(hls.ladder_streams),
                ladder_hardware: Some(hls.ladder_hardware.into()),
            },
            thumbnails: raw::Thumbnails {
                enabled: Some(thumbnails.enabled.into()),
                size: number(thumbnails.size),
                refresh: time(thumbnails.refresh),
                at_once: number(thumbnails.at_once),
            },
            http: raw::Http {
                cors_origins: list(&origins),
                trusted_proxies: list(&http.trusted_proxies),
            },
            whep: raw::Whep {
                counter_offer: Some(whep.counter_offer.into()),
            },
            ice_servers: ice_servers.iter().map(raw_ice_server).collect(),
            compatibility: raw::Compatibility {
                patch_without_if_match: text(compatibility.patch_without_if_match),
                unquoted_etag: Some(compatibility.unquoted_etag.into()),
                any_h264_profile: Some(compatibility.any_h264_profile.into()),
                any_h264_packetization: Some(compatibility.any_h264_packetization.into()),
                passive_setup: Some(compatibility.passive_setup.into()),
            },
            log: raw::Log {
                filter: text(&log.filter),
                format: text(match log.format {
                    LogFormat::Text => "text",
                    LogFormat::Json => "json",
                }),
            },
        }
    }
}

fn raw_stream((name, stream): (&StreamName, &StreamAuth)) -> raw::AuthStream {
    raw::AuthStream {
        name: text(name),
        publish_token: hidden(stream.publish_token.as_ref()),
        backup_token: hidden(stream.backup_token.as_ref()),
        play_token: hidden(stream.play_token.as_ref()),
    }
}

fn raw_ice_server(server: &IceServer) -> raw::IceServer {
    let mut raw = raw::IceServer {
        urls: list(&server.urls),
        ..raw::IceServer::default()
    };
    match &server.login {
        Some(IceLogin::Fixed {
            username,
            credential,
        }) => {
            raw.username = text(username);
            raw.credential = hidden(Some(credential));
        }
        Some(IceLogin::Limited { secret, lifetime }) => {
            raw.secret = hidden(Some(secret));
            raw.lifetime = time(*lifetime);
        }
        None => {}
    }
    raw
}

pub(super) fn text(value: impl Display) -> Option<Value> {
    Some(Value::String(value.to_string()))
}

pub(super) fn list(values: &[impl Display]) -> Option<Value> {
    Some(Value::Array(values.iter().filter_map(text).collect()))
}

fn number(value: usize) -> Option<Value> {
    Some(Value::Integer(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn time(value: Duration) -> Option<Value> {
    text(duration::format(value))
}

fn hidden(secret: Option<&Secret>) -> Option<Value> {
    secret.and_then(|_| text(HIDDEN))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Host, Layer, validate};

    #[test]
    fn what_is_printed_can_be_read_again() {
        let defaults = Settings::defaults(&Host::example());
        let layer = Layer::from_text(&defaults.to_toml(), Path::new("printed")).unwrap();
        assert_eq!(
            validate(layer.into_raw().unwrap(), &Host::example()).unwrap(),
            defaults
        );
    }

    #[test]
    fn every_key_is_printed_and_no_secret() {
        let mut settings = Settings::defaults(&Host::example());
        let secret = || Some(Secret::new("hunter2"));
        settings.auth.publish_token = secret();
        settings.auth.play_token = secret();
        settings.auth.metrics_token = secret();
        let stream = StreamAuth {
            publish_token: secret(),
            backup_token: secret(),
            play_token: secret(),
        };
        settings.auth.streams.insert("a".parse().unwrap(), stream);
        settings.hls.url_secret = secret();
        settings.streams.drain_url = Some("https://b.example/whep/{stream}".to_owned());

        let printed = settings.to_toml();

        assert!(!printed.contains("hunter2") && !format!("{settings:?}").contains("hunter2"));
        let layer = Layer::from_text(&printed, Path::new("printed")).unwrap();
        // Those of TLS depend on its mode and have a test of their own.
        for key in raw::KEYS.iter().filter(|key| !key.starts_with("tls.")) {
            assert!(layer.has(key), "{key}");
        }
    }

    #[test]
    fn what_stands_for_a_secret_is_refused_when_read_back() {
        let mut settings = Settings::defaults(&Host::example());
        settings.auth.publish_token = Some(Secret::new("hunter2"));
        let layer = Layer::from_text(&settings.to_toml(), Path::new("printed")).unwrap();
        let error = validate(layer.into_raw().unwrap(), &Host::example()).unwrap_err();
        assert!(error.to_string().contains("auth.publish_token"), "{error}");
    }
}
