//! The port through which a subscriber's packets leave.

/// Seals packets for one subscriber and sends them, in batches where it can.
pub trait Outlet {
    /// Sends one packet of `len` bytes that `write` puts into the buffer it is given, header first.
    ///
    /// `header_len` bytes of it stay readable on the way; the rest is encrypted. `index` is the
    /// 48-bit SRTP packet index: roll-over counter and sequence number (RFC 3711, section 3.3.1).
    fn send(&mut self, len: usize, header_len: usize, index: u64, write: impl FnOnce(&mut [u8]));
}
