//! How much arrives: the bitrate by the receiver's own clock.

/// The width of a bin, in microseconds, and how many there are.
const BIN: i64 = 25_000;
const BINS: usize = 20;

/// Bins of the short measure: of what a full queue lets through just now.
const SHORT: usize = 8;

/// Bytes by their time of arrival.
#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    bytes: [u32; BINS],
    /// The bin of the newest arrival, and of the first.
    newest: Option<i64>,
    first: i64,
}

impl Acknowledged {
    /// So many bytes arrived at this time, in microseconds of the receiver's clock.
    pub(super) fn add(&mut self, arrived: i64, bytes: u16) {
        let bin = arrived.div_euclid(BIN);
        let newest = *self.newest.get_or_insert_with(|| {
            self.first = bin;
            bin
        });
        if bin <= newest - BINS as i64 {
            return;
        }
        for skipped in (newest + 1..=bin).rev().take(BINS) {
            self.bytes[index(skipped)] = 0;
        }
        self.newest = Some(newest.max(bin));
        let slot = &mut self.bytes[index(bin)];
        *slot = slot.saturating_add(u32::from(bytes));
    }

    /// In bit/s over half a second; none before there is as much.
    pub(super) fn bitrate(&self) -> Option<u64> {
        self.over(BINS - 1)
    }

    /// In bit/s over the last fifth of a second.
    pub(super) fn recent(&self) -> Option<u64> {
        self.over(SHORT)
    }

    /// The newest bin is left out, since it is not full.
    fn over(&self, bins: usize) -> Option<u64> {
        let newest = self.newest?;
        if newest - self.first < bins as i64 {
            return None;
        }
        let sum: u64 = (newest - bins as i64..newest)
            .map(|bin| u64::from(self.bytes[index(bin)]))
            .sum();
        Some(sum * 8 * 1_000_000 / (bins as u64 * BIN as u64))
    }
}

fn index(bin: i64) -> usize {
    bin.rem_euclid(BINS as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_bins() {
        let mut acknowledged = Acknowledged::default();
        assert_eq!(acknowledged.bitrate(), None);
        for packet in 0..100 {
            acknowledged.add(packet * 10_000, 1_250);
        }
        assert_eq!(acknowledged.recent(), Some(1_000_000));
        let rate = acknowledged.bitrate().unwrap();
        assert!(rate.abs_diff(1_000_000) < 50_000, "{rate}");
        acknowledged.add(60_000_000, 1_250);
        assert_eq!(acknowledged.bitrate(), Some(0), "silence is no rate");
    }
}
