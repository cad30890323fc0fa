//! Which layer of a track a viewer gets.

use crate::stream::{LayerChoice, LayerId, LayerStatus, RankedLayer};

/// What decides on the layer of one track for one viewer.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// What the viewer asked for; none is the best there is.
    wanted: Option<Box<LayerChoice>>,
    /// What the way to the viewer carries, in bit/s, where that is known to be little.
    limit: Option<u64>,
    /// Its player agreed on the dependency descriptor.
    has_descriptors: bool,
}

impl Choice {
    pub(super) fn want(&mut self, wanted: &LayerChoice) {
        let is_automatic = *wanted == LayerChoice::default();
        self.wanted = (!is_automatic).then(|| Box::new(wanted.clone()));
    }

    pub(super) fn set_descriptors(&mut self, has_descriptors: bool) {
        self.has_descriptors = has_descriptors;
    }

    pub(super) fn limit(&mut self, bitrate: Option<u64>) {
        self.limit = bitrate;
    }

    /// The layer that the viewer would have if its link carried everything; none where it named one, or
    /// where nothing comes.
    pub(super) fn best(&self, layers: &[RankedLayer]) -> Option<LayerId> {
        self.named(layers)
            .is_none()
            .then(|| self.within(layers, None))?
    }

    /// The layer to take, `layers` being the best first; none where nothing comes of any, so that
    /// nothing speaks for another one than before.
    ///
    /// The best that is active and within the limits; where none is, the least that is active, since a
    /// picture that is too large is better than none. A layer that was asked for by name counts as the
    /// best as long as it is active; while it pauses, the next below stands in.
    pub(super) fn of(&self, layers: &[RankedLayer]) -> Option<LayerId> {
        if let Some(named) = self.named(layers) {
            let below = layers[named..].iter().find(|layer| layer.is_active);
            let least = || layers.iter().rfind(|layer| layer.is_active);
            return below.or_else(least).map(|layer| layer.id);
        }
        self.within(layers, self.limit)
    }

    /// Whether the player can put the layer together.
    fn can_show(&self, layer: &RankedLayer) -> bool {
        self.has_descriptors || !layer.needs_descriptor
    }

    /// Where the layer is that the viewer asked for by name, if its player can show that.
    fn named(&self, layers: &[RankedLayer]) -> Option<usize> {
        let wanted = self.wanted.as_deref()?;
        let rid = wanted.rid.as_deref();
        // Where no encoding has several, its only spatial or temporal layer says nothing.
        let has = |layer: fn(&LayerStatus) -> Option<u8>| {
            let mut all = layers.iter();
            all.any(|known| layer(&known.status).is_some())
        };
        let names_spatial = wanted.spatial.is_some() && has(|layer| layer.spatial);
        let names_temporal = wanted.temporal.is_some() && has(|layer| layer.temporal);
        if rid.is_none() && !names_spatial && !names_temporal {
            return None;
        }
        layers.iter().position(|layer| {
            let status = &layer.status;
            self.can_show(layer)
                && rid.is_none_or(|rid| status.encoding_id == rid)
                && wanted.names(status)
        })
    }

    fn within(&self, layers: &[RankedLayer], limit: Option<u64>) -> Option<LayerId> {
        let active = || layers.iter().filter(|layer| layer.is_active);
        let wanted = self.wanted.as_deref();
        let fits = |size: Option<u32>, most: Option<u32>| match (size, most) {
            (Some(size), Some(most)) => size <= most,
            _ => true,
        };
        let suits = |layer: &&RankedLayer| {
            let (width, height) =
                wanted.map_or((None, None), |wanted| (wanted.max_width, wanted.max_height));
            let status = &layer.status;
            let most_spatial = wanted.and_then(|wanted| wanted.max_spatial);
            let most_temporal = wanted.and_then(|wanted| wanted.max_temporal);
            self.can_show(layer)
                && fits(status.width, width)
                && fits(status.height, height)
                && fits(status.spatial.map(u32::from), most_spatial.map(u32::from))
                && fits(status.temporal.map(u32::from), most_temporal.map(u32::from))
                && limit.is_none_or(|limit| status.bitrate <= limit)
        };
        let best = active().find(suits).or_else(|| active().next_back());
        best.map(|layer| layer.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(active: [bool; 3]) -> Vec<RankedLayer> {
        let sizes = [
            ("h", 1280, 2_000_000),
            ("m", 640, 600_000),
            ("l", 320, 150_000),
        ];
        let layers = (0..).zip(sizes).zip(active);
        let layer = |((id, (rid, width, bitrate)), is_active): ((u8, (&str, u32, u64)), bool)| {
            RankedLayer {
                id: LayerId(2 - id),
                is_active,
                needs_descriptor: false,
                status: LayerStatus {
                    encoding_id: rid.to_owned(),
                    width: Some(width),
                    height: Some(width * 9 / 16),
                    bitrate,
                    ..LayerStatus::default()
                },
            }
        };
        layers.map(layer).collect()
    }

    fn chosen(wanted: &LayerChoice, limit: Option<u64>, active: [bool; 3]) -> Option<u8> {
        let mut choice = Choice::default();
        choice.want(wanted);
        choice.limit(limit);
        choice.of(&layers(active)).map(|layer| layer.0)
    }

    #[test]
    fn by_itself_it_is_the_best_that_is_active() {
        let automatic = LayerChoice::default();
        assert_eq!(chosen(&automatic, None, [true; 3]), Some(2));
        assert_eq!(chosen(&automatic, None, [false, true, true]), Some(1));
        assert_eq!(chosen(&automatic, None, [false; 3]), None);
        assert_eq!(Choice::default().of(&[]), None);
    }

    #[test]
    fn a_limit_lowers_it_and_never_below_the_least() {
        let automatic = LayerChoice::default();
        assert_eq!(chosen(&automatic, Some(1_000_000), [true; 3]), Some(1));
        assert_eq!(chosen(&automatic, Some(10), [true; 3]), Some(0));
        assert_eq!(chosen(&automatic, Some(10), [true, true, false]), Some(1));
    }

    #[test]
    fn a_viewer_names_an_encoding() {
        let named = |rid: &str| LayerChoice {
            rid: Some(rid.to_owned()),
            ..LayerChoice::default()
        };
        assert_eq!(chosen(&named("m"), None, [true; 3]), Some(1));
        assert_eq!(chosen(&named("m"), Some(10), [true; 3]), Some(1));
        assert_eq!(chosen(&named("m"), None, [true, false, true]), Some(0));
        assert_eq!(chosen(&named("l"), None, [true, true, false]), Some(1));
        assert_eq!(chosen(&named("x"), None, [true; 3]), Some(2));
    }

    #[test]
    fn a_viewer_names_a_spatial_layer_where_there_are_such() {
        let spatial = |spatial, max_spatial| LayerChoice {
            spatial,
            max_spatial,
            ..LayerChoice::default()
        };
        let chosen_of = |wanted: &LayerChoice, active| {
            let mut layers = layers(active);
            for (layer, spatial) in layers.iter_mut().zip([2, 1, 0]) {
                layer.status.encoding_id.clear();
                layer.status.spatial = Some(spatial);
            }
            let mut choice = Choice::default();
            choice.want(wanted);
            choice.of(&layers).map(|layer| layer.0)
        };
        assert_eq!(chosen_of(&spatial(Some(1), None), [true; 3]), Some(1));
        let paused = [true, false, true];
        assert_eq!(chosen_of(&spatial(Some(1), None), paused), Some(0));
        assert_eq!(chosen_of(&spatial(None, Some(1)), [true; 3]), Some(1));
        assert_eq!(chosen_of(&spatial(None, Some(1)), paused), Some(0));
        assert_eq!(chosen(&spatial(Some(0), None), None, [true; 3]), Some(2));
    }

    #[test]
    fn a_player_without_descriptors_gets_what_needs_none() {
        let mut layers = layers([true; 3]);
        for (layer, spatial) in layers.iter_mut().zip([2, 1, 0]) {
            layer.status.encoding_id.clear();
            layer.status.spatial = Some(spatial);
            layer.needs_descriptor = spatial > 0;
        }
        let named = |spatial| LayerChoice {
            spatial,
            ..LayerChoice::default()
        };
        let mut choice = Choice::default();
        for wanted in [None, Some(2), Some(0)] {
            choice.want(&named(wanted));
            assert_eq!(choice.of(&layers), Some(LayerId(0)), "{wanted:?}");
        }
        choice.want(&named(None));
        assert_eq!(choice.best(&layers), Some(LayerId(0)));
        choice.set_descriptors(true);
        assert_eq!(choice.of(&layers), Some(LayerId(2)));
    }

    #[test]
    fn a_viewer_names_a_size() {
        let most = |max_width, max_height| LayerChoice {
            max_width,
            max_height,
            ..LayerChoice::default()
        };
        assert_eq!(chosen(&most(Some(640), None), None, [true; 3]), Some(1));
        assert_eq!(chosen(&most(None, Some(200)), None, [true; 3]), Some(0));
        assert_eq!(chosen(&most(Some(1), Some(1)), None, [true; 3]), Some(0));
        assert_eq!(chosen(&most(Some(9_999), None), None, [true; 3]), Some(2));
    }
}
