//! AV1: RTP payloads to temporal units, and what a sequence header says.
//!
//! Follows the AV1 RTP specification (AOMedia, v1.0) and the AV1 bitstream specification, section 5.5.

mod points;

use bytes::Bytes;
use mp4_atom::Av1c;

use crate::rtp::bits::Bits;
use crate::rtp::obu;
use points::Points;
pub use points::narrowed;

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
        let keyframe = SequenceHeader::find(&unit).is_some();
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

/// What the player must know before it decodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceHeader {
    /// Greatest width of a picture.
    pub width: u32,
    /// Greatest height of a picture.
    pub height: u32,
    profile: u8,
    level: u8,
    tier: bool,
    bit_depth: u8,
    monochrome: bool,
    subsampling: (bool, bool),
    sample_position: u8,
    obu: Vec<u8>,
}

impl SequenceHeader {
    /// The first one in a temporal unit.
    pub fn find(unit: &[u8]) -> Option<Self> {
        let (place, obu) = obu::sequence_header(unit)?;
        Self::parse(obu.body, unit[place].to_vec())
    }

    /// The `CODECS` value (AV1 codec ISO media file format binding, section 5).
    pub fn codecs(&self) -> String {
        let tier = if self.tier { 'H' } else { 'M' };
        format!(
            "av01.{}.{:02}{tier}.{:02}",
            self.profile, self.level, self.bit_depth
        )
    }

    /// The `av1C` record.
    pub fn configuration(&self) -> Av1c {
        Av1c {
            seq_profile: self.profile,
            seq_level_idx_0: self.level,
            seq_tier_0: self.tier,
            high_bitdepth: self.bit_depth > 8,
            twelve_bit: self.bit_depth == 12,
            monochrome: self.monochrome,
            chroma_subsampling_x: self.subsampling.0,
            chroma_subsampling_y: self.subsampling.1,
            chroma_sample_position: self.sample_position,
            initial_presentation_delay: None,
            config_obus: self.obu.clone(),
        }
    }

    fn parse(body: &[u8], obu: Vec<u8>) -> Option<Self> {
        let mut bits = Bits::new(body);
        let profile = bits.bits(3)? as u8;
        bits.skip(1)?;
        let reduced = bits.flag()?;
        let (level, tier) = if reduced {
            (bits.bits(5)? as u8, false)
        } else {
            let points = Points::read(&mut bits)?;
            let first = points.first()?;
            (first.level, first.tier)
        };
        let (width_bits, height_bits) = (bits.bits(4)? + 1, bits.bits(4)? + 1);
        let (width, height) = (bits.bits(width_bits)? + 1, bits.bits(height_bits)? + 1);
        if !reduced && bits.flag()? {
            bits.skip(4 + 3)?;
        }
        bits.skip(3)?;
        if !reduced {
            bits.skip(4)?;
            let order_hint = bits.flag()?;
            if order_hint {
                bits.skip(2)?;
            }
            let screen_content = if bits.flag()? { 2 } else { bits.bits(1)? };
            if screen_content > 0 && !bits.flag()? {
                bits.skip(1)?;
            }
            if order_hint {
                bits.skip(3)?;
            }
        }
        bits.skip(3)?;
        let high = bits.flag()?;
        let bit_depth = match (high, profile) {
            (true, 2) => 10 + 2 * bits.bits(1)? as u8,
            (true, _) => 10,
            _ => 8,
        };
        let monochrome = profile != 1 && bits.flag()?;
        let description = if bits.flag()? {
            bits.bits(24)?
        } else {
            0x02_02_02
        };
        let (mut subsampling, mut sample_position) = ((true, true), 0);
        if !monochrome {
            const SRGB: u32 = 0x01_0d_00;
            if description == SRGB {
                subsampling = (false, false);
            } else {
                bits.skip(1)?;
                subsampling = match (profile, bit_depth) {
                    (0, _) => (true, true),
                    (1, _) => (false, false),
                    (_, 12) => {
                        let x = bits.flag()?;
                        (x, x && bits.flag()?)
                    }
                    _ => (true, false),
                };
                if subsampling == (true, true) {
                    sample_position = bits.bits(2)? as u8;
                }
            }
        }
        Some(Self {
            width,
            height,
            profile,
            level,
            tier,
            bit_depth,
            monochrome,
            subsampling,
            sample_position,
            obu,
        })
    }
}

/// Far above the largest picture of a live stream.
const MAX_UNIT: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    /// Main profile, level 3.0, 640x360, 8 bits, 4:2:0.
    const SEQUENCE: [u8; 11] = [
        0x00, 0x00, 0x00, 0x24, 0xc4, 0xff, 0xdf, 0x00, 0x68, 0x02, 0x00,
    ];

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
            SequenceHeader::find(&payload);
        }
        assert_eq!(
            SequenceHeader::find(&[&[0x0a, 11][..], &SEQUENCE[..5]].concat()),
            None
        );
    }
}
