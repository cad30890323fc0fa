//! The codecs that a stream can carry, by their SDP encoding names.

use std::fmt;

/// Audio or video: the two media types of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// `m=audio`
    Audio,
    /// `m=video`
    Video,
}

impl MediaKind {
    /// The name in an `m=` line (RFC 8866, section 5.14).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }
}

impl fmt::Display for MediaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A codec with an RTP payload format that Tidegate forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// RFC 6184
    H264,
    /// RFC 7798
    H265,
    /// RFC 7741
    Vp8,
    /// RFC 9628
    Vp9,
    /// The AV1 RTP specification of AOMedia
    Av1,
    /// RFC 7587
    Opus,
    /// G.711 mu-law, RFC 3551
    Pcmu,
    /// G.711 A-law, RFC 3551
    Pcma,
    /// RFC 3551
    G722,
}

impl Codec {
    /// Every codec, video first, in our order of preference.
    pub const ALL: [Self; 9] = [
        Self::H264,
        Self::Vp9,
        Self::Av1,
        Self::H265,
        Self::Vp8,
        Self::Opus,
        Self::G722,
        Self::Pcmu,
        Self::Pcma,
    ];

    /// The encoding name for `a=rtpmap`.
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "H264",
            Self::H265 => "H265",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::Av1 => "AV1",
            Self::Opus => "opus",
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
        }
    }

    /// The codec of an encoding name; names are compared without case (RFC 4855, section 3).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|codec| codec.name().eq_ignore_ascii_case(name))
    }

    /// Audio or video.
    pub fn kind(self) -> MediaKind {
        match self {
            Self::H264 | Self::H265 | Self::Vp8 | Self::Vp9 | Self::Av1 => MediaKind::Video,
            Self::Opus | Self::Pcmu | Self::Pcma | Self::G722 => MediaKind::Audio,
        }
    }

    /// The RTP clock rate in Hz. G.722 says 8000 though it samples at 16000 (RFC 3551, section 4.5.2).
    pub fn clock_rate(self) -> u32 {
        match self {
            Self::H264 | Self::H265 | Self::Vp8 | Self::Vp9 | Self::Av1 => 90_000,
            Self::Opus => 48_000,
            Self::Pcmu | Self::Pcma | Self::G722 => 8_000,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched_without_case() {
        assert_eq!(Codec::from_name("OPUS"), Some(Codec::Opus));
        assert_eq!(Codec::from_name("h264"), Some(Codec::H264));
        assert_eq!(Codec::from_name("telephone-event"), None);
    }

    #[test]
    fn every_name_leads_back_to_its_codec() {
        for codec in Codec::ALL {
            assert_eq!(Codec::from_name(codec.name()), Some(codec));
        }
    }
}
