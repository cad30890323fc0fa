//! The statistics of a viewing: what came, when, and how late.
//!
//! Pure: told each packet with its instant of arrival. Whole frames are handed back for the writer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::frame::{Arrival, Frame, Packet, Reorder, unwrap};
use crate::rtp::{Codec, MediaKind};

/// A pause between two video frames that a viewer sees.
const FREEZE: Duration = Duration::from_millis(200);
/// The most tracks that are counted; a server that sends more is not one for viewers.
const MAX_TRACKS: usize = 16;
/// The most frames that wait for the first sender report of their track.
const MAX_UNTIMED: usize = 1024;
/// Latencies beyond this say that the clocks are not the same, in seconds.
const MAX_LATENCY: f64 = 60.0;
/// From the NTP era (1900) to the Unix one (1970), in seconds.
const NTP_TO_UNIX: f64 = 2_208_988_800.0;

/// The two clocks of this machine at one moment, to date an [`Instant`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) instant: Instant,
    /// Seconds since 1970.
    pub(super) unix: f64,
}

impl Clock {
    fn unix(&self, at: Instant) -> f64 {
        match at.checked_duration_since(self.instant) {
            Some(after) => self.unix + after.as_secs_f64(),
            None => self.unix - self.instant.duration_since(at).as_secs_f64(),
        }
    }
}

/// Everything that is counted.
#[derive(Debug)]
pub(super) struct Report {
    clock: Clock,
    /// When the offer was posted.
    start: Instant,
    pub(super) created: Option<Instant>,
    pub(super) ice: Option<Instant>,
    pub(super) connected: Option<Instant>,
    pub(super) tracks: Vec<Track>,
    /// Packets of tracks beyond [`MAX_TRACKS`].
    pub(super) ignored: u64,
}

impl Report {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            start: clock.instant,
            created: None,
            ice: None,
            connected: None,
            tracks: Vec::new(),
            ignored: 0,
        }
    }

    /// Counts a packet; `frame` gets the frames that it completed.
    pub(super) fn handle_packet(
        &mut self,
        now: Instant,
        ssrc: u32,
        codec: Codec,
        is_retransmission: bool,
        packet: Packet,
        frame: impl FnMut(Codec, Frame),
    ) {
        let known = self
            .tracks
            .iter()
            .position(|track| track.ssrc == ssrc && track.codec == codec);
        let index = match known {
            Some(index) => index,
            None if self.tracks.len() < MAX_TRACKS => {
                self.tracks.push(Track::new(now, ssrc, codec));
                self.tracks.len() - 1
            }
            None => {
                self.ignored += 1;
                return;
            }
        };
        self.tracks[index].handle_packet(now, is_retransmission, packet);
        self.tracks[index].take_frames(&self.clock, frame);
    }

    /// Takes a sender report: `ntp` in 32.32 fixed point seconds since 1900.
    pub(super) fn handle_sender_report(&mut self, ssrc: u32, ntp: u64, timestamp: u32) {
        // Zero is "no wall clock" (RFC 3550, section 6.4.1).
        if ntp == 0 {
            return;
        }
        for track in self.tracks.iter_mut().filter(|track| track.ssrc == ssrc) {
            track.handle_sender_report(ntp, timestamp, &self.clock);
        }
    }

    /// Gives up packets that have been missing for too long.
    pub(super) fn handle_timeout(&mut self, now: Instant, mut frame: impl FnMut(Codec, Frame)) {
        for track in &mut self.tracks {
            track.reorder.handle_timeout(now);
            track.take_frames(&self.clock, &mut frame);
        }
    }

    /// Nothing more will come.
    pub(super) fn finish(&mut self, now: Instant, mut frame: impl FnMut(Codec, Frame)) {
        for track in &mut self.tracks {
            track.reorder.flush(now);
            track.take_frames(&self.clock, &mut frame);
        }
    }

    /// Milliseconds from the POST to `at`.
    pub(super) fn since_start(&self, at: Option<Instant>) -> Option<f64> {
        at.map(|at| milliseconds(at.saturating_duration_since(self.start)))
    }

    /// The earliest of an instant over all tracks.
    pub(super) fn earliest(&self, of: impl Fn(&Track) -> Option<Instant>) -> Option<Instant> {
        self.tracks.iter().filter_map(of).min()
    }

    /// The last packet of any track.
    pub(super) fn last_packet(&self) -> Option<Instant> {
        self.tracks.iter().map(|track| track.last).max()
    }

    /// Whether media came that can be shown: whole frames of this kind.
    pub(super) fn has(&self, kind: MediaKind) -> bool {
        self.tracks
            .iter()
            .any(|track| track.codec.kind() == kind && track.frames > 0)
    }

    /// The latency of the video, or of the audio where there is no video that can be dated.
    pub(super) fn latency(&self) -> Option<Latency> {
        let of = |kind| {
            self.tracks
                .iter()
                .filter(|track| track.codec.kind() == kind)
                .find_map(Track::latency)
        };
        of(MediaKind::Video).or_else(|| of(MediaKind::Audio))
    }

    /// The pauses in the video.
    pub(super) fn freezes(&self) -> u64 {
        self.tracks.iter().map(|track| track.freezes).sum()
    }
}

/// The percentiles of the time from the sender's clock to the last packet of a frame, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

/// The statistics of one track: one source with one codec.
#[derive(Debug)]
pub(super) struct Track {
    ssrc: u32,
    pub(super) codec: Codec,
    pub(super) first: Instant,
    last: Instant,
    pub(super) first_frame: Option<Instant>,
    pub(super) first_keyframe: Option<Instant>,
    /// Media packets, without duplicates.
    pub(super) packets: u64,
    /// Bytes of payload.
    pub(super) bytes: u64,
    pub(super) frames: u64,
    pub(super) keyframes: u64,
    /// Packets that came in a retransmission stream.
    pub(super) retransmitted: u64,
    pub(super) duplicates: u64,
    /// Packets that came after they were given up; they stay lost.
    pub(super) late: u64,
    pub(super) freezes: u64,
    pub(super) longest_pause: Duration,
    last_frame: Option<Instant>,
    /// Interarrival jitter in units of the RTP clock (RFC 3550, section 6.4.1).
    jitter: f64,
    transit: Option<(Instant, u32)>,
    report: Option<SenderClock>,
    untimed: Vec<(Instant, u64)>,
    /// How often each latency was seen, in tenths of a millisecond.
    latencies: BTreeMap<i32, u64>,
    reorder: Reorder,
}

#[derive(Clone, Copy, Debug)]
struct SenderClock {
    /// Seconds since 1970.
    unix: f64,
    timestamp: u32,
}

impl Track {
    fn new(now: Instant, ssrc: u32, codec: Codec) -> Self {
        Self {
            ssrc,
            codec,
            first: now,
            last: now,
            first_frame: None,
            first_keyframe: None,
            packets: 0,
            bytes: 0,
            frames: 0,
            keyframes: 0,
            retransmitted: 0,
            duplicates: 0,
            late: 0,
            freezes: 0,
            longest_pause: Duration::ZERO,
            last_frame: None,
            jitter: 0.0,
            transit: None,
            report: None,
            untimed: Vec::new(),
            latencies: BTreeMap::new(),
            reorder: Reorder::new(codec),
        }
    }

    /// Packets that never came, retransmitted or not.
    pub(super) fn lost(&self) -> u64 {
        self.reorder.lost()
    }

    /// From the first packet to the last, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.last.duration_since(self.first).as_secs_f64()
    }

    /// Bits of payload a second; 0 before there is a span to divide by.
    pub(super) fn bitrate(&self) -> f64 {
        rate(self.bytes as f64 * 8.0, self.seconds())
    }

    /// Frames a second; the first one ends no interval.
    pub(super) fn frame_rate(&self) -> f64 {
        let span = match (self.first_frame, self.last_frame) {
            (Some(first), Some(last)) => last.duration_since(first).as_secs_f64(),
            _ => 0.0,
        };
        rate(self.frames.saturating_sub(1) as f64, span)
    }

    /// Interarrival jitter in milliseconds.
    pub(super) fn jitter(&self) -> f64 {
        self.jitter * 1000.0 / f64::from(self.codec.clock_rate())
    }

    /// `None` without sender reports, and when the clocks are plainly not the same.
    pub(super) fn latency(&self) -> Option<Latency> {
        let count: u64 = self.latencies.values().sum();
        let percentile = |percent: u64| {
            let rank = (count * percent).div_ceil(100).max(1);
            let mut seen = 0;
            self.latencies
                .iter()
                .find(|(_, times)| {
                    seen += **times;
                    seen >= rank
                })
                .map(|(tenths, _)| f64::from(*tenths) / 10.0)
        };
        let latency = Latency {
            p50: percentile(50)?,
            p99: percentile(99)?,
        };
        (latency.p50.abs() < MAX_LATENCY * 1000.0).then_some(latency)
    }

    fn handle_packet(&mut self, now: Instant, is_retransmission: bool, packet: Packet) {
        let bytes = packet.payload.len() as u64;
        let timestamp = packet.timestamp;
        self.last = self.last.max(now);
        if is_retransmission {
            self.retransmitted += 1;
        }
        match self.reorder.handle_packet(now, packet) {
            Arrival::New => {
                self.packets += 1;
                self.bytes += bytes;
            }
            Arrival::Late => self.late += 1,
            Arrival::Duplicate => self.duplicates += 1,
        }
        if !is_retransmission && bytes > 0 {
            self.measure_jitter(now, timestamp);
        }
    }

    fn measure_jitter(&mut self, now: Instant, timestamp: u32) {
        if let Some((before, last)) = self.transit.replace((now, timestamp)) {
            let clock = f64::from(self.codec.clock_rate());
            let arrival = now.saturating_duration_since(before).as_secs_f64() * clock;
            let sent = f64::from(timestamp.wrapping_sub(last) as i32);
            self.jitter += ((arrival - sent).abs() - self.jitter) / 16.0;
        }
    }

    fn handle_sender_report(&mut self, ntp: u64, timestamp: u32, clock: &Clock) {
        self.report = Some(SenderClock {
            unix: ntp as f64 / f64::from(1u32 << 16) / f64::from(1u32 << 16) - NTP_TO_UNIX,
            timestamp,
        });
        for (at, stamp) in std::mem::take(&mut self.untimed) {
            self.measure_latency(at, stamp, clock);
        }
    }

    fn take_frames(&mut self, clock: &Clock, mut told: impl FnMut(Codec, Frame)) {
        while let Some(frame) = self.reorder.poll_frame() {
            let at = frame.complete;
            self.frames += 1;
            self.first_frame.get_or_insert(at);
            if frame.keyframe {
                self.keyframes += 1;
                self.first_keyframe.get_or_insert(at);
            }
            if self.codec.kind() == MediaKind::Video {
                self.watch_pauses(at);
            }
            self.last_frame = Some(at);
            self.measure_latency(at, frame.timestamp, clock);
            told(self.codec, frame);
        }
    }

    /// A pause is a freeze when it is over [`FREEZE`] and longer than three usual ones: a stream of
    /// two frames a second does not freeze all the time.
    fn watch_pauses(&mut self, at: Instant) {
        let Some(last) = self.last_frame else {
            return;
        };
        let pause = at.saturating_duration_since(last);
        self.longest_pause = self.longest_pause.max(pause);
        let rate = self.frame_rate();
        let is_usual = rate > 0.0 && pause.as_secs_f64() <= 3.0 / rate;
        if pause > FREEZE && !is_usual {
            self.freezes += 1;
        }
    }

    fn measure_latency(&mut self, at: Instant, timestamp: u64, clock: &Clock) {
        let Some(report) = self.report else {
            if self.untimed.len() < MAX_UNTIMED {
                self.untimed.push((at, timestamp));
            }
            return;
        };
        let reported = unwrap(timestamp, u64::from(report.timestamp), 32);
        let ticks = timestamp as f64 - reported as f64;
        let sent = report.unix + ticks / f64::from(self.codec.clock_rate());
        let latency = (clock.unix(at) - sent).clamp(-2.0 * MAX_LATENCY, 2.0 * MAX_LATENCY);
        *self
            .latencies
            .entry((latency * 10_000.0).round() as i32)
            .or_default() += 1;
    }
}

pub(super) fn milliseconds(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

fn rate(count: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { count / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const KEY: &[u8] = &[0x10, 0x00, 0xff];
    const DELTA: &[u8] = &[0x10, 0x01, 0xff];
    const UNIX: f64 = 1_700_000_000.0;

    struct Fixture {
        start: Instant,
        report: Report,
    }

    impl Fixture {
        fn new() -> Self {
            let start = Instant::now();
            let clock = Clock {
                instant: start,
                unix: UNIX,
            };
            Self {
                start,
                report: Report::new(clock),
            }
        }

        /// A frame of one packet, at milliseconds from the start.
        fn frame(&mut self, at: u64, sequence: u16, payload: &'static [u8]) {
            self.packet(at, sequence, 90 * at as u32, payload);
        }

        fn packet(&mut self, at: u64, sequence: u16, timestamp: u32, payload: &'static [u8]) {
            let packet = Packet {
                sequence,
                timestamp,
                marker: true,
                payload: Bytes::from_static(payload),
            };
            let now = self.start + Duration::from_millis(at);
            self.report
                .handle_packet(now, 1, Codec::Vp8, false, packet, |_, _| {});
        }

        fn track(&self) -> &Track {
            &self.report.tracks[0]
        }
    }

    fn ntp(unix: f64) -> u64 {
        ((unix + NTP_TO_UNIX) * f64::from(1u32 << 16) * f64::from(1u32 << 16)) as u64
    }

    #[test]
    fn frames_keyframes_and_rates_are_counted() {
        let mut fixture = Fixture::new();
        fixture.frame(100, 1, DELTA);
        fixture.frame(140, 2, KEY);
        fixture.frame(180, 3, DELTA);
        fixture.frame(180, 3, DELTA);
        let track = fixture.track();
        assert_eq!((track.packets, track.bytes, track.frames), (3, 9, 3));
        assert_eq!((track.keyframes, track.duplicates), (1, 1));
        assert!((track.frame_rate() - 25.0).abs() < 0.01);
        assert!((track.bitrate() - 900.0).abs() < 0.01);
        let at = |at| fixture.report.since_start(at);
        assert_eq!(at(track.first_frame), Some(100.0));
        assert_eq!(at(track.first_keyframe), Some(140.0));
    }

    #[test]
    fn what_never_comes_is_lost_in_the_end() {
        let mut fixture = Fixture::new();
        fixture.frame(0, 1, KEY);
        fixture.frame(80, 3, DELTA);
        assert_eq!(fixture.track().lost(), 0);
        fixture.report.finish(fixture.start, |_, _| {});
        assert_eq!((fixture.track().lost(), fixture.track().frames), (1, 2));
    }

    #[test]
    fn a_pause_is_a_freeze_only_when_it_is_unusual() {
        let mut fixture = Fixture::new();
        for number in 0..10 {
            fixture.frame(u64::from(number) * 40, number, DELTA);
        }
        assert_eq!(fixture.report.freezes(), 0);
        fixture.frame(700, 10, DELTA);
        assert_eq!(fixture.report.freezes(), 1);
        assert_eq!(fixture.track().longest_pause, Duration::from_millis(340));

        let mut slow = Fixture::new();
        for number in 0..10 {
            slow.frame(u64::from(number) * 500, number, DELTA);
        }
        assert!(slow.report.freezes() <= 1);
    }

    #[test]
    fn even_arrivals_have_no_jitter() {
        let mut fixture = Fixture::new();
        for number in 0..50 {
            fixture.frame(u64::from(number) * 40, number, DELTA);
        }
        assert!(fixture.track().jitter() < 0.001);
        fixture.packet(2016, 50, 90 * 2000, DELTA);
        assert!((fixture.track().jitter() - 1.0).abs() < 0.001);
    }

    #[test]
    fn latency_is_measured_against_the_senders_clock() {
        let mut fixture = Fixture::new();
        fixture.frame(50, 1, KEY);
        assert_eq!(fixture.report.latency(), None);
        // The timestamp of the frame was captured 20 ms before it arrived.
        fixture
            .report
            .handle_sender_report(1, ntp(UNIX + 1.030), 90 * 1050);
        fixture.frame(1050, 2, DELTA);
        let latency = fixture.report.latency().unwrap();
        assert!((latency.p50 - 20.0).abs() < 0.11, "{latency:?}");
        assert!((latency.p99 - 20.0).abs() < 0.11, "{latency:?}");
    }

    #[test]
    fn clocks_that_differ_give_no_latency() {
        let mut fixture = Fixture::new();
        fixture.frame(50, 1, KEY);
        fixture.report.handle_sender_report(1, ntp(1000.0), 90 * 50);
        assert_eq!(fixture.report.latency(), None);
        fixture.report.handle_sender_report(1, 0, 0);
        assert_eq!(fixture.report.latency(), None);
    }

    #[test]
    fn sources_beyond_the_limit_are_only_counted() {
        let mut fixture = Fixture::new();
        for ssrc in 0..20 {
            let packet = Packet {
                sequence: 0,
                timestamp: 0,
                marker: true,
                payload: Bytes::from_static(KEY),
            };
            let now = fixture.start;
            fixture
                .report
                .handle_packet(now, ssrc, Codec::Vp8, false, packet, |_, _| {});
        }
        assert_eq!(fixture.report.tracks.len(), MAX_TRACKS);
        assert_eq!(fixture.report.ignored, 4);
    }
}
