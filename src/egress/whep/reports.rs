//! Sender reports, and the round trip that a viewer's answers to them tell (RFC 3550, section 6.4.1).

use std::time::{Duration, Instant};

use super::Subscriber;
use crate::egress::SenderClock;
use crate::rtp::rtcp::{ReceptionReport, SenderReport};
use crate::stream::{LayerId, TrackId};

/// The time between two sender reports of a track. The first one goes out with the track's first
/// packet, since a player can't align audio and video before it.
const REPORT_INTERVAL: Duration = Duration::from_secs(2);

/// So many sender reports are remembered: those of some tracks over some intervals. A viewer names the
/// one that it answers, and one that is not there any more teaches nothing.
const REMEMBERED: usize = 8;

impl Subscriber {
    /// When [`Self::handle_timeout`] or [`Self::adapt`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let adapting = self.adaptation.poll_timeout();
        self.report_at.into_iter().chain(adapting).min()
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn report_at(&self) -> Option<Instant> {
        self.report_at
    }

    /// Writes the sender reports that are due into `compound`, by the publisher's `clocks`. Returns whether there are some.
    pub fn handle_timeout<'c>(
        &mut self,
        now: Instant,
        clocks: impl Fn(TrackId, LayerId) -> Option<&'c SenderClock>,
        compound: &mut Vec<u8>,
    ) -> bool {
        if self.report_at.is_none_or(|at| now < at) {
            return false;
        }
        self.report_at = Some(now + REPORT_INTERVAL);
        let before = compound.len();
        for forwarder in &self.forwarders {
            let splice = forwarder.splice();
            let clock = forwarder
                .track()
                .zip(splice.current())
                .and_then(|(track, layer)| clocks(track, layer));
            let Some((clock, started)) = clock.zip(splice.timestamp_offset()) else {
                continue;
            };
            let (ntp, rtp_timestamp) = clock.at(now);
            let ntp = self.wall.read(now, ntp, clock.is_told());
            self.round_trip.tell(now, forwarder.ssrc(), ntp);
            let tally = forwarder.tally();
            let report = SenderReport {
                ssrc: forwarder.ssrc(),
                ntp,
                rtp_timestamp: rtp_timestamp.wrapping_add(started),
                packets: tally.packets as u32,
                bytes: tally.bytes as u32,
            };
            report.write(&self.cname, compound);
        }
        compound.len() > before
    }
}

/// The time to a viewer and back.
#[derive(Debug, Default)]
pub(super) struct RoundTrip {
    measured: Option<Duration>,
    /// A ring, whose oldest is at `next`.
    told: [Option<Told>; REMEMBERED],
    next: usize,
}

/// A sender report that was sent.
#[derive(Clone, Copy, Debug)]
struct Told {
    ssrc: u32,
    /// The middle of its NTP time, by which a receiver names it.
    middle: u32,
    at: Instant,
}

impl RoundTrip {
    /// None before a viewer has answered.
    pub(super) fn measured(&self) -> Option<Duration> {
        self.measured
    }

    /// A sender report goes out.
    fn tell(&mut self, now: Instant, ssrc: u32, ntp: u64) {
        self.told[self.next] = Some(Told {
            ssrc,
            middle: (ntp >> 16) as u32,
            at: now,
        });
        self.next = (self.next + 1) % REMEMBERED;
    }

    /// Learns from a viewer's report. What waits in a queue makes single samples longer, nothing makes them
    /// shorter: a lower one counts at once.
    pub(super) fn hear(&mut self, now: Instant, report: &ReceptionReport) {
        let is_meant =
            |told: &&Told| (told.ssrc, told.middle) == (report.ssrc, report.last_sender_report);
        let Some(told) = self.told.iter().flatten().find(is_meant) else {
            return;
        };
        let delay = Duration::from_nanos((u64::from(report.delay) * 1_000_000_000) >> 16);
        let sample = now.saturating_duration_since(told.at).saturating_sub(delay);
        self.measured = Some(match self.measured {
            Some(measured) if sample > measured => measured + (sample - measured) / 8,
            _ => sample,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_round_trip_is_the_time_to_the_answer_without_the_viewers_delay() {
        let (mut round_trip, start) = (RoundTrip::default(), Instant::now());
        let ntp = 0x1234_5678_9ABC_DEF0;
        round_trip.tell(start, 7, ntp);
        let report = |ssrc, last_sender_report| ReceptionReport {
            ssrc,
            fraction_lost: 0,
            cumulative_lost: 0,
            last_sender_report,
            delay: 1 << 15,
        };
        let after = |millis| start + Duration::from_millis(millis);
        for other in [report(8, 0x5678_9ABC), report(7, 0x5678_9ABB), report(7, 0)] {
            round_trip.hear(after(580), &other);
            assert_eq!(round_trip.measured(), None);
        }
        let answer = report(7, 0x5678_9ABC);
        round_trip.hear(after(580), &answer);
        assert_eq!(round_trip.measured(), Some(Duration::from_millis(80)));
        round_trip.hear(after(660), &answer);
        assert_eq!(round_trip.measured(), Some(Duration::from_millis(90)));
        round_trip.hear(after(550), &answer);
        assert_eq!(round_trip.measured(), Some(Duration::from_millis(50)));
        // It claims to have waited longer than it can have.
        round_trip.hear(after(100), &answer);
        assert_eq!(round_trip.measured(), Some(Duration::ZERO));
    }
}
