//! Where an epoch begins, and which rendition leads it.

use std::collections::VecDeque;

use super::cut::VIDEO_WAIT;
use super::epoch::{End, Epoch};
use super::media::{Correction, Init};
use super::{KeyframeWish, Segmenter};
use crate::egress::hls::fmp4::BoxError;
use crate::egress::hls::rendition::RenditionId;
use crate::rtp::MediaKind;

impl Segmenter {
    /// Begins an epoch where there is none and one can begin; whether there is one.
    pub(super) fn begin_epoch(&mut self) -> Result<bool, BoxError> {
        if self.epoch.is_some() {
            return Ok(true);
        }
        let walls = self.walls;
        let mut dropped = false;
        for line in &mut self.lines {
            while line.id.kind() == MediaKind::Video
                && line.queue.front().is_some_and(|front| !front.keyframe)
            {
                line.queue.pop_front();
                dropped |= !line.is_derived;
            }
        }
        if dropped {
            self.wish_keyframe();
        }
        let wall = |id| walls.get(id).unwrap_or(0);
        let video = self.lines.iter().find_map(|line| {
            let front = line
                .queue
                .front()
                .filter(|_| line.id.kind() == MediaKind::Video)?;
            Some((line.id, front))
        });
        let audio = self.line(RenditionId::Audio).map(|line| &line.queue);
        let ends = audio.and_then(|queue| queue.front().zip(queue.back()));
        let (leader, first) = match (video, ends) {
            (Some(video), _) => video,
            (None, Some((first, last))) => {
                let alone = !self.settings.video
                    || last.pts - first.pts > VIDEO_WAIT
                    || (self.ending && self.number == 0);
                if !alone {
                    return Ok(false);
                }
                (RenditionId::Audio, first)
            }
            (None, None) => return Ok(false),
        };
        let (start, media) = (first.pts + wall(leader), first.dts);
        let init = Init::of(&first.format)?;
        // Time never goes back, whatever the publisher's clock does.
        let zero = self
            .zero
            .map_or(start - self.end, |zero| zero.min(start - self.end));
        self.zero = Some(zero);
        self.keyframe = KeyframeWish::None;
        let number = self.number;
        self.number += 1;
        let mut epoch = Epoch {
            walls,
            leader,
            zero,
            correction: Correction::default(),
            spans: VecDeque::new(),
            first: number,
            closing: false,
            placed: 1,
            frontier: media + wall(leader),
        };
        let begin = End {
            time: start,
            dts: media,
        };
        let target = self.settings.target.as_nanos() as i64;
        epoch.push_span(number, begin, target, target);
        self.epoch = Some(epoch);
        if leader.kind() == MediaKind::Audio {
            self.settled = true;
        }
        if let Some(line) = self.lines.get_mut(leader.index()) {
            line.join(init, number, media, i64::MIN / 2);
        }
        Ok(true)
    }
}
