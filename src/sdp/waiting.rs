//! The answer to a WHEP offer for a stream that nobody publishes yet: it takes every codec of the
//! offer that a publisher may use, so that the viewer is connected when one comes.
//!
//! Which track goes on which m-line, and with which payload type, is settled by
//! [`WaitingSpec::bind`], as often as publishers come and go.

use super::answer::{self, Accepted, Local, SectionAnswer};
use super::codec_choice::{self, CodecPolicy};
use super::leniency::Leniency;
use super::media_section::{Direction, MediaSection};
use super::offer::Offer;
use super::payload_format::PayloadFormat;
use super::redundancy;
use super::refusal::{CodecList, MediaKinds, Refusal};
use super::session::{SubscribedTrack, SubscriberSpec};
use super::subscribe;
use super::writer::{FormatAnswer, MediaAnswer};
use crate::rtp::{ExtensionMap, MediaKind};
use crate::stream::TrackInfo;

/// What a viewer that waits for its stream can be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingSpec {
    /// One m-line of each kind at most, as streams have one track of each.
    lines: Vec<WaitingLine>,
    leniency: Leniency,
}

/// An m-line that is answered `sendonly` before there is anything to send.
#[derive(Clone, Debug, PartialEq, Eq)]
struct WaitingLine {
    kind: MediaKind,
    mid: String,
    /// With redundant audio in front of Opus, where that was agreed on.
    formats: Vec<PayloadFormat>,
    /// For each of the formats, the payload type of its retransmissions.
    rtx_payload_types: Vec<Option<u8>>,
    ssrc: u32,
    /// Set when one of the formats has retransmissions.
    rtx_ssrc: Option<u32>,
    extensions: ExtensionMap,
}

/// Accepts a subscriber of a stream whose tracks are not known yet. Publishers may use the codecs
/// that `policy` allows. `next_ssrc` gives SSRCs that this session doesn't use yet.
///
/// # Errors
///
/// See [`Refusal`]; among them, an m-line that has none of the codecs which may come.
pub fn accept_waiting(
    offer: &Offer,
    local: &Local<'_>,
    policy: &CodecPolicy,
    next_ssrc: &mut dyn FnMut() -> u32,
) -> Result<Accepted<WaitingSpec>, Refusal> {
    let mut sections = Vec::with_capacity(offer.media.len());
    let mut lines: Vec<WaitingLine> = Vec::new();
    let dtls_role = answer::check_transport(offer, local)?;
    for section in &offer.media {
        let Some(kind) = section.kind.filter(|_| section.is_active()) else {
            sections.push(SectionAnswer::Rejected);
            continue;
        };
        let is_taken = lines.iter().any(|line| line.kind == kind);
        if is_taken || !section.direction.receives() {
            sections.push(SectionAnswer::Inactive);
            continue;
        }
        let (line, answer) = accept_section(section, kind, local, policy, next_ssrc)?;
        lines.push(line);
        sections.push(SectionAnswer::Media(answer));
    }
    if lines.is_empty() {
        return Err(Refusal::NothingReceived);
    }
    Ok(Accepted {
        answer: answer::write(offer, local, dtls_role, &sections)?,
        spec: WaitingSpec {
            lines,
            leniency: local.leniency,
        },
        dtls_role,
        remote: offer.ice.clone(),
        remote_fingerprint: offer.fingerprint,
    })
}

fn accept_section<'a>(
    section: &'a MediaSection,
    kind: MediaKind,
    local: &Local<'_>,
    policy: &CodecPolicy,
    next_ssrc: &mut dyn FnMut() -> u32,
) -> Result<(WaitingLine, MediaAnswer<'a>), Refusal> {
    let may_come = |format: &&PayloadFormat| {
        format
            .codec
            .is_some_and(|codec| policy.allowed.contains(&codec))
    };
    let formats: Vec<_> = section
        .formats
        .iter()
        .filter(may_come)
        .flat_map(|format| {
            let red = redundancy::wanted(local, &section.formats, format);
            subscribe::with_red(section, subscribe::answer_format(section, format), red)
        })
        .collect();
    if formats.is_empty() {
        return Err(Refusal::NoCommonCodec {
            kind,
            offered: CodecList::offered(&section.formats, None),
            accepted: CodecList::of(codec_choice::allowed(kind, policy)),
        });
    }
    let (extensions, ids) = subscribe::extensions(section);
    let rtx_payload_types: Vec<_> = formats.iter().map(|one| one.rtx_payload_type).collect();
    let ssrc = next_ssrc();
    let rtx_ssrc = rtx_payload_types
        .iter()
        .any(Option::is_some)
        .then(next_ssrc);
    let line = WaitingLine {
        kind,
        mid: section.mid.clone(),
        formats: formats.iter().map(FormatAnswer::agreed).collect(),
        rtx_payload_types,
        ssrc,
        rtx_ssrc,
        extensions: ids,
    };
    let answer = MediaAnswer {
        direction: Direction::SendOnly,
        formats,
        extensions,
        layers: Vec::new(),
        ssrcs: Some((ssrc, rtx_ssrc)),
    };
    Ok((line, answer))
}

impl WaitingSpec {
    /// What the viewer gets of a stream with `tracks`. A track that it has no m-line for is left
    /// out, and an m-line without a track stays silent.
    ///
    /// # Errors
    ///
    /// [`Refusal::CodecNotReceived`] when the viewer has the m-line but not the codec,
    /// [`Refusal::NoTrack`] when nothing is left to send.
    pub fn bind(&self, tracks: &[TrackInfo]) -> Result<SubscriberSpec, Refusal> {
        let mut bound = Vec::with_capacity(self.lines.len());
        for line in &self.lines {
            if let Some(track) = tracks.iter().find(|track| track.kind() == line.kind) {
                bound.push(line.bind(track, self.leniency)?);
            }
        }
        if bound.is_empty() {
            return Err(Refusal::NoTrack(MediaKinds::of(
                tracks.iter().map(TrackInfo::kind),
            )));
        }
        Ok(SubscriberSpec { tracks: bound })
    }
}

impl WaitingLine {
    fn bind(&self, track: &TrackInfo, leniency: Leniency) -> Result<SubscribedTrack, Refusal> {
        let format = codec_choice::for_subscriber(&self.formats, track, leniency)
            .ok_or_else(|| Refusal::codec_not_received(track, &self.formats))?;
        let mut formats = self.formats.iter().zip(&self.rtx_payload_types);
        let rtx_payload_type = formats
            .find(|(candidate, _)| candidate.payload_type == format.payload_type)
            .and_then(|(_, rtx)| *rtx);
        Ok(SubscribedTrack {
            track: track.id,
            kind: self.kind,
            clock_rate: format.clock_rate,
            mid: self.mid.clone(),
            payload_type: format.payload_type,
            red_payload_type: redundancy::red_of(&self.formats, format).map(|red| red.payload_type),
            rtx_payload_type,
            ssrc: self.ssrc,
            rtx_ssrc: self.rtx_ssrc.filter(|_| rtx_payload_type.is_some()),
            extensions: self.extensions,
            feedback: format.feedback,
        })
    }
}
