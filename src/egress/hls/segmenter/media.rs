//! What goes into the segmenter and what comes out, and the bytes of a segment.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::egress::hls::Format;
use crate::egress::hls::fmp4::{self, BoxError, FragmentSample};

/// A coded picture, or a frame of audio. Times are media times in nanoseconds (see [`Walls`](super::Walls)).
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

/// A finished segment of all renditions.
#[derive(Clone, Debug)]
pub struct Segment {
    /// It begins an epoch.
    pub discontinuity: bool,
    /// Every rendition of it can be decoded alone.
    pub independent: bool,
    /// The wall-clock time of its first sample, ns since 1970.
    pub time: i64,
    /// The video rendition, where there is one now.
    pub video: Option<Media>,
    /// The audio rendition, where there is one now.
    pub audio: Option<Media>,
}

/// A segment of one rendition.
#[derive(Clone, Debug)]
pub struct Media {
    /// What a player must read before it.
    pub init: Arc<Init>,
    /// `moof` and `mdat`.
    pub body: Bytes,
    /// How long it lasts.
    pub duration: Duration,
    /// How many samples it has.
    pub samples: usize,
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

/// The fragment of one rendition; `offset` turns media time into time of the segments.
pub(super) fn media(
    init: &Arc<Init>,
    samples: &[Sample],
    end: i64,
    offset: i64,
    sequence: u32,
) -> Result<Media, BoxError> {
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
    let body = fmp4::fragment(sequence, ticks(start) as u64, &fragment)?;
    let duration = Duration::from_nanos((end - start).max(0) as u64);
    Ok(Media {
        init: Arc::clone(init),
        body,
        duration,
        samples: samples.len(),
    })
}
