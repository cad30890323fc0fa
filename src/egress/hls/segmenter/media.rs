//! What goes into the segmenter and what comes out, and the bytes of a part.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::egress::hls::Format;
use crate::egress::hls::fmp4::{self, BoxError, FragmentSample};
use crate::egress::hls::rendition::RenditionId;

/// A coded picture, or a frame of audio. Times are media times in nanoseconds (see
/// [`Walls`](crate::egress::hls::timeline::Walls)).
#[derive(Clone, Debug)]
pub struct Sample {
    /// When it is to be decoded.
    pub dts: i64,
    /// When it is to be shown or heard.
    pub pts: i64,
    /// How long it lasts when nothing follows.
    pub duration: i64,
    /// A decoder can begin with it.
    pub keyframe: bool,
    /// The coded bytes.
    pub data: Bytes,
    /// What it is coded in; a new `Arc` only when the format is another one.
    pub format: Arc<Format>,
}

/// A finished part of a segment of one rendition.
#[derive(Clone, Debug)]
pub struct Part {
    /// What it is a part of.
    pub rendition: RenditionId,
    /// The segment, counted from 0; the same for all renditions.
    pub segment: u64,
    /// The segment begins an epoch.
    pub discontinuity: bool,
    /// No part of this rendition's segment follows. After any other part, one does.
    pub last: bool,
    /// What follows its segment begins an epoch.
    pub closing: bool,
    /// It begins with a keyframe.
    pub independent: bool,
    /// Bytes of `body` up to the end of its first sample.
    pub first_sample: usize,
    /// When its first sample is shown or heard, by the wall clock as it was known when the epoch began: ns since
    /// 1970.
    pub time: i64,
    /// What makes a date of that.
    pub correction: Correction,
    /// Where its segment begins, in all renditions.
    pub begin: Begin,
    /// What a player must read before it.
    pub init: Arc<Init>,
    /// `moof` and `mdat`.
    pub body: Bytes,
    /// How long it lasts.
    pub duration: Duration,
    /// How many samples it has.
    pub samples: usize,
    /// What playlists may promise from here on.
    pub terms: Terms,
    /// How far media has come with it.
    pub progress: Progress,
}

/// What was learnt of a publisher's clock since its epoch began, in ns: for dates, as media keeps its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Correction {
    /// Holds for all of the epoch, also for what came before this was known.
    pub from_start: i64,
    /// Holds for this segment.
    pub since: i64,
}

impl Correction {
    /// All of it.
    pub fn ns(self) -> i64 {
        self.from_start + self.since
    }
}

/// Where a segment begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// Wall-clock time, ns since 1970.
    pub wall: i64,
    /// The same in the time of the boxes of all segments, in ns.
    pub media: i64,
}

/// What the playlists of a stream promise for as long as they live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// No part is longer.
    pub part_target: Duration,
    /// No segment is longer, rounded to whole seconds; none while that is still measured.
    pub target_duration: Option<u64>,
}

/// How far the media of a stream has come, for the publisher that comes next: its times go on from there, so that
/// they fit the dates also for players that take no notice of the discontinuity between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The wall-clock time that is time zero in the segments, ns since 1970.
    pub zero: i64,
    /// Where they end, in time of the segments (ns).
    pub end: i64,
}

/// An init segment.
#[derive(Debug)]
pub struct Init {
    /// What it describes.
    pub format: Arc<Format>,
    /// `ftyp` and `moov`.
    pub body: Bytes,
}

impl Init {
    pub(super) fn of(format: &Arc<Format>) -> Result<Arc<Self>, BoxError> {
        let body = fmp4::init_segment(format)?;
        Ok(Arc::new(Self {
            format: Arc::clone(format),
            body,
        }))
    }
}

/// The fragment of samples that end at `end`; `offset` turns media time into time of the segments.
pub(super) fn fragment(
    init: &Init,
    samples: &[Sample],
    end: i64,
    offset: i64,
    sequence: u32,
) -> Result<Bytes, BoxError> {
    let scale = i128::from(init.format.timescale);
    // Ticks are rounded from absolute times, so that durations add up without drift.
    let ticks = |time: i64| {
        ((i128::from((time + offset).max(0)) * scale + 500_000_000) / 1_000_000_000) as i64
    };
    let mut fragment = Vec::with_capacity(samples.len());
    for (number, sample) in samples.iter().enumerate() {
        let next = samples.get(number + 1).map_or(end, |next| next.dts);
        let decode = ticks(sample.dts);
        fragment.push(FragmentSample {
            duration: u32::try_from(ticks(next) - decode).unwrap_or(0),
            composition_offset: i32::try_from(ticks(sample.pts) - decode).unwrap_or(0),
            keyframe: sample.keyframe,
            data: sample.data.clone(),
        });
    }
    let start = samples.first().map_or(end, |first| first.dts);
    fmp4::fragment(sequence, ticks(start) as u64, &fragment)
}
