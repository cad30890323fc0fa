//! A peer that publishes: frames of video, packets of audio, and again what it is asked for.

mod feedback;
mod redundancy;
mod scalable;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rtc::rtcp;

pub(super) use scalable::Scalability;

use scalable::Place;

use super::gateway::Peer;
use super::network::Dice;
use super::{
    AUDIO, AUDIO_PAYLOAD_TYPE, CHECKING, DELTA, Datagram, KEEPING, KEYFRAME, LARGE, RID_EXTENSION,
    RIDS, VIDEO, VIDEO_PAYLOAD_TYPE, is_keyframe, payload,
};
use crate::sdp::IceCredentials;
use crate::stream::TrackId;
use crate::transport::Path;
use crate::transport::testing::{Check, client_path};

const VIDEO_INTERVAL: Duration = Duration::from_millis(33);
const AUDIO_INTERVAL: Duration = Duration::from_millis(20);
/// What the publisher can send again.
const HISTORY: usize = 1_000;
/// Packets of a frame at most, and of a keyframe.
const FRAME_PACKETS: u32 = 6;
const KEYFRAME_PACKETS: u32 = 12;

/// By so much the numbers of a peer's packets are ahead of those of the peer before.
pub(super) const FOLLOWING: u32 = 1_000_000;

/// The publishing peer.
pub(super) struct PublishingPeer {
    pub(super) peer: Peer,
    pub(super) path: Path,
    pub(super) outbox: Vec<Datagram>,
    connected: bool,
    /// When it came into being, and what its wall clock said then.
    start: Instant,
    epoch: u64,
    /// From when on it sends sender reports, if ever.
    pub(super) reports: Option<Instant>,
    /// Whether it goes on saying so, or nominates only at the beginning, as Pion does.
    pub(super) nominates: bool,
    next_check: Instant,
    next_video: Instant,
    next_audio: Instant,
    /// The layers of the video, then audio.
    sources: Vec<Source>,
    /// What was sent, by track and number.
    pub(super) sent: BTreeMap<(TrackId, u32), Sent>,
    /// The video is VP9 in these layers, all in one source.
    pub(super) scalability: Option<Scalability>,
    /// Every frame is as large as the one before: see [`Self::be_steady`].
    is_steady: bool,
    /// Frames are so many times as large.
    pub(super) scale: u32,
    /// How many of the layers, the best first, are sent again when asked for: all, or as OBS does one.
    pub(super) answering: usize,
    /// Counts packets that were sent again.
    pub(super) repeated: u64,
    /// Nobody can ask it for a keyframe.
    pub(super) is_deaf: bool,
}

/// A packet as it was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) at: Instant,
    /// The time in the medium, in ticks of its clock since the beginning.
    pub(super) media_time: u32,
    pub(super) marker: bool,
    /// The layer that it belongs to, and whether a keyframe begins with it.
    pub(super) layer: usize,
    pub(super) keyframe: bool,
    /// What comes after it refers to nothing before it, whatever layer that is of.
    pub(super) leads_up: bool,
}

struct Source {
    track: TrackId,
    layer: usize,
    /// The name that every packet has, with simulcast.
    rid: Option<&'static str>,
    /// Packets have so many times more or less of a frame than those of the least layer.
    weight: u32,
    is_paused: bool,
    keyframe_wanted: bool,
    /// The layers that the next packet is of.
    place: Place,
    /// SSRC and next number of retransmissions.
    rtx: Option<(u32, u16)>,
    payload_type: u8,
    ssrc: u32,
    sequence_number: u16,
    /// The RTP timestamp of media time 0.
    base: u32,
    media_time: u32,
    next_id: u32,
    repeated: u64,
    history: VecDeque<(u16, Vec<u8>)>,
    /// What the packet before held, where each comes with the one before.
    previous: Option<Vec<u8>>,
}

impl PublishingPeer {
    pub(super) fn new(now: Instant, dice: &mut Dice, peer: Peer, rtx: bool, layers: usize) -> Self {
        let mut source = |track, layer: usize, payload_type, rtx: bool| Source {
            track,
            layer,
            rid: (layers > 1 && track == VIDEO).then(|| RIDS[layer]),
            weight: (layers - layer) as u32,
            is_paused: false,
            keyframe_wanted: true,
            place: Place::default(),
            rtx: rtx.then(|| (dice.roll() as u32, dice.roll() as u16)),
            payload_type,
            ssrc: dice.roll() as u32,
            sequence_number: dice.roll() as u16,
            base: dice.roll() as u32,
            media_time: 0,
            next_id: (layer as u32) << 24,
            repeated: 0,
            history: VecDeque::new(),
            previous: None,
        };
        let mut sources: Vec<_> = (0..layers)
            .map(|layer| source(VIDEO, layer, VIDEO_PAYLOAD_TYPE, rtx))
            .collect();
        sources.push(source(AUDIO, 0, AUDIO_PAYLOAD_TYPE, false));
        Self {
            peer,
            path: client_path(4_000),
            outbox: Vec::new(),
            connected: false,
            start: now,
            epoch: dice.roll() >> 1,
            reports: Some(now),
            nominates: true,
            next_check: now,
            next_video: now,
            next_audio: now,
            sources,
            sent: BTreeMap::new(),
            scalability: None,
            is_steady: false,
            scale: 1,
            answering: RIDS.len(),
            repeated: 0,
            is_deaf: false,
        }
    }

    /// From now on the layers have about 2000, 500 and 150 kbit/s, and keyframes are four times as large
    /// as other frames.
    pub(super) fn be_steady(&mut self) {
        self.is_steady = true;
        let video = self.sources.len() - 1;
        for source in &mut self.sources[..video] {
            source.next_id |= LARGE;
        }
    }

    /// Sends sound alone, or pictures again.
    pub(super) fn mute_video(&mut self, is_muted: bool) {
        for layer in 0..self.sources.len() - 1 {
            self.pause(layer, is_muted);
        }
    }

    /// Comes in the place of another peer, at `begin`: nothing of the two is the same but the account
    /// of what they sent.
    pub(super) fn follow(&mut self, before: Self, begin: Instant) {
        for (source, before) in self.sources.iter_mut().zip(&before.sources) {
            source.next_id = before.next_id + FOLLOWING;
        }
        self.path = client_path(before.path.remote.port() + 1);
        self.sent = before.sent;
        self.next_check = begin;
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

    /// Its wall clock is set forward.
    pub(super) fn set_clock(&mut self, forward: Duration) {
        self.epoch += ((forward.as_millis() as u64) << 32) / 1_000;
    }

    /// Goes on with the credentials of an ICE restart.
    pub(super) fn restart_ice(&mut self, now: Instant, credentials: IceCredentials) {
        self.peer.server = credentials;
        self.next_check = now;
    }

    /// Goes on with other SSRCs, numbers and timestamps, as after a restart of the encoder.
    pub(super) fn change_sources(&mut self, dice: &mut Dice) {
        for source in &mut self.sources {
            source.ssrc = source.ssrc.wrapping_add(1 + dice.below(1_000));
            source.sequence_number = dice.roll() as u16;
            source.base = dice.roll() as u32;
            source.history.clear();
            source.keyframe_wanted = true;
        }
    }

    /// Goes on far away in the sequence numbers, under the same SSRCs.
    pub(super) fn jump(&mut self, dice: &mut Dice) {
        for source in &mut self.sources {
            let far = 3_000 + dice.below(20_000) as u16;
            source.sequence_number = source.sequence_number.wrapping_add(far);
            source.history.clear();
            source.keyframe_wanted = true;
        }
    }

    /// Sends a layer no longer, or again: then it begins with a keyframe.
    pub(super) fn pause(&mut self, layer: usize, is_paused: bool) {
        self.sources[layer].is_paused = is_paused;
        self.sources[layer].keyframe_wanted = true;
    }

    /// Begins a keyframe with the next frame of each layer.
    pub(super) fn begin_keyframe(&mut self) {
        for source in &mut self.sources {
            source.keyframe_wanted = true;
        }
    }

    /// How many keyframes a layer began.
    pub(super) fn keyframes(&self, layer: usize) -> usize {
        let begins = |sent: &&Sent| sent.keyframe && sent.layer == layer;
        self.sent.values().filter(begins).count()
    }

    /// How many packets of the video were sent again.
    pub(super) fn repeated_video(&self) -> u64 {
        let video = self.sources.iter().filter(|source| source.track == VIDEO);
        video.map(|source| source.repeated).sum()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let dtls = self.peer.poll_timeout();
        let media = self
            .peer
            .is_connected()
            .then(|| self.next_video.min(self.next_audio));
        [Some(self.next_check), dtls, media]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, dice: &mut Dice) {
        if self.next_check <= now {
            self.next_check = now + if self.connected { KEEPING } else { CHECKING };
            let check = self.peer.check(Check {
                nominate: self.nominates || !self.connected,
                ..Check::default()
            });
            self.outbox.push((self.path, check));
            if self.peer.is_connected() && self.reports.is_some_and(|from| now >= from) {
                self.report(now);
            }
        }
        if self.peer.poll_timeout().is_some_and(|due| due <= now) {
            self.peer.handle_timeout(now);
        }
        if self.peer.is_connected() {
            if self.next_audio <= now {
                self.next_audio = now + AUDIO_INTERVAL;
                let audio = self.sources.len() - 1;
                self.send(now, audio, 0xFC, true);
                self.sources[audio].media_time += 960;
            }
            if self.next_video <= now {
                self.next_video = now + VIDEO_INTERVAL;
                for layer in 0..self.sources.len() - 1 {
                    self.send_frame(now, layer, dice);
                }
            }
        }
        self.flush();
    }

    pub(super) fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        match datagram {
            // A success response: DTLS can begin.
            [1, 1, ..] if !self.connected => {
                self.connected = true;
                self.peer.start_dtls(now);
            }
            [128..=191, 192..=223, ..] if self.peer.is_connected() => {
                let compound = self.peer.unprotect_rtcp(datagram);
                for packet in rtcp::packet::unmarshal(&mut &compound[..]).unwrap() {
                    self.handle_feedback(&*packet);
                }
            }
            _ => self.peer.handle_datagram(now, datagram),
        }
        self.flush();
    }

    fn send_frame(&mut self, now: Instant, layer: usize, dice: &mut Dice) {
        if let Some(scalability) = self.scalability {
            return self.send_picture(now, scalability);
        }
        let source = &mut self.sources[layer];
        if !source.is_paused {
            let keyframe = std::mem::take(&mut source.keyframe_wanted);
            let steady = if layer == 0 { 8 } else { 3 - layer as u32 };
            let count = match keyframe {
                _ if self.is_steady => self.scale * steady * if keyframe { 4 } else { 1 },
                true => KEYFRAME_PACKETS,
                false => source.weight * (1 + dice.below(FRAME_PACKETS)),
            };
            for index in 0..count {
                let nal = if keyframe && index == 0 {
                    KEYFRAME
                } else {
                    DELTA
                };
                self.send(now, layer, nal, index == count - 1);
            }
        }
        self.sources[layer].media_time += 2_970;
    }

    fn send(&mut self, now: Instant, index: usize, first: u8, marker: bool) {
        let source = &mut self.sources[index];
        let id = source.next_id | source.place.bits();
        let timestamp = source.base.wrapping_add(source.media_time);
        let mut packet = vec![0x80, u8::from(marker) << 7 | source.payload_type];
        packet.extend_from_slice(&source.sequence_number.to_be_bytes());
        packet.extend_from_slice(&timestamp.to_be_bytes());
        packet.extend_from_slice(&source.ssrc.to_be_bytes());
        if let Some([name]) = source.rid.map(str::as_bytes) {
            packet[0] |= 0x10;
            packet.extend_from_slice(&[0xBE, 0xDE, 0, 1, RID_EXTENSION << 4, *name, 0, 0]);
        }
        let payload = payload(first, id);
        source.add_previous(&mut packet, &payload);
        packet.extend_from_slice(&payload);
        let sent = Sent {
            at: now,
            media_time: source.media_time,
            marker,
            layer: source.layer + source.place.layer(),
            keyframe: is_keyframe(&payload),
            leads_up: source.place.leads_up(),
        };
        self.sent.insert((source.track, id), sent);
        source
            .history
            .push_back((source.sequence_number, packet.clone()));
        if source.history.len() > HISTORY {
            source.history.pop_front();
        }
        source.next_id += 1;
        source.sequence_number = source.sequence_number.wrapping_add(1);
        let datagram = self.peer.protect_rtp(&packet);
        self.outbox.push((self.path, datagram));
    }

    fn flush(&mut self) {
        while let Some(datagram) = self.peer.poll_transmit() {
            self.outbox.push((self.path, datagram));
        }
    }
}
