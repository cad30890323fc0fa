//! From the settings to how the media path runs. Pure.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::{self, Settings};
use crate::egress::whep::{BandwidthConfig, ViewerLimits};
use crate::stream::KeyframeCache;
use crate::{ingest, shard};

/// How the shards are to run, which listen at `listen`.
pub(super) fn shard_config(settings: &Settings, listen: SocketAddr) -> shard::Config {
    let packets = settings.media.retransmission_packets;
    shard::Config {
        listen,
        shards: settings.media.shards,
        bandwidth: bandwidth_config(settings.media.bandwidth),
        viewers: Arc::new(ViewerLimits {
            retransmissions: settings.limits.viewer_retransmissions as u32,
            keyframe_interval: settings.limits.viewer_keyframe_interval,
        }),
        video_ring: packets.video,
        audio_ring: packets.audio,
        video_per_round: settings.media.video_per_round,
        audio_redundancy: settings.media.audio_redundancy,
        keyframe_cache: KeyframeCache {
            bytes: settings.media.keyframe_cache_bytes,
            age: settings.media.keyframe_cache_age,
        },
        catch_up_bitrate: settings.media.catch_up_bitrate,
        tcp: shard::TcpLimits {
            half_open: settings.limits.tcp_half_open_connections,
            check_timeout: settings.limits.tcp_check_timeout,
            queue_bytes: settings.limits.tcp_queue_bytes,
        },
        ingest: ingest::Config {
            keyframe_request_interval: settings.media.keyframe_request_interval,
            reorder_tolerance: settings.media.reorder_tolerance,
            loss_age_limit: settings.media.loss_timeout,
            ..ingest::Config::default()
        },
    }
}

fn bandwidth_config(settings: config::Bandwidth) -> BandwidthConfig {
    let bits = |kbps: usize| 1_000 * kbps as u64;
    BandwidthConfig {
        enabled: settings.enabled,
        probing: settings.probing,
        start: bits(settings.start_kbps),
        floor: bits(settings.floor_kbps),
        ceiling: bits(settings.ceiling_kbps),
        pacing: settings.pacing,
        queue_time: settings.pacing_queue_time,
        queue_bytes: settings.pacing_queue_bytes as u64,
    }
}
