//! A stream: a name with whoever publishes and takes it. It outlives its publishers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::Place;
use super::layering::Layers;
use super::lineup::{Entry, Lineup};
use crate::gateway::events::Presence;
use crate::rtp::MediaKind;
use crate::shard::{SessionKey, StreamCounters, StreamKey};
use crate::stream::TrackInfo;

/// One publisher's time on a stream.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Broadcast {
    pub(in crate::gateway) key: StreamKey,
    pub(in crate::gateway) publisher: Place,
    pub(in crate::gateway) tracks: Arc<[TrackInfo]>,
    /// What its shards count of it.
    pub(in crate::gateway) counters: Arc<StreamCounters>,
}

/// A name that somebody publishes or waits for.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Who publishes it, and what of that the viewers get.
    pub(super) lineup: Lineup,
    /// The last connected publisher has gone: the viewers stay until then.
    pub(super) gap: Option<Instant>,
    /// When the directory sees to it though nothing happens.
    pub(super) due: Option<Instant>,
    /// What the publisher sends or sent last, which a slate is to look like.
    pub(super) tracks: Option<Arc<[TrackInfo]>>,
    /// The layers of the tracks that have some.
    pub(super) layers: Layers,
    /// The viewers' sessions, oldest first, and how many of them are connected.
    pub(super) subscribers: BTreeSet<SessionKey>,
    pub(super) connected: usize,
    /// What those who read the events of a viewer see; none before the first.
    pub(super) presence: Option<watch::Sender<Presence>>,
}

impl Stream {
    /// What is being broadcast, which may be the slate.
    pub(super) fn live(&self) -> Option<&Broadcast> {
        self.lineup.on_air().map(|entry| &entry.broadcast)
    }

    /// Whether a publisher has the air.
    pub(super) fn is_active(&self) -> bool {
        self.lineup.on_air().is_some_and(|entry| !entry.is_slate())
    }

    /// Whether somebody publishes it or is about to.
    pub(super) fn has_publisher(&self) -> bool {
        self.lineup.publishers().next().is_some()
    }

    /// Whether somebody who publishes it is connected.
    pub(super) fn has_connected_publisher(&self) -> bool {
        self.lineup.publishers().any(Entry::is_connected)
    }

    /// Whether viewers wait for something to see that there was. Sound alone needs no place of one.
    pub(super) fn needs_slate(&self) -> bool {
        let flows = |entry: &Entry| entry.flows().is_some();
        let mut tracks = self.tracks.iter().flat_map(|tracks| tracks.iter());
        tracks.any(|track| track.kind() == MediaKind::Video)
            && !self.subscribers.is_empty()
            && !self.lineup.publishers().any(flows)
    }

    /// Whether nobody is left who needs it.
    pub(super) fn is_deserted(&self) -> bool {
        self.subscribers.is_empty() && !self.has_publisher()
    }

    /// Whether the viewers have waited long enough. While a publisher is connecting they wait for
    /// that, which has a time limit of its own.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.gap.is_some_and(|until| until <= now) && !self.has_publisher()
    }

    /// Tells the viewers at once whether there is something to see.
    pub(super) fn tell_active(&self) {
        let active = self.is_active();
        if let Some(presence) = &self.presence {
            presence.send_if_modified(|presence| {
                std::mem::replace(&mut presence.active, active) != active
            });
        }
    }
}
