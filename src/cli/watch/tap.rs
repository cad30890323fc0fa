//! A tap on the packets of a session, right behind SRTP, and the table of the codecs we offer.
//!
//! It sits before every other interceptor of the WebRTC stack for three reasons. It sees the instant
//! of arrival of each packet and each sender report, before queues. It knows a track by the payload
//! type of our own offer, so that a server that declares no SSRC in its answer works too. And it turns
//! a retransmission (RFC 4588) back into the packet that it repeats: the stack does so only after its
//! NACK generator, which would ask for the same packet again and again.
//!
//! It also asks for the first keyframe, at most once a second (RFC 4585, section 6.3.1).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rtc::interceptor::{AttributedPacket, Interceptor, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::sender_report::SenderReport;
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use rtc::shared::error::Error;
use tokio::sync::mpsc;

use super::depayload;
use super::frame::Packet;
use crate::rtp::{Codec, MediaKind};

/// How often a keyframe is asked for until one begins.
const PLI_INTERVAL: Duration = Duration::from_secs(1);
/// The most video sources that are asked for keyframes.
const MAX_SOURCES: usize = 8;

/// A codec of our offer with the payload types that it has there.
pub(in crate::cli) struct Offered {
    pub(in crate::cli) codec: Codec,
    pub(in crate::cli) payload_type: u8,
    /// The payload type of its retransmissions.
    pub(super) rtx: Option<u8>,
    pub(super) fmtp: &'static str,
}

const fn offered(codec: Codec, payload_type: u8, rtx: Option<u8>, fmtp: &'static str) -> Offered {
    Offered {
        codec,
        payload_type,
        rtx,
        fmtp,
    }
}

/// What we offer to receive, the preferred first.
pub(in crate::cli) const OFFERED: [Offered; 16] = [
    offered(
        Codec::H264,
        106,
        Some(107),
        "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
    ),
    offered(
        Codec::H264,
        102,
        Some(103),
        "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f",
    ),
    offered(
        Codec::H264,
        112,
        Some(113),
        "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f",
    ),
    offered(
        Codec::H264,
        114,
        Some(115),
        "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=640c1f",
    ),
    offered(
        Codec::H264,
        118,
        Some(119),
        "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f",
    ),
    offered(
        Codec::H264,
        108,
        Some(109),
        "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f",
    ),
    offered(
        Codec::H264,
        104,
        Some(105),
        "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42001f",
    ),
    offered(Codec::Vp8, 96, Some(97), ""),
    offered(Codec::Vp9, 98, Some(99), "profile-id=0"),
    offered(Codec::Vp9, 100, Some(101), "profile-id=2"),
    offered(Codec::Av1, 45, Some(46), ""),
    offered(Codec::H265, 116, Some(117), ""),
    offered(
        Codec::Opus,
        111,
        None,
        "minptime=10;useinbandfec=1;stereo=1",
    ),
    offered(Codec::G722, 9, None, ""),
    offered(Codec::Pcmu, 0, None, ""),
    offered(Codec::Pcma, 8, None, ""),
];

/// What the tap saw.
#[derive(Debug)]
pub(super) enum Seen {
    /// A media packet, out of its retransmission if it came in one.
    Rtp {
        ssrc: u32,
        codec: Codec,
        retransmission: bool,
        packet: Packet,
    },
    /// The sender's clock against its RTP timestamps (RFC 3550, section 6.4.1).
    SenderReport {
        ssrc: u32,
        /// Seconds since 1900 in 32.32 fixed point.
        ntp: u64,
        timestamp: u32,
    },
}

/// The interceptor nearest to the wire.
pub(super) struct Tap {
    seen: mpsc::Sender<(Instant, Seen)>,
    /// The source that last sent each payload type, to know what a retransmission repeats.
    sources: [Option<u32>; 128],
    keyframes: Vec<Wanted>,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

/// A video source, and when to ask it for a keyframe; never again once one began.
struct Wanted {
    ssrc: u32,
    next: Option<Instant>,
}

impl Tap {
    /// A tap that tells `seen` what it sees. When the channel is full, it leaves packets out there.
    pub(super) fn new(seen: mpsc::Sender<(Instant, Seen)>) -> Self {
        Self {
            seen,
            sources: [None; 128],
            keyframes: Vec::new(),
            reads: VecDeque::new(),
            writes: VecDeque::new(),
        }
    }

    /// Returns whether the packet is to go on.
    fn handle_rtp(&mut self, now: Instant, packet: &mut rtc::rtp::Packet) -> bool {
        let header = &mut packet.header;
        let repeated = OFFERED
            .iter()
            .find(|offered| offered.rtx == Some(header.payload_type));
        if let Some(original) = repeated {
            // Without the number of a packet it is padding of a bandwidth probe.
            let ([high, low, ..], Some(ssrc)) = (
                &packet.payload[..],
                self.sources[usize::from(original.payload_type & 0x7f)],
            ) else {
                return false;
            };
            header.sequence_number = u16::from_be_bytes([*high, *low]);
            header.ssrc = ssrc;
            header.payload_type = original.payload_type;
            header.padding = false;
            packet.payload = packet.payload.slice(2..);
        }
        let Some(offered) = OFFERED
            .iter()
            .find(|offered| offered.payload_type == header.payload_type)
        else {
            return true;
        };
        self.sources[usize::from(header.payload_type & 0x7f)] = Some(header.ssrc);
        if offered.codec.kind() == MediaKind::Video {
            self.want_keyframe(now, header.ssrc, offered.codec, &packet.payload);
        }
        self.tell(
            now,
            Seen::Rtp {
                ssrc: header.ssrc,
                codec: offered.codec,
                retransmission: repeated.is_some(),
                packet: Packet {
                    sequence: header.sequence_number,
                    timestamp: header.timestamp,
                    marker: header.marker,
                    payload: packet.payload.clone(),
                },
            },
        );
        true
    }

    fn want_keyframe(&mut self, now: Instant, ssrc: u32, codec: Codec, payload: &[u8]) {
        let known = self.keyframes.iter().position(|wanted| wanted.ssrc == ssrc);
        let has_begun = depayload::holds_keyframe(codec, payload);
        match known {
            Some(index) if has_begun => self.keyframes[index].next = None,
            None if self.keyframes.len() < MAX_SOURCES => self.keyframes.push(Wanted {
                ssrc,
                next: (!has_begun).then_some(now),
            }),
            _ => {}
        }
        self.ask(now);
    }

    fn ask(&mut self, now: Instant) {
        for wanted in &mut self.keyframes {
            if wanted.next.is_some_and(|next| next <= now) {
                wanted.next = Some(now + PLI_INTERVAL);
                let pli = PictureLossIndication {
                    sender_ssrc: 0,
                    media_ssrc: wanted.ssrc,
                };
                self.writes.push_back(TaggedPacket {
                    now,
                    transport: TransportContext::default(),
                    message: AttributedPacket::new(rtc::interceptor::Packet::Rtcp(vec![Box::new(
                        pli,
                    )])),
                });
            }
        }
    }

    fn tell(&self, now: Instant, seen: Seen) {
        if self.seen.try_send((now, seen)).is_err() {
            tracing::debug!("this machine is too slow to count every packet");
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Tap {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, mut msg: TaggedPacket) -> Result<(), Error> {
        let goes_on = match &mut msg.message.packet {
            rtc::interceptor::Packet::Rtp(packet) => self.handle_rtp(msg.now, packet),
            rtc::interceptor::Packet::Rtcp(packets) => {
                for packet in packets {
                    if let Some(report) = packet.as_any().downcast_ref::<SenderReport>() {
                        let seen = Seen::SenderReport {
                            ssrc: report.ssrc,
                            ntp: report.ntp_time,
                            timestamp: report.rtp_time,
                        };
                        self.tell(msg.now, seen);
                    }
                }
                true
            }
            _ => true,
        };
        if goes_on {
            self.reads.push_back(msg);
        }
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, msg: TaggedPacket) -> Result<(), Error> {
        self.writes.push_back(msg);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.ask(now);
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.keyframes.iter().filter_map(|wanted| wanted.next).min()
    }
}

impl Interceptor for Tap {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

/// The interceptor farthest from the wire: nobody reads the tracks, so nothing is put into their queues.
#[derive(Default)]
pub(super) struct Sink {
    writes: VecDeque<TaggedPacket>,
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Sink {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, _: TaggedPacket) -> Result<(), Error> {
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        None
    }

    fn handle_write(&mut self, msg: TaggedPacket) -> Result<(), Error> {
        self.writes.push_back(msg);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }
}

impl Interceptor for Sink {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn rtp(payload_type: u8, ssrc: u32, sequence: u16, payload: &'static [u8]) -> TaggedPacket {
        let mut packet = rtc::rtp::Packet::default();
        packet.header.payload_type = payload_type;
        packet.header.ssrc = ssrc;
        packet.header.sequence_number = sequence;
        packet.payload = Bytes::from_static(payload);
        TaggedPacket {
            now: Instant::now(),
            transport: TransportContext::default(),
            message: AttributedPacket::new(rtc::interceptor::Packet::Rtp(packet)),
        }
    }

    fn numbers(tap: &mut Tap) -> Vec<(u32, u16)> {
        std::iter::from_fn(|| tap.poll_read())
            .filter_map(|msg| match msg.message.packet {
                rtc::interceptor::Packet::Rtp(packet) => {
                    Some((packet.header.ssrc, packet.header.sequence_number))
                }
                _ => None,
            })
            .collect()
    }

    #[test]
    fn retransmissions_become_what_they_repeat() {
        let (sender, mut seen) = mpsc::channel(8);
        let mut tap = Tap::new(sender);
        tap.handle_read(rtp(96, 7, 100, &[0x10, 0x01])).unwrap();
        tap.handle_read(rtp(97, 8, 1, &[0, 99, 0x10, 0x01]))
            .unwrap();
        tap.handle_read(rtp(97, 8, 2, &[])).unwrap();
        assert_eq!(numbers(&mut tap), [(7, 100), (7, 99)]);
        assert!(matches!(
            seen.try_recv().unwrap().1,
            Seen::Rtp {
                retransmission: false,
                ..
            }
        ));
        let Seen::Rtp {
            ssrc,
            codec,
            retransmission,
            packet,
        } = seen.try_recv().unwrap().1
        else {
            panic!("not a packet");
        };
        assert_eq!((ssrc, codec, retransmission), (7, Codec::Vp8, true));
        assert_eq!(
            (packet.sequence, &packet.payload[..]),
            (99, &[0x10, 0x01][..])
        );
        assert!(seen.try_recv().is_err());
    }

    #[test]
    fn keyframes_are_asked_for_once_a_second_until_one_begins() {
        let (sender, _seen) = mpsc::channel(8);
        let mut tap = Tap::new(sender);
        let first = rtp(96, 7, 100, &[0x10, 0x01]);
        let now = first.now;
        tap.handle_read(first).unwrap();
        assert!(tap.poll_write().is_some());
        assert!(tap.poll_write().is_none());
        assert_eq!(tap.poll_timeout(), Some(now + PLI_INTERVAL));
        tap.handle_timeout(now + PLI_INTERVAL).unwrap();
        assert!(tap.poll_write().is_some());
        tap.handle_read(rtp(96, 7, 101, &[0x10, 0x00])).unwrap();
        assert_eq!(tap.poll_timeout(), None);
    }

    #[test]
    fn payload_types_are_used_once() {
        let mut all: Vec<u8> = OFFERED
            .iter()
            .flat_map(|offered| [Some(offered.payload_type), offered.rtx])
            .flatten()
            .collect();
        let len = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), len);
    }
}
