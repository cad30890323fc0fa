//! The task that owns the directory: takes requests and the shards' events, one after another.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::directory::Directory;
use super::{CreateError, Gateway, Limits, Request, SessionError, SessionKind};
use crate::egress::hls::Library;
use crate::media::{HlsBranch, HlsSettings};
use crate::network::Candidates;
use crate::sdp::{CodecPolicy, Fingerprint};
use crate::shard::{Event, Message, SessionKey, ShardHandle, ShardId};
use crate::transport;

/// Requests that may wait. Beyond that HTTP waits, which is what slows a flood down.
const REQUESTS: usize = 1024;

/// Viewers are told how many they are at most this often.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

/// What the control plane needs to know.
#[derive(Clone)]
pub struct Config {
    /// How much it takes.
    pub limits: Limits,
    /// Our addresses as they are now.
    pub candidates: watch::Receiver<Candidates>,
    /// Which codecs publishers are asked for.
    pub codecs: CodecPolicy,
    /// How long connecting and silence may last.
    pub timeouts: transport::Timeouts,
    /// Our certificate's.
    pub fingerprint: Fingerprint,
    /// The HLS branch of every stream, unless HLS is off.
    pub hls: Option<(HlsSettings, Library)>,
}

/// Starts the control plane on the current tokio runtime. It ends when the last [`Gateway`] is gone.
pub fn start(
    config: Config,
    shards: Arc<[ShardHandle]>,
    events: mpsc::UnboundedReceiver<Event>,
) -> Gateway {
    let (gateway, requests) = Gateway::channel(REQUESTS);
    let directory = Directory::new(config.limits, shards.len());
    tokio::spawn(
        Task {
            config,
            shards,
            directory,
        }
        .run(requests, events),
    );
    gateway
}

pub(super) struct Task {
    pub(super) config: Config,
    pub(super) shards: Arc<[ShardHandle]>,
    pub(super) directory: Directory,
}

impl Task {
    async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        mut events: mpsc::UnboundedReceiver<Event>,
    ) {
        let mut next_count = Instant::now();
        loop {
            let count = self.directory.is_recounted();
            tokio::select! {
                // Events first: a viewer that comes after its publisher has left must be told so.
                biased;
                Some(event) = events.recv() => self.handle_event(&event),
                () = sleep_until(next_count), if count => {
                    self.directory.tell_counts();
                    next_count = Instant::now() + COUNT_INTERVAL;
                }
                request = requests.recv() => match request {
                    Some(request) => self.handle_request(request),
                    None => return,
                },
            }
        }
    }

    fn handle_request(&mut self, request: Request) {
        // A reply that nobody waits for any more is no error, but a session that nobody knows is one too many.
        match request {
            Request::Create {
                kind,
                stream,
                offer,
                client,
                reply,
            } => {
                let created = match kind {
                    SessionKind::Whip => self.publish(&stream, &offer, client),
                    SessionKind::Whep => self.subscribe(&stream, &offer, client),
                };
                if let Err(Ok(unwanted)) = reply.send(created) {
                    let _ = self.delete(kind, &stream, unwanted.id);
                }
            }
            Request::Patch {
                kind,
                stream,
                id,
                if_match,
                fragment,
                reply,
            } => {
                let _ = reply.send(self.patch(kind, &stream, id, &if_match, &fragment));
            }
            Request::Delete {
                kind,
                stream,
                id,
                reply,
            } => {
                let _ = reply.send(self.delete(kind, &stream, id));
            }
            Request::Exists {
                kind,
                stream,
                id,
                reply,
            } => {
                let _ = reply.send(self.directory.session(kind, &stream, id).map(|_| ()));
            }
            Request::CounterOffer { reply, .. } => {
                let _ = reply.send(Err(CreateError::NoCounterOffers));
            }
            Request::Accept {
                stream, id, reply, ..
            } => {
                let session = self.directory.session(SessionKind::Whep, &stream, id);
                let _ = reply.send(session.and(Err(SessionError::NotWaiting)));
            }
            Request::Events { stream, id, reply } => {
                let _ = reply.send(self.directory.events(&stream, id));
            }
            Request::SelectLayer {
                stream, id, reply, ..
            } => {
                let session = self.directory.session(SessionKind::Whep, &stream, id);
                let _ = reply.send(session.and(Err(SessionError::NoLayer)));
            }
            Request::Streams { reply } => {
                let _ = reply.send(self.directory.streams());
            }
        }
    }

    fn handle_event(&mut self, event: &Event) {
        match event {
            Event::Connected { session } => self.connected(*session),
            Event::Closed { session, reason } => {
                let reason =
                    reason.map_or_else(|| "it was closed".to_owned(), |reason| reason.to_string());
                self.forget(*session, &reason);
            }
        }
    }

    fn connected(&mut self, session: SessionKey) {
        let Some((name, stream)) = self.directory.connected(session) else {
            return;
        };
        let (key, shard, tracks) = (stream.key, stream.shard, stream.tracks.to_vec());
        tracing::info!(stream = %name, session = session.0, "the stream is live");
        if let Some((settings, library)) = &self.config.hls {
            let handle = self.shards[usize::from(shard.0)].clone();
            let ask = move |track| handle.send(Message::RequestKeyframe(key, track));
            let feed = HlsBranch::start(settings.clone(), name, tracks, library, ask);
            self.send(shard, Message::AttachHls(key, feed));
        }
    }

    /// Forgets a session, and closes those that can't be without it.
    pub(super) fn forget(&mut self, key: SessionKey, reason: &str) {
        let Some((session, orphans)) = self.directory.remove(key) else {
            return;
        };
        match session.kind {
            SessionKind::Whip => {
                let subscribers = orphans.0.len();
                tracing::info!(stream = %session.stream, session = key.0, reason, subscribers, "the publisher is gone");
            }
            SessionKind::Whep => {
                tracing::debug!(stream = %session.stream, session = key.0, reason, "a subscriber is gone");
            }
        }
        for (orphan, shard) in orphans.0 {
            self.send(shard, Message::Close(orphan));
        }
    }

    pub(super) fn send(&self, shard: ShardId, message: Message) {
        self.shards[usize::from(shard.0)].send(message);
    }
}
