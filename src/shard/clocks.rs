//! The publisher's clocks, for the sender reports to subscribers.

use std::time::{SystemTime, UNIX_EPOCH};

use super::StreamKey;
use super::inbox::{Message, ShardHandle};
use super::local_stream::{LocalLayer, LocalStream, Source, Target};
use crate::egress::{SenderClock, ntp_duration};
use crate::stream::{LayerId, TrackId};

/// The packets that came last say how long the way from the publisher is, for layers of which it has told
/// no clock.
pub(super) fn assume_clocks(stream: &mut LocalStream, shards: &[ShardHandle], key: StreamKey) {
    let Source::Publisher {
        clocks, targets, ..
    } = &mut stream.source
    else {
        return;
    };
    for (id, track) in (0..).map(TrackId).zip(&mut stream.tracks) {
        for (layer, local) in (0..).map(LayerId).zip(&mut track.layers) {
            let Some(packet) = local.fresh.first() else {
                continue;
            };
            let (timestamp, received) = (packet.timestamp, packet.received);
            if let Some(clock) = clocks.packet(id, layer, timestamp, received, ntp_now) {
                local.clock = Some(clock);
                tell_clock(targets, shards, key, (id, layer), clock);
            }
        }
    }
}

/// The publisher told the clock of a layer.
pub(super) fn set_clock(
    stream: &mut LocalStream,
    shards: &[ShardHandle],
    key: StreamKey,
    (track, layer): (TrackId, LayerId),
    clock: SenderClock,
) {
    let Source::Publisher {
        clocks, targets, ..
    } = &mut stream.source
    else {
        return;
    };
    let tracks = &mut stream.tracks;
    clocks.report(track, layer, clock, |track, layer, clock| {
        let local = tracks.get_mut(usize::from(track.0));
        if let Some(local) = local.and_then(|track| track.layer_mut(layer)) {
            local.clock = Some(clock);
            tell_clock(targets, shards, key, (track, layer), clock);
        }
    });
}

fn tell_clock(
    targets: &[Target],
    shards: &[ShardHandle],
    key: StreamKey,
    (track, layer): (TrackId, LayerId),
    clock: SenderClock,
) {
    for target in targets {
        if let Some(shard) = shards.get(usize::from(target.shard.0)) {
            shard.send(Message::Clock(key, track, layer, clock));
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
    let Source::Publisher { clocks, .. } = &stream.source else {
        return;
    };
    let newest = |(id, number, layer): (TrackId, LayerId, &LocalLayer)| {
        let clock = clocks.told(id, number)?;
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
    ntp_duration(since).wrapping_add(UNIX_EPOCH_IN_NTP << 32)
}
