//! What the parameters of a codec say of its profile and level, for comparing and for people.

use super::payload_format::parameter;
use crate::rtp::Codec;

/// What tells one H264 payload type from another: the level doesn't count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct H264 {
    pub(super) profile: H264Profile,
    /// The packetization mode, 0 when left out.
    pub(super) mode: u8,
}

/// The profiles of RFC 6184, table 5: several values of `profile-level-id` name the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum H264Profile {
    ConstrainedBaseline,
    Baseline,
    Main,
    ConstrainedHigh,
    High,
    /// Another `profile_idc`.
    Other(u8),
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

/// The three bytes of `profile-level-id` (RFC 6184, section 8.1).
#[derive(Clone, Copy)]
struct ProfileLevelId {
    idc: u8,
    constraints: u8,
    level: u8,
}

impl ProfileLevelId {
    fn parse(id: &str) -> Option<Self> {
        // `from_str_radix` alone would take a sign.
        if id.len() != 6 || !id.bytes().all(|c| c.is_ascii_hexdigit()) {
            return None;
        }
        let [_, idc, constraints, level] = u32::from_str_radix(id, 16).ok()?.to_be_bytes();
        Some(Self {
            idc,
            constraints,
            level,
        })
    }

    fn profile(self) -> H264Profile {
        const SET_0: u8 = 0x80;
        const SET_1: u8 = 0x40;
        const SETS_4_AND_5: u8 = 0x0c;
        let is_set = |flags| self.constraints & flags == flags;
        match self.idc {
            0x42 if is_set(SET_1) => H264Profile::ConstrainedBaseline,
            0x42 => H264Profile::Baseline,
            0x4d if is_set(SET_0) => H264Profile::ConstrainedBaseline,
            0x4d => H264Profile::Main,
            0x64 if is_set(SETS_4_AND_5) => H264Profile::ConstrainedHigh,
            0x64 => H264Profile::High,
            other => H264Profile::Other(other),
        }
    }

    /// Such as `4.0`; level 1b has two spellings.
    fn level(self) -> String {
        const SET_3: u8 = 0x10;
        match self.level {
            9 => "1b".to_owned(),
            11 if self.constraints & SET_3 != 0 && self.idc < 0x64 => "1b".to_owned(),
            level => format!("{}.{}", level / 10, level % 10),
        }
    }
}

impl H264Profile {
    /// Whether who decodes `other` decodes this too. Constrained Baseline is a part of nearly all.
    pub(super) fn is_decoded_by(self, other: Self) -> bool {
        match (self, other) {
            (Self::ConstrainedBaseline, Self::Other(_)) => false,
            (Self::ConstrainedBaseline, _) | (Self::ConstrainedHigh, Self::High) => true,
            (one, other) => one == other,
        }
    }

    fn name(self) -> String {
        match self {
            Self::ConstrainedBaseline => "Constrained Baseline".to_owned(),
            Self::Baseline => "Baseline".to_owned(),
            Self::Main => "Main".to_owned(),
            Self::ConstrainedHigh => "Constrained High".to_owned(),
            Self::High => "High".to_owned(),
            Self::Other(0x58) => "Extended".to_owned(),
            Self::Other(0x6e) => "High 10".to_owned(),
            Self::Other(0x7a) => "High 4:2:2".to_owned(),
            Self::Other(0xf4) => "High 4:4:4".to_owned(),
            Self::Other(idc) => format!("profile {idc}"),
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
    fn values_of_one_profile_are_equal() {
        let profile = |id| ProfileLevelId::parse(id).unwrap().profile();
        for id in ["42e01f", "42c01e", "42e034", "42f00b", "4d801f"] {
            assert_eq!(profile(id), H264Profile::ConstrainedBaseline, "{id}");
        }
        for id in ["42001f", "42001e", "420034", "42801f"] {
            assert_eq!(profile(id), H264Profile::Baseline, "{id}");
        }
        assert_eq!(profile("4D001f"), H264Profile::Main);
        assert_eq!(profile("640c1f"), H264Profile::ConstrainedHigh);
        assert_eq!(profile("64001f"), H264Profile::High);
        assert_eq!(profile("f4001f"), H264Profile::Other(0xf4));
        for id in ["", "42e0", "42e01f0", "xxxxxx", "é0e01", "+42e01"] {
            assert!(ProfileLevelId::parse(id).is_none(), "{id}");
        }
    }

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
