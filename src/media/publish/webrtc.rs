//! `webrtcbin`: its set-up, and one round of offer and answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer_sdp::SDPMessage;
use gstreamer_webrtc::{
    WebRTCICEGatheringState, WebRTCPeerConnectionState, WebRTCRTPTransceiver,
    WebRTCRTPTransceiverDirection, WebRTCSDPType, WebRTCSessionDescription,
};
use tokio::sync::watch;

use super::{Error, Progress};

/// Whether media can flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Connection {
    /// ICE or DTLS is not done.
    #[default]
    Pending,
    /// Keys are there.
    Up,
}

/// A `webrtcbin` for one bundle that only sends, reporting to `progress`.
pub(super) fn element(
    local_addresses: &[IpAddr],
    progress: &watch::Sender<Progress>,
) -> Result<gst::Element, Error> {
    for element in ["nicesink", "dtlssrtpenc", "srtpenc"] {
        if gst::ElementFactory::find(element).is_none() {
            return Err(Error::NoElement { element });
        }
    }
    let webrtc = gst::ElementFactory::make("webrtcbin")
        .name("webrtc")
        .property_from_str("bundle-policy", "max-bundle")
        .build()
        .map_err(|_| Error::NoElement {
            element: "webrtcbin",
        })?;
    configure_ice(&webrtc, local_addresses);

    let sender = progress.clone();
    webrtc.connect_notify(Some("ice-gathering-state"), move |webrtc, _| {
        let state = webrtc.property::<WebRTCICEGatheringState>("ice-gathering-state");
        if state == WebRTCICEGatheringState::Complete {
            sender.send_modify(|p| p.gathered = true);
        }
    });
    let sender = progress.clone();
    webrtc.connect_notify(Some("connection-state"), move |webrtc, _| {
        let state = webrtc.property::<WebRTCPeerConnectionState>("connection-state");
        tracing::debug!(?state, "the connection changed its state");
        sender.send_modify(|p| match state {
            WebRTCPeerConnectionState::Connected => p.connection = Connection::Up,
            WebRTCPeerConnectionState::Failed | WebRTCPeerConnectionState::Closed => {
                p.fail(match p.connection {
                    Connection::Pending => Error::NoConnection,
                    Connection::Up => Error::Lost,
                });
            }
            _ => {}
        });
    });
    Ok(webrtc)
}

/// Counts the receiver reports on what is sent.
pub(super) fn count_reports(webrtc: &gst::Element) -> Arc<AtomicU64> {
    let reports = Arc::new(AtomicU64::new(0));
    let rtpbin = webrtc
        .downcast_ref::<gst::Bin>()
        .and_then(|bin| bin.by_name("rtpbin"));
    if let Some(rtpbin) = rtpbin {
        let count = Arc::clone(&reports);
        rtpbin.connect("on-ssrc-active", false, move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            None
        });
    }
    reports
}

/// Adds a media line for what a payloader sends, with retransmission, and reports when it is known.
pub(super) fn add_line(
    webrtc: &gst::Element,
    payloader: &gst::Pad,
    progress: &watch::Sender<Progress>,
) -> Result<(), Error> {
    let failed = |reason: String| Error::Negotiation {
        step: "adding a media line",
        reason,
    };
    let sink = webrtc
        .request_pad_simple("sink_%u")
        .ok_or_else(|| failed("webrtcbin gives no pad".to_owned()))?;
    let transceiver = sink.property::<WebRTCRTPTransceiver>("transceiver");
    transceiver.set_direction(WebRTCRTPTransceiverDirection::Sendonly);
    transceiver.set_property("do-nack", true);

    progress.send_modify(|p| p.lines += 1);
    let sender = progress.clone();
    sink.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if info
            .event()
            .is_some_and(|event| event.type_() == gst::EventType::Eos)
        {
            sender.send_modify(|p| p.ended = true);
        }
        gst::PadProbeReturn::Ok
    });
    let sender = progress.clone();
    let known = AtomicBool::new(false);
    sink.connect_notify(Some("caps"), move |sink, _| {
        let has_caps = sink.property::<Option<gst::Caps>>("caps").is_some();
        if has_caps && !known.swap(true, Ordering::Relaxed) {
            sender.send_modify(|p| p.lines_ready += 1);
        }
    });
    payloader
        .link(&sink)
        .map(drop)
        .map_err(|error| failed(error.to_string()))
}

/// Creates an offer and makes it the local description, which starts gathering.
pub(super) async fn make_offer(webrtc: &gst::Element, limit: Duration) -> Result<(), Error> {
    let options = gst::Structure::new_empty("options");
    let reply = ask("making the offer", limit, |promise| {
        webrtc.emit_by_name::<()>("create-offer", &[&options, promise]);
    })
    .await?;
    let offer = reply
        .as_ref()
        .and_then(|reply| reply.get::<WebRTCSessionDescription>("offer").ok())
        .ok_or_else(|| Error::Negotiation {
            step: "making the offer",
            reason: "webrtcbin returned none".to_owned(),
        })?;
    ask("using the offer", limit, |promise| {
        webrtc.emit_by_name::<()>("set-local-description", &[&offer, promise]);
    })
    .await
    .map(drop)
}

/// The local description as text, with the candidates found so far.
pub(super) fn local_description(webrtc: &gst::Element) -> Result<String, Error> {
    let failed = |reason: &str| Error::Negotiation {
        step: "reading the offer",
        reason: reason.to_owned(),
    };
    let description = webrtc
        .property::<Option<WebRTCSessionDescription>>("local-description")
        .ok_or_else(|| failed("webrtcbin has none"))?;
    let offer = description
        .sdp()
        .as_text()
        .map_err(|_| failed("it can't be written as text"))?;
    if !offer.contains("a=candidate:") {
        return Err(Error::NoCandidates);
    }
    Ok(offer)
}

/// Makes the answer the remote description, which starts ICE.
pub(super) async fn accept_answer(
    webrtc: &gst::Element,
    answer: &str,
    limit: Duration,
) -> Result<(), Error> {
    let answer = Some(answer)
        .filter(|answer| answer.starts_with("v="))
        .and_then(|answer| SDPMessage::parse_buffer(answer.as_bytes()).ok())
        .ok_or(Error::Answer {
            reason: "it is not SDP",
        })?;
    if answer.medias().all(|media| media.port() == 0) {
        return Err(Error::Answer {
            reason: "the server takes none of the media lines; choose another codec",
        });
    }
    let answer = WebRTCSessionDescription::new(WebRTCSDPType::Answer, answer);
    ask("using the answer", limit, |promise| {
        webrtc.emit_by_name::<()>("set-remote-description", &[&answer, promise]);
    })
    .await
    .map(drop)
}

/// Calls an action that answers by promise, and returns the reply, within a limit.
pub(super) async fn ask(
    step: &'static str,
    limit: Duration,
    action: impl FnOnce(&gst::Promise),
) -> Result<Option<gst::Structure>, Error> {
    let failed = |reason: String| Error::Negotiation { step, reason };
    let (promise, reply) = gst::Promise::new_future();
    action(&promise);
    let reply = tokio::time::timeout(limit, reply)
        .await
        .map_err(|_| failed("no reply in time".to_owned()))?
        .map_err(|_| failed("it was given up".to_owned()))?
        .map(|reply| reply.to_owned());
    match reply
        .as_ref()
        .and_then(|reply| reply.get::<glib::Error>("error").ok())
    {
        Some(error) => Err(failed(error.message().to_owned())),
        None => Ok(reply),
    }
}

/// Leaves out what is of no use towards a gateway with one UDP port, and names the addresses to send from.
///
/// libnice never finds loopback addresses by itself, and an address of another interface can't reach
/// 127.0.0.1, so on one machine the address has to be named.
fn configure_ice(webrtc: &gst::Element, local_addresses: &[IpAddr]) {
    let ice = webrtc.property::<glib::Object>("ice-agent");
    for address in local_addresses {
        let added = ice.emit_by_name::<bool>("add-local-ip-address", &[&address.to_string()]);
        if !added {
            tracing::warn!("the ICE agent does not take the local address");
        }
    }
    if ice.find_property("agent").is_none() {
        return;
    }
    let agent = ice.property::<glib::Object>("agent");
    for (name, value) in [
        ("ice-tcp", false),
        ("upnp", false),
        // Requests instead of indications: an ICE-lite server sees that we live, and we see that it does.
        ("keepalive-conncheck", true),
    ] {
        if agent.find_property(name).is_some() {
            agent.set_property(name, value);
        }
    }
}
