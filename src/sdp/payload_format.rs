//! One payload type of a media section: `a=rtpmap`, `a=fmtp` and `a=rtcp-fb` together.

use super::session::Feedback;
use crate::rtp::{Codec, MediaKind};

/// A payload type and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadFormat {
    /// 0 to 127.
    pub payload_type: u8,
    /// The encoding name as the offer spells it; empty when there is no `a=rtpmap`.
    pub name: String,
    /// The codec, when it is one that we forward and may be used with RTCP on the same port.
    pub codec: Option<Codec>,
    /// The RTP clock rate in Hz.
    pub clock_rate: u32,
    /// The third field of the `a=rtpmap`, when it has one.
    pub channels: Option<u8>,
    /// The format parameters, empty when there are none.
    pub fmtp: String,
    /// The RTCP feedback that it is offered with.
    pub feedback: Feedback,
}

impl PayloadFormat {
    /// A payload type of an `m=` line, with what RFC 3551 says of it (section 6).
    pub(super) fn new(payload_type: u8) -> Self {
        let (name, clock_rate) = match payload_type {
            0 => ("PCMU", 8000),
            8 => ("PCMA", 8000),
            9 => ("G722", 8000),
            _ => ("", 0),
        };
        Self {
            payload_type,
            name: name.to_owned(),
            codec: None,
            clock_rate,
            channels: None,
            fmtp: String::new(),
            feedback: Feedback::default(),
        }
    }

    /// Reads the value of an `a=rtpmap` behind the payload type: `name/clock[/channels]`.
    pub(super) fn set_rtpmap(&mut self, value: &str) -> Option<()> {
        let mut fields = value.split('/');
        let name = fields.next().filter(|name| !name.is_empty())?;
        self.clock_rate = fields.next()?.parse().ok()?;
        self.channels = match fields.next() {
            None => None,
            Some(channels) => Some(channels.parse().ok()?),
        };
        self.name = name.to_owned();
        Some(())
    }

    /// Settles the codec, once all lines are read.
    pub(super) fn identify(&mut self, kind: MediaKind) {
        self.codec = Codec::from_name(&self.name).filter(|codec| {
            codec.kind() == kind && codec.clock_rate() == self.clock_rate && self.can_be_muxed()
        });
    }

    /// Whether packets can be told from RTCP: those of 64 to 95 can't (RFC 5761, section 4).
    pub(super) fn can_be_muxed(&self) -> bool {
        !(64..=95).contains(&self.payload_type)
    }

    /// The value of a format parameter; names are compared without case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        parameter(&self.fmtp, name)
    }

    /// The number of audio channels; 1 for video. Opus has two whatever it says (RFC 7587, section 7).
    pub fn channel_count(&self) -> u8 {
        match self.codec {
            Some(Codec::Opus) => 2,
            _ => self.channels.unwrap_or(1).max(1),
        }
    }
}

/// The parameters of an `a=fmtp` without its payload type, in order.
pub(super) fn parameters(fmtp: &str) -> impl Iterator<Item = (&str, &str)> {
    fmtp.split(';')
        .map(|parameter| parameter.trim())
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
        .map(|(name, value)| (name.trim_end(), value.trim_start()))
}

/// The value of one of [`parameters`].
pub(crate) fn parameter<'a>(fmtp: &'a str, name: &str) -> Option<&'a str> {
    parameters(fmtp)
        .find(|(candidate, _)| candidate.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// Adds the value of an `a=rtcp-fb` behind the payload type; unknown feedback is passed over.
pub(super) fn add_feedback(feedback: &mut Feedback, value: &str) {
    let mut words = value.split_ascii_whitespace();
    match (words.next(), words.next()) {
        (Some("nack"), None) => feedback.nack = true,
        (Some("nack"), Some("pli")) => feedback.pli = true,
        (Some("ccm"), Some("fir")) => feedback.fir = true,
        (Some("goog-remb"), None) => feedback.remb = true,
        (Some("transport-cc"), None) => feedback.transport_cc = true,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(payload_type: u8, rtpmap: &str, kind: MediaKind) -> PayloadFormat {
        let mut format = PayloadFormat::new(payload_type);
        format.set_rtpmap(rtpmap).unwrap();
        format.identify(kind);
        format
    }

    #[test]
    fn a_codec_needs_its_kind_its_clock_and_a_usable_payload_type() {
        use MediaKind::{Audio, Video};
        assert_eq!(format(96, "h264/90000", Video).codec, Some(Codec::H264));
        assert_eq!(format(96, "h264/90000", Audio).codec, None);
        assert_eq!(format(96, "H264/8000", Video).codec, None);
        assert_eq!(format(72, "H264/90000", Video).codec, None);
        assert_eq!(format(35, "H264/90000", Video).codec, Some(Codec::H264));
    }

    #[test]
    fn static_payload_types_need_no_rtpmap() {
        let mut format = PayloadFormat::new(8);
        format.identify(MediaKind::Audio);
        assert_eq!(format.codec, Some(Codec::Pcma));
        assert_eq!(format.channel_count(), 1);
    }

    #[test]
    fn an_opus_without_channels_has_two() {
        let opus = format(101, "OPUS/48000", MediaKind::Audio);
        assert_eq!((opus.channels, opus.channel_count()), (None, 2));
    }

    #[test]
    fn parameters_are_found_without_case_and_with_spaces() {
        let fmtp = "a=1; Profile-Level-ID = 42e01f ;;flag";
        assert_eq!(parameter(fmtp, "profile-level-id"), Some("42e01f"));
        assert_eq!(parameter(fmtp, "flag"), Some(""));
        assert_eq!(parameter(fmtp, "b"), None);
    }
}
