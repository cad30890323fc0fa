//! The answer to a WHIP offer (RFC 9725): we receive all that is offered, or refuse the offer.
//!
//! Simulcast is not answered yet, so that a browser that offers layers sends one (RFC 8853,
//! section 5.3.2). `abs-send-time` is not answered either: arrival times go back by
//! `transport-cc`, and nobody else would read it.

use super::answer::{self, Accepted, Local, SectionAnswer};
use super::codec_choice::{self, CodecPolicy};
use super::media_section::{Direction, ExtensionOffer, MediaSection};
use super::offer::Offer;
use super::refusal::{CodecList, Refusal};
use super::session::{Feedback, PublishedTrack, PublisherSpec};
use super::writer::{FormatAnswer, MediaAnswer};
use crate::rtp::{Extension, MediaKind};
use crate::stream::{TrackId, TrackInfo};

/// Accepts a publisher: one codec and its retransmissions for each m-line.
///
/// # Errors
///
/// See [`Refusal`]. There is no partly successful answer (RFC 9725, section 4.2).
pub fn accept_publisher(
    offer: &Offer,
    local: &Local<'_>,
    policy: &CodecPolicy,
) -> Result<Accepted<PublisherSpec>, Refusal> {
    let mut sections = Vec::with_capacity(offer.media.len());
    let mut tracks: Vec<PublishedTrack> = Vec::new();
    let dtls_role = answer::check_transport(offer, local)?;
    for section in &offer.media {
        let Some(kind) = section.kind.filter(|_| section.is_active()) else {
            sections.push(SectionAnswer::Rejected);
            continue;
        };
        if !section.direction.sends() {
            let direction = section.direction;
            return Err(Refusal::NotSending { kind, direction });
        }
        if tracks.iter().any(|track| track.info.kind() == kind) {
            return Err(Refusal::TwoOfAKind(kind));
        }
        // One track of each kind, so the number fits.
        let (track, answer) = accept_section(section, kind, TrackId(tracks.len() as u8), policy)?;
        tracks.push(track);
        sections.push(SectionAnswer::Media(answer));
    }
    if tracks.is_empty() {
        return Err(Refusal::NothingPublished);
    }
    Ok(Accepted {
        answer: answer::write(offer, local, dtls_role, &sections)?,
        spec: PublisherSpec { tracks },
        dtls_role,
        remote: offer.ice.clone(),
        remote_fingerprint: offer.fingerprint,
    })
}

fn accept_section<'a>(
    section: &'a MediaSection,
    kind: MediaKind,
    id: TrackId,
    policy: &CodecPolicy,
) -> Result<(PublishedTrack, MediaAnswer<'a>), Refusal> {
    let (format, codec) =
        codec_choice::for_publisher(section, policy).ok_or_else(|| Refusal::NoCommonCodec {
            kind,
            offered: CodecList::offered(&section.formats, None),
            accepted: CodecList::of(codec_choice::allowed(kind, policy)),
        })?;
    // Transport-wide feedback needs its sequence numbers, and they need the feedback.
    let transport_cc = format.feedback.transport_cc
        && section
            .extension(Extension::TransportSequenceNumber)
            .is_some_and(is_sent);
    let feedback = Feedback {
        transport_cc,
        ..format.feedback
    };
    let (extensions, ids) = answer::extensions(section, |offer| {
        let is_wanted = match offer.extension {
            Extension::Mid => true,
            Extension::TransportSequenceNumber => transport_cc,
            other => answer::is_forwarded(other),
        };
        is_wanted && is_sent(offer)
    });
    let rtx_payload_type = section.rtx_of(format.payload_type);
    let (ssrc, rtx_ssrc) = announced_ssrcs(section);
    let track = PublishedTrack {
        info: TrackInfo {
            id,
            codec,
            fmtp: format.fmtp.clone(),
            channels: format.channel_count(),
        },
        mid: section.mid.clone(),
        payload_type: format.payload_type,
        rtx_payload_type,
        ssrc,
        rtx_ssrc: rtx_ssrc.filter(|_| rtx_payload_type.is_some()),
        extensions: ids,
        feedback,
    };
    let answer = MediaAnswer {
        direction: Direction::RecvOnly,
        formats: vec![FormatAnswer {
            format,
            fmtp: codec_choice::publisher_answer_fmtp(format),
            rtx_payload_type,
            feedback,
        }],
        extensions,
        ssrcs: None,
    };
    Ok((track, answer))
}

/// Whether the publisher would send the extension.
fn is_sent(offer: &ExtensionOffer) -> bool {
    offer.direction.is_none_or(Direction::sends)
}

/// The SSRCs of media and of its retransmissions. Of several (layers, which we didn't ask for) the
/// first pair is the one that stays.
fn announced_ssrcs(section: &MediaSection) -> (Option<u32>, Option<u32>) {
    match section.fid_groups.first() {
        Some(&(media, repair)) => (Some(media), Some(repair)),
        None => (section.ssrcs.first().copied(), None),
    }
}
