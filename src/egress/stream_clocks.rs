//! The clocks of all layers of a stream, for the sender reports to its viewers: what the publisher reports,
//! or what is assumed until it does.
//!
//! Players align sound and picture by sender reports (RFC 3550, section 6.4.1), and one that came gets them
//! at once, while publishers send theirs late, or never. Until then a packet counts as captured when it came, by
//! the earliest packets of each layer: what the way of the others adds is the network's and the encoder's, and
//! differs from track to track.
//!
//! All layers move together when the publisher tells its wall clock for the first time, and when it sets it.
//! Pure state; the caller knows the time.

mod capture;

use std::time::{Duration, Instant};

use super::{SenderClock, ntp_duration};
use crate::stream::{LayerId, TrackId};

/// So long the earliest packet is looked for; then the clock goes by it. The clocks of a publisher may
/// drift against ours meanwhile: 100 ppm are 1 ms.
const WINDOW: Duration = Duration::from_secs(10);

/// The publisher's wall clock was set when it says another time by more than this. In 32.32 fixed point
/// seconds.
const STEP: u64 = SECOND / 10;

const SECOND: u64 = 1 << 32;

/// The clocks of one publisher's layers.
#[derive(Debug)]
pub struct StreamClocks {
    /// By [`TrackId`].
    tracks: Vec<Track>,
    /// What the wall clock says when a packet comes.
    arrivals: Option<Arrivals>,
    /// The publisher has set its wall clock, from which that of viewers differs since.
    was_set: bool,
}

#[derive(Debug)]
struct Track {
    clock_rate: u32,
    /// By [`LayerId`].
    layers: [Option<Layer>; LayerId::MAX_LAYERS],
    /// When layers are to tell when they were captured.
    due: capture::Due,
}

#[derive(Clone, Copy, Debug)]
enum Layer {
    /// Nothing was told yet.
    Assumed {
        clock: SenderClock,
        /// By the earliest packet of the window.
        earliest: SenderClock,
        /// The end of the window.
        until: Instant,
    },
    Told(SenderClock),
}

/// An instant, and the NTP time for it.
#[derive(Clone, Copy, Debug)]
struct Arrivals {
    at: Instant,
    ntp: u64,
}

impl Arrivals {
    fn ntp_of(self, at: Instant) -> u64 {
        let elapsed = at.saturating_duration_since(self.at);
        let before = self.at.saturating_duration_since(at);
        self.ntp
            .wrapping_add(ntp_duration(elapsed))
            .wrapping_sub(ntp_duration(before))
    }
}

impl StreamClocks {
    /// Of a stream whose tracks have these clock rates, in Hz.
    pub fn new(clock_rates: impl IntoIterator<Item = u32>) -> Self {
        let track = |clock_rate| Track {
            clock_rate,
            layers: [None; LayerId::MAX_LAYERS],
            due: capture::Due::default(),
        };
        Self {
            tracks: clock_rates.into_iter().map(track).collect(),
            arrivals: None,
            was_set: false,
        }
    }

    /// The clock of a layer, if the publisher has told it.
    pub fn told(&self, track: TrackId, layer: LayerId) -> Option<SenderClock> {
        let track = self.tracks.get(usize::from(track.0))?;
        match track.layers.get(usize::from(layer.0))? {
            Some(Layer::Told(clock)) => Some(*clock),
            Some(Layer::Assumed { .. }) | None => None,
        }
    }

    /// A packet came at `received`, the first of its frame. Gives the clock of its layer where that has become
    /// another. `wall` is our own wall clock at `received` as NTP time; it is asked once.
    pub fn packet(
        &mut self,
        track: TrackId,
        layer: LayerId,
        timestamp: u32,
        received: Instant,
        wall: impl FnOnce() -> u64,
    ) -> Option<SenderClock> {
        let track = self.tracks.get_mut(usize::from(track.0))?;
        let slot = track.layers.get_mut(usize::from(layer.0))?;
        if let Some(Layer::Told(_)) = slot {
            return None;
        }
        let arrivals = *self.arrivals.get_or_insert_with(|| Arrivals {
            at: received,
            ntp: wall(),
        });
        let ntp = arrivals.ntp_of(received);
        let by_this = SenderClock::assumed(ntp, timestamp, received, track.clock_rate);
        let Some(Layer::Assumed {
            clock,
            earliest,
            until,
        }) = slot
        else {
            *slot = Some(Layer::Assumed {
                clock: by_this,
                earliest: by_this,
                until: received + WINDOW,
            });
            return Some(by_this);
        };
        if is_earlier(by_this, *earliest) {
            *earliest = by_this;
        }
        let over = received >= *until;
        if over || is_earlier(*earliest, *clock) {
            *clock = *earliest;
            if over {
                (*earliest, *until) = (by_this, received + WINDOW);
            }
            return Some(*clock);
        }
        None
    }

    /// The publisher told the clock of a layer; `tell` hears of all clocks that have become others.
    pub fn report(
        &mut self,
        track: TrackId,
        layer: LayerId,
        told: SenderClock,
        mut tell: impl FnMut(TrackId, LayerId, SenderClock),
    ) {
        let (at, ntp) = told.arrival();
        let arrivals = *self.arrivals.get_or_insert(Arrivals { at, ntp });
        let Some(slot) = self
            .tracks
            .get_mut(usize::from(track.0))
            .and_then(|track| track.layers.get_mut(usize::from(layer.0)))
        else {
            return;
        };
        // What is assumed of others goes by the newest that is told; what was told of them stays, unless the
        // wall clock was set.
        let (moved, was_set) = match slot.replace(Layer::Told(told)) {
            Some(Layer::Told(before)) => (set_by(before, told), true),
            Some(Layer::Assumed { clock, .. }) => (told.ahead_of(&clock), false),
            None => (told.ahead_of_arrival(|at| arrivals.ntp_of(at)), false),
        };
        tell(track, layer, told);
        self.was_set |= was_set && moved != 0;
        if moved != 0 {
            self.go_along((track, layer), moved, was_set, tell);
        }
    }

    /// All but one layer move, or only those of which nothing was told.
    fn go_along(
        &mut self,
        but: (TrackId, LayerId),
        by: u64,
        was_set: bool,
        mut tell: impl FnMut(TrackId, LayerId, SenderClock),
    ) {
        if let Some(arrivals) = &mut self.arrivals {
            arrivals.ntp = arrivals.ntp.wrapping_add(by);
        }
        for (id, track) in (0..).map(TrackId).zip(&mut self.tracks) {
            for (number, slot) in (0..).map(LayerId).zip(&mut track.layers) {
                let clock = match slot.as_mut().filter(|_| (id, number) != but) {
                    Some(Layer::Assumed {
                        clock, earliest, ..
                    }) => {
                        *earliest = earliest.moved(by);
                        clock
                    }
                    Some(Layer::Told(clock)) if was_set => clock,
                    Some(Layer::Told(_)) | None => continue,
                };
                *clock = clock.moved(by);
                tell(id, number, *clock);
            }
        }
    }
}

/// Whether the packet of `one` came sooner after its capture than that of `other`.
fn is_earlier(one: SenderClock, other: SenderClock) -> bool {
    (one.ahead_of(&other) as i64) < 0
}

/// By how much the publisher's wall clock was set between two reports of a layer; 0 where it was not.
///
/// It is another then against the time of arrival as well as against the media. A report that came late
/// is so against the former alone, timestamps that begin anew are so against the latter.
fn set_by(before: SenderClock, after: SenderClock) -> u64 {
    let by_media = after.ahead_of(&before) as i64;
    let (at, ntp) = before.arrival();
    let by_arrival = after.ahead_of_arrival(|now| Arrivals { at, ntp }.ntp_of(now));
    let size = by_media.unsigned_abs();
    let apart = by_media.wrapping_sub(by_arrival as i64).unsigned_abs();
    if size > STEP && apart < size / 2 {
        by_media as u64
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUDIO: TrackId = TrackId(0);
    const VIDEO: TrackId = TrackId(1);
    const LAYER: LayerId = LayerId(0);
    const OURS: u64 = 4_000 * SECOND;

    struct Stage {
        clocks: StreamClocks,
        start: Instant,
        /// What was told of each track last.
        known: [Option<SenderClock>; 2],
    }

    impl Stage {
        fn new() -> Self {
            Self {
                clocks: StreamClocks::new([48_000, 90_000]),
                start: Instant::now(),
                known: [None; 2],
            }
        }

        /// A packet captured at one time that came at another, in ms since the start.
        fn packet(&mut self, track: TrackId, captured: u64, came: u64) -> Option<SenderClock> {
            let timestamp = (captured * rate(track) / 1_000) as u32;
            let received = self.start + Duration::from_millis(came);
            let ours = || OURS;
            let clock = self.clocks.packet(track, LAYER, timestamp, received, ours);
            let known = &mut self.known[usize::from(track.0)];
            *known = clock.or(*known);
            clock
        }

        /// A report of what the publisher's clock says about one time, which came at another.
        fn report(&mut self, track: TrackId, ntp: u64, captured: u64, came: u64) -> usize {
            let timestamp = (captured * rate(track) / 1_000) as u32;
            let at = self.start + Duration::from_millis(came);
            let clock = SenderClock::new(ntp, timestamp, at, rate(track) as u32);
            let (known, mut told) = (&mut self.known, 0);
            self.clocks.report(track, LAYER, clock, |track, _, clock| {
                known[usize::from(track.0)] = Some(clock);
                told += 1;
            });
            assert_eq!(self.clocks.told(track, LAYER), Some(clock));
            told
        }

        /// What the clocks say about the capture at a time, in ms.
        fn ntp(&self, track: TrackId, captured: u64) -> i64 {
            let timestamp = (captured * rate(track) / 1_000) as u32;
            let clock = self.known[usize::from(track.0)].unwrap();
            ((u128::from(clock.ntp_of(timestamp)) * 1_000 + (1 << 31)) >> 32) as i64
        }
    }

    fn rate(track: TrackId) -> u64 {
        if track == AUDIO { 48_000 } else { 90_000 }
    }

    #[test]
    fn without_reports_the_earliest_packets_say_when_each_layer_was_captured() {
        let mut stage = Stage::new();
        // The first packets waited: the sound 80 ms, the picture 250 ms.
        assert!(stage.packet(AUDIO, 0, 80).is_some());
        assert!(stage.packet(VIDEO, 0, 250).is_some());
        assert!(stage.packet(AUDIO, 20, 25).is_some());
        assert!(stage.packet(VIDEO, 33, 42).is_some());
        assert!(stage.packet(AUDIO, 40, 60).is_none(), "later than before");
        let apart = stage.ntp(AUDIO, 100) - stage.ntp(VIDEO, 100);
        assert!((-5..=-3).contains(&apart), "{apart} ms");
        // Our clock at the first packet, and the time since.
        assert_eq!(stage.ntp(AUDIO, 20), (4_000_000 - 80) + 25);
    }

    #[test]
    fn a_way_that_got_longer_is_believed_after_a_while() {
        let mut stage = Stage::new();
        stage.packet(VIDEO, 0, 5);
        let told = (1..1_000).filter(|n| stage.packet(VIDEO, n * 33, n * 33 + 45).is_some());
        assert!(told.count() <= 4, "each window says it once");
        let before = 4_000_000 - 5;
        assert_eq!(stage.ntp(VIDEO, 33_000) - before, 33_000 + 45);
    }

    #[test]
    fn what_is_assumed_follows_what_is_told() {
        let mut stage = Stage::new();
        stage.packet(AUDIO, 0, 5);
        stage.packet(VIDEO, 0, 9);
        assert_eq!(stage.report(AUDIO, 77 * SECOND, 1_000, 1_008), 2);
        assert_eq!(stage.ntp(AUDIO, 1_000), 77_000);
        assert_eq!(stage.ntp(VIDEO, 1_000), 77_004);
        assert!(stage.packet(AUDIO, 2_000, 2_000).is_none(), "it is told");
        assert_eq!(stage.report(VIDEO, 78 * SECOND, 2_000, 2_010), 1);
        assert_eq!(stage.ntp(VIDEO, 2_000), stage.ntp(AUDIO, 2_000));
    }

    #[test]
    fn a_report_before_any_packet_says_what_others_are_assumed_by() {
        let mut stage = Stage::new();
        assert_eq!(stage.report(AUDIO, 77 * SECOND, 0, 10), 1);
        stage.packet(VIDEO, 0, 15);
        assert_eq!(stage.ntp(VIDEO, 0), 77_005);
    }

    #[test]
    fn all_layers_go_along_when_the_wall_clock_is_set() {
        let mut stage = Stage::new();
        stage.report(AUDIO, 100 * SECOND, 0, 10);
        stage.report(VIDEO, 100 * SECOND, 0, 12);
        // By 30 s; the picture's report comes later.
        assert_eq!(stage.report(AUDIO, 135 * SECOND, 5_000, 5_030), 2);
        assert_eq!(stage.ntp(VIDEO, 5_000), 135_000);
        assert_eq!(stage.report(VIDEO, 135 * SECOND, 5_000, 5_050), 1);
        assert_eq!(stage.ntp(AUDIO, 5_000), 135_000);
    }

    #[test]
    fn late_reports_and_new_timestamps_are_no_set_clock() {
        let mut stage = Stage::new();
        stage.report(AUDIO, 100 * SECOND, 0, 10);
        stage.report(VIDEO, 100 * SECOND, 0, 12);
        assert_eq!(stage.report(AUDIO, 105 * SECOND, 5_000, 5_900), 1);
        assert_eq!(stage.report(AUDIO, 110 * SECOND, 10_700, 10_010), 1);
        assert_eq!(stage.ntp(VIDEO, 10_000), 110_000);
        assert_eq!(stage.ntp(AUDIO, 10_700), 110_000);
    }

    #[test]
    fn tracks_and_layers_that_are_not_there_change_nothing() {
        let mut stage = Stage::new();
        let now = stage.start;
        let far = LayerId(LayerId::MAX_LAYERS as u8);
        for (track, layer) in [(TrackId(7), LAYER), (AUDIO, far)] {
            let clock = SenderClock::new(1, 2, now, 48_000);
            assert_eq!(stage.clocks.packet(track, layer, 0, now, || OURS), None);
            stage.clocks.report(track, layer, clock, |_, _, _| panic!());
            assert_eq!(stage.clocks.told(track, layer), None);
        }
    }
}
