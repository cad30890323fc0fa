//! What the way to a viewer carries by the word of a player that takes no transport-wide numbers but tells
//! the most that it wants to get by REMB (draft-alvestrand-rmcat-remb-03).
//!
//! Nothing is limited before the player says so. Its estimate lags behind a link that has recovered, since it grows
//! by 8 % a second at most, and by much less near the rate where its queue grew last; padding shows what passes
//! beyond it, for as long as the player does not object.

use std::time::{Duration, Instant};

use super::allocation::{Allocation, Share};
use super::fill::Filler;
use super::pace::Pace;
use super::{BandwidthConfig, BandwidthStatus};
use crate::stream::{LayerId, RankedLayer};

/// A larger share lost than this, in 1/256, is too much: a tenth.
const LOSS_LIMIT: u8 = 25;

/// A REMB that is older does not count any more, in microseconds.
const REMB_LIFETIME: i64 = 10_000_000;

/// A layer that has more than so many quarters of the estimate is left at once, and nothing is sent for so long, in
/// microseconds: about as much waits in the queue when the player has noticed that its link became narrow. By how
/// much it did can't be told yet, since the player measures over a second.
const FLOOD: u64 = 5;
const REST: i64 = 500_000;

/// The estimate for one video track. Times inside are microseconds since the first REMB.
#[derive(Debug)]
pub(in crate::egress::whep) struct Reported {
    config: BandwidthConfig,
    /// The track's.
    pub(in crate::egress::whep) ssrc: u32,
    /// Whether padding can be sent.
    can_fill: bool,
    /// There is something to choose.
    pub(in crate::egress::whep) is_active: bool,
    epoch: Option<Instant>,
    now: i64,
    /// The newest REMB in bit/s, and when it came.
    remb: Option<(i64, u64)>,
    /// The bitrate of the layer that it gets, and what the next better one needs.
    media: u64,
    needed: Option<u64>,
    filler: Filler,
    allocation: Allocation,
}

impl Reported {
    pub(in crate::egress::whep) fn new(
        config: &BandwidthConfig,
        ssrc: u32,
        can_fill: bool,
    ) -> Self {
        Self {
            ssrc,
            can_fill,
            is_active: true,
            epoch: None,
            now: 0,
            remb: None,
            media: 0,
            needed: None,
            filler: Filler::default(),
            allocation: Allocation::default(),
            config: config.clone(),
        }
    }

    /// The player wants no more than this, in bit/s.
    pub(in crate::egress::whep) fn handle_remb(&mut self, now: Instant, bitrate: u64) {
        let now = self.advance(now);
        self.remb = Some((now, bitrate));
        self.filler.handle_allowed(now, bitrate);
        self.look_at_filler();
    }

    /// The player lost this share of what it expected since its last report, in 1/256. A way that drops what
    /// is too much, without a queue, shows it by nothing else.
    pub(in crate::egress::whep) fn handle_loss(&mut self, now: Instant, fraction: u8) {
        if self.epoch.is_some() && fraction > LOSS_LIMIT {
            let now = self.advance(now);
            self.filler.object(now);
        }
    }

    /// More waited to be sent than may: the layer is too much.
    pub(in crate::egress::whep) fn handle_overflow(&mut self) {
        self.filler.object(self.now);
    }

    /// When [`Self::handle_timeout`] is due. Nothing is, for a viewer that has the best layer.
    pub(in crate::egress::whep) fn poll_timeout(&self) -> Option<Instant> {
        self.needed.filter(|_| self.is_active)?;
        // Also a layer that fits comes only some time after a step down.
        let up_from = self.allocation.up_from();
        let at = match self.missing() {
            Some(_) => self.filler.poll_timeout().max(up_from),
            None if up_from > self.now => up_from,
            None => return None,
        };
        Some(self.epoch? + Duration::from_micros(u64::try_from(at).ok()?))
    }

    pub(in crate::egress::whep) fn handle_timeout(&mut self, now: Instant) {
        if self.epoch.is_some() {
            self.advance(now);
            self.look_at_filler();
        }
    }

    /// The bytes of padding to send now.
    pub(in crate::egress::whep) fn poll_padding(&mut self) -> u64 {
        match self.missing() {
            Some(needed) => self.filler.due(self.now, self.media, needed),
            None => 0,
        }
    }

    /// So much padding was sent.
    pub(in crate::egress::whep) fn count_padding(&mut self, bytes: usize) {
        self.filler.count(bytes as u64);
    }

    /// What the track gets, when `current` is what it has and `best` what it would have without a
    /// limit; none for no limit.
    pub(in crate::egress::whep) fn share(
        &mut self,
        current: LayerId,
        best: LayerId,
        layers: &[RankedLayer],
    ) -> Option<Share> {
        let Some(budget) = self.estimate() else {
            self.needed = None;
            return None;
        };
        let share = self
            .allocation
            .share(self.now, budget, current, best, layers)?;
        (self.media, self.needed) = (share.limit, share.needed);
        Some(share)
    }

    /// The viewer gets what it named.
    pub(in crate::egress::whep) fn rest(&mut self) {
        (self.media, self.needed) = (0, None);
    }

    /// Until when nothing is to be sent after a layer of `left` bit/s, for the link to empty its queue; none where
    /// that was hardly too much.
    pub(in crate::egress::whep) fn empty_at(&self, left: u64) -> Option<Instant> {
        let is_flood = left * 4 >= self.estimate()? * FLOOD;
        let until = Duration::from_micros(u64::try_from(self.now + REST).ok()?);
        is_flood.then_some(self.epoch? + until)
    }

    /// How fast packets are to leave; none for a link that carries them as they come.
    pub(in crate::egress::whep) fn pace(&self) -> Option<Pace> {
        let estimate = self.estimate()?;
        let is_limited = self.config.pacing && self.needed.is_some();
        is_limited.then(|| Pace::of(self.media, estimate, estimate, &self.config))
    }

    /// In bit/s; none where the player does not limit anything.
    pub(in crate::egress::whep) fn estimate(&self) -> Option<u64> {
        let (at, allowed) = self.remb?;
        let is_old = self.now - at >= REMB_LIFETIME;
        let (floor, ceiling) = (self.config.floor, self.config.ceiling);
        let estimate = allowed.max(self.filler.proven());
        (!is_old).then(|| estimate.min(ceiling).max(floor))
    }

    pub(in crate::egress::whep) fn status(&self) -> BandwidthStatus {
        BandwidthStatus {
            estimate: self.estimate(),
            is_limited: self.needed.is_some(),
            ups: self.allocation.ups,
            downs: self.allocation.downs,
            probes: self.filler.begun,
            probes_failed: self.filler.failed,
            padding: self.filler.padding,
            ..BandwidthStatus::default()
        }
    }

    /// What is needed, and not known to pass, where padding may show whether it does.
    fn missing(&self) -> Option<u64> {
        let may_fill = self.is_active && self.can_fill && self.config.probing;
        let needed = self.needed.filter(|_| may_fill)?;
        (needed > self.estimate()?).then_some(needed)
    }

    fn look_at_filler(&mut self) {
        if self.missing().is_none() {
            self.filler.finish();
        } else if self.now >= self.allocation.up_from() {
            self.filler.strive(self.now);
        }
    }

    fn advance(&mut self, now: Instant) -> i64 {
        let epoch = *self.epoch.get_or_insert(now);
        let micros = now.saturating_duration_since(epoch).as_micros();
        self.now = self.now.max(micros as i64);
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::LayerStatus;

    const HIGH: LayerId = LayerId(0);
    const LOW: LayerId = LayerId(1);

    struct Stage {
        reported: Reported,
        start: Instant,
        now: Instant,
    }

    impl Stage {
        fn new(can_fill: bool) -> Self {
            let start = Instant::now();
            Self {
                reported: Reported::new(&BandwidthConfig::default(), 7, can_fill),
                start,
                now: start,
            }
        }

        fn remb(&mut self, bitrate: u64) {
            self.now += Duration::from_millis(500);
            self.reported.handle_remb(self.now, bitrate);
        }

        fn share(&mut self, current: LayerId) -> Option<Share> {
            let layers = [(HIGH, 2_000_000), (LOW, 400_000)].map(|(id, bitrate)| RankedLayer {
                id,
                is_active: true,
                needs_descriptor: false,
                status: LayerStatus {
                    bitrate,
                    ..LayerStatus::default()
                },
            });
            self.reported.share(current, HIGH, &layers)
        }

        /// The padding until a REMB is due.
        fn padding(&mut self) -> u64 {
            let mut due = 0;
            for _ in 0..25 {
                self.now += Duration::from_millis(20);
                self.reported.handle_timeout(self.now);
                due += self.reported.poll_padding();
            }
            due
        }
    }

    #[test]
    fn nothing_is_limited_before_the_player_says_so() {
        let mut stage = Stage::new(true);
        stage.reported.handle_loss(stage.now, 255);
        assert_eq!(stage.share(HIGH), None);
        assert_eq!(stage.reported.poll_timeout(), None);
    }

    #[test]
    fn a_remb_decides_until_it_is_too_old() {
        let mut stage = Stage::new(true);
        stage.remb(500_000);
        let share = stage.share(HIGH).unwrap();
        assert_eq!((share.limit, share.lowered), (400_000, true));
        assert_eq!(stage.reported.estimate(), Some(500_000));
        let old = stage.start + Duration::from_secs(12);
        stage.reported.handle_timeout(old);
        assert_eq!(stage.reported.estimate(), None);
    }

    #[test]
    fn a_better_layer_comes_when_padding_has_shown_that_it_passes() {
        let mut stage = Stage::new(true);
        stage.remb(600_000);
        stage.share(LOW);
        stage.reported.handle_timeout(stage.now);
        let mut steps = 0;
        while stage.share(LOW).unwrap().limit == 400_000 {
            let due = stage.padding();
            steps += 1;
            assert!(
                due >= 12_000,
                "200 kbit/s and more for half a second: {due}"
            );
            stage
                .reported
                .handle_remb(stage.now, 600_000 + 1_000 * steps);
            assert!(steps < 20);
        }
        assert_eq!(steps, 8, "600 kbit/s, and five quarters each time");
        assert_eq!(stage.reported.poll_timeout(), None);
        // The layer is taken back when the player objects.
        stage.remb(590_000);
        assert!(stage.share(HIGH).is_some_and(|share| !share.lowered));
        stage.remb(500_000);
        assert!(stage.share(HIGH).is_some_and(|share| share.lowered));
    }

    #[test]
    fn losses_end_what_goes_beyond_the_word_of_the_player() {
        let mut stage = Stage::new(true);
        stage.remb(600_000);
        stage.share(LOW);
        stage.reported.handle_timeout(stage.now);
        stage.remb(601_000);
        stage.remb(602_000);
        assert!(stage.reported.estimate() > Some(700_000));
        stage.reported.handle_loss(stage.now, LOSS_LIMIT);
        assert!(stage.reported.estimate() > Some(700_000));
        stage.reported.handle_loss(stage.now, LOSS_LIMIT + 1);
        assert_eq!(stage.reported.estimate(), Some(602_000));
        assert_eq!(stage.padding(), 0);
    }

    #[test]
    fn without_rtx_there_is_no_padding() {
        let mut stage = Stage::new(false);
        stage.remb(600_000);
        stage.share(LOW);
        assert_eq!(stage.padding(), 0);
    }
}
