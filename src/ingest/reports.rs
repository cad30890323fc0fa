//! What arrived of a source, for receiver reports (RFC 3550, sections 6.4 and A.3).

use std::time::{Duration, Instant};

use rtc::rtcp::reception_report::ReceptionReport;

/// Sender reports that come sooner after one that was told are not told: each goes to all who have the stream, on every
/// shard, and says nothing new.
const TOLD_INTERVAL: Duration = Duration::from_millis(100);

/// Reception of one source, from its first packet on.
#[derive(Debug)]
pub(super) struct Reception {
    ssrc: u32,
    clock_rate: u32,
    /// Of arrival times.
    epoch: Instant,
    // Numbers are unwrapped: 2^16 and above for the first cycle.
    first: u64,
    highest: u64,
    received: u64,
    // At the report before.
    expected_before: u64,
    received_before: u64,
    /// Arrival minus timestamp of the packet before, in clock units.
    transit: Option<u32>,
    /// Scaled by 16, as in appendix A.8.
    jitter: u32,
    sender_report: Option<(u32, Instant)>,
    /// When the last one was told.
    told: Option<Instant>,
}

impl Reception {
    pub(super) fn new(epoch: Instant, ssrc: u32, clock_rate: u32, first: u64) -> Self {
        Self {
            ssrc,
            clock_rate,
            epoch,
            first,
            highest: first,
            received: 0,
            expected_before: 0,
            received_before: 0,
            transit: None,
            jitter: 0,
            sender_report: None,
            told: None,
        }
    }

    /// A packet with the highest number so far.
    pub(super) fn newest(&mut self, now: Instant, number: u64, timestamp: u32) {
        self.highest = number;
        self.received += 1;
        let arrival = now.saturating_duration_since(self.epoch).as_micros()
            * u128::from(self.clock_rate)
            / 1_000_000;
        let transit = (arrival as u32).wrapping_sub(timestamp);
        if let Some(before) = self.transit.replace(transit) {
            let difference = (transit.wrapping_sub(before) as i32).unsigned_abs();
            // A new timeline of the source is no jitter.
            if difference < self.clock_rate {
                self.jitter += difference;
                self.jitter -= (self.jitter.saturating_sub(difference) + 8) >> 4;
            }
        }
    }

    /// A packet out of order or one that came before: it counts, and says nothing of jitter.
    pub(super) fn other(&mut self, number: Option<u64>) {
        self.received += 1;
        self.first = self.first.min(number.unwrap_or(self.first));
    }

    /// The source reported; the middle of its clock comes back to it in our reports. Returns whether others are to be told.
    pub(super) fn sender_report(&mut self, now: Instant, ntp: u64) -> bool {
        self.sender_report = Some(((ntp >> 16) as u32, now));
        let since = |told| now.saturating_duration_since(told);
        let is_new = self.told.is_none_or(|told| since(told) >= TOLD_INTERVAL);
        if is_new {
            self.told = Some(now);
        }
        is_new
    }

    /// In clock units.
    pub(super) fn jitter(&self) -> u32 {
        self.jitter >> 4
    }

    /// The report block at `now`; none when nothing came since the block before.
    pub(super) fn report(&mut self, now: Instant) -> Option<ReceptionReport> {
        if self.received == self.received_before {
            return None;
        }
        let expected = self.highest - self.first + 1;
        let lost = expected as i64 - self.received as i64;
        let expected_interval = expected.saturating_sub(self.expected_before);
        let received_interval = self.received - self.received_before;
        let lost_interval = expected_interval.saturating_sub(received_interval);
        self.expected_before = expected;
        self.received_before = self.received;
        let fraction_lost = (lost_interval * 256)
            .checked_div(expected_interval)
            .map_or(0, |fraction| fraction.min(255) as u8);
        let (last_sender_report, delay) = match self.sender_report {
            Some((middle, received)) => {
                let since = now.saturating_duration_since(received).as_micros();
                (middle, (since * 65_536 / 1_000_000) as u32)
            }
            None => (0, 0),
        };
        Some(ReceptionReport {
            ssrc: self.ssrc,
            fraction_lost,
            // 24 bits with a sign.
            total_lost: lost.clamp(-0x80_0000, 0x7F_FFFF) as u32 & 0xFF_FFFF,
            last_sequence_number: (self.highest - (1 << 16)) as u32,
            jitter: self.jitter(),
            last_sender_report,
            delay,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_losses_of_its_interval() {
        let now = Instant::now();
        let mut reception = Reception::new(now, 7, 90_000, 65_536 + 10);
        for number in [10, 11, 13, 14, 15, 17] {
            reception.newest(now, 65_536 + number, 0);
        }
        let report = reception.report(now).unwrap();
        assert_eq!((report.ssrc, report.total_lost), (7, 2));
        assert_eq!(report.fraction_lost, 64, "2 of 8");
        assert_eq!(report.last_sequence_number, 17);
        assert_eq!(reception.report(now), None);
        reception.other(Some(65_536 + 16));
        reception.newest(now, 65_536 + 18, 0);
        let report = reception.report(now).unwrap();
        assert_eq!((report.total_lost, report.fraction_lost), (1, 0));
    }

    #[test]
    fn duplicates_make_the_loss_negative() {
        let now = Instant::now();
        let mut reception = Reception::new(now, 7, 90_000, 65_536);
        reception.newest(now, 65_536, 0);
        reception.other(None);
        assert_eq!(reception.report(now).unwrap().total_lost, 0xFF_FFFF);
    }

    #[test]
    fn jitter_rises_by_a_sixteenth_of_the_difference() {
        let now = Instant::now();
        let mut reception = Reception::new(now, 7, 90_000, 65_536);
        reception.newest(now, 65_536, 0);
        reception.newest(now + Duration::from_millis(20), 65_537, 900);
        // 20 ms are 1800 units, the timestamps say 900: 900 / 16 = 56.
        assert_eq!(reception.jitter(), 56);
        reception.newest(now + Duration::from_millis(30), 65_538, 4_000_000_000);
        assert_eq!(reception.jitter(), 56);
    }

    #[test]
    fn the_last_sender_report_comes_back_with_its_delay() {
        let now = Instant::now();
        let mut reception = Reception::new(now, 7, 90_000, 65_536);
        reception.newest(now, 65_536, 0);
        reception.sender_report(now, 0x1111_2222_3333_4444);
        let report = reception.report(now + Duration::from_millis(500)).unwrap();
        assert_eq!(report.last_sender_report, 0x2222_3333);
        assert_eq!(report.delay, 32_768);
    }
}
