//! The numbers of a line that some packets of another are left out of.

use std::collections::VecDeque;

/// Changes that are remembered for late packets: about as many pictures.
const MAX_CHANGES: usize = 128;

/// Numbers without those of the packets that are left out.
///
/// A packet that is missing while later ones leave keeps its number, as nobody knows yet if it is
/// part of the line. When it comes and is not, it fills its place with nothing.
#[derive(Debug, Default)]
pub(super) struct Line {
    highest: Option<u64>,
    /// How many were left out below a number, oldest first.
    changes: VecDeque<Change>,
}

#[derive(Clone, Copy, Debug)]
struct Change {
    first: u64,
    left_out: u64,
}

impl Line {
    /// The number of the packet in this line: none where it is left out, or too late.
    pub(super) fn place(&mut self, sequence: u64, is_part: bool) -> Option<u64> {
        let is_newest = self.highest.is_none_or(|highest| sequence > highest);
        if !is_newest {
            let changes = self.changes.iter().rev();
            let mut before = changes.skip_while(|change| change.first > sequence);
            return Some(sequence - before.next()?.left_out);
        }
        let left_out = match (self.highest.replace(sequence), self.changes.back()) {
            (Some(_), Some(change)) => change.left_out,
            _ => {
                self.change(sequence, 0);
                0
            }
        };
        if is_part {
            return Some(sequence - left_out);
        }
        self.change(sequence + 1, left_out + 1);
        None
    }

    fn change(&mut self, first: u64, left_out: u64) {
        // Nothing was numbered by one that began with the very packet that is left out.
        if self
            .changes
            .back()
            .is_some_and(|last| last.first + 1 == first)
        {
            self.changes.pop_back();
        } else if self.changes.len() == MAX_CHANGES {
            self.changes.pop_front();
        }
        self.changes.push_back(Change { first, left_out });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_without_what_is_left_out() {
        let mut line = Line::default();
        let mut next = 70_000;
        for sequence in 70_000..80_000 {
            let is_part = sequence % 7 < 3;
            let place = line.place(sequence, is_part);
            assert_eq!(place, is_part.then_some(next), "{sequence}");
            next += u64::from(is_part);
        }
        assert!(line.changes.len() <= MAX_CHANGES);
        assert_eq!(line.place(70_002, true), None, "too late");
    }

    #[test]
    fn a_missing_packet_keeps_its_place_whatever_it_is() {
        let mut line = Line::default();
        assert_eq!(line.place(100_000, true), Some(100_000));
        assert_eq!(line.place(100_001, false), None);
        // 2 and 3 are missing.
        assert_eq!(line.place(100_004, true), Some(100_003));
        assert_eq!(line.place(100_005, false), None);
        assert_eq!(line.place(100_006, true), Some(100_004));
        assert_eq!(line.place(100_002, true), Some(100_001));
        assert_eq!(line.place(100_003, false), Some(100_002));
        assert_eq!(line.place(99_999, true), None, "before the first");
    }
}
