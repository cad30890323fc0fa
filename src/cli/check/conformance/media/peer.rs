//! The WebRTC peer of the check, for either direction.
//!
//! The only file here that imports `webrtc`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::{ReceiverReportBuilder, SenderReportBuilder, Slot};
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::transport::RTCDtlsTransportState;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters,
    RTCRtpEncodingParameters, RtpCodecKind,
};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use tokio::sync::{Notify, watch};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler,
    RTCIceConnectionState, RTCIceGatheringState, RTCPeerConnectionState, RTCSessionDescription,
    Registry, SettingEngineBuilder,
};

use super::observed::{Observed, Tap};
use crate::cli::watch::{PeerError, local_addresses, media_engine};

/// How long gathering may take. Host addresses need none of it; a stuck one is left out.
const GATHERING: Duration = Duration::from_secs(3);
/// The tracks of the test broadcast.
const VIDEO_SSRC: u32 = 0x7464_0001;
const AUDIO_SSRC: u32 = 0x7464_0002;

/// Which way media goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Send,
    Receive,
}

/// A peer.
pub(crate) struct Peer {
    connection: Box<dyn PeerConnection>,
    direction: Direction,
    gathered: Arc<Notify>,
    observed: watch::Receiver<Observed>,
    tracks: Vec<Arc<TrackLocalStaticRTP>>,
}

impl Peer {
    /// Binds sockets and starts. `loopback` has the server's addresses when it is on this machine.
    pub(crate) async fn new(direction: Direction, loopback: &[IpAddr]) -> Result<Self, PeerError> {
        let start = |source| PeerError::Start { source };
        let (sender, observed) = watch::channel(Observed::default());
        let gathered = Arc::new(Notify::new());
        let handler = Handler {
            observed: sender.clone(),
            gathered: Arc::clone(&gathered),
        };
        let engine = match direction {
            Direction::Receive => media_engine(),
            Direction::Send => sending_engine(),
        };
        let registry = Registry::new()
            .with(Slot::Custom(0), Tap::new(sender))
            .with(Slot::ReceiverReport, ReceiverReportBuilder::new().build())
            .with(Slot::SenderReport, SenderReportBuilder::new().build());
        let settings = SettingEngineBuilder::new()
            .with_multicast_dns_mode(MulticastDnsMode::Disabled)
            .build();
        let connection = PeerConnectionBuilder::new()
            .with_media_engine(engine.map_err(start)?)
            .with_interceptor_registry(registry)
            .with_setting_engine(settings)
            .with_handler(Arc::new(handler))
            .with_udp_addrs(local_addresses(loopback))
            .build()
            .await
            .map_err(start)?;
        Ok(Self {
            connection: Box::new(connection),
            direction,
            gathered,
            observed,
            tracks: Vec::new(),
        })
    }

    /// The offer, with all candidates in it.
    pub(crate) async fn offer(&mut self) -> Result<String, PeerError> {
        let start = |source| PeerError::Start { source };
        for kind in [RtpCodecKind::Audio, RtpCodecKind::Video] {
            match self.direction {
                Direction::Receive => {
                    let init = RTCRtpTransceiverInit {
                        direction: RTCRtpTransceiverDirection::Recvonly,
                        ..Default::default()
                    };
                    self.connection
                        .add_transceiver_from_kind(kind, Some(init))
                        .await
                        .map_err(start)?;
                }
                Direction::Send => {
                    let track = Arc::new(TrackLocalStaticRTP::new(track(kind)));
                    let init = RTCRtpTransceiverInit {
                        direction: RTCRtpTransceiverDirection::Sendonly,
                        ..Default::default()
                    };
                    self.connection
                        .add_transceiver_from_track(
                            Arc::clone(&track) as Arc<dyn TrackLocal>,
                            Some(init),
                        )
                        .await
                        .map_err(start)?;
                    self.tracks.push(track);
                }
            }
        }
        let offer = self.connection.create_offer(None).await.map_err(start)?;
        self.connection
            .set_local_description(offer)
            .await
            .map_err(start)?;
        let _ = tokio::time::timeout(GATHERING, self.gathered.notified()).await;
        self.connection
            .local_description()
            .await
            .map(|description| description.sdp)
            .filter(|sdp| sdp.contains("a=candidate:"))
            .ok_or(PeerError::NoCandidate)
    }

    /// Takes the server's answer and begins to connect.
    pub(crate) async fn accept(&self, answer: &str) -> Result<(), PeerError> {
        let refuse = |source| PeerError::Answer { source };
        let answer = RTCSessionDescription::answer(answer.to_owned()).map_err(refuse)?;
        self.connection
            .set_remote_description(answer)
            .await
            .map_err(refuse)
    }

    /// What it sees.
    pub(crate) fn observed(&self) -> watch::Receiver<Observed> {
        self.observed.clone()
    }

    /// What each track may send: its number in [`Peer::send`], MIME type, payload type and SSRC.
    pub(crate) async fn negotiated(&self) -> Vec<(usize, String, u8, u32)> {
        let mut found = Vec::new();
        for sender in self.connection.get_senders().await {
            let Ok(parameters) = sender.get_parameters().await else {
                continue;
            };
            let Some(codec) = parameters.rtp_parameters.codecs.first() else {
                continue;
            };
            let mime = codec.rtp_codec.mime_type.to_ascii_lowercase();
            let (index, ssrc) = match mime.starts_with("audio") {
                true => (0, AUDIO_SSRC),
                false => (1, VIDEO_SSRC),
            };
            found.push((index, mime, codec.payload_type, ssrc));
        }
        found
    }

    /// Sends a packet of a track. One that can't be sent is lost.
    pub(crate) async fn send(&self, track: usize, packet: rtc::rtp::Packet) -> bool {
        match self.tracks.get(track) {
            Some(track) => track.write_rtp(packet).await.is_ok(),
            None => false,
        }
    }

    /// Whether the other side has closed DTLS.
    pub(crate) async fn is_closed(&self) -> bool {
        for transceiver in self.connection.get_transceivers().await {
            let transport = match self.direction {
                Direction::Send => match transceiver.sender().await {
                    Ok(Some(sender)) => sender.transport().await,
                    _ => continue,
                },
                Direction::Receive => match transceiver.receiver().await {
                    Ok(Some(receiver)) => receiver.transport().await,
                    _ => continue,
                },
            };
            if let Ok(Some(transport)) = transport {
                return matches!(transport.state().await, Ok(RTCDtlsTransportState::Closed));
            }
        }
        false
    }

    /// Closes the connection.
    pub(crate) async fn close(&self) {
        if let Err(error) = self.connection.close().await {
            tracing::debug!(%error, "the peer did not close cleanly");
        }
    }
}

struct Handler {
    observed: watch::Sender<Observed>,
    gathered: Arc<Notify>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.notify_one();
        }
    }

    async fn on_ice_connection_state_change(&self, state: RTCIceConnectionState) {
        let now = Instant::now();
        self.observed.send_modify(|observed| match state {
            RTCIceConnectionState::Connected | RTCIceConnectionState::Completed => {
                observed.ice.get_or_insert(now);
                observed.lost = false;
            }
            RTCIceConnectionState::Disconnected | RTCIceConnectionState::Failed => {
                observed.lost = true;
            }
            _ => {}
        });
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let now = Instant::now();
        self.observed.send_modify(|observed| match state {
            RTCPeerConnectionState::Connected => {
                observed.connected.get_or_insert(now);
            }
            RTCPeerConnectionState::Failed => observed.lost = true,
            _ => {}
        });
    }
}

/// What the test broadcast is offered in, the preferred first, with payload types of
/// [`OFFERED`](crate::cli::watch::OFFERED).
fn codecs(kind: RtpCodecKind) -> Vec<RTCRtpCodecParameters> {
    let codec = |mime: &str, rate, channels, fmtp: &str, payload_type| RTCRtpCodecParameters {
        rtp_codec: RTCRtpCodec {
            mime_type: mime.to_owned(),
            clock_rate: rate,
            channels,
            sdp_fmtp_line: fmtp.to_owned(),
            rtcp_feedback: match kind {
                RtpCodecKind::Video => [("nack", ""), ("nack", "pli"), ("ccm", "fir")]
                    .map(|(typ, parameter)| RTCPFeedback {
                        typ: typ.to_owned(),
                        parameter: parameter.to_owned(),
                    })
                    .to_vec(),
                _ => Vec::new(),
            },
        },
        payload_type,
    };
    match kind {
        RtpCodecKind::Audio => vec![codec(
            "audio/opus",
            48_000,
            2,
            "minptime=10;useinbandfec=1",
            111,
        )],
        _ => vec![
            codec("video/VP8", 90_000, 0, "", 96),
            codec(
                "video/H264",
                90_000,
                0,
                "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
                106,
            ),
        ],
    }
}

fn sending_engine() -> Result<MediaEngine, webrtc::error::Error> {
    let mut engine = MediaEngine::default();
    for kind in [RtpCodecKind::Audio, RtpCodecKind::Video] {
        for codec in codecs(kind) {
            engine.register_codec(codec, kind)?;
        }
    }
    Ok(engine)
}

fn track(kind: RtpCodecKind) -> MediaStreamTrack {
    let ssrc = match kind {
        RtpCodecKind::Audio => AUDIO_SSRC,
        _ => VIDEO_SSRC,
    };
    let codings = codecs(kind)
        .into_iter()
        .take(1)
        .map(|codec| RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters {
                ssrc: Some(ssrc),
                ..Default::default()
            },
            codec: codec.rtp_codec,
            ..Default::default()
        })
        .collect();
    MediaStreamTrack::new(
        "tidegate-check".to_owned(),
        kind.to_string(),
        kind.to_string(),
        kind,
        codings,
    )
}
