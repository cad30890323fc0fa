//! The keyframes of a track: where one begins, and when the publisher is asked for one by PLI (RFC
//! 4585, section 6.3.1) or FIR (RFC 5104, section 4.3.1).

use std::time::{Duration, Instant};

/// How often a request is repeated on which no keyframe follows: it may have been lost. Not for
/// ever, as there are publishers that don't listen.
const MAX_REPEATS: u8 = 5;

/// The keyframes of one track.
#[derive(Debug)]
pub(super) struct Keyframes {
    newest: Option<Beginning>,
    requests: Requests,
    pub(super) count: u64,
}

/// A packet that a decoder could begin with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning {
    /// The number of the source.
    pub(super) number: u64,
    /// The sequence and timestamp of the continuous timeline.
    pub(super) sequence: u64,
    pub(super) timestamp: u32,
}

impl Keyframes {
    /// At most one request is made in `interval`.
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            newest: None,
            requests: Requests {
                interval,
                sent: None,
                due: None,
                repeat: None,
            },
            count: 0,
        }
    }

    /// Whether a keyframe begins with this packet, which looks like it. Parameter sets and slices in
    /// packets of their own all do: of one timestamp, the first packet is the beginning.
    pub(super) fn begin(&mut self, packet: Beginning) -> bool {
        match self.newest {
            Some(newest) if newest.timestamp == packet.timestamp => {
                if packet.sequence >= newest.sequence {
                    return false;
                }
            }
            // The beginning of an older one was repaired.
            Some(newest) if packet.sequence < newest.sequence => return true,
            _ => {
                self.count += 1;
                self.requests.due = None;
                self.requests.repeat = None;
            }
        }
        self.newest = Some(packet);
        true
    }

    /// Another source sends from now on, whose numbers are others.
    pub(super) fn forget(&mut self) {
        self.newest = None;
    }

    /// Whether a keyframe began behind this number, so that a loss there does no harm any more.
    pub(super) fn began_after(&self, number: u64) -> bool {
        self.newest.is_some_and(|newest| newest.number > number)
    }

    /// Somebody wants a keyframe.
    pub(super) fn request(&mut self, now: Instant) {
        let earliest = self
            .requests
            .sent
            .map_or(now, |sent| now.max(sent + self.requests.interval));
        self.requests.due.get_or_insert(earliest);
    }

    /// When [`Self::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let repeat = self.requests.repeat.map(|repeat| repeat.at);
        self.requests.due.into_iter().chain(repeat).min()
    }

    /// Whether to send a request now, which counts as sent.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        let Requests {
            interval,
            due,
            repeat,
            ..
        } = self.requests;
        let left = match repeat {
            _ if due.is_some_and(|due| due <= now) => MAX_REPEATS,
            Some(repeat) if repeat.at <= now => repeat.left - 1,
            _ => return false,
        };
        self.requests.sent = Some(now);
        self.requests.due = None;
        let at = now + 2 * interval;
        self.requests.repeat = (left > 0).then_some(Repeat { at, left });
        true
    }
}

/// Requests for keyframes, brought together.
#[derive(Clone, Copy, Debug)]
struct Requests {
    interval: Duration,
    sent: Option<Instant>,
    /// When the request that somebody waits for may be sent.
    due: Option<Instant>,
    /// When the last request is to be sent again, unless a keyframe begins before.
    repeat: Option<Repeat>,
}

#[derive(Clone, Copy, Debug)]
struct Repeat {
    at: Instant,
    /// How many repetitions are left, this one among them.
    left: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u64, timestamp: u32) -> Beginning {
        Beginning {
            number: sequence,
            sequence,
            timestamp,
        }
    }

    #[test]
    fn of_one_timestamp_only_the_first_packet_begins() {
        let mut keyframes = Keyframes::new(Duration::ZERO);
        assert!(keyframes.begin(packet(10, 1)), "SPS");
        assert!(!keyframes.begin(packet(12, 1)), "IDR");
        assert!(keyframes.begin(packet(20, 2)), "the next one");
        assert!(keyframes.begin(packet(19, 2)), "its SPS, which came late");
        assert!(!keyframes.begin(packet(21, 2)));
        assert!(keyframes.begin(packet(9, 1)), "of the older one");
        assert!(!keyframes.begin(packet(22, 2)));
        assert_eq!(keyframes.count, 2);
    }

    #[test]
    fn a_request_is_repeated_until_a_keyframe_begins_or_it_has_been_enough() {
        let interval = Duration::from_millis(500);
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut keyframes = Keyframes::new(interval);
        keyframes.request(start);
        assert!(keyframes.handle_timeout(start));
        assert_eq!(keyframes.poll_timeout(), Some(after(1_000)));
        assert!(!keyframes.handle_timeout(after(999)));
        assert!(keyframes.handle_timeout(after(1_000)));
        keyframes.begin(packet(1, 1));
        assert_eq!(keyframes.poll_timeout(), None);

        keyframes.request(after(2_000));
        let mut sent = 0;
        while let Some(due) = keyframes.poll_timeout() {
            sent += u8::from(keyframes.handle_timeout(due));
        }
        assert_eq!(sent, 1 + MAX_REPEATS);
    }
}
