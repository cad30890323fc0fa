//! What the parameters of a codec say of its profile and level, for comparing and for people.

use super::payload_format::parameter;
use crate::rtp::Codec;
pub(super) use crate::rtp::h264::{H264Profile, ProfileLevelId};

/// What tells one H264 payload type from another: the level doesn't count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct H264 {
    pub(super) profile: H264Profile,
    /// The packetization mode, 0 when left out.
    pub(super) mode: u8,
}

impl H264 {
    pub(super) fn of(fmtp: &str) -> Self {
        let id = parameter(fmtp, "profile-level-id").and_then(ProfileLevelId::parse);
        let mode = parameter(fmtp, "packetization-mode").and_then(|mode| mode.parse().ok());
        Self {
            profile: id.map_or(H264Profile::Baseline, ProfileLevelId::profile),
            mode: mode.unwrap_or(0),
        }
    }
}

/// The parameter that names the profile, and its value when it is left out: RFC 9628, section 7;
/// the AV1 RTP specification, section 7.2; RFC 7798, section 7.1.
pub(super) fn profile_parameter(codec: Codec) -> (&'static str, &'static str) {
    match codec {
        Codec::Av1 => ("profile", "0"),
        Codec::H265 => ("profile-id", "1"),
        _ => ("profile-id", "0"),
    }
}

/// A codec with what decides whether it can be decoded, for people: `H264 High 4.0`.
pub(super) fn describe(codec: Codec, fmtp: &str) -> String {
    match codec {
        Codec::H264 => match parameter(fmtp, "profile-level-id").and_then(ProfileLevelId::parse) {
            Some(id) => format!("H264 {} {}", id.profile().name(), id.level()),
            None => codec.to_string(),
        },
        Codec::Vp9 | Codec::Av1 | Codec::H265 => {
            let (name, default) = profile_parameter(codec);
            let value = parameter(fmtp, name).unwrap_or(default);
            match (codec, value) {
                (Codec::Av1, "0") | (Codec::H265, "1") => format!("{codec} Main"),
                (Codec::Av1, "1") => "AV1 High".to_owned(),
                (Codec::Av1, "2") => "AV1 Professional".to_owned(),
                (Codec::H265, "2") => "H265 Main 10".to_owned(),
                (codec, value) => {
                    let value: String = value.chars().take(16).collect();
                    format!("{codec} profile {value}")
                }
            }
        }
        Codec::Vp8 | Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::G722 => codec.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_are_described_in_words() {
        for (codec, fmtp, words) in [
            (
                Codec::H264,
                "packetization-mode=1;profile-level-id=640028",
                "H264 High 4.0",
            ),
            (
                Codec::H264,
                "profile-level-id=42e01f",
                "H264 Constrained Baseline 3.1",
            ),
            (
                Codec::H264,
                "profile-level-id=42f00b",
                "H264 Constrained Baseline 1b",
            ),
            (
                Codec::H264,
                "profile-level-id=f4001f",
                "H264 High 4:4:4 3.1",
            ),
            (Codec::H264, "profile-level-id=01000a", "H264 profile 1 1.0"),
            (Codec::H264, "", "H264"),
            (Codec::Vp9, "", "VP9 profile 0"),
            (Codec::Vp9, "profile-id=2", "VP9 profile 2"),
            (Codec::Av1, "level-idx=5;profile=0", "AV1 Main"),
            (Codec::Av1, "profile=1", "AV1 High"),
            (Codec::H265, "profile-id=2", "H265 Main 10"),
            (Codec::Vp8, "max-fs=1", "VP8"),
        ] {
            assert_eq!(describe(codec, fmtp), words);
        }
    }
}
