//! A publisher, the gateway and viewers in one virtual time.

use std::time::{Duration, Instant};

use super::gateway::{Gateway, Peer};
use super::network::{Dice, Link, Weather};
use super::publisher::{PublishingPeer, Sent};
use super::viewer::{Got, Reception, WatchingPeer};
use crate::sdp::DtlsRole;
use crate::transport::srtp::Profile;

/// Everything. Link 0 is the publisher's, link `n` that of viewer `n - 1`.
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) dice: Dice,
    pub(super) gateway: Gateway,
    pub(super) publisher: PublishingPeer,
    pub(super) viewers: Vec<WatchingPeer>,
    up: Vec<Link>,
    down: Vec<Link>,
    rtx: bool,
}

impl World {
    pub(super) fn new(seed: u64, rtx: bool) -> Self {
        let now = Instant::now();
        let mut dice = Dice::new(seed);
        let mut peer = Peer::new(DtlsRole::Client, &[Profile::AeadAes128Gcm]);
        let (gateway, admission) = Gateway::new(now, rtx, peer.fingerprint);
        peer.server = admission.credentials;
        let publisher = PublishingPeer::new(now, &mut dice, peer, rtx);
        Self {
            now,
            dice,
            gateway,
            publisher,
            viewers: Vec::new(),
            up: vec![Link::new(Weather::FAIR)],
            down: vec![Link::new(Weather::FAIR)],
            rtx,
        }
    }

    /// The publisher is gone; another one comes after some time.
    pub(super) fn replace_publisher(&mut self, pause: Duration) {
        let mut peer = Peer::new(DtlsRole::Client, &[Profile::AeadAes128Gcm]);
        let (dice, fingerprint) = (&mut self.dice, peer.fingerprint);
        let admission = self
            .gateway
            .replace_publisher(self.now, dice, self.rtx, fingerprint);
        peer.server = admission.credentials;
        let next = PublishingPeer::new(self.now, dice, peer, self.rtx);
        let before = std::mem::replace(&mut self.publisher, next);
        self.publisher.follow(before, self.now + pause);
    }

    pub(super) fn add_viewer(&mut self) {
        let mut peer = Peer::new(DtlsRole::Client, &[Profile::AeadAes128Gcm]);
        let admission =
            self.gateway
                .subscribe(self.now, &mut self.dice, self.rtx, peer.fingerprint);
        peer.server = admission.credentials.clone();
        let index = self.viewers.len() as u16;
        self.viewers
            .push(WatchingPeer::new(self.now, index, peer, &admission));
        self.up.push(Link::new(Weather::FAIR));
        self.down.push(Link::new(Weather::FAIR));
    }

    /// The weather on the publisher's link, both ways.
    pub(super) fn publisher_weather(&mut self, weather: Weather) {
        self.up[0].weather = weather;
        self.down[0].weather = weather;
    }

    /// The weather on the viewers' links, both ways.
    pub(super) fn viewer_weather(&mut self, weather: Weather) {
        let links = self.up[1..].iter_mut().chain(&mut self.down[1..]);
        links.for_each(|link| link.weather = weather);
    }

    /// How many datagrams were lost on all links.
    pub(super) fn lost(&self) -> u64 {
        self.up.iter().chain(&self.down).map(|link| link.lost).sum()
    }

    pub(super) fn restart_ice(&mut self, viewer: usize) {
        let credentials = self.gateway.restart_ice(viewer + 1);
        self.viewers[viewer].restart_ice(self.now, credentials);
    }

    pub(super) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        // A second has some hundred datagrams a link, and some timers.
        for _ in 0..200_000 {
            self.collect();
            let links = self.up.iter().chain(&self.down).filter_map(Link::next);
            let peers = self.viewers.iter().filter_map(WatchingPeer::poll_timeout);
            let others = [self.gateway.poll_timeout(), self.publisher.poll_timeout()];
            let next = links.chain(peers).chain(others.into_iter().flatten()).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            self.step();
        }
        panic!("time stands still");
    }

    fn collect(&mut self) {
        let (now, dice) = (self.now, &mut self.dice);
        for (session, to, datagram) in self.gateway.outbox.drain(..) {
            self.down[session].send(now, dice, (to, datagram));
        }
        let viewers = self.viewers.iter_mut().map(|viewer| &mut viewer.outbox);
        let peers = std::iter::once(&mut self.publisher.outbox).chain(viewers);
        for (link, outbox) in self.up.iter_mut().zip(peers) {
            outbox
                .drain(..)
                .for_each(|datagram| link.send(now, dice, datagram));
        }
    }

    fn step(&mut self) {
        let now = self.now;
        for (session, link) in self.up.iter_mut().enumerate() {
            while let Some((from, datagram)) = link.receive(now) {
                self.gateway.handle_datagram(now, session, from, datagram);
            }
        }
        while let Some((to, datagram)) = self.down[0].receive(now) {
            if to == self.publisher.path {
                self.publisher.handle_datagram(now, &datagram);
            }
        }
        for (viewer, link) in self.viewers.iter_mut().zip(&mut self.down[1..]) {
            while let Some((to, datagram)) = link.receive(now) {
                // What is on its way to a path that the peer has left is lost.
                if to == viewer.path {
                    viewer.handle_datagram(now, &datagram);
                }
            }
        }
        if self.gateway.poll_timeout().is_some_and(|due| due <= now) {
            self.gateway.handle_timeout(now);
        }
        if self.publisher.poll_timeout().is_some_and(|due| due <= now) {
            self.publisher.handle_timeout(now, &mut self.dice);
        }
        for viewer in &mut self.viewers {
            if viewer.poll_timeout().is_some_and(|due| due <= now) {
                viewer.handle_timeout(now);
            }
        }
    }

    /// What a viewer got of a track, with what the publisher meant, by the viewer's numbers.
    pub(super) fn compare<'a>(
        &'a self,
        reception: &'a Reception,
    ) -> impl Iterator<Item = (u64, Got, Sent)> + 'a {
        reception.packets.iter().map(|(number, got)| {
            let sent = self.publisher.sent[&(reception.track, got.id)];
            (*number, *got, sent)
        })
    }
}
