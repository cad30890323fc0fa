//! The answer to a WHEP offer (draft-ietf-wish-whep): we send the stream's tracks on the m-lines
//! that can take them.
//!
//! An m-line for which the stream has no track is answered `inactive`; one whose codecs don't fit
//! the track refuses the whole offer. What a subscriber can't use of a packet on the way to it is
//! not negotiated: `mid`, for one, since SSRCs are announced. Transport-wide numbers are agreed on
//! with everyone who offers them, since a stream may get layers at any time; packets carry them only
//! while there is something to choose.

use super::answer::{self, Accepted, Local, SectionAnswer};
use super::codec_choice;
use super::media_section::{Direction, ExtensionOffer, MediaSection};
use super::offer::Offer;
use super::payload_format::PayloadFormat;
use super::redundancy;
use super::refusal::{MediaKinds, Refusal};
use super::session::{Feedback, SubscribedTrack, SubscriberSpec};
use super::writer::{FormatAnswer, MediaAnswer};
use crate::rtp::{Extension, ExtensionMap, MediaKind};
use crate::stream::TrackInfo;

/// Accepts a subscriber of a stream with `tracks`. `next_ssrc` gives SSRCs that this session
/// doesn't use yet.
///
/// # Errors
///
/// See [`Refusal`]. There is no answer that leaves out a track which the subscriber asked for.
pub fn accept_subscriber(
    offer: &Offer,
    local: &Local<'_>,
    tracks: &[TrackInfo],
    next_ssrc: &mut dyn FnMut() -> u32,
) -> Result<Accepted<SubscriberSpec>, Refusal> {
    let mut sections = Vec::with_capacity(offer.media.len());
    let mut subscribed: Vec<SubscribedTrack> = Vec::new();
    let dtls_role = answer::check_transport(offer, local)?;
    if !offer.media.iter().any(asks) {
        return Err(Refusal::NothingReceived);
    }
    for section in &offer.media {
        let Some(kind) = section.kind.filter(|_| section.is_active()) else {
            sections.push(SectionAnswer::Rejected);
            continue;
        };
        let track = tracks.iter().find(|track| {
            let is_taken = subscribed.iter().any(|other| other.track == track.id);
            track.kind() == kind && !is_taken && section.direction.receives()
        });
        let Some(track) = track else {
            sections.push(SectionAnswer::Inactive);
            continue;
        };
        let (track, answer) = accept_section(section, track, local, next_ssrc)?;
        subscribed.push(track);
        sections.push(SectionAnswer::Media(answer));
    }
    if subscribed.is_empty() {
        return Err(Refusal::NoTrack(MediaKinds::of(
            tracks.iter().map(TrackInfo::kind),
        )));
    }
    Ok(Accepted {
        answer: answer::write(offer, local, dtls_role, &sections)?,
        spec: SubscriberSpec { tracks: subscribed },
        dtls_role,
        remote: offer.ice.clone(),
        remote_fingerprint: offer.fingerprint,
    })
}

/// Whether the subscriber wants something on this m-line.
fn asks(section: &MediaSection) -> bool {
    section.is_active() && section.direction.receives()
}

fn accept_section<'a>(
    section: &'a MediaSection,
    track: &TrackInfo,
    local: &Local<'_>,
    next_ssrc: &mut dyn FnMut() -> u32,
) -> Result<(SubscribedTrack, MediaAnswer<'a>), Refusal> {
    let format = codec_choice::for_subscriber(&section.formats, track, local.leniency)
        .ok_or_else(|| Refusal::codec_not_received(track, &section.formats))?;
    let answered = FormatAnswer {
        fmtp: codec_choice::subscriber_answer_fmtp(format, track),
        ..answer_format(section, format)
    };
    let red = redundancy::wanted(local, &section.formats, format);
    let (extensions, ids) = extensions(section);
    let rtx_payload_type = answered.rtx_payload_type.filter(|_| red.is_none());
    let ssrc = next_ssrc();
    let rtx_ssrc = rtx_payload_type.map(|_| next_ssrc());
    let subscribed = SubscribedTrack {
        track: track.id,
        kind: track.kind(),
        clock_rate: format.clock_rate,
        mid: section.mid.clone(),
        payload_type: format.payload_type,
        red_payload_type: red.map(|red| red.payload_type),
        rtx_payload_type,
        ssrc,
        rtx_ssrc,
        extensions: ids,
        feedback: answered.feedback,
    };
    let answer = MediaAnswer {
        direction: Direction::SendOnly,
        formats: with_red(section, answered, red).collect(),
        extensions,
        layers: Vec::new(),
        ssrcs: Some((ssrc, rtx_ssrc)),
    };
    Ok((subscribed, answer))
}

/// How a payload type is answered to whom it is sent.
pub(super) fn answer_format<'a>(
    section: &'a MediaSection,
    format: &'a PayloadFormat,
) -> FormatAnswer<'a> {
    let numbered = takes_numbers(section);
    FormatAnswer {
        format,
        // The subscriber's own words: clients look for their own profile in the answer.
        fmtp: format.fmtp.clone(),
        rtx_payload_type: section.rtx_of(format.payload_type),
        feedback: Feedback {
            transport_cc: format.feedback.transport_cc && numbered,
            // Only who can't tell more precisely is asked for it.
            remb: format.feedback.remb && section.kind == Some(MediaKind::Video) && !numbered,
            ..format.feedback
        },
    }
}

/// A payload type, and in front of it the one that carries the same with redundancy, where there is one: then there are
/// no retransmissions with a payload type of their own, as they would need one for each of the two.
pub(super) fn with_red<'a>(
    section: &'a MediaSection,
    answered: FormatAnswer<'a>,
    red: Option<&'a PayloadFormat>,
) -> impl Iterator<Item = FormatAnswer<'a>> {
    let has_red = red.is_some();
    let red = red.map(|red| answer_format(section, red));
    red.into_iter().chain([answered]).map(move |answered| {
        let rtx_payload_type = answered.rtx_payload_type.filter(|_| !has_red);
        FormatAnswer {
            rtx_payload_type,
            ..answered
        }
    })
}

/// The extensions that are answered, and their ids.
pub(super) fn extensions(section: &MediaSection) -> (Vec<ExtensionOffer>, ExtensionMap) {
    answer::extensions(section, |offer| match offer.extension {
        Extension::TransportSequenceNumber => takes_numbers(section),
        _ => is_extension_wanted(offer),
    })
}

/// Whether packets of the m-line may carry transport-wide numbers: of video alone, since only video has
/// layers, and where the subscriber would both take them and tell of them.
fn takes_numbers(section: &MediaSection) -> bool {
    let offered = section.extension(Extension::TransportSequenceNumber);
    section.kind == Some(MediaKind::Video)
        && offered.is_some_and(|offer| offer.direction.is_none_or(Direction::receives))
        && section
            .formats
            .iter()
            .any(|format| format.feedback.transport_cc)
}

/// Whether we have the extension to give and the subscriber would take it.
fn is_extension_wanted(offer: &ExtensionOffer) -> bool {
    let is_received = offer.direction.is_none_or(Direction::receives);
    answer::is_forwarded(offer.extension) && is_received
}
