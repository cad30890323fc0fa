//! Sessions from their offer to their deletion: what requests lead to.

use std::sync::Arc;
use std::time::Duration;

use super::credentials::{distinct, new_credentials, new_etag, new_ssrc};
use super::directory::{Place, Session};
use super::reception::Reception;
use super::task::Task;
use super::{
    Client, CreateError, Created, Description, IfMatch, Patched, SessionError, SessionId,
    SessionKind,
};
use crate::sdp::{self, Candidate, DtlsRole, Fingerprint, IceCredentials};
use crate::shard::{Message, OpenSession, Role, SessionKey, ShardId};
use crate::stream::{StreamName, TrackInfo};
use crate::transport;

impl Task {
    pub(super) fn publish(
        &mut self,
        name: &StreamName,
        offer: &sdp::Offer,
        client: Client,
    ) -> Result<Created, CreateError> {
        self.directory.may_publish(name, client)?;
        let shard = self.directory.least_loaded();
        let ice = new_credentials(shard);
        let accepted = self.answer(name, client, &ice, |local| {
            sdp::accept_publisher(offer, local, &self.config.codecs)
        })?;
        let tracks: Arc<[TrackInfo]> = accepted
            .spec
            .tracks
            .iter()
            .map(|track| track.info.clone())
            .collect();
        let codecs = codecs(&tracks);
        let (session, created) =
            self.new_session(SessionKind::Whip, name, client, shard, accepted.answer);
        let key = session.place.key;
        let (stream, displaced) = self.directory.add_publisher(session, tracks);
        self.close(displaced);
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

    pub(super) fn subscribe(
        &mut self,
        name: &StreamName,
        offer: &sdp::Offer,
        client: Client,
    ) -> Result<Created, CreateError> {
        let live = self.directory.may_subscribe(name, client)?;
        let live = live.ok_or_else(|| CreateError::Offline {
            stream: name.clone(),
            retry_after: Duration::from_secs(2),
        })?;
        let shard = self.directory.least_loaded();
        let ice = new_credentials(shard);
        let mut ssrcs = distinct(new_ssrc);
        let accepted = self.answer(name, client, &ice, |local| {
            sdp::accept_subscriber(offer, local, &live.tracks, &mut ssrcs)
        })?;
        let (session, created) =
            self.new_session(SessionKind::Whep, name, client, shard, accepted.answer);
        let key = session.place.key;
        let reception = Reception::new(offer, &accepted.spec, &live.tracks);
        self.directory.add_subscriber(session, reception);
        let transport = self.transport(ice, accepted.remote_fingerprint, accepted.dtls_role);
        let role = Role::Subscriber {
            stream: live.key,
            origin: live.publisher.shard,
            tracks: live.tracks,
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
        client: Client,
        ice: &IceCredentials,
        accept: impl FnOnce(&sdp::Local<'_>) -> Result<sdp::Accepted<S>, sdp::Refusal>,
    ) -> Result<sdp::Accepted<S>, CreateError> {
        let local = sdp::Local {
            ice,
            fingerprint: &self.config.fingerprint,
            candidates: &self.candidates(client),
            session_id: rand::random(),
            stream: name,
            leniency: self.config.leniency,
        };
        Ok(accept(&local)?)
    }

    /// Where `client` can reach us.
    fn candidates(&self, client: Client) -> Vec<Candidate> {
        let candidates = self.config.candidates.borrow();
        candidates.for_client(client.address)
    }

    fn new_session(
        &mut self,
        kind: SessionKind,
        name: &StreamName,
        client: Client,
        shard: ShardId,
        sdp: String,
    ) -> (Session, Created) {
        let id = SessionId::random();
        let key = SessionKey(self.directory.next_key());
        let place = Place { key, shard };
        let session = Session::new(id, place, kind, name.clone(), client, new_etag());
        let created = Created {
            id,
            etag: session.etag.clone(),
            sdp,
            description: Description::Answer,
        };
        (session, created)
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

    pub(super) fn patch(
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
        let (etag, Place { key, shard }) = (session.etag.clone(), session.place);
        let client = session.client;
        let local = new_credentials(shard);
        let fragment = fragment.restart_answer(&local, &self.candidates(client));
        self.send(
            shard,
            Message::RestartIce {
                session: key,
                local,
            },
        );
        Ok(Patched::Restarted { etag, fragment })
    }

    pub(super) fn delete(
        &mut self,
        kind: SessionKind,
        stream: &StreamName,
        id: SessionId,
    ) -> Result<(), SessionError> {
        let session = self.directory.session(kind, stream, id)?;
        let place = session.place;
        self.close([place]);
        self.forget(place.key, "it was deleted");
        Ok(())
    }
}

fn codecs(tracks: &[TrackInfo]) -> String {
    tracks
        .iter()
        .map(|track| track.codec.name())
        .collect::<Vec<_>>()
        .join(" + ")
}
