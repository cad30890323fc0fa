//! From written values to settings. Pure: what depends on the machine comes in as a [`Host`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Value;
use tracing_subscriber::EnvFilter;

use super::raw::{self, Raw};
use super::settings::{Limits, Log, LogFormat, Settings};
use super::value::{flag, invalid, parsed, time, whole};
use super::{Error, Host, auth, hls, http, media, streams, thumbnails, tls};

pub(super) const ADDRESS_AND_PORT: &str =
    "an address and a port, such as [::]:8080 or 0.0.0.0:8080";
const DEFAULT_PORT: u16 = 8080;

/// Requests at once or a second.
const REQUESTS: RangeInclusive<usize> = 0..=1_000_000;

pub(super) fn validate(raw: Raw, host: &Host) -> Result<Settings, Error> {
    let listen =
        parsed("listen", raw.listen, ADDRESS_AND_PORT)?.unwrap_or_else(|| default_listen(host));
    let (streams, hls) = (streams::streams(raw.streams)?, hls::hls(raw.hls)?);
    hls::check_dvr(&hls, &streams)?;
    Ok(Settings {
        listen,
        demo: flag("demo", raw.demo, false)?,
        tls: tls::validate(raw.tls, host)?,
        media: media::media(raw.media, listen, host)?,
        auth: auth::auth(raw.auth, &streams)?,
        streams,
        limits: limits(raw.limits)?,
        hls,
        thumbnails: thumbnails::thumbnails(raw.thumbnails)?,
        http: http::http(raw.http)?,
        whep: http::whep(raw.whep)?,
        ice_servers: http::ice_servers(raw.ice_servers)?,
        compatibility: http::compatibility(raw.compatibility)?,
        log: log(raw.log)?,
    })
}

/// All addresses of both families.
fn default_listen(host: &Host) -> SocketAddr {
    let any: IpAddr = if host.ipv6 {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    };
    SocketAddr::new(any, DEFAULT_PORT)
}

fn limits(raw: raw::Limits) -> Result<Limits, Error> {
    let default = Limits::default();
    let many = 1..=1_000_000;
    let sessions = whole(
        "limits.sessions",
        raw.sessions,
        default.sessions,
        many.clone(),
    )?;
    let body_bytes = whole(
        "limits.body_bytes",
        raw.body_bytes,
        default.body_bytes,
        1_024..=16 << 20,
    )?;
    Ok(Limits {
        sessions,
        sessions_per_stream: whole(
            "limits.sessions_per_stream",
            raw.sessions_per_stream,
            default.sessions_per_stream,
            many.clone(),
        )?,
        sessions_per_address: whole(
            "limits.sessions_per_address",
            raw.sessions_per_address,
            default.sessions_per_address,
            many.clone(),
        )?,
        streams: whole("limits.streams", raw.streams, default.streams, many.clone())?,
        publishers_per_stream: whole(
            "limits.publishers_per_stream",
            raw.publishers_per_stream,
            default.publishers_per_stream,
            1..=16,
        )?,
        slates: whole("limits.slates", raw.slates, default.slates, 1..=100)?,
        half_open_sessions: whole(
            "limits.half_open_sessions",
            raw.half_open_sessions,
            default.half_open_sessions,
            many.clone(),
        )?,
        half_open_sessions_per_address: whole(
            "limits.half_open_sessions_per_address",
            raw.half_open_sessions_per_address,
            default.half_open_sessions_per_address,
            many.clone(),
        )?,
        opening_connections: whole(
            "limits.opening_connections",
            raw.opening_connections,
            default.opening_connections,
            many.clone(),
        )?,
        opening_connections_per_address: whole(
            "limits.opening_connections_per_address",
            raw.opening_connections_per_address,
            default.opening_connections_per_address,
            many.clone(),
        )?,
        connections: whole(
            "limits.connections",
            raw.connections,
            default.connections,
            many.clone(),
        )?,
        connections_per_address: whole(
            "limits.connections_per_address",
            raw.connections_per_address,
            default.connections_per_address,
            many.clone(),
        )?,
        opening_timeout: time(
            "limits.opening_timeout",
            raw.opening_timeout,
            default.opening_timeout,
            Duration::from_secs(1)..=Duration::from_secs(120),
        )?,
        sdp_bytes: whole(
            "limits.sdp_bytes",
            raw.sdp_bytes,
            default.sdp_bytes.min(body_bytes),
            1_024..=body_bytes.min(1 << 20),
        )?,
        body_bytes,
        address_requests_per_second: whole(
            "limits.address_requests_per_second",
            raw.address_requests_per_second,
            default.address_requests_per_second,
            REQUESTS,
        )?,
        address_request_burst: whole(
            "limits.address_request_burst",
            raw.address_request_burst,
            default.address_request_burst,
            1..=*REQUESTS.end(),
        )?,
        token_requests_per_second: whole(
            "limits.token_requests_per_second",
            raw.token_requests_per_second,
            default.token_requests_per_second,
            REQUESTS,
        )?,
        token_request_burst: whole(
            "limits.token_request_burst",
            raw.token_request_burst,
            default.token_request_burst,
            1..=*REQUESTS.end(),
        )?,
        connect_timeout: time(
            "limits.connect_timeout",
            raw.connect_timeout,
            default.connect_timeout,
            Duration::from_secs(1)..=Duration::from_secs(120),
        )?,
        consent_timeout: time(
            "limits.consent_timeout",
            raw.consent_timeout,
            default.consent_timeout,
            Duration::from_secs(2)..=Duration::from_secs(600),
        )?,
        tcp_half_open_connections: whole(
            "limits.tcp_half_open_connections",
            raw.tcp_half_open_connections,
            default.tcp_half_open_connections,
            many,
        )?,
        tcp_check_timeout: time(
            "limits.tcp_check_timeout",
            raw.tcp_check_timeout,
            default.tcp_check_timeout,
            Duration::from_secs(1)..=Duration::from_secs(60),
        )?,
        // At the least some packets.
        tcp_queue_bytes: whole(
            "limits.tcp_queue_bytes",
            raw.tcp_queue_bytes,
            default.tcp_queue_bytes,
            16 << 10..=16 << 20,
        )?,
        answer_timeout: time(
            "limits.answer_timeout",
            raw.answer_timeout,
            default.answer_timeout,
            Duration::from_secs(1)..=Duration::from_secs(300),
        )?,
        viewer_retransmissions: whole(
            "limits.viewer_retransmissions",
            raw.viewer_retransmissions,
            default.viewer_retransmissions,
            16..=65_536,
        )?,
        viewer_keyframe_interval: time(
            "limits.viewer_keyframe_interval",
            raw.viewer_keyframe_interval,
            default.viewer_keyframe_interval,
            Duration::from_millis(100)..=Duration::from_mins(1),
        )?,
    })
}

fn log(raw: raw::Log) -> Result<Log, Error> {
    let default = Log::default();
    let allowed = "a level (error, warn, info, debug, trace) or a list such as warn,tidegate=debug";
    let filter = match raw.filter {
        None => default.filter,
        Some(Value::String(filter))
            if !filter.is_empty() && EnvFilter::try_new(&filter).is_ok() =>
        {
            filter
        }
        Some(value) => return Err(invalid("log.filter", &value, allowed)),
    };
    let format = match raw.format {
        None => default.format,
        Some(Value::String(format)) if format == "text" => LogFormat::Text,
        Some(Value::String(format)) if format == "json" => LogFormat::Json,
        Some(value) => return Err(invalid("log.format", &value, "\"text\" or \"json\"")),
    };
    Ok(Log { filter, format })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<Settings, Error> {
        validate(toml::from_str(text).unwrap(), &Host::example())
    }

    fn refusal(text: &str) -> String {
        settings(text).expect_err(text).to_string()
    }

    #[test]
    fn nothing_needs_to_be_configured() {
        let settings = settings("").unwrap();
        assert_eq!(settings.listen.to_string(), "[::]:8080");
        assert_eq!(settings.media.listen, settings.listen);
        assert_eq!(settings.media.shards, 4);
    }

    #[test]
    fn a_refusal_names_the_key_the_value_and_what_is_allowed() {
        for (text, parts) in [
            (
                "listen = \"8080\"",
                ["`listen`", "\"8080\"", "0.0.0.0:8080"],
            ),
            ("demo = 1", ["`demo`", "1", "true or false"]),
            (
                "limits.sessions = 0",
                ["`limits.sessions`", "0", "from 1 to 1000000"],
            ),
            (
                "limits.sessions = -1",
                ["`limits.sessions`", "-1", "from 1 to 1000000"],
            ),
            (
                "limits.sessions = \"many\"",
                ["`limits.sessions`", "\"many\"", "a whole number"],
            ),
            (
                "limits.connect_timeout = 5",
                ["`limits.connect_timeout`", "5", "from \"1s\" to \"2m\""],
            ),
            (
                "hls.linger = \"2h\"",
                ["`hls.linger`", "\"2h\"", "to \"1h\""],
            ),
            (
                "hls.dvr_window = \"1h\"",
                ["`hls.dvr_directory`", "\"\"", "as a dvr_window is set"],
            ),
            (
                "[[streams.rule]]\nname = \"a\"\ndvr_window = \"13h\"",
                ["`streams.rule[0].dvr_window`", "\"13h\"", "to \"12h\""],
            ),
            (
                "[[streams.rule]]\nname = \"a\"\ndvr_window = \"1s\"",
                ["`hls.dvr_directory`", "\"\"", "as a dvr_window is set"],
            ),
            (
                "media.addresses = [\"0.0.0.0\"]",
                ["`media.addresses`", "0.0.0.0", "up to 8"],
            ),
            (
                "media.addresses = [\"203.0.113\"]",
                ["`media.addresses`", "203.0.113", "live.example.org"],
            ),
            (
                "media.stun = \"a b\"",
                ["`media.stun`", "a b", "stun.example.org:3478"],
            ),
            ("media.interfaces = 1", ["`media.interfaces`", "1", "eth0"]),
            (
                "media.retransmission_packets.video = 1000",
                [
                    "`media.retransmission_packets.video`",
                    "1000",
                    "a power of two",
                ],
            ),
            (
                "http.cors_origins = [\"https://a.example/x\"]",
                ["`http.cors_origins`", "/x", "origins"],
            ),
            (
                "log.filter = \"tidegate=loud\"",
                ["`log.filter`", "loud", "debug"],
            ),
            (
                "streams.second_publisher = \"both\"",
                ["`streams.second_publisher`", "both", "replace"],
            ),
            (
                "streams.drain_url = \"b.example\"",
                ["`streams.drain_url`", "b.example", "https"],
            ),
            ("log.format = \"xml\"", ["`log.format`", "xml", "json"]),
            (
                "[[auth.stream]]\nname = \"a/b\"",
                ["`auth.stream[0].name`", "a/b", "stream name"],
            ),
            (
                "[[auth.stream]]",
                ["`auth.stream[0].name`", "\"\"", "stream name"],
            ),
            (
                "[[auth.stream]]\nname = \"a\"\n[[auth.stream]]\nname = \"a\"",
                ["`auth.stream[1].name`", "\"a\"", "only once"],
            ),
        ] {
            let message = refusal(text);
            for part in parts {
                assert!(message.contains(part), "{text}: {message}");
            }
        }
    }

    #[test]
    fn a_refused_token_is_not_shown() {
        for text in [
            "auth.play_token = 123456",
            "auth.play_token = \"hunter2 \"",
            "auth.play_token = \"\"",
        ] {
            let message = refusal(text);
            assert!(message.contains("`auth.play_token`"), "{message}");
            assert!(
                !message.contains("123456") && !message.contains("hunter2"),
                "{message}"
            );
        }
    }

    #[test]
    fn an_sdp_must_fit_into_a_body() {
        let message = refusal("limits.body_bytes = 2048\nlimits.sdp_bytes = 4096");
        assert!(message.contains("from 1024 to 2048"), "{message}");
        assert_eq!(
            settings("limits.body_bytes = 2048")
                .unwrap()
                .limits
                .sdp_bytes,
            2048
        );
    }

    #[test]
    fn a_machine_without_ipv6_listens_by_ipv4() {
        let host = Host {
            ipv6: false,
            ..Host::example()
        };
        assert_eq!(Settings::defaults(&host).listen.to_string(), "0.0.0.0:8080");
    }

    #[test]
    fn a_stun_server_may_be_written_as_a_uri_and_unset_by_empty_text() {
        let stun = |text: &str| {
            let stun = settings(&format!("media.stun = \"{text}\""))
                .unwrap()
                .media
                .stun;
            stun.map(|server| server.to_string())
        };
        assert_eq!(
            stun("stun:stun.example.org"),
            Some("stun.example.org".to_owned())
        );
        assert_eq!(stun("192.0.2.1:3479"), Some("192.0.2.1:3479".to_owned()));
        assert_eq!(stun(""), None);
    }

    #[test]
    fn configured_addresses_keep_their_order_and_stand_once() {
        let text =
            "media.addresses = \"203.0.113.9, 2001:db8::9,203.0.113.9, live.example.org:443\"";
        let found = settings(text).unwrap().media.addresses;
        assert_eq!(
            found.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["203.0.113.9", "2001:db8::9", "live.example.org:443"]
        );
    }
}
