//! What the table-of-contents byte of an Opus packet says (RFC 6716, section 3.1).

/// A packet of silence: 20 ms of CELT, nothing coded.
pub const SILENCE: &[u8] = &[0xf8, 0xff, 0xfe];

/// How long a packet lasts in samples of 48 kHz; none when it is malformed.
pub fn duration(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    let frame = match toc >> 3 {
        config @ 0..=11 => [480, 960, 1920, 2880][usize::from(config & 3)],
        config @ 12..=15 => [480, 960][usize::from(config & 1)],
        config => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3f),
    };
    // Section 3.2.5: at most 120 ms.
    Some(frame * frames).filter(|samples| (1..=5760).contains(samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_tells_the_length() {
        assert_eq!(duration(SILENCE), Some(960));
        assert_eq!(duration(&[0x78, 0]), Some(960));
        assert_eq!(duration(&[0x18]), Some(2880));
        assert_eq!(duration(&[0x79]), Some(1920));
        assert_eq!(duration(&[0x83, 0x03]), Some(360));
    }

    #[test]
    fn malformed_packets_have_no_length() {
        for packet in [&[][..], &[0x7b], &[0x7b, 0], &[0x1b, 3]] {
            assert_eq!(duration(packet), None);
        }
    }
}
