//! The publishers of one stream, and which of them its viewers get. Pure.
//!
//! Of each rank there is one at most that is connected, and one that is connecting and will take
//! its place.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::stream::Broadcast;
use crate::gateway::Rank;
use crate::ingest::Finding;
use crate::ingest::verdict::Report;
use crate::shard::{SessionKey, StreamKey};

/// All who publish a stream or are about to.
#[derive(Debug, Default)]
pub(super) struct Lineup {
    entries: Vec<Entry>,
    on_air: Option<SessionKey>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) broadcast: Broadcast,
    pub(super) rank: Rank,
    pub(super) state: PublisherState,
    /// How it does; none before its media came.
    pub(super) report: Option<Arc<Report>>,
    /// What was wrong with it at any time.
    pub(super) told: Vec<Finding>,
}

/// How far a publisher is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublisherState {
    /// ICE and DTLS are not done.
    Connecting,
    /// Its media comes; it has connected or come back at that time.
    Flowing {
        /// When.
        since: Instant,
    },
    /// It is connected, but no media comes.
    Stalled,
}

impl Lineup {
    /// What the viewers get.
    pub(super) fn on_air(&self) -> Option<&Entry> {
        let key = self.on_air?;
        self.entries.iter().find(|entry| entry.is(key))
    }

    /// Whether a broadcast is among them.
    pub(super) fn has(&self, broadcast: StreamKey) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|entry| entry.broadcast.key == broadcast)
    }

    pub(super) fn entry_mut(&mut self, broadcast: StreamKey) -> Option<&mut Entry> {
        let mut entries = self.entries.iter_mut();
        entries.find(|entry| entry.broadcast.key == broadcast)
    }

    /// All of them, the best first.
    pub(super) fn by_rank(&self) -> Vec<&Entry> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.rank));
        entries
    }

    /// How many ranks of publishers there are besides that.
    pub(super) fn ranks_but(&self, rank: Rank) -> usize {
        let others = self.publishers().map(|entry| entry.rank);
        let others: BTreeSet<Rank> = others.filter(|other| *other != rank).collect();
        others.len()
    }

    /// Those that are no slate.
    pub(super) fn publishers(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.is_slate())
    }

    pub(super) fn slate(&self) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.is_slate())
    }

    /// Takes in one that has to connect yet. Returns one of its rank that had to as well, and is out.
    pub(super) fn admit(&mut self, broadcast: Broadcast, rank: Rank) -> Option<Broadcast> {
        let connecting = |entry: &Entry| entry.rank == rank && !entry.is_connected();
        let before = self.take(connecting);
        self.entries.push(Entry {
            broadcast,
            rank,
            state: PublisherState::Connecting,
            report: None,
            told: Vec::new(),
        });
        before
    }

    /// One has connected. Returns the one of its rank before it, which is out; had that the air, the
    /// new one has it.
    pub(super) fn connected(&mut self, key: SessionKey, now: Instant) -> Option<Broadcast> {
        let entry = self.entries.iter().find(|entry| entry.is(key))?;
        let rank = entry.rank;
        let before = self.take(|entry| entry.rank == rank && entry.is_connected());
        if let Some(before) = &before
            && self.on_air == Some(before.publisher.key)
        {
            self.on_air = Some(key);
        }
        self.set_flow(StreamKey(key.0), true, now);
        before
    }

    /// Media comes or has stopped to.
    pub(super) fn set_flow(&mut self, broadcast: StreamKey, flows: bool, now: Instant) {
        if let Some(entry) = self.entry_mut(broadcast) {
            entry.state = match flows {
                true => PublisherState::Flowing { since: now },
                false => PublisherState::Stalled,
            };
        }
    }

    /// One is gone.
    pub(super) fn remove(&mut self, key: SessionKey) {
        self.entries.retain(|entry| !entry.is(key));
    }

    /// Gives the air to whom it belongs now. Returns whether that is another than before.
    pub(super) fn choose(&mut self, now: Instant, return_after: Duration) -> bool {
        let flowing = self.entries.iter().filter(|entry| entry.flows().is_some());
        let stable = |entry: &Entry| {
            let since = entry.flows();
            since.is_some_and(|since| since + return_after <= now)
        };
        let chosen = match self.on_air() {
            Some(current) if current.flows().is_none() || current.is_slate() => {
                best(flowing).or(Some(current))
            }
            Some(current) => {
                let better = flowing.filter(|entry| entry.rank > current.rank && stable(entry));
                best(better).or(Some(current))
            }
            None => best(flowing).or(best(self.entries.iter().filter(|e| e.is_connected()))),
        };
        let chosen = chosen.map(|entry| entry.broadcast.publisher.key);
        std::mem::replace(&mut self.on_air, chosen) != chosen
    }

    /// When the choice is to be made again though nothing happens: a better one has come back, and
    /// will have been there for long enough.
    pub(super) fn poll_timeout(&self, return_after: Duration) -> Option<Instant> {
        let current = self.on_air()?;
        let better = self
            .entries
            .iter()
            .filter(|entry| entry.rank > current.rank);
        better
            .filter_map(Entry::flows)
            .min()
            .map(|since| since + return_after)
    }

    fn take(&mut self, which: impl Fn(&Entry) -> bool) -> Option<Broadcast> {
        let at = self.entries.iter().position(which)?;
        Some(self.entries.remove(at).broadcast)
    }
}

impl Entry {
    fn is(&self, key: SessionKey) -> bool {
        self.broadcast.publisher.key == key
    }

    pub(super) fn is_slate(&self) -> bool {
        self.rank == Rank::Slate
    }

    pub(super) fn is_connected(&self) -> bool {
        self.state != PublisherState::Connecting
    }

    /// Since when its media comes.
    pub(super) fn flows(&self) -> Option<Instant> {
        match self.state {
            PublisherState::Flowing { since } => Some(since),
            PublisherState::Connecting | PublisherState::Stalled => None,
        }
    }
}

fn best<'a>(entries: impl Iterator<Item = &'a Entry>) -> Option<&'a Entry> {
    entries.max_by_key(|entry| entry.rank)
}
