//! The audio of a segment: up to the cut of the video, gaps filled with silence.

use std::collections::VecDeque;
use std::sync::Arc;

use super::media::{Init, Sample};
use super::{Epoch, TOLERANCE};
use crate::egress::hls::Format;

/// The audio up to `time`, gaps filled with silence.
pub(super) fn take_audio(
    queue: &mut VecDeque<Sample>,
    epoch: &mut Epoch,
    time: i64,
) -> Vec<Sample> {
    let end = time - epoch.walls.audio.unwrap_or(0);
    let mut taken = Vec::new();
    if epoch.fresh {
        let begin = epoch.audio_end - TOLERANCE;
        while queue.front().is_some_and(|sample| sample.pts < begin) {
            queue.pop_front();
        }
        let format = queue
            .front()
            .filter(|first| first.pts < end)
            .map(|first| &first.format);
        epoch.audio = format.and_then(|format| Init::of(format).ok());
    }
    let Some(current) = epoch.audio.clone() else {
        return taken;
    };
    let belongs =
        |next: &Sample| next.pts < end - TOLERANCE && Arc::ptr_eq(&next.format, &current.format);
    while queue.front().is_some_and(belongs) {
        let Some(sample) = queue.pop_front() else {
            break;
        };
        fill(&mut taken, epoch, &current.format, sample.pts);
        let next = queue.front().map(|next| next.dts - sample.dts);
        let length = next
            .filter(|step| *step < 2 * sample.duration)
            .unwrap_or(sample.duration);
        epoch.audio_end = sample.dts + length;
        taken.push(sample);
    }
    if queue.is_empty() {
        fill(&mut taken, epoch, &current.format, end);
    }
    taken
}

fn fill(taken: &mut Vec<Sample>, epoch: &mut Epoch, format: &Arc<Format>, until: i64) {
    let Some((data, duration)) = &format.silence else {
        return;
    };
    if until - epoch.audio_end > LONGEST_FILL {
        epoch.audio_end = until;
    }
    while until - epoch.audio_end >= *duration - TOLERANCE {
        let (dts, pts) = (epoch.audio_end, epoch.audio_end);
        let (data, format) = (data.clone(), Arc::clone(format));
        taken.push(Sample {
            dts,
            pts,
            duration: *duration,
            keyframe: true,
            data,
            format,
        });
        epoch.audio_end += duration;
    }
}

/// A gap of audio that is longer is left as a gap.
const LONGEST_FILL: i64 = 20_000_000_000;
