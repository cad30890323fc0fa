//! I-frame playlists (RFC 8216, sections 4.3.3.6 and 4.3.4.3): where the keyframes are, for seek bars and
//! previews.

use std::time::Duration;

use hls_m3u8::MediaPlaylist;
use hls_m3u8::tags::{ExtXMap, VariantStream};
use hls_m3u8::types::StreamData;

use super::{PlaylistError, VERSION, VideoVariant, begun, date_time, with_version};

/// What the I-frame playlist of a video rendition lists. Its segments have the numbers, times and
/// discontinuities of those that the keyframes are in.
#[derive(Debug)]
pub struct IFrameList {
    /// No segment is longer, in seconds.
    pub target_duration: u64,
    /// The number of the first segment.
    pub first: u64,
    /// Discontinuities before the first segment, those of its own tag not counted.
    pub discontinuities: u64,
    /// Nothing will be added.
    pub ended: bool,
    /// The keyframe of each segment.
    pub frames: Vec<IFrame>,
}

/// The keyframe that a segment begins with.
#[derive(Debug)]
pub struct IFrame {
    /// Where the segment is, relative to the playlist.
    pub uri: String,
    /// Where its init segment is.
    pub map: String,
    /// Bytes of the segment up to the end of the keyframe; none where the segment begins without one.
    pub bytes: Option<usize>,
    /// How long until the next segment.
    pub duration: Duration,
    /// The wall-clock time of its first sample, ns since 1970.
    pub time: i64,
    /// It does not follow the segment before.
    pub discontinuity: bool,
}

impl IFrameList {
    /// The text of the playlist.
    ///
    /// # Errors
    ///
    /// [`PlaylistError`] when a value can't be expressed.
    pub fn write(&self) -> Result<String, PlaylistError> {
        let mut header = MediaPlaylist::builder();
        header
            .target_duration(Duration::from_secs(self.target_duration))
            .media_sequence(usize::try_from(self.first).unwrap_or(usize::MAX))
            .discontinuity_sequence(usize::try_from(self.discontinuities).unwrap_or(usize::MAX))
            .has_i_frames_only(true)
            .segments(Vec::new());
        let mut text = with_version(&header.build()?.to_string(), VERSION);
        let mut map = None;
        for frame in &self.frames {
            let new_map = map != Some(&frame.map) || frame.discontinuity;
            map = Some(&frame.map);
            frame.write(new_map, &mut text)?;
        }
        if self.ended {
            text.push_str("#EXT-X-ENDLIST\n");
        }
        Ok(text)
    }
}

impl IFrame {
    fn write(&self, with_map: bool, text: &mut String) -> Result<(), PlaylistError> {
        let mut segment = begun(&self.uri, self.duration, self.discontinuity, text);
        segment.program_date_time(date_time(self.time));
        if with_map {
            segment.map(ExtXMap::new(self.map.clone()));
        }
        match self.bytes {
            Some(bytes) => {
                segment.byte_range(0..bytes);
            }
            // So that the segments after it keep their numbers and times (rfc8216bis, section 4.4.4.7).
            None => text.push_str("#EXT-X-GAP\n"),
        }
        text.push_str(&segment.build()?.to_string());
        Ok(())
    }
}

impl VideoVariant {
    /// The tag of its I-frame playlist.
    pub(super) fn iframes(&self) -> Result<Option<VariantStream<'static>>, PlaylistError> {
        let Some((uri, bits)) = &self.iframes else {
            return Ok(None);
        };
        let mut data = StreamData::builder();
        data.bandwidth(bits.peak.max(1))
            .average_bandwidth(bits.average)
            .codecs(vec![self.codecs.clone()])
            .resolution(self.resolution());
        Ok(Some(VariantStream::ExtXIFrame {
            uri: uri.clone().into(),
            stream_data: data.build()?,
        }))
    }

    pub(super) fn resolution(&self) -> (usize, usize) {
        (usize::from(self.size.0), usize::from(self.size.1))
    }
}
