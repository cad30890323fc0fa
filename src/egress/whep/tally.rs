//! What a track cost on its way to one viewer.

use crate::rtp::rtcp::ReceptionReport;

/// What a forwarder sent, and what its receiver said of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Media packets sent, without retransmissions.
    pub packets: u64,
    /// Their payload, in bytes.
    pub bytes: u64,
    /// Packets sent again.
    pub retransmissions: u64,
    /// Packets asked for that the ring holds no longer, or that came too soon after the last try.
    pub retransmissions_missed: u64,
    /// Packets asked for beyond what retransmission may cost.
    pub retransmissions_refused: u64,
    /// Requests for a keyframe that came too often.
    pub keyframes_refused: u64,
    /// Share of packets that the receiver lost of late, in 1/256.
    pub fraction_lost: u8,
    /// Packets that the receiver lost since it began.
    pub cumulative_lost: i32,
}

impl Tally {
    /// Takes in what the receiver says.
    pub(super) fn report(&mut self, report: &ReceptionReport) {
        self.fraction_lost = report.fraction_lost;
        self.cumulative_lost = report.cumulative_lost;
    }
}
