//! Where a viewer's packets leave the gateway.

use crate::egress::whep::Outlet;
use crate::transport::srtp::Outbound;
use crate::transport::{Path, Transport};

/// Seals packets and queues them.
pub(super) struct Sealed<'a> {
    session: usize,
    to: Path,
    srtp: &'a mut Outbound,
    outbox: &'a mut Vec<(usize, Path, Vec<u8>)>,
}

pub(super) fn outlet<'a>(
    session: usize,
    transport: &'a mut Transport,
    outbox: &'a mut Vec<(usize, Path, Vec<u8>)>,
) -> Option<Sealed<'a>> {
    let to = transport.path()?;
    let srtp = transport.outbound()?;
    Some(Sealed {
        session,
        to,
        srtp,
        outbox,
    })
}

impl Outlet for Sealed<'_> {
    fn send(&mut self, len: usize, header_len: usize, index: u64, write: impl FnOnce(&mut [u8])) {
        let mut packet = vec![0; len + self.srtp.overhead()];
        write(&mut packet[..len]);
        self.srtp
            .protect_rtp(&mut packet, header_len, len, index)
            .unwrap();
        self.outbox.push((self.session, self.to, packet));
    }
}
