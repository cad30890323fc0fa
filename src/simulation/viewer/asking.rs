//! What a viewer asks for, and how often.

use std::time::{Duration, Instant};

use rtc::rtcp;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{
    TransportLayerNack, nack_pairs_from_sequence_numbers,
};

use super::WatchingPeer;

/// How a viewer asks for what it misses.
#[derive(Clone, Copy, Debug)]
pub(in crate::simulation) struct Asking {
    /// How long a packet may be late before it is asked for, and how often it is asked for then.
    pub(in crate::simulation) tolerance: Duration,
    pub(in crate::simulation) repeat: Duration,
    pub(in crate::simulation) tries: u32,
    /// How long it waits for a picture that it can decode before it asks for a keyframe; none for ever.
    pub(in crate::simulation) picture: Option<Duration>,
}

impl Asking {
    /// Goes on for 2.5 s, longer than the gateway asks the publisher, so that all comes that can.
    pub(in crate::simulation) const STUBBORN: Self = Self {
        tolerance: Duration::from_millis(10),
        repeat: Duration::from_millis(60),
        tries: 42,
        picture: None,
    };

    /// As libwebrtc does: at once, for as long as nothing comes out of order; again after the 100 ms that it
    /// takes for the round trip while nobody tells it (a receiver learns it by extended reports alone);
    /// ten times. Three seconds without a picture are too long.
    pub(in crate::simulation) const BROWSER: Self = Self {
        tolerance: Duration::ZERO,
        repeat: Duration::from_millis(100),
        tries: 10,
        picture: Some(Duration::from_secs(3)),
    };
}

impl WatchingPeer {
    pub(super) fn nack(&mut self, now: Instant, track: usize, numbers: &[u16]) {
        let nack = TransportLayerNack {
            sender_ssrc: 1,
            media_ssrc: self.tracks[track].ssrc,
            nacks: nack_pairs_from_sequence_numbers(numbers),
        };
        self.send_rtcp(now, Box::new(nack));
    }

    pub(in crate::simulation) fn request_keyframe(&mut self, now: Instant) {
        if self.peer.is_connected() {
            let media_ssrc = self.tracks[0].ssrc;
            self.send_rtcp(
                now,
                Box::new(PictureLossIndication {
                    sender_ssrc: 1,
                    media_ssrc,
                }),
            );
        }
    }

    /// Tells by REMB what is due.
    pub(super) fn tell(&mut self, now: Instant) {
        if !self.peer.is_connected() {
            return;
        }
        if let Some(bitrate) = self.account.poll(now) {
            let remb = ReceiverEstimatedMaximumBitrate {
                sender_ssrc: 1,
                bitrate,
                ssrcs: vec![self.tracks[0].ssrc],
            };
            self.send_rtcp(now, Box::new(remb));
        }
    }

    pub(super) fn send_rtcp(&mut self, now: Instant, packet: Box<dyn rtcp::Packet>) {
        let heard = self.tracks.iter().filter_map(|track| {
            let mut reports = self.reports.iter().rev();
            let last = reports.find(|report| report.track == track.track)?;
            Some(ReceptionReport {
                ssrc: track.ssrc,
                last_sender_report: (last.ntp >> 16) as u32,
                delay: ((now - last.at).as_secs_f64() * 65_536.0) as u32,
                ..ReceptionReport::default()
            })
        });
        let report = Box::new(ReceiverReport {
            ssrc: 1,
            reports: heard.collect(),
            ..ReceiverReport::default()
        });
        let compound = rtcp::packet::marshal(&[report, packet]).unwrap();
        let datagram = self.peer.protect_rtcp(&compound);
        self.outbox.push((self.path, datagram));
    }
}
