//! What was sent of late, by its transport-wide number: a ring, made once.

use crate::rtp::sequence;

/// Packets remembered: two seconds at 5 Mbit/s, half a second at 20 Mbit/s.
const CAPACITY: usize = 1024;

/// The packets of one transport that feedback may still come for.
#[derive(Debug)]
pub(super) struct History {
    packets: Box<[Entry; CAPACITY]>,
    /// The number of the next packet, unwrapped; it begins at 2^16, so that older ones have a place.
    next: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// The low bits of the time of sending, in microseconds.
    at: u32,
    /// In bytes; 0 for none.
    size: u16,
    /// What it was sent for.
    probe: u8,
    is_known: bool,
}

/// A packet that feedback came for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// In microseconds since the estimate's epoch.
    pub(super) at: i64,
    /// In bytes.
    pub(super) size: u16,
    /// The probe that it was part of; 0 for none.
    pub(super) probe: u8,
}

impl Default for History {
    fn default() -> Self {
        Self {
            packets: Box::new([Entry::default(); CAPACITY]),
            next: 1 << 16,
        }
    }
}

impl History {
    /// Notes a packet and gives it its number.
    pub(super) fn push(&mut self, at: i64, size: usize, probe: u8) -> u16 {
        let number = self.next;
        self.next += 1;
        self.packets[slot(number)] = Entry {
            at: at as u32,
            size: u16::try_from(size).unwrap_or(u16::MAX),
            probe,
            is_known: true,
        };
        number as u16
    }

    /// The packet of this number, when feedback has not settled its fate yet.
    pub(super) fn get(&self, now: i64, number: u16) -> Option<Sent> {
        let entry = self.packets[slot(self.find(number)?)];
        entry.is_known.then(|| Sent {
            at: now - i64::from((now as u32).wrapping_sub(entry.at)),
            size: entry.size,
            probe: entry.probe,
        })
    }

    /// It arrived: nothing more is to be learnt of it.
    pub(super) fn settle(&mut self, number: u16) {
        if let Some(number) = self.find(number) {
            self.packets[slot(number)].is_known = false;
        }
    }

    /// What was sent after this packet, in bytes.
    pub(super) fn bytes_after(&self, number: u16) -> u64 {
        let Some(number) = self.find(number) else {
            return 0;
        };
        let after = (number + 1..self.next).map(|number| self.packets[slot(number)].size);
        after.map(u64::from).sum()
    }

    fn find(&self, number: u16) -> Option<u64> {
        let number = sequence::nearest(self.next - 1, number);
        (number < self.next && number + CAPACITY as u64 >= self.next).then_some(number)
    }
}

fn slot(number: u64) -> usize {
    (number % CAPACITY as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_found_once_and_until_its_slot_is_taken() {
        let mut history = History::default();
        let first = history.push(5_000_000_000, 1_200, 3);
        let sent = Sent {
            at: 5_000_000_000,
            size: 1_200,
            probe: 3,
        };
        assert_eq!(history.get(5_000_090_000, first), Some(sent));
        history.settle(first);
        assert_eq!(history.get(5_000_090_000, first), None);
        assert_eq!(history.get(0, first.wrapping_add(1)), None, "not sent yet");
        let second = history.push(1, 10, 0);
        for _ in 0..CAPACITY {
            history.push(2, 10, 0);
        }
        assert_eq!(history.get(3, second), None);
    }

    #[test]
    fn what_was_sent_after_a_packet_is_summed() {
        let mut history = History::default();
        let first = history.push(1, 1_200, 0);
        assert_eq!(history.bytes_after(first), 0);
        let second = history.push(1, 1_000, 0);
        history.push(2, 500, 0);
        assert_eq!(
            (history.bytes_after(first), history.bytes_after(second)),
            (1_500, 500)
        );
        assert_eq!(
            history.bytes_after(second.wrapping_add(2)),
            0,
            "not sent yet"
        );
    }
}
