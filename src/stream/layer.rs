//! A layer: one encoding of a track (RFC 8853), or of a scalable encoding what is left without its highest
//! spatial or temporal layers. A track with neither has exactly one.

use std::fmt;

use super::TrackId;

/// The number of a layer within its track, counted from 0 in the order of the publisher's offer.
/// It says nothing of the quality.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LayerId(pub u8);

impl LayerId {
    /// The most encodings that a track may have: as many as any client offers (OBS goes up to four, browsers to
    /// three). Each costs a ring of packets and an account of losses, so that a publisher can't be given as many as it
    /// likes.
    pub const MAX_ENCODINGS: usize = 4;

    /// The most layers that a track may have: an encoding with four spatial layers, and three temporal ones in the
    /// lowest of these.
    pub const MAX_LAYERS: usize = 6;
}

/// Some layers of one track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerSet(u8);

impl LayerSet {
    /// No layer.
    pub const NONE: Self = Self(0);

    /// Takes a layer in.
    pub fn insert(&mut self, layer: LayerId) {
        self.0 |= 1u8.checked_shl(u32::from(layer.0)).unwrap_or(0);
    }

    /// Takes all layers of `other` in.
    pub fn extend(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether the layer is in it.
    pub fn contains(self, layer: LayerId) -> bool {
        u32::from(self.0)
            .checked_shr(u32::from(layer.0))
            .is_some_and(|bits| bits & 1 != 0)
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The layers, by number.
    pub fn iter(self) -> impl Iterator<Item = LayerId> {
        (0..8)
            .map(LayerId)
            .filter(move |layer| self.contains(*layer))
    }
}

impl FromIterator<LayerId> for LayerSet {
    fn from_iter<I: IntoIterator<Item = LayerId>>(layers: I) -> Self {
        let mut set = Self::NONE;
        layers.into_iter().for_each(|layer| set.insert(layer));
        set
    }
}

/// Layers of several tracks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayersByTrack([LayerSet; Self::MAX_TRACKS]);

impl LayersByTrack {
    /// More tracks than a stream has, and few enough for a list. What is beyond is left out.
    pub const MAX_TRACKS: usize = 8;

    /// Takes a layer in.
    pub fn insert(&mut self, track: TrackId, layer: LayerId) {
        if let Some(layers) = self.0.get_mut(usize::from(track.0)) {
            layers.insert(layer);
        }
    }

    /// Takes all layers of `other` in.
    pub fn extend(&mut self, other: &Self) {
        for (layers, others) in self.0.iter_mut().zip(other.0) {
            layers.extend(others);
        }
    }

    /// Those of its layers that are not in `other`.
    pub fn without(&self, other: &Self) -> Self {
        let mut rest = Self::default();
        for (track, layer) in self.iter() {
            if !other.contains(track, layer) {
                rest.insert(track, layer);
            }
        }
        rest
    }

    /// Whether the layer is in it.
    pub fn contains(&self, track: TrackId, layer: LayerId) -> bool {
        self.0
            .get(usize::from(track.0))
            .is_some_and(|layers| layers.contains(layer))
    }

    /// The layers, by track and number.
    pub fn iter(&self) -> impl Iterator<Item = (TrackId, LayerId)> {
        let tracks = (0..).map(TrackId).zip(self.0);
        tracks.flat_map(|(track, layers)| layers.iter().map(move |layer| (track, layer)))
    }
}

/// What is known of a layer, as measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerStatus {
    /// The `rid` of the publisher's offer.
    pub encoding_id: String,
    /// The highest spatial layer of the encoding that is part of it; none where the encoding has but one.
    pub spatial: Option<u8>,
    /// The highest temporal layer of the encoding that is part of it; none where the encoding has but one.
    pub temporal: Option<u8>,
    /// What comes of it, in bit/s; 0 while the publisher pauses it.
    pub bitrate: u64,
    /// What the publisher aims at, in bit/s; none, as it does not say.
    pub target_bitrate: Option<u64>,
    /// The picture's width in pixels, once a keyframe has told it.
    pub width: Option<u32>,
    /// The picture's height in pixels.
    pub height: Option<u32>,
}

/// A layer and its state. A list of all of a track is the best first, as measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RankedLayer {
    /// Which one.
    pub id: LayerId,
    /// The publisher sends it.
    pub is_active: bool,
    /// Players can put it together only with the dependency descriptor.
    pub needs_descriptor: bool,
    /// The figures.
    pub status: LayerStatus,
}

/// What a viewer wants of a track with layers. All none: the best there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerChoice {
    /// The `mid` of the m-line in the viewer's SDP; none for every video track.
    pub media_id: Option<String>,
    /// This encoding and no other, as long as the publisher sends it.
    pub rid: Option<String>,
    /// This spatial layer of a scalable encoding and those below it, as long as the publisher sends it.
    pub spatial: Option<u8>,
    /// This temporal layer of a scalable encoding and those below it.
    pub temporal: Option<u8>,
    /// The picture is to be no wider, in pixels.
    pub max_width: Option<u32>,
    /// The picture is to be no higher, in pixels.
    pub max_height: Option<u32>,
    /// No higher spatial layer.
    pub max_spatial: Option<u8>,
    /// No higher temporal layer.
    pub max_temporal: Option<u8>,
}

/// Why a choice can't be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayerChoiceError {
    /// Spatial layers within an encoding.
    #[error(
        "this stream has no spatial layers within an encoding; choose by rid, maxWidth or maxHeight"
    )]
    NoSpatial,
    /// Temporal layers within an encoding.
    #[error(
        "this stream has no temporal layers that are told apart; choose by what the layers event lists"
    )]
    NoTemporal,
    /// No layer has this spatial and this temporal layer as its highest.
    #[error(
        "this stream has no such spatial or temporal layer; the layers event lists those that there are"
    )]
    UnknownLayer,
    /// No encoding has the `rid`.
    #[error("no encoding of this stream has that rid; the layers event lists those that there are")]
    UnknownEncoding,
}

impl LayerChoice {
    /// Whether the spatial and temporal layer that it names, if it does, are the highest of `layer`. 0 is what every
    /// encoding has.
    pub fn names(&self, layer: &LayerStatus) -> bool {
        let is = |wanted: Option<u8>, own: Option<u8>| {
            wanted.is_none_or(|wanted| own.unwrap_or(0) == wanted)
        };
        is(self.spatial, layer.spatial) && is(self.temporal, layer.temporal)
    }

    /// Whether the choice can be granted on a track with these `layers`.
    ///
    /// # Errors
    ///
    /// See [`LayerChoiceError`].
    pub fn check(&self, layers: &[LayerStatus]) -> Result<(), LayerChoiceError> {
        let is_above = |layer: Option<u8>| layer.is_some_and(|layer| layer > 0);
        let has_spatial = layers.iter().any(|layer| layer.spatial.is_some());
        if !has_spatial && (is_above(self.spatial) || is_above(self.max_spatial)) {
            return Err(LayerChoiceError::NoSpatial);
        }
        let has_temporal = layers.iter().any(|layer| layer.temporal.is_some());
        if !has_temporal && (is_above(self.temporal) || is_above(self.max_temporal)) {
            return Err(LayerChoiceError::NoTemporal);
        }
        if !layers.is_empty() && !layers.iter().any(|layer| self.names(layer)) {
            return Err(LayerChoiceError::UnknownLayer);
        }
        match &self.rid {
            Some(rid) if !layers.iter().any(|layer| layer.encoding_id == *rid) => {
                Err(LayerChoiceError::UnknownEncoding)
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut set: LayerSet = [LayerId(2), LayerId(0)].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [LayerId(0), LayerId(2)]);
        set.insert(LayerId(200));
        assert!(!set.contains(LayerId(200)) && !set.contains(LayerId(1)));
        set.extend(std::iter::once(LayerId(1)).collect());
        assert!(set.contains(LayerId(1)) && !set.is_empty());
    }

    #[test]
    fn layers_are_kept_by_track() {
        let (mut some, mut others) = (LayersByTrack::default(), LayersByTrack::default());
        some.insert(TrackId(1), LayerId(2));
        others.insert(TrackId(0), LayerId(0));
        others.insert(TrackId(200), LayerId(0));
        some.extend(&others);
        let all = [(TrackId(0), LayerId(0)), (TrackId(1), LayerId(2))];
        assert_eq!(some.iter().collect::<Vec<_>>(), all);
        assert!(some.contains(TrackId(1), LayerId(2)) && !some.contains(TrackId(200), LayerId(0)));
    }

    #[test]
    fn choices_name_encodings_and_sizes_alone() {
        let layers = [LayerStatus {
            encoding_id: "h".to_owned(),
            ..LayerStatus::default()
        }];
        let choice = |rid: &str, temporal| LayerChoice {
            rid: Some(rid.to_owned()),
            temporal,
            ..LayerChoice::default()
        };
        assert_eq!(choice("h", Some(0)).check(&layers), Ok(()));
        assert_eq!(
            choice("h", Some(1)).check(&layers),
            Err(LayerChoiceError::NoTemporal)
        );
        assert_eq!(
            choice("x", None).check(&layers),
            Err(LayerChoiceError::UnknownEncoding)
        );
        assert_eq!(LayerChoice::default().check(&[]), Ok(()));
    }

    #[test]
    fn choices_name_spatial_layers_that_there_are() {
        let layers = [1, 0].map(|spatial| LayerStatus {
            spatial: Some(spatial),
            ..LayerStatus::default()
        });
        let choice = |spatial, max_spatial, temporal| LayerChoice {
            spatial,
            max_spatial,
            temporal,
            ..LayerChoice::default()
        };
        let check = |choice: LayerChoice| choice.check(&layers);
        assert_eq!(check(choice(Some(1), None, None)), Ok(()));
        assert_eq!(check(choice(Some(0), Some(7), Some(0))), Ok(()));
        let unknown = Err(LayerChoiceError::UnknownLayer);
        assert_eq!(check(choice(Some(2), None, None)), unknown);
        let temporal = Err(LayerChoiceError::NoTemporal);
        assert_eq!(check(choice(None, None, Some(1))), temporal);
        let no_spatial = Err(LayerChoiceError::NoSpatial);
        assert_eq!(choice(None, Some(1), None).check(&[]), no_spatial);
    }

    #[test]
    fn choices_name_temporal_layers_that_there_are() {
        let layers = [(1, 1), (0, 1), (0, 0)].map(|(spatial, temporal)| LayerStatus {
            spatial: Some(spatial),
            temporal: Some(temporal),
            ..LayerStatus::default()
        });
        let check = |spatial, temporal| {
            let choice = LayerChoice {
                spatial,
                temporal,
                ..LayerChoice::default()
            };
            choice.check(&layers)
        };
        assert_eq!(check(None, Some(0)), Ok(()));
        assert_eq!(check(Some(0), Some(1)), Ok(()));
        let unknown = Err(LayerChoiceError::UnknownLayer);
        assert_eq!(check(None, Some(2)), unknown);
        assert_eq!(check(Some(1), Some(0)), unknown);
    }
}
