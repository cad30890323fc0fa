//! The gateway's side: what a shard does, without its sockets.

mod intake;
mod scalable;

use std::sync::Arc;
use std::time::Instant;

use super::network::Dice;
use super::outlet::outlet;
use super::tracks::{Track, tracks};
use super::{VIDEO, agreed};
use crate::egress::whep::{BandwidthStatus, Subscriber};
use crate::egress::{SenderClock, StreamClocks};
use crate::ingest::{self, Publisher};
use crate::sdp::{DtlsRole, Fingerprint, IceCredentials, SubscriberSpec};
use crate::stream::{LayerChoice, LayerId, LayersByTrack, RankedLayer, Recycler, TrackId};
use crate::transport::{self, Config, Event, Identity, Path, Received, Timeouts, Transport};

/// Of video and audio.
const CLOCK_RATES: [u32; 2] = [90_000, 48_000];
/// What our own clock says when a publisher's first packet comes, as NTP time.
const WALL_CLOCK: u64 = 4_000_000_000 << 32;

/// Session 0 is the publisher's.
pub(super) struct Gateway {
    identity: Arc<Identity>,
    pub(super) transports: Vec<Transport>,
    publisher: Publisher,
    /// Of session 1 and so on.
    pub(super) subscribers: Vec<Subscriber>,
    /// What they agreed on.
    specs: Vec<SubscriberSpec>,
    pub(super) tracks: Vec<Track>,
    /// Packets of audio keep what the one before held; set when a viewer comes who takes redundancy.
    keeps_previous: bool,
    clocks: StreamClocks,
    recycler: Recycler,
    /// What is to be sent to which session's peer.
    pub(super) outbox: Vec<(usize, Path, Vec<u8>)>,
}

/// What a peer must know of its session.
pub(super) struct Admission {
    pub(super) credentials: IceCredentials,
    /// The SSRCs of video, its retransmissions and audio, for a viewer.
    pub(super) ssrcs: [u32; 3],
}

impl Gateway {
    /// With so many layers of video.
    pub(super) fn new(
        now: Instant,
        rtx: bool,
        layers: usize,
        fingerprint: Fingerprint,
    ) -> (Self, Admission) {
        let identity = Arc::new(Identity::generate().unwrap());
        let mut gateway = Self {
            identity,
            transports: Vec::new(),
            publisher: publisher(now, rtx, layers),
            subscribers: Vec::new(),
            specs: Vec::new(),
            tracks: tracks(layers),
            keeps_previous: false,
            clocks: StreamClocks::new(CLOCK_RATES),
            recycler: Recycler::default(),
            outbox: Vec::new(),
        };
        let credentials = gateway.open(now, fingerprint);
        let ssrcs = [0; 3];
        (gateway, Admission { credentials, ssrcs })
    }

    /// Another publisher follows the one before, whose stream is gone.
    pub(super) fn replace_publisher(
        &mut self,
        now: Instant,
        dice: &mut Dice,
        rtx: bool,
        layers: usize,
        fingerprint: Fingerprint,
    ) -> Admission {
        self.publisher = publisher(now, rtx, layers);
        self.tracks = tracks(layers);
        self.clocks = StreamClocks::new(CLOCK_RATES);
        for (subscriber, spec) in self.subscribers.iter_mut().zip(&self.specs) {
            subscriber.rebind(spec, || dice.roll() as u32);
        }
        let credentials = self.open(now, fingerprint);
        // The newest transport is its.
        self.transports.swap_remove(0);
        for session in 1..=self.subscribers.len() {
            self.begin(now, session);
        }
        let ssrcs = [0; 3];
        Admission { credentials, ssrcs }
    }

    pub(super) fn subscribe(
        &mut self,
        now: Instant,
        dice: &mut Dice,
        (rtx, numbers, red): (bool, bool, bool),
        fingerprint: Fingerprint,
    ) -> Admission {
        let credentials = self.open(now, fingerprint);
        let base = 1_000 * self.transports.len() as u32;
        let ssrcs = [base, base + 1, base + 2];
        let spec = agreed::subscriber(ssrcs, rtx, numbers, red);
        self.keeps_previous |= red;
        let subscriber = Subscriber::new(&spec, "demo", || dice.roll() as u32);
        self.subscribers.push(subscriber);
        self.specs.push(spec);
        Admission { credentials, ssrcs }
    }

    /// Gives a session new ICE credentials.
    pub(super) fn restart_ice(&mut self, session: usize) -> IceCredentials {
        let credentials = credentials(session, "again");
        self.transports[session].restart_ice(&credentials);
        credentials
    }

    /// A connection was closed.
    pub(super) fn forget_path(&mut self, now: Instant, session: usize, path: Path) {
        self.transports[session].forget_path(now, path);
        self.settle(now, session);
    }

    pub(super) fn stats(&self) -> ingest::Stats {
        self.publisher.stats()
    }

    pub(super) fn handle_datagram(
        &mut self,
        now: Instant,
        session: usize,
        from: Path,
        mut datagram: Vec<u8>,
    ) {
        match self.transports[session].handle_datagram(now, from, &mut datagram) {
            Received::Rtp { len } if session == 0 => self.ingest(now, &datagram[..len]),
            Received::Rtcp { len } if session == 0 => {
                self.publisher.handle_rtcp(now, &datagram[..len]);
            }
            Received::Rtcp { len } => self.feedback(now, session, &datagram[..len]),
            Received::Rtp { .. } | Received::Nothing => {}
        }
        self.settle(now, session);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let transports = self.transports.iter().map(Transport::poll_timeout);
        let subscribers = self.subscribers.iter().map(Subscriber::poll_timeout);
        let all = transports.chain(subscribers);
        let behind = self.subscribers.iter().map(Subscriber::catch_up_at);
        all.chain(behind)
            .chain([self.publisher.poll_timeout()])
            .flatten()
            .min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.publisher.handle_timeout(now);
        self.catch_up(now);
        for session in 0..self.transports.len() {
            self.transports[session].handle_timeout(now);
            if session > 0 {
                self.report(now, session);
                self.adapt(now, session);
            }
            self.settle(now, session);
        }
    }

    fn open(&mut self, now: Instant, fingerprint: Fingerprint) -> IceCredentials {
        let credentials = credentials(self.transports.len(), "first");
        let config = Config {
            local: credentials.clone(),
            remote_fingerprint: fingerprint,
            dtls_role: DtlsRole::Server,
            timeouts: Timeouts::default(),
        };
        let transport = Transport::new(now, &self.identity, &config).unwrap();
        self.transports.push(transport);
        credentials
    }

    fn feedback(&mut self, now: Instant, session: usize, bytes: &[u8]) {
        let Some(mut outlet) = outlet(session, &mut self.transports[session], &mut self.outbox)
        else {
            return;
        };
        let tracks = &self.tracks;
        let ring = |track: TrackId, layer: LayerId| {
            let track = tracks.get(usize::from(track.0))?;
            Some(&track.layers.get(usize::from(layer.0))?.ring)
        };
        let wanted = self.subscribers[session - 1].handle_rtcp(now, bytes, ring, &mut outlet);
        self.ask_for(now, &wanted);
        self.adapt(now, session);
        self.drain_publisher(now);
    }

    fn adapt(&mut self, now: Instant, session: usize) {
        let Some(mut outlet) = outlet(session, &mut self.transports[session], &mut self.outbox)
        else {
            return;
        };
        let tracks = &self.tracks;
        let ring = |track: TrackId, layer: LayerId| {
            let track = tracks.get(usize::from(track.0))?;
            Some(&track.layers.get(usize::from(layer.0))?.ring)
        };
        let ranked = |track: TrackId| Some(&*tracks.get(usize::from(track.0))?.ranked);
        let subscriber = &mut self.subscribers[session - 1];
        if subscriber.adapt(now, ranked, ring, &mut outlet) {
            let waiting = subscriber.waiting_for_keyframe();
            self.ask_for(now, &waiting);
        }
    }

    /// What is known of a viewer's link.
    pub(super) fn bandwidth(&self, viewer: usize) -> Option<BandwidthStatus> {
        self.subscribers[viewer].bandwidth()
    }

    fn report(&mut self, now: Instant, session: usize) {
        let mut compound = Vec::new();
        let tracks = &self.tracks;
        let clock = |track: TrackId, layer: LayerId| {
            let track = tracks.get(usize::from(track.0))?;
            track.layers.get(usize::from(layer.0))?.clock.as_ref()
        };
        let subscriber = &mut self.subscribers[session - 1];
        if !subscriber.handle_timeout(now, clock, &mut compound) {
            return;
        }
        let transport = &mut self.transports[session];
        let Some(to) = transport.path() else {
            return;
        };
        if let Some(srtp) = transport.outbound() {
            srtp.protect_rtcp(&mut compound).unwrap();
            self.outbox.push((session, to, compound));
        }
    }

    fn settle(&mut self, now: Instant, session: usize) {
        while let Some(event) = self.transports[session].poll_event() {
            match event {
                Event::Connected if session > 0 => {
                    for (track, local) in (0..).map(TrackId).zip(&self.tracks) {
                        self.subscribers[session - 1].set_layers(track, &local.ranked);
                    }
                    self.begin(now, session);
                }
                Event::Closed(reason) => panic!("session {session} was closed: {reason}"),
                _ => {}
            }
        }
        while let Some((to, datagram)) = self.transports[session].poll_transmit() {
            self.outbox.push((session, to, datagram));
        }
        self.drain_publisher(now);
    }

    fn drain_publisher(&mut self, now: Instant) {
        while let Some(mut compound) = self.publisher.poll_rtcp() {
            let transport = &mut self.transports[0];
            let Some(to) = transport.path() else {
                break;
            };
            let Some(srtp) = transport.outbound() else {
                break;
            };
            srtp.protect_rtcp(&mut compound).unwrap();
            self.outbox.push((0, to, compound));
        }
        while let Some(event) = self.publisher.poll_event() {
            match event {
                ingest::Event::SenderReport {
                    track,
                    layer,
                    rtp_timestamp,
                    ntp,
                    received,
                } => {
                    let rate = if track == VIDEO { 90_000 } else { 48_000 };
                    let clock = SenderClock::new(ntp, rtp_timestamp, received, rate);
                    let tracks = &mut self.tracks;
                    self.clocks
                        .report(track, layer, clock, |track, layer, clock| {
                            let layers = &mut tracks[usize::from(track.0)].layers;
                            layers[usize::from(layer.0)].clock = Some(clock);
                        });
                }
                ingest::Event::Layers { track, layers }
                | ingest::Event::LayerReport { track, layers } => {
                    for subscriber in &mut self.subscribers {
                        subscriber.set_layers(track, &layers);
                    }
                    self.tracks[usize::from(track.0)].ranked = layers;
                    let waiting = self
                        .subscribers
                        .iter()
                        .map(Subscriber::waiting_for_keyframe);
                    for waiting in waiting.collect::<Vec<_>>() {
                        self.ask_for(now, &waiting);
                    }
                }
                _ => {}
            }
        }
    }

    pub(super) fn ask_for(&mut self, now: Instant, layers: &LayersByTrack) {
        for (track, layer) in layers.iter() {
            self.publisher.request_keyframe(now, track, layer);
        }
    }

    /// A viewer chooses a layer of the video.
    pub(super) fn select(&mut self, now: Instant, viewer: usize, choice: &LayerChoice) {
        let tracks = &self.tracks;
        let ranked = |track: TrackId| Some(&*tracks[usize::from(track.0)].ranked);
        self.subscribers[viewer].select(choice, ranked);
        let waiting = self.subscribers[viewer].waiting_for_keyframe();
        self.ask_for(now, &waiting);
        self.drain_publisher(now);
    }

    /// The layers of the video, the best first.
    pub(super) fn ranked(&self) -> &[RankedLayer] {
        &self.tracks[usize::from(VIDEO.0)].ranked
    }
}

fn publisher(now: Instant, rtx: bool, layers: usize) -> Publisher {
    let spec = agreed::publisher(rtx, layers);
    Publisher::new(now, spec, ingest::Config::default(), 77)
}

fn credentials(session: usize, generation: &str) -> IceCredentials {
    IceCredentials {
        ufrag: format!("A{generation}{session}"),
        pwd: format!("the-{generation}-password-of-session-{session}"),
    }
}

/// Used by the peers' side too.
pub(super) use transport::testing::Peer;
