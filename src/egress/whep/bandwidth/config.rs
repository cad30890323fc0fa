//! How viewers are adapted to their links.

use std::time::Duration;

/// How viewers get the layers that their links carry. Bitrates are in bit/s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BandwidthConfig {
    /// Whether at all; otherwise all get what they ask for, or the best.
    pub enabled: bool,
    /// What every link is believed to carry.
    pub floor: u64,
    /// Beyond this nothing is looked for.
    pub ceiling: u64,
    /// What is believed of a link before its first feedback.
    pub start: u64,
    /// Whether more may be sent than media has, for a better layer.
    pub probing: bool,
    /// Whether packets wait for a link that is nearly full, instead of leaving as bursts.
    pub pacing: bool,
    /// No more waits for such a link than it takes in this time, nor more than so many bytes.
    pub queue_time: Duration,
    /// See `queue_time`.
    pub queue_bytes: u64,
}

impl Default for BandwidthConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            floor: 50_000,
            ceiling: 100_000_000,
            start: 3_000_000,
            probing: true,
            pacing: true,
            queue_time: Duration::from_millis(500),
            queue_bytes: 512 * 1024,
        }
    }
}
