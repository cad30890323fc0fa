//! Our own offer, for players that can't make one or whose offer holds nothing of use
//! (draft-ietf-wish-whep, section 4.2, status 406), and what comes of the player's answer to it.
//!
//! It offers each track of the stream on an m-line of its own, in the codec and format that the
//! publisher sends, Opus also with redundancy. A player may reject an m-line and watch the rest.

use std::fmt;

use super::answer::{self, Local};
use super::codec_choice;
use super::leniency::Leniency;
use super::media_section::{Direction, ExtensionOffer, MediaSection};
use super::payload_format::PayloadFormat;
use super::player_answer::Answer;
use super::redundancy;
use super::refusal::{CodecList, MediaKinds, Refusal};
use super::session::{
    DtlsRole, Feedback, Fingerprint, IceCredentials, SubscribedTrack, SubscriberSpec,
};
use super::writer::{FormatAnswer, Head, MediaAnswer, Writer};
use crate::rtp::{Codec, Extension, ExtensionMap, MediaKind};
use crate::stream::TrackInfo;

/// The session information is for people; what is longer is cut.
const MAX_REASON_BYTES: usize = 512;

/// An offer to a player, and what must be known of it when the answer comes.
#[derive(Clone, PartialEq, Eq)]
pub struct CounterOffer {
    /// The SDP offer, with CRLF line ends.
    pub sdp: String,
    lines: Vec<OfferedTrack>,
    leniency: Leniency,
}

impl fmt::Debug for CounterOffer {
    /// Without the offer, which holds our ICE password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CounterOffer")
            .field("lines", &self.lines)
            .finish_non_exhaustive()
    }
}

/// What a player's answer led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// What both sides agreed on.
    pub spec: SubscriberSpec,
    /// Our role in the DTLS handshake.
    pub dtls_role: DtlsRole,
    /// The player's ICE credentials.
    pub remote: IceCredentials,
    /// The certificate that the player must show.
    pub remote_fingerprint: Fingerprint,
}

/// One m-line of our offer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OfferedTrack {
    track: TrackInfo,
    mid: String,
    format: PayloadFormat,
    /// The same sound with redundancy.
    red: Option<PayloadFormat>,
    rtx_payload_type: Option<u8>,
    ssrc: u32,
    rtx_ssrc: Option<u32>,
    extensions: Vec<ExtensionOffer>,
}

/// Offers `tracks` to a player. The `reason` says in plain words why we don't answer, when there is
/// one, such as the text of the [`Refusal`] of its own offer. `next_ssrc` gives SSRCs that this
/// session doesn't use yet.
///
/// # Errors
///
/// [`Refusal::AnswerTooLong`] when our candidates leave no room for the rest.
pub fn counter_offer(
    tracks: &[TrackInfo],
    local: &Local<'_>,
    reason: Option<&str>,
    next_ssrc: &mut dyn FnMut() -> u32,
) -> Result<CounterOffer, Refusal> {
    let lines: Vec<_> = tracks
        .iter()
        .enumerate()
        .map(|(index, track)| OfferedTrack::new(index, track, local, next_ssrc))
        .collect();
    let reason = reason.map(plain_words).filter(|reason| !reason.is_empty());
    let mut sdp = Writer::begin(local, reason.as_deref());
    sdp.bundle(lines.iter().map(|line| line.mid.as_str()));
    for (index, line) in lines.iter().enumerate() {
        let head = line.head();
        sdp.media(&head, &line.media(), local.stream);
        sdp.transport(&head, local, "actpass");
        // RFC 8858, section 3: it belongs to offers, next to a=rtcp-mux.
        sdp.rtcp_mux_only();
        if index == 0 {
            sdp.candidates(local.candidates);
        }
    }
    Ok(CounterOffer {
        sdp: sdp.finish()?,
        lines,
        leniency: local.leniency,
    })
}

impl CounterOffer {
    /// Accepts the answer to this offer.
    ///
    /// # Errors
    ///
    /// See [`Refusal`]. The offer stands, so that the player may answer once more.
    pub fn accept(&self, answer: &Answer) -> Result<Agreed, Refusal> {
        if answer.ice_lite {
            return Err(Refusal::IceLite);
        }
        if answer.media.len() != self.lines.len() {
            return Err(Refusal::AnswerSections {
                offered: self.lines.len(),
                answered: answer.media.len(),
            });
        }
        answer::check_sections(&answer.media, &answer.bundle)?;
        let mut tracks = Vec::with_capacity(self.lines.len());
        for (line, section) in self.lines.iter().zip(&answer.media) {
            tracks.extend(line.accept(section, self.leniency)?);
        }
        if tracks.is_empty() {
            let offered = self.lines.iter().map(|line| line.track.kind());
            return Err(Refusal::NothingAnswered(MediaKinds::of(offered)));
        }
        Ok(Agreed {
            spec: SubscriberSpec { tracks },
            dtls_role: answer.our_role,
            remote: answer.ice.clone(),
            remote_fingerprint: answer.fingerprint,
        })
    }
}

impl OfferedTrack {
    fn new(
        index: usize,
        track: &TrackInfo,
        local: &Local<'_>,
        next_ssrc: &mut dyn FnMut() -> u32,
    ) -> Self {
        let is_video = track.kind() == MediaKind::Video;
        let payload_type = payload_type(track.codec);
        let format = PayloadFormat {
            payload_type,
            name: track.codec.name().to_owned(),
            codec: Some(track.codec),
            clock_rate: track.codec.clock_rate(),
            channels: match track.codec {
                Codec::Opus => Some(2),
                _ => Some(track.channels).filter(|channels| *channels > 1),
            },
            fmtp: codec_choice::offer_fmtp(track),
            feedback: Feedback {
                nack: is_video,
                pli: is_video,
                fir: is_video,
                transport_cc: is_video,
                remb: is_video,
            },
        };
        let has_red = track.codec == Codec::Opus && local.audio_redundancy;
        let red = has_red.then(|| redundancy::format_of(&format, RED_PAYLOAD_TYPE));
        let rtx_payload_type = is_video.then_some(payload_type + 1);
        Self {
            track: track.clone(),
            mid: index.to_string(),
            format,
            red,
            rtx_payload_type,
            ssrc: next_ssrc(),
            rtx_ssrc: rtx_payload_type.map(|_| next_ssrc()),
            extensions: extensions(track.kind()),
        }
    }

    fn head(&self) -> Head<'_> {
        Head {
            media: self.track.kind().as_str(),
            protocol: "UDP/TLS/RTP/SAVPF",
            mid: Some(&self.mid),
            rtcp_rsize: true,
        }
    }

    fn media(&self) -> MediaAnswer<'_> {
        MediaAnswer {
            direction: Direction::SendOnly,
            // The plain one first: who knows nothing of redundancy goes by that.
            formats: std::iter::once(&self.format)
                .chain(&self.red)
                .map(|format| FormatAnswer {
                    format,
                    fmtp: format.fmtp.clone(),
                    rtx_payload_type: self.rtx_payload_type,
                    feedback: format.feedback,
                })
                .collect(),
            extensions: self.extensions.clone(),
            layers: Vec::new(),
            ssrcs: Some((self.ssrc, self.rtx_ssrc)),
        }
    }

    /// What `section` takes of this line; `None` when it rejects it.
    fn accept(
        &self,
        section: &MediaSection,
        leniency: Leniency,
    ) -> Result<Option<SubscribedTrack>, Refusal> {
        let kind = self.track.kind();
        if section.kind != Some(kind) || (section.has_mid && section.mid != self.mid) {
            return Err(Refusal::AnswerOrder {
                kind,
                mid: self.mid.clone(),
            });
        }
        if section.is_disabled || section.direction == Direction::Inactive {
            return Ok(None);
        }
        if !section.direction.receives() {
            return Err(Refusal::NotReceiving { kind });
        }
        // An answer may have its own payload types for the same codec (RFC 3264, section 6.1).
        let ours = section.formats.iter().find(|format| {
            format.payload_type == self.format.payload_type && format.codec == self.format.codec
        });
        let format = ours
            .or_else(|| codec_choice::for_subscriber(&section.formats, &self.track, leniency))
            .ok_or_else(|| Refusal::CodecNotAnswered {
                kind,
                sent: CodecList::sent(&self.track),
                answered: CodecList::offered(&section.formats, Some(self.track.codec)),
            })?;
        let rtx_payload_type = section
            .rtx_of(format.payload_type)
            .filter(|_| self.rtx_payload_type.is_some());
        let red = redundancy::red_of(&section.formats, format).filter(|_| self.red.is_some());
        let offered = self.format.feedback;
        let extensions = self.agreed_extensions(section);
        // Numbers come with padding and repetitions, which are RTX.
        let transport_cc = offered.transport_cc
            && format.feedback.transport_cc
            && rtx_payload_type.is_some()
            && extensions.id(Extension::TransportSequenceNumber).is_some();
        Ok(Some(SubscribedTrack {
            track: self.track.id,
            kind,
            clock_rate: self.format.clock_rate,
            mid: self.mid.clone(),
            payload_type: format.payload_type,
            red_payload_type: red.map(|red| red.payload_type),
            rtx_payload_type,
            ssrc: self.ssrc,
            rtx_ssrc: self.rtx_ssrc.filter(|_| rtx_payload_type.is_some()),
            extensions,
            feedback: Feedback {
                nack: offered.nack && format.feedback.nack,
                pli: offered.pli && format.feedback.pli,
                fir: offered.fir && format.feedback.fir,
                transport_cc,
                // Of who can tell more precisely it is not wanted.
                remb: offered.remb && format.feedback.remb && !transport_cc,
            },
        }))
    }

    /// Those of ours that the answer repeats with our id; an answer can't give other ones
    /// (RFC 8285, section 6).
    fn agreed_extensions(&self, section: &MediaSection) -> ExtensionMap {
        let mut map = ExtensionMap::default();
        let mut formats = section.formats.iter();
        let has_feedback = formats.any(|format| format.feedback.transport_cc);
        for offered in &self.extensions {
            // Numbers are for who tells of them.
            if offered.extension == Extension::TransportSequenceNumber && !has_feedback {
                continue;
            }
            let answered = section.extension(offered.extension);
            let is_taken = |answered: &&ExtensionOffer| {
                answered.id == offered.id && answered.direction.is_none_or(Direction::receives)
            };
            if answered.filter(is_taken).is_some() {
                map.set(offered.extension, offered.id);
            }
        }
        map
    }
}

/// The static ones (RFC 3551, section 6), and for the rest those that most players use themselves.
fn payload_type(codec: Codec) -> u8 {
    match codec {
        Codec::Pcmu => 0,
        Codec::Pcma => 8,
        Codec::G722 => 9,
        Codec::Opus => 111,
        Codec::H264 | Codec::H265 | Codec::Vp8 | Codec::Vp9 | Codec::Av1 => 96,
    }
}

/// Those that we pass on, and numbers for the feedback on pictures. One id means the same on all m-lines of a bundle
/// (RFC 8843, section 14).
fn extensions(kind: MediaKind) -> Vec<ExtensionOffer> {
    const IDS: [(Extension, u8); 7] = [
        (Extension::AudioLevel, 1),
        (Extension::AbsCaptureTime, 2),
        (Extension::PlayoutDelay, 3),
        (Extension::VideoContentType, 4),
        (Extension::ColorSpace, 5),
        (Extension::DependencyDescriptor, 6),
        (Extension::TransportSequenceNumber, 7),
    ];
    let fits = |extension| match extension {
        Extension::AudioLevel => kind == MediaKind::Audio,
        Extension::AbsCaptureTime => true,
        _ => kind == MediaKind::Video,
    };
    IDS.into_iter()
        .filter(|(extension, _)| fits(*extension))
        .map(|(extension, id)| ExtensionOffer {
            id,
            extension,
            direction: None,
        })
        .collect()
}

/// That of redundant audio, as browsers have it.
const RED_PAYLOAD_TYPE: u8 = 63;

/// One line of text: a reason may hold names that came from an offer.
fn plain_words(reason: &str) -> String {
    let is_break = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let mut plain: String = reason
        .chars()
        .map(|c| if is_break(c) { ' ' } else { c })
        .collect();
    let mut end = plain.len().min(MAX_REASON_BYTES);
    while !plain.is_char_boundary(end) {
        end -= 1;
    }
    plain.truncate(end);
    plain.trim().to_owned()
}
