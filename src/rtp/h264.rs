//! The profiles and levels of H.264, as `profile-level-id` and sequence parameter sets spell them.

/// The profiles of RFC 6184, table 5: several values of `profile-level-id` name the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum H264Profile {
    ConstrainedBaseline,
    Baseline,
    Main,
    ConstrainedHigh,
    High,
    /// Another `profile_idc`.
    Other(u8),
}

/// The three bytes of `profile-level-id` (RFC 6184, section 8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProfileLevelId {
    pub(crate) idc: u8,
    pub(crate) constraints: u8,
    pub(crate) level: u8,
}

impl ProfileLevelId {
    /// From its six hex digits.
    pub(crate) fn parse(id: &str) -> Option<Self> {
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

    pub(crate) fn profile(self) -> H264Profile {
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
    pub(crate) fn level(self) -> String {
        const SET_3: u8 = 0x10;
        match self.level {
            9 => "1b".to_owned(),
            11 if self.constraints & SET_3 != 0 && self.idc < 0x64 => "1b".to_owned(),
            level => format!("{}.{}", level / 10, level % 10),
        }
    }
}

impl ProfileLevelId {
    /// Whether who decodes up to the level of `other` decodes this too. Level 1b lies between 1.0 and
    /// 1.1 and has two spellings; nothing that we see is that small.
    pub(crate) fn is_within_level_of(self, other: Self) -> bool {
        self.level <= other.level
    }
}

impl H264Profile {
    /// Whether who decodes `other` decodes this too. Constrained Baseline is a part of nearly all.
    pub(crate) fn is_decoded_by(self, other: Self) -> bool {
        match (self, other) {
            (Self::ConstrainedBaseline, Self::Other(_)) => false,
            (Self::ConstrainedBaseline, _) | (Self::ConstrainedHigh, Self::High) => true,
            (one, other) => one == other,
        }
    }

    pub(crate) fn name(self) -> String {
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
}
