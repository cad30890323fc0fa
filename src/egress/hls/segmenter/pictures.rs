//! Pictures into parts: a part ends when it is as long as it should be, and before each cut.

use std::sync::Arc;

use super::epoch::{Epoch, Place};
use super::line::{Line, Output};
use super::media::Init;
use super::{Clock, Step};
use crate::egress::hls::fmp4::BoxError;
use crate::rtp::MediaKind;

/// Moves the next picture of a line to where it belongs.
pub(super) fn step(
    line: &mut Line,
    epoch: &Epoch,
    clock: &Clock,
    out: &mut Output<'_>,
) -> Result<Step, BoxError> {
    let Some(joined) = &line.joined else {
        return join(line, epoch, clock);
    };
    let (segment, format) = (joined.segment, Arc::clone(&joined.init.format));
    let Some(span) = epoch.span(segment) else {
        if epoch.closing || line.leaving {
            line.joined = None;
        }
        return Ok(Step::Wait);
    };
    let leads = line.id == epoch.leader;
    let overdue = clock.is_overdue(&span, joined) || line.leaving;
    let Some(front) = line.queue.front() else {
        if span.end.is_none() || !(leads || overdue) {
            return Ok(Step::Wait);
        }
        // A rendition without pictures to go on with is gone, until a keyframe comes.
        line.end_segment(epoch, out)?;
        line.leave();
        return Ok(Step::Again);
    };
    match epoch.place_picture(line.id, 0, front, &span) {
        Place::Unknown => return Ok(Step::Wait),
        Place::Later => {
            if !overdue && line.is_hasty(epoch, out.part_target()) {
                return Ok(Step::Wait);
            }
            line.end_segment(epoch, out)?;
            return Ok(Step::Again);
        }
        Place::Here => {}
    }
    if !Arc::ptr_eq(&front.format, &format) {
        // It waits for the discontinuity; what it can't wait for is lost.
        if span.end.is_none() {
            return Ok(Step::Wait);
        }
        if line.leaving {
            // It has come back, and joins as what it is now.
            line.end_segment(epoch, out)?;
            line.leave();
            return Ok(Step::Again);
        }
        line.queue.pop_front();
        return Ok(Step::Again);
    }
    let next = line
        .queue
        .get(1)
        .map(|next| (next.dts, epoch.place_picture(line.id, 1, next, &span)));
    let (until, followed) = match (next, span.end) {
        (Some((_, Place::Unknown)), _) => return Ok(Step::Wait),
        (Some((_, Place::Later)), Some(end)) if leads => (end.dts, false),
        // Its own picture of the cut is the end; if that is missing, the cut is.
        (Some((dts, Place::Later)), Some(end)) => {
            let cut = end.time - epoch.wall(line.id);
            (if dts > cut + EARLY { cut } else { dts }, false)
        }
        (Some((dts, place)), _) => (dts, place == Place::Here),
        (None, Some(end)) if leads => (end.dts, false),
        (None, Some(_)) if overdue => (front.dts + line.frame, false),
        // Pictures of a steady rate need not wait for the next to be known to fill a part.
        (None, None)
            if leads && line.fills_part(epoch, out) && clock.is_uncut(front, &span, line.frame) =>
        {
            (front.dts + line.frame, true)
        }
        (None, _) => return Ok(Step::Wait),
    };
    if let Some(mut front) = line.queue.pop_front() {
        let mut length = (until - front.dts).max(1);
        let late = line.end() - front.dts;
        if late > 0 {
            // The picture before was taken for longer than it was, and its part is out: this one is decoded a little
            // later, and shown no sooner, or FFmpeg would show all that follows later too.
            front.dts += late;
            front.pts = front.pts.max(front.dts);
            length = (length - late).max(length / 2).max(1);
        }
        line.take(front, length, followed, epoch, out)?;
    }
    Ok(Step::Took)
}

/// Another layer than the leading one takes part from a keyframe on.
fn join(line: &mut Line, epoch: &Epoch, clock: &Clock) -> Result<Step, BoxError> {
    // Where sound leads, pictures begin an epoch of their own.
    if line.leaving || epoch.leader.kind() == MediaKind::Audio {
        return Ok(Step::Wait);
    }
    let from = line.from;
    for span in epoch.spans.iter().filter(|span| span.number >= from) {
        while let Some(front) = line.queue.front() {
            let early = front.pts + epoch.wall(line.id) < span.start - EARLY;
            if front.keyframe && !early {
                break;
            }
            line.queue.pop_front();
        }
        let Some(front) = line.queue.front() else {
            break;
        };
        if epoch.place_picture(line.id, 0, front, span) == Place::Here {
            let (init, start) = (Init::of(&front.format)?, front.dts);
            line.join(init, span.number, start, clock.horizon);
            return Ok(Step::Again);
        }
    }
    Ok(Step::Wait)
}

/// So much before the cut a keyframe of another layer is that of the cut.
const EARLY: i64 = 15_000_000;
