//! What publishers and subscribers have in common on the way to an answer.
//!
//! An answer holds all of our candidates, since we can't trickle (RFC 9725, section 4.3.1), takes
//! one transport for all media (RFC 8843), and mirrors the offer's media sections in their order.

use std::fmt;

use super::candidate::Candidate;
use super::leniency::Leniency;
use super::media_section::{ExtensionOffer, MediaSection};
use super::offer::Offer;
use super::refusal::Refusal;
use super::session::{DtlsRole, Fingerprint, IceCredentials};
use super::transport_attributes::Setup;
use super::writer::{Head, MediaAnswer, Writer};
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
    /// Which rules the other side may bend.
    pub leniency: Leniency,
    /// Whether Opus comes and goes with redundancy (RFC 2198) where the other side offers or takes it.
    pub audio_redundancy: bool,
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

/// What every session needs of its offer, whoever sends.
pub(super) fn check_transport(offer: &Offer, local: &Local<'_>) -> Result<DtlsRole, Refusal> {
    if offer.ice_lite {
        return Err(Refusal::IceLite);
    }
    if offer.setup == Setup::Passive && !local.leniency.passive_setup {
        return Err(Refusal::PassiveSetup);
    }
    let role = offer.setup.our_role().ok_or(Refusal::Setup)?;
    check_sections(&offer.media, &offer.bundle)?;
    Ok(role)
}

/// The part of it that answers need as well.
pub(super) fn check_sections(media: &[MediaSection], bundle: &[String]) -> Result<(), Refusal> {
    let active = || media.iter().filter(|section| section.is_active());
    let needs_bundle = !bundle.is_empty() || active().count() > 1;
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
    Ok(())
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

/// Writes the answer; `sections` has one entry for each of the offer's.
pub(super) fn write(
    offer: &Offer,
    local: &Local<'_>,
    role: DtlsRole,
    sections: &[SectionAnswer<'_>],
) -> Result<String, Refusal> {
    let mut answer = Writer::begin(local, None);
    let answered = offer.media.iter().zip(sections);
    answer.bundle(answered.filter_map(|(offered, section)| {
        let is_in = offered.is_bundled && !matches!(section, SectionAnswer::Rejected);
        is_in.then_some(offered.mid.as_str())
    }));
    if offer.extmap_allow_mixed {
        answer.extmap_allow_mixed();
    }
    let mut is_first = true;
    for (offered, section) in offer.media.iter().zip(sections) {
        if matches!(section, SectionAnswer::Rejected) {
            answer.rejected(offered);
            continue;
        }
        let head = Head::of(offered);
        match section {
            SectionAnswer::Media(media) => answer.media(&head, media, local.stream),
            SectionAnswer::Inactive | SectionAnswer::Rejected => answer.inactive(offered),
        }
        let setup = match role {
            DtlsRole::Client => "active",
            DtlsRole::Server => "passive",
        };
        answer.transport(&head, local, setup);
        if is_first {
            // The transport of the first one is that of all.
            answer.candidates(local.candidates);
            is_first = false;
        }
    }
    answer.finish()
}
