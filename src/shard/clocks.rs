//! The publisher's clocks, for the sender reports to subscribers.

use std::time::{SystemTime, UNIX_EPOCH};

use super::StreamKey;
use super::inbox::{Message, ShardHandle};
use super::local_stream::{LocalStream, Source};
use crate::egress::SenderClock;
use crate::stream::TrackId;

/// Until the publisher reports its clock, ours stands in: the first packet was captured when it came.
/// Audio and video then are as far apart as they arrive, which is near enough to begin with.
pub(super) fn guess_clocks(stream: &mut LocalStream, shards: &[ShardHandle], key: StreamKey) {
    if !matches!(stream.source, Source::Publisher { .. }) {
        return;
    }
    for index in 0..stream.tracks.len() {
        let track = &mut stream.tracks[index];
        if let (None, Some(packet)) = (track.clock, track.fresh.first()) {
            let clock = SenderClock::new(
                ntp_now(),
                packet.timestamp,
                packet.received,
                track.clock_rate,
            );
            track.clock = Some(clock);
            track.guessed = true;
            tell_clock(stream, shards, key, TrackId(index as u8), clock);
        }
    }
}

/// The publisher told the clock of a track. Guesses for the others move with it, so that the tracks stay
/// together when the publisher's clock is not ours.
pub(super) fn set_clock(
    stream: &mut LocalStream,
    shards: &[ShardHandle],
    key: StreamKey,
    track: TrackId,
    clock: SenderClock,
) {
    let Some(local) = stream.track_mut(track) else {
        return;
    };
    let guess = local.clock.filter(|_| local.guessed);
    (local.clock, local.guessed) = (Some(clock), false);
    tell_clock(stream, shards, key, track, clock);
    let Some(ahead) = guess.map(|guess| clock.ahead_of(&guess)) else {
        return;
    };
    for index in 0..stream.tracks.len() {
        let other = &mut stream.tracks[index];
        if let (Some(guess), true) = (other.clock, other.guessed) {
            let moved = guess.moved(ahead);
            other.clock = Some(moved);
            tell_clock(stream, shards, key, TrackId(index as u8), moved);
        }
    }
}

fn tell_clock(
    stream: &LocalStream,
    shards: &[ShardHandle],
    key: StreamKey,
    track: TrackId,
    clock: SenderClock,
) {
    if let Source::Publisher { targets, .. } = &stream.source {
        for target in targets {
            if let Some(shard) = shards.get(usize::from(target.0)) {
                shard.send(Message::Clock(key, track, clock));
            }
        }
    }
}

/// Our wall clock as NTP time (RFC 5905, section 6).
fn ntp_now() -> u64 {
    /// Seconds from 1900 to 1970.
    const UNIX_EPOCH_IN_NTP: u64 = 2_208_988_800;
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    ((since.as_secs() + UNIX_EPOCH_IN_NTP) << 32) | fraction
}
