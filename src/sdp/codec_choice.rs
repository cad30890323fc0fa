//! Which of the offered payload types is used: the publisher's own preference under our policy,
//! and for a subscriber the one that fits the stream best.

use super::media_section::MediaSection;
use super::payload_format::{PayloadFormat, parameter, parameters};
use crate::rtp::Codec;
use crate::stream::TrackInfo;

/// Which codecs publishers may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecPolicy {
    /// Those that are taken at all.
    pub allowed: Vec<Codec>,
    /// Those that are taken only when a publisher offers nothing else that is allowed, such as VP8
    /// while HLS is on.
    pub deprioritized: Vec<Codec>,
}

impl Default for CodecPolicy {
    /// All that we forward, none put behind.
    fn default() -> Self {
        Self {
            allowed: Codec::ALL.to_vec(),
            deprioritized: Vec::new(),
        }
    }
}

/// The payload type that a publisher shall use.
pub(super) fn for_publisher<'a>(
    section: &'a MediaSection,
    policy: &CodecPolicy,
) -> Option<(&'a PayloadFormat, Codec)> {
    section
        .formats
        .iter()
        .filter_map(|format| Some((format, format.codec?)))
        .filter(|(_, codec)| policy.allowed.contains(codec))
        // The first of equals: the offer is in the publisher's order of preference.
        .min_by_key(|(_, codec)| policy.deprioritized.contains(codec))
}

/// The payload type that a subscriber gets `track` with.
///
/// H264 is matched leniently: what encoders and decoders say of their profile is often not what
/// they do, while decoders take more than they say. Other codecs must agree on the profile, where a
/// decoder for one can't make sense of another.
pub(super) fn for_subscriber<'a>(
    section: &'a MediaSection,
    track: &TrackInfo,
) -> Option<&'a PayloadFormat> {
    section
        .formats
        .iter()
        .filter(|format| format.codec == Some(track.codec))
        .filter_map(|format| Some((format, distance(track, format)?)))
        .min_by_key(|(_, distance)| *distance)
        .map(|(format, _)| format)
}

/// The parameters that an answer to a publisher keeps of its offer, as a receiver's own: those that
/// name the variant of the codec, and what a publisher asks us to want.
pub(super) fn publisher_answer_fmtp(format: &PayloadFormat) -> String {
    let kept: &[&str] = match format.codec {
        Some(Codec::H264) => &[
            "level-asymmetry-allowed",
            "packetization-mode",
            "profile-level-id",
        ],
        Some(Codec::H265) => &["profile-id", "tier-flag", "level-id", "tx-mode"],
        Some(Codec::Vp9) => &["profile-id"],
        Some(Codec::Av1) => &["profile", "level-idx", "tier"],
        Some(Codec::Opus) => &["minptime", "stereo", "useinbandfec"],
        _ => &[],
    };
    let mut answer: Vec<String> = parameters(&format.fmtp)
        .filter(|(name, _)| kept.iter().any(|keep| keep.eq_ignore_ascii_case(name)))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    // Who says only that stereo will come gets the wish for it (RFC 7587, section 6.1).
    let announced = format.parameter("sprop-stereo") == Some("1");
    if format.codec == Some(Codec::Opus) && announced && format.parameter("stereo").is_none() {
        answer.push("stereo=1".to_owned());
    }
    answer.join(";")
}

/// A codec with the parameters that decide whether it can be decoded, for people.
pub(super) fn describe(codec: Codec, fmtp: &str) -> String {
    let value = |name, default: &str| -> String {
        let value = parameter(fmtp, name).unwrap_or(default);
        value.chars().take(16).collect()
    };
    match codec {
        Codec::H264 => format!(
            "H264 {} packetization-mode={}",
            value("profile-level-id", "42000a"),
            value("packetization-mode", "0"),
        ),
        Codec::Vp9 | Codec::Av1 | Codec::H265 => {
            let (name, default) = profile_parameter(codec);
            format!("{codec} {name}={}", value(name, default))
        }
        Codec::Vp8 | Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::G722 => codec.to_string(),
    }
}

/// Whether a subscriber that agreed on `negotiated` can be sent `other` in its place, by the measure
/// of [`for_subscriber`].
pub fn may_replace(negotiated: &TrackInfo, other: &TrackInfo) -> bool {
    if negotiated.codec != other.codec {
        return false;
    }
    match other.codec {
        Codec::H264 | Codec::Vp8 | Codec::Opus => true,
        Codec::Vp9 | Codec::Av1 | Codec::H265 => {
            let (name, default) = profile_parameter(other.codec);
            let profile =
                |track: &TrackInfo| parameter(&track.fmtp, name).unwrap_or(default).to_owned();
            profile(negotiated) == profile(other)
        }
        Codec::Pcmu | Codec::Pcma | Codec::G722 => negotiated.channels == other.channels,
    }
}

/// How far `format` is from what the track needs; `None` when it can't be used.
fn distance(track: &TrackInfo, format: &PayloadFormat) -> Option<u8> {
    match track.codec {
        Codec::H264 => {
            let (sent, offered) = (H264::of(&track.fmtp), H264::of(&format.fmtp));
            Some(match offered {
                _ if sent == offered => 0,
                H264 { mode: 1, .. } => 1,
                H264 { .. } => 2,
            })
        }
        Codec::Vp9 | Codec::Av1 | Codec::H265 => {
            let (name, default) = profile_parameter(track.codec);
            let profile = |fmtp| parameter(fmtp, name).unwrap_or(default).to_owned();
            (profile(&track.fmtp) == profile(&format.fmtp)).then_some(0)
        }
        Codec::Vp8 | Codec::Opus => Some(0),
        Codec::Pcmu | Codec::Pcma | Codec::G722 => {
            (format.channel_count() == track.channels).then_some(0)
        }
    }
}

/// The parameter that names the profile, and its value when it is left out: RFC 9628, section 7;
/// the AV1 RTP specification, section 7.2; RFC 7798, section 7.1.
fn profile_parameter(codec: Codec) -> (&'static str, &'static str) {
    match codec {
        Codec::Av1 => ("profile", "0"),
        Codec::H265 => ("profile-id", "1"),
        _ => ("profile-id", "0"),
    }
}

/// What tells one H264 payload type from another: the level doesn't count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct H264 {
    profile: H264Profile,
    /// The packetization mode, 0 when left out.
    mode: u8,
}

/// The profiles of RFC 6184, table 5: several values of `profile-level-id` name the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum H264Profile {
    ConstrainedBaseline,
    Baseline,
    Main,
    ConstrainedHigh,
    High,
    /// Another `profile_idc`.
    Other(u8),
}

impl H264 {
    fn of(fmtp: &str) -> Self {
        let profile = parameter(fmtp, "profile-level-id").and_then(H264Profile::from_id);
        let mode = parameter(fmtp, "packetization-mode").and_then(|mode| mode.parse().ok());
        Self {
            profile: profile.unwrap_or(H264Profile::Baseline),
            mode: mode.unwrap_or(0),
        }
    }
}

impl H264Profile {
    fn from_id(id: &str) -> Option<Self> {
        const SET_1: u8 = 0x40;
        const SETS_4_AND_5: u8 = 0x0c;
        if id.len() != 6 {
            return None;
        }
        let [_, idc, constraints, _level] = u32::from_str_radix(id, 16).ok()?.to_be_bytes();
        Some(match idc {
            0x42 if constraints & SET_1 != 0 => Self::ConstrainedBaseline,
            0x42 => Self::Baseline,
            0x4d if constraints & 0x80 != 0 => Self::ConstrainedBaseline,
            0x4d => Self::Main,
            0x64 if constraints & SETS_4_AND_5 == SETS_4_AND_5 => Self::ConstrainedHigh,
            0x64 => Self::High,
            other => Self::Other(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp::fixtures;
    use crate::stream::TrackId;

    fn h264(fmtp: &str) -> TrackInfo {
        TrackInfo {
            id: TrackId(0),
            codec: Codec::H264,
            fmtp: fmtp.to_owned(),
            channels: 1,
        }
    }

    fn chosen(fixture: &str, track: &TrackInfo) -> u8 {
        let offer = fixtures::offer(fixture).offer();
        let mut formats = offer.media.iter();
        let found = formats.find_map(|section| for_subscriber(section, track));
        found.unwrap().payload_type
    }

    #[test]
    fn values_of_one_profile_are_equal() {
        let profile = |id| H264Profile::from_id(id).unwrap();
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
        for id in ["", "42e0", "42e01f0", "xxxxxx", "é0e01"] {
            assert_eq!(H264Profile::from_id(id), None, "{id}");
        }
    }

    #[test]
    fn a_viewer_gets_the_payload_type_of_the_streams_profile() {
        let chromium = "whep-chromium-156-mdns";
        for (fmtp, payload_type) in [
            ("profile-level-id=42e01f;packetization-mode=1", 108),
            ("profile-level-id=42c01e;packetization-mode=1", 108),
            ("profile-level-id=42001e;packetization-mode=1", 102),
            ("profile-level-id=4d001f;packetization-mode=1", 116),
            ("profile-level-id=42e01f", 114),
            ("", 104),
            // Not offered: any with mode 1.
            ("profile-level-id=640c1f;packetization-mode=1", 102),
            ("profile-level-id=64001f", 102),
        ] {
            assert_eq!(chosen(chromium, &h264(fmtp)), payload_type, "{fmtp}");
        }
    }

    #[test]
    fn a_viewer_without_mode_1_gets_the_stream_as_well() {
        let track = h264("profile-level-id=64001f;packetization-mode=1");
        assert_eq!(
            chosen("whep-gst-plugins-rs-0.15.4-whepclientsrc", &track),
            97
        );
    }

    #[test]
    fn other_codecs_need_the_same_profile() {
        let offer = fixtures::offer("whep-chromium-156-mdns").offer();
        let mut track = TrackInfo {
            codec: Codec::Vp9,
            ..h264("profile-id=2")
        };
        let chosen = |track: &TrackInfo| {
            for_subscriber(&offer.media[0], track).map(|format| format.payload_type)
        };
        assert_eq!(chosen(&track), Some(100));
        track.fmtp.clear();
        assert_eq!(chosen(&track), Some(98));
        track.fmtp = "profile-id=7".to_owned();
        assert_eq!(chosen(&track), None);
    }

    #[test]
    fn a_publishers_order_counts_within_the_policy() {
        let offer = fixtures::offer("whip-chromium-156").offer();
        let codec = |policy: &CodecPolicy| {
            let mut video = offer.media.iter().rev();
            video
                .find_map(|section| for_publisher(section, policy))
                .map(|(_, codec)| codec)
        };
        let mut policy = CodecPolicy::default();
        let video = offer.media.iter().position(|s| s.media == "video");
        assert_eq!(video, Some(1));
        assert_eq!(codec(&policy), Some(Codec::Vp8));
        policy.deprioritized = vec![Codec::Vp8];
        assert_eq!(codec(&policy), Some(Codec::H264));
        policy.allowed = vec![Codec::Vp8];
        assert_eq!(codec(&policy), Some(Codec::Vp8));
    }

    #[test]
    fn an_answer_to_a_publisher_keeps_what_a_receiver_may_say() {
        let answer = |codec, fmtp: &str| {
            let mut format = PayloadFormat::new(96);
            format.codec = Some(codec);
            format.fmtp = fmtp.to_owned();
            publisher_answer_fmtp(&format)
        };
        assert_eq!(
            answer(
                Codec::H264,
                "packetization-mode=1;sprop-parameter-sets=Z0LAHt==,aM48gA==;profile-level-id=42c01e"
            ),
            "packetization-mode=1;profile-level-id=42c01e"
        );
        assert_eq!(
            answer(
                Codec::Opus,
                "minptime=10;maxaveragebitrate=96000;stereo=1;sprop-stereo=1"
            ),
            "minptime=10;stereo=1"
        );
        assert_eq!(answer(Codec::Opus, "sprop-stereo=1"), "stereo=1");
        assert_eq!(
            answer(Codec::Opus, "sprop-stereo=0;useinbandfec=1"),
            "useinbandfec=1"
        );
        assert_eq!(answer(Codec::Vp8, "max-fs=12288;max-fr=60"), "");
    }
}
