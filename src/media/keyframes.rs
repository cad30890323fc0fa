//! Requests for keyframes on their way through a pipeline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gstreamer as gst;
use gstreamer::prelude::*;

/// Whether an event asks for a keyframe: upstream where somebody needs one (`webrtcbin` sends these when a PLI or
/// FIR comes), downstream on the way to an encoder.
pub(super) fn is_request(event: &gst::EventRef) -> bool {
    let structure = event.structure();
    structure.is_some_and(|structure| structure.has_name("GstForceKeyUnit"))
}

/// Lets requests pass the pad `from`, before an encoder, only once something has come to the pad `to` behind it. An
/// encoder begins with a keyframe anyway. Asked before that, as when its decoder had no use for the pictures so far,
/// GStreamer 1.22 takes the time of the first picture for one that is 1000 hours ahead, and passes over all that
/// is asked for later.
pub(super) fn hold_back_early_requests(from: &gst::Pad, to: &gst::Pad) {
    let begun = Arc::new(AtomicBool::new(false));
    let begins = Arc::clone(&begun);
    to.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        begins.store(true, Ordering::Release);
        gst::PadProbeReturn::Remove
    });
    // Pictures and requests come by here in the thread that the encoder works in, so whatever came before is done.
    from.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        let is_early = !begun.load(Ordering::Acquire);
        match info.event().is_some_and(|event| is_request(event)) && is_early {
            true => gst::PadProbeReturn::Drop,
            false => gst::PadProbeReturn::Ok,
        }
    });
}
