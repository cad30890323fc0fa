//! Playlists (RFC 8216 and draft-pantos-hls-rfc8216bis), written with `hls_m3u8`; nothing outside of this
//! module knows that crate. The low-latency tags, which it lacks, are put between its lines.

use std::time::Duration;

use chrono::DateTime;
use hls_m3u8::builder::MediaSegmentBuilder;
use hls_m3u8::tags::{ExtXMap, ExtXMedia, ExtXProgramDateTime, VariantStream};
use hls_m3u8::types::{Channels, MediaType, StreamData, UFloat};
use hls_m3u8::{MasterPlaylist, MediaPlaylist, MediaSegment};

use super::tags;

mod iframes;

pub use iframes::{IFrame, IFrameList};

/// A playlist could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the HLS playlist can't be written ({0}); report this with the publisher's codec settings")]
pub struct PlaylistError(#[from] hls_m3u8::Error);

/// What the playlist of one rendition lists.
#[derive(Debug)]
pub struct MediaList {
    /// No segment is longer, in seconds.
    pub target_duration: u64,
    /// No part is longer.
    pub part_target: Duration,
    /// How far behind the end players stay; never less than three parts.
    pub hold_back: Duration,
    /// The number of the first segment.
    pub first: u64,
    /// Discontinuities before the first segment, those of its own tag not counted.
    pub discontinuities: u64,
    /// Every segment begins with a keyframe.
    pub independent: bool,
    /// Nothing will be added.
    pub ended: bool,
    /// So many of the oldest segments are left out, as the player has them.
    pub skipped: usize,
    /// Segments that follow what is left out, as [`Entry::lines`] wrote them: there may be thousands, and
    /// they don't change.
    pub older: String,
    /// The init segment of the last one that was left out or is among the older ones.
    pub map: Option<String>,
    /// The segments that follow. The last one may be open.
    pub segments: Vec<Entry>,
    /// The part that comes next.
    pub hint: Option<String>,
    /// The other renditions: the playlist, its last segment and its last part.
    pub reports: Vec<(String, u64, usize)>,
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
    /// Its parts, where they are listed.
    pub parts: Vec<PartEntry>,
    /// More parts follow.
    pub open: bool,
}

/// One part of a playlist.
#[derive(Debug)]
pub struct PartEntry {
    /// Where it is, relative to the playlist.
    pub uri: String,
    /// How long it lasts.
    pub duration: Duration,
    /// It begins with a keyframe.
    pub independent: bool,
}

impl MediaList {
    /// The text of the playlist.
    ///
    /// # Errors
    ///
    /// [`PlaylistError`] when a value can't be expressed.
    pub fn write(&self) -> Result<String, PlaylistError> {
        let mut text = self.head()?;
        text.push_str(&self.older);
        let mut map = self.map.as_ref();
        for entry in &self.segments {
            let new_map = map != Some(&entry.map) || entry.discontinuity;
            map = Some(&entry.map);
            entry.write(new_map, &mut text)?;
        }
        if self.ended {
            text.push_str("#EXT-X-ENDLIST\n");
            return Ok(text);
        }
        if let Some(hint) = &self.hint {
            tags::preload_hint(&mut text, hint);
        }
        for (uri, segment, part) in &self.reports {
            tags::rendition_report(&mut text, uri, *segment, *part);
        }
        Ok(text)
    }

    fn head(&self) -> Result<String, PlaylistError> {
        let mut header = MediaPlaylist::builder();
        header
            .target_duration(Duration::from_secs(self.target_duration))
            .media_sequence(usize::try_from(self.first).unwrap_or(usize::MAX))
            .discontinuity_sequence(usize::try_from(self.discontinuities).unwrap_or(usize::MAX))
            .has_independent_segments(self.independent)
            .segments(Vec::new());
        // Only what skips needs the later version, so that strict old players take the rest.
        let version = if self.skipped > 0 {
            SKIP_VERSION
        } else {
            VERSION
        };
        let mut text = with_version(&header.build()?.to_string(), version);
        if !self.ended {
            tags::server_control(
                &mut text,
                self.part_target,
                self.target_duration,
                self.hold_back,
            );
        }
        if self.skipped > 0 {
            tags::skip(&mut text, self.skipped);
        }
        Ok(text)
    }
}

/// A segment whose further tags are to come. A discontinuity is written at once: the crate puts that tag
/// after the MAP, and players expect it before.
fn begun(
    uri: &str,
    duration: Duration,
    discontinuity: bool,
    text: &mut String,
) -> MediaSegmentBuilder<'static> {
    if discontinuity {
        text.push_str("#EXT-X-DISCONTINUITY\n");
    }
    let mut segment = MediaSegment::builder();
    segment.uri(uri.to_owned()).duration(microseconds(duration));
    segment
}

/// Of a time in ns since 1970.
fn date_time(time: i64) -> ExtXProgramDateTime<'static> {
    ExtXProgramDateTime::new(DateTime::from_timestamp_nanos(time).fixed_offset())
}

impl Entry {
    /// What a playlist says of it, with its init segment or without.
    ///
    /// # Errors
    ///
    /// [`PlaylistError`] when a value can't be expressed.
    pub fn lines(&self, with_map: bool) -> Result<String, PlaylistError> {
        let mut text = String::new();
        self.write(with_map, &mut text)?;
        Ok(text)
    }

    fn write(&self, with_map: bool, text: &mut String) -> Result<(), PlaylistError> {
        let mut segment = begun(&self.uri, self.duration, self.discontinuity, text);
        // Strict old players take no tag without a segment after it, so an open one has what it must.
        if !self.open || self.discontinuity {
            segment.program_date_time(date_time(self.time));
        }
        if with_map {
            segment.map(ExtXMap::new(self.map.clone()));
        }
        let segment = segment.build()?.to_string();
        // Parts stand between the tags that are true of them too, and the segment itself.
        let (about, itself) = segment.split_at(segment.find("#EXTINF").unwrap_or(0));
        text.push_str(about);
        for part in &self.parts {
            tags::part(text, &part.uri, part.duration, part.independent);
        }
        if !self.open {
            text.push_str(itself);
        }
        Ok(())
    }
}

/// What the multivariant playlist offers.
#[derive(Debug, Default)]
pub struct Multivariant {
    /// The video renditions, the best first.
    pub videos: Vec<VideoVariant>,
    /// The audio renditions, of which a player takes one; the best first.
    pub audios: Vec<AudioVariant>,
    /// Every segment of the videos begins with a keyframe; those of sound can always be decoded alone.
    pub independent: bool,
}

/// A video rendition.
#[derive(Debug)]
pub struct VideoVariant {
    /// Where its playlist is.
    pub uri: String,
    /// Its `CODECS` value.
    pub codecs: String,
    /// Width and height.
    pub size: (u16, u16),
    /// Pictures a second.
    pub rate: f64,
    /// How many bits it takes.
    pub bits: Bits,
    /// Its I-frame playlist, and how many bits that takes.
    pub iframes: Option<(String, Bits)>,
}

/// An audio rendition.
#[derive(Debug)]
pub struct AudioVariant {
    /// Where its playlist is.
    pub uri: String,
    /// The group that it is alone in.
    pub group: &'static str,
    /// Its `CODECS` value.
    pub codecs: String,
    /// Its channels.
    pub channels: u8,
    /// How many bits it takes.
    pub bits: Bits,
}

/// Bits a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bits {
    /// Of the largest segment.
    pub peak: u64,
    /// On average.
    pub average: u64,
}

impl Multivariant {
    /// The text of the playlist: each video with each audio.
    ///
    /// # Errors
    ///
    /// [`PlaylistError`] when a value can't be expressed.
    pub fn write(&self) -> Result<String, PlaylistError> {
        let (mut variants, mut media) = (Vec::new(), Vec::new());
        if self.videos.is_empty() {
            for audio in &self.audios {
                variants.push(variant(None, Some(audio))?);
            }
        } else {
            for audio in &self.audios {
                media.push(audio.media()?);
            }
            let audios = self.audios.iter().map(Some);
            let audios: Vec<_> = if media.is_empty() {
                vec![None]
            } else {
                audios.collect()
            };
            for audio in audios {
                for video in &self.videos {
                    variants.push(variant(Some(video), audio)?);
                }
            }
        }
        for video in &self.videos {
            variants.extend(video.iframes()?);
        }
        let mut master = MasterPlaylist::builder();
        master
            .has_independent_segments(self.independent)
            .media(media)
            .variant_streams(variants);
        Ok(with_version(&master.build()?.to_string(), VERSION))
    }
}

impl AudioVariant {
    fn media(&self) -> Result<ExtXMedia<'static>, PlaylistError> {
        let mut rendition = ExtXMedia::builder();
        rendition
            .media_type(MediaType::Audio)
            .group_id(self.group)
            .name("Audio")
            .is_default(true)
            .is_autoselect(true)
            .channels(Channels::new(u64::from(self.channels)))
            .uri(self.uri.clone());
        Ok(rendition.build()?)
    }
}

fn variant(
    video: Option<&VideoVariant>,
    audio: Option<&AudioVariant>,
) -> Result<VariantStream<'static>, PlaylistError> {
    let bits = [video.map(|video| video.bits), audio.map(|audio| audio.bits)];
    let sum = |of: fn(&Bits) -> u64| bits.iter().flatten().map(of).sum::<u64>();
    let codecs = [
        video.map(|video| &video.codecs),
        audio.map(|audio| &audio.codecs),
    ];
    let mut data = StreamData::builder();
    data.bandwidth(sum(|bits| bits.peak).max(1))
        .average_bandwidth(sum(|bits| bits.average))
        .codecs(codecs.into_iter().flatten().cloned().collect::<Vec<_>>());
    if let Some(video) = video {
        data.resolution(video.resolution());
    }
    let uri = video
        .map(|video| &video.uri)
        .or(audio.map(|audio| &audio.uri));
    let rate = video.map(|video| (video.rate * 1000.0).round() as f32 / 1000.0);
    Ok(VariantStream::ExtXStreamInf {
        uri: uri.cloned().unwrap_or_default().into(),
        frame_rate: rate
            .filter(|rate| rate.is_finite() && *rate > 0.0)
            .map(UFloat::new),
        audio: video.and(audio).map(|audio| audio.group.into()),
        subtitles: None,
        closed_captions: None,
        stream_data: data.build()?,
    })
}

/// Shorter than a tick of any clock, and no digits that say nothing.
fn microseconds(duration: Duration) -> Duration {
    Duration::from_micros((duration.as_nanos() as u64 + 500) / 1000)
}

/// Needed for `EXT-X-MAP` in playlists that are no I-frame lists (RFC 8216, section 7).
const VERSION: &str = "#EXT-X-VERSION:6\n";
/// Needed for `EXT-X-SKIP` (rfc8216bis, section 8).
const SKIP_VERSION: &str = "#EXT-X-VERSION:9\n";

/// Says our version in the second line; the crate derives one from the tags that it was given.
fn with_version(text: &str, version: &str) -> String {
    let mut out = String::with_capacity(text.len() + version.len());
    for line in text
        .lines()
        .filter(|line| !line.starts_with("#EXT-X-VERSION"))
    {
        out.push_str(line);
        out.push('\n');
        if line == "#EXTM3U" {
            out.push_str(version);
        }
    }
    out
}

#[cfg(test)]
pub(super) mod tests;
