//! `watch` against a small WHEP server of the same WebRTC stack, on 127.0.0.1.

use std::collections::{HashSet, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use bytes::Bytes;
use rtc::interceptor::{Interceptor, Slot, StreamInfo, TaggedPacket};
use rtc::media_stream::MediaStreamTrack;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RTCRtpRtxParameters,
    RtpCodecKind,
};
use rtc::sansio::Protocol;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler,
    RTCIceGatheringState, RTCPeerConnectionState, RTCSessionDescription, Registry,
    register_default_interceptors,
};

use super::*;

/// What the server does with a session.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    /// Sends 50 VP8 frames a second of two packets each, every tenth a keyframe.
    Sends,
    /// The same, but the first copy of every 15th packet gets lost.
    Loses,
    /// Connects and says nothing.
    Silent,
}

struct Server {
    behaviour: Behaviour,
    deleted: AtomicUsize,
    peers: tokio::sync::Mutex<Vec<Box<dyn PeerConnection>>>,
}

impl Server {
    async fn start(behaviour: Behaviour) -> (Arc<Self>, String) {
        let server = Arc::new(Self {
            behaviour,
            deleted: AtomicUsize::new(0),
            peers: tokio::sync::Mutex::default(),
        });
        let router = Router::new()
            .route("/whep/demo", post(create))
            .route("/session/1", delete(end))
            .with_state(Arc::clone(&server));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}/whep/demo", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (server, url)
    }
}

async fn create(State(server): State<Arc<Server>>, headers: HeaderMap, offer: String) -> Response {
    if headers
        .get(header::AUTHORIZATION)
        .is_none_or(|value| value != "Bearer secret")
    {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let answer = answer(&server, offer).await;
    (
        StatusCode::CREATED,
        [
            (header::CONTENT_TYPE, "application/sdp"),
            (header::LOCATION, "/session/1"),
        ],
        answer,
    )
        .into_response()
}

async fn end(State(server): State<Arc<Server>>) -> StatusCode {
    server.deleted.fetch_add(1, Ordering::Relaxed);
    StatusCode::OK
}

#[derive(Clone, Default)]
struct Steps {
    gathered: Arc<Notify>,
    connected: Arc<Notify>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Steps {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.notify_one();
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        if state == RTCPeerConnectionState::Connected {
            self.connected.notify_one();
        }
    }
}

async fn answer(server: &Server, offer: String) -> String {
    let steps = Steps::default();
    let mut engine = MediaEngine::default();
    engine.register_default_codecs().unwrap();
    let registry = register_default_interceptors(Registry::new(), &mut engine)
        .unwrap()
        .with(
            Slot::Custom(0),
            LossyWire {
                is_lossy: server.behaviour == Behaviour::Loses,
                ..LossyWire::default()
            },
        );
    let peer = PeerConnectionBuilder::new()
        .with_media_engine(engine)
        .with_interceptor_registry(registry)
        .with_handler(Arc::new(steps.clone()))
        .with_udp_addrs(vec!["127.0.0.1:0"])
        .build()
        .await
        .unwrap();
    let track = Arc::new(TrackLocalStaticRTP::new(MediaStreamTrack::new(
        "stream".to_owned(),
        "video".to_owned(),
        "video".to_owned(),
        RtpCodecKind::Video,
        vec![RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters {
                ssrc: Some(4711),
                rtx: Some(RTCRtpRtxParameters { ssrc: 4712 }),
                ..Default::default()
            },
            codec: RTCRtpCodec {
                mime_type: "video/VP8".to_owned(),
                clock_rate: 90_000,
                ..Default::default()
            },
            ..Default::default()
        }],
    )));
    peer.add_track(Arc::clone(&track) as Arc<dyn TrackLocal>)
        .await
        .unwrap();
    peer.set_remote_description(RTCSessionDescription::offer(offer).unwrap())
        .await
        .unwrap();
    let answer = peer.create_answer(None).await.unwrap();
    peer.set_local_description(answer).await.unwrap();
    steps.gathered.notified().await;
    let sdp = peer.local_description().await.unwrap().sdp;
    server.peers.lock().await.push(Box::new(peer));
    if server.behaviour != Behaviour::Silent {
        tokio::spawn(async move {
            steps.connected.notified().await;
            send(&track).await;
        });
    }
    sdp
}

/// Loses the first copy of some packets on their way out.
#[derive(Default)]
struct LossyWire {
    is_lossy: bool,
    lost: HashSet<u16>,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for LossyWire {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = rtc::shared::error::Error;
    type Time = Instant;

    fn handle_read(&mut self, msg: TaggedPacket) -> Result<(), Self::Error> {
        self.reads.push_back(msg);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, msg: TaggedPacket) -> Result<(), Self::Error> {
        if let rtc::interceptor::Packet::Rtp(packet) = &msg.message.packet {
            let sequence = packet.header.sequence_number;
            let is_chosen = self.is_lossy && packet.header.ssrc == 4711 && sequence % 15 == 7;
            if is_chosen && self.lost.insert(sequence) {
                return Ok(());
            }
        }
        self.writes.push_back(msg);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }
}

impl Interceptor for LossyWire {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

async fn send(track: &TrackLocalStaticRTP) {
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    for number in 0u16.. {
        tick.tick().await;
        let first: &[u8] = match number % 10 {
            5 => &[0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0x00],
            _ => &[0x10, 0x11, 0, 0],
        };
        for (half, payload) in [first, &[0x00, 0xff]].into_iter().enumerate() {
            let mut packet = rtc::rtp::Packet::default();
            packet.header.version = 2;
            packet.header.ssrc = 4711;
            packet.header.payload_type = 96;
            packet.header.sequence_number = number * 2 + half as u16;
            packet.header.timestamp = u32::from(number) * 1800;
            packet.header.marker = half == 1;
            packet.payload = Bytes::copy_from_slice(payload);
            if track.write_rtp(packet).await.is_err() {
                return;
            }
        }
    }
}

fn args(url: &str) -> WatchArgs {
    WatchArgs {
        url: url.to_owned(),
        token: Some(Secret::new("secret")),
        trust: Trust::default(),
        duration: Duration::from_millis(1500),
        timeout: Duration::from_secs(5),
        json: true,
        save: None,
        quiet: true,
    }
}

async fn report(args: &WatchArgs) -> (bool, serde_json::Value) {
    let (code, text) = watch(args).await.unwrap();
    let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(json["ok"], code == ExitCode::SUCCESS, "{json}");
    (code == ExitCode::SUCCESS, json)
}

#[tokio::test]
async fn a_stream_that_plays_is_measured_and_saved() {
    let (server, url) = Server::start(Behaviour::Sends).await;
    let path = std::env::temp_dir().join(format!("tidegate-watch-{}.ivf", std::process::id()));
    let args = WatchArgs {
        save: Some(path.clone()),
        ..args(&url)
    };
    let (ok, json) = report(&args).await;
    assert!(ok, "{json}");
    let track = &json["tracks"][0];
    assert_eq!(
        (&track["kind"], &track["codec"]),
        (&"video".into(), &"VP8".into())
    );
    let count = |key: &str| track[key].as_u64().unwrap();
    assert!(count("frames") > 20, "{json}");
    assert!(count("keyframes") > 1, "{json}");
    assert_eq!(count("lost"), 0, "{json}");
    let times: Vec<f64> = [
        "created_ms",
        "connected_ms",
        "first_packet_ms",
        "first_frame_ms",
        "first_keyframe_ms",
    ]
    .iter()
    .map(|key| json[key].as_f64().unwrap())
    .collect();
    assert!(times.is_sorted(), "{json}");
    assert_eq!(json["latency_clock"], "same_host");
    assert_eq!(server.deleted.load(Ordering::Relaxed), 1);
    let saved = std::fs::read(&path).unwrap();
    assert!(saved.starts_with(b"DKIF") && saved.len() > 500);
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn lost_packets_are_sent_again_and_only_once() {
    let (_, url) = Server::start(Behaviour::Loses).await;
    let (ok, json) = report(&args(&url)).await;
    assert!(ok, "{json}");
    let count = |key: &str| json["tracks"][0][key].as_u64().unwrap();
    assert!(count("retransmitted") > 3, "{json}");
    assert!(count("lost") <= 1, "{json}");
    assert!(count("duplicates") <= 2, "{json}");
}

#[tokio::test]
async fn a_silent_stream_fails_at_media() {
    let (server, url) = Server::start(Behaviour::Silent).await;
    let args = WatchArgs {
        timeout: Duration::from_secs(2),
        ..args(&url)
    };
    let (ok, json) = report(&args).await;
    assert!(!ok);
    assert_eq!(json["failed_at"], "media");
    assert!(json["connected_ms"].is_number(), "{json}");
    assert_eq!(server.deleted.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_refused_token_fails_at_http() {
    let (_, url) = Server::start(Behaviour::Silent).await;
    let args = WatchArgs {
        token: None,
        ..args(&url)
    };
    let (ok, json) = report(&args).await;
    assert!(!ok);
    assert_eq!(json["failed_at"], "http");
    assert!(json["created_ms"].is_null() && json["tracks"] == serde_json::json!([]));
}
