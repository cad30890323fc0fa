//! The way of a TCP connection to its session, and of what comes by it (RFC 6544, RFC 4571).
//!
//! The first frame says by its user name fragment which shard the connection belongs to. Only that
//! shard keeps it; afterwards frames are treated as datagrams are.

use std::net::TcpStream;
use std::time::Instant;

use super::ShardId;
use super::connection::Reading;
use super::inbox::ShardHandle;
use super::sessions::Route;
use super::state::State;
use crate::transport::framing::first_frame;
use crate::transport::{ConnectionId, demux, ice};

/// What is read of all connections before the UDP socket has its turn again.
const BYTES_PER_ROUND: usize = 256 * 1024;

/// Hands an accepted connection to the shard that it belongs to. `bytes` are what has been read of
/// it: the beginning of its first frame, at least.
///
/// It never blocks. A connection that belongs to no session is closed without a word, as is one that
/// the shard has no room for, or that proves nothing within [`super::TcpLimits::check_timeout`].
pub fn accept_tcp(shards: &[ShardHandle], stream: TcpStream, bytes: Vec<u8>) {
    let shard = match first_owner(&bytes) {
        FirstFrame::Of(owner) => shards.get(usize::from(owner.0)),
        // Whoever has it waits for the rest.
        FirstFrame::Incomplete => stream.peer_addr().ok().and_then(|remote| {
            let index = usize::from(remote.port()) % shards.len().max(1);
            shards.get(index)
        }),
        FirstFrame::Foreign => None,
    };
    if let Some(shard) = shard {
        shard.hand_connection(stream, bytes);
    }
}

/// Whose a connection is, by its first frame.
enum FirstFrame {
    /// The frame has not come in full.
    Incomplete,
    /// A binding request for a session of this shard.
    Of(ShardId),
    /// Nothing of ours.
    Foreign,
}

fn first_owner(bytes: &[u8]) -> FirstFrame {
    match first_frame(bytes) {
        Ok(None) => FirstFrame::Incomplete,
        Ok(Some(frame)) => {
            let mark = ice::request_ufrag(frame).and_then(|ufrag| ufrag.bytes().next());
            mark.and_then(ShardId::from_mark)
                .map_or(FirstFrame::Foreign, FirstFrame::Of)
        }
        Err(_) => FirstFrame::Foreign,
    }
}

impl State {
    /// Takes the connections that others handed to this shard, so many at most. Returns whether
    /// none is left.
    pub(super) fn take_connections(&mut self, now: Instant, limit: usize) -> bool {
        for _ in 0..limit {
            let Some((stream, bytes)) = self.me().next_connection() else {
                return true;
            };
            match self.wire.tcp.accept(now, stream) {
                Ok(id) => self.handle_bytes(now, id, &mut { bytes }),
                Err(_) => self.me().counters().tcp_refused.add(1),
            }
            self.close_overdue(now);
        }
        false
    }

    /// Reads the connections that have something, each once, up to so many bytes of all: the UDP socket
    /// is not to wait for long. The others have their turn in the next round.
    pub(super) fn read_connections(&mut self, now: Instant) {
        let mut buffer = std::mem::take(self.wire.tcp.buffer());
        let mut left = BYTES_PER_ROUND;
        for _ in 0..self.wire.tcp.reads() {
            let Some(id) = self.wire.tcp.next_readable() else {
                break;
            };
            match self.wire.tcp.read(id, &mut buffer) {
                Reading::Bytes(count) => {
                    self.handle_bytes(now, id, &mut buffer[..count]);
                    left = left.saturating_sub(count);
                    if left == 0 {
                        break;
                    }
                }
                Reading::Nothing => {}
                Reading::End => self.close_connection(now, id),
            }
        }
        *self.wire.tcp.buffer() = buffer;
    }

    /// Sends what the round queued for connections.
    pub(super) fn flush_connections(&mut self) {
        let counters = self.shards[usize::from(self.id.0)].counters();
        self.wire.tcp.flush(counters);
    }

    /// Closes the connections that have not become a session's in time, or for which there is no
    /// room.
    pub(super) fn close_overdue(&mut self, now: Instant) {
        while let Some(id) = self.wire.tcp.overdue(now) {
            self.refuse(now, id);
        }
    }

    fn refuse(&mut self, now: Instant, id: ConnectionId) {
        if self.wire.tcp.path(id).is_some() {
            self.me().counters().tcp_refused.add(1);
        }
        self.close_connection(now, id);
    }

    /// Closes a connection. Its session goes on by another path, or waits for one.
    fn close_connection(&mut self, now: Instant, id: ConnectionId) {
        let Some(path) = self.wire.tcp.close(id) else {
            return;
        };
        if let Some(Route::Here(slot)) = self.sessions.route(path)
            && let Some(session) = self.sessions.get_mut(slot)
        {
            session.transport.forget_path(now, path);
            self.settle(now, slot);
        }
    }

    fn handle_bytes(&mut self, now: Instant, id: ConnectionId, bytes: &mut [u8]) {
        let Some(opening) = self.wire.tcp.opening(id, bytes) else {
            return self.handle_frames(now, id, bytes);
        };
        match first_owner(opening) {
            FirstFrame::Incomplete => {}
            FirstFrame::Of(owner) if owner == self.id => {
                let mut bytes = self.wire.tcp.open(id);
                self.handle_frames(now, id, &mut bytes);
            }
            FirstFrame::Of(owner) => {
                if let Some((stream, bytes)) = self.wire.tcp.give_away(id)
                    && let Some(shard) = self.shard(owner)
                {
                    shard.hand_connection(stream, bytes);
                }
            }
            FirstFrame::Foreign => self.refuse(now, id),
        }
    }

    fn handle_frames(&mut self, now: Instant, id: ConnectionId, bytes: &mut [u8]) {
        let (Some(path), Some(mut deframer)) =
            (self.wire.tcp.path(id), self.wire.tcp.take_deframer(id))
        else {
            return;
        };
        let mut is_ours = true;
        let result = deframer.handle(bytes, |frame| {
            // A stranger must begin with a check of a session that there is.
            is_ours = is_ours && (self.is_owned(id) || self.is_check_of_ours(frame));
            if is_ours {
                self.handle_datagram(now, path, frame);
            }
        });
        if result.is_ok() && is_ours {
            self.wire.tcp.put_deframer(id, deframer);
        } else {
            self.refuse(now, id);
        }
    }

    fn is_owned(&self, id: ConnectionId) -> bool {
        self.wire.tcp.is_owned(id)
    }

    fn is_check_of_ours(&self, frame: &[u8]) -> bool {
        demux::classify(frame) == demux::Kind::Stun
            && ice::request_ufrag(frame)
                .is_some_and(|ufrag| self.sessions.slot_of_ufrag(ufrag).is_some())
    }
}
