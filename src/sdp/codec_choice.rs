//! Which of the offered payload types is used: the publisher's own preference under our policy,
//! and for a subscriber the one that fits the stream best.

use super::leniency::Leniency;
use super::media_section::MediaSection;
use super::payload_format::{PayloadFormat, parameter, parameters};
use super::profile::{H264, profile_parameter};
use crate::rtp::{Codec, MediaKind};
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

/// The codecs of a kind that publishers may use.
pub(super) fn allowed(kind: MediaKind, policy: &CodecPolicy) -> impl Iterator<Item = Codec> {
    let allowed = policy.allowed.iter().copied();
    allowed.filter(move |codec| codec.kind() == kind)
}

/// Which of a subscriber's payload types it gets `track` with.
///
/// H264 may be matched leniently. Other codecs must agree on the profile, where a decoder for one
/// can't make sense of another.
pub(super) fn for_subscriber<'a>(
    formats: &'a [PayloadFormat],
    track: &TrackInfo,
    leniency: Leniency,
) -> Option<&'a PayloadFormat> {
    formats
        .iter()
        .filter(|format| format.codec == Some(track.codec))
        .filter_map(|format| Some((format, distance(track, format, leniency)?)))
        .min_by_key(|(_, distance)| *distance)
        .map(|(format, _)| format)
}

/// The parameters that an answer to a publisher keeps of its offer, as a receiver's own: those that
/// name the variant of the codec, and what a publisher asks us to want.
pub(super) fn publisher_answer_fmtp(format: &PayloadFormat) -> String {
    let mut kept = format.codec.map_or(&[][..], variant_parameters).to_vec();
    if format.codec == Some(Codec::Opus) {
        // Of one who only sends, what it would like to receive can only be meant for the answer: that nothing is sent
        // in silence, or how much. What it can play at most is something else: Firefox always says that.
        kept.extend(["cbr", "maxaveragebitrate", "usedtx"]);
    }
    let mut answer = keep(&format.fmtp, &kept);
    // Who says only that stereo will come gets the wish for it (RFC 7587, section 6.1).
    let announced = format.parameter("sprop-stereo") == Some("1");
    if format.codec == Some(Codec::Opus) && announced && format.parameter("stereo").is_none() {
        answer.push("stereo=1".to_owned());
    }
    answer.join(";")
}

/// The parameters that an answer to a subscriber has: its own words, as clients look for their own profile in it. What
/// an Opus sender says of itself is said of the publisher.
pub(super) fn subscriber_answer_fmtp(format: &PayloadFormat, track: &TrackInfo) -> String {
    if format.codec != Some(Codec::Opus) {
        return format.fmtp.clone();
    }
    let is_senders = |name: &str| SENDERS.iter().any(|own| own.eq_ignore_ascii_case(name));
    let words = parameters(&format.fmtp).filter(|(name, _)| !is_senders(name));
    let mut answer: Vec<_> = words
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    answer.extend(keep(&track.fmtp, &SENDERS));
    answer.join(";")
}

/// What a sender of Opus says of what it sends (RFC 7587, section 6.1).
const SENDERS: [&str; 2] = ["sprop-maxcapturerate", "sprop-stereo"];

/// The parameters of a track for an offer of ours: those that name the variant of the codec. The
/// publisher's parameter sets are left out, since they come in the stream.
pub(super) fn offer_fmtp(track: &TrackInfo) -> String {
    let mut kept = variant_parameters(track.codec).to_vec();
    if track.codec == Codec::Opus {
        kept.extend(SENDERS);
    }
    keep(&track.fmtp, &kept).join(";")
}

fn keep(fmtp: &str, kept: &[&str]) -> Vec<String> {
    parameters(fmtp)
        .filter(|(name, _)| kept.iter().any(|keep| keep.eq_ignore_ascii_case(name)))
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

fn variant_parameters(codec: Codec) -> &'static [&'static str] {
    match codec {
        Codec::H264 => &[
            "level-asymmetry-allowed",
            "packetization-mode",
            "profile-level-id",
        ],
        Codec::H265 => &["profile-id", "tier-flag", "level-id", "tx-mode"],
        Codec::Vp9 => &["profile-id"],
        Codec::Av1 => &["profile", "level-idx", "tier"],
        Codec::Opus => &["minptime", "stereo", "useinbandfec"],
        Codec::Vp8 | Codec::Pcmu | Codec::Pcma | Codec::G722 => &[],
    }
}

/// Whether a subscriber that agreed on `negotiated` can be sent `other` in its place, by the measure
/// of `for_subscriber`.
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
fn distance(track: &TrackInfo, format: &PayloadFormat, leniency: Leniency) -> Option<u8> {
    match track.codec {
        Codec::H264 => {
            let (sent, offered) = (H264::of(&track.fmtp), H264::of(&format.fmtp));
            let fits = (leniency.any_h264_profile || sent.profile.is_decoded_by(offered.profile))
                && (leniency.any_h264_packetization || sent.mode <= offered.mode);
            fits.then_some(match offered {
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
        let found = formats
            .find_map(|section| for_subscriber(&section.formats, track, Leniency::default()));
        found.unwrap().payload_type
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
    fn strictly_a_viewer_gets_h264_only_as_it_offered() {
        let section = |fixture: &str| {
            let mut media = fixtures::offer(fixture).offer().media.into_iter();
            media.find(|section| section.media == "video").unwrap()
        };
        let whepclientsrc = section("whep-gst-plugins-rs-0.15.4-whepclientsrc").formats;
        let chromium = section("whep-chromium-156-mdns").formats;
        let strict = Leniency {
            any_h264_profile: false,
            any_h264_packetization: false,
            ..Leniency::default()
        };
        let only_profile = Leniency {
            any_h264_packetization: true,
            ..strict
        };
        for (formats, fmtp, leniency, is_taken) in [
            // It offers 42e016 without a mode.
            (&whepclientsrc, "profile-level-id=42e01f", strict, true),
            (
                &whepclientsrc,
                "profile-level-id=42e01f;packetization-mode=1",
                strict,
                false,
            ),
            (
                &whepclientsrc,
                "profile-level-id=42e01f;packetization-mode=1",
                only_profile,
                true,
            ),
            (
                &whepclientsrc,
                "profile-level-id=64001f",
                only_profile,
                false,
            ),
            (
                &chromium,
                "profile-level-id=64001f;packetization-mode=1",
                strict,
                false,
            ),
            (
                &chromium,
                "profile-level-id=42c034;packetization-mode=1",
                strict,
                true,
            ),
            (
                &chromium,
                "profile-level-id=4d0028;packetization-mode=1",
                strict,
                true,
            ),
        ] {
            let found = for_subscriber(formats, &h264(fmtp), leniency);
            assert_eq!(found.is_some(), is_taken, "{fmtp}, {leniency:?}");
            assert!(for_subscriber(formats, &h264(fmtp), Leniency::default()).is_some());
        }
    }

    #[test]
    fn other_codecs_need_the_same_profile() {
        let offer = fixtures::offer("whep-chromium-156-mdns").offer();
        let mut track = TrackInfo {
            codec: Codec::Vp9,
            ..h264("profile-id=2")
        };
        let chosen = |track: &TrackInfo| {
            for_subscriber(&offer.media[0].formats, track, Leniency::default())
                .map(|format| format.payload_type)
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
            "minptime=10;maxaveragebitrate=96000;stereo=1"
        );
        assert_eq!(
            answer(
                Codec::Opus,
                "maxplaybackrate=16000;cbr=1;sprop-maxcapturerate=16000"
            ),
            "cbr=1"
        );
        assert_eq!(answer(Codec::Opus, "sprop-stereo=1"), "stereo=1");
        assert_eq!(
            answer(Codec::Opus, "sprop-stereo=0;useinbandfec=1"),
            "useinbandfec=1"
        );
        assert_eq!(
            answer(Codec::Opus, "minptime=10;useinbandfec=1;usedtx=1"),
            "minptime=10;useinbandfec=1;usedtx=1"
        );
        assert_eq!(answer(Codec::Vp8, "max-fs=12288;max-fr=60"), "");
    }

    #[test]
    fn an_answer_to_a_viewer_tells_what_the_publisher_sends() {
        let answer = |codec, offered: &str, published: &str| {
            let mut format = PayloadFormat::new(96);
            format.codec = Some(codec);
            format.fmtp = offered.to_owned();
            let track = TrackInfo {
                codec,
                ..h264(published)
            };
            subscriber_answer_fmtp(&format, &track)
        };
        let offered = "minptime=10;useinbandfec=1;stereo=1;maxplaybackrate=16000";
        assert_eq!(answer(Codec::Opus, offered, "stereo=1;usedtx=1"), offered);
        assert_eq!(
            answer(Codec::Opus, "stereo=1; Sprop-Stereo=0", "sprop-stereo=1"),
            "stereo=1;sprop-stereo=1"
        );
        assert_eq!(answer(Codec::Opus, "sprop-stereo=1", ""), "");
        assert_eq!(
            answer(Codec::Opus, "", "sprop-maxcapturerate=16000"),
            "sprop-maxcapturerate=16000"
        );
        assert_eq!(answer(Codec::H264, "a=1; b", "c=2"), "a=1; b");
    }
}
