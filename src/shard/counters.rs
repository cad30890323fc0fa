//! What a shard counts: written by its thread, read by anyone.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// Counters of one shard since it began. Each is written by the shard's thread alone.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[doc = $doc])* pub(super) $name: Counter,)*
        }

        /// The values of [`Counters`] at one time.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Snapshot {
            $($(#[doc = $doc])* pub $name: u64,)*
        }

        impl Snapshot {
            /// Each counter with its name and what it counts.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), concat!($($doc),*).trim_ascii(), self.$name),)*].into_iter()
            }
        }

        impl Counters {
            /// The values now.
            pub fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.get(),)* }
            }
        }

        impl std::ops::AddAssign for Snapshot {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

counters! {
    /// Datagrams read from the socket.
    received,
    /// Datagrams handed to the kernel.
    sent,
    /// System calls that handed them over.
    send_calls,
    /// Datagrams that the kernel had no room for.
    send_dropped,
    /// Datagrams that are longer than the interface takes.
    too_long,
    /// Packets that did not fit into the queue of a slow TCP connection.
    tcp_dropped,
    /// TCP connections that became a session's.
    tcp_proven,
    /// TCP connections closed because no authentic check came by them in time, or at all.
    tcp_refused,
    /// Datagrams handed over to the shard that they belong to.
    handed_over,
    /// Datagrams by paths of no session, and binding requests for none.
    foreign,
    /// Binding requests and responses that were not authenticated.
    unauthenticated,
    /// DTLS datagrams of no use, or beyond the budget of a handshake.
    handshake,
    /// SRTP and SRTCP that did not decrypt or came before the keys.
    undecryptable,
    /// SRTP and SRTCP that came before.
    replayed,
    /// RTP that belongs to no track, came twice or can't be read.
    discarded,
    /// Packets that did not fit into the queue of another shard.
    queue_overflow,
    /// Packets that did not fit into the queue of the HLS branch.
    hls_overflow,
    /// Sessions taken.
    sessions_opened,
    /// Sessions that have ended.
    sessions_closed,
    /// Streams, or replicas of streams, with their rings.
    streams_opened,
    /// Streams and replicas that were let go.
    streams_closed,
    /// Packets allocated; stands still in the steady state.
    packets_allocated,
}

/// One counter with one writer.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    /// One writer, so that a load and a store do; a locked addition costs twenty times as much.
    pub(super) fn add(&self, count: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(count),
            Ordering::Relaxed,
        );
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
