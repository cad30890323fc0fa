//! Which streams need the slate: the server's own picture for the time without a publisher.

use std::sync::Arc;

use super::Directory;
use crate::stream::{StreamName, TrackInfo};

/// What is to be done about the slate of a stream.
#[derive(Clone, Debug)]
pub(in crate::gateway) enum SlateOrder {
    /// It is to publish the stream, as its viewers know it.
    Start {
        /// The stream.
        name: StreamName,
        /// What the publisher sent.
        tracks: Arc<[TrackInfo]>,
    },
    /// It is needed no longer; its session has been forgotten.
    Stop {
        /// The stream.
        name: StreamName,
    },
}

impl Directory {
    /// The next order.
    pub(in crate::gateway) fn poll_slate(&mut self) -> Option<SlateOrder> {
        self.slate_orders.pop_front()
    }

    /// Starts or stops the slate of a stream, as its viewers need it.
    pub(super) fn see_to_slate(&mut self, name: &StreamName) {
        let needed = self.policies.of(name).slate
            && self
                .streams
                .get(name)
                .is_some_and(|stream| stream.needs_slate());
        match (needed, self.slates.contains(name)) {
            (true, false) if self.slates.len() < self.limits.slates => {
                let stream = self.streams.get(name);
                let Some(tracks) = stream.and_then(|stream| stream.tracks.clone()) else {
                    return;
                };
                self.slates.insert(name.clone());
                let name = name.clone();
                self.slate_orders
                    .push_back(SlateOrder::Start { name, tracks });
            }
            (false, true) => self.stop_slate(name),
            _ => {}
        }
    }

    /// Stops the slate of a stream, if it has one.
    pub(super) fn stop_slate(&mut self, name: &StreamName) {
        if !self.slates.remove(name) {
            return;
        }
        let name = name.clone();
        if let Some(stream) = self.streams.get_mut(&name)
            && let Some(slate) = stream.lineup.slate()
        {
            let key = slate.broadcast.publisher.key;
            stream.lineup.remove(key);
            stream.tell_active();
            let place = self.forget(key).map(|session| session.place);
            self.retired.extend(place);
        }
        self.slate_orders.push_back(SlateOrder::Stop { name });
    }
}
