//! When frames were captured, for players that measure how old the picture is that they show.
//!
//! The offset in a value is that of the capture clock from the clock of the *sender reports beside it*. Viewers
//! are told the publisher's, as long as they don't hold on to another: one that was assumed before it told its own,
//! or that it had before it was set. Then nothing is said rather than something wrong. Pure.

use std::time::{Duration, Instant};

use super::StreamClocks;
use crate::rtp::{CaptureTime, Extension};
use crate::stream::{LayerId, Packet};

/// How often a layer is given a value where its publisher sends none; receivers go by RTP timestamps between.
const INTERVAL: Duration = Duration::from_secs(1);

/// A publisher that sent values itself is expected to send the next within this.
const PATIENCE: Duration = Duration::from_secs(5);

/// When the layers of a track are to be given a value next; none: at once.
pub(super) type Due = [Option<Instant>; LayerId::MAX_LAYERS];

impl StreamClocks {
    /// Lets a packet say when it was captured only as far as that is true beside our sender reports. Where the
    /// publisher sends no capture times but has told its clock, one packet a second of each layer is given one.
    pub fn stamp(&mut self, packet: &mut Packet) {
        let told = self.told(packet.track, packet.layer);
        let Some(due) = self
            .tracks
            .get_mut(usize::from(packet.track.0))
            .and_then(|track| track.due.get_mut(usize::from(packet.layer.0)))
        else {
            return;
        };
        let published = packet
            .extensions
            .remove(Extension::AbsCaptureTime, CaptureTime::from_bytes);
        let (time, pause) = match (published, told) {
            (Some(time), _) => {
                let time = time.map(|time| CaptureTime {
                    // Without a report of the publisher, its clock can't be compared with ours.
                    offset: time.offset.filter(|_| told.is_some()),
                    ..time
                });
                (time, PATIENCE)
            }
            (None, Some(clock)) if due.is_none_or(|due| packet.received >= due) => {
                let time = CaptureTime {
                    ntp: clock.ntp_of(packet.timestamp),
                    offset: Some(0),
                };
                (Some(time), INTERVAL)
            }
            (None, _) => return,
        };
        *due = Some(packet.received + pause);
        if let Some(time) = time.filter(|_| !self.was_set) {
            let mut buffer = [0; CaptureTime::MAX_LEN];
            let value = time.write(&mut buffer);
            packet.extensions.push(Extension::AbsCaptureTime, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::SECOND;
    use super::*;
    use crate::egress::SenderClock;
    use crate::stream::TrackId;

    const LAYER: LayerId = LayerId(0);
    const TRACK: TrackId = TrackId(0);
    /// What our wall clock says at the start, and the publisher's.
    const OURS: u64 = 4_000 * SECOND;
    const THEIRS: u64 = 9_000 * SECOND;

    struct Stage {
        clocks: StreamClocks,
        start: Instant,
    }

    impl Stage {
        fn new() -> Self {
            Self {
                clocks: StreamClocks::new([48_000]),
                start: Instant::now(),
            }
        }

        /// The capture time of a packet that was captured at one time, in ms, and came with a value.
        fn packet(&mut self, millis: u64, value: Option<&[u8]>) -> Option<CaptureTime> {
            let mut packet = Packet::empty(self.start + Duration::from_millis(millis));
            packet.timestamp = millis as u32 * 48;
            packet.extensions.push(Extension::AudioLevel, &[9]);
            if let Some(value) = value {
                packet.extensions.push(Extension::AbsCaptureTime, value);
            }
            let (timestamp, received) = (packet.timestamp, packet.received);
            self.clocks
                .packet(TRACK, LAYER, timestamp, received, || OURS);
            self.clocks.stamp(&mut packet);
            let level = (Extension::AudioLevel, &[9][..]);
            assert_eq!(packet.extensions.iter().next(), Some(level));
            let time = Extension::AbsCaptureTime;
            packet
                .extensions
                .remove(time, |value| CaptureTime::from_bytes(value).unwrap())
        }

        /// The publisher says what its clock said at the start.
        fn report(&mut self, ntp: u64) {
            let clock = SenderClock::new(ntp, 0, self.start, 48_000);
            self.clocks.report(TRACK, LAYER, clock, |_, _, _| ());
        }

        fn told(&self, timestamp: u32) -> u64 {
            self.clocks.told(TRACK, LAYER).unwrap().ntp_of(timestamp)
        }
    }

    #[test]
    fn one_packet_a_second_tells_when_it_was_captured_once_that_is_known() {
        let mut stage = Stage::new();
        assert_eq!(stage.packet(0, None), None);
        stage.report(THEIRS);
        let told: Vec<u64> = (1..150)
            .map(|number| number * 20)
            .filter(|millis| {
                let time = stage.packet(*millis, None);
                if let Some(time) = time {
                    assert_eq!(time.ntp, THEIRS + millis * SECOND / 1_000);
                    assert_eq!(time.ntp, stage.told(*millis as u32 * 48));
                    assert_eq!(time.offset, Some(0));
                }
                time.is_some()
            })
            .collect();
        assert_eq!(told, [20, 1_020, 2_020]);
    }

    #[test]
    fn a_publishers_own_value_is_passed_on_once_its_clock_is() {
        let (mut stage, mut buffer) = (Stage::new(), [0; CaptureTime::MAX_LEN]);
        let published = CaptureTime {
            ntp: 7 * SECOND,
            offset: Some(-3),
        };
        let value = published.write(&mut buffer);
        // Of its clock nothing is known yet.
        let time = stage.packet(0, Some(value)).unwrap();
        assert_eq!((time.ntp, time.offset), (published.ntp, None));
        stage.report(THEIRS);
        assert_eq!(stage.packet(20, Some(value)), Some(published));
        // The short form says nothing of another clock.
        let time = stage.packet(40, Some(&value[..8])).unwrap();
        assert_eq!((time.ntp, time.offset), (published.ntp, None));
        // None is made up between, and what is no value is not passed on.
        assert_eq!(stage.packet(2_000, None), None);
        assert_eq!(stage.packet(2_020, Some(&value[..9])), None);
        // It sends none any more.
        assert_ne!(stage.packet(7_020, None), None);
    }

    #[test]
    fn nothing_is_told_by_a_clock_that_was_set() {
        let (mut stage, mut buffer) = (Stage::new(), [0; CaptureTime::MAX_LEN]);
        stage.report(THEIRS);
        assert_ne!(stage.packet(0, None), None);
        stage.report(THEIRS + 3 * SECOND);
        let published = CaptureTime {
            ntp: 7 * SECOND,
            offset: Some(0),
        };
        let value = published.write(&mut buffer);
        assert_eq!(stage.packet(20, Some(value)), None);
        assert_eq!(stage.packet(9_000, None), None);
    }
}
