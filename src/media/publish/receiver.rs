//! The other side, for tests: a `webrtcbin` that answers, takes everything and throws it away.

use super::webrtc::{self, element, local_description};
use super::*;
use gstreamer::glib;
use gstreamer_sdp::SDPMessage;
use gstreamer_webrtc::{WebRTCSDPType, WebRTCSessionDescription};

/// Receives on 127.0.0.1 until it is dropped.
pub(crate) struct Receiver {
    pipeline: gst::Pipeline,
}

impl Receiver {
    /// A receiver of this offer, and its answer.
    pub(crate) async fn answer(offer: &str) -> (Self, String) {
        gst::init().unwrap();
        let (sender, mut progress) = watch::channel(Progress::default());
        let webrtc = element(&[[127, 0, 0, 1].into()], &sender).unwrap();
        let receiver = Self {
            pipeline: gst::Pipeline::new(),
        };
        receiver.pipeline.add(&webrtc).unwrap();
        let weak = receiver.pipeline.downgrade();
        webrtc.connect_pad_added(move |_, pad| {
            let sink = gst::ElementFactory::make("fakesink")
                .property("async", false)
                .build()
                .unwrap();
            weak.upgrade().unwrap().add(&sink).unwrap();
            sink.sync_state_with_parent().unwrap();
            pad.link(&sink.static_pad("sink").unwrap()).unwrap();
        });
        receiver.pipeline.set_state(gst::State::Playing).unwrap();

        let offer = SDPMessage::parse_buffer(offer.as_bytes()).unwrap();
        let offer = WebRTCSessionDescription::new(WebRTCSDPType::Offer, offer);
        ask(&webrtc, "set-remote-description", &offer).await;
        let reply = ask(&webrtc, "create-answer", &None::<gst::Structure>).await;
        let answer: WebRTCSessionDescription = reply.unwrap().get("answer").unwrap();
        ask(&webrtc, "set-local-description", &answer).await;
        wait(&mut progress, |p| p.gathered).await.unwrap();
        let answer = local_description(&webrtc).unwrap();
        (receiver, answer)
    }

    /// Sends a PLI for each stream that comes in.
    pub(crate) fn request_keyframe(&self) {
        for sink in self.pipeline.iterate_sinks().into_iter().flatten() {
            let request = gst::Structure::builder("GstForceKeyUnit")
                .field("all-headers", true)
                .build();
            sink.send_event(gst::event::CustomUpstream::new(request));
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.pipeline.set_state(gst::State::Null).unwrap();
    }
}

async fn ask(
    webrtc: &gst::Element,
    action: &'static str,
    argument: &(dyn glib::value::ToValue + Sync),
) -> Option<gst::Structure> {
    webrtc::ask(action, OFFER_TIMEOUT, |promise| {
        webrtc.emit_by_name_with_values(action, &[argument.to_value(), promise.to_value()]);
    })
    .await
    .unwrap()
}
