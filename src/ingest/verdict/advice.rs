//! The findings in words: what is wrong, what comes of it, and the setting to change.

use std::fmt;

use super::report::Defect;

/// What to do about a defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What comes of it if nothing is done.
    pub effect: &'static str,
    /// The setting of OBS.
    pub obs: &'static str,
    /// What a page in a browser does, or who sends with GStreamer or FFmpeg.
    pub others: &'static str,
}

impl Defect {
    /// A name for programs: it never changes, whatever the words do.
    pub fn name(&self) -> &'static str {
        match self {
            Self::BFrames { .. } => "b_frames",
            Self::LongKeyframeInterval { .. } => "long_keyframe_interval",
            Self::IrregularKeyframes { .. } => "irregular_keyframes",
            Self::KeyframeRequestsIgnored { .. } => "keyframe_requests_ignored",
            Self::OtherProfile { .. } => "other_profile",
            Self::HigherLevel { .. } => "higher_level",
            Self::NoParameterSets { .. } => "no_parameter_sets",
            Self::ResolutionChanges { .. } => "resolution_changes",
            Self::FrameRateSwings { .. } => "frame_rate_swings",
            Self::BitrateSwings { .. } => "bitrate_swings",
            Self::Loss { .. } => "loss",
            Self::Jitter { .. } => "jitter",
            Self::SilentTrack { .. } => "silent_track",
            Self::ClockDrift { .. } => "clock_drift",
            Self::NoSenderReports => "no_sender_reports",
            Self::NoRepair => "no_repair",
            Self::NoKeyframeRequests => "no_keyframe_requests",
        }
    }

    /// What to do about it.
    pub fn advice(&self) -> Advice {
        let (effect, obs, others) = match self {
            Self::BFrames { .. } => (
                "browsers show frames in the order in which they come: the picture jerks back and forth",
                "Settings > Output > Streaming: B-frames 0 (x264: Tune zerolatency)",
                "a browser sends none; GStreamer: x264enc tune=zerolatency or bframes=0; FFmpeg: -bf 0",
            ),
            Self::LongKeyframeInterval { .. } => (
                "viewers wait for a picture after losses, and HLS segments get as long as the interval",
                "Settings > Output > Streaming: Keyframe Interval 2 s (0 leaves it to the encoder)",
                "answer keyframe requests; GStreamer: key-int-max of two seconds; FFmpeg: -g of two seconds",
            ),
            Self::IrregularKeyframes { .. } => (
                "HLS segments differ in length, and players buffer for the longest",
                "Settings > Output > Streaming: Keyframe Interval 2 s, and x264 option scenecut=0",
                "GStreamer: x264enc option-string=scenecut=0; FFmpeg: -sc_threshold 0",
            ),
            Self::KeyframeRequestsIgnored { .. } => (
                "after a loss beyond repair the picture stays broken until the next keyframe",
                "OBS answers no requests: Settings > Output > Streaming: Keyframe Interval 1 or 2 s",
                "let the encoder answer PLI and FIR, or send a keyframe each one or two seconds",
            ),
            Self::OtherProfile { .. } => (
                "players that took the profile of the offer may show nothing",
                "Settings > Output > Streaming: Profile baseline, or constrained_high where all viewers take it",
                "set profile-level-id to what the encoder makes, or the encoder's profile to the offer's",
            ),
            Self::HigherLevel { .. } => (
                "players with weak hardware may show nothing",
                "Settings > Video: a smaller Output Resolution or fewer FPS",
                "set profile-level-id to what the encoder makes, or send a smaller picture",
            ),
            Self::NoParameterSets { .. } => (
                "viewers who come later, and HLS, have nothing to begin with",
                "choose another encoder: this one sends its parameter sets once only",
                "GStreamer: rtph264pay config-interval=-1 (rtph265pay too); FFmpeg: -bsf:v dump_extra",
            ),
            Self::ResolutionChanges { .. } => (
                "each change begins a new part of the HLS playlist, and players may flicker",
                "Settings > Output > Streaming: a Bitrate that the connection carries",
                "set degradationPreference to maintain-resolution, or a lower maxBitrate",
            ),
            Self::FrameRateSwings { .. } => (
                "motion is not smooth",
                "View > Stats: look for frames missed by rendering lag or skipped by encoding lag; a faster preset or fewer FPS help",
                "set degradationPreference to maintain-framerate; close what takes the processor",
            ),
            Self::BitrateSwings { .. } => (
                "viewers' links must carry the peaks",
                "Settings > Output > Streaming: Rate Control CBR",
                "set maxBitrate of the encoding; GStreamer: x264enc pass=cbr with vbv-buf-capacity",
            ),
            Self::Loss { .. } => (
                "repairs take time, and what is beyond repair freezes the picture",
                "Settings > Output > Streaming: a lower Bitrate; use a cable in place of Wi-Fi",
                "a lower maxBitrate; use a cable in place of Wi-Fi",
            ),
            Self::Jitter { .. } => (
                "players wait longer before they show a frame",
                "use a cable in place of Wi-Fi, and a lower Bitrate",
                "use a cable in place of Wi-Fi, and a lower maxBitrate",
            ),
            Self::SilentTrack { .. } => (
                "viewers get one half only",
                "Audio Mixer and Sources: look whether the source is muted, hidden or gone",
                "look whether the MediaStreamTrack has ended or is muted",
            ),
            Self::ClockDrift { .. } => (
                "sound and picture drift apart in long broadcasts",
                "Settings > Audio: Sample Rate 48 kHz, and the same in the system's settings of the device",
                "use one device for sound and picture, or one clock in the pipeline",
            ),
            Self::NoSenderReports => (
                "sound and picture are put together by their arrival, which is near but not exact",
                "nothing can be set: a newer version may send them",
                "send RTCP sender reports: GStreamer's rtpbin and webrtcbin do",
            ),
            Self::NoRepair => (
                "whatever is lost stays lost until the next keyframe",
                "a newer version of OBS (30.2 and later offer NACK)",
                "offer a=rtcp-fb:* nack",
            ),
            Self::NoKeyframeRequests => (
                "after a loss beyond repair the picture stays broken until the next keyframe",
                "Settings > Output > Streaming: Keyframe Interval 1 or 2 s",
                "offer a=rtcp-fb:* nack pli",
            ),
        };
        Advice {
            effect,
            obs,
            others,
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f32| 100.0 * share;
        match self {
            Self::BFrames { depth, share } => {
                write!(f, "B-frames: {:.0} % of the frames", percent(*share))?;
                match depth {
                    0 => f.write_str(", stamped in the order of decoding"),
                    _ => write!(f, ", each shown ahead of up to {depth} that came before it"),
                }
            }
            Self::LongKeyframeInterval { interval } => {
                write!(
                    f,
                    "{:.1} s from one keyframe to the next",
                    interval.as_secs_f32()
                )
            }
            Self::IrregularKeyframes { shortest, longest } => write!(
                f,
                "keyframes come {:.1} to {:.1} s after one another",
                shortest.as_secs_f32(),
                longest.as_secs_f32()
            ),
            Self::KeyframeRequestsIgnored { times } => {
                write!(f, "no keyframe came within 3 s of a request, {times} times")
            }
            Self::OtherProfile { agreed, sent } => {
                write!(f, "the offer says H264 {agreed}, the bitstream is {sent}")
            }
            Self::HigherLevel { agreed, sent } => {
                write!(
                    f,
                    "the offer says level {agreed}, the bitstream is of level {sent}"
                )
            }
            Self::NoParameterSets { missing } => {
                write!(f, "keyframes come without {missing}")
            }
            Self::ResolutionChanges { count } => {
                write!(
                    f,
                    "the size of the picture changed {count} times in a minute"
                )
            }
            Self::FrameRateSwings { lowest, highest } => {
                write!(
                    f,
                    "the frame rate goes from {lowest:.0} to {highest:.0} per second"
                )
            }
            Self::BitrateSwings { lowest, highest } => write!(
                f,
                "the bitrate goes from {} to {} kbit/s",
                lowest / 1_000,
                highest / 1_000
            ),
            Self::Loss {
                share,
                beyond_repair,
            } => write!(
                f,
                "{:.1} % of the packets are lost on the way, {:.2} % beyond repair",
                percent(*share),
                percent(*beyond_repair)
            ),
            Self::Jitter { jitter } => {
                write!(f, "packets come with {} ms of jitter", jitter.as_millis())
            }
            Self::SilentTrack { kind, other, ever } => {
                let what = if *ever { "no more" } else { "no" };
                write!(f, "there is {other} but {what} {kind}")
            }
            Self::ClockDrift { ppm } => write!(
                f,
                "the media's clock is {} ppm too {}",
                ppm.unsigned_abs(),
                if *ppm > 0 { "fast" } else { "slow" }
            ),
            Self::NoSenderReports => f.write_str("no sender reports come"),
            Self::NoRepair => f.write_str("the offer has no generic NACK for video"),
            Self::NoKeyframeRequests => f.write_str("the offer has neither PLI nor FIR for video"),
        }
    }
}
