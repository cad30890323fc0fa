//! AV1: RTP payloads to temporal units, and what players must know before they decode them.
//!
//! Follows the AV1 RTP specification (AOMedia, v1.0).

use bytes::Bytes;
use mp4_atom::Av1c;

use crate::rtp::av1::SequenceHeader;
use crate::rtp::obu;

/// Puts temporal units together out of RTP payloads in order.
///
/// After a loss it gives nothing until the next coded video sequence begins.
#[derive(Debug, Default)]
pub struct Depayloader {
    /// Whole OBUs with size fields.
    unit: Vec<u8>,
    /// The begin of an OBU that goes on in the next packet.
    open: Vec<u8>,
    started: bool,
}

/// A temporal unit as a sample of a file holds it: every OBU with its size, no temporal delimiter.
#[derive(Debug, PartialEq, Eq)]
pub struct TemporalUnit {
    /// Its bytes.
    pub data: Bytes,
    /// It begins with a sequence header, so a decoder can begin with it.
    pub keyframe: bool,
}

impl Depayloader {
    /// Takes the next payload. `marker` ends the temporal unit.
    pub fn handle_payload(&mut self, payload: &[u8], marker: bool) -> Option<TemporalUnit> {
        // Empty ones fill a place in the numbers.
        let is_taken = payload.is_empty() || self.take(payload).is_some();
        if !is_taken || self.unit.len() + self.open.len() > MAX_UNIT {
            self.handle_loss();
        }
        if !marker {
            return None;
        }
        // An OBU that is still open at the marker lost its end.
        self.open.clear();
        let unit = std::mem::take(&mut self.unit);
        let keyframe = SequenceHeader::in_unit(&unit).is_some();
        let whole = self.started && !unit.is_empty();
        whole.then(|| TemporalUnit {
            data: unit.into(),
            keyframe,
        })
    }

    /// A packet is missing: waits for the next coded video sequence.
    pub fn handle_loss(&mut self) {
        *self = Self::default();
    }

    /// Whether it waits for a keyframe.
    pub fn needs_keyframe(&self) -> bool {
        !self.started
    }

    fn take(&mut self, payload: &[u8]) -> Option<()> {
        let header = *payload.first()?;
        let (continues, open_end, new_sequence) =
            (header & 0x80 != 0, header & 0x40 != 0, header & 0x08 != 0);
        if new_sequence {
            self.handle_loss();
            self.started = true;
        }
        if !self.started {
            return Some(());
        }
        if continues == self.open.is_empty() {
            return None;
        }
        let mut elements = obu::elements(payload)?;
        while let Some(element) = elements.next() {
            self.open.extend_from_slice(element?);
            if !(elements.is_empty() && open_end) {
                self.close_obu()?;
            }
        }
        Some(())
    }

    /// Moves the open OBU to the unit, with a size field as the file format wants it.
    fn close_obu(&mut self) -> Option<()> {
        let appended = obu::append(&mut self.unit, &self.open);
        self.open.clear();
        appended
    }
}

/// The `CODECS` value (AV1 codec ISO media file format binding, section 5).
pub(super) fn codecs(header: &SequenceHeader) -> String {
    let tier = if header.tier { 'H' } else { 'M' };
    format!(
        "av01.{}.{:02}{tier}.{:02}",
        header.profile, header.level, header.bit_depth
    )
}

/// The `av1C` record; `obu` is the whole one that `header` was read from.
pub(super) fn configuration(header: &SequenceHeader, obu: &[u8]) -> Av1c {
    Av1c {
        seq_profile: header.profile,
        seq_level_idx_0: header.level,
        seq_tier_0: header.tier,
        high_bitdepth: header.bit_depth > 8,
        twelve_bit: header.bit_depth == 12,
        monochrome: header.monochrome,
        chroma_subsampling_x: header.subsampling.0,
        chroma_subsampling_y: header.subsampling.1,
        chroma_sample_position: header.sample_position,
        initial_presentation_delay: None,
        config_obus: obu.to_vec(),
    }
}

/// Far above the largest picture of a live stream.
const MAX_UNIT: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind << 3][..], body].concat()
    }

    #[test]
    fn a_unit_comes_back_with_sizes() {
        let mut depayloader = Depayloader::default();
        // New sequence, two elements: one with its length, the last without, going on in the next packet.
        let mut first = vec![0x08 | 0x40 | 0x20, 3];
        first.extend(frame(5, &[1, 2]));
        first.extend(frame(6, &[7, 8]));
        assert_eq!(depayloader.handle_payload(&first, false), None);
        let unit = depayloader.handle_payload(&[0x80 | 0x10, 9], true).unwrap();
        assert_eq!(&unit.data[..], [0x2a, 2, 1, 2, 0x32, 3, 7, 8, 9]);
        assert!(!unit.keyframe);
    }

    #[test]
    fn a_payload_may_hold_more_obus_than_a_byte_counts() {
        let mut payload = vec![0x08];
        for _ in 0..300 {
            payload.push(2);
            payload.extend(frame(6, &[1]));
        }
        let unit = Depayloader::default().handle_payload(&payload, true);
        assert_eq!(unit.unwrap().data.len(), 300 * 3);
    }

    #[test]
    fn what_fills_a_place_changes_nothing() {
        let mut depayloader = Depayloader::default();
        let start = [&[0x18][..], &frame(6, &[1])].concat();
        assert_eq!(depayloader.handle_payload(&start, false), None);
        assert_eq!(depayloader.handle_payload(&[], false), None);
        let rest = [&[0x10][..], &frame(6, &[2])].concat();
        let unit = depayloader.handle_payload(&rest, true).unwrap();
        assert_eq!(&unit.data[..], [0x32, 1, 1, 0x32, 1, 2]);
    }

    #[test]
    fn after_a_loss_it_waits_for_a_new_sequence() {
        let mut depayloader = Depayloader::default();
        let plain = [&[0x10][..], &frame(6, &[1])].concat();
        let start = [&[0x18][..], &frame(6, &[1])].concat();
        assert_eq!(depayloader.handle_payload(&plain, true), None);
        assert!(depayloader.handle_payload(&start, true).is_some());
        depayloader.handle_loss();
        assert!(depayloader.needs_keyframe());
        assert_eq!(depayloader.handle_payload(&plain, true), None);
        assert!(depayloader.handle_payload(&start, true).is_some());
        assert_eq!(depayloader.handle_payload(&[0x80 | 0x10, 9], true), None);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut depayloader = Depayloader::default();
        let mut seed = 1u32;
        for length in 0..2000usize {
            let payload: Vec<u8> = (0..length % 40)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (seed >> 24) as u8
                })
                .collect();
            depayloader.handle_payload(&payload, length % 3 == 0);
        }
    }
}
