//! A stream: a name with whoever publishes and takes it. It outlives its publishers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::Place;
use super::layering::Layers;
use crate::gateway::events::Presence;
use crate::shard::{SessionKey, StreamKey};
use crate::stream::TrackInfo;

/// One publisher's time on a stream.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Broadcast {
    pub(in crate::gateway) key: StreamKey,
    pub(in crate::gateway) publisher: Place,
    pub(in crate::gateway) tracks: Arc<[TrackInfo]>,
}

/// A name that somebody publishes or waits for.
#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) air: Air,
    /// The newest publisher that has to connect yet; the stream is its from then on.
    pub(super) next: Option<Broadcast>,
    /// The layers of the tracks that have some.
    pub(super) layers: Layers,
    /// The viewers' sessions, oldest first, and how many of them are connected.
    pub(super) subscribers: BTreeSet<SessionKey>,
    pub(super) connected: usize,
    /// What those who read the events of a viewer see; none before the first.
    pub(super) presence: Option<watch::Sender<Presence>>,
}

/// What there is to see.
#[derive(Debug, Default)]
pub(super) enum Air {
    /// Nothing yet.
    #[default]
    Waiting,
    /// A connected publisher.
    Live(Broadcast),
    /// Nothing since the publisher has gone; the viewers stay until then.
    Gap { until: Instant },
}

impl Stream {
    /// What is being broadcast.
    pub(super) fn live(&self) -> Option<&Broadcast> {
        match &self.air {
            Air::Live(broadcast) => Some(broadcast),
            Air::Waiting | Air::Gap { .. } => None,
        }
    }

    /// Whether somebody publishes it or is about to.
    pub(super) fn has_publisher(&self) -> bool {
        self.next.is_some() || self.live().is_some()
    }

    /// Whether nobody is left who needs it.
    pub(super) fn is_deserted(&self) -> bool {
        self.subscribers.is_empty() && !self.has_publisher()
    }

    /// Whether the viewers have waited long enough. While a publisher is connecting they wait for
    /// that, which has a time limit of its own.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        matches!(self.air, Air::Gap { until } if until <= now) && self.next.is_none()
    }

    /// Tells the viewers at once whether there is something to see.
    pub(super) fn tell_active(&self) {
        let active = self.live().is_some();
        if let Some(presence) = &self.presence {
            presence.send_if_modified(|presence| {
                std::mem::replace(&mut presence.active, active) != active
            });
        }
    }
}
