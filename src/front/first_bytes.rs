//! What a TCP connection speaks, by the first bytes that its client sent.
//!
//! Pure. The three protocols differ in their first byte already, so none can be taken for another:
//!
//! | first byte | protocol |
//! |---|---|
//! | 0x00 to 0x08 | the length of an RFC 4571 frame, which holds a STUN message (RFC 6544, section 3) |
//! | 0x16 | a TLS handshake record (RFC 8446, section 5.1) |
//! | a character of a method, CR, LF | an HTTP request line, or the preface of HTTP/2, which looks like one |

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.1, or HTTP/2 with prior knowledge.
    Http,
    /// TLS; whatever it carries.
    Tls,
    /// ICE over TCP.
    Ice,
}

/// What can be said after some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is this.
    Is(Protocol),
    /// It can still be one of them. Never said of [`MOST_NEEDED`] bytes or more.
    NeedMore,
    /// It is none of them.
    Unknown,
}

/// After so many bytes there is a verdict.
pub(super) const MOST_NEEDED: usize = LENGTH + 8;

/// The length field of RFC 4571.
const LENGTH: usize = 2;
const STUN_HEADER: u16 = 20;
/// Far more than any check has; RFC 8489, section 6.1 keeps them below a path's MTU.
const LONGEST_STUN: u16 = 2048;
/// RFC 8489, section 5.
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const TLS_HANDSHAKE: u8 = 22;
/// The major version of every TLS and of SSL 3.
const TLS_MAJOR: u8 = 3;

/// Says what a connection speaks that began with `bytes`.
pub(super) fn classify(bytes: &[u8]) -> Verdict {
    match bytes {
        [] => Verdict::NeedMore,
        [TLS_HANDSHAKE] => Verdict::NeedMore,
        [TLS_HANDSHAKE, TLS_MAJOR, ..] => Verdict::Is(Protocol::Tls),
        [first, ..] if begins_a_request(*first) => Verdict::Is(Protocol::Http),
        _ => stun(bytes),
    }
}

/// A method is a token (RFC 9110, section 9.1), and servers pass over empty lines before it (RFC
/// 9112, section 2.2). What follows is for the HTTP server to judge, which can answer.
fn begins_a_request(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~\r\n".contains(&byte)
}

/// Each field is looked at as soon as it is there, so that nobody is waited for in vain.
fn stun(bytes: &[u8]) -> Verdict {
    let field = |at: usize| {
        let bytes = bytes.get(at..at + 2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    };
    if u16::from(bytes[0]) > LONGEST_STUN >> 8 {
        return Verdict::Unknown;
    }
    let Some(frame) = field(0) else {
        return Verdict::NeedMore;
    };
    if !(STUN_HEADER..=LONGEST_STUN).contains(&frame) {
        return Verdict::Unknown;
    }
    // The two first bits of every STUN message are zero.
    if bytes.get(LENGTH).is_some_and(|byte| byte & 0xc0 != 0) {
        return Verdict::Unknown;
    }
    // A frame holds one message and nothing else, and attributes are padded to four bytes.
    let message = frame - STUN_HEADER;
    if field(LENGTH + 2).is_some_and(|length| length != message || length % 4 != 0) {
        return Verdict::Unknown;
    }
    let cookie = bytes.get(LENGTH + 4..).unwrap_or_default();
    let cookie = &cookie[..cookie.len().min(MAGIC_COOKIE.len())];
    if !MAGIC_COOKIE.starts_with(cookie) {
        return Verdict::Unknown;
    }
    match cookie.len() == MAGIC_COOKIE.len() {
        true => Verdict::Is(Protocol::Ice),
        false => Verdict::NeedMore,
    }
}

/// The body of the fuzz target `first_bytes`: a verdict stands, whatever comes behind it.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(data: &[u8]) {
    let mut verdict = Verdict::NeedMore;
    for len in 0..=data.len().min(2 * MOST_NEEDED) {
        let next = classify(&data[..len]);
        assert!(verdict == Verdict::NeedMore || next == verdict);
        assert!(next != Verdict::NeedMore || len < MOST_NEEDED);
        verdict = next;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A binding request with a USERNAME of 12 bytes, framed.
    const CHECK: &[u8] =
        b"\x00\x24\x00\x01\x00\x10\x21\x12\xa4\x42abcdefghijkl\x00\x06\x00\x0cabcd:efghijk";
    const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

    /// The verdicts as the bytes come one by one, each only when it changes.
    fn verdicts(bytes: &[u8]) -> Vec<Verdict> {
        let mut verdicts: Vec<_> = (0..=bytes.len())
            .map(|length| classify(&bytes[..length]))
            .collect();
        verdicts.dedup();
        verdicts
    }

    #[test]
    fn each_protocol_is_known_when_its_bytes_come_one_by_one() {
        for (bytes, protocol) in [
            (CHECK, Protocol::Ice),
            (CLIENT_HELLO, Protocol::Tls),
            (&b"GET / HTTP/1.1\r\n"[..], Protocol::Http),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Protocol::Http),
            (b"\r\nPOST /whip/a HTTP/1.1\r\n", Protocol::Http),
            (b"m-search * HTTP/1.1\r\n", Protocol::Http),
        ] {
            assert_eq!(
                verdicts(bytes),
                [Verdict::NeedMore, Verdict::Is(protocol)],
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn a_check_is_known_by_its_cookie() {
        let known = LENGTH + 8;
        assert_eq!(known, MOST_NEEDED);
        assert_eq!(classify(&CHECK[..known - 1]), Verdict::NeedMore);
        assert_eq!(classify(&CHECK[..known]), Verdict::Is(Protocol::Ice));
    }

    #[test]
    fn what_is_none_of_them_is_turned_away_with_the_first_byte_that_says_so() {
        for (bytes, known) in [
            (&b"\x03\x00\x00\x00\x00\x00\x00"[..], 6),         // RTMP
            (b"\x80\x2e\x01\x03\x01", 1),                      // SSL 2
            (b"\x16\x02", 2),                                  // no TLS
            (b"\xff\xfb\x01", 1),                              // Telnet
            (b"\x00\x13\x00\x01", 2),                          // shorter than a STUN header
            (b"\x08\x01\x00\x01", 2),                          // longer than any STUN message
            (b"\x00\x1c\x80\x60", 3),                          // framed RTP
            (b"\x00\x1c\x16\xfe", 6),                          // framed DTLS
            (b"\x00\x1c\x40\x00", 3),                          // a TURN channel
            (b"\x00\x24\x00\x01\x00\x0c", 6),                  // a message shorter than its frame
            (b"\x00\x17\x00\x01\x00\x03", 6), // a length that is no multiple of four
            (b"\x00\x24\x00\x01\x00\x10\x21\x12\xa4\x43", 10), // another cookie
            (b" GET / HTTP/1.1", 1),
        ] {
            let mut padded = bytes.to_vec();
            padded.resize(MOST_NEEDED, 0xee);
            assert_eq!(classify(&padded), Verdict::Unknown, "{bytes:?}");
            assert_eq!(classify(&padded[..known]), Verdict::Unknown, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn a_verdict_comes_in_time_and_stays(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let verdicts = verdicts(&bytes);
            prop_assert_eq!(verdicts[0], Verdict::NeedMore);
            prop_assert!(verdicts.len() <= 2, "{:?}", verdicts);
            if bytes.len() >= MOST_NEEDED {
                prop_assert_ne!(classify(&bytes), Verdict::NeedMore);
            }
        }
    }
}
