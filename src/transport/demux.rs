//! What a datagram on the one port is, by its first bytes (RFC 7983, RFC 5761).

/// The protocol of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A STUN message: it carries the magic cookie.
    Stun,
    /// One or more DTLS records.
    Dtls,
    /// An RTP or SRTP packet.
    Rtp,
    /// A compound RTCP or SRTCP packet.
    Rtcp,
    /// None of these; drop it.
    Other,
}

/// Tells the protocols apart. Only the first bytes are looked at: nothing is validated.
pub fn classify(datagram: &[u8]) -> Kind {
    match datagram {
        [0..=3, _, _, _, 0x21, 0x12, 0xA4, 0x42, ..] => Kind::Stun,
        [20..=63, ..] => Kind::Dtls,
        // The payload types that RTP must not use where both share a port (RFC 5761, section 4).
        [128..=191, 192..=223, ..] => Kind::Rtcp,
        [128..=191, _, ..] => Kind::Rtp,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_told_apart() {
        assert_eq!(classify(&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42]), Kind::Stun);
        assert_eq!(classify(&[0, 1, 0, 0, 0, 0, 0, 0]), Kind::Other);
        assert_eq!(classify(&[22, 0xFE, 0xFD]), Kind::Dtls);
        assert_eq!(classify(&[0x80, 96]), Kind::Rtp);
        assert_eq!(classify(&[0x80, 0x80 | 63]), Kind::Rtp);
        assert_eq!(classify(&[0x80, 0x80 | 96]), Kind::Rtp);
        assert_eq!(classify(&[0x81, 206]), Kind::Rtcp);
        for other in [&[][..], &[0x80], &[64, 0], &[200, 0]] {
            assert_eq!(classify(other), Kind::Other);
        }
    }
}
