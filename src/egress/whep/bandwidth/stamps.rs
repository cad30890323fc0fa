//! The numbers that packets get, by which feedback tells of them.

use super::Bandwidth;

/// So long after a step down, what was left is not repeated.
const FLED_TIME: i64 = 3_000_000;

/// Beyond the packet, in bytes: its authentication tag, UDP and IPv4.
pub(in crate::egress::whep) const OVERHEAD: usize = 16 + 8 + 20;

/// Gives packets their numbers.
pub(in crate::egress::whep) struct Stamps<'a> {
    pub(super) bandwidth: &'a mut Bandwidth,
}

impl Stamps<'_> {
    /// Whether a layer was left just now because the way did not carry it.
    pub(in crate::egress::whep) fn has_fled(&self) -> bool {
        let bandwidth = &*self.bandwidth;
        let newest = bandwidth.allocation.lowered.max(bandwidth.rate.decreased());
        let is_new = newest.is_some_and(|at| bandwidth.now - at < FLED_TIME);
        bandwidth.allocation.lowered.is_some() && (is_new || bandwidth.is_flooded())
    }

    /// The number of a packet of so many bytes that leaves now.
    pub(in crate::egress::whep) fn next(&mut self, len: usize) -> u16 {
        let bandwidth = &mut *self.bandwidth;
        let (now, size) = (bandwidth.now, len + OVERHEAD);
        bandwidth.prober.handle_sent(now, size);
        bandwidth.unanswered.get_or_insert(now);
        let probe = bandwidth.prober.current();
        bandwidth.history.push(now, size, probe)
    }
}
