//! What an offer shows of a publisher before anything is sent.

use super::report::{Defect, Finding};
use crate::rtp::MediaKind;
use crate::sdp::session::PublisherSpec;
use crate::stream::LayerId;

/// The findings of what was agreed on.
pub fn findings(spec: &PublisherSpec) -> Vec<Finding> {
    let video = spec
        .tracks
        .iter()
        .filter(|track| track.info.kind() == MediaKind::Video);
    let findings = video.flat_map(|track| {
        let feedback = track.feedback;
        let finding = |defect| Finding {
            track: track.info.id,
            layer: LayerId::default(),
            defect,
        };
        let repair = (!feedback.nack).then(|| finding(Defect::NoRepair));
        let requests = !feedback.pli && !feedback.fir;
        repair
            .into_iter()
            .chain(requests.then(|| finding(Defect::NoKeyframeRequests)))
    });
    findings.collect()
}
