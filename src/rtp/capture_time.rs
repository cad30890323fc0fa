//! When a frame was captured (<http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time>).

/// The value of [`super::Extension::AbsCaptureTime`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureTime {
    /// By the clock of who captured it, as NTP time.
    pub ntp: u64,
    /// How far that clock is ahead of the one in the sender reports that come with the packet, in 32.32
    /// fixed point seconds; none where the sender can't tell.
    pub offset: Option<i64>,
}

impl CaptureTime {
    /// Bytes of a value at most.
    pub const MAX_LEN: usize = 16;

    /// None where the length is not that of one of the two forms.
    pub fn from_bytes(value: &[u8]) -> Option<Self> {
        let (ntp, offset) = value.split_first_chunk()?;
        let offset = match offset {
            [] => None,
            offset => Some(i64::from_be_bytes(offset.try_into().ok()?)),
        };
        Some(Self {
            ntp: u64::from_be_bytes(*ntp),
            offset,
        })
    }

    /// Writes the value of the extension, and gives the part of the buffer that it takes.
    pub fn write(self, buffer: &mut [u8; Self::MAX_LEN]) -> &[u8] {
        buffer[..8].copy_from_slice(&self.ntp.to_be_bytes());
        let Some(offset) = self.offset else {
            return &buffer[..8];
        };
        buffer[8..].copy_from_slice(&offset.to_be_bytes());
        buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_survive_and_no_other_is_taken() {
        for offset in [None, Some(-3), Some(i64::MAX)] {
            let time = CaptureTime {
                ntp: 0x0123_4567_89AB_CDEF,
                offset,
            };
            let mut buffer = [0xAA; CaptureTime::MAX_LEN];
            let value = time.write(&mut buffer);
            assert_eq!(value.len(), if offset.is_none() { 8 } else { 16 });
            assert_eq!(value[..2], [0x01, 0x23]);
            assert_eq!(CaptureTime::from_bytes(value), Some(time));
        }
        for len in [0, 1, 7, 9, 15, 17] {
            assert_eq!(CaptureTime::from_bytes(&[0; 20][..len]), None, "{len}");
        }
    }
}
