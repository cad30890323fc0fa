//! A publisher, the gateway and viewers in one virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::gateway::{Gateway, Peer};
use super::link::Bottleneck;
use super::network::{Dice, Link, Weather};
use super::publisher::{PublishingPeer, Scalability, Sent};
use super::stream::Stream;
use super::telling::Telling;
use super::viewer::{Got, Reception, WatchingPeer};
use crate::sdp::DtlsRole;
use crate::sdp::IceCredentials;
use crate::transport::srtp::Profile;
use crate::transport::testing::path_from;
use crate::transport::{ConnectionId, Path};

/// Everything. Link 0 is the publisher's, link `n` that of viewer `n - 1`.
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) dice: Dice,
    pub(super) gateway: Gateway,
    pub(super) publisher: PublishingPeer,
    pub(super) viewers: Vec<WatchingPeer>,
    up: Vec<Link>,
    down: Vec<Link>,
    /// The connections of peers that go by TCP, by session: up and down.
    connections: BTreeMap<usize, [Stream; 2]>,
    /// Narrow ways to viewers, by session: they come before the link.
    pub(super) bottlenecks: BTreeMap<usize, Bottleneck>,
    opened: u32,
    rtx: bool,
    layers: usize,
    /// Viewers who come take redundancy.
    pub(super) offers_redundancy: bool,
}

impl World {
    pub(super) fn new(seed: u64, rtx: bool) -> Self {
        Self::with_layers(seed, rtx, 1)
    }

    /// A publisher that sends so many layers of video.
    pub(super) fn with_layers(seed: u64, rtx: bool, layers: usize) -> Self {
        let now = Instant::now();
        let mut dice = Dice::new(seed);
        let mut peer = Peer::new(DtlsRole::Client, &[Profile::AeadAes128Gcm]);
        let (gateway, admission) = Gateway::new(now, rtx, layers, peer.fingerprint);
        peer.server = admission.credentials;
        let publisher = PublishingPeer::new(now, &mut dice, peer, rtx, layers);
        Self {
            now,
            dice,
            gateway,
            publisher,
            viewers: Vec::new(),
            up: vec![Link::new(Weather::FAIR)],
            down: vec![Link::new(Weather::FAIR)],
            connections: BTreeMap::new(),
            bottlenecks: BTreeMap::new(),
            opened: 0,
            rtx,
            layers,
            offers_redundancy: false,
        }
    }

    /// A publisher that sends three layers in one source.
    pub(super) fn scalable(seed: u64, scalability: Scalability) -> Self {
        let mut world = Self::new(seed, true);
        world.gateway.be_scalable(world.now);
        world.publisher.scalability = Some(scalability);
        world
    }

    /// The publisher is gone; another one comes after some time.
    pub(super) fn replace_publisher(&mut self, pause: Duration) {
        let mut peer = Peer::new(DtlsRole::Client, &[Profile::AeadAes128Gcm]);
        let (dice, fingerprint) = (&mut self.dice, peer.fingerprint);
        let admission =
            self.gateway
                .replace_publisher(self.now, dice, self.rtx, self.layers, fingerprint);
        peer.server = admission.credentials;
        let next = PublishingPeer::new(self.now, dice, peer, self.rtx, self.layers);
        let before = std::mem::replace(&mut self.publisher, next);
        self.publisher.follow(before, self.now + pause);
    }

    pub(super) fn add_viewer(&mut self) {
        self.add_viewer_who_tells(Telling::Numbers);
    }

    pub(super) fn add_viewer_who_tells(&mut self, telling: Telling) {
        let mut peer = Peer::new(DtlsRole::Client, &[Profile::AeadAes128Gcm]);
        let numbers = telling == Telling::Numbers;
        let agreed = (self.rtx, numbers, self.offers_redundancy);
        let admission = self
            .gateway
            .subscribe(self.now, &mut self.dice, agreed, peer.fingerprint);
        peer.server = admission.credentials.clone();
        let index = self.viewers.len() as u16;
        let mut viewer = WatchingPeer::new(self.now, index, peer, &admission, telling);
        viewer.repeats = self.offers_redundancy.then(BTreeSet::new);
        self.viewers.push(viewer);
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

    /// Weather on the link of a session: on the way to the gateway, and on the way from it.
    pub(super) fn weather(&mut self, session: usize, up: Weather, down: Weather) {
        self.up[session].weather = up;
        self.down[session].weather = down;
    }

    /// How many datagrams were lost on all links.
    pub(super) fn lost(&self) -> u64 {
        self.up.iter().chain(&self.down).map(|link| link.lost).sum()
    }

    /// The way to a viewer carries so many bit/s, with so much room in its queue.
    pub(super) fn narrow(&mut self, viewer: usize, rate: u64, queue_bytes: usize) {
        let narrow = Bottleneck::new(self.now, rate, queue_bytes);
        self.bottlenecks.insert(viewer + 1, narrow);
    }

    pub(super) fn restart_ice(&mut self, viewer: usize) {
        let credentials = self.gateway.restart_ice(viewer + 1);
        self.viewers[viewer].restart_ice(self.now, credentials);
    }

    pub(super) fn restart_publisher(&mut self) {
        let credentials: IceCredentials = self.gateway.restart_ice(0);
        self.publisher.restart_ice(self.now, credentials);
    }

    /// The peer of a session goes on by a new connection, of so many bytes a second to it and with
    /// so much room in the gateway's queue. The old one is closed.
    pub(super) fn go_by_tcp(&mut self, session: usize, rate: u32, queue_bytes: usize) {
        self.close_connection(session);
        self.opened += 1;
        let id = ConnectionId {
            index: session as u32,
            generation: self.opened,
        };
        let path = Path::tcp(self.path(session).remote, id);
        let stream = |rate, queue_bytes| Stream::new(self.now, path, rate, queue_bytes);
        let both = [stream(10_000_000, 1 << 20), stream(rate, queue_bytes)];
        self.connections.insert(session, both);
        self.go_by(session, path);
    }

    /// The peer of a session goes on by UDP, and its connection is closed.
    pub(super) fn go_by_udp(&mut self, session: usize) {
        let remote = self.path(session).remote;
        self.go_by(session, path_from(remote));
        self.close_connection(session);
    }

    /// What a session's connection, if there is one, did not take.
    pub(super) fn dropped(&self, session: usize) -> u64 {
        self.connections
            .get(&session)
            .map_or(0, |[_, down]| down.dropped)
    }

    pub(super) fn close_connection(&mut self, session: usize) {
        if let Some([up, _]) = self.connections.remove(&session) {
            self.gateway.forget_path(self.now, session, up.path);
        }
    }

    fn path(&self, session: usize) -> Path {
        match session.checked_sub(1) {
            None => self.publisher.path,
            Some(viewer) => self.viewers[viewer].path,
        }
    }

    fn go_by(&mut self, session: usize, path: Path) {
        match session.checked_sub(1) {
            None => self.publisher.go_by(self.now, path),
            Some(viewer) => self.viewers[viewer].go_by(self.now, path),
        }
    }

    pub(super) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        // A second has some hundred datagrams a link, and some timers.
        for _ in 0..200_000 {
            self.collect();
            let links = self.up.iter().chain(&self.down).filter_map(Link::next);
            let streams = self.connections.values().flatten().filter_map(Stream::next);
            let peers = self.viewers.iter().filter_map(WatchingPeer::poll_timeout);
            let narrow = self.bottlenecks.values().filter_map(Bottleneck::next);
            let others = [self.gateway.poll_timeout(), self.publisher.poll_timeout()];
            let next = links
                .chain(streams)
                .chain(peers)
                .chain(narrow)
                .chain(others.into_iter().flatten())
                .min();
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
            match (to.connection(), self.connections.get_mut(&session)) {
                (None, _) => match self.bottlenecks.get_mut(&session) {
                    Some(narrow) => narrow.send(now, (to, datagram)),
                    None => self.down[session].send(now, dice, (to, datagram)),
                },
                (Some(_), Some([_, down])) if down.path == to => down.send(now, dice, &datagram),
                // It was closed meanwhile.
                (Some(_), _) => {}
            }
        }
        let viewers = self.viewers.iter_mut().map(|viewer| &mut viewer.outbox);
        let peers = std::iter::once(&mut self.publisher.outbox).chain(viewers);
        for (session, (link, outbox)) in self.up.iter_mut().zip(peers).enumerate() {
            for (by, datagram) in outbox.drain(..) {
                match (by.connection(), self.connections.get_mut(&session)) {
                    (None, _) => link.send(now, dice, (by, datagram)),
                    (Some(_), Some([up, _])) if up.path == by => up.send(now, dice, &datagram),
                    (Some(_), _) => {}
                }
            }
        }
    }

    fn step(&mut self) {
        let now = self.now;
        for (session, narrow) in &mut self.bottlenecks {
            while let Some(datagram) = narrow.receive(now) {
                self.down[*session].send(now, &mut self.dice, datagram);
            }
        }
        for (session, link) in self.up.iter_mut().enumerate() {
            while let Some((from, datagram)) = link.receive(now) {
                self.gateway.handle_datagram(now, session, from, datagram);
            }
        }
        for (session, [up, down]) in &mut self.connections {
            for datagram in up.receive(now, &mut self.dice) {
                self.gateway
                    .handle_datagram(now, *session, up.path, datagram);
            }
            for datagram in down.receive(now, &mut self.dice) {
                match session.checked_sub(1) {
                    None => self.publisher.handle_datagram(now, &datagram),
                    Some(viewer) => self.viewers[viewer].handle_datagram(now, &datagram),
                }
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
