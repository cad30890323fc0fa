//! Where viewers stand: which layers they are to have, and what their links are believed to carry. Counted
//! whenever it changes, so that whoever asks need not ask each viewer.

use std::sync::atomic::{AtomicU64, Ordering};

use super::session::{Media, Session};
use super::state::State;
use crate::egress::whep::Subscriber;
use crate::stream::{LayerId, LayersByTrack, TrackId};

/// The upper ends of the classes of [`Standings::estimates`], in bit/s; what is above the last has a class of
/// its own.
pub const ESTIMATE_CLASSES: [u64; 12] = [
    100_000, 200_000, 350_000, 500_000, 750_000, 1_000_000, 1_500_000, 2_500_000, 4_000_000,
    6_000_000, 10_000_000, 20_000_000,
];

/// Where one viewer stands; nowhere, while it gets nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// The layers that it is to have.
    layers: LayersByTrack,
    /// Those and what it still sends on.
    needs: LayersByTrack,
    /// The class of what its link carries, where that is known.
    class: Option<u8>,
    /// It would have a better layer if its link carried more.
    is_limited: bool,
}

impl Standing {
    fn of(subscriber: &Subscriber) -> Self {
        let link = subscriber.bandwidth();
        let class_of = |estimate| ESTIMATE_CLASSES.partition_point(|end| *end < estimate) as u8;
        Self {
            layers: subscriber.targets(),
            needs: subscriber.needs(),
            class: link.and_then(|link| link.estimate).map(class_of),
            is_limited: link.is_some_and(|link| link.is_limited),
        }
    }
}

/// One for each layer of each track.
type Levels = [[Level; LayerId::MAX_LAYERS]; LayersByTrack::MAX_TRACKS];

/// How many viewers of one shard stand where; written by its thread alone.
#[derive(Debug, Default)]
pub(super) struct StandingCounters {
    layers: Levels,
    needs: Levels,
    classes: [Level; ESTIMATE_CLASSES.len() + 1],
    limited: Level,
}

impl StandingCounters {
    /// A viewer that stood here stands there now.
    fn pass(&self, before: &Standing, now: &Standing) {
        for level in self.levels_of(before) {
            level.lower();
        }
        for level in self.levels_of(now) {
            level.raise();
        }
    }

    fn levels_of<'a>(&'a self, standing: &'a Standing) -> impl Iterator<Item = &'a Level> {
        let each = |levels: &'a Levels, of: &'a LayersByTrack| {
            of.iter()
                .filter_map(move |(track, layer)| level(levels, track, layer))
        };
        let layers = each(&self.layers, &standing.layers).chain(each(&self.needs, &standing.needs));
        let class = standing.class.map(usize::from);
        let class = class.and_then(|class| self.classes.get(class));
        let limited = standing.is_limited.then_some(&self.limited);
        layers.chain(class).chain(limited)
    }

    /// How many have a use for packets of this layer.
    pub(super) fn need(&self, track: TrackId, layer: LayerId) -> usize {
        level(&self.needs, track, layer).map_or(0, |level| level.get() as usize)
    }

    /// Adds what stands here to `standings`.
    pub(super) fn add_to(&self, standings: &mut Standings) {
        for (sums, levels) in standings.layers.iter_mut().zip(&self.layers) {
            for (sum, level) in sums.iter_mut().zip(levels) {
                *sum += level.get();
            }
        }
        for (sum, level) in standings.estimates.iter_mut().zip(&self.classes) {
            *sum += level.get();
        }
        standings.limited += self.limited.get();
    }
}

fn level(levels: &Levels, track: TrackId, layer: LayerId) -> Option<&Level> {
    let layers = levels.get(usize::from(track.0));
    layers.and_then(|layers| layers.get(usize::from(layer.0)))
}

/// How many viewers of a stream stand where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standings {
    layers: [[u64; LayerId::MAX_LAYERS]; LayersByTrack::MAX_TRACKS],
    /// Viewers by what their links are believed to carry for video, in [`ESTIMATE_CLASSES`] and beyond. Only of
    /// those who have layers to choose from, and whose players say what arrives.
    pub estimates: [u64; ESTIMATE_CLASSES.len() + 1],
    /// Those of them who would have a better layer if their links carried more.
    pub limited: u64,
}

impl Standings {
    /// How many are to have this layer.
    pub fn of_layer(&self, track: TrackId, layer: LayerId) -> u64 {
        let layers = self.layers.get(usize::from(track.0));
        let viewers = layers.and_then(|layers| layers.get(usize::from(layer.0)));
        viewers.copied().unwrap_or(0)
    }
}

/// A number that goes up and down, with one writer.
#[derive(Debug, Default)]
struct Level(AtomicU64);

impl Level {
    fn raise(&self) {
        self.0.store(self.get() + 1, Ordering::Relaxed);
    }

    fn lower(&self) {
        self.0
            .store(self.get().saturating_sub(1), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl State {
    /// Layers or the estimate of a connected subscriber may have changed.
    pub(super) fn note_standing(&mut self, slot: usize) {
        if let Some(Session {
            media: Media::Subscriber(subscriber),
            ..
        }) = self.sessions.get_mut(slot)
        {
            let now = Standing::of(subscriber);
            self.set_standing(slot, now);
        }
    }

    /// A subscriber gets the stream no longer.
    pub(super) fn forget_standing(&mut self, slot: usize) {
        self.set_standing(slot, Standing::default());
    }

    fn set_standing(&mut self, slot: usize, now: Standing) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        let before = std::mem::replace(&mut session.standing, now);
        if before == now {
            return;
        }
        let stream = self.streams.get(&session.stream);
        if let Some(outgoing) = stream.and_then(|stream| stream.counters.of(self.id)) {
            outgoing.standings.pass(&before, &now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viewers_are_counted_where_they_stand() {
        let (counters, nowhere) = (StandingCounters::default(), Standing::default());
        let mut layers = LayersByTrack::default();
        layers.insert(TrackId(0), LayerId(0));
        layers.insert(TrackId(1), LayerId(2));
        let mut needs = layers;
        needs.insert(TrackId(1), LayerId(0));
        let (narrow, wide) = (
            Standing {
                layers,
                needs,
                class: Some(3),
                is_limited: true,
            },
            Standing {
                layers,
                needs,
                class: Some(12),
                is_limited: false,
            },
        );
        for _ in 0..2 {
            counters.pass(&nowhere, &narrow);
        }
        counters.pass(&narrow, &wide);
        let read = || {
            let mut standings = Standings::default();
            counters.add_to(&mut standings);
            standings
        };
        let standings = read();
        assert_eq!(standings.of_layer(TrackId(1), LayerId(2)), 2);
        assert_eq!(standings.of_layer(TrackId(1), LayerId(0)), 0);
        assert_eq!(standings.of_layer(TrackId(200), LayerId(200)), 0);
        // What is left still has to be sent on.
        let need = |layer| counters.need(TrackId(1), LayerId(layer));
        assert_eq!([0, 1, 2].map(need), [2, 0, 2]);
        assert_eq!((standings.estimates[3], standings.estimates[12]), (1, 1));
        assert_eq!(standings.limited, 1);
        counters.pass(&narrow, &nowhere);
        counters.pass(&wide, &nowhere);
        assert_eq!(read(), Standings::default());
        assert_eq!([0, 1, 2].map(need), [0, 0, 0]);
    }
}
