//! Which files there are, and which one is the oldest. Pure.

use std::collections::{BTreeMap, VecDeque};

use crate::egress::hls::RenditionId;

/// A segment in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) rendition: RenditionId,
    pub(super) number: u64,
    pub(super) bytes: u64,
    /// Counts files in the order of writing.
    age: u64,
}

/// The files of all streams.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// By the number of the presentation, the oldest first.
    streams: BTreeMap<u64, VecDeque<Entry>>,
    bytes: u64,
    segments: u64,
    next_age: u64,
}

impl Ledger {
    /// What all files take.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many files there are.
    pub(super) fn segments(&self) -> u64 {
        self.segments
    }

    /// Notes a file.
    pub(super) fn add(&mut self, stream: u64, rendition: RenditionId, number: u64, bytes: u64) {
        let entry = Entry {
            rendition,
            number,
            bytes,
            age: self.next_age,
        };
        self.next_age += 1;
        self.bytes += bytes;
        self.segments += 1;
        self.streams.entry(stream).or_default().push_back(entry);
    }

    /// Takes out the oldest file of all.
    pub(super) fn pop(&mut self) -> Option<(u64, Entry)> {
        let fronts = self.streams.iter();
        let fronts = fronts.filter_map(|(stream, files)| Some((*stream, files.front()?.age)));
        let (stream, _) = fronts.min_by_key(|(_, age)| *age)?;
        Some((stream, self.pop_of(stream, u64::MAX)?))
    }

    /// Takes out the oldest file of a stream, if it is of a segment before `number`.
    pub(super) fn pop_of(&mut self, stream: u64, number: u64) -> Option<Entry> {
        let files = self.streams.get_mut(&stream)?;
        files.front().filter(|entry| entry.number < number)?;
        let entry = files.pop_front()?;
        self.bytes -= entry.bytes;
        self.segments -= 1;
        Some(entry)
    }

    /// Forgets a stream, all of whose files are gone.
    pub(super) fn remove(&mut self, stream: u64) {
        let files = self.streams.remove(&stream).unwrap_or_default();
        self.segments -= files.len() as u64;
        self.bytes -= files.iter().map(|entry| entry.bytes).sum::<u64>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIDEO: RenditionId = RenditionId::Video(0);

    #[test]
    fn the_oldest_file_of_all_streams_goes_first() {
        let mut ledger = Ledger::default();
        // Streams have numbers of their own, which say nothing of age.
        for (stream, number) in [(2, 50), (1, 7), (2, 51), (1, 8)] {
            ledger.add(stream, VIDEO, number, 10);
        }
        ledger.add(1, RenditionId::Audio, 8, 1);
        assert_eq!((ledger.bytes(), ledger.segments()), (41, 5));
        let popped = |ledger: &mut Ledger| ledger.pop().map(|(stream, it)| (stream, it.number));
        assert_eq!(popped(&mut ledger), Some((2, 50)));
        assert_eq!(popped(&mut ledger), Some((1, 7)));
        assert_eq!(ledger.pop_of(1, 8), None);
        assert_eq!(ledger.pop_of(1, 9).map(|it| it.rendition), Some(VIDEO));
        assert_eq!((ledger.bytes(), ledger.segments()), (11, 2));
        ledger.remove(2);
        assert_eq!((ledger.bytes(), ledger.segments()), (1, 1));
        assert_eq!(popped(&mut ledger), Some((1, 8)));
        assert_eq!(popped(&mut ledger), None);
        assert_eq!((ledger.bytes(), ledger.segments()), (0, 0));
    }
}
