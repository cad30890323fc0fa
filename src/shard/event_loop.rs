//! The loop of a shard's thread.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::batch::Batch;
use super::catch_up::CatchingUp;
use super::connections::Connections;
use super::inbox::{ShardHandle, WAKE};
use super::sessions::Sessions;
use super::socket::{ReceiveBuffer, Receiver, Sender};
use super::state::State;
use super::timers::Timers;
use super::turns::Turns;
use super::wire::Wire;
use super::{Config, Event, ShardId};
use crate::transport::Identity;

const SOCKET: mio::Token = mio::Token(0);

/// Receive calls before what came is sent on: long enough that the packets of a keyframe leave as
/// runs (as far as their turn allows, see [`Turns`]), short enough that the first of them does not wait for a flood behind it.
const RECEIVES_PER_ROUND: usize = 16;
/// Packets and hand-overs taken from the inbox before the rest gets its turn.
const INBOX_PER_ROUND: usize = 256;
/// Events taken from the kernel at once: mostly those of TCP connections.
const EVENTS: usize = 256;
/// The longest sleep when nothing is due; the value has no meaning of its own.
const IDLE: Duration = Duration::from_secs(60);

/// How a loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// By [`super::Message::Shutdown`].
    AsTold,
    /// It can't wait for its socket any more.
    Broken,
}

/// One shard.
pub struct EventLoop {
    poll: mio::Poll,
    socket: Receiver,
    buffer: ReceiveBuffer,
    state: State,
    inbox: ShardHandle,
    /// The socket may have more: it tells only when it becomes readable.
    readable: bool,
}

impl EventLoop {
    pub(super) fn new(
        id: ShardId,
        shards: Arc<[ShardHandle]>,
        (socket, udp): (Receiver, Sender),
        poll: mio::Poll,
        config: Config,
        identity: Arc<Identity>,
        events: mpsc::UnboundedSender<Event>,
    ) -> io::Result<Self> {
        socket.register(&poll, SOCKET)?;
        let tcp = Connections::new(poll.registry().try_clone()?, shards.len(), config.tcp);
        let inbox = shards[usize::from(id.0)].clone();
        let state = State {
            id,
            shards,
            wire: Wire { udp, tcp },
            turns: Turns::new(id, config.video_per_round),
            config,
            identity,
            events,
            sessions: Sessions::default(),
            streams: std::collections::HashMap::new(),
            timers: Timers::default(),
            catching_up: CatchingUp::default(),
            due: Vec::new(),
            batch: Batch::new(),
            fresh: Vec::new(),
            compound: Vec::new(),
            stopping: false,
        };
        Ok(Self {
            poll,
            socket,
            buffer: ReceiveBuffer::new(),
            state,
            inbox,
            readable: true,
        })
    }

    /// Runs until [`super::Message::Shutdown`].
    pub(super) fn run(mut self) -> Ended {
        let mut events = mio::Events::with_capacity(EVENTS);
        loop {
            self.state.begin_round(Instant::now());
            self.receive();
            let drained = self.take_inbox();
            if self.state.stopping {
                break;
            }
            let now = Instant::now();
            self.state.handle_timeouts(now);
            self.state.flush(now);
            self.state.catch_up(now);
            self.state.flush_connections();
            let state = &self.state;
            let is_done = state.turns.is_empty() && state.wire.tcp.is_idle();
            let idle = !self.readable && drained && is_done;
            if idle && self.inbox.fall_asleep() {
                if !self.wait(&mut events) {
                    break;
                }
                self.inbox.stay_awake();
            } else {
                self.look(&mut events);
            }
        }
        self.state.close_all(Instant::now());
        if self.state.stopping {
            Ended::AsTold
        } else {
            Ended::Broken
        }
    }

    fn receive(&mut self) {
        for _ in 0..RECEIVES_PER_ROUND {
            if !self.readable {
                return;
            }
            let now = Instant::now();
            let state = &mut self.state;
            match self.socket.receive(&mut self.buffer, |path, datagram| {
                state.handle_datagram(now, path, datagram);
            }) {
                Ok(ReceiveBuffer::SLOTS) => {}
                // Fewer than there was room for: the socket is empty, and will tell when it is not.
                Ok(_) => self.readable = false,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                // An ICMP error of an earlier send, or an interruption: the next call goes on.
                Err(_) => {}
            }
        }
    }

    /// Returns whether nothing is left.
    fn take_inbox(&mut self) -> bool {
        let now = Instant::now();
        self.state.read_connections(now);
        // All that wait now: they come faster than rounds do where each round is long.
        self.state.take_messages(now, self.inbox.messages_waiting());
        let mut drained = self.state.take_connections(now, INBOX_PER_ROUND);
        for count in 0.. {
            let Some(handover) = self.inbox.next_handover() else {
                break;
            };
            let mut bytes = handover.bytes;
            self.state
                .handle_handover(handover.at, handover.from, &mut bytes);
            self.inbox.give_back(bytes);
            if count == INBOX_PER_ROUND {
                drained = false;
                break;
            }
        }
        for count in 0.. {
            let Some((stream, packet, age)) = self.inbox.next_media() else {
                break;
            };
            self.state.handle_media(now, stream, packet, age);
            if count == INBOX_PER_ROUND {
                drained = false;
                break;
            }
        }
        drained
    }

    /// Sleeps until something comes or is due. Returns false where that has become impossible.
    fn wait(&mut self, events: &mut mio::Events) -> bool {
        let timers = [
            self.state.timers.next(),
            self.state.catching_up.next(),
            self.state.wire.tcp.poll_timeout(),
        ];
        let until = timers
            .into_iter()
            .flatten()
            .min()
            .map_or(IDLE, |at| at.saturating_duration_since(Instant::now()));
        self.poll_events(events, until)
    }

    /// Looks without sleeping what has become readable. While the UDP socket is, that matters only
    /// for connections, which must not have to wait for an end of a flood.
    fn look(&mut self, events: &mut mio::Events) {
        if !self.readable || !self.state.wire.tcp.is_empty() {
            self.poll_events(events, Duration::ZERO);
        }
    }

    fn poll_events(&mut self, events: &mut mio::Events, timeout: Duration) -> bool {
        if let Err(error) = self.poll.poll(events, Some(timeout)) {
            if error.kind() == io::ErrorKind::Interrupted {
                return true;
            }
            tracing::error!(shard = self.state.id.0, %error, "the event loop can't wait any more; the shard ends");
            return false;
        }
        for event in events.iter() {
            match event.token() {
                SOCKET => self.readable = true,
                WAKE => {}
                _ => self.state.wire.tcp.handle_event(event),
            }
        }
        true
    }
}
