//! The text of an answer, and what publishers and subscribers have in common on the way to it.
//!
//! An answer holds all of our candidates, since we can't trickle (RFC 9725, section 4.3.1), takes
//! one transport for all media (RFC 8843), and mirrors the offer's media sections in their order.

use std::fmt::{self, Write as _};

use super::candidate::Candidate;
use super::media_section::{Direction, ExtensionOffer, MediaSection};
use super::offer::Offer;
use super::payload_format::PayloadFormat;
use super::refusal::Refusal;
use super::session::{DtlsRole, Feedback, Fingerprint, IceCredentials};
use super::simulcast::RidOffer;
use crate::rtp::{Extension, ExtensionMap};
use crate::stream::StreamName;

/// Our side of a session.
#[derive(Clone, Copy, Debug)]
pub struct Local<'a> {
    /// Fresh credentials for this session.
    pub ice: &'a IceCredentials,
    /// Our certificate.
    pub fingerprint: &'a Fingerprint,
    /// Where we can be reached, the most useful first.
    pub candidates: &'a [Candidate],
    /// A random number for the `o=` line; its highest bit is not used.
    pub session_id: u64,
    /// The stream, which names the tracks of an answer to a subscriber.
    pub stream: &'a StreamName,
}

/// What an offer led to.
#[derive(Clone, PartialEq, Eq)]
pub struct Accepted<S> {
    /// The SDP answer, with CRLF line ends.
    pub answer: String,
    /// What both sides agreed on.
    pub spec: S,
    /// Our role in the DTLS handshake.
    pub dtls_role: DtlsRole,
    /// The client's ICE credentials.
    pub remote: IceCredentials,
    /// The certificate that the client must show.
    pub remote_fingerprint: Fingerprint,
}

impl<S: fmt::Debug> fmt::Debug for Accepted<S> {
    /// Without the answer, which holds our ICE password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted")
            .field("spec", &self.spec)
            .field("dtls_role", &self.dtls_role)
            .finish_non_exhaustive()
    }
}

/// How one media section of the offer is answered.
pub(super) enum SectionAnswer<'a> {
    /// Port 0: no audio or video, or disabled by the client itself.
    Rejected,
    /// In the bundle, but without media.
    Inactive,
    /// With media.
    Media(MediaAnswer<'a>),
}

/// A media section that carries something.
pub(super) struct MediaAnswer<'a> {
    pub(super) direction: Direction,
    /// The one payload type that is used.
    pub(super) format: &'a PayloadFormat,
    pub(super) fmtp: String,
    pub(super) rtx_payload_type: Option<u8>,
    pub(super) feedback: Feedback,
    pub(super) extensions: Vec<ExtensionOffer>,
    /// The layers that we take, when there are some.
    pub(super) layers: Vec<&'a RidOffer>,
    /// Our SSRCs, for media and retransmissions, when we send.
    pub(super) ssrcs: Option<(u32, Option<u32>)>,
}

/// What every session needs of its offer, whoever sends.
pub(super) fn check_transport(offer: &Offer) -> Result<DtlsRole, Refusal> {
    if offer.ice_lite {
        return Err(Refusal::IceLite);
    }
    let role = offer.setup.our_role().ok_or(Refusal::Setup)?;
    let active = || offer.media.iter().filter(|section| section.is_active());
    let needs_bundle = !offer.bundle.is_empty() || active().count() > 1;
    for section in active() {
        let Some(kind) = section.kind else { continue };
        let mut protocol = section.protocol.split('/');
        if !protocol.any(|part| part == "SAVPF" || part == "SAVP") {
            return Err(Refusal::NotEncrypted { kind });
        }
        if !section.rtcp_mux {
            return Err(Refusal::NoRtcpMux { kind });
        }
        if needs_bundle && !section.is_bundled {
            return Err(Refusal::NotBundled { kind });
        }
    }
    Ok(role)
}

/// The extensions of a section that pass `wanted`, and their ids.
pub(super) fn extensions(
    section: &MediaSection,
    wanted: impl Fn(&ExtensionOffer) -> bool,
) -> (Vec<ExtensionOffer>, ExtensionMap) {
    let mut map = ExtensionMap::default();
    let chosen: Vec<_> = section
        .extensions
        .iter()
        .filter(|offer| wanted(offer))
        .copied()
        .collect();
    for offer in &chosen {
        map.set(offer.extension, offer.id);
    }
    (chosen, map)
}

/// Whether subscribers may get an extension that a publisher sends. The rotation may not: HLS and
/// the viewers that don't know it would show the picture lying down, while a publisher whose
/// rotation is not negotiated turns the picture itself.
pub(super) fn is_forwarded(extension: Extension) -> bool {
    extension.is_end_to_end() && extension != Extension::VideoOrientation
}

/// FFmpeg reads no answer that is longer.
const MAX_BYTES: usize = 8191;

/// Writes the answer; `sections` has one entry for each of the offer's.
pub(super) fn write(
    offer: &Offer,
    local: &Local<'_>,
    role: DtlsRole,
    sections: &[SectionAnswer<'_>],
) -> Result<String, Refusal> {
    let mut answer = Answer(String::with_capacity(2048));
    answer.session(offer, local, sections);
    let mut is_first = true;
    for (offered, section) in offer.media.iter().zip(sections) {
        if matches!(section, SectionAnswer::Rejected) {
            answer.rejected(offered);
            continue;
        }
        match section {
            SectionAnswer::Media(media) => answer.media(offered, media, local),
            SectionAnswer::Inactive | SectionAnswer::Rejected => answer.inactive(offered),
        }
        answer.transport(offered, local, role);
        if is_first {
            // The transport of the first one is that of all.
            answer.candidates(local.candidates);
            is_first = false;
        }
    }
    let Answer(answer) = answer;
    if answer.len() > MAX_BYTES {
        return Err(Refusal::AnswerTooLong {
            bytes: answer.len(),
            max: MAX_BYTES,
        });
    }
    Ok(answer)
}

struct Answer(String);

/// Writing to a string can't fail, which [`std::fmt::Write`] doesn't know.
macro_rules! line {
    ($answer:expr, $($format:tt)*) => {{
        let _ = write!($answer.0, $($format)*);
        $answer.0.push_str("\r\n");
    }};
}

impl Answer {
    fn session(&mut self, offer: &Offer, local: &Local<'_>, sections: &[SectionAnswer<'_>]) {
        let session_id = local.session_id & (u64::MAX >> 1);
        line!(self, "v=0");
        line!(self, "o=- {session_id} 1 IN IP4 0.0.0.0");
        line!(self, "s=-");
        line!(self, "t=0 0");
        line!(self, "a=ice-lite");
        let mut mids = String::new();
        for (offered, section) in offer.media.iter().zip(sections) {
            if offered.is_bundled && !matches!(section, SectionAnswer::Rejected) {
                mids.push(' ');
                mids.push_str(&offered.mid);
            }
        }
        if !mids.is_empty() {
            line!(self, "a=group:BUNDLE{mids}");
        }
        if offer.extmap_allow_mixed {
            line!(self, "a=extmap-allow-mixed");
        }
    }

    /// RFC 3264, section 6: port 0, and one of the offered formats all the same.
    fn rejected(&mut self, offered: &MediaSection) {
        let MediaSection {
            media,
            protocol,
            first_format,
            ..
        } = offered;
        line!(self, "m={media} 0 {protocol} {first_format}");
        line!(self, "c=IN IP4 0.0.0.0");
        self.mid(offered);
        line!(self, "a=inactive");
    }

    fn inactive(&mut self, offered: &MediaSection) {
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
        self.mid(offered);
        line!(self, "a=inactive");
        self.rtpmap(format);
    }

    fn media(&mut self, offered: &MediaSection, answer: &MediaAnswer<'_>, local: &Local<'_>) {
        let MediaSection {
            media, protocol, ..
        } = offered;
        let format = answer.format;
        let payload_type = format.payload_type;
        match answer.rtx_payload_type {
            Some(rtx) => line!(self, "m={media} 9 {protocol} {payload_type} {rtx}"),
            None => line!(self, "m={media} 9 {protocol} {payload_type}"),
        }
        line!(self, "c=IN IP4 0.0.0.0");
        self.mid(offered);
        line!(self, "a={}", answer.direction.as_str());
        self.rtpmap(format);
        if !answer.fmtp.is_empty() {
            line!(self, "a=fmtp:{payload_type} {}", answer.fmtp);
        }
        self.feedback(payload_type, answer.feedback);
        if let Some(rtx) = answer.rtx_payload_type {
            line!(self, "a=rtpmap:{rtx} rtx/{}", format.clock_rate);
            line!(self, "a=fmtp:{rtx} apt={payload_type}");
        }
        for extension in &answer.extensions {
            self.extension(extension);
        }
        self.layers(&answer.layers, payload_type);
        if let Some((ssrc, rtx_ssrc)) = answer.ssrcs {
            let stream = local.stream;
            line!(self, "a=msid:{stream} {media}");
            if let Some(rtx_ssrc) = rtx_ssrc {
                line!(self, "a=ssrc-group:FID {ssrc} {rtx_ssrc}");
            }
            for ssrc in [Some(ssrc), rtx_ssrc].into_iter().flatten() {
                line!(self, "a=ssrc:{ssrc} cname:{stream}");
            }
        }
    }

    fn mid(&mut self, offered: &MediaSection) {
        if offered.has_mid {
            line!(self, "a=mid:{}", offered.mid);
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
    fn layers(&mut self, layers: &[&RidOffer], payload_type: u8) {
        if layers.is_empty() {
            return;
        }
        for rid in layers {
            let restrictions = rid.agreed(payload_type);
            let space = if restrictions.is_empty() { "" } else { " " };
            line!(self, "a=rid:{} recv{space}{restrictions}", rid.id);
        }
        let ids: Vec<&str> = layers.iter().map(|rid| rid.id.as_str()).collect();
        line!(self, "a=simulcast:recv {}", ids.join(";"));
    }

    fn transport(&mut self, offered: &MediaSection, local: &Local<'_>, role: DtlsRole) {
        let setup = match role {
            DtlsRole::Client => "active",
            DtlsRole::Server => "passive",
        };
        line!(self, "a=rtcp-mux");
        if offered.rtcp_rsize {
            line!(self, "a=rtcp-rsize");
        }
        line!(self, "a=ice-ufrag:{}", local.ice.ufrag);
        line!(self, "a=ice-pwd:{}", local.ice.pwd);
        line!(self, "a=fingerprint:sha-256 {}", local.fingerprint);
        line!(self, "a=setup:{setup}");
    }

    fn candidates(&mut self, candidates: &[Candidate]) {
        for candidate in candidates {
            line!(self, "a=candidate:{candidate}");
        }
        line!(self, "a=end-of-candidates");
    }
}
