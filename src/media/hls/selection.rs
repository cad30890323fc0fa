//! What of a publisher's tracks is in HLS, and why something is not.

use std::time::Instant;

use super::aac::Aac;
use super::figures::Cpu;
use super::ladder::Ladder;
use super::track::Track;
use super::{HlsSettings, Line, Wake};
use crate::egress::hls::RenditionId;
use crate::media::MediaError;
use crate::rtp::{Codec, MediaKind};
use crate::stream::{StreamName, TrackInfo};

/// The tracks of a branch.
pub(super) struct Selection {
    pub(super) tracks: Vec<Track>,
    /// The sound in AAC beside what the publisher sends.
    pub(super) aac: Option<Aac>,
    /// Smaller pictures than the publisher sends.
    pub(super) ladder: Option<Ladder>,
}

/// Starts the first track of each kind.
///
/// # Errors
///
/// Why HLS can't carry the stream, for the user.
pub(super) fn select(
    settings: &HlsSettings,
    stream: &StreamName,
    infos: &[TrackInfo],
    wake: &Wake,
    cpu: &Cpu,
    now: Instant,
) -> Result<Selection, String> {
    let mut tracks = Vec::new();
    for kind in [MediaKind::Video, MediaKind::Audio] {
        let Some(info) = infos.iter().find(|track| track.kind() == kind) else {
            continue;
        };
        let rendition = match kind {
            MediaKind::Video => RenditionId::Video(0),
            MediaKind::Audio => RenditionId::Audio,
        };
        match Track::start(settings, info.clone(), rendition, wake, &cpu.segments, now) {
            Ok(track) => tracks.push(track),
            Err(error) => {
                let reason = format!("no HLS for this stream: {error}");
                tracing::warn!(%stream, %kind, codec = %info.codec, reason, "track is not in HLS");
                // A stream whose picture is missing is no stream to watch; sound may be missing.
                if kind == MediaKind::Video {
                    return Err(reason);
                }
            }
        }
    }
    if tracks.is_empty() {
        return Err(
            "no HLS for this stream: it has no track that HLS can carry; publish H264 and Opus"
                .into(),
        );
    }
    let is_opus = tracks.iter().any(|track| track.info.codec == Codec::Opus);
    let aac = (settings.aac && is_opus)
        .then(|| Aac::new(stream, settings.segment_target, wake, &cpu.aac))
        .transpose();
    let aac = aac.unwrap_or_else(|error| {
        tracing::warn!(%stream, %error, "no AAC for Apple's players");
        None
    });
    let video = tracks
        .iter()
        .find(|track| track.info.kind() == MediaKind::Video);
    let ladder = video.and_then(|video| {
        Ladder::new(
            stream,
            video.info.codec,
            &settings.ladder,
            wake,
            &cpu.ladder,
        )
    });
    Ok(Selection {
        tracks,
        aac,
        ladder,
    })
}

/// Starts another layer of the picture.
///
/// # Errors
///
/// As [`Track::start`].
pub(super) fn layer(
    settings: &HlsSettings,
    info: &TrackInfo,
    line: Line,
    wake: &Wake,
    cpu: &Cpu,
    now: Instant,
) -> Result<Track, MediaError> {
    Track::start(
        settings,
        info.clone(),
        RenditionId::Video(line.0),
        wake,
        &cpu.segments,
        now,
    )
}
