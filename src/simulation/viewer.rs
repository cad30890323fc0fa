//! A peer that watches: asks for what is missing, and keeps account of what came.

mod asking;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rtc::rtcp;
use rtc::rtcp::sender_report::SenderReport;

pub(super) use asking::Asking;

use super::decoder::Decoder;
use super::gateway::{Admission, Peer};
use super::telling::{Account, Telling};
use super::{
    AUDIO, AUDIO_PAYLOAD_TYPE, CAPTURE_EXTENSION, CHECKING, Datagram, KEEPING, RED_PAYLOAD_TYPE,
    RTX_PAYLOAD_TYPE, TRANSPORT_EXTENSION, VIDEO, VIDEO_PAYLOAD_TYPE, id_of, is_keyframe,
};
use crate::ingest::transport_cc::Arrivals;
use crate::rtp::red::Red;
use crate::rtp::sequence::Unwrapper;
use crate::rtp::{CaptureTime, Header};
use crate::sdp::IceCredentials;
use crate::stream::TrackId;
use crate::transport::Path;
use crate::transport::testing::{Check, client_path};

/// The watching peer.
pub(super) struct WatchingPeer {
    pub(super) peer: Peer,
    pub(super) path: Path,
    pub(super) outbox: Vec<Datagram>,
    connected: bool,
    /// Whether it goes on saying so, or nominates only at the beginning, as Pion does.
    pub(super) nominates: bool,
    next_check: Instant,
    pub(super) tracks: [Reception; 2],
    pub(super) reports: Vec<Report>,
    pub(super) captures: Vec<Capture>,
    /// When a keyframe is asked for by mistake.
    pub(super) next_request: Option<Instant>,
    rtx_ssrc: u32,
    /// How often it asks for all that it got last, and for a keyframe, out of malice.
    pub(super) flood: Option<Duration>,
    next_flood: Instant,
    /// Transport-wide feedback.
    pub(super) arrivals: Arrivals,
    /// It is not sent.
    pub(super) is_mute: bool,
    pub(super) asking: Asking,
    /// What it shows of the video.
    pub(super) decoder: Decoder,
    /// What is told in the place of it.
    account: Account,
    /// The packets of audio that came with the one after, where it takes redundancy.
    pub(super) repeats: Option<BTreeSet<u32>>,
}

/// What came of one track.
pub(super) struct Reception {
    pub(super) track: TrackId,
    ssrc: u32,
    unwrapper: Unwrapper,
    missing: BTreeMap<u64, Missing>,
    pub(super) packets: BTreeMap<u64, Got>,
    /// When the first came.
    pub(super) began: Option<Instant>,
    pub(super) repaired: u64,
    pub(super) duplicates: u64,
}

/// A sender report that came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    pub(super) at: Instant,
    pub(super) track: TrackId,
    pub(super) ntp: u64,
    pub(super) timestamp: u32,
}

/// When a packet that came was captured, as it says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capture {
    pub(super) at: Instant,
    pub(super) track: TrackId,
    pub(super) got: Got,
    pub(super) time: CaptureTime,
}

/// A packet that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Got {
    pub(super) id: u32,
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    /// A keyframe begins with it.
    pub(super) keyframe: bool,
}

struct Missing {
    next: Instant,
    tries: u32,
}

impl WatchingPeer {
    pub(super) fn new(
        now: Instant,
        index: u16,
        peer: Peer,
        admission: &Admission,
        telling: Telling,
    ) -> Self {
        let reception = |track, ssrc| Reception {
            track,
            ssrc,
            unwrapper: Unwrapper::default(),
            missing: BTreeMap::new(),
            packets: BTreeMap::new(),
            began: None,
            repaired: 0,
            duplicates: 0,
        };
        Self {
            peer,
            path: client_path(5_000 + index),
            outbox: Vec::new(),
            connected: false,
            nominates: true,
            next_check: now,
            tracks: [
                reception(VIDEO, admission.ssrcs[0]),
                reception(AUDIO, admission.ssrcs[2]),
            ],
            reports: Vec::new(),
            captures: Vec::new(),
            next_request: None,
            rtx_ssrc: admission.ssrcs[1],
            flood: None,
            next_flood: now,
            arrivals: Arrivals::new(now, Duration::from_millis(50)),
            is_mute: false,
            asking: Asking::STUBBORN,
            decoder: Decoder::new(now),
            account: Account::new(now, telling),
            repeats: None,
        }
    }

    /// The NAT forgot its mapping: from now on the peer has another address.
    pub(super) fn rebind(&mut self) {
        self.path.remote.set_port(self.path.remote.port() + 1_000);
    }

    /// Goes on by another path, and checks it at once.
    pub(super) fn go_by(&mut self, now: Instant, path: Path) {
        self.path = path;
        self.next_check = now;
    }

    /// Goes on with the credentials of an ICE restart.
    pub(super) fn restart_ice(&mut self, now: Instant, credentials: IceCredentials) {
        self.peer.server = credentials;
        self.next_check = now;
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let missing = self.tracks.iter().flat_map(|track| track.missing.values());
        let asking = missing.map(|missing| missing.next).min();
        [
            Some(self.next_check),
            self.peer.poll_timeout(),
            asking,
            self.next_request,
            self.picture_due(),
            self.flood.map(|_| self.next_flood),
            self.arrivals.poll_timeout(),
            self.account.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some(feedback) = self.arrivals.poll_feedback(now, 1) {
            if !self.is_mute && self.peer.is_connected() {
                self.send_rtcp(now, Box::new(feedback));
            }
        }
        self.tell(now);
        if self.next_check <= now {
            self.next_check = now + if self.connected { KEEPING } else { CHECKING };
            let check = self.peer.check(Check {
                nominate: self.nominates || !self.connected,
                ..Check::default()
            });
            self.outbox.push((self.path, check));
        }
        if self.peer.poll_timeout().is_some_and(|due| due <= now) {
            self.peer.handle_timeout(now);
        }
        for index in 0..self.tracks.len() {
            let numbers = self.tracks[index].ask(now, self.asking);
            if !numbers.is_empty() {
                self.nack(now, index, &numbers);
            }
        }
        if self.next_request.is_some_and(|due| due <= now) {
            self.next_request = Some(now + Duration::from_millis(700));
            self.request_keyframe(now);
        }
        if self.next_flood <= now
            && let Some(interval) = self.flood
        {
            self.next_flood = now + interval;
            let newest = self.tracks[0].packets.keys().rev().take(400);
            let mut numbers: Vec<_> = newest.map(|number| *number as u16).collect();
            numbers.reverse();
            self.nack(now, 0, &numbers);
            self.request_keyframe(now);
        }
        if self.picture_due().is_some_and(|due| due <= now) {
            self.decoder.wait(now);
            self.request_keyframe(now);
        }
        self.flush();
    }

    /// When it has had no picture for too long.
    fn picture_due(&self) -> Option<Instant> {
        Some(self.decoder.waits_since() + self.asking.picture?)
    }

    pub(super) fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        match datagram {
            [1, 1, ..] if !self.connected => {
                self.connected = true;
                self.peer.start_dtls(now);
            }
            [128..=191, 192..=223, ..] if self.peer.is_connected() => {
                let compound = self.peer.unprotect_rtcp(datagram);
                for packet in rtcp::packet::unmarshal(&mut &compound[..]).unwrap() {
                    self.handle_report(now, &*packet);
                }
            }
            [128..=191, ..] if self.peer.is_connected() => {
                let packet = self.peer.unprotect_rtp(datagram);
                self.handle_rtp(now, &packet);
            }
            _ => self.peer.handle_datagram(now, datagram),
        }
        self.flush();
    }

    fn handle_report(&mut self, now: Instant, packet: &dyn rtcp::Packet) {
        let Some(report) = packet.as_any().downcast_ref::<SenderReport>() else {
            return;
        };
        let track = self.tracks.iter().find(|track| track.ssrc == report.ssrc);
        self.reports.push(Report {
            at: now,
            track: track.expect("a report of a track").track,
            ntp: report.ntp_time,
            timestamp: report.rtp_time,
        });
    }

    fn handle_rtp(&mut self, now: Instant, packet: &[u8]) {
        let header = Header::parse(packet).unwrap();
        let mut captured = None;
        for (id, value) in header.extensions(packet) {
            match (id, value) {
                (TRANSPORT_EXTENSION, [high, low]) => {
                    let number = u16::from_be_bytes([*high, *low]);
                    self.arrivals.record(now, number, header.ssrc);
                }
                (CAPTURE_EXTENSION, value) => captured = CaptureTime::from_bytes(value),
                _ => {}
            }
        }
        let mut payload = header.payload(packet).unwrap();
        let mut number = header.sequence_number;
        let (track, is_repair) = match header.payload_type {
            VIDEO_PAYLOAD_TYPE => (&mut self.tracks[0], false),
            AUDIO_PAYLOAD_TYPE => (&mut self.tracks[1], false),
            RED_PAYLOAD_TYPE => {
                let red = Red::read(payload).expect("blocks of sound");
                let repeats = self.repeats.as_mut().expect("redundancy was agreed on");
                repeats.extend(red.redundant().filter_map(|block| id_of(block.payload)));
                payload = red.primary;
                (&mut self.tracks[1], false)
            }
            RTX_PAYLOAD_TYPE => {
                assert_eq!(header.ssrc, self.rtx_ssrc);
                let (original, rest) = payload.split_first_chunk().unwrap();
                number = u16::from_be_bytes(*original);
                payload = rest;
                (&mut self.tracks[0], true)
            }
            other => panic!("payload type {other} was not agreed on"),
        };
        assert!(is_repair || header.ssrc == track.ssrc);
        let got = Got {
            id: id_of(payload).expect("the payload is as it was sent"),
            timestamp: header.timestamp,
            marker: header.marker,
            keyframe: is_keyframe(payload),
        };
        self.account.handle_bytes(now, packet.len() + 28);
        if header.payload_type == VIDEO_PAYLOAD_TYPE {
            self.account.handle_video(now, header.timestamp);
        }
        self.captures.extend(captured.map(|time| Capture {
            at: now,
            track: track.track,
            got,
            time,
        }));
        let sequence = track.receive(now, number, got, is_repair, self.asking);
        if track.track == VIDEO {
            self.decoder.advance(now, &track.packets, sequence);
            if self.asking.picture.is_some() {
                track.forget_before(self.decoder.next());
            }
        }
        self.tell(now);
    }

    fn flush(&mut self) {
        while let Some(datagram) = self.peer.poll_transmit() {
            self.outbox.push((self.path, datagram));
        }
    }
}

impl Reception {
    /// Returns the packet's number without the wrap.
    fn receive(
        &mut self,
        now: Instant,
        number: u16,
        got: Got,
        is_repair: bool,
        asking: Asking,
    ) -> u64 {
        self.began.get_or_insert(now);
        let highest = self.unwrapper.highest();
        let lowest = self.packets.keys().next().copied();
        let sequence = self.unwrapper.unwrap(number);
        if let Some(before) = self.packets.insert(sequence, got) {
            assert_eq!(before, got, "two packets have the number {sequence}");
            self.duplicates += 1;
            return sequence;
        }
        let missing = |number| {
            let (next, tries) = (now + asking.tolerance, 0);
            (number, Missing { next, tries })
        };
        match (highest, lowest) {
            (Some(highest), _) if sequence > highest => {
                self.missing.extend((highest + 1..sequence).map(missing));
            }
            // The stream began earlier than it seemed.
            (_, Some(lowest)) if sequence < lowest => {
                self.missing.extend((sequence + 1..lowest).map(missing));
            }
            _ => {
                self.missing.remove(&sequence);
                self.repaired += u64::from(is_repair);
            }
        }
        sequence
    }

    /// The decoder has gone on to this number: what is missing before is missed by nobody.
    fn forget_before(&mut self, number: Option<u64>) {
        if let Some(number) = number {
            self.missing = self.missing.split_off(&number);
        }
    }

    /// The numbers to ask for now.
    fn ask(&mut self, now: Instant, asking: Asking) -> Vec<u16> {
        let mut numbers = Vec::new();
        self.missing.retain(|number, missing| {
            if missing.next <= now {
                if missing.tries == asking.tries {
                    return false;
                }
                missing.tries += 1;
                missing.next = now + asking.repeat;
                numbers.push(*number as u16);
            }
            true
        });
        numbers
    }
}
