//! The clock of a line of packets.

use std::cell::Cell;
use std::rc::Rc;

use crate::egress::hls::timeline::TrackClock;

/// The clock of a line. The lines of one source share it, so that a picture has one time in all of them, to the tick:
/// players that go from one to the other take what differs for a gap.
#[derive(Clone, Debug)]
pub(super) struct LineClock(Rc<Cell<State>>);

#[derive(Clone, Copy, Debug)]
struct State {
    clock: TrackClock,
    /// A sender report that came before the first packet: its RTP timestamp and NTP time.
    report: Option<(u32, u64)>,
}

impl LineClock {
    /// A clock of `rate` ticks a second.
    pub(super) fn new(rate: u32) -> Self {
        let clock = TrackClock::new(rate);
        Self(Rc::new(Cell::new(State {
            clock,
            report: None,
        })))
    }

    /// As it is now.
    pub(super) fn get(&self) -> TrackClock {
        self.0.get().clock
    }

    /// The media time (ns) of a packet that arrived at `arrival` (ns since 1970).
    pub(super) fn handle_packet(&self, timestamp: u32, arrival: i64) -> i64 {
        let mut state = self.0.get();
        let time = state.clock.handle_packet(timestamp, arrival);
        if let Some((rtp, ntp)) = state.report.take() {
            state.clock.handle_report(rtp, ntp);
        }
        self.0.set(state);
        time
    }

    /// Takes a sender report: RTP timestamp and NTP time of one instant.
    pub(super) fn handle_report(&self, rtp: u32, ntp: u64) {
        let mut state = self.0.get();
        match state.clock.has_begun() {
            true => state.clock.handle_report(rtp, ntp),
            false => state.report = Some((rtp, ntp)),
        }
        self.0.set(state);
    }
}
