//! How the rest of the process reaches a shard: messages, packets of other shards, and a bell.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{fmt, io};

use crossbeam_queue::{ArrayQueue, SegQueue};

use super::stills::StillReply;
use super::stream_counters::StreamCounters;
use super::{Counters, SessionKey, ShardId, StreamKey};
use crate::egress::SenderClock;
use crate::media::HlsFeed;
use crate::rtp::PlayoutDelay;
use crate::sdp::{IceCredentials, PublisherSpec, SubscriberSpec};
use crate::stream::{LayerChoice, LayerId, LayersByTrack, Packet, RankedLayer, TrackId, TrackInfo};
use crate::transport::{self, Path};

pub(super) const WAKE: mio::Token = mio::Token(1);

/// Packets that may wait for a shard at least: at 100,000 packets per second, 160 ms.
const MEDIA_QUEUE: usize = 16_384;
/// Datagrams that may wait for the shard that they belong to.
const HANDOVER_QUEUE: usize = 1024;
/// Accepted connections that may wait for the shard that they belong to.
const CONNECTION_QUEUE: usize = 1024;

/// Something that a shard is to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum Message {
    /// Take a session.
    Open(Box<OpenSession>),
    /// Take new ICE credentials; the old ones go on until the new ones are used.
    RestartIce {
        /// Whose.
        session: SessionKey,
        /// Ours.
        local: IceCredentials,
    },
    /// A subscriber gets another broadcast from now on.
    Rebind(Box<Rebinding>),
    /// End a session, so that the peer sees it.
    Close(SessionKey),
    /// Give the stream's packets to its HLS branch too. To the publisher's shard.
    AttachHls(StreamKey, HlsFeed),
    /// Do so no longer: viewers get another broadcast. To the publisher's shard.
    DetachHls(StreamKey),
    /// The shard has subscribers of this stream, who need these layers. To the publisher's shard.
    Subscribe(StreamKey, ShardId, LayersByTrack),
    /// The shard has none any more.
    Unsubscribe(StreamKey, ShardId),
    /// There will be nothing more of this stream. From the publisher's shard.
    Ended(StreamKey),
    /// A subscriber needs a keyframe. To the publisher's shard.
    RequestKeyframe(StreamKey, TrackId, LayerId),
    /// The HLS branch needs a keyframe. To the publisher's shard.
    RequestHlsKeyframe(StreamKey, TrackId),
    /// Somebody wants the newest keyframe of a track. To the publisher's shard.
    Still(StreamKey, TrackId, StillReply),
    /// The publisher's clock of a layer. From the publisher's shard.
    Clock(StreamKey, TrackId, LayerId, SenderClock),
    /// The layers of a track, the best first. From the publisher's shard.
    Layers(StreamKey, TrackId, Arc<[RankedLayer]>),
    /// A subscriber wants other layers.
    SelectLayer(SessionKey, LayerChoice),
    /// What comes by this path is for a session of that shard.
    Route(Path, ShardId),
    /// It is no longer.
    Unroute(Path, ShardId),
    /// Media with this SSRC may be for a publisher of that shard, whatever path it came by.
    RouteSsrc(u32, ShardId),
    /// It is no longer.
    UnrouteSsrc(u32, ShardId),
    /// End every session, then the thread.
    Shutdown,
}

/// A session that the control plane made.
#[derive(Debug)]
pub struct OpenSession {
    /// Its name.
    pub key: SessionKey,
    /// ICE, DTLS and their limits.
    pub transport: transport::Config,
    /// What it does.
    pub role: Role,
}

/// What a session does.
#[derive(Debug)]
pub enum Role {
    /// It publishes `stream`.
    Publisher {
        /// Its broadcast.
        stream: StreamKey,
        /// What was agreed on.
        spec: PublisherSpec,
        /// Where the broadcast is counted.
        counters: Arc<StreamCounters>,
        /// How long its media may be away until the control plane is told; none: never.
        stall_after: Option<Duration>,
        /// What its viewers' players are told of how long to wait; none: what it says itself.
        playout_delay: Option<PlayoutDelay>,
    },
    /// It takes `stream` from the shard `origin`, where its publisher is.
    Subscriber {
        /// The broadcast.
        stream: StreamKey,
        /// The publisher's shard.
        origin: ShardId,
        /// The tracks of the stream.
        tracks: Arc<[TrackInfo]>,
        /// Where the broadcast is counted.
        counters: Arc<StreamCounters>,
        /// What was agreed on.
        spec: SubscriberSpec,
        /// The canonical name of all its sources (RFC 3550, section 6.5.1).
        cname: Box<str>,
    },
}

/// Another broadcast for a subscriber.
#[derive(Debug)]
pub struct Rebinding {
    /// The subscriber.
    pub session: SessionKey,
    /// The broadcast.
    pub stream: StreamKey,
    /// The publisher's shard.
    pub origin: ShardId,
    /// The tracks of the stream.
    pub tracks: Arc<[TrackInfo]>,
    /// Where the broadcast is counted.
    pub counters: Arc<StreamCounters>,
    /// What the subscriber gets of them. Its SSRCs stay what they are.
    pub spec: SubscriberSpec,
}

/// What a packet from the publisher's shard is to its subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// It has just come.
    New,
    /// It came since the last keyframe, before the shard had subscribers of its layer.
    Past,
    /// It is the last of those.
    LastPast,
}

/// A way to a shard. Clones lead to the same one.
#[derive(Clone)]
pub struct ShardHandle {
    id: ShardId,
    inbox: Arc<Inbox>,
}

struct Inbox {
    /// Not bounded, but a peer can cause few: what it repeats is brought together before it is sent.
    messages: SegQueue<Message>,
    media: ArrayQueue<(StreamKey, Arc<Packet>, Age)>,
    handovers: ArrayQueue<Handover>,
    /// Buffers of hand-overs, to be used again.
    spare: ArrayQueue<Vec<u8>>,
    /// Accepted TCP connections, with what was read of them.
    connections: ArrayQueue<(TcpStream, Vec<u8>)>,
    waker: mio::Waker,
    /// The shard is awake, or will be: ringing again is not needed.
    awake: AtomicBool,
    counters: Counters,
}

/// A datagram that came to the wrong shard.
pub(super) struct Handover {
    /// When it was read from the socket.
    pub(super) at: Instant,
    pub(super) from: Path,
    pub(super) bytes: Vec<u8>,
}

impl ShardHandle {
    /// `past` is how many packets a ring has at most: so many fit into half of the queue for media.
    pub(super) fn new(id: ShardId, poll: &mio::Poll, past: usize) -> io::Result<Self> {
        let inbox = Inbox {
            messages: SegQueue::new(),
            media: ArrayQueue::new(MEDIA_QUEUE.max(2 * past)),
            handovers: ArrayQueue::new(HANDOVER_QUEUE),
            spare: ArrayQueue::new(HANDOVER_QUEUE),
            connections: ArrayQueue::new(CONNECTION_QUEUE),
            waker: mio::Waker::new(poll.registry(), WAKE)?,
            awake: AtomicBool::new(true),
            counters: Counters::default(),
        };
        Ok(Self {
            id,
            inbox: Arc::new(inbox),
        })
    }

    /// Which shard this is.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// What the shard has counted.
    pub fn counters(&self) -> &Counters {
        &self.inbox.counters
    }

    /// Sends a message and wakes the shard.
    pub fn send(&self, message: Message) {
        self.inbox.messages.push(message);
        self.wake();
    }

    /// Queues a packet without waking the shard. Returns false when the queue is full: the packet is lost there.
    pub(super) fn push_media(&self, stream: StreamKey, packet: Arc<Packet>, age: Age) -> bool {
        self.inbox.media.push((stream, packet, age)).is_ok()
    }

    /// Whether there is room for so many packets that are not new, beside new ones: those of all streams come by here, and
    /// nobody asks for them again.
    pub(super) fn has_room_for_past(&self, packets: u64) -> bool {
        self.inbox.media.len() as u64 + packets <= self.inbox.media.capacity() as u64 / 2
    }

    /// Queues a copy of a datagram and wakes the shard. Returns false when the queue is full, which for
    /// strangers it is at half: anybody can send what looks like a check of a session there, and must
    /// not push out what sessions have sent.
    pub(super) fn hand_over(
        &self,
        at: Instant,
        from: Path,
        is_stranger: bool,
        datagram: &[u8],
    ) -> bool {
        if is_stranger && self.inbox.handovers.len() >= HANDOVER_QUEUE / 2 {
            return false;
        }
        let mut bytes = self.inbox.spare.pop().unwrap_or_default();
        bytes.clear();
        bytes.extend_from_slice(datagram);
        let handover = Handover { at, from, bytes };
        let refused = self.inbox.handovers.push(handover).err();
        self.wake();
        let taken = refused.is_none();
        if let Some(handover) = refused {
            self.give_back(handover.bytes);
        }
        taken
    }

    /// Queues an accepted connection and wakes the shard. One for which there is no room is closed.
    pub(super) fn hand_connection(&self, stream: TcpStream, bytes: Vec<u8>) {
        drop(self.inbox.connections.push((stream, bytes)));
        self.wake();
    }

    /// Rings, unless the shard is awake anyway.
    pub(super) fn wake(&self) {
        if !self.inbox.awake.swap(true, Ordering::SeqCst) {
            // It fails only when the eventfd is gone, and then the shard is too.
            let _ = self.inbox.waker.wake();
        }
    }

    pub(super) fn messages_waiting(&self) -> usize {
        self.inbox.messages.len()
    }

    pub(super) fn next_message(&self) -> Option<Message> {
        self.inbox.messages.pop()
    }

    pub(super) fn next_media(&self) -> Option<(StreamKey, Arc<Packet>, Age)> {
        self.inbox.media.pop()
    }

    pub(super) fn next_connection(&self) -> Option<(TcpStream, Vec<u8>)> {
        self.inbox.connections.pop()
    }

    pub(super) fn next_handover(&self) -> Option<Handover> {
        self.inbox.handovers.pop()
    }

    pub(super) fn give_back(&self, bytes: Vec<u8>) {
        // Full: then there are enough.
        let _ = self.inbox.spare.push(bytes);
    }

    /// From now on, whoever brings something rings. Returns false when something is there already.
    pub(super) fn fall_asleep(&self) -> bool {
        self.inbox.awake.store(false, Ordering::SeqCst);
        let empty = self.inbox.messages.is_empty()
            && self.inbox.media.is_empty()
            && self.inbox.handovers.is_empty()
            && self.inbox.connections.is_empty();
        if !empty {
            self.stay_awake();
        }
        empty
    }

    pub(super) fn stay_awake(&self) {
        self.inbox.awake.store(true, Ordering::SeqCst);
    }
}

impl fmt::Debug for ShardHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ShardHandle").field(&self.id).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::testing::packet;

    #[test]
    fn the_past_leaves_half_of_the_queue_to_what_is_new() {
        const RING: u64 = 32_768;
        let poll = mio::Poll::new().unwrap();
        let shard = ShardHandle::new(ShardId(0), &poll, RING as usize).unwrap();
        assert!(shard.has_room_for_past(RING));
        assert!(!shard.has_room_for_past(RING + 1));
        for sequence in 0..2 * RING {
            assert!(shard.push_media(StreamKey(0), Arc::new(packet(sequence)), Age::New));
            assert!(!shard.has_room_for_past(RING - sequence.min(RING)));
        }
        assert!(!shard.push_media(StreamKey(0), Arc::new(packet(0)), Age::New));
    }
}
