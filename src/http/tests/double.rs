//! Doubles of the control plane and of the HLS store: the stream's name says how they answer. Offers are
//! answered by the real parser and writer.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use crate::egress::hls::store::{Figures, FilingFigures, Media, MediaFile, Rendered};
use crate::egress::hls::{Answered, Directives, File, Resource};
use crate::gateway::{
    Client, CreateError, Created, Description, Gateway, IfMatch, LayerChoice, Patched,
    PublisherState, PublisherStatus, Rank, Request, SessionError, SessionId, SessionKind,
    StreamStatus, Teller,
};
use crate::http::{HlsAnswer, HlsSource, Thumbnail, ThumbnailError, Thumbnails};
use crate::ingest::verdict::Report;
use crate::ingest::{Defect, Finding, LayerFigures, LayerStats};
use crate::rtp::Codec;
use crate::sdp::{self, Candidate, CodecPolicy, Fingerprint, IceCredentials};
use crate::stream::{LayerId, LayerStatus, RankedLayer, StreamName, TrackId, TrackInfo};

/// The one WHIP session that there is, of the stream `live`.
pub(super) const WHIP_SESSION: &str = "/whip/live/000102030405060708090a0b0c0d0e0f";
/// The one WHEP session.
pub(super) const WHEP_SESSION: &str = "/whep/live/101112131415161718191a1b1c1d1e1f";

pub(super) fn gateway() -> Gateway {
    telling(Arc::new(Mutex::new(Some(Teller::new(true, 3)))))
}

/// A control plane whose WHEP session has the events of `teller`, and has ended when there is none.
pub(super) fn telling(teller: Arc<Mutex<Option<Teller>>>) -> Gateway {
    let (gateway, mut inbox) = Gateway::channel(4);
    tokio::spawn(async move {
        while let Some(request) = inbox.recv().await {
            if let Request::Events { stream, id, reply } = request {
                let teller = teller.lock().unwrap();
                let events = teller.as_ref().map(Teller::events);
                let found = find(SessionKind::Whep, &stream, id);
                let _ = reply.send(found.and(events.ok_or(SessionError::NotFound)));
            } else {
                answer(request);
            }
        }
    });
    gateway
}

/// A caller that has gone away doesn't matter, so failed replies are passed over.
fn answer(request: Request) {
    match request {
        Request::Create {
            kind,
            stream,
            offer,
            client,
            reply,
            ..
        } => {
            let _ = reply.send(create(kind, stream, &offer, client));
        }
        Request::Patch {
            kind,
            stream,
            id,
            if_match,
            fragment,
            reply,
        } => {
            let found = find(kind, &stream, id);
            let _ = reply.send(found.and_then(|()| patch(&if_match, &fragment)));
        }
        Request::Delete {
            kind,
            stream,
            id,
            reply,
        }
        | Request::Exists {
            kind,
            stream,
            id,
            reply,
        } => {
            let _ = reply.send(find(kind, &stream, id));
        }
        Request::CounterOffer {
            stream,
            reason,
            reply,
            ..
        } => {
            let _ = reply.send(counter_offer(stream, reason.as_deref()));
        }
        Request::Accept {
            stream, id, reply, ..
        } => {
            let _ = reply.send(find(SessionKind::Whep, &stream, id));
        }
        Request::SelectLayer {
            stream,
            id,
            choice,
            reply,
        } => {
            let found = find(SessionKind::Whep, &stream, id);
            let _ = reply.send(found.and_then(|()| select(&choice)));
        }
        // Answered before.
        Request::Events { .. } => {}
        Request::Drain { reply } => {
            let _ = reply.send(());
        }
        // Pictures come from elsewhere.
        Request::Still { reply, .. } => drop(reply),
        Request::Streams { reply } => {
            let _ = reply.send(["live", "other"].map(status).to_vec());
        }
    }
}

fn create(
    kind: SessionKind,
    stream: StreamName,
    offer: &sdp::Offer,
    client: Client,
) -> Result<Created, CreateError> {
    match stream.as_str() {
        "offline" => return Err(offline(stream)),
        "taken" => return Err(CreateError::AlreadyPublished(stream)),
        "full" => {
            return Err(CreateError::Full {
                setting: "limits.sessions",
                limit: 3,
            });
        }
        "crowded" => {
            return Err(CreateError::TooManyFromAddress {
                setting: "limits.sessions_per_address",
                limit: 4,
            });
        }
        "closing" => return Err(CreateError::ShuttingDown),
        // Who asks is what the control plane is told.
        "mirror" => return Err(CreateError::AlreadyPublished(mirrored(client))),
        _ => {}
    }
    let tracks = tracks(&stream);
    let policy = CodecPolicy {
        allowed: Codec::ALL.to_vec(),
        deprioritized: Vec::new(),
    };
    let answer = with_local(&stream, |local, next_ssrc| match kind {
        SessionKind::Whip => {
            sdp::accept_publisher(offer, local, &policy).map(|accepted| accepted.answer)
        }
        SessionKind::Whep => {
            sdp::accept_subscriber(offer, local, &tracks, next_ssrc).map(|accepted| accepted.answer)
        }
    })?;
    let path = match kind {
        SessionKind::Whip => WHIP_SESSION,
        SessionKind::Whep => WHEP_SESSION,
    };
    Ok(Created {
        notices: match kind {
            SessionKind::Whip => vec!["no_repair: the offer has no generic NACK".to_owned()],
            SessionKind::Whep => Vec::new(),
        },
        id: id(path),
        etag: "generation-1".into(),
        sdp: answer,
        description: Description::Answer,
    })
}

/// Our side of a session.
fn with_local<T>(
    stream: &StreamName,
    make: impl FnOnce(&sdp::Local<'_>, &mut dyn FnMut() -> u32) -> T,
) -> T {
    let ice = IceCredentials {
        ufrag: "server".into(),
        pwd: "p".repeat(24),
    };
    let places: [SocketAddr; 2] =
        ["192.0.2.10:8080", "[2001:db8::10]:8080"].map(|place| place.parse().unwrap());
    let local = sdp::Local {
        ice: &ice,
        fingerprint: &Fingerprint([7; 32]),
        candidates: &Candidate::list(places),
        session_id: 1,
        stream,
        leniency: sdp::Leniency::default(),
        audio_redundancy: false,
    };
    let mut ssrc = 0;
    make(&local, &mut || {
        ssrc += 1;
        ssrc
    })
}

fn counter_offer(stream: StreamName, reason: Option<&str>) -> Result<Created, CreateError> {
    match stream.as_str() {
        "offline" => Err(offline(stream)),
        "mute" => Err(CreateError::Full {
            setting: "limits.sessions",
            limit: 3,
        }),
        _ => Ok(Created {
            notices: Vec::new(),
            id: id(WHEP_SESSION),
            etag: "generation-1".into(),
            sdp: with_local(&stream, |local, next_ssrc| {
                sdp::counter_offer(&tracks(&stream), local, reason, next_ssrc)
            })?
            .sdp,
            description: Description::CounterOffer {
                valid: Duration::from_secs(30),
            },
        }),
    }
}

fn offline(stream: StreamName) -> CreateError {
    CreateError::Offline {
        stream,
        retry_after: Duration::from_secs(2),
    }
}

fn mirrored(client: Client) -> StreamName {
    let name = format!("from-{}", client.address).replace(':', "-");
    name.parse().unwrap()
}

fn select(choice: &LayerChoice) -> Result<(), SessionError> {
    match choice.rid.as_deref() {
        None | Some("h") => Ok(()),
        Some(_) => Err(SessionError::NoLayer),
    }
}

/// The peer's user name fragment is `abcd`; another one restarts ICE.
fn patch(if_match: &IfMatch, fragment: &sdp::Fragment) -> Result<Patched, SessionError> {
    if matches!(if_match, IfMatch::Tag(tag) if tag != "generation-1") {
        return Err(SessionError::Stale);
    }
    match &fragment.ice {
        Some(ice) if ice.ufrag != "abcd" => Ok(Patched::Restarted {
            etag: "generation-2".into(),
            fragment: "a=ice-ufrag:new1\r\n".into(),
        }),
        _ => Ok(Patched::Candidates),
    }
}

fn find(kind: SessionKind, stream: &StreamName, wanted: SessionId) -> Result<(), SessionError> {
    let known = match kind {
        SessionKind::Whip => id(WHIP_SESSION),
        SessionKind::Whep => id(WHEP_SESSION),
    };
    let found = stream.as_str() == "live" && wanted == known;
    found.then_some(()).ok_or(SessionError::NotFound)
}

fn id(path: &str) -> SessionId {
    path.rsplit('/').next().unwrap().parse().unwrap()
}

/// VP8 and Opus, but of the streams `h264` and `mute`, which send High 4.0.
fn tracks(stream: &StreamName) -> Vec<TrackInfo> {
    let track = |id, codec, channels, fmtp: &str| TrackInfo {
        id,
        codec,
        fmtp: fmtp.to_owned(),
        channels,
    };
    let video = match stream.as_str() {
        "h264" | "mute" => track(
            TrackId(1),
            Codec::H264,
            1,
            "profile-level-id=640028;packetization-mode=1",
        ),
        _ => track(TrackId(1), Codec::Vp8, 1, ""),
    };
    vec![track(TrackId(0), Codec::Opus, 2, ""), video]
}

fn status(name: &str) -> StreamStatus {
    let name: StreamName = name.parse().unwrap();
    StreamStatus {
        tracks: tracks(&"h264".parse().unwrap()),
        name,
        subscribers: 2,
        publishers: vec![PublisherStatus {
            rank: Rank::default(),
            state: PublisherState::Stalled,
            on_air: true,
            report: Some(Arc::new(report())),
        }],
        counters: Arc::default(),
    }
}

/// A layer that ends with a temporal layer of its encoding.
fn temporal_layer((id, temporal): (u8, u8)) -> RankedLayer {
    RankedLayer {
        id: LayerId(id),
        is_active: true,
        needs_descriptor: false,
        status: LayerStatus {
            temporal: Some(temporal),
            bitrate: 500_000,
            ..LayerStatus::default()
        },
    }
}

/// What a publisher with B-frames and temporal layers does.
fn report() -> Report {
    let video = TrackId(1);
    Report {
        layers: vec![LayerFigures {
            stats: LayerStats {
                track: video,
                ..LayerStats::default()
            },
            is_video: true,
            frame_rate: 30.0,
            jitter: Duration::from_millis(2),
            within: [(0, 1), (5, 0)].map(temporal_layer).into(),
            ..LayerFigures::default()
        }],
        findings: vec![Finding {
            track: video,
            layer: LayerId(0),
            defect: Defect::BFrames {
                depth: 1,
                share: 0.5,
            },
        }],
        ..Report::default()
    }
}

pub(super) struct Library;

impl HlsSource for Library {
    fn filing(&self) -> Option<FilingFigures> {
        Some(FilingFigures {
            bytes: 2_000,
            segments: 20,
            failures: 1,
        })
    }

    fn figures(&self, stream: &StreamName) -> Option<Figures> {
        (stream.as_str() == "live").then_some(Figures {
            ladder: Duration::from_millis(1_250),
            rungs: 2,
            ladder_failures: 1,
            ..Figures::default()
        })
    }

    fn ask(&self, stream: &StreamName, file: File, directives: Directives) -> Option<HlsAnswer> {
        let media = |body: Arc<[Bytes]>, kind| {
            Resource::Media(Media {
                content_type: "video/mp4",
                kind,
                body,
            })
        };
        let pieces = ["0123", "456789"].map(|piece| Bytes::from_static(piece.as_bytes()));
        let resource = match (stream.as_str(), file) {
            ("live", File::Index(_) | File::Playlist(_)) if directives.segment == Some(99) => {
                Resource::TooFarAhead
            }
            ("live", File::Index(_) | File::Playlist(_) | File::Manifest(_)) => {
                let rendered = Rendered::new("#EXTM3U\n".repeat(50), "state".into());
                Resource::Playlist(Arc::new(rendered))
            }
            ("long", _) => {
                let rendered = Rendered::new("#EXTM3U\n".repeat(50_000), "state".into());
                Resource::Playlist(Arc::new(rendered))
            }
            ("live", File::Segment(_, 1) | File::Growing(_, 1)) => {
                media(pieces.into(), MediaFile::Segment)
            }
            ("live", File::Part(_, 1, 0)) => media([pieces[0].clone()].into(), MediaFile::Part),
            ("live", _) => Resource::NotFound,
            ("fresh", _) => Resource::NotYet,
            ("busy", _) => Resource::Busy,
            ("vp8", _) => Resource::Unavailable("HLS does not carry VP8; publish H264".into()),
            _ => return None,
        };
        Some(HlsAnswer {
            answered: Answered::Now(resource),
            target_duration: 2,
            patience: Duration::from_secs(6),
        })
    }
}

/// Of `live` there is a picture, of `busy` there is none at the moment.
pub(super) struct Album;

#[async_trait::async_trait]
impl Thumbnails for Album {
    async fn thumbnail(&self, stream: &StreamName) -> Result<Thumbnail, ThumbnailError> {
        match stream.as_str() {
            "live" => Ok(Thumbnail {
                picture: Bytes::from_static(b"jpeg"),
                tag: "7".into(),
                fresh: Duration::from_millis(4_200),
            }),
            "busy" => Err(ThumbnailError::Busy),
            _ => Err(ThumbnailError::Offline(stream.clone())),
        }
    }
}
