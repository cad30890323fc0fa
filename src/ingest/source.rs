//! Which track an SSRC belongs to (RFC 8843, section 9.2), and what it carries for it.

use std::time::Instant;

use super::Reason;
use crate::rtp::{Extension, Header};
use crate::sdp::session::PublishedTrack;

/// SSRCs remembered for one publisher. When there are more, the one that was silent longest goes.
const MAX_SOURCES: usize = 32;

/// What a source carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carries {
    Media,
    /// Retransmissions (RFC 4588).
    Repair,
}

/// A source that sent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source {
    ssrc: u32,
    /// The index of its track.
    pub(super) track: usize,
    pub(super) carries: Carries,
    /// When its first packet came.
    pub(super) learned: Instant,
    /// This is its first packet.
    pub(super) is_new: bool,
    last: Instant,
}

/// The sources of one publisher.
#[derive(Debug)]
pub(super) struct Sources {
    tracks: Vec<PublishedTrack>,
    /// A handful: a scan is cheaper than a hash.
    known: Vec<Source>,
}

impl Sources {
    pub(super) fn new(tracks: Vec<PublishedTrack>) -> Self {
        Self {
            tracks,
            known: Vec::new(),
        }
    }

    /// The source of a packet. One that was not seen before is identified and remembered.
    pub(super) fn find(
        &mut self,
        now: Instant,
        header: &Header,
        packet: &[u8],
    ) -> Result<Source, Reason> {
        let ssrc = header.ssrc;
        if let Some(source) = self.known.iter_mut().find(|source| source.ssrc == ssrc) {
            source.last = now;
            source.is_new = false;
            return Ok(*source);
        }
        let (track, carries) = self.identify(header, packet)?;
        if carries == Carries::Repair && !self.has(track, Carries::Media) {
            return Err(Reason::UnknownSource); // nothing yet that it could repair
        }
        if self.known.len() >= MAX_SOURCES {
            let silent = (0..self.known.len()).min_by_key(|index| self.known[*index].last);
            silent.map(|index| self.known.swap_remove(index));
        }
        let source = Source {
            ssrc,
            track,
            carries,
            learned: now,
            is_new: true,
            last: now,
        };
        self.known.push(source);
        Ok(source)
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.known.len()
    }

    /// By the mid, then by the SSRC that the offer announced, then by the payload type: many
    /// publishers that are no browsers send no mid.
    fn identify(&self, header: &Header, packet: &[u8]) -> Result<(usize, Carries), Reason> {
        let by_mid = self.tracks.iter().position(|track| {
            let id = track.extensions.id(Extension::Mid);
            header
                .extensions(packet)
                .any(|(given, mid)| Some(given) == id && mid == track.mid.as_bytes())
        });
        let announced = || {
            let ssrc = Some(header.ssrc);
            self.tracks
                .iter()
                .position(|track| track.ssrc == ssrc || track.rtx_ssrc == ssrc)
        };
        let carries = |track: &PublishedTrack| match header.payload_type {
            kind if kind == track.payload_type => Some(Carries::Media),
            kind if Some(kind) == track.rtx_payload_type => Some(Carries::Repair),
            _ => None,
        };
        if let Some(index) = by_mid.or_else(announced) {
            let carries = carries(&self.tracks[index]).ok_or(Reason::UnknownPayloadType)?;
            return Ok((index, carries));
        }
        // Of two tracks with one payload type, the one that still lacks its source.
        let candidates = || {
            (0..)
                .zip(&self.tracks)
                .filter_map(|(index, track)| Some((index, carries(track)?)))
        };
        candidates()
            .find(|(index, carries)| !self.has(*index, *carries))
            .or_else(|| candidates().next())
            .ok_or(Reason::UnknownSource)
    }

    fn has(&self, track: usize, carries: Carries) -> bool {
        self.known
            .iter()
            .any(|source| source.track == track && source.carries == carries)
    }
}
