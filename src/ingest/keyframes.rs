//! The keyframes of a track: where one begins, and when the publisher is asked for one by PLI (RFC
//! 4585, section 6.3.1) or FIR (RFC 5104, section 4.3.1).

use std::time::{Duration, Instant};

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
        self.requests.due
    }

    /// Whether to send a request now, which counts as sent.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        let due = self.requests.due.is_some_and(|due| due <= now);
        if due {
            self.requests.sent = Some(now);
            self.requests.due = None;
        }
        due
    }
}

/// Requests for keyframes, brought together.
#[derive(Debug)]
struct Requests {
    interval: Duration,
    sent: Option<Instant>,
    /// When the request that somebody waits for may be sent.
    due: Option<Instant>,
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
}
