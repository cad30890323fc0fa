//! Doubles of the control plane and of the HLS store: the stream's name says how they answer.

use std::time::Duration;

use bytes::Bytes;

use crate::gateway::{
    CreateError, Created, Description, Gateway, IfMatch, Patched, Request, SessionError, SessionId,
    SessionKind, StreamStatus,
};
use crate::http::{HlsResource, HlsSource};
use crate::rtp::Codec;
use crate::sdp;
use crate::stream::{StreamName, TrackId, TrackInfo};

/// The one WHIP session that there is, of the stream `live`.
pub(super) const WHIP_SESSION: &str = "/whip/live/000102030405060708090a0b0c0d0e0f";
const KNOWN: &str = "000102030405060708090a0b0c0d0e0f";

pub(super) fn gateway() -> Gateway {
    let (gateway, mut inbox) = Gateway::channel(4);
    tokio::spawn(async move {
        while let Some(request) = inbox.recv().await {
            answer(request);
        }
    });
    gateway
}

/// A caller that has gone away doesn't matter, so failed replies are passed over.
fn answer(request: Request) {
    match request {
        Request::Create { stream, reply, .. } => {
            let _ = reply.send(create(stream));
        }
        Request::Patch {
            kind,
            stream,
            id,
            if_match,
            reply,
            ..
        } => {
            let _ = reply.send(find(kind, &stream, id).and_then(|()| patch(&if_match)));
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
        Request::CounterOffer { reply, .. } => {
            let _ = reply.send(Err(CreateError::NoCounterOffers));
        }
        Request::Accept {
            stream, id, reply, ..
        }
        | Request::SelectLayer {
            stream, id, reply, ..
        } => {
            let _ = reply.send(find(SessionKind::Whep, &stream, id));
        }
        Request::Events { reply, .. } => {
            let _ = reply.send(Err(SessionError::NotFound));
        }
        Request::Drain { reply } => {
            let _ = reply.send(());
        }
        Request::Streams { reply } => {
            let _ = reply.send(["live", "other"].map(status).to_vec());
        }
    }
}

fn create(stream: StreamName) -> Result<Created, CreateError> {
    match stream.as_str() {
        "unfit" => Err(sdp::Refusal::NothingPublished.into()),
        "offline" => Err(CreateError::Offline {
            stream,
            retry_after: Duration::from_secs(2),
        }),
        "taken" => Err(CreateError::AlreadyPublished(stream)),
        "full" => Err(CreateError::Full {
            setting: "limits.sessions",
            limit: 3,
        }),
        "closing" => Err(CreateError::ShuttingDown),
        _ => Ok(Created {
            id: KNOWN.parse().unwrap(),
            etag: "generation-1".into(),
            sdp: "v=0\r\n".into(),
            description: Description::Answer,
        }),
    }
}

fn patch(if_match: &IfMatch) -> Result<Patched, SessionError> {
    match if_match {
        IfMatch::Any => Ok(Patched::Restarted {
            etag: "generation-2".into(),
            fragment: "a=ice-ufrag:new1\r\n".into(),
        }),
        IfMatch::Tag(tag) if tag == "generation-1" => Ok(Patched::Candidates),
        IfMatch::Tag(_) => Err(SessionError::Stale),
    }
}

fn find(kind: SessionKind, stream: &StreamName, id: SessionId) -> Result<(), SessionError> {
    let known = kind == SessionKind::Whip && stream.as_str() == "live" && id.to_string() == KNOWN;
    known.then_some(()).ok_or(SessionError::NotFound)
}

fn status(name: &str) -> StreamStatus {
    let track = |id, codec, channels| TrackInfo {
        id,
        codec,
        fmtp: String::new(),
        channels,
    };
    StreamStatus {
        name: name.parse().unwrap(),
        tracks: vec![
            track(TrackId(0), Codec::Opus, 2),
            track(TrackId(1), Codec::H264, 1),
        ],
        subscribers: 2,
    }
}

pub(super) struct Library;

impl HlsSource for Library {
    fn resource(&self, stream: &StreamName, path: &str) -> HlsResource {
        match (stream.as_str(), path) {
            ("live", "index.m3u8") => HlsResource::Found {
                content_type: "application/vnd.apple.mpegurl",
                body: Bytes::from_static(b"#EXTM3U\n"),
                cache_seconds: 0,
            },
            ("live", "video-1.m4s") => HlsResource::Found {
                content_type: "video/mp4",
                body: Bytes::from_static(b"0123456789"),
                cache_seconds: 60,
            },
            ("live", _) => HlsResource::NotFound,
            ("fresh", _) => HlsResource::NotYet,
            ("vp8", _) => HlsResource::Unavailable("HLS does not carry VP8; publish H264".into()),
            _ => HlsResource::Offline,
        }
    }
}
