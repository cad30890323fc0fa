//! How viewers get in: by their offer, by one of ours, before the publisher or after.

use std::sync::Arc;

use super::credentials::{distinct, new_credentials, new_ssrc};
use super::directory::{Broadcast, Place};
use super::reception::{Offered, Reception};
use super::task::Task;
use super::{Client, CreateError, Created, Description, SessionError, SessionId, SessionKind};
use crate::sdp::{self, SubscriberSpec};
use crate::shard::{Message, OpenSession, Role, StreamKey};
use crate::stream::StreamName;
use crate::transport;

impl Task {
    /// A viewer that made an offer. Where nobody publishes it may have to wait.
    pub(super) fn subscribe(
        &mut self,
        name: &StreamName,
        offer: &sdp::Offer,
        client: Client,
    ) -> Result<Created, CreateError> {
        let live = self.directory.may_subscribe(name, client)?;
        let shard = self.directory.least_loaded();
        let ice = new_credentials(shard);
        let mut ssrcs = distinct(new_ssrc);
        let (answer, remote_fingerprint, dtls_role, reception, media);
        match live {
            Some(live) => {
                let accepted = self.answer(name, client, &ice, |local| {
                    sdp::accept_subscriber(offer, local, &live.tracks, &mut ssrcs)
                })?;
                answer = accepted.answer;
                (remote_fingerprint, dtls_role) = (accepted.remote_fingerprint, accepted.dtls_role);
                reception = Reception::of_offer(offer, &accepted.spec, &live.tracks);
                media = Some((live, accepted.spec));
            }
            None => {
                let accepted = self.answer(name, client, &ice, |local| {
                    sdp::accept_waiting(offer, local, &self.config.codecs, &mut ssrcs)
                })?;
                answer = accepted.answer;
                (remote_fingerprint, dtls_role) = (accepted.remote_fingerprint, accepted.dtls_role);
                reception = Reception::Open(accepted.spec);
                media = None;
            }
        }
        let (mut session, created) =
            self.new_session(SessionKind::Whep, name, client, shard, answer);
        session.peer_ufrag = Some(offer.ice.ufrag.clone());
        let place = session.place;
        session.mids = offer.media.iter().map(|media| media.mid.clone()).collect();
        self.directory.add_subscriber(session, reception);
        let transport = self.transport(ice, remote_fingerprint, dtls_role);
        self.open_subscriber(place, name, transport, media);
        Ok(created)
    }

    /// A viewer that wants an offer of ours, or whose own does not do for the `reason`.
    pub(super) fn counter_offer(
        &mut self,
        name: &StreamName,
        client: Client,
        reason: Option<&str>,
    ) -> Result<Created, CreateError> {
        // What would be offered is not known before the publisher comes.
        let offline = || CreateError::offline(name);
        let live = self.directory.may_subscribe(name, client)?;
        live.ok_or_else(offline)?;
        let closed = self.directory.make_room_for_offer(self.now());
        if !closed.is_empty() {
            tracing::debug!("an offer gave way, as too many are unanswered");
        }
        self.close(closed);
        // A slate ends with its last viewer, who may have given way.
        let live = self.directory.may_subscribe(name, client)?;
        let live = live.ok_or_else(offline)?;
        let shard = self.directory.least_loaded();
        let ice = new_credentials(shard);
        let mut ssrcs = distinct(new_ssrc);
        let candidates = self.candidates(client);
        let local = self.local(name, &ice, &candidates);
        let offer = sdp::counter_offer(&live.tracks, &local, reason, &mut ssrcs)?;
        let sdp = offer.sdp.clone();
        let (mut session, created) = self.new_session(SessionKind::Whep, name, client, shard, sdp);
        // An m-line a track, named by its number.
        session.mids = (0..live.tracks.len())
            .map(|index| index.to_string())
            .collect();
        tracing::debug!(stream = %name, session = session.place.key.0, "a subscriber was made an offer");
        let reception = Reception::Offered(Box::new(Offered {
            offer,
            ice,
            tracks: live.tracks,
        }));
        self.directory.add_subscriber(session, reception);
        let valid = self.directory.await_answer(created.id, self.now());
        Ok(Created {
            notices: Vec::new(),
            description: Description::CounterOffer { valid },
            ..created
        })
    }

    /// A viewer answers our offer.
    pub(super) fn accept(
        &mut self,
        name: &StreamName,
        id: SessionId,
        answer: &sdp::Answer,
    ) -> Result<(), SessionError> {
        let session = self.directory.session(SessionKind::Whep, name, id)?;
        let place = session.place;
        let Some(Reception::Offered(offered)) = &session.reception else {
            return Err(SessionError::NotWaiting);
        };
        let agreed = offered.offer.accept(answer)?;
        session.peer_ufrag = Some(answer.ice.ufrag.clone());
        let kinds = agreed.spec.tracks.iter().map(|line| line.kind).collect();
        let reception = Reception::settled(kinds, &agreed.spec, &offered.tracks);
        let ice = offered.ice.clone();
        // Publishers may have come and gone since the offer.
        let live = self.directory.live(name).cloned();
        let media = match live {
            Some(live) => match reception.bind(&live.tracks) {
                Some(spec) => Some((live, spec)),
                None => {
                    self.forget(place.key, "the stream has other codecs than were offered");
                    return Err(SessionError::NotFound);
                }
            },
            None => None,
        };
        self.directory.settle(place.key, reception);
        let transport = self.transport(ice, agreed.remote_fingerprint, agreed.dtls_role);
        self.open_subscriber(place, name, transport, media);
        Ok(())
    }

    /// Gives a viewer to its shard. Without `media` it waits there for some to come.
    fn open_subscriber(
        &self,
        place: Place,
        name: &StreamName,
        transport: transport::Config,
        media: Option<(Broadcast, SubscriberSpec)>,
    ) {
        let waits = media.is_none();
        let (stream, origin, tracks, counters, spec) = match media {
            Some((live, spec)) => (
                live.key,
                live.publisher.shard,
                live.tracks,
                live.counters,
                spec,
            ),
            None => {
                // A broadcast of its own, which nobody publishes.
                let nothing = SubscriberSpec { tracks: Vec::new() };
                let stream = StreamKey(place.key.0);
                (stream, place.shard, Arc::from([]), Arc::default(), nothing)
            }
        };
        let role = Role::Subscriber {
            stream,
            origin,
            tracks,
            counters,
            spec,
            cname: name.as_str().into(),
        };
        let opened = OpenSession {
            key: place.key,
            transport,
            role,
        };
        self.send(place.shard, Message::Open(Box::new(opened)));
        tracing::debug!(stream = %name, session = place.key.0, waits, "a subscriber has come");
    }
}
