//! Where the numbers of a presentation begin: caches keep a segment for an hour, so none may be named as one of the
//! presentation before, which was forgotten, or known to a gateway that has been started again since.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// The number at which a presentation begins that has none before it: half seconds since 2020.
///
/// Segments are longer, also where a publisher sends the keyframes that it is asked for at once, so that the numbers of
/// a stream stay behind this clock. Seconds would be too few. Players that keep a number in 31 bits can do so until 2054.
pub fn first_number(now: SystemTime) -> u64 {
    let begin = SystemTime::UNIX_EPOCH + Duration::from_secs(SECONDS_TO_2020);
    let since = now.duration_since(begin).unwrap_or_default();
    let numbers = since.as_millis() / NUMBER.as_millis();
    u64::try_from(numbers).unwrap_or(u64::MAX)
}

/// The numbers of the presentations that a library has forgotten. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Forgotten {
    /// Above all of them.
    next: Arc<AtomicU64>,
}

impl Forgotten {
    /// A presentation is forgotten; `next` is above all of its numbers.
    pub(super) fn add(&self, next: u64) {
        self.next.fetch_max(next, Ordering::Relaxed);
    }

    /// This number, or the first one above all that were forgotten: a publisher may have made segments that are shorter
    /// than they should be.
    pub(super) fn above(&self, number: u64) -> u64 {
        number.max(self.next.load(Ordering::Relaxed))
    }
}

/// From 1970.
const SECONDS_TO_2020: u64 = 1_577_836_800;
/// Shorter than the shortest segments of a stream are for long.
const NUMBER: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    /// As short as segments are whose keyframes come as soon as they are asked for, where they should last a second.
    const SEGMENT: Duration = Duration::from_millis(700);

    #[test]
    fn no_broadcast_has_the_numbers_of_the_one_before() {
        let begin = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        for hours in [1, 24, 1_000] {
            let length = Duration::from_secs(hours * 3_600);
            let segments = length.div_duration_f64(SEGMENT).ceil() as u64;
            assert!(first_number(begin + length) >= first_number(begin) + segments);
        }
    }

    #[test]
    fn numbers_fit_into_31_bits_and_a_clock_that_is_not_set_gives_one_too() {
        let in_2053 = SystemTime::UNIX_EPOCH + Duration::from_secs(2_645_000_000);
        assert!(first_number(in_2053) < 1 << 31);
        assert_eq!(first_number(SystemTime::UNIX_EPOCH), 0);
    }

    #[test]
    fn a_number_is_above_all_that_were_forgotten() {
        let forgotten = Forgotten::default();
        assert_eq!(forgotten.above(7), 7);
        forgotten.clone().add(9);
        forgotten.add(8);
        assert_eq!((forgotten.above(7), forgotten.above(10)), (9, 10));
    }
}
