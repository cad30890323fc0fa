//! What players ask for, and what they get.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::filing::Filed;
use super::waiting::Growing;
use crate::egress::hls::rendition::RenditionId;
use crate::rtp::MediaKind;

/// A file of a stream. Reading its path creates nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    /// The multivariant playlist.
    Index(Sound),
    /// The playlist of a rendition.
    Playlist(RenditionId),
    /// The I-frame playlist of a video rendition.
    IFrames(RenditionId),
    /// An init segment, by the number of the segment that first needed it.
    Init(RenditionId, u64),
    /// A whole segment.
    Segment(RenditionId, u64),
    /// A part of a segment.
    Part(RenditionId, u64, usize),
    /// The manifest of DASH, with the published coding of the sound or with AAC.
    Manifest(Sound),
    /// A segment that may still grow.
    Growing(RenditionId, u64),
}

/// Which codings of the sound a multivariant playlist has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sound {
    /// All that there are.
    #[default]
    All,
    /// That of [`RenditionId::Audio`] only, for players that can't tell codings from qualities.
    Published,
    /// AAC only.
    Aac,
}

impl Sound {
    /// How many there are.
    pub(super) const COUNT: usize = 3;

    /// Whether a rendition of sound is listed.
    pub(super) fn has(self, rendition: RenditionId) -> bool {
        match self {
            Self::All => true,
            Self::Published => rendition == RenditionId::Audio,
            Self::Aac => rendition == RenditionId::Aac,
        }
    }
}

impl File {
    /// The file of a path below the stream's; each file has one spelling.
    pub fn of_path(path: &str) -> Option<Self> {
        match path {
            "index.m3u8" => return Some(Self::Index(Sound::All)),
            "index-audio.m3u8" => return Some(Self::Index(Sound::Published)),
            "index-aac.m3u8" => return Some(Self::Index(Sound::Aac)),
            _ => {}
        }
        if let Some(name) = path.strip_suffix("-iframes.m3u8") {
            let video = |rendition: &RenditionId| rendition.kind() == MediaKind::Video;
            let rendition = RenditionId::of_name(name).filter(video);
            return rendition.map(Self::IFrames);
        }
        if let Some(name) = path.strip_suffix(".m3u8") {
            return RenditionId::of_name(name).map(Self::Playlist);
        }
        let (name, rest) = path.split_once('-')?;
        let rendition = RenditionId::of_name(name)?;
        if let Some(rest) = rest.strip_prefix("init-") {
            let number = number(rest.strip_suffix(".mp4")?)?;
            return Some(Self::Init(rendition, number));
        }
        let rest = rest.strip_suffix(".m4s")?;
        match rest.split_once('.') {
            Some((segment, part)) => {
                let part = usize::try_from(number(part)?).ok()?;
                Some(Self::Part(rendition, number(segment)?, part))
            }
            None => number(rest).map(|segment| Self::Segment(rendition, segment)),
        }
    }
}

impl File {
    /// The file of a path below the stream's DASH.
    pub fn of_dash_path(path: &str) -> Option<Self> {
        match path {
            "manifest.mpd" => return Some(Self::Manifest(Sound::Published)),
            "manifest-aac.mpd" => return Some(Self::Manifest(Sound::Aac)),
            _ => {}
        }
        match Self::of_path(path)? {
            Self::Segment(rendition, number) => Some(Self::Growing(rendition, number)),
            init @ Self::Init(..) => Some(init),
            _ => None,
        }
    }
}

/// The delivery directives of a playlist request (rfc8216bis, section 6.2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `_HLS_msn`: the playlist must hold this segment.
    pub segment: Option<u64>,
    /// `_HLS_part`: and this part of it.
    pub part: Option<usize>,
    /// `_HLS_skip`: segments that the player has may be left out.
    pub skip: bool,
}

/// The answer to a player's request.
#[derive(Debug)]
pub enum Resource {
    /// A playlist, or a manifest.
    Playlist(Arc<Rendered>),
    /// An init segment, a segment or a part.
    Media(Media),
    /// A segment that is only in a file.
    Filed(Filed),
    /// A segment that grows.
    Growing(Growing),
    /// The stream is live, but has too few segments yet: ask again in a second.
    NotYet,
    /// The stream can't be played by HLS; the text is for the user.
    Unavailable(String),
    /// There is no such thing, or no more.
    NotFound,
    /// The directives ask for what is too far ahead.
    TooFarAhead,
    /// As many requests wait as may.
    Busy,
}

/// The bytes of an init segment, a segment or a part.
#[derive(Clone, Debug)]
pub struct Media {
    /// Its media type.
    pub content_type: &'static str,
    /// What it is.
    pub kind: MediaFile,
    /// The bytes, in pieces.
    pub body: Arc<[Bytes]>,
}

/// The media type of the files of a rendition.
pub(super) fn content_type(rendition: RenditionId) -> &'static str {
    match rendition.kind() {
        MediaKind::Video => "video/mp4",
        MediaKind::Audio => "audio/mp4",
    }
}

/// How long something stays wanted depends on what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaFile {
    /// An init segment.
    Init,
    /// A whole segment.
    Segment,
    /// A part.
    Part,
}

/// A playlist as it is served: made once for each state of the stream.
#[derive(Debug)]
pub struct Rendered {
    /// Its text.
    pub text: Bytes,
    /// Names this state, without quotes.
    pub tag: String,
    gzip: OnceLock<Bytes>,
}

impl Rendered {
    /// A playlist; `tag` names the state that it shows.
    pub fn new(text: String, tag: String) -> Self {
        Self {
            text: text.into(),
            tag,
            gzip: OnceLock::new(),
        }
    }

    /// Whether somebody has asked for it compressed.
    pub fn is_compressed(&self) -> bool {
        self.gzip.get().is_some()
    }

    /// The same compressed by gzip (RFC 1952); made for who asks first.
    pub fn gzip(&self) -> Bytes {
        self.gzip.get_or_init(|| gzip(&self.text)).clone()
    }
}

fn gzip(text: &[u8]) -> Bytes {
    use std::io::Write;
    let out = Vec::with_capacity(text.len() / 3);
    let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::new(4));
    // Writing to memory does not fail.
    let written = encoder.write_all(text);
    debug_assert!(written.is_ok());
    encoder.finish().unwrap_or_default().into()
}

/// A decimal number in its one spelling, so that each resource has one address.
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|c| c.is_ascii_digit());
    let canonical = digits && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| canonical)
}
