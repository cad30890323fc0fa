//! The settings: checked, typed, complete.

mod limits;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

pub use limits::Limits;

use super::http::{Compatibility, IceServer, Whep};
use super::ladder::Rung;
use super::raw::Raw;
use super::streams::Streams;
use super::thumbnails::Thumbnails;
use super::tls::Tls;
use super::{Endpoint, Host, Secret, validate};
use crate::stream::StreamName;

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where HTTP and HTTPS are served (TCP). Port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Whether the test broadcast `demo` runs.
    pub demo: bool,
    /// HTTPS.
    pub tls: Tls,
    /// The UDP side.
    pub media: Media,
    /// Who may publish and play.
    pub auth: Auth,
    /// What happens when publishers come and go.
    pub streams: Streams,
    /// What a stranger can make us hold.
    pub limits: Limits,
    /// The HLS branch.
    pub hls: Hls,
    /// Still pictures of what is live.
    pub thumbnails: Thumbnails,
    /// The HTTP side.
    pub http: Http,
    /// What WHEP offers beyond the answer to an offer.
    pub whep: Whep,
    /// The STUN and TURN servers that clients are told of.
    pub ice_servers: Vec<IceServer>,
    /// The rules that clients may bend.
    pub compatibility: Compatibility,
    /// The log.
    pub log: Log,
}

/// The settings of the media port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Where media is received (UDP). As [`Settings::listen`] unless it is set; if that has port 0
    /// and this was not set, the port that HTTP got.
    pub listen: SocketAddr,
    /// Where clients are told to send to, best first. When empty, what is found: the addresses of the
    /// interfaces, and the public one that a STUN server sees.
    pub addresses: Vec<Endpoint>,
    /// The only interfaces that are looked at, by name or by address. When empty, all.
    pub interfaces: Vec<String>,
    /// The STUN server that is asked for the public address; its port is 3478 unless it says another.
    pub stun: Option<Endpoint>,
    /// How often names are resolved, interfaces looked at and the STUN server asked again.
    pub address_refresh: Duration,
    /// Whether clients may send media by TCP where UDP is blocked (RFC 6544).
    pub tcp: bool,
    /// How many event loops there are.
    pub shards: usize,
    /// The shortest time between two keyframe requests for one track.
    pub keyframe_request_interval: Duration,
    /// What is kept for retransmission.
    pub retransmission_packets: RetransmissionPackets,
    /// So many packets of video are sent to viewers before sound that came meanwhile gets its turn.
    pub video_per_round: usize,
    /// Whether Opus comes and goes with redundancy (RFC 2198) where clients offer or take it.
    pub audio_redundancy: bool,
    /// How late a publisher's packet may be before it is asked for again.
    pub reorder_tolerance: Duration,
    /// How long a publisher's packet is asked for before it is given up.
    pub loss_timeout: Duration,
    /// How much of a video layer is kept since its last keyframe, in bytes, for viewers that come; 0 for
    /// nothing.
    pub keyframe_cache_bytes: usize,
    /// How old that keyframe may be.
    pub keyframe_cache_age: Duration,
    /// How fast those viewers get it, in bit/s; never less than three times as fast as it was made.
    pub catch_up_bitrate: u64,
    /// How the layers of viewers follow what their links carry.
    pub bandwidth: Bandwidth,
}

/// How the layers of viewers follow what their links carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bandwidth {
    /// Whether at all.
    pub enabled: bool,
    /// Whether more may be sent for a moment than the media has, to find out what a link carries.
    pub probing: bool,
    /// What is believed of a link at first.
    pub start_kbps: usize,
    /// What every link is believed to carry.
    pub floor_kbps: usize,
    /// Beyond this nothing is looked for.
    pub ceiling_kbps: usize,
    /// Whether packets wait for a link that is nearly full, instead of leaving as bursts.
    pub pacing: bool,
    /// No more waits for such a link than it takes in this time.
    pub pacing_queue_time: Duration,
    /// Nor more bytes.
    pub pacing_queue_bytes: usize,
}

/// How many packets of a track can be sent again. Powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetransmissionPackets {
    /// Of a video track.
    pub video: usize,
    /// Of an audio track.
    pub audio: usize,
}

/// Static bearer tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// Asked for by WHIP; without one, publishing is open to loopback only.
    pub publish_token: Option<Secret>,
    /// Asked for by WHEP and HLS; without one, playing is open to all.
    pub play_token: Option<Secret>,
    /// Asked for by the metrics; without one, they are open to loopback only.
    pub metrics_token: Option<Secret>,
    /// Whether the URL may carry `?token=` where there is no `Authorization` header.
    pub allow_query_token: bool,
    /// Streams with tokens of their own.
    pub streams: BTreeMap<StreamName, StreamAuth>,
}

/// The tokens of one stream; what is missing here is taken from [`Auth`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamAuth {
    /// In the place of [`Auth::publish_token`].
    pub publish_token: Option<Secret>,
    /// Lets publish too, but not before who has the other token.
    pub backup_token: Option<Secret>,
    /// In the place of [`Auth::play_token`].
    pub play_token: Option<Secret>,
}

/// The HLS branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hls {
    /// Whether streams are remuxed to HLS.
    pub enabled: bool,
    /// How long a segment is meant to be; it ends at a keyframe.
    pub segment_duration: Duration,
    /// How long a part of a segment is meant to be at most.
    pub part_duration: Duration,
    /// How far behind the newest part players stay at least; never less than three parts.
    pub hold_back: Duration,
    /// How many segments a playlist lists.
    pub window: usize,
    /// How many segments are kept beyond that, for who fetches late.
    pub spare_segments: usize,
    /// How much of the past players can go back to, on disk beyond what is in memory; zero: nothing is on disk.
    pub dvr_window: Duration,
    /// The directory for that, in which there will be a folder of ours; none: there is no past.
    pub dvr_directory: Option<PathBuf>,
    /// What the past of all streams may take on disk, in bytes; the oldest goes first.
    pub dvr_max_bytes: usize,
    /// How many requests, of all streams, may wait for what comes next.
    pub waiting_requests: usize,
    /// With what URLs are signed that hold their own right; none: there are no such URLs.
    pub url_secret: Option<Secret>,
    /// How long a playlist stays after the broadcast has ended.
    pub linger: Duration,
    /// Whether sound is there in AAC as well, made while somebody asks for it.
    pub aac: bool,
    /// How many layers of a simulcast, or spatial ones within a source, can be chosen.
    pub layers: usize,
    /// How many VP8 streams may be encoded anew as H264 at once.
    pub vp8_transcodes: usize,
    /// The smaller pictures that are made of a publisher's only one, the highest first; none: none is made.
    pub ladder: Vec<Rung>,
    /// How many streams may have a ladder at once.
    pub ladder_streams: usize,
    /// Whether encoders in hardware are preferred.
    pub ladder_hardware: bool,
}

/// The HTTP side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Whose pages may use WHIP, WHEP and HLS.
    pub cors_origins: CorsOrigins,
    /// The proxies that may say for whom they ask.
    pub trusted_proxies: Vec<IpNet>,
}

/// The origins that CORS allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsOrigins {
    /// Every page.
    Any,
    /// Only these, such as `https://example.org`.
    Only(Vec<String>),
}

/// The log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// What is logged, in the syntax of `tracing-subscriber`'s `EnvFilter`; valid.
    pub filter: String,
    /// How it is written.
    pub format: LogFormat,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Settings {
    /// The settings of `host` when nothing is configured.
    pub fn defaults(host: &Host) -> Self {
        validate(Raw::default(), host).expect("the defaults are valid, a test says so")
    }

    /// The settings as a configuration file, with `(hidden)` in the place of secrets, which is
    /// refused when read back.
    pub fn to_toml(&self) -> String {
        toml::to_string(&Raw::from(self)).expect("settings have only text keys and plain values")
    }
}

impl Auth {
    /// The token that publishing `stream` asks for.
    pub fn publish_token(&self, stream: &StreamName) -> Option<&Secret> {
        let own = self
            .streams
            .get(stream)
            .and_then(|stream| stream.publish_token.as_ref());
        own.or(self.publish_token.as_ref())
    }

    /// The token that playing `stream` asks for.
    pub fn play_token(&self, stream: &StreamName) -> Option<&Secret> {
        let own = self
            .streams
            .get(stream)
            .and_then(|stream| stream.play_token.as_ref());
        own.or(self.play_token.as_ref())
    }
}

impl Default for RetransmissionPackets {
    fn default() -> Self {
        Self {
            video: 1024,
            audio: 256,
        }
    }
}

impl Default for Hls {
    fn default() -> Self {
        Self {
            enabled: true,
            segment_duration: Duration::from_secs(2),
            part_duration: Duration::from_millis(500),
            hold_back: Duration::ZERO,
            window: 10,
            spare_segments: 4,
            dvr_window: Duration::ZERO,
            dvr_directory: None,
            dvr_max_bytes: 10 << 30,
            waiting_requests: 20_000,
            url_secret: None,
            linger: Duration::from_secs(30),
            aac: true,
            layers: 4,
            vp8_transcodes: 0,
            ladder: Vec::new(),
            ladder_streams: 4,
            ladder_hardware: true,
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            cors_origins: CorsOrigins::Any,
            trusted_proxies: Vec::new(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            filter: "warn,tidegate=info,rtc_dtls=error".to_owned(),
            format: LogFormat::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_with_its_own_token_does_not_take_the_common_one() {
        let mut auth = Auth {
            publish_token: Some(Secret::new("all")),
            ..Auth::default()
        };
        let own = StreamAuth {
            publish_token: Some(Secret::new("own")),
            ..StreamAuth::default()
        };
        auth.streams.insert("a".parse().unwrap(), own);
        let token = |name: &str| {
            auth.publish_token(&name.parse().unwrap())
                .map(Secret::expose)
        };
        assert_eq!((token("a"), token("b")), (Some("own"), Some("all")));
        assert_eq!(auth.play_token(&"a".parse().unwrap()), None);
    }
}
