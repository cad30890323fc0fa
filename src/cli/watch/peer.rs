//! The WebRTC peer of `watch`: receives only, and hands every packet on as the tap saw it.
//!
//! The only file that imports `webrtc`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::{NackGeneratorBuilder, ReceiverReportBuilder, Slot};
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RtpCodecKind,
};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use tokio::sync::{Notify, mpsc};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler,
    RTCIceConnectionState, RTCIceGatheringState, RTCPeerConnectionState, RTCSessionDescription,
    Registry, SettingEngineBuilder, configure_twcc_receiver_only,
};

use super::tap::{OFFERED, Seen, Sink, Tap};
use crate::rtp::MediaKind;

/// Packets between the tap and the statistics: half a second of a very fast stream.
const QUEUE: usize = 8192;
/// How long gathering may take. Host addresses need none of it; a stuck one is left out.
const GATHERING: Duration = Duration::from_secs(3);
/// How soon a missing packet is asked for, and how often.
const NACK_INTERVAL: Duration = Duration::from_millis(20);
const NACK_TIMES: u16 = 10;

/// Why there is no peer, or why it did not take the answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// No socket could be bound, or the WebRTC stack did not start.
    #[error(
        "can't start a WebRTC peer on this machine: {source}. Check that UDP sockets can be opened"
    )]
    Start {
        /// What the stack said.
        source: webrtc::error::Error,
    },
    /// The answer does not fit the offer.
    #[error("the server's SDP answer can't be used: {source}")]
    Answer {
        /// What the stack said.
        source: webrtc::error::Error,
    },
    /// No local address was found in time.
    #[error("found no address to receive on: check that a network interface is up")]
    NoCandidate,
}

/// A step of the way to media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A pair of addresses works.
    Ice,
    /// DTLS is done: media can flow.
    Connected,
    /// The connection is no more.
    Failed,
}

/// What the peer tells.
pub(super) struct Events {
    pub(super) steps: mpsc::Receiver<(Instant, Step)>,
    pub(super) seen: mpsc::Receiver<(Instant, Seen)>,
}

/// A peer that receives audio and video.
pub(super) struct Peer {
    connection: Box<dyn PeerConnection>,
    gathered: Arc<Notify>,
}

impl Peer {
    /// Binds sockets and starts. `loopback` has the server's addresses when it is on this machine.
    pub(super) async fn new(loopback: &[IpAddr]) -> Result<(Self, Events), PeerError> {
        let (step_sender, steps) = mpsc::channel(64);
        let (seen_sender, seen) = mpsc::channel(QUEUE);
        let gathered = Arc::new(Notify::new());
        let handler = Handler {
            steps: step_sender,
            gathered: Arc::clone(&gathered),
        };
        let start = |source| PeerError::Start { source };
        let mut engine = media_engine().map_err(start)?;
        let registry = configure_twcc_receiver_only(Registry::new(), &mut engine).map_err(start)?;
        let registry = registry
            .with(Slot::Custom(0), Tap::new(seen_sender))
            .with(
                Slot::NackGenerator,
                NackGeneratorBuilder::new()
                    .with_interval(NACK_INTERVAL)
                    .with_max_nacks_per_packet(NACK_TIMES)
                    .build(),
            )
            .with(Slot::ReceiverReport, ReceiverReportBuilder::new().build())
            .with(Slot::Custom(usize::MAX), Sink::default());
        let settings = SettingEngineBuilder::new()
            .with_multicast_dns_mode(MulticastDnsMode::Disabled)
            .build();
        let connection = PeerConnectionBuilder::new()
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .with_setting_engine(settings)
            .with_handler(Arc::new(handler))
            .with_udp_addrs(local_addresses(loopback))
            .build()
            .await
            .map_err(start)?;
        let peer = Self {
            connection: Box::new(connection),
            gathered,
        };
        Ok((peer, Events { steps, seen }))
    }

    /// The offer with all candidates: WHEP servers need not take trickled ones.
    pub(super) async fn offer(&self) -> Result<String, PeerError> {
        let start = |source| PeerError::Start { source };
        for kind in [RtpCodecKind::Audio, RtpCodecKind::Video] {
            let init = RTCRtpTransceiverInit {
                direction: RTCRtpTransceiverDirection::Recvonly,
                ..Default::default()
            };
            self.connection
                .add_transceiver_from_kind(kind, Some(init))
                .await
                .map_err(start)?;
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
    pub(super) async fn accept(&self, answer: &str) -> Result<(), PeerError> {
        let refuse = |source| PeerError::Answer { source };
        let answer = RTCSessionDescription::answer(answer.to_owned()).map_err(refuse)?;
        self.connection
            .set_remote_description(answer)
            .await
            .map_err(refuse)
    }

    /// Closes the connection.
    pub(super) async fn close(&self) {
        if let Err(error) = self.connection.close().await {
            tracing::debug!(%error, "the peer did not close cleanly");
        }
    }
}

struct Handler {
    steps: mpsc::Sender<(Instant, Step)>,
    gathered: Arc<Notify>,
}

impl Handler {
    fn tell(&self, step: Step) {
        // A full channel means that nobody has looked for 64 steps: the later ones say nothing new.
        let _ = self.steps.try_send((Instant::now(), step));
    }
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.notify_one();
        }
    }

    async fn on_ice_connection_state_change(&self, state: RTCIceConnectionState) {
        match state {
            RTCIceConnectionState::Connected | RTCIceConnectionState::Completed => {
                self.tell(Step::Ice);
            }
            RTCIceConnectionState::Failed => self.tell(Step::Failed),
            _ => {}
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        match state {
            RTCPeerConnectionState::Connected => self.tell(Step::Connected),
            RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed => {
                self.tell(Step::Failed);
            }
            _ => {}
        }
    }
}

/// The sockets to bind: the stack makes one host candidate of each.
///
/// A wildcard stands for every interface but loopback, and for an unusable `0.0.0.0` candidate when
/// there is no other. So it is asked for only where there is a way out.
pub(in crate::cli) fn local_addresses(loopback: &[IpAddr]) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    addresses.extend(loopback.iter().map(|ip| SocketAddr::new(*ip, 0)));
    // Connecting a UDP socket sends nothing: it asks for a route. The addresses are for documentation.
    let has_route = |local: SocketAddr, remote: &str| {
        UdpSocket::bind(local).is_ok_and(|socket| socket.connect(remote).is_ok())
    };
    let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    if has_route(v4, "192.0.2.1:9") {
        addresses.push(v4);
    }
    if has_route(v6, "[2001:db8::1]:9") {
        addresses.push(v6);
    }
    if addresses.is_empty() {
        addresses.push(v4);
    }
    addresses
}

/// Every codec of [`OFFERED`], for a peer that receives.
pub(in crate::cli) fn media_engine() -> Result<MediaEngine, webrtc::error::Error> {
    let mut engine = MediaEngine::default();
    let feedback = |typ: &str, parameter: &str| RTCPFeedback {
        typ: typ.to_owned(),
        parameter: parameter.to_owned(),
    };
    for offered in &OFFERED {
        let (kind, rtcp_feedback) = match offered.codec.kind() {
            MediaKind::Audio => (RtpCodecKind::Audio, Vec::new()),
            MediaKind::Video => (
                RtpCodecKind::Video,
                vec![
                    feedback("nack", ""),
                    feedback("nack", "pli"),
                    feedback("ccm", "fir"),
                ],
            ),
        };
        let codec = |name: &str, fmtp: String, rtcp_feedback| RTCRtpCodec {
            mime_type: format!("{}/{name}", offered.codec.kind()),
            clock_rate: offered.codec.clock_rate(),
            channels: match offered.codec {
                crate::rtp::Codec::Opus => 2,
                _ => 0,
            },
            sdp_fmtp_line: fmtp,
            rtcp_feedback,
        };
        engine.register_codec(
            RTCRtpCodecParameters {
                rtp_codec: codec(offered.codec.name(), offered.fmtp.to_owned(), rtcp_feedback),
                payload_type: offered.payload_type,
            },
            kind,
        )?;
        if let Some(rtx) = offered.rtx {
            let fmtp = format!("apt={}", offered.payload_type);
            engine.register_codec(
                RTCRtpCodecParameters {
                    rtp_codec: codec("rtx", fmtp, Vec::new()),
                    payload_type: rtx,
                },
                kind,
            )?;
        }
    }
    Ok(engine)
}
