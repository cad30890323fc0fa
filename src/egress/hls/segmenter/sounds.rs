//! Sound into parts: cut where the pictures are, gaps filled with silence.

use std::sync::Arc;

use super::epoch::{Epoch, Place, Span};
use super::line::{Line, Output};
use super::media::{Init, Sample};
use super::{Clock, Step};
use crate::egress::hls::Format;
use crate::egress::hls::fmp4::BoxError;

/// Moves the next frame of a line to where it belongs.
pub(super) fn step(
    line: &mut Line,
    epoch: &Epoch,
    clock: &Clock,
    out: &mut Output<'_>,
) -> Result<Step, BoxError> {
    let Some(joined) = &line.joined else {
        return join(line, epoch, clock);
    };
    let (segment, end, format) = (joined.segment, joined.end, Arc::clone(&joined.init.format));
    let is_new = clock.is_new(joined);
    let Some(span) = epoch.span(segment) else {
        if epoch.closing || line.leaving {
            line.joined = None;
        }
        return Ok(Step::Wait);
    };
    let overdue = clock.is_overdue(&span, joined);
    // What was filled with silence is not said again.
    if line
        .queue
        .front()
        .is_some_and(|front| front.pts < end - TOLERANCE)
    {
        line.queue.pop_front();
        return Ok(Step::Again);
    }
    let place = line
        .queue
        .front()
        .map(|front| epoch.place_sound(line.id, front.pts, &span));
    let belongs = line
        .queue
        .front()
        .is_some_and(|front| Arc::ptr_eq(&front.format, &format));
    match place {
        Some(Place::Here) if belongs => take_next(line, &format, &span, epoch, out),
        Some(Place::Unknown) if belongs => Ok(Step::Wait),
        // Of another format: it waits for the discontinuity.
        Some(Place::Here) if span.end.is_none() => Ok(Step::Wait),
        Some(Place::Here) => {
            line.queue.pop_front();
            Ok(Step::Again)
        }
        Some(Place::Later) => finish(line, &format, &span, epoch, overdue, out),
        Some(Place::Unknown) | None => {
            let full = span
                .end
                .is_some_and(|last| last.time - end - epoch.wall(line.id) < TOLERANCE);
            if full || (span.end.is_some() && (overdue || line.leaving)) {
                return finish(line, &format, &span, epoch, overdue, out);
            }
            if is_new {
                return Ok(Step::Wait);
            }
            fill_late(line, &format, &span, epoch, clock, out)
        }
    }
}

/// Takes the frame in front, or the silence before it.
fn take_next(
    line: &mut Line,
    format: &Arc<Format>,
    span: &Span,
    epoch: &Epoch,
    out: &mut Output<'_>,
) -> Result<Step, BoxError> {
    let end = line.joined.as_ref().map_or(0, |joined| joined.end);
    let Some(front) = line.queue.front() else {
        return Ok(Step::Wait);
    };
    let gap = front.pts - end;
    if gap < LONGEST_FILL
        && let Some(silence) = silence(format, end).filter(|one| gap >= one.duration - TOLERANCE)
    {
        let length = silence.duration;
        line.take(silence, length, true, epoch, out)?;
        return Ok(Step::Took);
    }
    let step = line.queue.get(1).map(|next| next.dts - front.dts);
    // It lasts until the next one, but for what silence fills.
    let silence = format.silence.as_ref().map(|(_, duration)| *duration);
    let room = silence.unwrap_or(front.duration).min(front.duration);
    let length = step
        .filter(|step| *step < front.duration + room)
        .unwrap_or(front.duration);
    // If no frame follows, silence does.
    let next = epoch.place_sound(line.id, front.pts + length, span);
    let followed = next == Place::Here && format.silence.is_some();
    if let Some(front) = line.queue.pop_front() {
        line.take(front, length, followed, epoch, out)?;
    }
    Ok(Step::Took)
}

/// What follows belongs to a later segment: silence up to there, and the end.
fn finish(
    line: &mut Line,
    format: &Arc<Format>,
    span: &Span,
    epoch: &Epoch,
    overdue: bool,
    out: &mut Output<'_>,
) -> Result<Step, BoxError> {
    let end = line.joined.as_ref().map_or(0, |joined| joined.end);
    let until = span.end.map_or(end, |last| last.time) - epoch.wall(line.id);
    if until - end < LONGEST_FILL
        && !line.leaving
        && let Some(silence) = silence(format, end)
        && until - end >= silence.duration - TOLERANCE
    {
        let length = silence.duration;
        line.take(silence, length, false, epoch, out)?;
        return Ok(Step::Took);
    }
    if !overdue && line.is_hasty(epoch, out.part_target()) {
        return Ok(Step::Wait);
    }
    let had = line.open_samples() > 0;
    line.end_segment(epoch, out)?;
    if line.leaving || (!had && line.queue.is_empty()) {
        line.leave();
    }
    Ok(Step::Again)
}

/// Nothing came for a while, and the pictures go on.
fn fill_late(
    line: &mut Line,
    format: &Arc<Format>,
    span: &Span,
    epoch: &Epoch,
    clock: &Clock,
    out: &mut Output<'_>,
) -> Result<Step, BoxError> {
    let end = line.joined.as_ref().map_or(0, |joined| joined.end);
    let late = clock.horizon - (end + epoch.wall(line.id)) > LATE;
    if !late || line.leaving || line.id == epoch.leader {
        return Ok(Step::Wait);
    }
    match silence(format, end) {
        Some(silence) if epoch.place_sound(line.id, end, span) == Place::Here => {
            let length = silence.duration;
            line.take(silence, length, false, epoch, out)?;
            Ok(Step::Took)
        }
        _ => Ok(Step::Wait),
    }
}

/// Takes part from the begin of a segment on.
fn join(line: &mut Line, epoch: &Epoch, clock: &Clock) -> Result<Step, BoxError> {
    let wall = epoch.wall(line.id);
    if line.leaving {
        return Ok(Step::Wait);
    }
    let from = line.from;
    for span in epoch.spans.iter().filter(|span| span.number >= from) {
        while let Some(front) = line.queue.front() {
            if front.pts + wall >= span.start - TOLERANCE {
                break;
            }
            line.queue.pop_front();
        }
        let Some(front) = line.queue.front() else {
            break;
        };
        if epoch.place_sound(line.id, front.pts, span) != Place::Here {
            continue;
        }
        let gap = front.pts + wall - span.start;
        let fillable = epoch.is_first(span.number) && front.format.silence.is_some();
        if !fillable && gap > 2 * front.duration {
            // The next segment's begin is the next chance.
            continue;
        }
        let start = if fillable {
            span.start - wall
        } else {
            front.pts
        };
        let init = Init::of(&front.format)?;
        line.join(init, span.number, start, clock.horizon);
        return Ok(Step::Again);
    }
    Ok(Step::Wait)
}

fn silence(format: &Arc<Format>, at: i64) -> Option<Sample> {
    let (data, duration) = format.silence.as_ref()?;
    Some(Sample {
        dts: at,
        pts: at,
        duration: *duration,
        keyframe: true,
        data: data.clone(),
        format: Arc::clone(format),
    })
}

/// Rounding of timestamps.
const TOLERANCE: i64 = 1_000_000;
/// So long sound is waited for.
const LATE: i64 = 500_000_000;
/// A gap of audio that is longer is left as a gap.
const LONGEST_FILL: i64 = 20_000_000_000;
