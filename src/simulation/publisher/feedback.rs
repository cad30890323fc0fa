//! What a publisher is told: of losses, and that a keyframe is wanted.

use std::time::Instant;

use rtc::rtcp;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;

use super::PublishingPeer;
use crate::simulation::{AUDIO, REPAIRED_RID_EXTENSION, RTX_PAYLOAD_TYPE};

impl PublishingPeer {
    pub(super) fn handle_feedback(&mut self, packet: &dyn rtcp::Packet) {
        if let Some(loss) = packet.as_any().downcast_ref::<PictureLossIndication>()
            && !self.is_deaf
        {
            for source in &mut self.sources {
                source.keyframe_wanted |= source.ssrc == loss.media_ssrc;
            }
        }
        let Some(nack) = packet.as_any().downcast_ref::<TransportLayerNack>() else {
            return;
        };
        let Some(index) = self
            .sources
            .iter()
            .position(|source| source.ssrc == nack.media_ssrc)
        else {
            return;
        };
        if self.sources[index].layer >= self.answering {
            return;
        }
        for number in nack.nacks.iter().flat_map(|pair| pair.packet_list()) {
            let source = &mut self.sources[index];
            let Some((_, packet)) = source.history.iter().find(|(sent, _)| *sent == number) else {
                continue;
            };
            self.repeated += 1;
            source.repeated += 1;
            let mut packet = packet.clone();
            if let Some((ssrc, sequence_number)) = &mut source.rtx {
                let mut payload_at = 12;
                if source.rid.is_some() {
                    packet[16] = packet[16] & 0x0F | REPAIRED_RID_EXTENSION << 4;
                    payload_at = 20;
                }
                let original = number.to_be_bytes();
                packet[1] = packet[1] & 0x80 | RTX_PAYLOAD_TYPE;
                packet[2..4].copy_from_slice(&sequence_number.to_be_bytes());
                packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
                packet.splice(payload_at..payload_at, original);
                *sequence_number = sequence_number.wrapping_add(1);
            }
            let datagram = self.peer.protect_rtp(&packet);
            self.outbox.push((self.path, datagram));
        }
    }

    pub(super) fn report(&mut self, now: Instant) {
        let ntp_time = self.epoch + (((now - self.start).as_millis() as u64) << 32) / 1_000;
        for index in 0..self.sources.len() {
            let source = &self.sources[index];
            let (due, rate) = match source.track {
                AUDIO => (self.next_audio, 48),
                _ => (self.next_video, 90),
            };
            // Until the next frame is captured.
            let left = (due - now).as_millis() as u32 * rate;
            let report: Box<dyn rtcp::Packet> = Box::new(SenderReport {
                ssrc: source.ssrc,
                ntp_time,
                rtp_time: source
                    .base
                    .wrapping_add(source.media_time)
                    .wrapping_sub(left),
                ..SenderReport::default()
            });
            let compound = rtcp::packet::marshal(&[report]).unwrap();
            let datagram = self.peer.protect_rtcp(&compound);
            self.outbox.push((self.path, datagram));
        }
    }
}
