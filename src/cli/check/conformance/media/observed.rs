//! What a peer sees of the wire, behind SRTP.

use std::collections::VecDeque;
use std::time::Instant;

use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use tokio::sync::watch;

use crate::cli::watch::OFFERED;
use crate::rtp::MediaKind;
use crate::rtp::keyframe::starts_keyframe;

/// Counts and instants of one peer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Observed {
    /// A pair of addresses works.
    pub(crate) ice: Option<Instant>,
    /// ICE and DTLS are done.
    pub(crate) connected: Option<Instant>,
    /// Checks are no longer answered, or the connection has failed.
    pub(crate) lost: bool,
    /// RTP that came.
    pub(crate) packets: u64,
    pub(crate) first_packet: Option<Instant>,
    pub(crate) first_keyframe: Option<Instant>,
    /// RTCP that came: reports about what we send, requests for a keyframe, and all.
    pub(crate) reports: u64,
    pub(crate) keyframe_requests: u64,
    pub(crate) rtcp: u64,
}

/// The interceptor nearest to the wire.
pub(super) struct Tap {
    observed: watch::Sender<Observed>,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

impl Tap {
    pub(super) fn new(observed: watch::Sender<Observed>) -> Self {
        Self {
            observed,
            reads: VecDeque::new(),
            writes: VecDeque::new(),
        }
    }

    fn look(&self, message: &TaggedPacket) {
        match &message.message.packet {
            Packet::Rtp(packet) => {
                let payload_type = packet.header.payload_type;
                let offered = OFFERED.iter().find(|o| o.payload_type == payload_type);
                let keyframe = offered.is_some_and(|offered| {
                    offered.codec.kind() == MediaKind::Video
                        && starts_keyframe(offered.codec, &packet.payload)
                });
                self.observed.send_modify(|observed| {
                    observed.packets += 1;
                    observed.first_packet.get_or_insert(message.now);
                    if keyframe {
                        observed.first_keyframe.get_or_insert(message.now);
                    }
                });
            }
            Packet::Rtcp(packets) => self.observed.send_modify(|observed| {
                for packet in packets {
                    let packet = packet.as_any();
                    observed.rtcp += 1;
                    let reports = packet
                        .downcast_ref::<ReceiverReport>()
                        .map(|report| report.reports.len())
                        .or_else(|| {
                            packet
                                .downcast_ref::<SenderReport>()
                                .map(|report| report.reports.len())
                        });
                    observed.reports += u64::from(reports.is_some_and(|reports| reports > 0));
                    let asks =
                        packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>();
                    observed.keyframe_requests += u64::from(asks);
                }
            }),
            _ => {}
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Tap {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, message: TaggedPacket) -> Result<(), Error> {
        self.look(&message);
        // Nobody reads the tracks: media ends here, RTCP goes on to the other interceptors.
        if matches!(message.message.packet, Packet::Rtcp(_)) {
            self.reads.push_back(message);
        }
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, message: TaggedPacket) -> Result<(), Error> {
        self.writes.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }
}

impl Interceptor for Tap {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
