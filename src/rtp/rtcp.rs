//! The RTCP that publishers and subscribers send, and that subscribers receive (RFC 3550, section 6; RFC 4585; RFC 5104).
//!
//! Readers over compound packets that allocate nothing, because every viewer sends some each
//! second, and writers for what the server sends. A packet of an unknown kind is passed over. What
//! publishers are sent stands in [`crate::ingest`].

use super::transport_feedback::TransportFeedback;

/// RTCP packet types (IANA registry "RTCP Control Packet Types").
mod packet_type {
    pub(super) const SENDER_REPORT: u8 = 200;
    pub(super) const RECEIVER_REPORT: u8 = 201;
    pub(super) const SOURCE_DESCRIPTION: u8 = 202;
    pub(super) const GOODBYE: u8 = 203;
    pub(super) const TRANSPORT_FEEDBACK: u8 = 205;
    pub(super) const PAYLOAD_FEEDBACK: u8 = 206;
}

const FORMAT_NACK: u8 = 1;
const FORMAT_TRANSPORT_WIDE: u8 = 15;
const FORMAT_PLI: u8 = 1;
const FORMAT_FIR: u8 = 4;
const FORMAT_APPLICATION: u8 = 15;

/// What an application layer message begins with that is a REMB.
const REMB: &[u8] = b"REMB";

/// One thing that a receiver of media tells its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiverFeedback<'a> {
    /// A reception report block (RFC 3550, section 6.4.1).
    Report(ReceptionReport),
    /// Lost packets of a source (RFC 4585, section 6.2.1).
    Nack {
        /// The source that they belong to.
        ssrc: u32,
        /// Which ones.
        lost: NackList<'a>,
    },
    /// When packets of the whole transport arrived.
    TransportWide(TransportFeedback<'a>),
    /// The most that the receiver wants to get of all sources together (draft-alvestrand-rmcat-remb-03).
    Remb {
        /// In bit/s.
        bitrate: u64,
    },
    /// The receiver needs a keyframe: PLI or FIR.
    KeyframeRequest {
        /// The source that is asked for.
        ssrc: u32,
    },
}

/// What a receiver saw of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceptionReport {
    /// The source.
    pub ssrc: u32,
    /// Share of packets lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the beginning; duplicates count against it.
    pub cumulative_lost: i32,
    /// The middle 32 bits of the NTP time of the last sender report, 0 for none.
    pub last_sender_report: u32,
    /// Time since that report came, in 1/65536 s.
    pub delay: u32,
}

/// The packet numbers of one NACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NackList<'a>(&'a [u8]);

impl<'a> NackList<'a> {
    /// The sequence numbers, in the order of the packet.
    pub fn iter(self) -> impl Iterator<Item = u16> + 'a {
        let (items, _) = self.0.as_chunks::<4>();
        items.iter().flat_map(|item| {
            let first = u16::from_be_bytes([item[0], item[1]]);
            let mask = u16::from_be_bytes([item[2], item[3]]);
            let following = (0..16u16)
                .filter(move |bit| mask & (1 << bit) != 0)
                .map(move |bit| first.wrapping_add(bit + 1));
            std::iter::once(first).chain(following)
        })
    }
}

/// Calls `found` for everything in a compound packet that a sender of media cares for.
///
/// Returns false where the bytes stop being RTCP; what stood before was told.
pub fn read_feedback<'a>(compound: &'a [u8], mut found: impl FnMut(ReceiverFeedback<'a>)) -> bool {
    let mut rest = compound;
    while !rest.is_empty() {
        let Some((packet, tail)) = split_packet(rest) else {
            return false;
        };
        rest = tail;
        let count = packet[0] & 0x1F;
        match (packet[1], count) {
            (packet_type::RECEIVER_REPORT, _) => reports(&packet[8..], &mut found),
            // A subscriber sends no media, but a report of one that claims to is read all the same.
            (packet_type::SENDER_REPORT, _) => {
                reports(packet.get(28..).unwrap_or_default(), &mut found);
            }
            (packet_type::TRANSPORT_FEEDBACK, FORMAT_NACK) => {
                if let Some(ssrc) = word(packet, 8) {
                    found(ReceiverFeedback::Nack {
                        ssrc,
                        lost: NackList(&packet[12..]),
                    });
                }
            }
            (packet_type::TRANSPORT_FEEDBACK, FORMAT_TRANSPORT_WIDE) => {
                let body = packet.get(12..).unwrap_or_default();
                if let Some(feedback) = TransportFeedback::parse(body) {
                    found(ReceiverFeedback::TransportWide(feedback));
                }
            }
            (packet_type::PAYLOAD_FEEDBACK, FORMAT_PLI) => {
                if let Some(ssrc) = word(packet, 8) {
                    found(ReceiverFeedback::KeyframeRequest { ssrc });
                }
            }
            (packet_type::PAYLOAD_FEEDBACK, FORMAT_APPLICATION) => {
                if let Some(bitrate) = remb(packet) {
                    found(ReceiverFeedback::Remb { bitrate });
                }
            }
            // The media source of a FIR stands in its entries (RFC 5104, section 4.3.1).
            (packet_type::PAYLOAD_FEEDBACK, FORMAT_FIR) => {
                for entry in packet.get(12..).unwrap_or_default().chunks_exact(8) {
                    if let Some(ssrc) = word(entry, 0) {
                        found(ReceiverFeedback::KeyframeRequest { ssrc });
                    }
                }
            }
            _ => {}
        }
    }
    true
}

/// One thing that a source says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceReport {
    /// A sender report (RFC 3550, section 6.4.1).
    Sender {
        /// The source.
        ssrc: u32,
        /// NTP time, 32.32 fixed point seconds since 1900.
        ntp: u64,
        /// The RTP timestamp of the same instant.
        rtp_timestamp: u32,
    },
    /// The source sends nothing any more (RFC 3550, section 6.6).
    Goodbye {
        /// The source.
        ssrc: u32,
    },
}

/// Calls `found` for everything in a compound packet that a receiver of media cares for.
///
/// Returns false where the bytes stop being RTCP; what stood before was told.
pub fn read_source_reports(compound: &[u8], mut found: impl FnMut(SourceReport)) -> bool {
    let mut rest = compound;
    while !rest.is_empty() {
        let Some((packet, tail)) = split_packet(rest) else {
            return false;
        };
        rest = tail;
        match packet[1] {
            packet_type::SENDER_REPORT => {
                let (Some(ssrc), Some(high), Some(low), Some(rtp_timestamp)) = (
                    word(packet, 4),
                    word(packet, 8),
                    word(packet, 12),
                    word(packet, 16),
                ) else {
                    return false;
                };
                found(SourceReport::Sender {
                    ssrc,
                    ntp: u64::from(high) << 32 | u64::from(low),
                    rtp_timestamp,
                });
            }
            packet_type::GOODBYE => {
                let count = usize::from(packet[0] & 0x1F);
                for source in packet[4..].chunks_exact(4).take(count) {
                    if let Some(ssrc) = word(source, 0) {
                        found(SourceReport::Goodbye { ssrc });
                    }
                }
            }
            _ => {}
        }
    }
    true
}

/// The first packet of a compound: at least 8 bytes, its padding taken off.
fn split_packet(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let head: &[u8; 4] = bytes.first_chunk()?;
    let len = 4 * (usize::from(u16::from_be_bytes([head[2], head[3]])) + 1);
    if head[0] >> 6 != 2 || len < 8 {
        // An empty BYE is the one packet of 4 bytes; it says nothing that a timeout does not.
        return None;
    }
    let (packet, rest) = bytes.split_at_checked(len)?;
    if head[0] & 0x20 == 0 {
        return Some((packet, rest));
    }
    let padding = usize::from(*packet.last()?);
    let end = len
        .checked_sub(padding)
        .filter(|end| padding > 0 && *end >= 8)?;
    Some((&packet[..end], rest))
}

fn reports<'a>(blocks: &[u8], found: &mut impl FnMut(ReceiverFeedback<'a>)) {
    for block in blocks.chunks_exact(24) {
        let lost = i32::from_be_bytes([block[5], block[6], block[7], 0]) >> 8;
        if let (Some(ssrc), Some(last_sender_report), Some(delay)) =
            (word(block, 0), word(block, 16), word(block, 20))
        {
            found(ReceiverFeedback::Report(ReceptionReport {
                ssrc,
                fraction_lost: block[4],
                cumulative_lost: lost,
                last_sender_report,
                delay,
            }));
        }
    }
}

/// The bitrate of a REMB: 6 bits of exponent and 18 of mantissa, behind the number of sources.
fn remb(packet: &[u8]) -> Option<u64> {
    if packet.get(12..16) != Some(REMB) {
        return None;
    }
    let value = word(packet, 16)? & 0x00FF_FFFF;
    let bitrate = u128::from(value & 0x3_FFFF) << (value >> 18);
    Some(u64::try_from(bitrate).unwrap_or(u64::MAX))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes: &[u8; 4] = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*bytes))
}

/// A sender report (RFC 3550, section 6.4.1) without reception blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport {
    /// The source.
    pub ssrc: u32,
    /// NTP time, 32.32 fixed point seconds since 1900.
    pub ntp: u64,
    /// The RTP timestamp of the same instant.
    pub rtp_timestamp: u32,
    /// Packets sent so far, modulo 2^32.
    pub packets: u32,
    /// Payload bytes sent so far, modulo 2^32.
    pub bytes: u32,
}

impl SenderReport {
    /// Appends the report and, as every compound needs one, the source description with `cname` (RFC 3550, section 6.1).
    pub fn write(&self, cname: &str, compound: &mut Vec<u8>) {
        compound.extend_from_slice(&[0x80, packet_type::SENDER_REPORT, 0, 6]);
        compound.extend_from_slice(&self.ssrc.to_be_bytes());
        compound.extend_from_slice(&self.ntp.to_be_bytes());
        for field in [self.rtp_timestamp, self.packets, self.bytes] {
            compound.extend_from_slice(&field.to_be_bytes());
        }
        write_cname(self.ssrc, cname, compound);
    }
}

/// Appends a source description with one chunk that names the source (RFC 3550, section 6.5).
fn write_cname(ssrc: u32, cname: &str, compound: &mut Vec<u8>) {
    let name = &cname.as_bytes()[..cname.len().min(255)];
    // The item is ended by one null byte at least, and the chunk padded to a word.
    let words = (4 + 2 + name.len()) / 4 + 1;
    compound.extend_from_slice(&[0x81, packet_type::SOURCE_DESCRIPTION, 0, words as u8]);
    let end = compound.len() + 4 * words;
    compound.extend_from_slice(&ssrc.to_be_bytes());
    compound.extend_from_slice(&[1, name.len() as u8]);
    compound.extend_from_slice(name);
    compound.resize(end, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rtc::rtcp::packet::unmarshal;
    use rtc::shared::marshal::Marshal as _;

    const REPORT: SenderReport = SenderReport {
        ssrc: 7,
        ntp: 0x0102_0304_0506_0708,
        rtp_timestamp: 90_000,
        packets: 3,
        bytes: 4_000,
    };

    fn read(bytes: &[u8]) -> Vec<ReceiverFeedback<'_>> {
        let mut all = Vec::new();
        assert!(read_feedback(bytes, |feedback| all.push(feedback)));
        all
    }

    #[test]
    fn nacks_are_expanded() {
        use rtc::rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};
        let nack = TransportLayerNack {
            sender_ssrc: 1,
            media_ssrc: 77,
            nacks: vec![
                NackPair {
                    packet_id: 65_534,
                    lost_packets: 0b101,
                },
                NackPair {
                    packet_id: 9,
                    lost_packets: 0,
                },
            ],
        };
        let bytes = nack.marshal().unwrap();
        let all = read(&bytes);
        let [ReceiverFeedback::Nack { ssrc: 77, lost }] = all[..] else {
            panic!("{all:?}");
        };
        assert_eq!(lost.iter().collect::<Vec<_>>(), [65_534, 65_535, 1, 9]);
    }

    #[test]
    fn keyframe_requests_of_both_kinds_are_found_in_a_compound() {
        use rtc::rtcp::payload_feedbacks::full_intra_request::{FirEntry, FullIntraRequest};
        use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
        let pli = PictureLossIndication {
            sender_ssrc: 1,
            media_ssrc: 5,
        };
        let fir = FullIntraRequest {
            sender_ssrc: 1,
            media_ssrc: 0,
            fir: vec![FirEntry {
                ssrc: 6,
                sequence_number: 3,
            }],
        };
        let mut bytes = pli.marshal().unwrap().to_vec();
        bytes.extend_from_slice(&fir.marshal().unwrap());
        assert_eq!(
            read(&bytes),
            [
                ReceiverFeedback::KeyframeRequest { ssrc: 5 },
                ReceiverFeedback::KeyframeRequest { ssrc: 6 }
            ]
        );
    }

    #[test]
    fn the_bitrate_of_a_remb_is_read() {
        use rtc::rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
        let remb = ReceiverEstimatedMaximumBitrate {
            sender_ssrc: 1,
            bitrate: 1_500_000.0,
            ssrcs: vec![5, 6],
        };
        let mut bytes = remb.marshal().unwrap().to_vec();
        let [ReceiverFeedback::Remb { bitrate }] = read(&bytes)[..] else {
            panic!("no REMB");
        };
        assert_eq!(bitrate, 1_500_000);
        bytes[17..20].fill(0xFF);
        assert_eq!(read(&bytes), [ReceiverFeedback::Remb { bitrate: u64::MAX }]);
        bytes[12] = b'X';
        assert_eq!(read(&bytes), []);
    }

    #[test]
    fn report_blocks_are_read() {
        use rtc::rtcp::receiver_report::ReceiverReport;
        use rtc::rtcp::reception_report::ReceptionReport as Block;
        let report = ReceiverReport {
            ssrc: 1,
            reports: vec![Block {
                ssrc: 9,
                fraction_lost: 12,
                total_lost: 345,
                last_sender_report: 0xAABB_CCDD,
                delay: 65_536,
                ..Default::default()
            }],
            ..Default::default()
        };
        let bytes = report.marshal().unwrap();
        assert_eq!(
            read(&bytes),
            [ReceiverFeedback::Report(ReceptionReport {
                ssrc: 9,
                fraction_lost: 12,
                cumulative_lost: 345,
                last_sender_report: 0xAABB_CCDD,
                delay: 65_536
            })]
        );
    }

    #[test]
    fn a_sender_report_is_a_valid_compound_for_every_name_length() {
        for len in 0..12 {
            let mut compound = Vec::new();
            REPORT.write(&"x".repeat(len), &mut compound);
            assert_eq!(compound.len() % 4, 0);
            let packets = unmarshal(&mut &compound[..]).unwrap();
            assert_eq!(packets.len(), 2, "cname of {len}");
        }
    }

    fn read_sources(bytes: &[u8]) -> (Vec<SourceReport>, bool) {
        let mut all = Vec::new();
        let whole = read_source_reports(bytes, |report| all.push(report));
        (all, whole)
    }

    #[test]
    fn what_a_source_says_is_found_behind_what_nobody_knows() {
        let mut bytes = vec![0x80, 207, 0, 1, 9, 9, 9, 9];
        REPORT.write("demo", &mut bytes);
        bytes.extend([0x82, 203, 0, 3, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 9]);
        let said = [
            SourceReport::Sender {
                ssrc: REPORT.ssrc,
                ntp: REPORT.ntp,
                rtp_timestamp: REPORT.rtp_timestamp,
            },
            SourceReport::Goodbye { ssrc: 5 },
            SourceReport::Goodbye { ssrc: 6 },
        ];
        assert_eq!(read_sources(&bytes), (said.to_vec(), true));
        // Fewer than it says.
        bytes.extend([0x9F, 203, 0, 1, 0, 0, 0, 8, 0x80, 200, 0, 1, 0, 0, 0, 7]);
        let (all, whole) = read_sources(&bytes);
        assert_eq!(all[3..], [SourceReport::Goodbye { ssrc: 8 }]);
        assert!(!whole, "a sender report that ends too soon");
    }

    #[test]
    fn a_length_beyond_the_end_is_noticed() {
        for bytes in [&[0x80, 200, 0, 6][..], &[0, 201, 0, 1, 0, 0, 0, 1]] {
            assert_eq!(read_sources(bytes), (Vec::new(), false));
        }
        assert!(!read_feedback(&[0x81, 206, 0, 9, 0, 0, 0, 1], |_| panic!(
            "nothing is there"
        )));
        assert!(!read_feedback(&[0x80, 201, 0, 0], |_| panic!(
            "nothing is there"
        )));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in 200u8..=207) {
            if bytes.len() > 1 {
                bytes[0] = bytes[0] & 0x3F | 0x80;
                bytes[1] = kind;
            }
            read_source_reports(&bytes, |_| ());
            read_feedback(&bytes, |feedback| {
                if let ReceiverFeedback::Nack { lost, .. } = feedback {
                    assert!(lost.iter().count() <= 17 * 75);
                }
            });
        }
    }
}
