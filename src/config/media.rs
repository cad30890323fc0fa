//! The settings of the media path, from what is written to what is meant. Pure.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Value;

use super::settings::{Media, RetransmissionPackets};
use super::validate::ADDRESS_AND_PORT;
use super::value::{flag, invalid, parsed, power_of_two, time, whole, words};
use super::{Endpoint, Error, Host, bandwidth, raw};

/// The first character of a session's ufrag names its shard, and there are 64 ice-chars (RFC 8839,
/// section 5.4).
const SHARDS: RangeInclusive<usize> = 1..=64;
/// An answer lists all addresses, and clients exist that refuse an answer over 8,192 bytes.
const MAX_ADDRESSES: usize = 8;
/// Sequence numbers can tell apart half of their 65,536 values (RFC 3550, appendix A.1).
const RETRANSMISSION_PACKETS: RangeInclusive<usize> = 16..=16_384;

pub(super) fn media(raw: raw::Media, http: SocketAddr, host: &Host) -> Result<Media, Error> {
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
        video_per_round: whole(
            "media.video_per_round",
            raw.video_per_round,
            6_000,
            1..=1_000_000,
        )?,
        audio_redundancy: flag("media.audio_redundancy", raw.audio_redundancy, false)?,
        bandwidth: bandwidth::bandwidth(raw.bandwidth)?,
        reorder_tolerance: time(
            "media.reorder_tolerance",
            raw.reorder_tolerance,
            Duration::from_millis(10),
            Duration::from_millis(1)..=Duration::from_millis(200),
        )?,
        loss_timeout: time(
            "media.loss_timeout",
            raw.loss_timeout,
            Duration::from_secs(1),
            Duration::from_millis(50)..=Duration::from_secs(5),
        )?,
        keyframe_cache_bytes: whole(
            "media.keyframe_cache_bytes",
            raw.keyframe_cache_bytes,
            8 * 1024 * 1024,
            0..=64 * 1024 * 1024,
        )?,
        keyframe_cache_age: time(
            "media.keyframe_cache_age",
            raw.keyframe_cache_age,
            Duration::from_secs(12),
            Duration::from_secs(1)..=Duration::from_mins(1),
        )?,
        catch_up_bitrate: whole(
            "media.catch_up_bitrate",
            raw.catch_up_bitrate,
            30_000_000,
            1_000_000..=10_000_000_000,
        )? as u64,
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
