//! Sending a packet again: over RTX where negotiated (RFC 4588), within a budget.

use std::time::{Duration, Instant};

/// A packet is not repeated more often than this. A receiver that asks again sooner asks before the
/// last repetition can have come: shorter round trips than this need no second try that fast.
const MIN_INTERVAL: Duration = Duration::from_millis(20);

/// Nor less often than this, whatever a receiver says of the round trip.
const MAX_INTERVAL: Duration = Duration::from_millis(500);

/// How many numbers a subscriber may ask for, for each packet that it gets: one that has not come to us yet is asked for
/// again and again.
const LOOKS: u32 = 8;

/// How many repetitions are remembered for that.
const REMEMBERED: usize = 128;

/// How much later than the last time a packet may be repeated, to a receiver that is so far away: a little less
/// than the round trip, as it varies.
pub(super) fn interval(round_trip: Option<Duration>) -> Duration {
    round_trip
        .unwrap_or_default()
        .mul_f32(0.875)
        .clamp(MIN_INTERVAL, MAX_INTERVAL)
}

/// What came of a request for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repetition {
    /// It was sent again.
    Sent,
    /// Nothing was sent: it was a moment ago, or it is not needed, or nobody has it yet.
    None,
    /// Nothing was sent, and nothing ever will be: no ring has our packet of this number any more, and pictures
    /// need it until a keyframe comes.
    Gone(u64),
}

/// The RTX stream of one forwarder, if there is one, and what it repeated of late.
#[derive(Debug)]
pub(super) struct Retransmitter {
    rtx: Option<Stream>,
    /// Our numbers with the time of their repetition, in the order of use; made at the first loss.
    repeated: Vec<(u64, Instant)>,
    oldest: usize,
}

/// An RTX stream (RFC 4588). It outlives the codec that it repeats, since its SSRC has numbers too.
#[derive(Clone, Copy, Debug)]
struct Stream {
    payload_type: Option<u8>,
    ssrc: u32,
    sequence: u64,
}

/// The header of the next RTX packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rtx {
    pub(super) payload_type: u8,
    pub(super) ssrc: u32,
    pub(super) sequence: u64,
}

impl Retransmitter {
    pub(super) fn new(rtx: Option<(u8, u32)>) -> Self {
        Self {
            rtx: rtx.map(Stream::new),
            repeated: Vec::new(),
            oldest: 0,
        }
    }

    /// The codec is another one: so is what repeats it, by payload type and SSRC. Without that packets themselves are
    /// repeated. An SSRC that is used stays.
    pub(super) fn rebind(&mut self, rtx: Option<(u8, u32)>) {
        match &mut self.rtx {
            Some(stream) => stream.payload_type = rtx.map(|(payload_type, _)| payload_type),
            none => *none = rtx.map(Stream::new),
        }
    }

    /// Whether there is an RTX stream to repeat packets over.
    pub(super) fn has_rtx(&self) -> bool {
        self.rtx.is_some_and(|rtx| rtx.payload_type.is_some())
    }

    /// The header of the next retransmission, none where the packet itself is to be repeated.
    pub(super) fn next(&mut self) -> Option<Rtx> {
        let rtx = self.rtx.as_mut()?;
        let payload_type = rtx.payload_type?;
        rtx.sequence += 1;
        Some(Rtx {
            payload_type,
            ssrc: rtx.ssrc,
            sequence: rtx.sequence,
        })
    }

    /// Whether `sequence` was not repeated for `interval`; if so it is noted as repeated.
    pub(super) fn may_repeat(&mut self, now: Instant, sequence: u64, interval: Duration) -> bool {
        if let Some((_, at)) = self
            .repeated
            .iter_mut()
            .find(|(number, _)| *number == sequence)
        {
            let allowed = now.duration_since(*at) >= interval;
            if allowed {
                *at = now;
            }
            return allowed;
        }
        if self.repeated.len() < REMEMBERED {
            self.repeated.push((sequence, now));
        } else {
            self.repeated[self.oldest] = (sequence, now);
            self.oldest = (self.oldest + 1) % REMEMBERED;
        }
        true
    }
}

/// Bounds what a subscriber can make us send by NACKs: half of what it gets, beyond a start that
/// covers heavy loss of all that it gets when it comes: a keyframe and some seconds behind it. And how many
/// numbers are looked up for it, whether anything is sent or not.
#[derive(Debug)]
pub(super) struct Budget {
    /// In halves of a packet.
    halves: u32,
    capacity: u32,
    /// Numbers that may be looked up.
    looks: u32,
}

impl Budget {
    /// So many packets at once.
    pub(super) fn new(packets: u32) -> Self {
        let capacity = packets.saturating_mul(2);
        Self {
            halves: capacity,
            capacity,
            looks: packets.saturating_mul(LOOKS),
        }
    }

    /// Counts packets sent.
    pub(super) fn earn(&mut self, packets: u32) {
        self.add(packets);
        let looks = self.looks.saturating_add(packets.saturating_mul(LOOKS));
        self.looks = looks.min((self.capacity / 2).saturating_mul(LOOKS));
    }

    /// Takes the price of one retransmission and of looking for it, when there is as much.
    pub(super) fn spend(&mut self) -> bool {
        let halves = self.halves.checked_sub(2);
        let looks = self.looks.checked_sub(1);
        let Some((halves, looks)) = halves.zip(looks) else {
            return false;
        };
        (self.halves, self.looks) = (halves, looks);
        true
    }

    /// Gives the price of one retransmission back: nothing was sent for it. It was looked for all the same.
    pub(super) fn refund(&mut self) {
        self.add(2);
    }

    fn add(&mut self, halves: u32) {
        self.halves = self.halves.saturating_add(halves).min(self.capacity);
    }
}

impl Stream {
    fn new((payload_type, ssrc): (u8, u32)) -> Self {
        Self {
            payload_type: Some(payload_type),
            ssrc,
            sequence: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_a_codec_comes_and_goes_with_it_under_one_ssrc() {
        let mut retransmitter = Retransmitter::new(None);
        assert!(!retransmitter.has_rtx());
        let mut next = |rtx| {
            retransmitter.rebind(rtx);
            let next = retransmitter.next();
            next.map(|next| (next.payload_type, next.ssrc, next.sequence))
        };
        assert_eq!(next(Some((97, 2222))), Some((97, 2222, 1)));
        assert_eq!(next(None), None);
        assert_eq!(next(Some((99, 2222))), Some((99, 2222, 2)));
    }

    #[test]
    fn who_asks_in_vain_is_not_looked_up_for_for_ever() {
        let mut budget = Budget::new(10);
        let in_vain = |budget: &mut Budget| {
            let mut looked = 0;
            while budget.spend() {
                budget.refund();
                looked += 1;
                assert!(looked < 1_000, "without end");
            }
            looked
        };
        assert_eq!(in_vain(&mut budget), 10 * LOOKS);
        budget.earn(2);
        assert_eq!(in_vain(&mut budget), 2 * LOOKS);
        // What was earned meanwhile is for retransmissions as before.
        budget.earn(100);
        assert_eq!(
            std::iter::repeat_with(|| budget.spend())
                .take(100)
                .filter(|sent| *sent)
                .count(),
            10
        );
    }
}
