//! Feedback on its way to the publisher, put together to compound packets.
//!
//! Every packet begins with a receiver report and a CNAME (RFC 3550, section 6.1), so that it is good
//! with and without `a=rtcp-rsize`: the 28 bytes are little beside the rate of feedback.

use std::collections::VecDeque;

use rtc::rtcp;
use rtc::rtcp::payload_feedbacks::full_intra_request::{FirEntry, FullIntraRequest};
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::source_description::{
    SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem,
};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{
    TransportLayerNack, nack_pairs_from_sequence_numbers,
};

/// Leaves room for SRTCP, UDP and IP within every path's limit.
const MAX_LEN: usize = 1200;

/// The report blocks that fit in one packet (RFC 3550, section 6.4.2).
const MAX_REPORTS: usize = 31;

/// Feedback that nobody fetches is dropped, oldest first.
const MAX_WAITING: usize = 64;

/// Entries of one NACK: 800 bytes at most.
const NACK_ENTRIES: usize = 200;

#[derive(Debug)]
pub(super) struct Outbox {
    sender_ssrc: u32,
    reports: VecDeque<ReceptionReport>,
    feedback: VecDeque<Box<dyn rtcp::Packet>>,
}

impl Outbox {
    pub(super) fn new(sender_ssrc: u32) -> Self {
        Self {
            sender_ssrc,
            reports: VecDeque::new(),
            feedback: VecDeque::new(),
        }
    }

    pub(super) fn sender_ssrc(&self) -> u32 {
        self.sender_ssrc
    }

    /// Sends a report block.
    pub(super) fn report(&mut self, report: ReceptionReport) {
        if self.reports.len() == MAX_WAITING {
            self.reports.pop_front();
        }
        self.reports.push_back(report);
    }

    /// Sends a feedback packet of at most about 1100 bytes.
    pub(super) fn feedback(&mut self, packet: impl rtcp::Packet + 'static) {
        if self.feedback.len() == MAX_WAITING {
            self.feedback.pop_front();
        }
        self.feedback.push_back(Box::new(packet));
    }

    /// Asks for packets again.
    pub(super) fn nack(&mut self, media_ssrc: u32, sequence_numbers: &[u16]) {
        for nacks in nack_pairs_from_sequence_numbers(sequence_numbers).chunks(NACK_ENTRIES) {
            self.feedback(TransportLayerNack {
                sender_ssrc: self.sender_ssrc,
                media_ssrc,
                nacks: nacks.to_vec(),
            });
        }
    }

    /// Asks for a keyframe.
    pub(super) fn picture_loss(&mut self, media_ssrc: u32) {
        self.feedback(PictureLossIndication {
            sender_ssrc: self.sender_ssrc,
            media_ssrc,
        });
    }

    /// Asks for a keyframe by the older command, whose sequence number tells repetitions apart.
    pub(super) fn full_intra_request(&mut self, media_ssrc: u32, sequence_number: u8) {
        self.feedback(FullIntraRequest {
            sender_ssrc: self.sender_ssrc,
            media_ssrc: 0, // unused (RFC 5104, section 4.3.1.2)
            fir: vec![FirEntry {
                ssrc: media_ssrc,
                sequence_number,
            }],
        });
    }

    /// The next compound packet.
    pub(super) fn poll(&mut self) -> Option<Vec<u8>> {
        while !self.reports.is_empty() || !self.feedback.is_empty() {
            let packets = self.compound();
            match rtcp::packet::marshal(&packets) {
                Ok(bytes) => return Some(bytes.into()),
                // Only what we built ourselves could be wrong; the rest goes on without it.
                Err(error) => tracing::warn!(%error, "a feedback packet could not be written"),
            }
        }
        None
    }

    fn compound(&mut self) -> Vec<Box<dyn rtcp::Packet>> {
        let reports = self.reports.len().min(MAX_REPORTS);
        let mut packets: Vec<Box<dyn rtcp::Packet>> = vec![
            Box::new(ReceiverReport {
                ssrc: self.sender_ssrc,
                reports: self.reports.drain(..reports).collect(),
                ..ReceiverReport::default()
            }),
            Box::new(self.source_description()),
        ];
        let mut len: usize = packets.iter().map(|packet| padded_len(&**packet)).sum();
        let mut first = true;
        while let Some(next) = self.feedback.front() {
            len += padded_len(&**next);
            if len > MAX_LEN && !first {
                break;
            }
            first = false;
            packets.extend(self.feedback.pop_front());
        }
        packets
    }

    /// The name is the SSRC: it is of this session alone and says nothing of the host (RFC 7022).
    fn source_description(&self) -> SourceDescription {
        SourceDescription {
            chunks: vec![SourceDescriptionChunk {
                source: self.sender_ssrc,
                items: vec![SourceDescriptionItem {
                    sdes_type: SdesType::SdesCname,
                    text: format!("{:08x}", self.sender_ssrc).into(),
                }],
            }],
        }
    }
}

fn padded_len(packet: &dyn rtcp::Packet) -> usize {
    packet.raw_size().next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feedback_follows_a_report_and_a_name() {
        let mut outbox = Outbox::new(1);
        outbox.picture_loss(2);
        let bytes = outbox.poll().unwrap();
        let kinds: Vec<_> = rtcp::packet::unmarshal(&mut &bytes[..])
            .unwrap()
            .iter()
            .map(|packet| packet.header().packet_type as u8)
            .collect();
        assert_eq!(kinds, [201, 202, 206]);
        assert_eq!(outbox.poll(), None);
    }

    #[test]
    fn packets_stay_below_the_limit_of_a_path() {
        let mut outbox = Outbox::new(1);
        for _ in 0..2 * MAX_WAITING {
            outbox.report(ReceptionReport::default());
            outbox.nack(2, &(0..100).map(|index| index * 20).collect::<Vec<_>>());
        }
        let packets: Vec<_> = std::iter::from_fn(|| outbox.poll()).collect();
        assert!(packets.iter().all(|packet| packet.len() <= MAX_LEN));
        assert!(packets.len() >= MAX_WAITING / 3);
    }
}
