//! Playlists (RFC 8216), written with `hls_m3u8`; the only file that knows that crate.

use std::time::Duration;

use chrono::DateTime;
use hls_m3u8::tags::{ExtXMap, ExtXMedia, ExtXProgramDateTime, VariantStream};
use hls_m3u8::types::{Channels, MediaType, StreamData, UFloat};
use hls_m3u8::{MasterPlaylist, MediaPlaylist, MediaSegment};

use super::Format;

/// A playlist could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the HLS playlist can't be written ({0}); report this with the publisher's codec settings")]
pub struct PlaylistError(#[from] hls_m3u8::Error);

/// What the playlist of one rendition lists.
#[derive(Debug)]
pub struct MediaList {
    /// No segment is longer, in seconds.
    pub target_duration: u64,
    /// The number of the first segment.
    pub first: u64,
    /// Discontinuities before the first segment, those of its own tag not counted.
    pub discontinuities: u64,
    /// Every segment begins with a keyframe.
    pub independent: bool,
    /// Nothing will be added.
    pub ended: bool,
    /// The segments.
    pub segments: Vec<Entry>,
}

/// One segment of a playlist.
#[derive(Debug)]
pub struct Entry {
    /// Where it is, relative to the playlist.
    pub uri: String,
    /// Where its init segment is.
    pub map: String,
    /// How long it lasts.
    pub duration: Duration,
    /// When it was made, ns since 1970.
    pub time: i64,
    /// It does not go on from the segment before.
    pub discontinuity: bool,
}

impl MediaList {
    /// The text of the playlist.
    ///
    /// # Errors
    ///
    /// [`PlaylistError`] when a value can't be expressed.
    pub fn write(&self) -> Result<String, PlaylistError> {
        let mut header = MediaPlaylist::builder();
        header
            .target_duration(Duration::from_secs(self.target_duration))
            .media_sequence(self.first as usize)
            .discontinuity_sequence(self.discontinuities as usize)
            .has_independent_segments(self.independent)
            .segments(Vec::new());
        let mut text = with_version(&header.build()?.to_string());
        let mut map = None;
        for entry in &self.segments {
            // The crate puts this tag after the MAP; players expect it before.
            if entry.discontinuity {
                text.push_str("#EXT-X-DISCONTINUITY\n");
            }
            let time = DateTime::from_timestamp_nanos(entry.time).fixed_offset();
            let mut segment = MediaSegment::builder();
            segment
                .uri(entry.uri.clone())
                .duration(microseconds(entry.duration))
                .program_date_time(ExtXProgramDateTime::new(time));
            if map != Some(&entry.map) || entry.discontinuity {
                segment.map(ExtXMap::new(entry.map.clone()));
                map = Some(&entry.map);
            }
            text.push_str(&segment.build()?.to_string());
        }
        if self.ended {
            text.push_str("#EXT-X-ENDLIST\n");
        }
        Ok(text)
    }
}

/// What the multivariant playlist offers: one variant with what is there now.
#[derive(Debug)]
pub struct Variant<'a> {
    /// The video rendition: its playlist, format, pictures a second.
    pub video: Option<(&'a str, &'a Format, f64)>,
    /// The audio rendition.
    pub audio: Option<(&'a str, &'a Format)>,
    /// Bits a second of the largest segment.
    pub peak: u64,
    /// Bits a second on average.
    pub average: u64,
}

impl Variant<'_> {
    /// The text of the playlist.
    ///
    /// # Errors
    ///
    /// [`PlaylistError`] when a value can't be expressed.
    pub fn write(&self) -> Result<String, PlaylistError> {
        let (mut codecs, mut media) = (Vec::new(), Vec::new());
        let mut data = StreamData::builder();
        data.bandwidth(self.peak).average_bandwidth(self.average);
        if let Some((_, format, _)) = self.video {
            codecs.push(format.codecs.clone());
            data.resolution((usize::from(format.size.0), usize::from(format.size.1)));
        }
        if let Some((uri, format)) = self.audio {
            codecs.push(format.codecs.clone());
            let mut rendition = ExtXMedia::builder();
            rendition
                .media_type(MediaType::Audio)
                .group_id(GROUP)
                .name("Audio")
                .is_default(true)
                .is_autoselect(true)
                .channels(Channels::new(u64::from(format.channels)))
                .uri(uri.to_owned());
            if self.video.is_some() {
                media.push(rendition.build()?);
            }
        }
        data.codecs(codecs);
        let uri = self
            .video
            .map(|(uri, ..)| uri)
            .or(self.audio.map(|(uri, _)| uri))
            .unwrap_or_default();
        let rate = self
            .video
            .map(|(.., rate)| (rate * 1000.0).round() as f32 / 1000.0);
        let variant = VariantStream::ExtXStreamInf {
            uri: uri.to_owned().into(),
            frame_rate: rate
                .filter(|rate| rate.is_finite() && *rate > 0.0)
                .map(UFloat::new),
            audio: (!media.is_empty()).then(|| GROUP.into()),
            subtitles: None,
            closed_captions: None,
            stream_data: data.build()?,
        };
        let mut master = MasterPlaylist::builder();
        master
            .has_independent_segments(true)
            .media(media)
            .variant_streams(vec![variant]);
        Ok(with_version(&master.build()?.to_string()))
    }
}

/// Shorter than a tick of any clock, and no digits that say nothing.
fn microseconds(duration: Duration) -> Duration {
    Duration::from_micros((duration.as_nanos() as u64 + 500) / 1000)
}

const GROUP: &str = "audio";
/// Needed for `EXT-X-MAP` in playlists that are no I-frame lists (RFC 8216, section 7).
const VERSION: &str = "#EXT-X-VERSION:6\n";

/// Says our version in the second line; the crate derives one from the tags that it was given.
fn with_version(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + VERSION.len());
    for line in text
        .lines()
        .filter(|line| !line.starts_with("#EXT-X-VERSION"))
    {
        out.push_str(line);
        out.push('\n');
        if line == "#EXTM3U" {
            out.push_str(VERSION);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::TryFrom;

    fn entry(number: u64, discontinuity: bool) -> Entry {
        Entry {
            uri: format!("video-{number}.m4s"),
            map: format!("video-init-{}.mp4", u64::from(number > 8)),
            duration: Duration::from_millis(2_300),
            time: 1_750_000_000_000_000_000 + number as i64 * 2_000_000_000,
            discontinuity,
        }
    }

    #[test]
    fn a_media_playlist_says_all_and_reads_back() {
        let list = MediaList {
            target_duration: 2,
            first: 7,
            discontinuities: 3,
            independent: true,
            ended: true,
            segments: vec![entry(7, false), entry(8, false), entry(9, true)],
        };
        let text = list.write().unwrap();
        assert_eq!(
            text,
            "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:3\n#EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-MAP:URI=\"video-init-0.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:2025-06-15T15:06:54.000Z\n\
             #EXTINF:2.3,\nvideo-7.m4s\n\
             #EXT-X-PROGRAM-DATE-TIME:2025-06-15T15:06:56.000Z\n#EXTINF:2.3,\nvideo-8.m4s\n\
             #EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"video-init-1.mp4\"\n\
             #EXT-X-PROGRAM-DATE-TIME:2025-06-15T15:06:58.000Z\n#EXTINF:2.3,\nvideo-9.m4s\n#EXT-X-ENDLIST\n"
        );
        let parsed = MediaPlaylist::try_from(text.as_str()).unwrap();
        assert_eq!(parsed.media_sequence, 7);
        assert_eq!(parsed.segments.num_elements(), 3);
    }

    #[test]
    fn a_multivariant_playlist_describes_what_is_there() {
        let (video, audio) = (Format::vp9(0, 8, 1, 1280, 720).unwrap(), Format::opus(2));
        let variant = Variant {
            video: Some(("video.m3u8", &video, 29.97003)),
            audio: Some(("audio.m3u8", &audio)),
            peak: 2_700_000,
            average: 2_500_000,
        };
        let text = variant.write().unwrap();
        for part in [
            "BANDWIDTH=2700000,AVERAGE-BANDWIDTH=2500000",
            "CODECS=\"vp09.00.31.08,opus\"",
            "RESOLUTION=1280x720",
            "FRAME-RATE=29.970",
            "AUDIO=\"audio\"",
            "CHANNELS=\"2\"",
            "URI=\"audio.m3u8\"",
            "#EXT-X-INDEPENDENT-SEGMENTS",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(MasterPlaylist::try_from(text.as_str()).is_ok());
        let text = Variant {
            video: None,
            ..variant
        }
        .write()
        .unwrap();
        assert!(
            text.contains("\naudio.m3u8\n") && !text.contains("EXT-X-MEDIA"),
            "{text}"
        );
    }
}
