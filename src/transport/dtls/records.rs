//! What of a peer's datagrams the DTLS library gets to see.
//!
//! The library keeps every handshake fragment it is given and puts messages together by a search
//! that hostile fragments make exponential. So fragments are put together here, in bounded
//! memory, and the library sees whole messages only, each once. That a message comes again is how
//! a peer says that our answer was lost (RFC 6347, section 4.2.4), which the caller is told.

use bytes::{BufMut, BytesMut};

const RECORD_HEADER: usize = 13;
const FRAGMENT_HEADER: usize = 12;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const WARNING: u8 = 1;
const CLOSE_NOTIFY: u8 = 0;

/// What a peer may send for its handshake. Its two flights are about 3 KB with an RSA certificate
/// and a post-quantum ClientHello; this is enough to send them a dozen times.
const HANDSHAKE_DATAGRAMS: u32 = 128;
const HANDSHAKE_BYTES: usize = 64 * 1024;
/// After the handshake: only repeats of the last flight and alerts are of use.
const LATER_DATAGRAMS: u32 = 24;
const LATER_BYTES: usize = 24 * 1024;
/// The longest handshake message: a chain of three RSA certificates has 5 KB.
const MAX_MESSAGE: usize = 8 * 1024;
/// A flight has four messages that may be in fragments.
const MAX_PARTIAL: usize = 4;
/// Handshakes have fewer than ten messages a side. At most 64, as they are kept in a bit set.
const MAX_MESSAGES: u16 = 32;
/// An encrypted Finished or alert with the cipher suites that we offer is 48 bytes or less.
const MAX_ENCRYPTED: usize = 64;
/// Encrypted handshake records: Finished, once a flight. The library puts the fragments of these
/// together itself, so few of them may come.
const MAX_FINISHED: u32 = 10;

/// The way to the library for the datagrams of one peer.
pub(super) struct Records {
    datagrams_left: u32,
    bytes_left: usize,
    finished_left: u32,
    /// The sequence numbers of the messages that were let through.
    passed: u64,
    partial: Vec<Partial>,
    established: bool,
}

/// What to do after a datagram.
pub(super) enum Verdict {
    /// Give this to the library.
    Pass(BytesMut),
    /// The peer repeats its flight, so ours did not reach it.
    Repeated,
    /// There was nothing of use in it.
    Dropped,
}

/// A handshake message of which fragments are missing.
struct Partial {
    /// Type, length and sequence number, as every fragment repeats them.
    header: [u8; 6],
    missing: usize,
    bytes: Vec<Option<u8>>,
}

struct Record<'a> {
    kind: u8,
    epoch: u16,
    header: &'a [u8],
    body: &'a [u8],
}

struct Fragment<'a> {
    header: [u8; 6],
    sequence: u16,
    length: usize,
    offset: usize,
    bytes: &'a [u8],
}

impl Records {
    pub(super) const fn new() -> Self {
        Self {
            datagrams_left: HANDSHAKE_DATAGRAMS,
            bytes_left: HANDSHAKE_BYTES,
            finished_left: MAX_FINISHED,
            passed: 0,
            partial: Vec::new(),
            established: false,
        }
    }

    /// The handshake is done: what comes from now on has a budget of its own.
    pub(super) fn set_established(&mut self) {
        self.established = true;
        self.partial = Vec::new();
        self.datagrams_left = LATER_DATAGRAMS;
        self.bytes_left = LATER_BYTES;
    }

    /// Takes out of a datagram what the library may have.
    pub(super) fn filter(&mut self, datagram: &[u8]) -> Verdict {
        let (Some(datagrams), Some(bytes)) = (
            self.datagrams_left.checked_sub(1),
            self.bytes_left.checked_sub(datagram.len()),
        ) else {
            return Verdict::Dropped;
        };
        self.datagrams_left = datagrams;
        self.bytes_left = bytes;

        let mut out = BytesMut::with_capacity(datagram.len());
        let mut repeated = false;
        let mut rest = datagram;
        while let Some(record) = next_record(&mut rest) {
            match (record.kind, record.epoch) {
                (HANDSHAKE, 0) => repeated |= self.filter_messages(&record, &mut out),
                (HANDSHAKE, 1) if record.body.len() <= MAX_ENCRYPTED => {
                    if let Some(left) = self.finished_left.checked_sub(1) {
                        self.finished_left = left;
                        record.copy_to(&mut out);
                    }
                }
                (CHANGE_CIPHER_SPEC, 0) if record.body == [1] && !self.established => {
                    record.copy_to(&mut out);
                }
                // Warnings but the one that closes mean nothing to us; the library would echo them.
                (ALERT, 0) if !self.established => {
                    if let &[level, description] = record.body
                        && (level != WARNING || description == CLOSE_NOTIFY)
                    {
                        record.copy_to(&mut out);
                    }
                }
                (ALERT, 1) if record.body.len() <= MAX_ENCRYPTED => record.copy_to(&mut out),
                // Application data has no use here, and other content none at all.
                _ => {}
            }
        }
        match (out.is_empty(), repeated) {
            (false, _) => Verdict::Pass(out),
            (true, true) => Verdict::Repeated,
            (true, false) => Verdict::Dropped,
        }
    }

    /// Copies the messages of a plain handshake record that are whole and new. Returns whether
    /// there was one that had been let through before.
    fn filter_messages(&mut self, record: &Record<'_>, out: &mut BytesMut) -> bool {
        let mut repeated = false;
        let mut messages = BytesMut::new();
        let mut rest = record.body;
        while let Some(fragment) = next_fragment(&mut rest) {
            let bit = 1 << fragment.sequence;
            let is_known = self.passed & bit != 0;
            if self.established && !is_known {
                continue;
            }
            if is_known && !self.wants_again(&fragment) {
                repeated = true;
                continue;
            }
            let is_whole = fragment.bytes.len() == fragment.length;
            if is_whole {
                fragment.put_whole(fragment.bytes, &mut messages);
            } else if let Some(bytes) = self.assemble(&fragment) {
                fragment.put_whole(&bytes, &mut messages);
            } else {
                continue;
            }
            self.passed |= bit;
        }
        if let Ok(len @ 1..) = u16::try_from(messages.len()) {
            out.put_slice(&record.header[..RECORD_HEADER - 2]);
            out.put_u16(len);
            out.put_slice(&messages);
        }
        repeated
    }

    /// Whether the library makes use of a message that it has had: the first ClientHello, which it
    /// answers by another HelloVerifyRequest, and the last flight after the handshake.
    fn wants_again(&self, fragment: &Fragment<'_>) -> bool {
        let only_first = self.passed == 1 && fragment.sequence == 0;
        (only_first || self.established) && fragment.bytes.len() == fragment.length
    }

    /// Keeps a fragment; returns the message when it was the last that was missing.
    fn assemble(&mut self, fragment: &Fragment<'_>) -> Option<Vec<u8>> {
        let known = self
            .partial
            .iter()
            .position(|partial| partial.header[4..] == fragment.header[4..]);
        let index = match known {
            Some(index) => index,
            None if self.partial.len() >= MAX_PARTIAL => return None,
            None => {
                self.partial.push(Partial {
                    header: fragment.header,
                    missing: fragment.length,
                    bytes: vec![None; fragment.length],
                });
                self.partial.len() - 1
            }
        };
        let partial = &mut self.partial[index];
        if partial.header != fragment.header {
            return None;
        }
        let slots = partial.bytes.iter_mut().skip(fragment.offset);
        for (slot, byte) in slots.zip(fragment.bytes) {
            if slot.replace(*byte).is_none() {
                partial.missing -= 1;
            }
        }
        if partial.missing > 0 {
            return None;
        }
        let partial = self.partial.swap_remove(index);
        Some(partial.bytes.into_iter().flatten().collect())
    }
}

impl Record<'_> {
    fn copy_to(&self, out: &mut BytesMut) {
        out.put_slice(self.header);
        out.put_slice(self.body);
    }
}

impl Fragment<'_> {
    fn put_whole(&self, bytes: &[u8], out: &mut BytesMut) {
        let length = (self.length as u32).to_be_bytes();
        out.put_slice(&self.header);
        out.put_slice(&[0, 0, 0]);
        out.put_slice(&length[1..]);
        out.put_slice(bytes);
    }
}

/// RFC 6347, section 4.1. `None` at the end, and where the rest is no record.
fn next_record<'a>(rest: &mut &'a [u8]) -> Option<Record<'a>> {
    let (header, tail) = rest.split_at_checked(RECORD_HEADER)?;
    let &[kind, 0xFE, 0xFF | 0xFD, e0, e1, .., l0, l1] = header else {
        return None;
    };
    let (body, tail) = tail.split_at_checked(u16::from_be_bytes([l0, l1]).into())?;
    *rest = tail;
    Some(Record {
        kind,
        epoch: u16::from_be_bytes([e0, e1]),
        header,
        body,
    })
}

/// RFC 6347, section 4.2.2. `None` at the end, and where the rest is no fragment that we take.
fn next_fragment<'a>(rest: &mut &'a [u8]) -> Option<Fragment<'a>> {
    let (header, tail) = rest.split_at_checked(FRAGMENT_HEADER)?;
    let &[kind, l0, l1, l2, s0, s1, o0, o1, o2, f0, f1, f2] = header else {
        return None;
    };
    let number = |a, b, c| u32::from_be_bytes([0, a, b, c]) as usize;
    let (length, offset) = (number(l0, l1, l2), number(o0, o1, o2));
    let (bytes, tail) = tail.split_at_checked(number(f0, f1, f2))?;
    let sequence = u16::from_be_bytes([s0, s1]);
    if length > MAX_MESSAGE || offset + bytes.len() > length || sequence >= MAX_MESSAGES {
        return None;
    }
    *rest = tail;
    Some(Fragment {
        header: [kind, l0, l1, l2, s0, s1],
        sequence,
        length,
        offset,
        bytes,
    })
}

/// The body of the fuzz target `dtls_records`: datagrams of one peer. A step of kind 255 is the end
/// of the handshake.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(steps: impl Iterator<Item = (u8, Vec<u8>)>) {
    let mut records = Records::new();
    let (mut taken, mut given) = (0, 0);
    for (kind, datagram) in steps {
        if kind == u8::MAX {
            records.set_established();
        }
        taken += datagram.len();
        if let Verdict::Pass(bytes) = records.filter(&datagram) {
            given += bytes.len();
            // Whole records of whole messages, or nothing.
            let mut rest = &bytes[..];
            while let Some(record) = next_record(&mut rest) {
                let mut body = record.body;
                if (record.kind, record.epoch) == (HANDSHAKE, 0) {
                    while let Some(message) = next_fragment(&mut body) {
                        assert_eq!(message.bytes.len(), message.length);
                    }
                    assert!(body.is_empty());
                }
            }
            assert!(rest.is_empty());
        }
        // A fragment without bytes costs 12 and is passed as 12 at most.
        assert!(given <= taken + MAX_PARTIAL * MAX_MESSAGE);
        assert!(taken.min(given) <= HANDSHAKE_BYTES + 2 * LATER_BYTES + MAX_PARTIAL * MAX_MESSAGE);
        assert!(records.partial.len() <= MAX_PARTIAL);
        let kept = records.partial.iter().map(|partial| partial.bytes.len());
        assert!(kept.sum::<usize>() <= MAX_PARTIAL * MAX_MESSAGE);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A record of one fragment.
    fn record(sequence: u8, length: u8, offset: u8, bytes: &[u8]) -> Vec<u8> {
        let len = bytes.len() as u8;
        let mut out = vec![HANDSHAKE, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 1];
        out.extend([
            0,
            12 + len,
            11,
            0,
            0,
            length,
            0,
            sequence,
            0,
            0,
            offset,
            0,
            0,
            len,
        ]);
        out.extend(bytes);
        out
    }

    fn passed(verdict: Verdict) -> Option<Vec<u8>> {
        match verdict {
            Verdict::Pass(bytes) => Some(bytes.to_vec()),
            Verdict::Repeated | Verdict::Dropped => None,
        }
    }

    #[test]
    fn fragments_in_any_order_become_one_message() {
        let mut records = Records::new();
        assert!(passed(records.filter(&record(1, 6, 4, b"ef"))).is_none());
        assert!(passed(records.filter(&record(1, 6, 0, b"abc"))).is_none());
        assert!(passed(records.filter(&record(1, 6, 0, b"abc"))).is_none());
        let whole = passed(records.filter(&record(1, 6, 2, b"cd"))).unwrap();
        assert_eq!(whole, record(1, 6, 0, b"abcdef"));
        assert!(records.partial.is_empty());
    }

    #[test]
    fn a_message_passes_once_and_then_counts_as_repeated() {
        let mut records = Records::new();
        assert!(passed(records.filter(&record(1, 2, 0, b"ab"))).is_some());
        assert!(matches!(
            records.filter(&record(1, 2, 0, b"ab")),
            Verdict::Repeated
        ));
        assert!(matches!(
            records.filter(&record(1, 2, 0, b"a")),
            Verdict::Repeated
        ));
    }

    #[test]
    fn the_first_client_hello_passes_again_until_the_second() {
        let mut records = Records::new();
        for _ in 0..2 {
            assert!(passed(records.filter(&record(0, 2, 0, b"ab"))).is_some());
        }
        assert!(passed(records.filter(&record(1, 2, 0, b"ab"))).is_some());
        assert!(matches!(
            records.filter(&record(0, 2, 0, b"ab")),
            Verdict::Repeated
        ));
    }

    #[test]
    fn a_peer_that_sends_on_and_on_is_not_heard_any_more() {
        let mut records = Records::new();
        let datagram = vec![0; 1200];
        while records.datagrams_left > 0 && records.bytes_left >= datagram.len() {
            records.filter(&datagram);
        }
        assert!(matches!(
            records.filter(&record(1, 2, 0, b"ab")),
            Verdict::Pass(_)
        ));
        records.filter(&datagram);
        records.datagrams_left = 0;
        assert!(matches!(
            records.filter(&record(2, 2, 0, b"ab")),
            Verdict::Dropped
        ));
    }

    #[test]
    fn application_data_and_warnings_are_dropped() {
        let mut records = Records::new();
        for (kind, body) in [(23, &[1, 2, 3][..]), (ALERT, &[WARNING, 90]), (25, &[0])] {
            let mut datagram = vec![
                kind,
                0xFE,
                0xFD,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                1,
                0,
                body.len() as u8,
            ];
            datagram.extend(body);
            assert!(
                matches!(records.filter(&datagram), Verdict::Dropped),
                "{kind}"
            );
        }
    }

    proptest! {
        #[test]
        fn random_fragments_stay_bounded(
            datagrams in prop::collection::vec(prop::collection::vec((0u8..40, any::<u8>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..20)), 0..20), 0..50)
        ) {
            let mut records = Records::new();
            for fragments in datagrams {
                let datagram: Vec<u8> = fragments
                    .iter()
                    .flat_map(|(sequence, length, offset, bytes)| record(*sequence, *length, *offset, bytes))
                    .collect();
                if let Verdict::Pass(bytes) = records.filter(&datagram) {
                    prop_assert!(bytes.len() <= datagram.len() + MAX_PARTIAL * MAX_MESSAGE);
                }
                prop_assert!(records.partial.len() <= MAX_PARTIAL);
            }
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            Records::new().filter(&bytes);
        }
    }
}
