//! A publisher on a virtual network: every test tells it packets at made-up instants.

use proptest::prelude::*;
use rtc::rtcp;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;

use super::*;
use crate::rtp::{Codec, ExtensionMap};
use crate::sdp::session::{Feedback, PublishedLayer, PublishedTrack};
use crate::stream::TrackInfo;

mod layers;
mod redundancy;
mod verdict;

const AUDIO: TrackId = TrackId(0);
const VIDEO: TrackId = TrackId(1);
const AUDIO_SSRC: u32 = 0xA;
const VIDEO_SSRC: u32 = 0xB;
const RTX_SSRC: u32 = 0xC;
const OPUS: u8 = 111;
const H264: u8 = 102;
const RTX: u8 = 103;
const LOCAL_SSRC: u32 = 0x1;

const MID: u8 = 1;
const TRANSPORT_SEQUENCE_NUMBER: u8 = 3;
const AUDIO_LEVEL: u8 = 4;

const NEVER: [u128; 0] = [];

const SPS: &[u8] = &[0x67, 0x42];
const IDR: &[u8] = &[0x65, 0x88];
const SLICE: &[u8] = &[0x41, 0x9A];

fn spec() -> PublisherSpec {
    let mut extensions = ExtensionMap::default();
    extensions.set(Extension::Mid, MID);
    extensions.set(
        Extension::TransportSequenceNumber,
        TRANSPORT_SEQUENCE_NUMBER,
    );
    extensions.set(Extension::AudioLevel, AUDIO_LEVEL);
    let track = |id, codec, mid: &str, payload_type, rtx_payload_type| PublishedTrack {
        info: TrackInfo {
            id,
            codec,
            fmtp: String::new(),
            channels: 1,
        },
        mid: mid.to_owned(),
        payload_type,
        red_payload_type: None,
        rtx_payload_type,
        layers: vec![PublishedLayer::default()],
        extensions,
        feedback: Feedback {
            nack: true,
            pli: true,
            fir: true,
            transport_cc: true,
            remb: false,
        },
    };
    PublisherSpec {
        tracks: vec![
            track(AUDIO, Codec::Opus, "0", OPUS, None),
            track(VIDEO, Codec::H264, "1", H264, Some(RTX)),
        ],
    }
}

fn blank(now: Instant) -> Packet {
    Packet {
        track: TrackId(255),
        ..Packet::empty(now)
    }
}

/// A packet on its way to us.
#[derive(Clone)]
struct Rtp {
    payload_type: u8,
    ssrc: u32,
    sequence_number: u16,
    timestamp: u32,
    /// In the one-byte form.
    extensions: Vec<(u8, Vec<u8>)>,
    payload: Vec<u8>,
    padding: u8,
}

impl Rtp {
    fn video(sequence_number: u16, timestamp: u32, payload: &[u8]) -> Self {
        Self {
            payload_type: H264,
            ssrc: VIDEO_SSRC,
            sequence_number,
            timestamp,
            extensions: Vec::new(),
            payload: payload.to_vec(),
            padding: 0,
        }
    }

    fn audio(sequence_number: u16, timestamp: u32) -> Self {
        Self {
            payload_type: OPUS,
            ssrc: AUDIO_SSRC,
            ..Self::video(sequence_number, timestamp, &[0xFC, 1, 2])
        }
    }

    /// The retransmission of this packet.
    fn rtx(self, sequence_number: u16) -> Self {
        let mut payload = self.sequence_number.to_be_bytes().to_vec();
        payload.extend_from_slice(&self.payload);
        Self {
            payload_type: RTX,
            ssrc: RTX_SSRC,
            sequence_number,
            payload,
            ..self
        }
    }

    fn padding_only(self) -> Self {
        Self {
            payload: Vec::new(),
            padding: 4,
            ..self
        }
    }

    fn with_ssrc(self, ssrc: u32) -> Self {
        Self { ssrc, ..self }
    }

    fn with_extension(mut self, id: u8, value: &[u8]) -> Self {
        self.extensions.push((id, value.to_vec()));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0x80, self.payload_type];
        bytes.extend_from_slice(&self.sequence_number.to_be_bytes());
        bytes.extend_from_slice(&self.timestamp.to_be_bytes());
        bytes.extend_from_slice(&self.ssrc.to_be_bytes());
        if !self.extensions.is_empty() {
            bytes[0] |= 0x10;
            let mut block = Vec::new();
            for (id, value) in &self.extensions {
                block.push(id << 4 | (value.len() - 1) as u8);
                block.extend_from_slice(value);
            }
            block.resize(block.len().next_multiple_of(4), 0);
            bytes.extend_from_slice(&[0xBE, 0xDE, 0, (block.len() / 4) as u8]);
            bytes.extend_from_slice(&block);
        }
        bytes.extend_from_slice(&self.payload);
        if self.padding > 0 {
            bytes[0] |= 0x20;
            bytes.resize(bytes.len() + usize::from(self.padding), 0);
            *bytes.last_mut().unwrap() = self.padding;
        }
        bytes
    }
}

/// A publisher and its clock.
struct Rig {
    publisher: Publisher,
    start: Instant,
    now: Instant,
}

impl Rig {
    fn new() -> Self {
        Self::with(spec())
    }

    fn with(spec: PublisherSpec) -> Self {
        let start = Instant::now();
        Self {
            publisher: Publisher::new(start, spec, Config::default(), LOCAL_SSRC),
            start,
            now: start,
        }
    }

    fn receive(&mut self, rtp: &Rtp) -> Result<Packet, Reason> {
        let mut packet = blank(self.now);
        match self
            .publisher
            .handle_rtp(self.now, &rtp.bytes(), &mut packet)
        {
            Ingested::Media => Ok(packet),
            Ingested::Nothing(reason) => Err(reason),
        }
    }

    fn video(&mut self, sequence_number: u16, timestamp: u32) -> Packet {
        self.receive(&Rtp::video(sequence_number, timestamp, SLICE))
            .unwrap()
    }

    fn rtcp(&mut self, packets: &[Box<dyn rtcp::Packet>]) {
        let bytes = rtcp::packet::marshal(packets).unwrap();
        self.publisher.handle_rtcp(self.now, &bytes);
    }

    /// Lets time pass, with every timeout on its way; what was sent, and when.
    fn pass(&mut self, duration: Duration) -> Vec<(u128, Box<dyn rtcp::Packet>)> {
        let end = self.now + duration;
        let mut sent = Vec::new();
        for _ in 0..10_000 {
            while let Some(bytes) = self.publisher.poll_rtcp() {
                let at = (self.now - self.start).as_millis();
                let packets = rtcp::packet::unmarshal(&mut &bytes[..]).unwrap();
                sent.extend(packets.into_iter().map(|packet| (at, packet)));
            }
            match self.publisher.poll_timeout() {
                Some(due) if due <= end => {
                    self.now = self.now.max(due);
                    self.publisher.handle_timeout(self.now);
                }
                _ => {
                    self.now = end;
                    return sent;
                }
            }
        }
        panic!("timeouts without end");
    }

    fn pass_millis(&mut self, millis: u64) -> Vec<(u128, Box<dyn rtcp::Packet>)> {
        self.pass(Duration::from_millis(millis))
    }

    /// What was told, but for the reports that come each second.
    fn events(&mut self) -> Vec<Event> {
        let mut events = self.all_events();
        events.retain(|event| !matches!(event, Event::Report(_)));
        events
    }

    fn all_events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.publisher.poll_event()).collect()
    }

    fn video_stats(&self) -> LayerStats {
        self.publisher.stats().layers[1]
    }
}

/// The packets of one kind among those that were sent.
fn of<T: 'static>(sent: &[(u128, Box<dyn rtcp::Packet>)]) -> Vec<(u128, &T)> {
    sent.iter()
        .filter_map(|(at, packet)| Some((*at, packet.as_any().downcast_ref()?)))
        .collect()
}

/// When and what NACKs asked for.
fn nacks(sent: &[(u128, Box<dyn rtcp::Packet>)]) -> Vec<(u128, Vec<u16>)> {
    of::<TransportLayerNack>(sent)
        .into_iter()
        .map(|(at, nack)| {
            let numbers = nack.nacks.iter().flat_map(|pair| pair.packet_list());
            (at, numbers.collect())
        })
        .collect()
}

fn keyframe_requests(sent: &[(u128, Box<dyn rtcp::Packet>)]) -> Vec<u128> {
    of::<PictureLossIndication>(sent)
        .into_iter()
        .map(|(at, _)| at)
        .collect()
}

#[test]
fn tracks_are_told_apart_by_payload_type() {
    let mut rig = Rig::new();
    assert_eq!(rig.receive(&Rtp::audio(1, 960)).unwrap().track, AUDIO);
    let packet = rig.receive(&Rtp::video(7, 3000, IDR)).unwrap();
    assert_eq!(packet.track, VIDEO);
    assert_eq!((packet.sequence, packet.timestamp), (65_543, 3000));
    assert_eq!(packet.payload, IDR);
    assert!(packet.keyframe);
}

#[test]
fn a_mid_outweighs_the_payload_type() {
    let mut spec = spec();
    spec.tracks[0] = spec.tracks[1].clone();
    spec.tracks[0].info.id = AUDIO;
    spec.tracks[0].mid = "0".to_owned();
    let mut rig = Rig::with(spec);
    let rtp = Rtp::video(1, 0, IDR).with_extension(MID, b"1");
    assert_eq!(rig.receive(&rtp).unwrap().track, VIDEO);
    // Without one, the track that lacks a source gets it.
    let rtp = Rtp::video(1, 0, IDR).with_ssrc(0xF);
    assert_eq!(rig.receive(&rtp).unwrap().track, AUDIO);
}

#[test]
fn an_announced_ssrc_outweighs_the_payload_type() {
    let mut spec = spec();
    spec.tracks[0] = spec.tracks[1].clone();
    spec.tracks[0].info.id = AUDIO;
    spec.tracks[1].layers[0].ssrc = Some(VIDEO_SSRC);
    let mut rig = Rig::with(spec);
    assert_eq!(rig.receive(&Rtp::video(1, 0, IDR)).unwrap().track, VIDEO);
}

#[test]
fn an_unknown_payload_type_is_dropped() {
    let mut rig = Rig::new();
    let mut rtp = Rtp::video(1, 0, IDR);
    rtp.payload_type = 96;
    assert_eq!(rig.receive(&rtp).unwrap_err(), Reason::UnknownSource);
    assert_eq!(rig.publisher.stats().unknown, 1);
    let rtp = rtp.with_extension(MID, b"1");
    assert_eq!(rig.receive(&rtp).unwrap_err(), Reason::UnknownPayloadType);
}

#[test]
fn a_foreign_payload_type_on_the_ssrc_leaves_no_gap() {
    let mut rig = Rig::new();
    let first = rig.receive(&Rtp::audio(1, 960)).unwrap();
    let mut noise = Rtp::audio(2, 1920);
    noise.payload_type = 13;
    assert_eq!(rig.receive(&noise).unwrap_err(), Reason::Padding);
    let next = rig.receive(&Rtp::audio(3, 2880)).unwrap();
    assert_eq!(next.sequence, first.sequence + 1);
    assert_eq!(nacks(&rig.pass_millis(200)), []);
}

#[test]
fn a_loss_is_repaired_by_rtx() {
    let mut rig = Rig::new();
    rig.receive(&Rtp::video(10, 0, IDR)).unwrap();
    rig.video(13, 3000);
    assert_eq!(nacks(&rig.pass_millis(50)), [(10, vec![11, 12])]);
    let lost = Rtp::video(12, 3000, SLICE);
    let repaired = rig.receive(&lost.rtx(500)).unwrap();
    assert_eq!(repaired.sequence, 65_548);
    assert_eq!((repaired.timestamp, &repaired.payload[..]), (3000, SLICE));
    // Only the other one is asked for again.
    assert_eq!(nacks(&rig.pass_millis(150)), [(160, vec![11])]);
    assert_eq!(rig.video_stats().recovered, 1);
    assert_eq!(
        rig.publisher.stats().round_trip,
        Some(Duration::from_millis(40))
    );
}

#[test]
fn a_loss_is_repaired_by_plain_retransmission() {
    let mut rig = Rig::new();
    rig.receive(&Rtp::video(10, 0, IDR)).unwrap();
    rig.video(12, 3000);
    assert_eq!(nacks(&rig.pass_millis(20)), [(10, vec![11])]);
    assert_eq!(rig.video(11, 0).sequence, 65_547);
    assert_eq!(nacks(&rig.pass_millis(500)), []);
    assert_eq!(rig.video_stats().recovered, 1);
}

#[test]
fn reordering_needs_no_nack() {
    let mut rig = Rig::new();
    rig.receive(&Rtp::video(10, 0, IDR)).unwrap();
    rig.video(12, 3000);
    assert_eq!(nacks(&rig.pass_millis(9)), []);
    rig.video(11, 3000);
    assert_eq!(nacks(&rig.pass_millis(300)), []);
    let stats = rig.video_stats();
    assert_eq!((stats.recovered, stats.lost, stats.nacks), (0, 0, 0));
}

#[test]
fn a_loss_without_repair_is_given_up_and_a_keyframe_asked_for() {
    let mut rig = Rig::new();
    rig.receive(&Rtp::video(10, 0, IDR)).unwrap();
    rig.video(12, 3000);
    let sent = rig.pass_millis(1500);
    let asked: Vec<_> = nacks(&sent).into_iter().map(|(at, _)| at).collect();
    assert_eq!(asked, [10, 160, 310, 460, 610, 760, 910]);
    assert_eq!(keyframe_requests(&sent), [1060]);
    assert_eq!(rig.video_stats().lost, 1);
}

#[test]
fn a_keyframe_behind_a_loss_needs_no_request() {
    let mut rig = Rig::new();
    rig.receive(&Rtp::video(10, 0, IDR)).unwrap();
    rig.video(12, 3000);
    rig.receive(&Rtp::video(13, 6000, IDR)).unwrap();
    assert_eq!(keyframe_requests(&rig.pass_millis(1500)), NEVER);
    assert_eq!(rig.video_stats().lost, 1);
}

#[test]
fn an_outage_is_given_up_at_once() {
    let mut rig = Rig::new();
    rig.receive(&Rtp::video(10, 0, IDR)).unwrap();
    rig.video(800, 3000);
    let sent = rig.pass_millis(500);
    assert_eq!(nacks(&sent), []);
    assert_eq!(keyframe_requests(&sent), [0]);
}

#[test]
fn without_nack_a_loss_only_asks_for_a_keyframe() {
    let mut spec = spec();
    spec.tracks[1].feedback.nack = false;
    let mut rig = Rig::with(spec);
    rig.receive(&Rtp::video(10, 0, IDR)).unwrap();
    rig.video(12, 3000);
    let sent = rig.pass_millis(500);
    assert_eq!(nacks(&sent), []);
    assert_eq!(keyframe_requests(&sent), [100]);
}

#[test]
fn a_duplicate_is_dropped() {
    let mut rig = Rig::new();
    let rtp = Rtp::video(10, 0, IDR);
    rig.receive(&rtp).unwrap();
    assert_eq!(rig.receive(&rtp).unwrap_err(), Reason::Duplicate);
    let probe = rtp.rtx(1);
    assert_eq!(rig.receive(&probe).unwrap_err(), Reason::Duplicate);
    assert_eq!(rig.video_stats().duplicates, 2);
}

#[test]
fn rtx_without_media_or_original_is_dropped() {
    let mut rig = Rig::new();
    let probe = Rtp::video(1, 0, IDR).rtx(1);
    assert_eq!(rig.receive(&probe).unwrap_err(), Reason::UnknownSource);
    rig.receive(&Rtp::video(10, 0, IDR)).unwrap();
    let probe = probe.padding_only();
    assert_eq!(rig.receive(&probe).unwrap_err(), Reason::Padding);
    assert_eq!(nacks(&rig.pass_millis(200)), []);
}

#[test]
fn padding_is_taken_out_of_the_line() {
    let mut rig = Rig::new();
    rig.receive(&Rtp::video(10, 0, IDR)).unwrap();
    let padding = Rtp::video(11, 0, &[]).padding_only();
    assert_eq!(rig.receive(&padding).unwrap_err(), Reason::Padding);
    assert_eq!(rig.receive(&padding).unwrap_err(), Reason::Duplicate);
    assert_eq!(rig.video(12, 3000).sequence, 65_547);
    assert_eq!(rig.video(14, 3000).sequence, 65_549);
    // A gap that everybody saw is filled.
    let late = Rtp::video(13, 3000, &[]).padding_only();
    let filler = rig.receive(&late).unwrap();
    assert_eq!((filler.sequence, filler.payload.len()), (65_548, 0));
}

#[test]
fn another_ssrc_goes_on_where_the_first_ended() {
    let mut rig = Rig::new();
    rig.receive(&Rtp::video(10, 9_000, IDR)).unwrap();
    rig.pass_millis(100);
    let rtp = Rtp::video(50_000, 4_000_000_000, IDR).with_ssrc(0xF);
    let packet = rig.receive(&rtp).unwrap();
    assert_eq!((packet.sequence, packet.timestamp), (65_547, 18_000));
    // Stragglers of the first are dropped, on both ways.
    let straggler = Rtp::video(11, 9_000, SLICE);
    assert_eq!(rig.receive(&straggler).unwrap_err(), Reason::TooOld);
    let sent = rig.pass_millis(300);
    assert_eq!(nacks(&sent), []);
    assert_eq!(keyframe_requests(&sent), NEVER);
    // It may come back when the second is silent.
    rig.pass_millis(700);
    let packet = rig.receive(&straggler).unwrap();
    assert_eq!((packet.sequence, packet.timestamp), (65_548, 108_000));
    assert_eq!(rig.video_stats().restarts, 2);
}

#[test]
fn a_new_source_without_a_keyframe_is_asked_for_one() {
    let mut rig = Rig::new();
    rig.receive(&Rtp::video(10, 0, IDR)).unwrap();
    rig.pass_millis(33);
    rig.receive(&Rtp::video(500, 0, SLICE).with_ssrc(0xF))
        .unwrap();
    assert_eq!(keyframe_requests(&rig.pass_millis(100)), [33]);
}

#[test]
fn retransmissions_of_a_replaced_source_are_dropped() {
    let mut rig = Rig::new();
    rig.receive(&Rtp::video(10, 0, IDR)).unwrap();
    rig.receive(&Rtp::video(10, 0, IDR).rtx(1)).unwrap_err();
    rig.pass_millis(33);
    rig.receive(&Rtp::video(20, 0, IDR).with_ssrc(0xF)).unwrap();
    let old = Rtp::video(21, 0, SLICE).rtx(2);
    assert_eq!(rig.receive(&old).unwrap_err(), Reason::TooOld);
    let new = old.with_ssrc(0x10);
    assert!(rig.receive(&new).is_ok());
}

#[test]
fn a_jump_of_sequence_numbers_is_followed_by_the_second_packet() {
    let mut rig = Rig::new();
    rig.receive(&Rtp::video(10, 0, IDR)).unwrap();
    rig.pass_millis(33);
    let far = Rtp::video(30_000, 7, SLICE);
    assert_eq!(rig.receive(&far).unwrap_err(), Reason::Jump);
    let packet = rig.video(30_001, 7);
    assert_eq!((packet.sequence, packet.timestamp), (65_547, 2970));
    let sent = rig.pass_millis(300);
    assert_eq!(nacks(&sent), []);
    assert_eq!(keyframe_requests(&sent), [33]);
}

#[test]
fn a_jump_of_timestamps_leaves_no_jump() {
    let mut rig = Rig::new();
    rig.receive(&Rtp::video(10, 0, IDR)).unwrap();
    rig.pass_millis(40);
    let packet = rig.video(11, 2_000_000_000);
    assert_eq!((packet.sequence, packet.timestamp), (65_547, 3600));
    rig.pass_millis(40);
    assert_eq!(rig.video(12, 2_000_003_600).timestamp, 7200);
}

#[test]
fn a_receiver_report_has_the_right_numbers() {
    let mut rig = Rig::new();
    for number in [65_534, 65_535, 1, 2] {
        rig.receive(&Rtp::audio(number, 960 * u32::from(number)))
            .unwrap();
    }
    rig.pass_millis(400);
    rig.rtcp(&[Box::new(SenderReport {
        ssrc: AUDIO_SSRC,
        ntp_time: 0x1111_2222_3333_4444,
        ..SenderReport::default()
    })]);
    let sent = rig.pass_millis(700);
    let reports: Vec<_> = of::<ReceiverReport>(&sent)
        .into_iter()
        .filter(|(_, report)| !report.reports.is_empty())
        .collect();
    assert_eq!(reports.len(), 1);
    let (at, report) = reports[0];
    assert_eq!((at, report.ssrc), (1000, LOCAL_SSRC));
    let block = &report.reports[0];
    assert_eq!((block.ssrc, block.total_lost), (AUDIO_SSRC, 1));
    assert_eq!(block.fraction_lost, 51, "1 of 5");
    assert_eq!(block.last_sequence_number, 0x1_0002);
    assert_eq!(block.last_sender_report, 0x2222_3333);
    assert_eq!(block.delay, 65_536 * 6 / 10);
}

#[test]
fn a_silent_publisher_is_left_alone() {
    let mut rig = Rig::new();
    rig.receive(&Rtp::audio(1, 960)).unwrap();
    assert_eq!(rig.pass(Duration::from_secs(2)).len(), 2);
    assert_eq!(rig.publisher.poll_timeout(), None);
}

#[test]
fn keyframe_requests_are_brought_together() {
    let mut rig = Rig::new();
    rig.receive(&Rtp::video(10, 0, IDR)).unwrap();
    let mut sent = Vec::new();
    for _ in 0..10 {
        rig.publisher.request_keyframe(rig.now, VIDEO, LayerId(0));
        sent.extend(rig.pass_millis(10));
    }
    assert_eq!(keyframe_requests(&sent), [0]);
    assert_eq!(keyframe_requests(&rig.pass_millis(800)), [500]);
    rig.publisher.request_keyframe(rig.now, VIDEO, LayerId(0));
    rig.publisher.request_keyframe(rig.now, AUDIO, LayerId(0));
    assert_eq!(keyframe_requests(&rig.pass_millis(800)), [1000]);
    assert_eq!(rig.video_stats().keyframe_requests, 3);
}

#[test]
fn a_keyframe_satisfies_the_request_that_waits() {
    let mut rig = Rig::new();
    rig.receive(&Rtp::video(10, 0, IDR)).unwrap();
    rig.publisher.request_keyframe(rig.now, VIDEO, LayerId(0));
    rig.publisher.request_keyframe(rig.now, VIDEO, LayerId(0));
    assert_eq!(keyframe_requests(&rig.pass_millis(100)), [0]);
    rig.receive(&Rtp::video(11, 9_000, SPS)).unwrap();
    assert_eq!(keyframe_requests(&rig.pass_millis(2000)), NEVER);
}

#[test]
fn a_request_waits_for_a_source() {
    let mut rig = Rig::new();
    rig.publisher.request_keyframe(rig.now, VIDEO, LayerId(0));
    assert_eq!(rig.publisher.poll_timeout(), None);
    rig.pass_millis(100);
    rig.video(10, 0);
    assert_eq!(keyframe_requests(&rig.pass_millis(100)), [100]);
}

#[test]
fn fir_is_sent_where_only_fir_was_negotiated() {
    let mut spec = spec();
    spec.tracks[1].feedback.pli = false;
    let mut rig = Rig::with(spec);
    rig.receive(&Rtp::video(10, 0, IDR)).unwrap();
    let mut numbers = Vec::new();
    for _ in 0..2 {
        rig.publisher.request_keyframe(rig.now, VIDEO, LayerId(0));
        let sent = rig.pass_millis(600);
        numbers.extend(
            of::<FullIntraRequest>(&sent)
                .iter()
                .map(|(_, request)| (request.fir[0].ssrc, request.fir[0].sequence_number)),
        );
    }
    assert_eq!(numbers, [(VIDEO_SSRC, 0), (VIDEO_SSRC, 1)]);
}

#[test]
fn of_a_keyframe_only_the_first_packet_is_marked() {
    let mut rig = Rig::new();
    let marks: Vec<_> = [(10, SPS), (11, IDR), (12, SLICE)]
        .into_iter()
        .map(|(number, payload)| {
            rig.receive(&Rtp::video(number, 0, payload))
                .unwrap()
                .keyframe
        })
        .collect();
    assert_eq!(marks, [true, false, false]);
    assert_eq!(rig.video_stats().keyframes, 1);
}

#[test]
fn transport_feedback_shows_the_loss() {
    let mut rig = Rig::new();
    for number in [1u8, 2, 4] {
        let rtp = Rtp::audio(u16::from(number), 0)
            .with_extension(TRANSPORT_SEQUENCE_NUMBER, &[0, number]);
        rig.receive(&rtp).unwrap();
        rig.pass_millis(20);
    }
    let sent = rig.pass_millis(100);
    let feedback = of::<TransportLayerCc>(&sent);
    assert_eq!(feedback.len(), 1);
    let (at, feedback) = feedback[0];
    assert_eq!(at, 100);
    assert_eq!(feedback.base_sequence_number, 1);
    assert_eq!(feedback.packet_status_count, 4);
    assert_eq!(feedback.recv_deltas.len(), 3);
    assert_eq!(feedback.recv_deltas[1].delta, 20_000);
}

#[test]
fn a_sender_report_is_told_in_the_continuous_timeline() {
    let mut rig = Rig::new();
    rig.receive(&Rtp::video(10, 9_000, IDR)).unwrap();
    rig.pass_millis(100);
    rig.receive(&Rtp::video(7, 1_000_000, IDR).with_ssrc(0xF))
        .unwrap();
    let report = |ssrc, rtp_time| -> Box<dyn rtcp::Packet> {
        Box::new(SenderReport {
            ssrc,
            ntp_time: 77,
            rtp_time,
            ..SenderReport::default()
        })
    };
    rig.rtcp(&[report(0xF, 1_000_090), report(VIDEO_SSRC, 9_000)]);
    let received = rig.now;
    assert_eq!(
        rig.events(),
        [Event::SenderReport {
            layer: LayerId(0),
            track: VIDEO,
            rtp_timestamp: 18_090,
            ntp: 77,
            received,
        }]
    );
}

#[test]
fn a_flood_of_sender_reports_is_told_ten_times_a_second() {
    let mut rig = Rig::new();
    rig.receive(&Rtp::video(10, 9_000, IDR)).unwrap();
    let report = || -> Box<dyn rtcp::Packet> {
        Box::new(SenderReport {
            ssrc: VIDEO_SSRC,
            ..SenderReport::default()
        })
    };
    let mut told = 0;
    for _ in 0..100 {
        let reports: Vec<_> = (0..10).map(|_| report()).collect();
        rig.rtcp(&reports);
        told += rig.events().len();
        rig.pass_millis(10);
    }
    assert_eq!(told, 10);
}

#[test]
fn silence_after_the_goodbye_of_every_source_is_the_end() {
    let mut rig = Rig::new();
    rig.receive(&Rtp::audio(1, 0)).unwrap();
    rig.receive(&Rtp::video(1, 0, IDR)).unwrap();
    let goodbye = |ssrc| -> Box<dyn rtcp::Packet> {
        Box::new(rtcp::goodbye::Goodbye {
            sources: vec![ssrc],
            ..rtcp::goodbye::Goodbye::default()
        })
    };
    rig.rtcp(&[goodbye(AUDIO_SSRC)]);
    assert_eq!(rig.events(), []);
    rig.rtcp(&[goodbye(VIDEO_SSRC)]);
    // A source that goes on was only paused.
    rig.now += Duration::from_secs(4);
    rig.receive(&Rtp::audio(2, 960)).unwrap();
    rig.now += Duration::from_secs(60);
    rig.publisher.handle_timeout(rig.now);
    assert_eq!(rig.events(), []);
    rig.rtcp(&[goodbye(AUDIO_SSRC)]);
    assert_eq!(rig.events(), []);
    rig.now += Duration::from_secs(5);
    rig.publisher.handle_timeout(rig.now);
    assert_eq!(rig.events(), [Event::Ended]);
}

#[test]
fn end_to_end_extensions_are_kept() {
    let mut rig = Rig::new();
    let rtp = Rtp::audio(1, 0)
        .with_extension(MID, b"0")
        .with_extension(AUDIO_LEVEL, &[0x85]);
    let packet = rig.receive(&rtp).unwrap();
    let kept: Vec<_> = packet.extensions.iter().collect();
    assert_eq!(kept, [(Extension::AudioLevel, &[0x85][..])]);
}

#[test]
fn a_playout_delay_of_ours_is_on_keyframes_in_the_place_of_the_publishers() {
    const PLAYOUT_DELAY: u8 = 7;
    let mut spec = spec();
    for track in &mut spec.tracks {
        let extensions = &mut track.extensions;
        extensions.set(Extension::PlayoutDelay, PLAYOUT_DELAY);
    }
    let mut rig = Rig::with(spec);
    let mut delays = |delay| {
        rig.publisher.set_playout_delay(delay);
        let frames = [(SPS, 0), (IDR, 0), (SLICE, 3_000)];
        let video = frames.map(|(payload, timestamp)| Rtp::video(10, timestamp, payload));
        let all = video.into_iter().chain([Rtp::audio(1, 0)]).zip(0..);
        let base = delay.map_or(100, |_| 200);
        let packets = all.map(|(mut rtp, number)| {
            rtp.sequence_number = base + number;
            rtp.timestamp += u32::from(base) * 3_000;
            let packet = rig.receive(&rtp.with_extension(PLAYOUT_DELAY, &[0, 0, 9]));
            let packet = packet.unwrap();
            let mut values = packet.extensions.iter();
            values.find_map(|(extension, value)| {
                (extension == Extension::PlayoutDelay).then(|| value.to_vec())
            })
        });
        packets.collect::<Vec<_>>()
    };
    let theirs = Some(vec![0, 0, 9]);
    assert_eq!(delays(None), vec![theirs; 4]);
    let ours = Some(vec![0x00, 0xA0, 0x28]);
    let delay = PlayoutDelay::new(Duration::from_millis(100), Duration::from_millis(400));
    assert_eq!(delays(delay), [ours.clone(), ours, None, None]);
}

#[test]
fn the_payload_buffer_is_used_again() {
    let mut rig = Rig::new();
    let mut packet = blank(rig.now);
    packet.payload.reserve(1500);
    let (buffer, capacity) = (packet.payload.as_ptr(), packet.payload.capacity());
    for number in 0..1000 {
        let bytes = Rtp::video(number, 0, &[0x41; 1200]).bytes();
        assert_eq!(
            rig.publisher.handle_rtp(rig.now, &bytes, &mut packet),
            Ingested::Media
        );
    }
    assert_eq!(packet.payload.as_ptr(), buffer);
    assert_eq!(packet.payload.capacity(), capacity);
}

#[test]
fn countless_sources_are_bounded_and_each_is_continued() {
    let mut rig = Rig::new();
    let mut before = rig.video(10, 0).sequence;
    for ssrc in 1000..1200 {
        rig.pass_millis(1);
        let packet = rig
            .receive(&Rtp::video(ssrc as u16, 5, IDR).with_ssrc(ssrc))
            .unwrap();
        assert_eq!(packet.sequence, before + 1);
        before = packet.sequence;
    }
    assert!(rig.publisher.sources.count() <= 32);
}

#[test]
fn a_steady_stream_needs_no_timer_but_the_report() {
    let mut rig = Rig::new();
    for number in 0..5 {
        rig.receive(&Rtp::video(number, u32::from(number) * 3000, IDR))
            .unwrap();
        assert_eq!(
            rig.publisher.poll_timeout(),
            Some(rig.start + Duration::from_secs(1))
        );
        assert_eq!(rig.pass_millis(33).len(), 0);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(
        inputs in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..80), 0u64..400),
            0..60,
        ),
    ) {
        let mut rig = Rig::new();
        let mut packet = blank(rig.now);
        for (mut bytes, millis) in inputs {
            rig.publisher.handle_rtcp(rig.now, &bytes);
            let _ = rig.publisher.handle_rtp(rig.now, &bytes, &mut packet);
            // Once more as something that passes for ours.
            if let [first, kind, ..] = &mut bytes[..] {
                *first = *first & 0x3F | 0x80;
                *kind = [OPUS, H264, RTX, 200, 203][usize::from(*kind) % 5];
            }
            rig.publisher.handle_rtcp(rig.now, &bytes);
            let _ = rig.publisher.handle_rtp(rig.now, &bytes, &mut packet);
            rig.pass_millis(millis);
        }
    }

    #[test]
    fn whatever_the_network_does_every_sequence_is_given_once(
        moves in proptest::collection::vec(
            (0u32..3, any::<u16>(), any::<u32>(), 0usize..4, 0u64..700, any::<bool>()),
            0..200,
        ),
    ) {
        let mut rig = Rig::new();
        let mut given = std::collections::HashSet::new();
        let mut number = 0u16;
        for (ssrc, jump, timestamp, what, millis, padded) in moves {
            number = match what {
                0 => jump,
                1 => number.wrapping_add(jump % 4),
                _ => number.wrapping_add(1),
            };
            let mut rtp = Rtp::video(number, timestamp, SLICE).with_ssrc(VIDEO_SSRC + ssrc);
            if padded {
                rtp = rtp.padding_only();
            }
            if let Ok(packet) = rig.receive(&rtp) {
                prop_assert!(given.insert(packet.sequence), "{} again", packet.sequence);
            }
            rig.pass_millis(millis);
        }
    }
}
