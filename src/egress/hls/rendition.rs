//! The renditions of a stream: its video layers and the codings of its audio, by the names in their URLs.

use std::fmt;

use crate::rtp::MediaKind;

/// One rendition. All of them have the same segment numbers, cuts and discontinuities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RenditionId {
    /// A video layer, counted from 0, the best first. At most [`RenditionId::LAYERS`].
    Video(u8),
    /// The audio as the publisher sends it, or what it is always turned into.
    Audio,
    /// The audio as AAC beside [`Self::Audio`], made while somebody asks for it.
    Aac,
}

impl RenditionId {
    /// Video layers at most.
    pub const LAYERS: u8 = 4;
    /// How many renditions there can be.
    pub const COUNT: usize = Self::LAYERS as usize + 2;

    /// All that there can be, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        let audio = [Self::Audio, Self::Aac];
        (0..Self::LAYERS).map(Self::Video).chain(audio)
    }

    /// Audio or video.
    pub fn kind(self) -> MediaKind {
        match self {
            Self::Video(_) => MediaKind::Video,
            Self::Audio | Self::Aac => MediaKind::Audio,
        }
    }

    /// Its place in an array of [`Self::COUNT`]; a layer too many takes that of the last one.
    pub fn index(self) -> usize {
        match self {
            Self::Video(layer) => usize::from(layer.min(Self::LAYERS - 1)),
            Self::Audio => usize::from(Self::LAYERS),
            Self::Aac => usize::from(Self::LAYERS) + 1,
        }
    }

    /// Its name in URLs.
    pub fn name(self) -> &'static str {
        NAMES[self.index()]
    }

    /// The rendition of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::all().find(|rendition| rendition.name() == name)
    }
}

impl fmt::Display for RenditionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// By [`RenditionId::index`]. The first layer has the name that it has where it is the only one.
const NAMES: [&str; RenditionId::COUNT] = ["video", "video1", "video2", "video3", "audio", "aac"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rendition_has_a_place_and_a_name_of_its_own() {
        let all: Vec<_> = RenditionId::all().collect();
        assert_eq!(all.len(), RenditionId::COUNT);
        for (index, rendition) in all.into_iter().enumerate() {
            assert_eq!(rendition.index(), index);
            assert_eq!(RenditionId::of_name(rendition.name()), Some(rendition));
        }
        assert_eq!(RenditionId::of_name("video0"), None);
    }
}
