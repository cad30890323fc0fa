//! What making the renditions of a stream costs.

use std::time::Duration;

/// As the recording of a stream says it from time to time. All of it counts from the beginning of the recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// CPU time of cutting what the publisher sends into segments; of VP8, of encoding it anew too.
    pub segments: Duration,
    /// CPU time of AAC beside Opus.
    pub aac: Duration,
    /// CPU time of the transcoding ladder.
    pub ladder: Duration,
    /// Rungs of the ladder that are made now.
    pub rungs: usize,
    /// Pictures that the ladder was given, whether it ran or not.
    pub ladder_pictures: u64,
    /// Pictures that are in the ladder and not out of its slowest rung.
    pub ladder_waiting: u64,
    /// How often the ladder has failed.
    pub ladder_failures: u64,
}
