//! The publisher's clocks, for the sender reports to subscribers.

use std::time::{SystemTime, UNIX_EPOCH};

use super::StreamKey;
use super::inbox::{Message, ShardHandle};
use super::local_stream::{LocalLayer, LocalStream, Source};
use crate::egress::SenderClock;
use crate::stream::{LayerId, TrackId};

/// Until the publisher reports the clock of a layer, another one's stands in, or ours if it reported
/// none: the first packet was captured when it came. Audio and video, and the layers of a track, then
/// are as far apart as they arrive, which is near enough to begin with.
pub(super) fn guess_clocks(stream: &mut LocalStream, shards: &[ShardHandle], key: StreamKey) {
    if !matches!(stream.source, Source::Publisher { .. }) {
        return;
    }
    let told = |(_, _, layer): (_, _, &LocalLayer)| layer.clock.filter(|_| !layer.guessed);
    let told = stream.numbered().find_map(told);
    for (id, track) in (0..).map(TrackId).zip(&mut stream.tracks) {
        for (layer, local) in (0..).map(LayerId).zip(&mut track.layers) {
            let (None, Some(packet)) = (local.clock, local.fresh.first()) else {
                continue;
            };
            let ntp = told.map_or_else(ntp_now, |clock| clock.at(packet.received).0);
            let clock = SenderClock::new(ntp, packet.timestamp, packet.received, track.clock_rate);
            (local.clock, local.guessed) = (Some(clock), true);
            tell_clock(&stream.source, shards, key, (id, layer), clock);
        }
    }
}

/// The publisher told the clock of a layer. Guesses for the others move with it, so that all stay
/// together when the publisher's clock is not ours.
pub(super) fn set_clock(
    stream: &mut LocalStream,
    shards: &[ShardHandle],
    key: StreamKey,
    (track, layer): (TrackId, LayerId),
    clock: SenderClock,
) {
    let Some(local) = stream.layer_mut(track, layer) else {
        return;
    };
    let guess = local.clock.filter(|_| local.guessed);
    (local.clock, local.guessed) = (Some(clock), false);
    tell_clock(&stream.source, shards, key, (track, layer), clock);
    let Some(ahead) = guess.map(|guess| clock.ahead_of(&guess)) else {
        return;
    };
    for (id, track) in (0..).map(TrackId).zip(&mut stream.tracks) {
        for (layer, other) in (0..).map(LayerId).zip(&mut track.layers) {
            if let (Some(guess), true) = (other.clock, other.guessed) {
                let moved = guess.moved(ahead);
                other.clock = Some(moved);
                tell_clock(&stream.source, shards, key, (id, layer), moved);
            }
        }
    }
}

fn tell_clock(
    source: &Source,
    shards: &[ShardHandle],
    key: StreamKey,
    (track, layer): (TrackId, LayerId),
    clock: SenderClock,
) {
    if let Source::Publisher { targets, .. } = source {
        for target in targets {
            if let Some(shard) = shards.get(usize::from(target.shard.0)) {
                shard.send(Message::Clock(key, track, layer, clock));
            }
        }
    }
}

/// The publisher reported its clock just now: how long that took by both wall clocks.
pub(super) fn time_report(stream: &LocalStream, ntp: u64) {
    stream.counters.set_one_way(micros_since(ntp));
}

/// Says how long after its capture the newest packet of a layer leaves, where the publisher has told
/// its clock.
pub(super) fn time_egress(stream: &LocalStream) {
    let newest = |(_, _, layer): (_, _, &LocalLayer)| {
        let clock = layer.clock.filter(|_| !layer.guessed)?;
        Some(clock.ntp_of(layer.fresh.last()?.timestamp))
    };
    if let Some(captured) = stream.numbered().find_map(newest) {
        stream
            .counters
            .set_capture_to_egress(micros_since(captured));
    }
}

/// Below zero where that time is to come, by our clock.
fn micros_since(ntp: u64) -> i64 {
    let since = ntp_now().wrapping_sub(ntp) as i64;
    ((i128::from(since) * 1_000_000) >> 32) as i64
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
