//! What a viewer negotiated, and what of a new broadcast fits into it.

use std::sync::Arc;

use crate::rtp::MediaKind;
use crate::sdp::{
    self, CounterOffer, IceCredentials, Offer, SubscribedTrack, SubscriberSpec, WaitingSpec,
};
use crate::stream::TrackInfo;

/// What a viewer can be sent without being asked again: a broadcast that has other codecs needs a
/// new session.
#[derive(Debug)]
pub(super) enum Reception {
    /// One codec for each m-line, as it was there to see.
    Settled {
        /// The m-lines, with the tracks that they were negotiated for.
        lines: Vec<(SubscribedTrack, TrackInfo)>,
        /// The kinds of media that it asked for, whether there were any or not.
        asked: Vec<MediaKind>,
    },
    /// Everything that it offered: it came before there was something to see.
    Open(WaitingSpec),
    /// It has not answered our offer yet, and is on no shard.
    Offered(Box<Offered>),
}

/// Our offer to a viewer.
#[derive(Debug)]
pub(super) struct Offered {
    pub(super) offer: CounterOffer,
    pub(super) ice: IceCredentials,
    /// The tracks that were offered.
    pub(super) tracks: Arc<[TrackInfo]>,
}

impl Reception {
    /// What came of an offer on a stream with `tracks`.
    pub(super) fn of_offer(offer: &Offer, spec: &SubscriberSpec, tracks: &[TrackInfo]) -> Self {
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

    /// What was agreed on for `tracks` by somebody who asked for some kinds of media.
    pub(super) fn settled(
        asked: Vec<MediaKind>,
        spec: &SubscriberSpec,
        tracks: &[TrackInfo],
    ) -> Self {
        let lines = spec.tracks.iter().filter_map(|line| {
            let info = tracks.iter().find(|track| track.id == line.track)?;
            Some((line.clone(), info.clone()))
        });
        Self::Settled {
            lines: lines.collect(),
            asked,
        }
    }

    /// What the viewer gets of a stream with `tracks`: on the m-lines, with the payload types and
    /// SSRCs that it knows. None where it would miss something that it asked for.
    pub(super) fn bind(&self, tracks: &[TrackInfo]) -> Option<SubscriberSpec> {
        match self {
            Self::Settled { lines, asked } => bind(lines, asked, tracks),
            Self::Open(spec) => spec.bind(tracks).ok(),
            Self::Offered(_) => None,
        }
    }
}

fn bind(
    lines: &[(SubscribedTrack, TrackInfo)],
    asked: &[MediaKind],
    tracks: &[TrackInfo],
) -> Option<SubscriberSpec> {
    let mut bound: Vec<SubscribedTrack> = Vec::new();
    for track in tracks {
        let line = lines.iter().find(|(line, negotiated)| {
            let is_free = bound.iter().all(|other| other.ssrc != line.ssrc);
            is_free && sdp::may_replace(negotiated, track)
        });
        match line {
            Some((line, _)) => bound.push(SubscribedTrack {
                track: track.id,
                ..line.clone()
            }),
            None if asked.contains(&track.kind()) => return None,
            None => {}
        }
    }
    (!bound.is_empty()).then_some(SubscriberSpec { tracks: bound })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::{Codec, ExtensionMap};
    use crate::sdp::Feedback;
    use crate::stream::TrackId;

    fn track(id: u8, codec: Codec, fmtp: &str) -> TrackInfo {
        TrackInfo {
            id: TrackId(id),
            codec,
            fmtp: fmtp.to_owned(),
            channels: if codec == Codec::Opus { 2 } else { 1 },
        }
    }

    fn line(track: &TrackInfo, ssrc: u32) -> SubscribedTrack {
        SubscribedTrack {
            track: track.id,
            kind: track.kind(),
            clock_rate: track.codec.clock_rate(),
            mid: ssrc.to_string(),
            payload_type: 100 + ssrc as u8,
            red_payload_type: None,
            rtx_payload_type: None,
            ssrc,
            rtx_ssrc: None,
            extensions: ExtensionMap::default(),
            feedback: Feedback::default(),
        }
    }

    /// Who agreed on `tracks`, with SSRCs from 1 on.
    fn viewer(asked: &[MediaKind], tracks: &[TrackInfo]) -> Reception {
        let lines = tracks
            .iter()
            .zip(1..)
            .map(|(track, ssrc)| line(track, ssrc));
        let spec = SubscriberSpec {
            tracks: lines.collect(),
        };
        Reception::settled(asked.to_vec(), &spec, tracks)
    }

    /// The SSRCs by track.
    fn bound(viewer: &Reception, tracks: &[TrackInfo]) -> Option<Vec<(u8, u32)>> {
        let spec = viewer.bind(tracks)?;
        Some(
            spec.tracks
                .iter()
                .map(|line| (line.track.0, line.ssrc))
                .collect(),
        )
    }

    #[test]
    fn what_was_agreed_on_takes_what_is_like_it() {
        const BOTH: [MediaKind; 2] = [MediaKind::Video, MediaKind::Audio];
        let video = |codec, fmtp: &str| track(0, codec, fmtp);
        let audio = track(1, Codec::Opus, "");
        let h264 = video(Codec::H264, "profile-level-id=42e01f");
        let viewer_of = |codec, fmtp: &str| viewer(&BOTH, &[video(codec, fmtp), audio.clone()]);
        let both = Some(vec![(0, 1), (1, 2)]);
        for (agreed, next, takes) in [
            (
                viewer_of(Codec::H264, "profile-level-id=42e01f"),
                h264.clone(),
                both.clone(),
            ),
            // As lenient as with viewers that come anew.
            (
                viewer_of(Codec::H264, "profile-level-id=640028"),
                h264.clone(),
                both.clone(),
            ),
            (viewer_of(Codec::Vp8, ""), h264.clone(), None),
            (
                viewer_of(Codec::Vp9, ""),
                video(Codec::Vp9, "profile-id=0"),
                both,
            ),
            (
                viewer_of(Codec::Vp9, ""),
                video(Codec::Vp9, "profile-id=2"),
                None,
            ),
        ] {
            let next = [next, audio.clone()];
            assert_eq!(bound(&agreed, &next), takes, "{agreed:?}");
        }
        // The publisher may have the tracks in another order, or one less.
        let swapped = [track(0, Codec::Opus, ""), track(1, Codec::Vp8, "")];
        let agreed = viewer_of(Codec::Vp8, "");
        assert_eq!(bound(&agreed, &swapped), Some(vec![(0, 2), (1, 1)]));
        assert_eq!(bound(&agreed, &swapped[..1]), Some(vec![(0, 2)]));
    }

    #[test]
    fn who_would_miss_something_needs_a_new_session() {
        let audio = track(0, Codec::Opus, "");
        let both = [audio.clone(), track(1, Codec::H264, "")];
        let asked_for_all = viewer(
            &[MediaKind::Audio, MediaKind::Video],
            std::slice::from_ref(&audio),
        );
        assert_eq!(bound(&asked_for_all, &both), None);
        let listener = viewer(&[MediaKind::Audio], &[audio]);
        assert_eq!(bound(&listener, &both), Some(vec![(0, 1)]));
        assert_eq!(bound(&listener, &both[1..]), None);
    }
}
