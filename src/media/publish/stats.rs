//! What `webrtcbin` counts, in our words.

use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_webrtc::WebRTCStatsType;

use super::webrtc;

/// Counters since the start, over all media lines.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// Encoded pictures.
    pub frames: u64,
    /// Keyframes among them.
    pub keyframes: u64,
    /// RTP packets sent.
    pub packets_sent: u64,
    /// RTP bytes sent, headers included.
    pub bytes_sent: u64,
    /// Packets that the server reports as lost (RFC 3550, section 6.4.1).
    pub packets_lost: u64,
    /// Packets that the server asked for again and got.
    pub retransmitted: u64,
    /// Keyframes that the encoder was asked for.
    pub keyframe_requests: u64,
    /// The round-trip time that the latest receiver report gives.
    pub round_trip: Option<Duration>,
}

/// Asks `webrtcbin`; what can't be known in time is zero.
pub(super) async fn read(webrtc: &gst::Element, limit: Duration) -> Stats {
    let reply = webrtc::ask("reading statistics", limit, |promise| {
        webrtc.emit_by_name::<()>("get-stats", &[&None::<gst::Pad>, promise]);
    })
    .await;
    let mut stats = Stats {
        retransmitted: retransmitted(webrtc),
        ..Stats::default()
    };
    let Ok(Some(reply)) = reply else {
        return stats;
    };
    for (_, value) in reply.iter() {
        if let Ok(entry) = value.get::<gst::Structure>() {
            add(&mut stats, &entry);
        }
    }
    stats
}

fn add(stats: &mut Stats, entry: &gst::StructureRef) {
    match entry.get::<WebRTCStatsType>("type") {
        Ok(WebRTCStatsType::OutboundRtp) => {
            stats.packets_sent += count(entry, "packets-sent");
            stats.bytes_sent += count(entry, "bytes-sent");
        }
        Ok(WebRTCStatsType::RemoteInboundRtp) => {
            stats.packets_lost += count(entry, "packets-lost");
            let round_trip = number(entry, "round-trip-time")
                .filter(|&seconds| seconds > 0.0)
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            stats.round_trip = stats.round_trip.max(round_trip);
        }
        _ => {}
    }
}

/// The sum over the elements that keep packets for retransmission: the counts of NACKs and PLIs in
/// the statistics of GStreamer 1.22 belong to other sources and stay at zero.
fn retransmitted(webrtc: &gst::Element) -> u64 {
    let Some(bin) = webrtc.downcast_ref::<gst::Bin>() else {
        return 0;
    };
    bin.iterate_all_by_element_factory_name("rtprtxsend")
        .into_iter()
        .flatten()
        .map(|element| u64::from(element.property::<u32>("num-rtx-packets")))
        .sum()
}

/// A counter; below zero (more packets came than were expected) counts as zero.
fn count(entry: &gst::StructureRef, name: &str) -> u64 {
    // A float-to-int cast saturates.
    number(entry, name).unwrap_or(0.0) as u64
}

/// The fields' integer types differ from one version of GStreamer to another.
fn number(entry: &gst::StructureRef, name: &str) -> Option<f64> {
    entry.value(name).ok()?.transform::<f64>().ok()?.get().ok()
}
