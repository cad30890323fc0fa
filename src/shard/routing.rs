//! Whose a datagram is: by its path, by the fragment in a check, and by its SSRC when a publisher's NAT has
//! forgotten it.

use std::time::Instant;

use super::ShardId;
use super::inbox::Message;
use super::session::Media;
use super::sessions::Route;
use super::state::State;
use crate::transport::framing::MAX_FRAME;
use crate::transport::{Path, Received, Via, demux, ice, srtp};

impl State {
    /// One datagram from our socket, wherever it belongs.
    pub(super) fn handle_datagram(&mut self, now: Instant, from: Path, datagram: &mut [u8]) {
        self.me().counters().received.add(1);
        // No message of ours is as long, and what is handed over is copied into buffers that are kept.
        if datagram.len() > MAX_FRAME {
            self.me().counters().foreign.add(1);
            return;
        }
        match self.route(now, from, datagram) {
            Some(Route::Here(slot)) => self.handle_here(now, slot, from, datagram),
            Some(Route::There(shard)) => self.hand_over(now, shard, from, datagram),
            None => self.me().counters().foreign.add(1),
        }
    }

    /// One datagram that another shard took for ours. It goes no further, so that none can circle.
    pub(super) fn handle_handover(&mut self, now: Instant, from: Path, datagram: &mut [u8]) {
        match self.route(now, from, datagram) {
            Some(Route::Here(slot)) => self.handle_here(now, slot, from, datagram),
            Some(Route::There(_)) | None => self.me().counters().foreign.add(1),
        }
    }

    fn route(&mut self, now: Instant, from: Path, datagram: &[u8]) -> Option<Route> {
        match (demux::classify(datagram), from.via) {
            (demux::Kind::Other, _) => None,
            // A connection is one session's, and is never shared with another shard's.
            (demux::Kind::Stun, Via::Tcp(_)) => {
                let owner = self.sessions.route(from);
                self.route_of_check(datagram).filter(|route| {
                    matches!(route, Route::Here(_)) && owner.is_none_or(|owner| owner == *route)
                })
            }
            (_, Via::Tcp(_)) => self.sessions.route(from),
            (demux::Kind::Stun, _) => self.route_of_check(datagram),
            (demux::Kind::Rtp, _) => self
                .sessions
                .route(from)
                .or_else(|| self.find_route(now, from))
                .or_else(|| self.sessions.route_of_ssrc(srtp::ssrc(datagram)?)),
            (demux::Kind::Dtls | demux::Kind::Rtcp, _) => self
                .sessions
                .route(from)
                .or_else(|| self.find_route(now, from)),
        }
    }

    /// A binding request says itself whose it is; its path may be new.
    fn route_of_check(&self, datagram: &[u8]) -> Option<Route> {
        let ufrag = ice::request_ufrag(datagram)?;
        let owner = ShardId::from_mark(*ufrag.as_bytes().first()?)?;
        if owner == self.id {
            self.sessions.slot_of_ufrag(ufrag).map(Route::Here)
        } else {
            self.shard(owner).map(|_| Route::There(owner))
        }
    }

    fn hand_over(&self, now: Instant, to: ShardId, from: Path, datagram: &[u8]) {
        let is_stranger = self.sessions.route(from) != Some(Route::There(to));
        let taken = self
            .shard(to)
            .is_some_and(|shard| shard.hand_over(now, from, is_stranger, datagram));
        let counters = self.me().counters();
        if taken {
            counters.handed_over.add(1);
        } else {
            counters.queue_overflow.add(1);
        }
    }

    fn handle_here(&mut self, now: Instant, slot: usize, from: Path, datagram: &mut [u8]) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        let kind = demux::classify(datagram);
        let is_check = kind == demux::Kind::Stun;
        let received = if kind == demux::Kind::Rtp && !session.paths.contains(&from) {
            // Found by its SSRC. A NAT may have forgotten its publisher, and some seconds may pass until
            // the next check shows the new path.
            session.transport.handle_stray_media(now, datagram)
        } else {
            session.transport.handle_datagram(now, from, datagram)
        };
        match received {
            Received::Rtp { len } => {
                self.note_ssrc(slot, &datagram[..len]);
                self.handle_rtp(now, slot, &datagram[..len]);
            }
            Received::Rtcp { len } => self.handle_rtcp(now, slot, &datagram[..len]),
            Received::Nothing => {
                let dropped = session.transport.take_counters();
                self.count_drops(dropped);
            }
        }
        self.settle(now, slot);
        // Somebody who can send by this path may have claimed it; its owner takes it back.
        if is_check
            && self.sessions.owns(slot, from)
            && self.sessions.route(from) != Some(Route::Here(slot))
        {
            self.sessions.add_path(slot, from);
            self.tell_others(|id| Message::Route(from, id));
        }
    }

    /// Remembers whose media this is, for the time when it comes by another path.
    fn note_ssrc(&mut self, slot: usize, packet: &[u8]) {
        let publishes = self
            .sessions
            .get_mut(slot)
            .is_some_and(|session| matches!(session.media, Media::Publisher(_)));
        if publishes
            && let Some(ssrc) = srtp::ssrc(packet)
            && self.sessions.add_ssrc(slot, ssrc)
        {
            self.tell_others(|id| Message::RouteSsrc(ssrc, id));
        }
    }
}
