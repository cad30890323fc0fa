//! RTP and RTCP, from the header to what a viewer gets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Step, Steps};
use crate::egress::whep::{Outlet, Subscriber};
use crate::ingest::{self, Ingested, Publisher};
use crate::rtp::dependency_descriptor::Descriptor;
use crate::rtp::red::{self, Red};
use crate::rtp::rtcp::{
    ReceiverFeedback, SenderReport, SourceReport, read_feedback, read_source_reports,
};
use crate::rtp::{Codec, Extension, ExtensionMap, Header, MediaKind, header, keyframe};
use crate::sdp::session::{Feedback, PublishedLayer, PublishedTrack, PublisherSpec};
use crate::sdp::{SubscribedTrack, SubscriberSpec};
use crate::stream::{KeyframeCache, LayerId, Packet, Ring, TrackId, TrackInfo};
use crate::transport::srtp::rtp_header_len;

/// Small enough to be given up now and then.
const CACHE: KeyframeCache = KeyframeCache {
    bytes: 16 * 1024,
    age: Duration::from_secs(1),
};

/// A packet on its own.
pub(super) fn rtp(data: &[u8]) {
    let header = Header::parse(data);
    // What is authenticated and what is read end at the same place.
    assert_eq!(header.as_ref().ok().map(Header::len), rtp_header_len(data));
    let Ok(header) = header else {
        return;
    };
    assert!((header::FIXED_LEN..=data.len()).contains(&header.len()));
    let values: usize = header.extensions(data).map(|(_, value)| value.len()).sum();
    assert!(values <= header.len() - header::FIXED_LEN);
    if let Ok(payload) = header.payload(data) {
        assert!(payload.len() <= data.len() - header.len());
        for codec in Codec::ALL {
            let _ = keyframe::starts_keyframe(codec, payload);
        }
    }
}

/// Values of the dependency descriptor, one after another.
pub(super) fn dependency_descriptor(data: &[u8]) {
    let mut known = None;
    for step in Steps::of(data) {
        let Ok(read) = Descriptor::read(step.bytes, known.as_deref()) else {
            continue;
        };
        let spatial = read.frame.spatial;
        assert!(read.frame.references().iter().all(|back| *back > 0));
        if read.structure.is_some() {
            known = read.structure;
        }
        let structure = known.as_ref().expect("nothing can be read without");
        assert!(spatial < structure.spatial_layers() && structure.spatial_layers() <= 4);
        let targets = structure.decode_targets;
        assert!((1..=32).contains(&targets) && structure.chains <= targets);
        let active = read.active_decode_targets.unwrap_or_default();
        assert!(u64::from(active) < 1 << targets);
        for target in 0..targets {
            let chain = structure.protected_by(target);
            assert!(chain.is_none_or(|chain| chain < structure.chains));
        }
    }
}

/// A payload of redundant audio, and what we make of its newest blocks.
pub(super) fn red(data: &[u8]) {
    let Some(read) = Red::read(data) else {
        return;
    };
    let blocks = read.redundant().count();
    let redundant: usize = read.redundant().map(|block| block.payload.len()).sum();
    assert!(blocks <= red::MAX_BLOCKS && read.payload_type <= 127);
    assert_eq!(1 + 4 * blocks + redundant + read.primary.len(), data.len());
    if let Some(newest) = read.redundant().next() {
        let (offset, len) = (newest.timestamp_offset, newest.payload.len());
        let header = red::header(read.payload_type, offset, len).expect("it came in one");
        let again = [&header[..], newest.payload, read.primary].concat();
        let again = Red::read(&again).expect("our own");
        assert_eq!(
            (again.payload_type, again.primary),
            (read.payload_type, read.primary)
        );
        let block = again.redundant().next().expect("our own block");
        assert_eq!(
            (block.timestamp_offset, block.payload),
            (offset, newest.payload)
        );
    }
}

/// A compound packet of a viewer or a publisher, and our own reports.
pub(super) fn rtcp(data: &[u8]) {
    let mut found = 0;
    read_feedback(data, |feedback| {
        found += match feedback {
            ReceiverFeedback::Nack { lost, .. } => lost.iter().count(),
            ReceiverFeedback::TransportWide(feedback) => feedback.statuses().count(),
            ReceiverFeedback::Report(_)
            | ReceiverFeedback::Remb { .. }
            | ReceiverFeedback::KeyframeRequest { .. } => 1,
        }
    });
    assert!(found <= 17 * data.len() / 4, "{found}");

    let mut sources = 0;
    read_source_reports(data, |_| sources += 1);
    assert!(sources <= data.len() / 4, "{sources}");

    let cname = String::from_utf8_lossy(data);
    let mut compound = Vec::new();
    let report = SenderReport {
        ssrc: 1,
        ntp: 2,
        rtp_timestamp: 3,
        packets: 4,
        bytes: 5,
    };
    report.write(&cname, &mut compound);
    assert!(compound.len() % 4 == 0 && compound.len() < 300);
    assert!(read_feedback(&compound, |_| panic!(
        "a report without blocks"
    )));
    let mut said = None;
    assert!(read_source_reports(&compound, |report| said = Some(report)));
    let (ssrc, ntp, rtp_timestamp) = (1, 2, 3);
    let expected = SourceReport::Sender {
        ssrc,
        ntp,
        rtp_timestamp,
    };
    assert_eq!(said, Some(expected));
}

/// The life of a publisher with one viewer: packets, feedback both ways, time.
pub(super) fn publisher(data: &[u8]) {
    let mut now = Instant::now();
    let mut story = Story::new(now);
    for step in Steps::of(data) {
        now += step.after;
        story.happen(now, &step);
    }
}

const AUDIO: (u32, u8) = (11, 111);
/// The same audio with redundancy.
const RED: (u32, u8) = (11, 63);
const VIDEO: (u32, u8) = (22, 96);
const REPAIR: (u32, u8) = (33, 97);
/// Another layer of the video.
const LOW: (u32, u8) = (44, 96);
/// Two tracks, each under two ids beyond the one-byte form.
const EXTENSIONS: [(Extension, u8); 9] = [
    (Extension::Mid, 1),
    (Extension::TransportSequenceNumber, 2),
    (Extension::AudioLevel, 3),
    (Extension::RtpStreamId, 4),
    (Extension::RepairedRtpStreamId, 5),
    (Extension::PlayoutDelay, 6),
    (Extension::ColorSpace, 7),
    (Extension::AbsCaptureTime, 14),
    (Extension::DependencyDescriptor, 200),
];

struct Story {
    publisher: Publisher,
    viewer: Subscriber,
    /// Of audio, and of the layers of the video.
    rings: [[Ring; 2]; 2],
    outlet: Checked,
}

impl Story {
    fn new(now: Instant) -> Self {
        let feedback = Feedback {
            nack: true,
            pli: true,
            fir: true,
            transport_cc: true,
            remb: false,
        };
        let published = |id, codec, (ssrc, payload_type), rtx: Option<(u32, u8)>| PublishedTrack {
            info: TrackInfo {
                id: TrackId(id),
                codec,
                fmtp: String::new(),
                channels: 1,
            },
            mid: id.to_string(),
            payload_type,
            red_payload_type: rtx.is_none().then_some(RED.1),
            rtx_payload_type: rtx.map(|(_, payload_type)| payload_type),
            layers: vec![PublishedLayer {
                rid: rtx.map(|_| "h".to_owned()),
                ssrc: Some(ssrc),
                rtx_ssrc: rtx.map(|(ssrc, _)| ssrc),
            }],
            extensions: map(),
            feedback,
        };
        let subscribed = |id, kind, clock_rate, rtx: Option<(u32, u8)>| SubscribedTrack {
            track: TrackId(id),
            kind,
            clock_rate,
            mid: id.to_string(),
            payload_type: 100 + id,
            red_payload_type: rtx.is_none().then_some(63),
            rtx_payload_type: rtx.map(|(_, payload_type)| payload_type),
            ssrc: 1000 + u32::from(id),
            rtx_ssrc: rtx.map(|(ssrc, _)| ssrc),
            extensions: map(),
            feedback,
        };
        let mut tracks = vec![
            published(0, Codec::Opus, AUDIO, None),
            published(1, Codec::Vp8, VIDEO, Some(REPAIR)),
        ];
        tracks[1].layers.push(PublishedLayer {
            rid: Some("l".to_owned()),
            ssrc: Some(LOW.0),
            rtx_ssrc: None,
        });
        let spec = SubscriberSpec {
            tracks: vec![
                subscribed(0, MediaKind::Audio, 48_000, None),
                subscribed(1, MediaKind::Video, 90_000, Some((2001, 102))),
            ],
        };
        let config = ingest::Config::default();
        Self {
            publisher: Publisher::new(now, PublisherSpec { tracks }, config, 1),
            viewer: Subscriber::new(&spec, "stage-1", || 0x7FFF_FFFF),
            rings: [0; 2].map(|_| [0; 2].map(|_| Ring::new(64, CACHE))),
            outlet: Checked::default(),
        }
    }

    fn happen(&mut self, now: Instant, step: &Step<'_>) {
        self.publisher.handle_timeout(now);
        match step.kind % 8 {
            0 => self.handle_rtp(now, step.bytes),
            1 if step.kind & 0x80 != 0 => self.handle_rtp(now, &packet(RED, step.bytes)),
            1 => self.handle_rtp(now, &packet(AUDIO, step.bytes)),
            2 => self.handle_rtp(now, &packet(VIDEO, step.bytes)),
            3 => self.handle_rtp(now, &packet(LOW, step.bytes)),
            4 => self.handle_rtp(now, &packet(REPAIR, step.bytes)),
            5 => self.publisher.handle_rtcp(now, step.bytes),
            6 => self.handle_feedback(now, step.bytes),
            _ => self.publisher.request_keyframe(now, TrackId(1), LayerId(0)),
        }
        while let Some(compound) = self.publisher.poll_rtcp() {
            assert!(compound.len() <= 1500, "{}", compound.len());
            assert!(read_feedback(&compound, |_| ()), "our own RTCP");
        }
        let mut events = 0;
        while let Some(event) = self.publisher.poll_event() {
            events += 1;
            if let ingest::Event::Layers { track, layers } = event {
                self.viewer.set_layers(track, &layers);
            }
        }
        assert!(events <= 64 + step.bytes.len());
        // What is overdue was done above, so that a loop over it ends.
        let due = self.publisher.poll_timeout();
        assert!(due.is_none_or(|due| due + Duration::from_secs(60) > now));
    }

    fn handle_rtp(&mut self, now: Instant, bytes: &[u8]) {
        let mut packet = Packet::empty(now);
        if self.publisher.handle_rtp(now, bytes, &mut packet) != Ingested::Media {
            return;
        }
        let (mut recovered, mut count) = (Packet::empty(now), 0);
        while self.publisher.poll_recovered(now, bytes, &mut recovered) {
            count += 1;
            assert!(count <= ingest::MAX_RECOVERED && recovered.sequence < packet.sequence);
            self.forward(
                now,
                bytes,
                std::mem::replace(&mut recovered, Packet::empty(now)),
            );
        }
        self.forward(now, bytes, packet);
    }

    fn forward(&mut self, now: Instant, bytes: &[u8], mut packet: Packet) {
        assert!(packet.payload.len() <= bytes.len());
        let (track, layer) = (packet.track, packet.layer);
        let ring = &mut self.rings[usize::from(track.0)][usize::from(layer.0)];
        let before = packet
            .sequence
            .checked_sub(1)
            .and_then(|before| ring.get(before));
        packet.keep_previous(before.cloned().as_deref());
        let packet = Arc::new(packet);
        ring.insert(Arc::clone(&packet), drop);
        self.outlet.may_send(1);
        let clock = |_| None;
        self.viewer
            .forward(now, track, layer, [&*packet], clock, &mut self.outlet);
    }

    fn handle_feedback(&mut self, now: Instant, bytes: &[u8]) {
        // A sequence number asked for is a packet sent at most.
        self.outlet.may_send(17 * bytes.len() / 4);
        let rings = &self.rings;
        let ring = |track: TrackId, layer: LayerId| {
            rings.get(usize::from(track.0))?.get(usize::from(layer.0))
        };
        let wanted = self.viewer.handle_rtcp(now, bytes, ring, &mut self.outlet);
        for (track, layer) in wanted.iter() {
            self.publisher.request_keyframe(now, track, layer);
        }
    }
}

fn map() -> ExtensionMap {
    let mut map = ExtensionMap::default();
    for (extension, id) in EXTENSIONS {
        map.set(extension, id);
    }
    map
}

/// A packet of a source that is known, whose other fields are the bytes'.
fn packet((ssrc, payload_type): (u32, u8), bytes: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; header::FIXED_LEN];
    let (head, body) = bytes.split_at(bytes.len().min(8));
    packet[..head.len()].copy_from_slice(head);
    packet[0] = 0x80 | packet[0] & 0x30;
    packet[1] = packet[1] & 0x80 | payload_type;
    packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(body);
    packet
}

/// Where the viewer's packets go: each must be one that can be read.
#[derive(Default)]
struct Checked {
    allowed: usize,
    buffer: Vec<u8>,
}

impl Checked {
    fn may_send(&mut self, packets: usize) {
        self.allowed = packets;
    }
}

impl Outlet for Checked {
    fn send(&mut self, len: usize, header_len: usize, index: u64, write: impl FnOnce(&mut [u8])) {
        self.allowed = self.allowed.checked_sub(1).expect("no more than was asked");
        self.buffer.clear();
        self.buffer.resize(len, 0xEE);
        write(&mut self.buffer);
        let header = Header::parse(&self.buffer).expect("a packet of ours");
        assert_eq!(header.len(), header_len);
        assert_eq!(header.sequence_number, index as u16);
        let values = header.extensions(&self.buffer);
        for (id, _) in values {
            assert!(EXTENSIONS.iter().any(|(_, known)| *known == id), "{id}");
        }
    }
}
