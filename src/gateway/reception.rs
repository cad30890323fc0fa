//! What a viewer negotiated, and what of a new broadcast fits into it.

use crate::rtp::MediaKind;
use crate::sdp::{self, Offer, SubscribedTrack, SubscriberSpec};
use crate::stream::TrackInfo;

/// What a viewer can be sent without being asked again: a broadcast that has other codecs needs a
/// new session.
#[derive(Debug)]
pub(super) struct Reception {
    /// Its m-lines, for the tracks that they were negotiated for.
    lines: Vec<(SubscribedTrack, TrackInfo)>,
    /// The kinds of media that it asked for, whether there were any or not.
    asked: Vec<MediaKind>,
}

impl Reception {
    /// What came of an offer on a stream with `tracks`.
    pub(super) fn new(offer: &Offer, spec: &SubscriberSpec, tracks: &[TrackInfo]) -> Self {
        let asks = offer
            .media
            .iter()
            .filter(|section| section.is_active() && section.direction.receives());
        Self::settled(
            asks.filter_map(|section| section.kind).collect(),
            spec,
            tracks,
        )
    }

    pub(super) fn settled(
        asked: Vec<MediaKind>,
        spec: &SubscriberSpec,
        tracks: &[TrackInfo],
    ) -> Self {
        let lines = spec.tracks.iter().filter_map(|line| {
            let info = tracks.iter().find(|track| track.id == line.track)?;
            Some((line.clone(), info.clone()))
        });
        Self {
            lines: lines.collect(),
            asked,
        }
    }

    /// What the viewer gets of a stream with `tracks`: on the m-lines, with the payload types and
    /// SSRCs that it knows. None where it would miss something that it asked for.
    pub(super) fn bind(&self, tracks: &[TrackInfo]) -> Option<SubscriberSpec> {
        let mut bound: Vec<SubscribedTrack> = Vec::new();
        for track in tracks {
            let line = self.lines.iter().find(|(line, negotiated)| {
                let is_free = bound.iter().all(|other| other.ssrc != line.ssrc);
                is_free && sdp::may_replace(negotiated, track)
            });
            match line {
                Some((line, _)) => bound.push(SubscribedTrack {
                    track: track.id,
                    ..line.clone()
                }),
                None if self.asked.contains(&track.kind()) => return None,
                None => {}
            }
        }
        (!bound.is_empty()).then_some(SubscriberSpec { tracks: bound })
    }
}
