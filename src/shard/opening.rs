//! How a shard takes a session that the control plane made.

use std::time::Instant;

use super::Event;
use super::inbox::{OpenSession, Role};
use super::local_stream::{LocalStream, Source};
use super::session::{Media, Session};
use super::standing::Standing;
use super::state::State;
use crate::egress::whep::Subscriber;
use crate::ingest::{Flow, Publisher};
use crate::transport::Transport;

impl State {
    /// Takes a session that the control plane made.
    pub(super) fn open(&mut self, now: Instant, opened: OpenSession) {
        let OpenSession {
            key,
            transport,
            role,
        } = opened;
        let ufrags = vec![transport.local.ufrag.as_str().into()];
        let transport = match Transport::new(now, &self.identity, &transport) {
            Ok(transport) => transport,
            Err(reason) => {
                let _ = self.events.send(Event::Closed {
                    session: key,
                    reason: Some(reason),
                });
                return;
            }
        };
        let mut flow = None;
        let (stream, media) = match role {
            Role::Publisher {
                stream,
                spec,
                counters,
                stall_after,
                playout_delay,
            } => {
                flow = stall_after.map(Flow::new);
                let local = LocalStream::published(&spec, counters, &self.config);
                self.add_stream(stream, local);
                let mut publisher =
                    Publisher::new(now, spec, self.config.ingest.clone(), rand::random());
                publisher.set_playout_delay(playout_delay);
                (stream, Media::Publisher(Box::new(publisher)))
            }
            Role::Subscriber {
                stream,
                origin,
                tracks,
                counters,
                spec,
                cname,
            } => {
                self.enter_stream(stream, origin, &tracks, counters);
                let mut subscriber = Subscriber::new(&spec, &cname, rand::random);
                subscriber.set_bandwidth(&self.config.bandwidth);
                subscriber.set_limits(&self.config.viewers);
                (stream, Media::Subscriber(subscriber))
            }
        };
        let session = Session {
            key,
            stream,
            transport,
            media,
            flow,
            ufrags,
            paths: Vec::new(),
            ssrcs: Vec::new(),
            scheduled: None,
            is_behind: false,
            standing: Standing::default(),
        };
        let publishes = matches!(session.media, Media::Publisher(_));
        let slot = self.sessions.insert(session);
        self.me().counters().sessions_opened.add(1);
        if publishes
            && let Some(LocalStream {
                source:
                    Source::Publisher {
                        slot: of_publisher, ..
                    },
                ..
            }) = self.streams.get_mut(&stream)
        {
            *of_publisher = slot;
        }
        self.settle(now, slot);
    }
}
