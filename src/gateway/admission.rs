//! How publishers get in, and what requests do to sessions of both kinds.

use std::sync::Arc;

use super::credentials::{new_credentials, new_etag};
use super::directory::{Place, Session};
use super::task::Task;
use super::{
    Client, CreateError, Created, Description, IfMatch, Patched, Rank, SessionError, SessionId,
    SessionKind,
};
use crate::ingest::Finding;
use crate::ingest::verdict::findings_of_offer;
use crate::media::HlsSettings;
use crate::rtp::{Codec, MediaKind};
use crate::sdp::{self, Candidate, DtlsRole, Fingerprint, IceCredentials};
use crate::shard::{Message, OpenSession, Role, SessionKey, ShardId, StreamCounters};
use crate::stream::{StreamName, TrackInfo};
use crate::transport;

impl Task {
    pub(super) fn publish(
        &mut self,
        name: &StreamName,
        offer: &sdp::Offer,
        client: Client,
        rank: Rank,
    ) -> Result<Created, CreateError> {
        let policy = self.directory.policy(name);
        let (rank, stall_after) = (policy.rank(rank), policy.stall());
        let playout_delay = policy.playout_delay;
        self.directory.may_publish(name, client, rank)?;
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
        let counters = Arc::new(StreamCounters::new(self.shards.len()));
        let codecs = codecs(&tracks);
        let notices = notices(&accepted.spec, self.config.hls.as_ref().map(|(hls, _)| hls));
        let (mut session, created) =
            self.new_session(SessionKind::Whip, name, client, shard, accepted.answer);
        session.peer_ufrag = Some(offer.ice.ufrag.clone());
        session.rank = rank;
        let key = session.place.key;
        let (stream, displaced) =
            self.directory
                .add_publisher(session, tracks, Arc::clone(&counters));
        self.close(displaced);
        let transport = self.transport(ice, accepted.remote_fingerprint, accepted.dtls_role);
        let role = Role::Publisher {
            stream,
            spec: accepted.spec,
            counters,
            stall_after,
            playout_delay,
        };
        self.send(
            shard,
            Message::Open(Box::new(OpenSession {
                key,
                transport,
                role,
            })),
        );
        tracing::info!(stream = %name, session = key.0, codecs, ?rank, "a publisher has come");
        Ok(Created { notices, ..created })
    }

    /// Makes an answer with what is ours in it.
    pub(super) fn answer<S>(
        &self,
        name: &StreamName,
        client: Client,
        ice: &IceCredentials,
        accept: impl FnOnce(&sdp::Local<'_>) -> Result<sdp::Accepted<S>, sdp::Refusal>,
    ) -> Result<sdp::Accepted<S>, CreateError> {
        Ok(accept(&self.local(name, ice, &self.candidates(client)))?)
    }

    /// Our side of a session.
    pub(super) fn local<'a>(
        &'a self,
        stream: &'a StreamName,
        ice: &'a IceCredentials,
        candidates: &'a [Candidate],
    ) -> sdp::Local<'a> {
        sdp::Local {
            ice,
            fingerprint: &self.config.fingerprint,
            candidates,
            session_id: rand::random(),
            stream,
            leniency: self.config.leniency,
            audio_redundancy: self.config.audio_redundancy,
        }
    }

    /// Where `client` can reach us.
    pub(super) fn candidates(&self, client: Client) -> Vec<Candidate> {
        let candidates = self.config.candidates.borrow();
        candidates.for_client(client.address, client.is_here)
    }

    pub(super) fn new_session(
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
            notices: Vec::new(),
        };
        (session, created)
    }

    pub(super) fn transport(
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
        if session.is_offered() {
            // It has no ICE session yet that could be restarted.
            return Ok(Patched::Candidates);
        }
        // A lite agent sends no checks of its own, so the peer's candidates tell it nothing: it
        // answers wherever an authenticated check comes from (RFC 8445, section 2.5). Other
        // credentials than before ask for a restart whatever the precondition was, and the same ones
        // for none (RFC 9725, section 4.3.3): clients that know no `If-Match` send theirs with every
        // candidate.
        let Some(ice) = &fragment.ice else {
            return Ok(Patched::Candidates);
        };
        if session.peer_ufrag.as_deref() == Some(&ice.ufrag) {
            return Ok(Patched::Candidates);
        }
        session.peer_ufrag = Some(ice.ufrag.clone());
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

/// What the publisher's offer shows to be wrong.
fn notices(spec: &sdp::PublisherSpec, hls: Option<&HlsSettings>) -> Vec<String> {
    let findings = findings_of_offer(spec);
    let told = findings.iter().map(|Finding { defect, .. }| {
        let advice = defect.advice();
        format!(
            "{}: {defect}: {}; {}",
            defect.name(),
            advice.effect,
            advice.others
        )
    });
    let video = spec
        .tracks
        .iter()
        .find(|track| track.info.kind() == MediaKind::Video);
    let is_vp8 = video.is_some_and(|track| track.info.codec == Codec::Vp8);
    let no_hls = (is_vp8 && hls.is_some_and(|hls| !hls.transcodes.any())).then(|| {
        "no_hls: no HLS for this stream: VP8; offer H264, H265, VP9 or AV1 too".to_owned()
    });
    told.chain(no_hls).collect()
}

fn codecs(tracks: &[TrackInfo]) -> String {
    tracks
        .iter()
        .map(|track| track.codec.name())
        .collect::<Vec<_>>()
        .join(" + ")
}
