//! The dependency descriptor: which layer a frame is of, and what it refers to (the RTP payload
//! format of AV1, appendix A). Senders of other codecs use it as well.
//!
//! Pure. A keyframe brings a [`Structure`], and what comes after it can only be read with that. What
//! a structure holds is bounded by the widths of its fields; the templates by 64, the references of a
//! frame by [`MAX_REFERENCES`].

use super::bits::Bits;

/// References of one frame that are read at most; more than any codec has slots for.
pub const MAX_REFERENCES: usize = 8;

/// Bytes of the fields that every descriptor has.
const MANDATORY_LEN: usize = 3;

const MAX_TEMPLATES: usize = 64;
const MAX_SPATIAL: u8 = 3;
const MAX_TEMPORAL: u8 = 7;

/// Why a value can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It ends before its fields do.
    #[error("the dependency descriptor is cut short")]
    Truncated,
    /// The keyframe with the structure did not come, or that of another template did.
    #[error("the dependency descriptor refers to a template that is not known")]
    UnknownTemplate,
    /// A count is beyond what the format allows.
    #[error("the dependency descriptor has too many layers, templates or references")]
    Excess,
}

/// The frame number, which can be read without a structure (section A.8.1); none where the value ends before it does.
pub fn frame_number(value: &[u8]) -> Option<u16> {
    match value {
        [_, high, low, ..] => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

/// Adds `frames` to the frame number, where there is one.
pub fn shift_frame_number(value: &mut [u8], frames: u16) {
    let number = frame_number(value);
    if let (Some(number), Some(place)) = (number, value.get_mut(1..MANDATORY_LEN)) {
        place.copy_from_slice(&number.wrapping_add(frames).to_be_bytes());
    }
}

/// What a decode target makes of a frame (section A.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indication {
    /// It isn't part of it.
    NotPresent,
    /// Nothing of the target refers to it.
    Discardable,
    /// Who has decoded another target so far can go over to this one.
    Switch,
    /// Others refer to it.
    Required,
}

/// Layer and references of frames that are alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// The spatial layer, from 0 for the smallest picture.
    pub spatial: u8,
    /// The temporal layer, from 0 for those that nobody can do without.
    pub temporal: u8,
    /// By decode target, two bits each, the first in the lowest bits.
    indications: u64,
    /// How many frames back each reference is; the first `reference_count` of them.
    references: [u16; MAX_REFERENCES],
    reference_count: u8,
    /// By chain: how many frames back the one before is.
    chains: [u8; 32],
}

/// What a keyframe says of all frames up to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Structure {
    /// What the first template is called.
    template_id_offset: u8,
    templates: Vec<Template>,
    /// 1 to 32.
    pub decode_targets: u8,
    /// 0 to 32.
    pub chains: u8,
    /// By decode target: the chain that protects it.
    protected_by: [u8; 32],
    /// By spatial layer: width and height in pixels; empty where it isn't told.
    resolutions: Vec<(u32, u32)>,
}

/// One value of the extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The first packet of a frame.
    pub starts_frame: bool,
    /// The last packet of it.
    pub ends_frame: bool,
    /// Counts frames; it wraps.
    pub frame_number: u16,
    /// Layer and references.
    pub frame: Template,
    /// By decode target, the first in the lowest bit: those that come from now on, where it is told.
    ///
    /// Viewers get it as the publisher said it, also those of a lesser layer: receivers made of libwebrtc pass it
    /// over, and go by the references of each frame that comes.
    pub active_decode_targets: Option<u32>,
    /// What holds from this frame on, and was used to read it already.
    pub structure: Option<Box<Structure>>,
}

impl Template {
    /// What a decode target makes of the frame.
    pub fn indication(&self, decode_target: u8) -> Indication {
        match self.indications >> (2 * u32::from(decode_target & 31)) & 3 {
            0 => Indication::NotPresent,
            1 => Indication::Discardable,
            2 => Indication::Switch,
            _ => Indication::Required,
        }
    }

    /// How many frames back the frames are that it refers to.
    pub fn references(&self) -> &[u16] {
        &self.references[..usize::from(self.reference_count)]
    }

    /// How many frames back the one before it in a chain is; 0 for none.
    pub fn chain(&self, chain: u8) -> u8 {
        self.chains[usize::from(chain & 31)]
    }

    fn push_reference(&mut self, difference: u16) -> Result<(), Error> {
        let slot = self.references.get_mut(usize::from(self.reference_count));
        *slot.ok_or(Error::Excess)? = difference;
        self.reference_count += 1;
        Ok(())
    }
}

impl Structure {
    /// How many spatial layers there are, 1 to 4.
    pub fn spatial_layers(&self) -> u8 {
        self.templates.last().map_or(1, |last| last.spatial + 1)
    }

    /// How many temporal layers there are, 1 to 8.
    pub fn temporal_layers(&self) -> u8 {
        let temporal = self.templates.iter().map(|template| template.temporal);
        temporal.max().unwrap_or(0) + 1
    }

    /// Whether who has had only lower temporal layers so far, of the lowest spatial layer, can go on with the higher
    /// ones of that behind `frame`.
    pub fn is_switching_point(&self, frame: &Template) -> bool {
        let targets = (0..self.decode_targets).filter(|target| {
            // Those without a higher spatial layer that the frame is part of.
            let has = |template: &Template| template.indication(*target) != Indication::NotPresent;
            let mut higher = self.templates.iter().filter(|known| known.spatial > 0);
            has(frame) && !higher.any(has)
        });
        let is_switch = |target| frame.indication(target) == Indication::Switch;
        frame.spatial == 0 && targets.clone().next().is_some() && targets.clone().all(is_switch)
    }

    /// Width and height of the pictures of a spatial layer in pixels, where they are told.
    pub fn resolution(&self, spatial: u8) -> Option<(u32, u32)> {
        self.resolutions.get(usize::from(spatial)).copied()
    }

    /// The chain whose frames a decode target can't do without, where there are chains.
    pub fn protected_by(&self, decode_target: u8) -> Option<u8> {
        let chain = self.protected_by[usize::from(decode_target & 31)];
        (self.chains > 0).then_some(chain)
    }

    /// A template by its id on the wire.
    fn template(&self, id: u8) -> Option<&Template> {
        let index = id.wrapping_sub(self.template_id_offset) & 63;
        self.templates.get(usize::from(index))
    }

    fn read(bits: &mut Reader<'_>) -> Result<Self, Error> {
        let mut structure = Self {
            template_id_offset: bits.take(6)? as u8,
            decode_targets: bits.take(5)? as u8 + 1,
            ..Self::default()
        };
        structure.read_layers(bits)?;
        for template in &mut structure.templates {
            template.indications = bits.indications(structure.decode_targets)?;
        }
        for template in &mut structure.templates {
            while bits.flag()? {
                template.push_reference(bits.take(4)? as u16 + 1)?;
            }
        }
        structure.read_chains(bits)?;
        if bits.flag()? {
            for _ in 0..structure.spatial_layers() {
                let (width, height) = (bits.take(16)? + 1, bits.take(16)? + 1);
                structure.resolutions.push((width, height));
            }
        }
        Ok(structure)
    }

    fn read_layers(&mut self, bits: &mut Reader<'_>) -> Result<(), Error> {
        let (mut spatial, mut temporal) = (0, 0);
        loop {
            if self.templates.len() == MAX_TEMPLATES {
                return Err(Error::Excess);
            }
            self.templates.push(Template {
                spatial,
                temporal,
                ..Template::default()
            });
            match bits.take(2)? {
                0 => {}
                1 => temporal += 1,
                2 => (spatial, temporal) = (spatial + 1, 0),
                _ => return Ok(()),
            }
            if spatial > MAX_SPATIAL || temporal > MAX_TEMPORAL {
                return Err(Error::Excess);
            }
        }
    }

    fn read_chains(&mut self, bits: &mut Reader<'_>) -> Result<(), Error> {
        self.chains = bits.non_symmetric(u32::from(self.decode_targets) + 1)? as u8;
        if self.chains == 0 {
            return Ok(());
        }
        for target in 0..usize::from(self.decode_targets) {
            self.protected_by[target] = bits.non_symmetric(u32::from(self.chains))? as u8;
        }
        for template in &mut self.templates {
            for chain in 0..usize::from(self.chains) {
                template.chains[chain] = bits.take(4)? as u8;
            }
        }
        Ok(())
    }
}

impl Descriptor {
    /// Reads a value of the extension. `known` is what the last keyframe said; a value that brings a
    /// structure of its own needs none. Allocates for such a one only.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn read(value: &[u8], known: Option<&Structure>) -> Result<Self, Error> {
        let bits = &mut Reader(Bits::new(value));
        let (starts_frame, ends_frame) = (bits.flag()?, bits.flag()?);
        let template_id = bits.take(6)? as u8;
        let frame_number = bits.take(16)? as u16;
        let (mut structure, mut active_decode_targets) = (None, None);
        let mut custom = [false; 3];
        if value.len() > MANDATORY_LEN {
            let (has_structure, has_active) = (bits.flag()?, bits.flag()?);
            for custom in &mut custom {
                *custom = bits.flag()?;
            }
            if has_structure {
                let new = Structure::read(bits)?;
                active_decode_targets = Some(u32::MAX >> (32 - new.decode_targets));
                structure = Some(Box::new(new));
            }
            if has_active {
                let known = structure.as_deref().or(known);
                let targets = known.ok_or(Error::UnknownTemplate)?.decode_targets;
                active_decode_targets = Some(bits.take(u32::from(targets))?);
            }
        }
        let known = structure.as_deref().or(known);
        let known = known.ok_or(Error::UnknownTemplate)?;
        let template = known.template(template_id);
        let mut frame = template.ok_or(Error::UnknownTemplate)?.clone();
        let [has_indications, has_references, has_chains] = custom;
        if has_indications {
            frame.indications = bits.indications(known.decode_targets)?;
        }
        if has_references {
            frame.reference_count = 0;
            loop {
                let size = bits.take(2)?;
                if size == 0 {
                    break;
                }
                frame.push_reference(bits.take(4 * size)? as u16 + 1)?;
            }
        }
        if has_chains {
            for chain in 0..usize::from(known.chains) {
                frame.chains[chain] = bits.take(8)? as u8;
            }
        }
        Ok(Self {
            starts_frame,
            ends_frame,
            frame_number,
            frame,
            active_decode_targets,
            structure,
        })
    }
}

/// Bits, past the end of which there is an error.
struct Reader<'a>(Bits<'a>);

impl Reader<'_> {
    fn flag(&mut self) -> Result<bool, Error> {
        self.0.flag().ok_or(Error::Truncated)
    }

    fn take(&mut self, count: u32) -> Result<u32, Error> {
        self.0.bits(count).ok_or(Error::Truncated)
    }

    /// A number below `count`, which is not 0: `ns(n)` of the specification.
    fn non_symmetric(&mut self, count: u32) -> Result<u32, Error> {
        let width = count.ilog2() + 1;
        let short = (1 << width) - count;
        let value = self.take(width - 1)?;
        if value < short {
            return Ok(value);
        }
        Ok((value << 1) - short + self.take(1)?)
    }

    fn indications(&mut self, decode_targets: u8) -> Result<u64, Error> {
        let mut indications = 0;
        for target in 0..u32::from(decode_targets) {
            indications |= u64::from(self.take(2)?) << (2 * target);
        }
        Ok(indications)
    }
}

#[cfg(test)]
pub(crate) mod tests;
