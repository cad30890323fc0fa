//! The answer to a WHIP offer (RFC 9725): we receive all that is offered, or refuse the offer. An m-line that
//! the publisher itself keeps `inactive` is answered so (RFC 3264, section 6.1), as long as another sends.
//!
//! Of simulcast (RFC 8853) every layer is taken: OBS stops where one is left out. `abs-send-time` is
//! not answered: arrival times go back by `transport-cc`, and nobody else would read it.

use super::answer::{self, Accepted, Local, SectionAnswer};
use super::codec_choice::{self, CodecPolicy};
use super::media_section::{Direction, ExtensionOffer, MediaSection};
use super::offer::Offer;
use super::redundancy;
use super::refusal::{CodecList, Refusal};
use super::session::{Feedback, PublishedLayer, PublishedTrack, PublisherSpec};
use super::simulcast::{self, RidOffer};
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
    let mut silent = None;
    let dtls_role = answer::check_transport(offer, local)?;
    for section in &offer.media {
        let Some(kind) = section.kind.filter(|_| section.is_active()) else {
            sections.push(SectionAnswer::Rejected);
            continue;
        };
        let direction = section.direction;
        if direction == Direction::Inactive {
            silent.get_or_insert(Refusal::NotSending { kind, direction });
            sections.push(SectionAnswer::Inactive);
            continue;
        }
        if !direction.sends() {
            return Err(Refusal::NotSending { kind, direction });
        }
        if tracks.iter().any(|track| track.info.kind() == kind) {
            return Err(Refusal::TwoOfAKind(kind));
        }
        // One track of each kind, so the number fits.
        let id = TrackId(tracks.len() as u8);
        let (track, answer) = accept_section(section, kind, id, local, policy)?;
        tracks.push(track);
        sections.push(SectionAnswer::Media(answer));
    }
    if tracks.is_empty() {
        return Err(silent.unwrap_or(Refusal::NothingPublished));
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
    local: &Local<'_>,
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
        // Publishers are told when their packets arrived, and no bitrate.
        remb: false,
        ..format.feedback
    };
    let red = redundancy::wanted(local, &section.formats, format);
    // What a retransmission holds could not be told apart.
    let rtx_payload_type = section
        .rtx_of(format.payload_type)
        .filter(|_| red.is_none());
    let rids = offered_layers(section, format.payload_type);
    let (extensions, ids) = answer::extensions(section, |offer| {
        let is_wanted = match offer.extension {
            Extension::Mid => true,
            Extension::RtpStreamId => !rids.is_empty(),
            Extension::RepairedRtpStreamId => !rids.is_empty() && rtx_payload_type.is_some(),
            Extension::TransportSequenceNumber => transport_cc,
            other => answer::is_forwarded(other),
        };
        is_wanted && is_sent(offer)
    });
    let mut layers = layers(section, &rids);
    if rtx_payload_type.is_none() {
        layers.iter_mut().for_each(|layer| layer.rtx_ssrc = None);
    }
    let track = PublishedTrack {
        info: TrackInfo {
            id,
            codec,
            fmtp: format.fmtp.clone(),
            channels: format.channel_count(),
        },
        mid: section.mid.clone(),
        payload_type: format.payload_type,
        red_payload_type: red.map(|red| red.payload_type),
        rtx_payload_type,
        layers,
        extensions: ids,
        feedback,
    };
    // The first is what the publisher sends.
    let red = red.map(|red| FormatAnswer {
        format: red,
        fmtp: red.fmtp.clone(),
        rtx_payload_type: None,
        feedback: Feedback {
            transport_cc: transport_cc && red.feedback.transport_cc,
            remb: false,
            ..red.feedback
        },
    });
    let plain = FormatAnswer {
        format,
        fmtp: codec_choice::publisher_answer_fmtp(format),
        rtx_payload_type,
        feedback,
    };
    let answer = MediaAnswer {
        direction: Direction::RecvOnly,
        formats: red.into_iter().chain([plain]).collect(),
        extensions,
        layers: rids,
        ssrcs: None,
    };
    Ok((track, answer))
}

/// Whether the publisher would send the extension.
fn is_sent(offer: &ExtensionOffer) -> bool {
    offer.direction.is_none_or(Direction::sends)
}

/// The layers that are taken. None where their packets could not be told apart: then the client
/// sends one, as it does for a server that knows no simulcast (RFC 8853, section 5.3.2).
fn offered_layers(section: &MediaSection, payload_type: u8) -> Vec<&RidOffer> {
    let Some(streams) = &section.simulcast_send else {
        return Vec::new();
    };
    let rids = &section.send_rids;
    let layers = simulcast::layers(streams, rids, payload_type);
    let named = section
        .extension(Extension::RtpStreamId)
        .is_some_and(is_sent);
    if !named && announced(section).len() != layers.len() {
        return Vec::new();
    }
    layers.into_iter().map(|index| &rids[index]).collect()
}

/// The layers with what the offer says of their SSRCs. Of several SSRCs without layers, the first
/// pair is the one that stays.
fn layers(section: &MediaSection, rids: &[&RidOffer]) -> Vec<PublishedLayer> {
    let mut announced = announced(section);
    // Which SSRC is whose is not said. Clients that list as many as they have layers keep the order
    // of these; a name in the packet counts for more.
    if !rids.is_empty() && announced.len() != rids.len() {
        announced.clear();
    }
    let mut announced = announced.into_iter();
    let mut layer = |rid: Option<&RidOffer>| {
        let (ssrc, rtx_ssrc) = announced.next().unwrap_or_default();
        PublishedLayer {
            rid: rid.map(|rid| rid.id.clone()),
            ssrc,
            rtx_ssrc,
        }
    };
    if rids.is_empty() {
        return vec![layer(None)];
    }
    rids.iter().map(|rid| layer(Some(rid))).collect()
}

/// The SSRCs of media and of its retransmissions.
fn announced(section: &MediaSection) -> Vec<(Option<u32>, Option<u32>)> {
    let pairs = section.fid_groups.iter();
    let pairs: Vec<_> = pairs
        .map(|(media, repair)| (Some(*media), Some(*repair)))
        .collect();
    match pairs.is_empty() {
        true => section
            .ssrcs
            .iter()
            .map(|ssrc| (Some(*ssrc), None))
            .collect(),
        false => pairs,
    }
}
