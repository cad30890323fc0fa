//! RTP timestamps of all tracks on one clock: the publisher's by sender reports, else that of the arrivals.
//!
//! Each track has a *media time* of its own, in nanoseconds and straight from its RTP timestamps, so
//! that durations stay as regular as the publisher made them. [`Walls`] says which wall-clock time
//! media time zero has.

use std::time::Duration;

use super::rendition::RenditionId;

/// The clock of a track.
#[derive(Clone, Copy, Debug)]
pub struct TrackClock {
    rate: i64,
    last: Option<Last>,
    /// Least wall-clock minus media time of the arrivals: the packet that was delayed least.
    arrival: Option<i64>,
    /// By how much that has become less (ns), but for what a fast clock of the publisher may take from it.
    gained: i64,
    /// When the newest packet arrived.
    newest: i64,
    /// The same from the last sender report, on the publisher's clock.
    report: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    timestamp: u32,
    ticks: i64,
    /// Correction of `ticks` after a jump, in nanoseconds.
    jump: i64,
    arrival: i64,
}

/// The wall-clock time (ns since 1970) of media time zero, for each rendition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walls {
    of: [Option<i64>; RenditionId::COUNT],
    /// All of them come from sender reports, so that they fit each other exactly.
    pub reported: bool,
}

impl Walls {
    /// All renditions on one clock: by sender reports when all that have packets have one, else by arrival.
    ///
    /// A publisher's clock that is off by more than [`Self::TRUSTED`] is used between the tracks only.
    pub fn of(clocks: impl IntoIterator<Item = (RenditionId, TrackClock)>) -> Self {
        let (mut arrivals, mut reports) = (Self::default(), Self::default());
        let (mut any, mut all, mut off) = (false, true, None);
        for (rendition, clock) in clocks {
            arrivals.set(rendition, clock.arrival);
            reports.set(rendition, clock.report);
            if clock.last.is_some() {
                any = true;
                all &= clock.report.is_some();
            }
            off = off.or_else(|| Some(clock.arrival? - clock.report?));
        }
        if !(any && all) {
            return arrivals;
        }
        let off = off.filter(|off| off.unsigned_abs() > Self::TRUSTED.as_nanos() as u64);
        let shift = off.unwrap_or(0);
        Self {
            of: reports.of.map(|report| Some(report? + shift)),
            reported: true,
        }
    }

    /// That of one rendition, if it is known. What is made of another track's sound is as old as that.
    pub fn get(&self, rendition: RenditionId) -> Option<i64> {
        let own = self.of[rendition.index()];
        match rendition {
            RenditionId::Aac => own.or(self.of[RenditionId::Audio.index()]),
            RenditionId::Video(_) | RenditionId::Audio => own,
        }
    }

    /// Sets that of one rendition.
    pub fn set(&mut self, rendition: RenditionId, wall: Option<i64>) {
        self.of[rendition.index()] = wall;
    }

    /// How far a publisher's clock may be from ours to count as the right time.
    pub const TRUSTED: Duration = Duration::from_secs(10);
}

impl TrackClock {
    /// A clock of `rate` ticks a second.
    pub fn new(rate: u32) -> Self {
        Self {
            rate: i64::from(rate.max(1)),
            last: None,
            arrival: None,
            gained: 0,
            newest: 0,
            report: None,
        }
    }

    /// Whether the publisher has told its clock.
    pub fn is_reported(&self) -> bool {
        self.report.is_some()
    }

    /// Whether a packet has come.
    pub fn has_begun(&self) -> bool {
        self.last.is_some()
    }

    /// The media time (ns, never negative in practice) of a packet that arrived at `arrival` (ns since 1970).
    ///
    /// A jump of the timestamps by more than [`Self::MAX_JUMP`] against the arrivals is taken out; so is what takes them
    /// further ahead of the arrivals than that step by step.
    pub fn handle_packet(&mut self, timestamp: u32, arrival: i64) -> i64 {
        let start = Last {
            timestamp,
            ticks: 0,
            jump: Self::ORIGIN,
            arrival,
        };
        let last = self.last.unwrap_or(start);
        let step = i64::from(timestamp.wrapping_sub(last.timestamp) as i32);
        let mut next = Last {
            timestamp,
            ticks: last.ticks + step,
            jump: last.jump,
            arrival,
        };
        let jump = self.nanoseconds(step) - (arrival - last.arrival);
        let lead = arrival - (self.nanoseconds(next.ticks) + next.jump);
        let restarted = jump.unsigned_abs() > Self::MAX_JUMP.as_nanos() as u64;
        if restarted || !self.follows_arrivals(lead, arrival) {
            next.jump -= jump;
            self.report = None;
            self.arrival = None;
        }
        self.last = Some(next);
        let media = self.nanoseconds(next.ticks) + next.jump;
        let lead = arrival - media;
        self.arrival = Some(self.arrival.map_or(lead, |least| least.min(lead)));
        media
    }

    /// Whether a packet that arrived at `arrival`, `lead` after its media time, is no further ahead of the arrivals than
    /// some are. Whatever others were delayed by, it may catch up with the one that was delayed least. It may also get ahead
    /// of that, as the first ones may all have been late, or old when they were sent, but not by more than
    /// [`Self::MAX_JUMP`]; and as slowly as a clock is fast it may do so for ever.
    fn follows_arrivals(&mut self, lead: i64, arrival: i64) -> bool {
        let passed = (arrival - self.newest).max(0);
        self.newest = self.newest.max(arrival);
        self.gained = (self.gained - passed / FASTEST).max(0);
        let gain = self.arrival.map_or(0, |least| (least - lead).max(0));
        let follows = self.gained + gain <= Self::MAX_JUMP.as_nanos() as i64;
        if follows {
            self.gained += gain;
        }
        follows
    }

    /// A sender report: RTP timestamp and NTP time of one instant (RFC 3550, section 6.4.1).
    pub fn handle_report(&mut self, timestamp: u32, ntp: u64) {
        let Some(last) = self.last else {
            return;
        };
        let step = i64::from(timestamp.wrapping_sub(last.timestamp) as i32);
        let media = self.nanoseconds(last.ticks + step) + last.jump;
        let seconds = (ntp >> 32) as i64 - NTP_TO_UNIX;
        let fraction = (((ntp & 0xffff_ffff) * 1_000_000_000) >> 32) as i64;
        self.report = Some(seconds * 1_000_000_000 + fraction - media);
    }

    /// Media time begins here, so that frames shown before the first one have a time too.
    pub const ORIGIN: i64 = 10_000_000_000;
    /// A larger jump of the timestamps is a restart of the publisher's clock.
    pub const MAX_JUMP: Duration = Duration::from_secs(10);

    fn nanoseconds(&self, ticks: i64) -> i64 {
        (i128::from(ticks) * 1_000_000_000 / i128::from(self.rate)) as i64
    }
}

/// A publisher's clock is fast by less than one part in so many.
const FASTEST: i64 = 100;
/// Seconds from 1900 to 1970.
const NTP_TO_UNIX: i64 = 2_208_988_800;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const MILLI: i64 = 1_000_000;
    const START: i64 = 1_750_000_000 * SECOND;
    const VIDEO: RenditionId = RenditionId::Video(0);
    const AUDIO: RenditionId = RenditionId::Audio;

    fn ntp(unix: i64) -> u64 {
        let fraction = ((unix % SECOND) as u64) << 32;
        (((unix / SECOND + NTP_TO_UNIX) as u64) << 32) + fraction / SECOND as u64
    }

    #[test]
    fn timestamps_wrap_and_go_on() {
        let mut clock = TrackClock::new(90_000);
        assert_eq!(
            clock.handle_packet(u32::MAX - 44_999, START),
            TrackClock::ORIGIN
        );
        assert_eq!(
            clock.handle_packet(45_000, START + SECOND),
            TrackClock::ORIGIN + SECOND
        );
        assert_eq!(
            clock.handle_packet(0, START + SECOND),
            TrackClock::ORIGIN + SECOND / 2
        );
    }

    #[test]
    fn a_restarted_clock_goes_on_by_arrival() {
        let mut clock = TrackClock::new(90_000);
        clock.handle_packet(0, START);
        assert_eq!(
            clock.handle_packet(1 << 30, START + SECOND),
            TrackClock::ORIGIN + SECOND
        );
        assert_eq!(
            clock.handle_packet((1 << 30) + 90_000, START + 2 * SECOND),
            TrackClock::ORIGIN + 2 * SECOND
        );
    }

    /// The media times of packets since the first: each has its timestamp in ms, and arrives so many ns after the begin.
    fn times(packets: impl Iterator<Item = (i64, i64)>) -> Vec<i64> {
        let mut clock = TrackClock::new(1_000);
        let time =
            |(millis, arrival): (i64, i64)| clock.handle_packet(millis as u32, START + arrival);
        let media = packets.map(time);
        media.map(|media| media - TrackClock::ORIGIN).collect()
    }

    #[test]
    fn timestamps_do_not_run_away_in_steps_that_are_no_jumps() {
        // The second publisher jumps far in between, the third goes back, and the packets of the fourth are out of order.
        for (forth, back) in [(9_900, 9_900), (9_900, 99_000), (9_900, -9_900), (9_700, 0)] {
            let mut millis = 0;
            let packets = (0..10_000).map(|index| {
                millis += if index % 2 == 0 { forth } else { back };
                let late = if back == 0 { index % 2 * 200 } else { 0 };
                (millis, (index + late) * MILLI)
            });
            let newest = times(packets).into_iter().max();
            // 10 s of packets, and as much at once.
            let most = 20 * SECOND + SECOND / 2;
            assert!(newest < Some(most), "{newest:?} with {forth} and {back}");
        }
    }

    #[test]
    fn what_was_delayed_or_old_is_no_reason_to_take_timestamps_for_others() {
        // A frame each `step` ms, for so many of them; `arrival` is when it arrives.
        fn follows(step: i64, count: i64, arrival: impl Fn(i64) -> i64) {
            let frames = (0..count).map(|index| index * step);
            let expected: Vec<_> = frames.clone().map(|time| time * MILLI).collect();
            assert!(times(frames.map(|time| (time, arrival(time) * MILLI))) == expected);
        }
        // A burst of what was kept for 8 s goes ahead.
        follows(20, 5_000, |time| (time - 8_000).max(0));
        // Each minute nothing gets through for 9 s, and then all at once.
        follows(20, 50_000, |time| time.max(time / 60_000 * 60_000 + 9_000));
        // A day with a clock that is fast by one part in a thousand.
        follows(1_000, 24 * 3_600, |time| time - time / 1_000);
    }

    #[test]
    fn the_packet_that_was_delayed_least_counts() {
        let mut clock = TrackClock::new(90_000);
        clock.handle_packet(0, START + SECOND / 2);
        clock.handle_packet(90_000, START + SECOND + SECOND / 10);
        clock.handle_packet(180_000, START + 2 * SECOND + SECOND / 5);
        let walls = Walls::of([(VIDEO, clock)]);
        assert_eq!(
            walls.get(VIDEO),
            Some(START + SECOND / 10 - TrackClock::ORIGIN)
        );
        assert!(!walls.reported);
    }

    #[test]
    fn reports_of_both_align_the_tracks() {
        let (mut video, mut audio) = (TrackClock::new(90_000), TrackClock::new(48_000));
        video.handle_packet(1000, START);
        audio.handle_packet(5000, START + SECOND / 10);
        assert!(!Walls::of([(VIDEO, video), (AUDIO, audio)]).reported);
        video.handle_report(1000, ntp(START - SECOND / 4));
        assert!(!Walls::of([(VIDEO, video), (AUDIO, audio)]).reported);
        audio.handle_report(5000 + 48_000, ntp(START + SECOND));
        let walls = Walls::of([(VIDEO, video), (AUDIO, audio)]);
        assert!(walls.reported);
        let near = |wall: Option<i64>, expected: i64| {
            (wall.unwrap() + TrackClock::ORIGIN - expected).abs() < 10
        };
        assert!(near(walls.get(VIDEO), START - SECOND / 4) && near(walls.get(AUDIO), START));
    }

    #[test]
    fn a_wrong_clock_of_the_publisher_aligns_but_does_not_date() {
        let (mut video, mut audio) = (TrackClock::new(90_000), TrackClock::new(48_000));
        video.handle_packet(0, START);
        audio.handle_packet(0, START);
        video.handle_report(0, ntp(1_000 * SECOND));
        audio.handle_report(0, ntp(1_000 * SECOND + SECOND / 2));
        let walls = Walls::of([(VIDEO, video), (AUDIO, audio)]);
        assert_eq!(walls.get(VIDEO), Some(START - TrackClock::ORIGIN));
        assert!((walls.get(AUDIO).unwrap() - walls.get(VIDEO).unwrap() - SECOND / 2).abs() < 10);
    }
}
