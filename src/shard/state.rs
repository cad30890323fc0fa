//! A shard's state: its sessions until their end. What happens to media is in `media`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use super::batch::Batch;
use super::catch_up::CatchingUp;
use super::inbox::{Message, ShardHandle};
use super::local_stream::LocalStream;
use super::session::Media;
use super::sessions::Sessions;
use super::timers::Timers;
use super::turns::Turns;
use super::wire::Wire;
use super::{Config, Event, SessionKey, ShardId, StreamKey};
use crate::sdp::IceCredentials;
use crate::transport::{self, CloseReason, Identity, Path, Via};

/// Everything that one shard's thread owns.
pub(super) struct State {
    pub(super) id: ShardId,
    pub(super) shards: Arc<[ShardHandle]>,
    pub(super) wire: Wire,
    pub(super) config: Config,
    pub(super) identity: Arc<Identity>,
    pub(super) events: mpsc::UnboundedSender<Event>,
    pub(super) sessions: Sessions,
    pub(super) streams: HashMap<StreamKey, LocalStream>,
    pub(super) timers: Timers,
    /// Who still gets what came before it did.
    pub(super) catching_up: CatchingUp,
    /// Deadlines being handled; kept for its memory.
    pub(super) due: Vec<(Instant, SessionKey)>,
    pub(super) batch: Batch,
    /// Video that waits for sound.
    pub(super) turns: Turns,
    /// Streams with packets that have not been sent on.
    pub(super) fresh: Vec<StreamKey>,
    /// Sender reports on their way.
    pub(super) compound: Vec<u8>,
    /// The thread is to end.
    pub(super) stopping: bool,
}

impl State {
    pub(super) fn me(&self) -> &ShardHandle {
        &self.shards[usize::from(self.id.0)]
    }

    pub(super) fn shard(&self, id: ShardId) -> Option<&ShardHandle> {
        self.shards.get(usize::from(id.0))
    }

    pub(super) fn restart_ice(&mut self, now: Instant, key: SessionKey, local: &IceCredentials) {
        let Some(slot) = self.sessions.slot_of_key(key) else {
            return;
        };
        self.sessions.add_ufrag(slot, &local.ufrag);
        if let Some(session) = self.sessions.get_mut(slot) {
            session.transport.restart_ice(local);
        }
        self.settle(now, slot);
    }

    /// Ends a session by our own wish; the peer sees it.
    pub(super) fn close(&mut self, now: Instant, key: SessionKey) {
        let Some(slot) = self.sessions.slot_of_key(key) else {
            return;
        };
        if let Some(session) = self.sessions.get_mut(slot) {
            session.transport.close(now);
        }
        self.settle(now, slot);
        // Settling ended it if the transport said so; it must end in any case.
        if let Some(slot) = self.sessions.slot_of_key(key) {
            self.end(now, slot, None);
        }
    }

    pub(super) fn close_all(&mut self, now: Instant) {
        let keys: Vec<SessionKey> = {
            let slots: Vec<usize> = self.sessions.slots().collect();
            slots
                .into_iter()
                .filter_map(|slot| self.sessions.get_mut(slot).map(|session| session.key))
                .collect()
        };
        for key in keys {
            self.close(now, key);
        }
    }

    pub(super) fn handle_timeouts(&mut self, now: Instant) {
        // All that is due now, before any of it is handled: a session that wants to be woken in the
        // past gets its turn again, but only after everyone else.
        let mut due = std::mem::take(&mut self.due);
        due.extend(std::iter::from_fn(|| self.timers.pop(now)));
        for (at, key) in due.drain(..) {
            let Some(slot) = self.sessions.slot_of_key(key) else {
                continue;
            };
            let Some(session) = self.sessions.get_mut(slot) else {
                continue;
            };
            if session.scheduled != Some(at) {
                continue; // replaced by an earlier one
            }
            session.scheduled = None;
            session.transport.handle_timeout(now);
            if let Some(flow) = &mut session.flow
                && flow.handle_timeout(now)
            {
                let _ = self.events.send(Event::Flow {
                    stream: session.stream,
                    flows: false,
                });
            }
            match &mut session.media {
                Media::Publisher(publisher) => publisher.handle_timeout(now),
                Media::Subscriber(_) => {
                    self.send_reports(now, slot);
                    self.adapt(now, slot);
                }
            }
            self.settle(now, slot);
        }
        self.due = due;
        self.close_overdue(now);
    }

    /// Drains what a session has to say after it was told something, and sees to its next deadline.
    pub(super) fn settle(&mut self, now: Instant, slot: usize) {
        // Events first: whoever sees our answer to a check or our last DTLS flight may act on it at
        // once, and finds that all shards and the control plane have been told.
        let mut ended = None;
        while let Some(event) = self
            .sessions
            .get_mut(slot)
            .and_then(|session| session.transport.poll_event())
        {
            match event {
                transport::Event::PathValidated(path) => {
                    self.sessions.add_path(slot, path);
                    match path.via {
                        Via::Udp(_) => self.tell_others(|id| Message::Route(path, id)),
                        Via::Tcp(connection) => {
                            self.wire.tcp.set_owned(connection);
                            self.me().counters().tcp_proven.add(1);
                        }
                    }
                }
                transport::Event::PathForgotten(path) => {
                    let led = self.sessions.remove_path(slot, path);
                    if led || path.connection().is_some() {
                        self.close_path(path);
                    }
                }
                transport::Event::PathChanged(_) => {}
                transport::Event::Connected => self.connected(now, slot),
                transport::Event::Closed(reason) => ended = Some(reason),
            }
        }
        self.send_transmits(slot);
        self.drain_publisher(now, slot, &mut ended);
        if let Some(reason) = ended {
            if let Some(session) = self.sessions.get_mut(slot) {
                session.transport.close(now); // without effect where it ended by itself
            }
            self.end(now, slot, Some(reason));
            return;
        }
        if let Some(session) = self.sessions.get_mut(slot) {
            let deadline = session.poll_timeout();
            self.timers
                .schedule(session.key, &mut session.scheduled, deadline);
        }
    }

    /// Sends what the transport has to say: STUN answers and DTLS records.
    fn send_transmits(&mut self, slot: usize) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        let counters = self.shards[usize::from(self.id.0)].counters();
        while let Some((to, datagram)) = session.transport.poll_transmit() {
            self.wire.send(to, &datagram, counters);
        }
    }

    /// Nothing comes by a path any more.
    fn close_path(&mut self, path: Path) {
        match path.via {
            Via::Udp(_) => self.tell_others(|id| Message::Unroute(path, id)),
            Via::Tcp(connection) => {
                self.wire.tcp.close(connection);
            }
        }
    }

    pub(super) fn tell_others(&self, message: impl Fn(ShardId) -> Message) {
        for shard in self.shards.iter().filter(|shard| shard.id() != self.id) {
            shard.send(message(self.id));
        }
    }

    fn connected(&mut self, now: Instant, slot: usize) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        let (key, stream) = (session.key, session.stream);
        if let Some(flow) = &mut session.flow {
            flow.handle_connected(now);
        }
        // The receiver is gone only while the process ends.
        let _ = self.events.send(Event::Connected { session: key });
        if matches!(session.media, Media::Subscriber(_)) {
            self.attach_subscriber(now, slot, stream);
        }
    }

    /// Forgets a session; its transport has nothing more to say.
    fn end(&mut self, now: Instant, slot: usize, reason: Option<CloseReason>) {
        // A close_notify may be left to send.
        self.send_transmits(slot);
        self.forget_standing(slot);
        let Some(session) = self.sessions.remove(slot) else {
            return;
        };
        for path in &session.paths {
            self.close_path(*path);
        }
        for ssrc in &session.ssrcs {
            self.tell_others(|id| Message::UnrouteSsrc(*ssrc, id));
        }
        match session.media {
            Media::Publisher(_) => {
                self.end_line(session.stream);
                self.flush(now);
                self.remove_stream(session.stream);
                self.tell_others(|_| Message::Ended(session.stream));
            }
            Media::Subscriber(_) => self.detach_subscriber(slot, session.stream),
        }
        // Nothing of it is left.
        self.me().counters().sessions_closed.add(1);
        let _ = self.events.send(Event::Closed {
            session: session.key,
            reason,
        });
    }

    pub(super) fn count_drops(&self, dropped: transport::Counters) {
        if dropped == transport::Counters::default() {
            return;
        }
        let counters = self.me().counters();
        counters
            .unauthenticated
            .add(dropped.stun_unauthenticated + dropped.stun_refused);
        counters.foreign.add(dropped.foreign_path + dropped.unknown);
        counters.handshake.add(dropped.dtls_dropped);
        counters
            .undecryptable
            .add(dropped.srtp_unauthenticated + dropped.early_media);
        counters.replayed.add(dropped.srtp_replayed);
    }
}
