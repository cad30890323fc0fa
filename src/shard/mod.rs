//! The shell of the media path: one thread per core, each with its own socket on the one UDP port.
//!
//! A shard owns its sessions alone: nothing on the way of a packet is locked or shared but the packets
//! themselves. What belongs to another shard is handed over through that shard's [`ShardHandle`].
//!
//! | file | what it holds |
//! |---|---|
//! | [`event_loop`] | the loop: receive, hand-over, timers, fan-out, in this order |
//! | `session` | a session: its transport, and a publisher or a subscriber behind it |
//! | `sessions` | the table of sessions: by key, by user name fragment, by path |
//! | `opening` | how sessions are taken |
//! | `state` | all that the thread owns; sessions from their opening to their end |
//! | `routing` | whose a datagram is |
//! | `media` | what comes of publishers and of viewers; reports |
//! | `fan_out` | the way of media to its subscribers |
//! | `turns` | who gets how much of it in a round, so that sound does not wait |
//! | `standing` | what is counted of a subscriber: which layers it is to have |
//! | `stills` | the newest keyframe, for who wants a picture |
//! | `adaptation` | layers that follow what links carry |
//! | `layers` | the layers of tracks with simulcast: who takes which |
//! | `hls_tap` | the way of media to the HLS branch |
//! | `subscriptions` | who gets a stream, and what they ask for |
//! | `catch_up` | how viewers who come get the last keyframe and what came after it |
//! | `clocks` | the publisher's clocks for sender reports |
//! | `counters`, `stream_counters` | what is counted, of a shard and of a broadcast |
//! | `local_stream` | what a shard holds of a stream: rings, what is to be sent, to whom |
//! | `ice_tcp` | the way of a TCP connection to its session |
//! | `batch` | runs of equal packets for UDP GSO; the outlet of a subscriber |
//! | `socket` | UDP with GRO and GSO |
//! | `connection`, `connections` | TCP: framed, bounded queues, never blocking; the table of them |
//! | `wire` | both of them, by the path of a packet |
//! | `inbox` | messages and packets from outside the thread |
//! | `messages` | what messages lead to |
//! | `probe` | what the machine gives to a socket, for `tidegate check network` |
//! | `timers` | deadlines of sessions |
//!
//! The only importer of `mio`, `quinn_udp` and `socket2`.

pub mod event_loop;
mod fan_out;

mod adaptation;
mod batch;
mod catch_up;
mod clocks;
mod connection;
mod connections;
mod counters;
mod hls_tap;
mod ice_tcp;
mod inbox;
mod layers;
mod local_stream;
mod media;
mod messages;
mod opening;
mod routing;
mod probe;
mod session;
mod sessions;
mod socket;
mod standing;
mod state;
mod stills;
mod stream_counters;
mod subscriptions;
mod timers;
mod turns;
mod wire;

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::{fmt, io};

use tokio::sync::{Notify, mpsc};

pub use connections::TcpLimits;
pub use counters::{Counters, Snapshot};
pub use ice_tcp::accept_tcp;
pub use inbox::{Message, OpenSession, Rebinding, Role, ShardHandle};
pub use probe::{Buffer, Probe};
pub use standing::{ESTIMATE_CLASSES, Standings};
pub use stills::StillReply;
pub use stream_counters::{DELAY_CLASSES, Delays, SignedMicros, StreamCounters, StreamSnapshot};

use event_loop::Ended;

use crate::stream::{KeyframeCache, LayerStatus, Ring, TrackId};
use crate::transport::{CloseReason, Identity};

/// The number of a shard, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u8);

impl ShardId {
    /// As many as one ice-char can name.
    pub const MAX: usize = 64;

    /// The first character of the user name fragments of this shard's sessions (an ice-char, RFC 8839, section 5.4),
    /// so that every shard knows whose a binding request is without asking.
    pub fn mark(self) -> char {
        char::from(ICE_CHARS[usize::from(self.0) % Self::MAX])
    }

    fn from_mark(mark: u8) -> Option<Self> {
        let index = ICE_CHARS.iter().position(|c| *c == mark)?;
        Some(Self(index as u8))
    }
}

/// The 64 ice-chars.
pub const ICE_CHARS: &[u8; 64] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A session, as the shards and the control plane name it to each other. Never shown outside: not a secret, but no use there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(pub u64);

/// One broadcast of a stream: a new publisher of the same name has a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey(pub u64);

/// What a shard tells the control plane.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// ICE and DTLS are done.
    Connected {
        /// Whose.
        session: SessionKey,
    },
    /// The session is gone.
    Closed {
        /// Which.
        session: SessionKey,
        /// Why; none when we were told to close it.
        reason: Option<CloseReason>,
    },
    /// The media of a publisher comes again, or has stalled. Only of those that are watched for it.
    Flow {
        /// Its broadcast.
        stream: StreamKey,
        /// Whether it comes.
        flows: bool,
    },
    /// How a publisher does: about once a second while its media comes.
    Report {
        /// Its broadcast.
        stream: StreamKey,
        /// Figures and findings.
        report: Arc<crate::ingest::verdict::Report>,
    },
    /// The layers of a track with simulcast have changed, or their figures have: at most once a
    /// second.
    Layers {
        /// The broadcast.
        stream: StreamKey,
        /// The track.
        track: TrackId,
        /// Its layers, the best first.
        layers: Arc<[LayerStatus]>,
    },
}

/// How the shards run.
#[derive(Clone, Debug)]
pub struct Config {
    /// The UDP address of all shards. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// How many, 1 to [`ShardId::MAX`].
    pub shards: usize,
    /// How many packets of a video track are kept for retransmission.
    pub video_ring: usize,
    /// How many packets of an audio track are kept for retransmission.
    pub audio_ring: usize,
    /// So many packets of video are sent to viewers in about one round of a shard's event loop; then sound that came
    /// meanwhile gets its turn.
    pub video_per_round: usize,
    /// Whether packets of Opus keep what the one before held, for viewers who take redundancy (RFC 2198).
    pub audio_redundancy: bool,
    /// What is kept of each video layer since its last keyframe, for viewers that come.
    pub keyframe_cache: KeyframeCache,
    /// How fast those viewers get it, in bit/s; never less than three times as fast as it was made.
    pub catch_up_bitrate: u64,
    /// What ICE-TCP may cost.
    pub tcp: TcpLimits,
    /// How publishers are treated.
    pub ingest: crate::ingest::Config,
    /// How viewers get the layers that their links carry.
    pub bandwidth: crate::egress::whep::BandwidthConfig,
    /// What a viewer may ask for.
    pub viewers: Arc<crate::egress::whep::ViewerLimits>,
}

/// The running shards.
pub struct Shards {
    handles: Arc<[ShardHandle]>,
    threads: Vec<JoinHandle<()>>,
    local_address: SocketAddr,
    /// Rung by a thread that ends without having been told to.
    failed: Arc<Notify>,
}

impl Shards {
    /// Binds the sockets and starts the threads.
    ///
    /// # Errors
    ///
    /// When the address can't be bound or a thread can't be made.
    pub fn start(
        config: &Config,
        identity: &Arc<Identity>,
        events: &mpsc::UnboundedSender<Event>,
    ) -> io::Result<Self> {
        let sockets = socket::bind(config.listen, config.shards.clamp(1, ShardId::MAX))?;
        let local_address = sockets[0].0.local_address()?;
        let starting: Vec<_> = sockets
            .into_iter()
            .map(|socket| Ok((socket, mio::Poll::new()?)))
            .collect::<io::Result<_>>()?;
        let past = Ring::slots(config.video_ring, config.keyframe_cache);
        let handles: Arc<[ShardHandle]> = starting
            .iter()
            .enumerate()
            .map(|(index, (_, poll))| ShardHandle::new(ShardId(index as u8), poll, past))
            .collect::<io::Result<_>>()?;
        let loops: Vec<_> = starting
            .into_iter()
            .enumerate()
            .map(|(index, (socket, poll))| {
                event_loop::EventLoop::new(
                    ShardId(index as u8),
                    Arc::clone(&handles),
                    socket,
                    poll,
                    config.clone(),
                    Arc::clone(identity),
                    events.clone(),
                )
            })
            .collect::<io::Result<_>>()?;
        // From here on an error drops what runs already, which ends it.
        let mut shards = Self {
            handles,
            threads: Vec::new(),
            local_address,
            failed: Arc::new(Notify::new()),
        };
        for (index, shard) in loops.into_iter().enumerate() {
            let failed = Arc::clone(&shards.failed);
            let thread = std::thread::Builder::new().name(format!("shard-{index}"));
            shards.threads.push(thread.spawn(move || {
                // Nothing of the loop is used after a panic.
                let run = AssertUnwindSafe(|| shard.run());
                if !matches!(catch_unwind(run), Ok(Ended::AsTold)) {
                    failed.notify_one();
                }
            })?);
        }
        Ok(shards)
    }

    /// Ends when a shard broke down: its sessions are lost, and nobody would notice.
    pub fn failed(&self) -> impl Future<Output = ()> + use<> {
        let failed = Arc::clone(&self.failed);
        async move { failed.notified().await }
    }

    /// Where messages for the shards go, by [`ShardId`].
    pub fn handles(&self) -> Arc<[ShardHandle]> {
        Arc::clone(&self.handles)
    }

    /// The address that all shards are bound to.
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// Closes every session, so that the peers see it, and waits for the threads to end.
    pub fn stop(mut self) {
        self.shut_down();
        for thread in self.threads.drain(..) {
            // A shard that panicked has said so on its own; the others still end in order.
            let _ = thread.join();
        }
    }

    fn shut_down(&self) {
        for handle in self.handles.iter() {
            handle.send(Message::Shutdown);
        }
    }
}

impl Drop for Shards {
    /// Without [`Shards::stop`] the threads still end, but nobody waits for it.
    fn drop(&mut self) {
        self.shut_down();
    }
}

impl fmt::Debug for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shards")
            .field("count", &self.threads.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_leads_back_to_its_shard() {
        for index in 0..ShardId::MAX as u8 {
            let mark = ShardId(index).mark();
            assert_eq!(ShardId::from_mark(mark as u8), Some(ShardId(index)));
        }
        assert_eq!(ShardId::from_mark(b'-'), None);
    }
}
