//! What the peers' offers and the gateway's answers would have agreed on.

use super::{
    AUDIO, AUDIO_PAYLOAD_TYPE, CAPTURE_EXTENSION, RED_PAYLOAD_TYPE, REPAIRED_RID_EXTENSION,
    RID_EXTENSION, RIDS, RTX_PAYLOAD_TYPE, TRANSPORT_EXTENSION, VIDEO, VIDEO_PAYLOAD_TYPE,
};
use crate::rtp::{Codec, Extension, ExtensionMap};
use crate::sdp::{
    Feedback, PublishedLayer, PublishedTrack, PublisherSpec, SubscribedTrack, SubscriberSpec,
};
use crate::stream::{TrackId, TrackInfo};

const FEEDBACK: Feedback = Feedback {
    nack: true,
    pli: true,
    fir: false,
    transport_cc: false,
    remb: false,
};

/// A publisher with so many layers of video.
pub(super) fn publisher(rtx: bool, layers: usize) -> PublisherSpec {
    PublisherSpec {
        tracks: vec![
            published(VIDEO, Codec::H264, VIDEO_PAYLOAD_TYPE, rtx, layers),
            published(AUDIO, Codec::Opus, AUDIO_PAYLOAD_TYPE, false, 1),
        ],
    }
}

/// A viewer, with the SSRCs of video, its retransmissions and audio, who takes transport-wide numbers or
/// does not, and redundancy or does not.
pub(crate) fn subscriber(ssrcs: [u32; 3], rtx: bool, numbers: bool, red: bool) -> SubscriberSpec {
    let mut extensions = ExtensionMap::default();
    extensions.set(Extension::AbsCaptureTime, CAPTURE_EXTENSION);
    if numbers {
        extensions.set(Extension::TransportSequenceNumber, TRANSPORT_EXTENSION);
    }
    let track = |track, codec: Codec, payload_type, ssrc, rtx: Option<(u8, u32)>| SubscribedTrack {
        track,
        kind: codec.kind(),
        clock_rate: codec.clock_rate(),
        mid: track.0.to_string(),
        payload_type,
        red_payload_type: (red && track == AUDIO).then_some(RED_PAYLOAD_TYPE),
        rtx_payload_type: rtx.map(|(payload_type, _)| payload_type),
        ssrc,
        rtx_ssrc: rtx.map(|(_, ssrc)| ssrc),
        extensions,
        feedback: Feedback {
            transport_cc: numbers,
            remb: !numbers,
            ..FEEDBACK
        },
    };
    let repair = rtx.then_some((RTX_PAYLOAD_TYPE, ssrcs[1]));
    SubscriberSpec {
        tracks: vec![
            track(VIDEO, Codec::H264, VIDEO_PAYLOAD_TYPE, ssrcs[0], repair),
            track(AUDIO, Codec::Opus, AUDIO_PAYLOAD_TYPE, ssrcs[2], None),
        ],
    }
}

fn published(
    id: TrackId,
    codec: Codec,
    payload_type: u8,
    rtx: bool,
    layers: usize,
) -> PublishedTrack {
    let mut extensions = ExtensionMap::default();
    let mut published = vec![PublishedLayer::default()];
    if layers > 1 {
        extensions.set(Extension::RtpStreamId, RID_EXTENSION);
        extensions.set(Extension::RepairedRtpStreamId, REPAIRED_RID_EXTENSION);
        let layer = |rid: &&str| PublishedLayer {
            rid: Some((*rid).to_owned()),
            ..PublishedLayer::default()
        };
        published = RIDS[..layers].iter().map(layer).collect();
    }
    PublishedTrack {
        info: TrackInfo {
            id,
            codec,
            fmtp: String::new(),
            channels: 1,
        },
        mid: id.0.to_string(),
        payload_type,
        red_payload_type: (id == AUDIO).then_some(RED_PAYLOAD_TYPE),
        rtx_payload_type: rtx.then_some(RTX_PAYLOAD_TYPE),
        layers: published,
        extensions,
        feedback: FEEDBACK,
    }
}
