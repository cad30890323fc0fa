//! Pictures wait so that sound need not.
//!
//! A keyframe for hundreds of viewers keeps a shard busy for many milliseconds, and sound that comes
//! meanwhile would wait for all of it. So only so much video is taken into its streams in each round of the
//! event loop. What is beyond waits in a line of its stream, as if it had come later, and sound passes it by. Streams
//! with a line take turns, so that none waits for all of another.
//!
//! Within a track nothing changes places, and what waits when a publisher ends is sent then.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::inbox::Age;
use super::local_stream::LocalStream;
use super::state::State;
use super::{ShardId, StreamKey};
use crate::rtp::MediaKind;
use crate::stream::{LayerId, Packet, TrackId};

/// Packets of a publisher that go together at least, so that a common frame is not parted and leaves for each
/// viewer as one run.
const RUN: usize = 8;

/// What has waited for so long goes on in any case: who has more to send than it can must lose video, and not
/// show it ever later than its sound.
const MAX_WAIT: Duration = Duration::from_millis(200);

/// More of one stream do not wait.
const MAX_WAITING: usize = 1_024;

/// What one round of the event loop may send, and has taken in.
#[derive(Debug)]
pub(super) struct Round {
    /// Packets to viewers.
    limit: usize,
    packets: usize,
    sends: usize,
}

impl Round {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            packets: 0,
            sends: 0,
        }
    }

    /// A packet goes on to so many viewers.
    fn count(&mut self, viewers: usize) {
        // Those of layers that nobody takes are in no run.
        self.packets += usize::from(viewers > 0);
        self.sends += viewers;
    }

    /// Whether it has done enough.
    fn is_over(&self) -> bool {
        self.packets >= RUN && self.sends >= self.limit
    }
}

/// The video of one stream that waits.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: VecDeque<Arc<Packet>>,
}

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a keyframe of the layer waits.
    pub(super) fn holds_keyframe(&self, track: TrackId, layer: LayerId) -> bool {
        let mut waiting = self.waiting.iter();
        waiting.any(|packet| packet.keyframe && (packet.track, packet.layer) == (track, layer))
    }

    /// Whether a packet that comes now has to wait.
    fn must_wait(&self, round: &Round) -> bool {
        !self.is_empty() || round.is_over()
    }

    fn push(&mut self, packet: Arc<Packet>) {
        self.waiting.push_back(packet);
    }

    /// The next packet, if it may go on in this round.
    fn poll(&mut self, now: Instant, round: &Round) -> Option<Arc<Packet>> {
        let next = self.waiting.front()?;
        let waited = now.saturating_duration_since(next.received);
        let goes = !round.is_over() || waited >= MAX_WAIT || self.waiting.len() > MAX_WAITING;
        if !goes {
            return None;
        }
        self.pop()
    }

    fn pop(&mut self) -> Option<Arc<Packet>> {
        self.waiting.pop_front()
    }
}

/// The turns of the streams of a shard.
#[derive(Debug)]
pub(super) struct Turns {
    round: Round,
    shard: ShardId,
    /// Those with a line; who was served least recently is first.
    streams: VecDeque<StreamKey>,
}

impl Turns {
    /// Rounds that send about `limit` packets of video to viewers.
    pub(super) fn new(shard: ShardId, limit: usize) -> Self {
        Self {
            round: Round::new(limit),
            shard,
            streams: VecDeque::new(),
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Takes a packet that is new into its stream, or into its line. Returns whether the stream has something to
    /// send on that it had not before.
    #[must_use]
    pub(super) fn take(
        &mut self,
        key: StreamKey,
        stream: &mut LocalStream,
        packet: Arc<Packet>,
    ) -> bool {
        let track = stream.track(packet.track);
        if track.is_none_or(|track| track.kind == MediaKind::Audio) {
            return stream.push(packet);
        }
        if !stream.line.must_wait(&self.round) {
            self.round.count(stream.viewers_of(self.shard, &packet));
            return stream.push(packet);
        }
        // One whose line was just emptied may still have its turn.
        if stream.line.is_empty() && !self.streams.contains(&key) {
            self.streams.push_back(key);
        }
        stream.line.push(packet);
        false
    }
}

impl State {
    /// A new round begins: the streams that have a line get their turns, a run of packets each time.
    pub(super) fn begin_round(&mut self, now: Instant) {
        let Turns {
            round,
            shard,
            streams,
        } = &mut self.turns;
        *round = Round::new(round.limit);
        let mut refused = 0;
        while refused < streams.len()
            && let Some(key) = streams.pop_front()
        {
            // Its broadcast has ended, or its last viewer here has left.
            let Some(stream) = self.streams.get_mut(&key) else {
                continue;
            };
            let mut taken = 0;
            while taken < RUN
                && let Some(packet) = stream.line.poll(now, round)
            {
                taken += 1;
                round.count(stream.viewers_of(*shard, &packet));
                if stream.push(packet) {
                    self.fresh.push(key);
                }
            }
            if !stream.line.is_empty() {
                refused = if taken == 0 { refused + 1 } else { 0 };
                streams.push_back(key);
            }
        }
    }

    /// Takes all that waits of a stream into it.
    pub(super) fn end_line(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        while let Some(packet) = stream.line.pop() {
            if stream.push(packet) {
                self.fresh.push(key);
            }
        }
    }

    /// A packet from the publisher's shard.
    pub(super) fn handle_media(
        &mut self,
        now: Instant,
        key: StreamKey,
        packet: Arc<Packet>,
        age: Age,
    ) {
        if age != Age::New {
            // The past of a layer that is taken again must not come among what is left of it.
            self.end_line(key);
        }
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        if age == Age::New {
            if self.turns.take(key, stream, packet) {
                self.fresh.push(key);
            }
            return;
        }
        stream.keep(packet);
        if age == Age::LastPast {
            self.begin_all(now, key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::local_stream::empty_packet;
    use super::*;

    /// More viewers than a round has sends for.
    const MANY: usize = 1_000;

    fn packet(received: Instant, sequence: u64) -> Arc<Packet> {
        Arc::new(Packet {
            sequence,
            keyframe: sequence == 0,
            ..empty_packet(received)
        })
    }

    fn over() -> Round {
        let mut round = Round::new(100);
        for _ in 0..RUN {
            assert!(!round.is_over());
            round.count(MANY);
        }
        assert!(round.is_over());
        round
    }

    fn line(received: Instant, packets: u64) -> Line {
        let mut line = Line::default();
        for sequence in 0..packets {
            line.push(packet(received, sequence));
        }
        line
    }

    /// The numbers of what goes on in a round.
    fn polled(line: &mut Line, now: Instant, mut round: Round) -> Vec<u64> {
        let mut numbers = Vec::new();
        while let Some(packet) = line.poll(now, &round) {
            round.count(MANY);
            numbers.push(packet.sequence);
        }
        numbers
    }

    #[test]
    fn a_round_ends_after_a_run_and_what_it_may_send() {
        let mut few = Round::new(100);
        for _ in 0..99 {
            few.count(1);
            few.count(0);
        }
        assert!(!few.is_over());
        few.count(1);
        assert!(few.is_over());
        over();
        let mut large = Round::new(100);
        for _ in 0..RUN {
            assert!(!large.is_over());
            large.count(0);
            large.count(MANY);
        }
        assert!(large.is_over());
    }

    #[test]
    fn what_is_beyond_a_round_waits_and_so_does_what_comes_behind_it() {
        let now = Instant::now();
        let mut line = Line::default();
        assert!(!line.must_wait(&Round::new(100)));
        assert!(line.must_wait(&over()));
        line.push(packet(now, 0));
        assert!(line.must_wait(&Round::new(100)));
        assert!(line.holds_keyframe(TrackId(0), LayerId(0)));
        assert!(!line.holds_keyframe(TrackId(0), LayerId(1)));
    }

    #[test]
    fn it_goes_on_in_order_a_run_a_round() {
        let now = Instant::now();
        let mut line = line(now, 20);
        let rounds = [(); 3].map(|()| polled(&mut line, now, Round::new(100)));
        assert_eq!(rounds.concat(), (0..20).collect::<Vec<u64>>());
        assert_eq!(rounds.map(|numbers| numbers.len()), [RUN, RUN, 4]);
        assert!(line.is_empty());
        assert!(polled(&mut line, now, over()).is_empty());
    }

    #[test]
    fn nothing_waits_for_long() {
        let now = Instant::now();
        let mut line = line(now, 20);
        line.push(packet(now + MAX_WAIT, 20));
        assert!(polled(&mut line, now + MAX_WAIT - Duration::from_millis(1), over()).is_empty());
        assert_eq!(polled(&mut line, now + MAX_WAIT, over()).len(), 20);
        assert!(!line.is_empty());
    }

    #[test]
    fn no_more_than_so_many_wait() {
        let now = Instant::now();
        let mut line = line(now, MAX_WAITING as u64 + 30);
        assert_eq!(polled(&mut line, now, over()).len(), 30);
    }
}
