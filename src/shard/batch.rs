//! Runs of packets for one receiver, sent with one call.

use super::counters::Counters;
use super::session::Session;
use super::wire::Wire;
use crate::egress::whep::Outlet;
use crate::transport::{Path, Transport, srtp};

/// The most that one send call may carry: the largest UDP payload.
const CAPACITY: usize = 65_507;

/// A buffer of packets of one size, the last maybe shorter: what the kernel can cut apart by itself (UDP GSO).
pub(super) struct Batch {
    bytes: Vec<u8>,
    len: usize,
    /// The size of all packets but the last.
    segment: usize,
    count: usize,
    /// A shorter packet is the last: nothing can follow.
    closed: bool,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; CAPACITY],
            len: 0,
            segment: 0,
            count: 0,
            closed: false,
        }
    }

    /// Whether a packet of `len` bytes can follow.
    fn takes(&self, len: usize, max_segments: usize) -> bool {
        self.count == 0
            || (!self.closed
                && len <= self.segment
                && self.count < max_segments
                && self.len + len <= CAPACITY)
    }

    /// Room for a packet of `len` bytes, which then is part of the run.
    fn add(&mut self, len: usize) -> Option<&mut [u8]> {
        let start = self.len;
        let slot = self.bytes.get_mut(start..start + len)?;
        if self.count == 0 {
            self.segment = len;
        }
        self.closed = len < self.segment;
        self.count += 1;
        self.len += len;
        Some(slot)
    }

    fn take_back(&mut self, len: usize) {
        self.len -= len;
        self.count -= 1;
        self.closed = false;
    }

    /// Sends what is there.
    pub(super) fn flush(&mut self, wire: &mut Wire, to: Path, counters: &Counters) {
        if self.count > 0 {
            wire.send_run(to, &self.bytes[..self.len], self.segment, counters);
            (self.len, self.count, self.closed) = (0, 0, false);
        }
    }
}

/// The outlet of one subscriber: seals into the batch. Flush it before the next subscriber's turn.
pub(super) struct SealedOutlet<'a> {
    batch: &'a mut Batch,
    wire: &'a mut Wire,
    srtp: &'a mut srtp::Outbound,
    to: Path,
    counters: &'a Counters,
}

impl<'a> SealedOutlet<'a> {
    /// One to the peer of a transport; none while there is no way to it.
    pub(super) fn new(
        transport: &'a mut Transport,
        batch: &'a mut Batch,
        wire: &'a mut Wire,
        counters: &'a Counters,
    ) -> Option<Self> {
        let (srtp, to) = Session::outbound(transport)?;
        Some(Self {
            batch,
            wire,
            srtp,
            to,
            counters,
        })
    }

    pub(super) fn flush(&mut self) {
        self.batch.flush(self.wire, self.to, self.counters);
    }
}

impl Outlet for SealedOutlet<'_> {
    fn send(&mut self, len: usize, header_len: usize, index: u64, write: impl FnOnce(&mut [u8])) {
        let sealed_len = len + self.srtp.overhead();
        if !self.batch.takes(sealed_len, self.wire.max_segments()) {
            self.flush();
        }
        let Some(slot) = self.batch.add(sealed_len) else {
            self.counters.send_dropped.add(1); // larger than any datagram
            return;
        };
        write(&mut slot[..len]);
        if self.srtp.protect_rtp(slot, header_len, len, index).is_err() {
            self.batch.take_back(sealed_len);
            self.counters.send_dropped.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_takes_equal_packets_and_one_shorter() {
        let mut batch = Batch::new();
        for len in [1200, 1200, 700] {
            assert!(batch.takes(len, 64));
            batch.add(len).unwrap();
        }
        assert_eq!((batch.len, batch.segment, batch.count), (3100, 1200, 3));
        assert!(!batch.takes(700, 64), "nothing follows a shorter one");
    }

    #[test]
    fn a_run_ends_at_a_longer_packet_the_kernels_limit_and_the_largest_datagram() {
        let mut batch = Batch::new();
        batch.add(1000).unwrap();
        assert!(!batch.takes(1001, 64));
        assert!(!batch.takes(1000, 1));
        let mut batch = Batch::new();
        for _ in 0..54 {
            assert!(batch.takes(1200, 64));
            batch.add(1200).unwrap();
        }
        assert!(!batch.takes(1200, 64));
        assert!(Batch::new().add(70_000).is_none());
    }
}
