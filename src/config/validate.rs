//! From written values to settings. Pure: what depends on the machine comes in as a [`Host`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Value;
use tracing_subscriber::EnvFilter;

use super::raw::{self, Raw};
use super::settings::{
    Hls, Limits, Log, LogFormat, Media, RetransmissionPackets, SecondPublisher, Settings, Streams,
};
use super::value::{flag, invalid, parsed, power_of_two, time, whole, words};
use super::{Endpoint, Error, Host, auth, bandwidth, http, tls};

pub(super) const ADDRESS_AND_PORT: &str =
    "an address and a port, such as [::]:8080 or 0.0.0.0:8080";
const DEFAULT_PORT: u16 = 8080;
/// The first character of a session's ufrag names its shard, and there are 64 ice-chars (RFC 8839,
/// section 5.4).
const SHARDS: RangeInclusive<usize> = 1..=64;
/// An answer lists all addresses, and clients exist that refuse an answer over 8,192 bytes.
const MAX_ADDRESSES: usize = 8;
/// Sequence numbers can tell apart half of their 65,536 values (RFC 3550, appendix A.1).
const RETRANSMISSION_PACKETS: RangeInclusive<usize> = 16..=16_384;

/// Requests at once or a second.
const REQUESTS: RangeInclusive<usize> = 0..=1_000_000;

pub(super) fn validate(raw: Raw, host: &Host) -> Result<Settings, Error> {
    let listen =
        parsed("listen", raw.listen, ADDRESS_AND_PORT)?.unwrap_or_else(|| default_listen(host));
    Ok(Settings {
        listen,
        demo: flag("demo", raw.demo, false)?,
        tls: tls::validate(raw.tls, host)?,
        media: media(raw.media, listen, host)?,
        auth: auth::auth(raw.auth)?,
        streams: streams(raw.streams)?,
        limits: limits(raw.limits)?,
        hls: hls(raw.hls)?,
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

fn media(raw: raw::Media, http: SocketAddr, host: &Host) -> Result<Media, Error> {
    let listen = parsed("media.listen", raw.listen, ADDRESS_AND_PORT)?.unwrap_or(http);
    let rings = RetransmissionPackets::default();
    Ok(Media {
        listen,
        addresses: addresses(raw.addresses)?,
        interfaces: interfaces(raw.interfaces)?,
        stun: stun(raw.stun)?,
        address_refresh: time(
            "media.address_refresh",
            raw.address_refresh,
            Duration::from_secs(300),
            Duration::from_secs(10)..=Duration::from_secs(24 * 3_600),
        )?,
        tcp: flag("media.tcp", raw.tcp, true)?,
        shards: whole(
            "media.shards",
            raw.shards,
            host.cores.clamp(1, *SHARDS.end()),
            SHARDS,
        )?,
        keyframe_request_interval: time(
            "media.keyframe_request_interval",
            raw.keyframe_request_interval,
            Duration::from_millis(500),
            Duration::from_millis(100)..=Duration::from_secs(10),
        )?,
        retransmission_packets: RetransmissionPackets {
            video: power_of_two(
                "media.retransmission_packets.video",
                raw.retransmission_packets.video,
                rings.video,
                RETRANSMISSION_PACKETS,
            )?,
            audio: power_of_two(
                "media.retransmission_packets.audio",
                raw.retransmission_packets.audio,
                rings.audio,
                RETRANSMISSION_PACKETS,
            )?,
        },
        bandwidth: bandwidth::bandwidth(raw.bandwidth)?,
    })
}

/// What is said to clients. An empty list stands for what is found when the gateway starts.
fn addresses(value: Option<Value>) -> Result<Vec<Endpoint>, Error> {
    let refuse = |value: &Value| {
        let allowed = format!(
            "a list of up to {MAX_ADDRESSES} addresses or names that clients can send to, such as 203.0.113.9 or \
             live.example.org, with a port only if it is another one outside; an empty list finds them"
        );
        invalid("media.addresses", value, allowed)
    };
    let Some(value) = value else {
        return Ok(Vec::new());
    };
    let mut addresses: Vec<Endpoint> = Vec::new();
    for text in words(value.clone()).ok_or_else(|| refuse(&value))? {
        let address = text.parse().map_err(|_| refuse(&value))?;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.len() > MAX_ADDRESSES {
        return Err(refuse(&value));
    }
    Ok(addresses)
}

fn interfaces(value: Option<Value>) -> Result<Vec<String>, Error> {
    let Some(value) = value else {
        return Ok(Vec::new());
    };
    words(value.clone()).ok_or_else(|| {
        let allowed = "a list of interfaces by name or address, such as eth0 or 192.0.2.7; an empty list takes all";
        invalid("media.interfaces", &value, allowed)
    })
}

/// Empty text is how `tidegate config` writes that there is none.
fn stun(value: Option<Value>) -> Result<Option<Endpoint>, Error> {
    let Some(value) = value else {
        return Ok(None);
    };
    let text = value.as_str().map(str::trim);
    if text == Some("") {
        return Ok(None);
    }
    let server = text.and_then(|text| text.strip_prefix("stun:").unwrap_or(text).parse().ok());
    server.map(Some).ok_or_else(|| {
        invalid(
            "media.stun",
            &value,
            "a STUN server such as stun.example.org:3478, or empty for none",
        )
    })
}

fn streams(raw: raw::Streams) -> Result<Streams, Error> {
    let default = Streams::default();
    let second_publisher = match raw.second_publisher {
        None => default.second_publisher,
        Some(Value::String(text)) if text == "replace" => SecondPublisher::Replace,
        Some(Value::String(text)) if text == "refuse" => SecondPublisher::Refuse,
        Some(value) => {
            let allowed = "\"replace\" or \"refuse\"";
            return Err(invalid("streams.second_publisher", &value, allowed));
        }
    };
    let drain_url = match raw.drain_url {
        None => default.drain_url,
        Some(Value::String(url)) if is_url(&url) => Some(url),
        Some(value) => {
            let allowed = "a URL with http or https, such as https://b.example/whep/{stream}";
            return Err(invalid("streams.drain_url", &value, allowed));
        }
    };
    Ok(Streams {
        wait_for_publisher: flag(
            "streams.wait_for_publisher",
            raw.wait_for_publisher,
            default.wait_for_publisher,
        )?,
        reconnect_grace: time(
            "streams.reconnect_grace",
            raw.reconnect_grace,
            default.reconnect_grace,
            Duration::ZERO..=Duration::from_secs(600),
        )?,
        second_publisher,
        drain_url,
    })
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
    })
}

fn hls(raw: raw::Hls) -> Result<Hls, Error> {
    let default = Hls::default();
    Ok(Hls {
        enabled: flag("hls.enabled", raw.enabled, default.enabled)?,
        segment_duration: time(
            "hls.segment_duration",
            raw.segment_duration,
            default.segment_duration,
            Duration::from_secs(1)..=Duration::from_secs(10),
        )?,
        window: whole("hls.window", raw.window, default.window, 3..=100)?,
        linger: time(
            "hls.linger",
            raw.linger,
            default.linger,
            Duration::ZERO..=Duration::from_secs(3_600),
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

fn is_url(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        !rest.starts_with('/') && !rest.is_empty() && rest.bytes().all(|c| c.is_ascii_graphic())
    })
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
