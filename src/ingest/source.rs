//! Which track and layer an SSRC belongs to (RFC 8843, section 9.2; RFC 8852), and what it carries
//! for it.

use std::time::Instant;

use super::Reason;
use crate::rtp::{Extension, Header};
use crate::sdp::session::{PublishedLayer, PublishedTrack};

/// SSRCs remembered for one publisher: twice what two tracks with all layers and their repairs need.
/// When there are more, the one that was silent longest goes.
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
    /// The index of its layer, counted over all tracks.
    pub(super) layer: usize,
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
        let (layer, carries) = self.identify(header, packet)?;
        if carries == Carries::Repair && !self.has(layer, Carries::Media) {
            return Err(Reason::UnknownSource); // nothing yet that it could repair
        }
        if self.known.len() >= MAX_SOURCES {
            let silent = (0..self.known.len()).min_by_key(|index| self.known[*index].last);
            silent.map(|index| self.known.swap_remove(index));
        }
        let source = Source {
            ssrc,
            layer,
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

    /// The track by the mid, then by the name of the layer, by the SSRC that the offer announced, and
    /// by the payload type: many publishers that are no browsers send no mid.
    fn identify(&self, header: &Header, packet: &[u8]) -> Result<(usize, Carries), Reason> {
        let names = Names { header, packet };
        let carries = |track: &PublishedTrack| match header.payload_type {
            kind if kind == track.payload_type || Some(kind) == track.red_payload_type => {
                Some(Carries::Media)
            }
            kind if Some(kind) == track.rtx_payload_type => Some(Carries::Repair),
            _ => None,
        };
        let announces = |track: &PublishedTrack| {
            let ssrc = Some(header.ssrc);
            let mut layers = track.layers.iter();
            layers.any(|layer| layer.ssrc == ssrc || layer.rtx_ssrc == ssrc)
        };
        let find =
            |fits: &dyn Fn(&PublishedTrack) -> bool| self.numbered().find(|(_, track)| fits(track));
        let by_name = find(&|track| names.mid(track) == Some(track.mid.as_bytes()))
            .or_else(|| find(&|track| names.layer(track).is_some()))
            .or_else(|| find(&announces));
        if let Some((first, track)) = by_name {
            let carries = carries(track).ok_or(Reason::UnknownPayloadType)?;
            let layer = self.layer(&names, track, carries)?;
            return Ok((first + layer, carries));
        }
        // Of two tracks with one payload type, the one that still lacks its source. A layer among
        // others is never guessed.
        let candidates = || {
            self.numbered()
                .filter(|(_, track)| track.layers.len() == 1)
                .filter_map(|(first, track)| Some((first, carries(track)?)))
        };
        candidates()
            .find(|(layer, carries)| !self.has(*layer, *carries))
            .or_else(|| candidates().next())
            .ok_or(Reason::UnknownSource)
    }

    /// The layer of a packet within its track: by its name, then by what the offer announced.
    fn layer(
        &self,
        names: &Names<'_>,
        track: &PublishedTrack,
        carries: Carries,
    ) -> Result<usize, Reason> {
        if track.layers.len() == 1 {
            return Ok(0);
        }
        let ssrc = Some(names.header.ssrc);
        let announced = || {
            track.layers.iter().position(|layer| match carries {
                Carries::Media => layer.ssrc == ssrc,
                Carries::Repair => layer.rtx_ssrc == ssrc,
            })
        };
        match names.layer(track) {
            Some(found) => found,
            None => announced(),
        }
        .ok_or(Reason::UnknownSource)
    }

    /// The tracks, each with the index of its first layer.
    fn numbered(&self) -> impl Iterator<Item = (usize, &PublishedTrack)> {
        let firsts = self.tracks.iter().scan(0, |next, track| {
            let first = *next;
            *next += track.layers.len();
            Some(first)
        });
        firsts.zip(&self.tracks)
    }

    fn has(&self, layer: usize, carries: Carries) -> bool {
        self.known
            .iter()
            .any(|source| source.layer == layer && source.carries == carries)
    }
}

/// What a packet says of itself by header extensions.
struct Names<'a> {
    header: &'a Header,
    packet: &'a [u8],
}

impl<'a> Names<'a> {
    fn mid(&self, track: &PublishedTrack) -> Option<&'a [u8]> {
        self.value(track, Extension::Mid)
    }

    /// The layer of `track` that the packet names, if it names one: none within where that is none of
    /// the track's. Retransmissions name what they repair; some clients use the other extension.
    fn layer(&self, track: &PublishedTrack) -> Option<Option<usize>> {
        let name = self
            .value(track, Extension::RepairedRtpStreamId)
            .or_else(|| self.value(track, Extension::RtpStreamId))?;
        let is_named =
            |layer: &PublishedLayer| layer.rid.as_deref().map(str::as_bytes) == Some(name);
        Some(track.layers.iter().position(is_named))
    }

    fn value(&self, track: &PublishedTrack, extension: Extension) -> Option<&'a [u8]> {
        let id = track.extensions.id(extension)?;
        let mut extensions = self.header.extensions(self.packet);
        extensions.find_map(|(given, value)| (given == id).then_some(value))
    }
}
