//! Which layer the estimate allows: down at once, up with care.

use crate::stream::{LayerId, RankedLayer};

/// A layer is kept while there is this much of its bitrate, which a keyframe makes look larger, and
/// taken when there is this much, in percent: headers and encryption are part of it.
const KEEP: u64 = 85;
const TAKE: u64 = 120;

/// After a step down, the first step up waits so long, in microseconds; twice as long where the step
/// up before did not last.
const FIRST_PATIENCE: i64 = 2_000_000;
const LONGEST_PATIENCE: i64 = 32_000_000;

/// A step up that is taken back within this time did not last.
const LASTING: i64 = 8_000_000;

/// When steps may be made. Times are in microseconds.
#[derive(Debug)]
pub(super) struct Allocation {
    up_from: i64,
    patience: i64,
    raised: Option<i64>,
    /// When the newest step down was made.
    pub(super) lowered: Option<i64>,
    pub(super) ups: u64,
    pub(super) downs: u64,
}

/// What became of one track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::egress::whep) struct Share {
    /// No layer above this bitrate.
    pub(in crate::egress::whep) limit: u64,
    /// What the next better layer needs, in bit/s; none where there is none that the viewer would get.
    pub(in crate::egress::whep) needed: Option<u64>,
    /// The layer is a lesser one than before.
    pub(in crate::egress::whep) lowered: bool,
}

impl Default for Allocation {
    fn default() -> Self {
        Self {
            up_from: 0,
            patience: FIRST_PATIENCE,
            raised: None,
            lowered: None,
            ups: 0,
            downs: 0,
        }
    }
}

impl Allocation {
    /// What a track gets of `budget` bit/s, when `current` is what it has, `best` what it would get
    /// without a limit, and `layers` all of them, the best first. None where nothing is known of them.
    pub(super) fn share(
        &mut self,
        now: i64,
        budget: u64,
        current: LayerId,
        best: LayerId,
        layers: &[RankedLayer],
    ) -> Option<Share> {
        let ends_at = layers.iter().position(|layer| layer.id == best)?;
        let active = || layers[ends_at..].iter().filter(|layer| layer.is_active);
        let rate_now = active()
            .find(|layer| layer.id == current)
            .map(|layer| layer.status.bitrate);
        let may_rise = now >= self.up_from || rate_now.is_none();
        let fits = |layer: &&RankedLayer| {
            let bitrate = layer.status.bitrate;
            match rate_now {
                Some(now) if bitrate > now => may_rise && bitrate * TAKE <= budget * 100,
                _ => bitrate * KEEP <= budget * 100,
            }
        };
        let chosen = active().find(fits).or_else(|| active().next_back())?;
        let limit = chosen.status.bitrate;
        let lowered = rate_now.is_some_and(|now| limit < now);
        if lowered {
            self.lower(now);
        } else if rate_now.is_some_and(|now| limit > now) {
            self.ups += 1;
            self.raised = Some(now);
        }
        let needed = active()
            .take_while(|layer| layer.id != chosen.id)
            .filter(|layer| layer.status.bitrate > limit)
            .last()
            .map(|layer| layer.status.bitrate * TAKE / 100);
        Some(Share {
            limit,
            needed,
            lowered,
        })
    }

    /// When a step up may be made.
    pub(super) fn up_from(&self) -> i64 {
        self.up_from
    }

    fn lower(&mut self, now: i64) {
        self.downs += 1;
        self.lowered = Some(now);
        let lasted = self.raised.take().is_none_or(|at| now - at >= LASTING);
        self.patience = if lasted {
            FIRST_PATIENCE
        } else {
            (2 * self.patience).min(LONGEST_PATIENCE)
        };
        self.up_from = now + self.patience;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::LayerStatus;

    const HIGH: LayerId = LayerId(0);
    const MIDDLE: LayerId = LayerId(1);
    const LOW: LayerId = LayerId(2);

    fn layers() -> Vec<RankedLayer> {
        let layer = |id, bitrate| RankedLayer {
            id,
            is_active: true,
            needs_descriptor: false,
            status: LayerStatus {
                bitrate,
                ..LayerStatus::default()
            },
        };
        vec![
            layer(HIGH, 2_000_000),
            layer(MIDDLE, 600_000),
            layer(LOW, 150_000),
        ]
    }

    fn share(allocation: &mut Allocation, now: i64, budget: u64, current: LayerId) -> Share {
        allocation
            .share(now, budget, current, HIGH, &layers())
            .unwrap()
    }

    #[test]
    fn a_step_up_needs_more_than_a_layer_that_is_kept() {
        let mut allocation = Allocation::default();
        let kept = share(&mut allocation, 0, 2_010_000, HIGH);
        assert_eq!((kept.limit, kept.needed), (2_000_000, None));
        let not_taken = share(&mut allocation, 0, 2_010_000, MIDDLE);
        let expected = (600_000, Some(2_400_000), false);
        assert_eq!(
            (not_taken.limit, not_taken.needed, not_taken.lowered),
            expected
        );
        assert_eq!(
            share(&mut allocation, 0, 2_400_000, MIDDLE).limit,
            2_000_000
        );
        assert_eq!(share(&mut allocation, 0, 10, MIDDLE).limit, 150_000);
    }

    #[test]
    fn a_step_that_did_not_last_is_repeated_later_each_time() {
        let mut allocation = Allocation::default();
        let mut now = 0;
        for expected in [2, 4, 8, 16, 32, 32] {
            assert!(share(&mut allocation, now, 1_000_000, HIGH).lowered);
            assert_eq!(allocation.up_from() - now, expected * 1_000_000);
            assert_eq!(
                share(&mut allocation, now, 9_000_000, MIDDLE).limit,
                600_000
            );
            now = allocation.up_from();
            assert_eq!(
                share(&mut allocation, now, 9_000_000, MIDDLE).limit,
                2_000_000
            );
            now += 1_000_000;
        }
        assert_eq!((allocation.ups, allocation.downs), (6, 6));
    }

    #[test]
    fn what_the_viewer_would_not_get_is_not_striven_for() {
        let mut allocation = Allocation::default();
        let share = allocation
            .share(0, 700_000, MIDDLE, MIDDLE, &layers())
            .unwrap();
        assert_eq!((share.limit, share.needed), (600_000, None));
    }
}
