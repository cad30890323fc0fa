//! What a ladder is to be, and the size of a rung.

use crate::egress::hls::RenditionId;
use crate::media::hls::Transcodes;
use crate::stream::{StreamName, StreamPattern};

/// One smaller picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rung {
    /// Pixels of the shorter side, which is the height of a picture that does not stand upright; even.
    pub height: u16,
    /// Bits a second.
    pub bitrate: u32,
}

/// Which streams have which ladder.
#[derive(Clone, Debug)]
pub struct LadderSettings {
    /// The rungs of streams that have none of their own, the highest first; none: no ladder. Those beyond
    /// the number of renditions that there can be are left out.
    pub every: Vec<Rung>,
    /// Those of some streams. The first whose pattern matches holds.
    pub some: Vec<(StreamPattern, Vec<Rung>)>,
    /// How many streams may have a ladder at once.
    pub streams: Transcodes,
    /// Whether an encoder in hardware is taken where there is one.
    pub hardware: bool,
}

/// What becomes of a rung for pictures of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) rendition: RenditionId,
    /// Width and height.
    pub(super) size: (u16, u16),
    /// Bits a second.
    pub(super) bitrate: u32,
}

impl Default for LadderSettings {
    fn default() -> Self {
        Self {
            every: Vec::new(),
            some: Vec::new(),
            streams: Transcodes::new(0),
            hardware: true,
        }
    }
}

impl LadderSettings {
    /// The rungs of a stream.
    pub(super) fn rungs(&self, stream: &StreamName) -> &[Rung] {
        let own = self
            .some
            .iter()
            .find(|(pattern, _)| pattern.matches(stream));
        let rungs = own.map_or(&self.every, |(_, rungs)| rungs);
        let most = usize::from(RenditionId::LAYERS) - 1;
        rungs.get(..most).unwrap_or(rungs)
    }
}

impl Rung {
    /// What becomes of the rungs of a ladder for pictures of this size: those that are smaller.
    pub(super) fn targets(rungs: &[Self], picture: (u16, u16)) -> Vec<Target> {
        let renditions = (1..RenditionId::LAYERS).map(RenditionId::Video);
        let target = |(rung, rendition): (&Self, RenditionId)| {
            Some(Target {
                rendition,
                size: rung.size(picture)?,
                bitrate: rung.bitrate,
            })
        };
        rungs.iter().zip(renditions).filter_map(target).collect()
    }

    /// The size of a picture of this width and height on this rung, which keeps its shape; none when it would
    /// not be smaller.
    fn size(self, (width, height): (u16, u16)) -> Option<(u16, u16)> {
        let short = width.min(height);
        if self.height >= short {
            return None;
        }
        let scaled = |side: u16| {
            let (side, short) = (u32::from(side), u32::from(short));
            // To the nearest even number, as chroma has half the size.
            let half = (side * u32::from(self.height) + short) / (2 * short);
            u16::try_from(2 * half.max(1)).ok()
        };
        Some((scaled(width)?, scaled(height)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(height: u16) -> Rung {
        Rung {
            height,
            bitrate: 1_000_000,
        }
    }

    #[test]
    fn a_rung_keeps_the_shape_and_is_smaller() {
        assert_eq!(rung(480).size((1280, 720)), Some((854, 480)));
        assert_eq!(rung(480).size((1080, 1920)), Some((480, 854)));
        assert_eq!(rung(360).size((640, 480)), Some((480, 360)));
        assert_eq!(rung(90).size((65_535, 92)), Some((64_110, 90)));
        assert_eq!(rung(720).size((1280, 720)), None);
        assert_eq!(rung(720).size((0, 0)), None);
    }

    #[test]
    fn a_rung_that_is_not_made_keeps_its_rendition() {
        let targets = Rung::targets(&[720, 480].map(rung), (1280, 720));
        let made = targets.iter().map(|target| (target.rendition, target.size));
        assert!(made.eq([(RenditionId::Video(2), (854, 480))]));
    }

    #[test]
    fn the_first_rule_that_matches_holds() {
        let settings = LadderSettings {
            every: [1080, 720, 480, 360].map(rung).to_vec(),
            some: vec![
                ("final*".parse().unwrap(), vec![rung(240)]),
                ("quiet".parse().unwrap(), Vec::new()),
            ],
            ..LadderSettings::default()
        };
        let rungs = |name: &str| settings.rungs(&name.parse().unwrap());
        assert_eq!(rungs("final1"), [rung(240)]);
        assert_eq!(rungs("quiet"), []);
        assert_eq!(rungs("other"), [1080, 720, 480].map(rung));
    }
}
