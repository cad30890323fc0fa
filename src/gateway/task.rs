//! The task that owns the directory: takes requests and the shards' events, one after another.

use std::sync::Arc;

use rand::RngExt as _;
use tokio::sync::mpsc;

use super::directory::{Directory, Limits, Session};
use super::{
    CreateError, Created, Gateway, IfMatch, Patched, Request, SessionError, SessionId, SessionKind,
};
use crate::egress::hls::Library;
use crate::media::{HlsBranch, HlsSettings};
use crate::sdp::{self, Candidate, CodecPolicy, DtlsRole, Fingerprint, IceCredentials};
use crate::shard::{
    Event, ICE_CHARS, Message, OpenSession, Role, SessionKey, ShardHandle, ShardId,
};
use crate::stream::{StreamName, TrackInfo};
use crate::transport;

/// Requests that may wait. Beyond that HTTP waits, which is what slows a flood down.
const REQUESTS: usize = 1024;

/// What the control plane needs to know.
#[derive(Clone)]
pub struct Config {
    /// How much it takes.
    pub limits: Limits,
    /// Our addresses, best first.
    pub candidates: Vec<Candidate>,
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

struct Task {
    config: Config,
    shards: Arc<[ShardHandle]>,
    directory: Directory,
}

impl Task {
    async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        mut events: mpsc::UnboundedReceiver<Event>,
    ) {
        loop {
            tokio::select! {
                // Events first: a viewer that comes after its publisher has left must be told so.
                biased;
                Some(event) = events.recv() => self.handle_event(&event),
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
                reply,
            } => {
                let created = match kind {
                    SessionKind::Whip => self.publish(&stream, &offer),
                    SessionKind::Whep => self.subscribe(&stream, &offer),
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
            Request::Streams { reply } => {
                let _ = reply.send(self.directory.streams());
            }
        }
    }

    fn publish(&mut self, name: &StreamName, offer: &sdp::Offer) -> Result<Created, CreateError> {
        self.directory.may_publish(name)?;
        let shard = self.directory.least_loaded();
        let ice = new_credentials(shard);
        let accepted = self.answer(name, &ice, |local| {
            sdp::accept_publisher(offer, local, &self.config.codecs)
        })?;
        let tracks: Arc<[TrackInfo]> = accepted
            .spec
            .tracks
            .iter()
            .map(|track| track.info.clone())
            .collect();
        let codecs = codecs(&tracks);
        let (id, session, created) =
            self.new_session(SessionKind::Whip, name, shard, accepted.answer);
        let key = session.key;
        let stream = self.directory.add_publisher(id, session, tracks);
        let transport = self.transport(ice, accepted.remote_fingerprint, accepted.dtls_role);
        let role = Role::Publisher {
            stream,
            spec: accepted.spec,
        };
        self.send(
            shard,
            Message::Open(Box::new(OpenSession {
                key,
                transport,
                role,
            })),
        );
        tracing::info!(stream = %name, session = key.0, codecs, "a publisher has come");
        Ok(created)
    }

    fn subscribe(&mut self, name: &StreamName, offer: &sdp::Offer) -> Result<Created, CreateError> {
        let stream = self.directory.may_subscribe(name)?;
        let (stream, origin, tracks) = (stream.key, stream.shard, Arc::clone(&stream.tracks));
        let shard = self.directory.least_loaded();
        let ice = new_credentials(shard);
        let mut ssrcs = distinct(new_ssrc);
        let accepted = self.answer(name, &ice, |local| {
            sdp::accept_subscriber(offer, local, &tracks, &mut ssrcs)
        })?;
        let (id, session, created) =
            self.new_session(SessionKind::Whep, name, shard, accepted.answer);
        let key = session.key;
        self.directory.add_subscriber(id, session);
        let transport = self.transport(ice, accepted.remote_fingerprint, accepted.dtls_role);
        let role = Role::Subscriber {
            stream,
            origin,
            tracks,
            spec: accepted.spec,
            cname: name.as_str().into(),
        };
        self.send(
            shard,
            Message::Open(Box::new(OpenSession {
                key,
                transport,
                role,
            })),
        );
        tracing::debug!(stream = %name, session = key.0, "a subscriber has come");
        Ok(created)
    }

    /// Makes an answer with what is ours in it.
    fn answer<S>(
        &self,
        name: &StreamName,
        ice: &IceCredentials,
        accept: impl FnOnce(&sdp::Local<'_>) -> Result<sdp::Accepted<S>, sdp::Refusal>,
    ) -> Result<sdp::Accepted<S>, CreateError> {
        let local = sdp::Local {
            ice,
            fingerprint: &self.config.fingerprint,
            candidates: &self.config.candidates,
            session_id: rand::random(),
            stream: name,
        };
        Ok(accept(&local)?)
    }

    fn new_session(
        &mut self,
        kind: SessionKind,
        name: &StreamName,
        shard: ShardId,
        answer: String,
    ) -> (SessionId, Session, Created) {
        let id = SessionId::random();
        let session = Session::new(
            self.directory.next_session_key(),
            kind,
            name.clone(),
            shard,
            new_etag(),
        );
        let created = Created {
            id,
            etag: session.etag.clone(),
            answer,
        };
        (id, session, created)
    }

    fn transport(
        &self,
        local: IceCredentials,
        remote_fingerprint: Fingerprint,
        dtls_role: DtlsRole,
    ) -> transport::Config {
        transport::Config {
            local,
            remote_fingerprint,
            dtls_role,
            timeouts: self.config.timeouts,
        }
    }

    fn patch(
        &mut self,
        kind: SessionKind,
        stream: &StreamName,
        id: SessionId,
        if_match: &IfMatch,
        fragment: &sdp::Fragment,
    ) -> Result<Patched, SessionError> {
        let session = self.directory.session(kind, stream, id)?;
        if let IfMatch::Tag(tag) = if_match
            && *tag != session.etag
        {
            return Err(SessionError::Stale);
        }
        // A lite agent sends no checks of its own, so the peer's candidates tell it nothing: it
        // answers wherever an authenticated check comes from (RFC 8445, section 2.5).
        let (IfMatch::Any, Some(_)) = (if_match, &fragment.ice) else {
            return Ok(Patched::Candidates);
        };
        session.etag = new_etag();
        let (etag, key, shard) = (session.etag.clone(), session.key, session.shard);
        let local = new_credentials(shard);
        let fragment = fragment.restart_answer(&local, &self.config.candidates);
        self.send(
            shard,
            Message::RestartIce {
                session: key,
                local,
            },
        );
        Ok(Patched::Restarted { etag, fragment })
    }

    fn delete(
        &mut self,
        kind: SessionKind,
        stream: &StreamName,
        id: SessionId,
    ) -> Result<(), SessionError> {
        let session = self.directory.session(kind, stream, id)?;
        let (key, shard) = (session.key, session.shard);
        self.send(shard, Message::Close(key));
        self.forget(key, "it was deleted");
        Ok(())
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
    fn forget(&mut self, key: SessionKey, reason: &str) {
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

    fn send(&self, shard: ShardId, message: Message) {
        self.shards[usize::from(shard.0)].send(message);
    }
}

fn codecs(tracks: &[TrackInfo]) -> String {
    tracks
        .iter()
        .map(|track| track.codec.name())
        .collect::<Vec<_>>()
        .join(" + ")
}

/// Credentials whose fragment names the shard; 42 and 144 random bits, more than RFC 8445, section 5.3, asks for.
fn new_credentials(shard: ShardId) -> IceCredentials {
    let mut ufrag = String::from(shard.mark());
    ufrag.push_str(&ice_chars(7));
    IceCredentials {
        ufrag,
        pwd: ice_chars(24),
    }
}

fn ice_chars(count: usize) -> String {
    let mut rng = rand::rng();
    (0..count)
        .map(|_| char::from(ICE_CHARS[rng.random_range(0..ICE_CHARS.len())]))
        .collect()
}

fn new_etag() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// Each value once: two sources of a session with one SSRC would share the nonces of one key.
fn distinct(mut next: impl FnMut() -> u32) -> impl FnMut() -> u32 {
    let mut used = Vec::new();
    move || loop {
        let ssrc = next();
        if !used.contains(&ssrc) {
            used.push(ssrc);
            return ssrc;
        }
    }
}

/// Not 0, which some receivers take for "none".
fn new_ssrc() -> u32 {
    rand::random::<u32>().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_source_of_a_session_has_the_ssrc_of_another() {
        let mut drawn = [7, 7, 8, 7, 8, 9].into_iter();
        let mut next = distinct(move || drawn.next().unwrap());
        assert_eq!([next(), next(), next()], [7, 8, 9]);
    }

    #[test]
    fn credentials_name_their_shard_and_are_long_enough() {
        let ice = new_credentials(ShardId(3));
        assert!(ice.ufrag.starts_with(ShardId(3).mark()));
        assert_eq!((ice.ufrag.len(), ice.pwd.len()), (8, 24));
    }
}
