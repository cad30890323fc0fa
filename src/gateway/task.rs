//! The task that owns the directory: takes requests and the shards' events, one after another.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::directory::{Debut, Departure, Directory, Place};
use super::slate::Slates;
use super::{CreateError, Gateway, Limits, Request, SessionKind, StreamPolicies};
use crate::egress::hls::Library;
use crate::ingest::Finding;
use crate::media::publish::SlateSettings;
use crate::media::{HlsBranch, HlsSettings};
use crate::network::Candidates;
use crate::sdp::{CodecPolicy, Fingerprint, Leniency};
use crate::shard::{Event, Message, Rebinding, SessionKey, ShardHandle, ShardId, StreamKey};
use crate::stream::StreamName;
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
    /// What happens when publishers come and go.
    pub streams: StreamPolicies,
    /// What slates look like.
    pub slate: SlateSettings,
    /// Where viewers go when this server ends; `{stream}` stands for the name of their stream. None:
    /// to the same URL again.
    pub drain_url: Option<String>,
    /// Our addresses as they are now.
    pub candidates: watch::Receiver<Candidates>,
    /// Which codecs publishers are asked for.
    pub codecs: CodecPolicy,
    /// Which rules of offers clients may bend.
    pub leniency: Leniency,
    /// Whether Opus comes and goes with redundancy where clients offer it.
    pub audio_redundancy: bool,
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
    let directory = Directory::new(config.limits, config.streams.clone(), shards.len());
    let slates = Slates::new(config.slate.clone(), &gateway);
    tokio::spawn(
        Task {
            config,
            shards,
            directory,
            slates,
            draining: false,
        }
        .run(requests, events),
    );
    gateway
}

pub(super) struct Task {
    pub(super) config: Config,
    pub(super) shards: Arc<[ShardHandle]>,
    pub(super) directory: Directory,
    slates: Slates,
    /// The server ends: nobody gets in any more.
    draining: bool,
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
            let due = self.directory.poll_timeout();
            let timeout = due.map_or(next_count, Instant::from_std);
            tokio::select! {
                // Events first: a viewer that comes after its publisher has left must be told so.
                biased;
                Some(event) = events.recv() => self.handle_event(&event),
                () = sleep_until(next_count), if count => {
                    self.directory.tell_counts();
                    next_count = Instant::now() + COUNT_INTERVAL;
                }
                () = sleep_until(timeout), if due.is_some() => self.handle_timeout(),
                request = requests.recv() => match request {
                    Some(request) => self.handle_request(request),
                    None => return,
                },
            }
            self.follow_up();
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
                rank,
                reply,
            } => {
                let created = match kind {
                    _ if self.draining => Err(CreateError::ShuttingDown),
                    SessionKind::Whip => self.publish(&stream, &offer, client, rank),
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
            Request::CounterOffer {
                stream,
                client,
                reason,
                reply,
            } => {
                let created = match self.draining {
                    true => Err(CreateError::ShuttingDown),
                    false => self.counter_offer(&stream, client, reason.as_deref()),
                };
                if let Err(Ok(unwanted)) = reply.send(created) {
                    let _ = self.delete(SessionKind::Whep, &stream, unwanted.id);
                }
            }
            Request::Accept {
                stream,
                id,
                answer,
                reply,
            } => {
                let _ = reply.send(self.accept(&stream, id, &answer));
            }
            Request::Events { stream, id, reply } => {
                let _ = reply.send(self.directory.events(&stream, id));
            }
            Request::SelectLayer {
                stream,
                id,
                choice,
                reply,
            } => {
                let chosen = self.directory.choose_layer(&stream, id, choice);
                let _ = reply.send(chosen.map(|(place, choice)| {
                    self.send(place.shard, Message::SelectLayer(place.key, choice));
                }));
            }
            Request::Drain { reply } => {
                self.draining = true;
                let url = self.config.drain_url.as_deref();
                self.directory.send_away(url);
                let _ = reply.send(());
            }
            Request::Still { stream, reply } => {
                let _ = reply.send(self.still(&stream));
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
            Event::Layers {
                stream,
                track,
                layers,
            } => self
                .directory
                .set_layers(*stream, *track, Arc::clone(layers)),
            Event::Report { stream, report } => {
                let news = self.directory.set_report(*stream, Arc::clone(report));
                if let Some((name, findings)) = news {
                    log_findings(&name, *stream, &findings);
                }
            }
            Event::Flow { stream, flows } => {
                tracing::debug!(session = stream.0, flows, "the media of a publisher");
                let now = self.now();
                self.directory.set_flow(*stream, *flows, now);
            }
        }
    }

    fn connected(&mut self, session: SessionKey) {
        let now = self.now();
        if let Some(debut) = self.directory.connected(session, now) {
            self.go_live(debut);
        }
    }

    /// Does what came of the last change of the directory.
    fn follow_up(&mut self) {
        while let Some(debut) = self.directory.poll_debut() {
            self.go_live(debut);
        }
        let retired = self.directory.take_retired();
        self.close(retired);
        while let Some(order) = self.directory.poll_slate() {
            self.slates.follow(order);
        }
    }

    fn go_live(&self, debut: Debut) {
        let Debut {
            name,
            broadcast,
            standby,
            bound,
            closed,
        } = debut;
        let session = broadcast.publisher.key;
        let viewers = bound.len();
        tracing::info!(stream = %name, session = session.0, viewers, "the stream is live");
        let (stream, origin) = (broadcast.key, broadcast.publisher.shard);
        for (place, spec) in bound {
            let rebinding = Rebinding {
                session: place.key,
                stream,
                origin,
                tracks: Arc::clone(&broadcast.tracks),
                counters: Arc::clone(&broadcast.counters),
                spec,
            };
            self.send(place.shard, Message::Rebind(Box::new(rebinding)));
        }
        // After the viewers have turned to the new one.
        self.close(closed);
        if let Some(standby) = standby {
            self.send(standby.publisher.shard, Message::DetachHls(standby.key));
        }
        if let Some((settings, library)) = &self.config.hls {
            let handle = self.shards[usize::from(origin.0)].clone();
            let ask = move |track| handle.send(Message::RequestHlsKeyframe(stream, track));
            let tracks = broadcast.tracks.to_vec();
            let feed = HlsBranch::start(settings.clone(), name, tracks, library, ask);
            self.send(origin, Message::AttachHls(stream, feed));
        }
    }

    /// Forgets a session, and closes those that can't be without it.
    pub(super) fn forget(&mut self, key: SessionKey, reason: &str) {
        let Some(departure) = self.directory.remove(key, self.now()) else {
            return;
        };
        let Departure {
            session,
            closed,
            waiting,
        } = departure;
        let stream = &session.stream;
        match session.kind {
            SessionKind::Whip => {
                tracing::info!(%stream, session = key.0, reason, waiting, closed = closed.len(), "a publisher is gone");
            }
            SessionKind::Whep => {
                tracing::debug!(%stream, session = key.0, reason, "a subscriber is gone");
            }
        }
        self.close(closed);
    }

    fn handle_timeout(&mut self) {
        let closed = self.directory.handle_timeout(self.now());
        if !closed.is_empty() {
            tracing::info!(closed = closed.len(), "nobody came in time: sessions end");
        }
        self.close(closed);
    }

    /// Ends sessions, so that their peers see it.
    pub(super) fn close(&self, places: impl IntoIterator<Item = Place>) {
        for Place { key, shard } in places {
            self.send(shard, Message::Close(key));
        }
    }

    /// Time as tokio sees it, which tests can make go.
    pub(super) fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }

    pub(super) fn send(&self, shard: ShardId, message: Message) {
        self.shards[usize::from(shard.0)].send(message);
    }
}

fn log_findings(name: &StreamName, broadcast: StreamKey, findings: &[Finding]) {
    for Finding {
        track,
        layer,
        defect,
    } in findings
    {
        let (track, layer, kind, advice) = (track.0, layer.0, defect.name(), defect.advice());
        tracing::warn!(
            stream = %name, session = broadcast.0, track, layer, defect = kind,
            "the publisher: {defect}: {}. OBS: {}. Others: {}",
            advice.effect, advice.obs, advice.others
        );
    }
}
