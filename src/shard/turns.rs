//! Pictures wait so that sound need not.
//!
//! A keyframe for hundreds of viewers keeps a shard busy for many milliseconds, and sound that comes
//! meanwhile would wait for all of it. So only so much of the video is taken into its streams in each round
//! of the event loop; what is beyond waits here, as if it had come later, and sound passes it by. Nothing is
//! lost or put in another order within a track.

use std::collections::VecDeque;
use std::sync::Arc;

use super::StreamKey;
use super::state::State;
use crate::rtp::MediaKind;
use crate::stream::Packet;

/// Packets to viewers that one round sends: some milliseconds of work.
const SENDS_PER_ROUND: usize = 6_000;
/// Packets of a round at least, so that those of a common frame leave each viewer's way as one run.
const PACKETS_PER_ROUND: usize = 16;
/// More do not wait: they go at once, however long that takes.
const MAX_WAITING: usize = 8_192;

/// The packets that wait, and what this round has done.
#[derive(Default)]
pub(super) struct Turns {
    waiting: VecDeque<Waiting>,
    packets: usize,
    sends: usize,
}

struct Waiting {
    stream: StreamKey,
    packet: Arc<Packet>,
    /// It must not be parted from the one before: both are layers of the same packet of a scalable source.
    is_joined: bool,
}

impl Turns {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes a packet that is new, of a stream with so many viewers here, if it has to wait for its turn; gives it back
    /// to go on at once otherwise. `is_joined` as [`Waiting::is_joined`].
    pub(super) fn wait(
        &mut self,
        stream: StreamKey,
        kind: MediaKind,
        viewers: usize,
        packet: Arc<Packet>,
        is_joined: bool,
    ) -> Option<Arc<Packet>> {
        if kind == MediaKind::Audio {
            return Some(packet);
        }
        if self.is_empty() && (is_joined || !self.is_over()) {
            self.count(viewers);
            return Some(packet);
        }
        self.waiting.push_back(Waiting {
            stream,
            packet,
            is_joined,
        });
        None
    }

    /// A new round begins.
    fn begin(&mut self) {
        (self.packets, self.sends) = (0, 0);
    }

    /// The packet whose turn it is, in this round; to be counted if it goes on.
    fn poll(&mut self) -> Option<(StreamKey, Arc<Packet>)> {
        let next = self.waiting.front()?;
        let may_wait = !next.is_joined && self.waiting.len() <= MAX_WAITING;
        if may_wait && self.is_over() {
            return None;
        }
        let next = self.waiting.pop_front()?;
        Some((next.stream, next.packet))
    }

    /// A packet goes on to so many viewers.
    fn count(&mut self, viewers: usize) {
        self.packets += 1;
        self.sends += viewers;
    }

    /// Whether this round has done enough.
    fn is_over(&self) -> bool {
        self.packets >= PACKETS_PER_ROUND && self.sends >= SENDS_PER_ROUND
    }
}

impl State {
    /// A new round begins: what has waited for longest goes into its streams.
    pub(super) fn begin_round(&mut self) {
        self.turns.begin();
        while let Some((key, packet)) = self.turns.poll() {
            // Its broadcast may have ended meanwhile.
            let Some(stream) = self.streams.get_mut(&key) else {
                continue;
            };
            self.turns.count(stream.subscribers.len());
            if stream.push(packet) {
                self.fresh.push(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::local_stream::empty_packet;
    use super::*;

    const STREAM: StreamKey = StreamKey(1);
    /// So that the least of packets is the most.
    const MANY: usize = SENDS_PER_ROUND;

    fn packet(sequence: u64) -> Arc<Packet> {
        Arc::new(Packet {
            sequence,
            ..empty_packet(Instant::now())
        })
    }

    fn passes(turns: &mut Turns, kind: MediaKind, viewers: usize, is_joined: bool) -> bool {
        let packet = turns.wait(STREAM, kind, viewers, packet(0), is_joined);
        packet.is_some()
    }

    /// The numbers of what goes on in the next round.
    fn round(turns: &mut Turns) -> Vec<u64> {
        turns.begin();
        let mut numbers = Vec::new();
        while let Some((_, packet)) = turns.poll() {
            turns.count(MANY);
            numbers.push(packet.sequence);
        }
        numbers
    }

    #[test]
    fn video_waits_beyond_what_a_round_may_send_and_sound_does_not() {
        let mut turns = Turns::default();
        for _ in 0..PACKETS_PER_ROUND {
            assert!(passes(&mut turns, MediaKind::Video, MANY, false));
        }
        for number in 0..40 {
            let packet = turns.wait(STREAM, MediaKind::Video, MANY, packet(number), false);
            assert!(packet.is_none());
        }
        assert!(passes(&mut turns, MediaKind::Audio, MANY, false));
        let rounds = [(); 3].map(|()| round(&mut turns));
        assert_eq!(rounds.concat(), (0..40).collect::<Vec<u64>>());
        assert_eq!(rounds.map(|numbers| numbers.len()), [16, 16, 8]);
        assert!(turns.is_empty());
        turns.begin();
        assert!(passes(&mut turns, MediaKind::Video, MANY, false));
    }

    #[test]
    fn few_viewers_are_sent_all_at_once() {
        let mut turns = Turns::default();
        for _ in 0..SENDS_PER_ROUND / 10 {
            assert!(passes(&mut turns, MediaKind::Video, 10, false));
        }
        assert!(!passes(&mut turns, MediaKind::Video, 10, false));
    }

    #[test]
    fn what_is_joined_goes_together() {
        let mut turns = Turns::default();
        for _ in 0..PACKETS_PER_ROUND {
            assert!(passes(&mut turns, MediaKind::Video, MANY, false));
        }
        assert!(passes(&mut turns, MediaKind::Video, MANY, true));
        for number in 0..40 {
            let is_joined = number == 16;
            let packet = turns.wait(STREAM, MediaKind::Video, MANY, packet(number), is_joined);
            assert!(packet.is_none());
        }
        assert_eq!(round(&mut turns).len(), 17);
    }

    #[test]
    fn no_more_than_so_many_wait() {
        let mut turns = Turns::default();
        for number in 0..MAX_WAITING as u64 + 100 {
            let _ = turns.wait(STREAM, MediaKind::Video, MANY, packet(number), false);
        }
        let before = turns.waiting.len();
        assert_eq!(round(&mut turns).len(), before - MAX_WAITING);
    }
}
