//! The text of our descriptions: answers, and offers to players that can't make one.
//!
//! Writes what it is told, in the order that [`super::answer`] and [`super::counter_offer`] ask for;
//! it decides nothing but the form of a line.

use std::fmt::Write as _;

use super::answer::Local;
use super::candidate::Candidate;
use super::media_section::{Direction, ExtensionOffer, MediaSection};
use super::payload_format::PayloadFormat;
use super::refusal::Refusal;
use super::session::Feedback;
use super::simulcast::RidOffer;
use crate::stream::StreamName;

/// FFmpeg reads no answer that is longer.
const MAX_BYTES: usize = 8191;

/// A media section that carries something.
pub(super) struct MediaAnswer<'a> {
    pub(super) direction: Direction,
    /// The payload types that may be used; one, unless the stream's codec is not known yet.
    pub(super) formats: Vec<FormatAnswer<'a>>,
    pub(super) extensions: Vec<ExtensionOffer>,
    /// The layers that we take, when there are some.
    pub(super) layers: Vec<&'a RidOffer>,
    /// Our SSRCs, for media and retransmissions, when we send.
    pub(super) ssrcs: Option<(u32, Option<u32>)>,
}

/// A payload type and what belongs to it.
pub(super) struct FormatAnswer<'a> {
    pub(super) format: &'a PayloadFormat,
    pub(super) fmtp: String,
    pub(super) rtx_payload_type: Option<u8>,
    pub(super) feedback: Feedback,
}

/// What the sections of offers and answers begin with.
pub(super) struct Head<'a> {
    pub(super) media: &'a str,
    pub(super) protocol: &'a str,
    pub(super) mid: Option<&'a str>,
    pub(super) rtcp_rsize: bool,
}

impl<'a> Head<'a> {
    pub(super) fn of(offered: &'a MediaSection) -> Self {
        Self {
            media: &offered.media,
            protocol: &offered.protocol,
            mid: offered.has_mid.then_some(offered.mid.as_str()),
            rtcp_rsize: offered.rtcp_rsize,
        }
    }
}

/// A description in the making.
pub(super) struct Writer(String);

/// Writing to a string can't fail, which [`std::fmt::Write`] doesn't know.
macro_rules! line {
    ($writer:expr, $($format:tt)*) => {{
        let _ = write!($writer.0, $($format)*);
        $writer.0.push_str("\r\n");
    }};
}

impl FormatAnswer<'_> {
    /// The payload type as both sides have it from now on.
    pub(super) fn agreed(&self) -> PayloadFormat {
        PayloadFormat {
            feedback: self.feedback,
            ..self.format.clone()
        }
    }
}

impl Writer {
    /// The session level up to its attributes. What is said `about` it is for people.
    pub(super) fn begin(local: &Local<'_>, about: Option<&str>) -> Self {
        let mut writer = Self(String::with_capacity(2048));
        let session_id = local.session_id & (u64::MAX >> 1);
        line!(writer, "v=0");
        line!(writer, "o=- {session_id} 1 IN IP4 0.0.0.0");
        line!(writer, "s=-");
        if let Some(about) = about {
            line!(writer, "i={about}");
        }
        line!(writer, "t=0 0");
        line!(writer, "a=ice-lite");
        writer
    }

    pub(super) fn finish(self) -> Result<String, Refusal> {
        let Self(text) = self;
        if text.len() > MAX_BYTES {
            return Err(Refusal::AnswerTooLong {
                bytes: text.len(),
                max: MAX_BYTES,
            });
        }
        Ok(text)
    }

    pub(super) fn bundle<'a>(&mut self, mids: impl IntoIterator<Item = &'a str>) {
        let mut mids = mids.into_iter().peekable();
        if mids.peek().is_some() {
            self.0.push_str("a=group:BUNDLE");
            for mid in mids {
                let _ = write!(self.0, " {mid}");
            }
            self.0.push_str("\r\n");
        }
    }

    pub(super) fn extmap_allow_mixed(&mut self) {
        line!(self, "a=extmap-allow-mixed");
    }

    /// RFC 3264, section 6: port 0, and one of the offered formats all the same.
    pub(super) fn rejected(&mut self, offered: &MediaSection) {
        let MediaSection {
            media,
            protocol,
            first_format,
            ..
        } = offered;
        line!(self, "m={media} 0 {protocol} {first_format}");
        line!(self, "c=IN IP4 0.0.0.0");
        self.mid(Head::of(offered).mid);
        line!(self, "a=inactive");
    }

    pub(super) fn inactive(&mut self, offered: &MediaSection) {
        let MediaSection {
            media,
            protocol,
            formats,
            ..
        } = offered;
        let known = formats.iter().find(|format| format.codec.is_some());
        let Some(format) = known.or(formats.first()) else {
            return;
        };
        line!(self, "m={media} 9 {protocol} {}", format.payload_type);
        line!(self, "c=IN IP4 0.0.0.0");
        self.mid(Head::of(offered).mid);
        line!(self, "a=inactive");
        self.rtpmap(format);
    }

    pub(super) fn media(&mut self, head: &Head<'_>, answer: &MediaAnswer<'_>, stream: &StreamName) {
        let Head {
            media, protocol, ..
        } = head;
        let _ = write!(self.0, "m={media} 9 {protocol}");
        for answered in &answer.formats {
            let _ = write!(self.0, " {}", answered.format.payload_type);
            if let Some(rtx) = answered.rtx_payload_type {
                let _ = write!(self.0, " {rtx}");
            }
        }
        self.0.push_str("\r\n");
        line!(self, "c=IN IP4 0.0.0.0");
        self.mid(head.mid);
        line!(self, "a={}", answer.direction.as_str());
        for answered in &answer.formats {
            self.format(answered);
        }
        for extension in &answer.extensions {
            self.extension(extension);
        }
        self.layers(answer);
        if let Some((ssrc, rtx_ssrc)) = answer.ssrcs {
            line!(self, "a=msid:{stream} {media}");
            if let Some(rtx_ssrc) = rtx_ssrc {
                line!(self, "a=ssrc-group:FID {ssrc} {rtx_ssrc}");
            }
            for ssrc in [Some(ssrc), rtx_ssrc].into_iter().flatten() {
                line!(self, "a=ssrc:{ssrc} cname:{stream}");
            }
        }
    }

    fn format(&mut self, answered: &FormatAnswer<'_>) {
        let format = answered.format;
        let payload_type = format.payload_type;
        self.rtpmap(format);
        if !answered.fmtp.is_empty() {
            line!(self, "a=fmtp:{payload_type} {}", answered.fmtp);
        }
        self.feedback(payload_type, answered.feedback);
        if let Some(rtx) = answered.rtx_payload_type {
            line!(self, "a=rtpmap:{rtx} rtx/{}", format.clock_rate);
            line!(self, "a=fmtp:{rtx} apt={payload_type}");
        }
    }

    fn mid(&mut self, mid: Option<&str>) {
        if let Some(mid) = mid {
            line!(self, "a=mid:{mid}");
        }
    }

    /// As the offer spells it: GStreamer compares names with their case.
    fn rtpmap(&mut self, format: &PayloadFormat) {
        let PayloadFormat {
            payload_type,
            name,
            clock_rate,
            ..
        } = format;
        if name.is_empty() {
            return;
        }
        match format.channels {
            Some(channels) => line!(
                self,
                "a=rtpmap:{payload_type} {name}/{clock_rate}/{channels}"
            ),
            None => line!(self, "a=rtpmap:{payload_type} {name}/{clock_rate}"),
        }
    }

    fn feedback(&mut self, payload_type: u8, feedback: Feedback) {
        for (is_agreed, name) in [
            (feedback.transport_cc, "transport-cc"),
            (feedback.remb, "goog-remb"),
            (feedback.fir, "ccm fir"),
            (feedback.nack, "nack"),
            (feedback.pli, "nack pli"),
        ] {
            if is_agreed {
                line!(self, "a=rtcp-fb:{payload_type} {name}");
            }
        }
    }

    /// A direction is answered with the other one (RFC 8285, section 6).
    fn extension(&mut self, offer: &ExtensionOffer) {
        let ExtensionOffer { id, extension, .. } = offer;
        let direction = match offer.direction {
            Some(Direction::SendOnly) => "/recvonly",
            Some(Direction::RecvOnly) => "/sendonly",
            Some(Direction::SendRecv | Direction::Inactive) | None => "",
        };
        line!(self, "a=extmap:{id}{direction} {}", extension.uri());
    }

    /// RFC 8853, section 5.3: what was offered to be sent is received.
    fn layers(&mut self, answer: &MediaAnswer<'_>) {
        let (Some(answered), false) = (answer.formats.first(), answer.layers.is_empty()) else {
            return;
        };
        for rid in &answer.layers {
            let restrictions = rid.agreed(answered.format.payload_type);
            let space = if restrictions.is_empty() { "" } else { " " };
            line!(self, "a=rid:{} recv{space}{restrictions}", rid.id);
        }
        let ids: Vec<&str> = answer.layers.iter().map(|rid| rid.id.as_str()).collect();
        line!(self, "a=simulcast:recv {}", ids.join(";"));
    }

    pub(super) fn transport(&mut self, head: &Head<'_>, local: &Local<'_>, setup: &str) {
        line!(self, "a=rtcp-mux");
        if head.rtcp_rsize {
            line!(self, "a=rtcp-rsize");
        }
        line!(self, "a=ice-ufrag:{}", local.ice.ufrag);
        line!(self, "a=ice-pwd:{}", local.ice.pwd);
        line!(self, "a=fingerprint:sha-256 {}", local.fingerprint);
        line!(self, "a=setup:{setup}");
    }

    pub(super) fn rtcp_mux_only(&mut self) {
        line!(self, "a=rtcp-mux-only");
    }

    pub(super) fn candidates(&mut self, candidates: &[Candidate]) {
        for candidate in candidates {
            line!(self, "a=candidate:{candidate}");
        }
        line!(self, "a=end-of-candidates");
    }
}
