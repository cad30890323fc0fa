//! The TCP connections of a shard (ICE-TCP, RFC 6544: the peer connects, we are passive).
//!
//! A connection is a stranger's until an ICE check by it was authentic, and there are few strangers
//! at once, for a short time. Then it belongs to the session of that check and ends with it.
//!
//! All calls are non-blocking. What is to be sent waits in the connection's own bounded queue, so
//! that a peer that reads slowly hurts no other, and leaves once a round with as few calls as it
//! takes.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use mio::event::Event;
use slab::Slab;

use super::connection::{Connection, Reading};
use super::counters::Counters;
use crate::transport::framing::Deframer;
use crate::transport::{ConnectionId, Path};

/// The first token of a connection: the others are the UDP socket's and the waker's.
const FIRST_TOKEN: usize = 2;
/// What is read of one connection before the others get their turn.
const READ_BYTES: usize = 64 * 1024;
/// Connections that are read in one round.
const READS_PER_ROUND: usize = 128;
/// What ICE-TCP may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpLimits {
    /// Connections of all shards without an authentic check. The oldest makes room for a new one.
    pub half_open: usize,
    /// How long one may be so.
    pub check_timeout: Duration,
    /// Bytes that may wait for a peer that reads slowly; more is dropped, packet by packet.
    pub queue_bytes: usize,
}

impl Default for TcpLimits {
    fn default() -> Self {
        Self {
            half_open: 1000,
            check_timeout: Duration::from_secs(5),
            // A keyframe of a stream of 4 Mbit/s, or half a second of it. A peer that is further
            // behind sees its picture stand still either way, and live is better than complete.
            queue_bytes: 256 * 1024,
        }
    }
}

/// The table of connections.
pub(super) struct Connections {
    slots: Slab<Connection>,
    next_generation: u32,
    registry: mio::Registry,
    limits: TcpLimits,
    /// Strangers by age, with some that are none any more or gone.
    strangers: VecDeque<(Instant, ConnectionId)>,
    stranger_count: usize,
    /// Those that may have something to read, and those that have something to write.
    readable: VecDeque<ConnectionId>,
    writable: Vec<ConnectionId>,
    buffer: Vec<u8>,
}

impl Connections {
    pub(super) fn new(registry: mio::Registry, shards: usize, limits: TcpLimits) -> Self {
        Self {
            slots: Slab::new(),
            next_generation: 0,
            registry,
            limits: TcpLimits {
                half_open: limits.half_open.div_ceil(shards.max(1)),
                ..limits
            },
            strangers: VecDeque::new(),
            stranger_count: 0,
            readable: VecDeque::new(),
            writable: Vec::new(),
            buffer: vec![0; READ_BYTES],
        }
    }

    /// Takes a connection that was accepted elsewhere. Its first frame is still to be looked at.
    ///
    /// # Errors
    ///
    /// When it has been closed meanwhile, or the system has no room for it.
    pub(super) fn accept(
        &mut self,
        now: Instant,
        stream: std::net::TcpStream,
    ) -> io::Result<ConnectionId> {
        let mut connection = Connection::new(stream, self.limits.queue_bytes)?;
        let entry = self.slots.vacant_entry();
        self.registry.register(
            &mut connection.stream,
            mio::Token(FIRST_TOKEN + entry.key()),
            mio::Interest::READABLE | mio::Interest::WRITABLE,
        )?;
        self.next_generation = self.next_generation.wrapping_add(1);
        connection.generation = self.next_generation;
        let id = ConnectionId {
            index: entry.key() as u32,
            generation: self.next_generation,
        };
        entry.insert(connection);
        self.stranger_count += 1;
        self.strangers
            .push_back((now + self.limits.check_timeout, id));
        self.note_readable(id);
        Ok(id)
    }

    /// The stranger that must go: one that has had its time, or the oldest of too many. Close it,
    /// and ask again.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<ConnectionId> {
        while let Some((deadline, id)) = self.strangers.front().copied() {
            if self.is_stranger(id) {
                let too_many = self.stranger_count > self.limits.half_open;
                return (deadline <= now || too_many).then_some(id);
            }
            self.strangers.pop_front();
        }
        None
    }

    /// When [`Self::overdue`] must be asked.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.strangers.front().map(|(deadline, _)| *deadline)
    }

    /// Adds to the first bytes of a connection whose first frame was not whole; returns all of
    /// them. `None` where it was.
    pub(super) fn opening(&mut self, id: ConnectionId, bytes: &[u8]) -> Option<&[u8]> {
        self.get_mut(id)?.opening(bytes)
    }

    /// The first frame is there: returns the bytes so far, to be given to the deframer.
    pub(super) fn open(&mut self, id: ConnectionId) -> Vec<u8> {
        self.get_mut(id).map(Connection::open).unwrap_or_default()
    }

    /// Takes out a connection that belongs to another shard, with the bytes that came by it.
    pub(super) fn give_away(&mut self, id: ConnectionId) -> Option<(std::net::TcpStream, Vec<u8>)> {
        let bytes = self.open(id);
        let mut connection = self.remove(id)?;
        self.registry.deregister(&mut connection.stream).ok()?;
        Some((connection.stream.into(), bytes))
    }

    /// An authentic check came by it: from now on it is a session's.
    pub(super) fn set_owned(&mut self, id: ConnectionId) {
        if self.get_mut(id).is_some_and(Connection::set_owned) {
            self.stranger_count -= 1;
        }
    }

    /// What it is called in a session's paths.
    pub(super) fn path(&self, id: ConnectionId) -> Option<Path> {
        Some(Path::tcp(self.get(id)?.remote, id))
    }

    /// The deframer while bytes are given to it. Put it back by [`Self::put_deframer`].
    pub(super) fn take_deframer(&mut self, id: ConnectionId) -> Option<Deframer> {
        self.get_mut(id)?.deframer().map(std::mem::take)
    }

    pub(super) fn put_deframer(&mut self, id: ConnectionId, taken: Deframer) {
        if let Some(deframer) = self.get_mut(id).and_then(Connection::deframer) {
            *deframer = taken;
        }
    }

    /// Closes a connection; what waits is sent as far as the kernel takes it. Returns what it was
    /// called, unless it was closed already.
    pub(super) fn close(&mut self, id: ConnectionId) -> Option<Path> {
        let path = self.path(id)?;
        self.remove(id)?.close();
        Some(path)
    }

    /// Queues a packet. What does not fit is counted and lost.
    pub(super) fn send(&mut self, id: ConnectionId, packet: &[u8], counters: &Counters) {
        let connection = match self.slots.get_mut(id.index as usize) {
            Some(connection) if connection.generation == id.generation => connection,
            _ => return counters.send_dropped.add(1),
        };
        let mut queued = connection.queue.push(packet);
        if !queued && !connection.is_blocked {
            // Much for one round; the kernel may have room.
            let _ = connection.write();
            queued = connection.queue.push(packet);
        }
        if !queued {
            return counters.tcp_dropped.add(1);
        }
        counters.sent.add(1);
        if !connection.is_blocked && !connection.is_in_writable {
            connection.is_in_writable = true;
            self.writable.push(id);
        }
    }

    /// Writes what is queued, as far as the kernel takes it.
    pub(super) fn flush(&mut self, counters: &Counters) {
        let mut writable = std::mem::take(&mut self.writable);
        for id in writable.drain(..) {
            let Some(connection) = self.get_mut(id) else {
                continue;
            };
            connection.is_in_writable = false;
            match connection.write() {
                Ok(calls) => counters.send_calls.add(calls),
                // Reading tells the same, and ends it.
                Err(_) => self.note_readable(id),
            }
        }
        self.writable = writable;
    }

    /// Something happened to a connection.
    pub(super) fn handle_event(&mut self, event: &Event) {
        let index = event.token().0 - FIRST_TOKEN.min(event.token().0);
        let Some(connection) = self.slots.get_mut(index) else {
            return;
        };
        let id = ConnectionId {
            index: index as u32,
            generation: connection.generation,
        };
        if event.is_writable() {
            connection.is_blocked = false;
            if !connection.queue.is_empty() && !connection.is_in_writable {
                connection.is_in_writable = true;
                self.writable.push(id);
            }
        }
        if event.is_readable() || event.is_error() || event.is_read_closed() {
            self.note_readable(id);
        }
    }

    /// Whether there is no connection.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether no connection waits to be read or written.
    pub(super) fn is_idle(&self) -> bool {
        self.readable.is_empty() && self.writable.is_empty()
    }

    /// The connections that are to be read in this round.
    pub(super) fn reads(&self) -> usize {
        self.readable.len().min(READS_PER_ROUND)
    }

    /// The next that may have something to read; read it.
    pub(super) fn next_readable(&mut self) -> Option<ConnectionId> {
        let id = self.readable.pop_front()?;
        if let Some(connection) = self.get_mut(id) {
            connection.is_in_readable = false;
        }
        Some(id)
    }

    /// Reads once. Where something came, the connection is in the list again.
    pub(super) fn read(&mut self, id: ConnectionId, buffer: &mut [u8]) -> Reading {
        let reading = self
            .get_mut(id)
            .map_or(Reading::Nothing, |connection| connection.read(buffer));
        if matches!(reading, Reading::Bytes(_)) {
            self.note_readable(id);
        }
        reading
    }

    /// The buffer to read into, while it is used; put it back.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    fn note_readable(&mut self, id: ConnectionId) {
        if let Some(connection) = self.get_mut(id)
            && !connection.is_in_readable
        {
            connection.is_in_readable = true;
            self.readable.push_back(id);
        }
    }

    /// Whether it is a session's.
    pub(super) fn is_owned(&self, id: ConnectionId) -> bool {
        self.get(id)
            .is_some_and(|connection| !connection.is_stranger())
    }

    fn is_stranger(&self, id: ConnectionId) -> bool {
        self.get(id).is_some_and(Connection::is_stranger)
    }

    fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        self.get_mut(id)?;
        let connection = self.slots.try_remove(id.index as usize)?;
        if connection.is_stranger() {
            self.stranger_count -= 1;
        }
        Some(connection)
    }

    fn get(&self, id: ConnectionId) -> Option<&Connection> {
        let connection = self.slots.get(id.index as usize)?;
        (connection.generation == id.generation).then_some(connection)
    }

    fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let connection = self.slots.get_mut(id.index as usize)?;
        (connection.generation == id.generation).then_some(connection)
    }
}
