//! The control plane: the one owner of the directory of streams and sessions.
//!
//! [`http`](crate::http) asks through a [`Gateway`], a cheap handle; one task answers, so that two
//! publishers of one name or a viewer that comes as the publisher leaves are decided in one place.
//! Packets never pass here.
//!
//! | file | what it holds |
//! |---|---|
//! | `handle` | the handle, and the requests it sends |
//! | `task` | the loop: requests, what the shards tell, time |
//! | `admission` | publishers, and what is done to sessions of both kinds |
//! | `subscription` | how viewers get in: by their offer, by ours, before the publisher |
//! | `directory` | who publishes what, and who takes it: decides (pure) |
//! | `reception` | what a viewer can be sent without being asked again (pure) |
//! | `policy` | what happens when publishers come and go |
//! | `limits` | how much is taken, of everybody and of one address (pure) |
//! | `listing` | the list of streams, one at a time for all who ask |
//! | `events` | what viewers are told while they watch |
//! | `layers` | the layers of a viewer's tracks, in the words of WHEP |
//! | `still` | where the newest keyframe of a stream is |
//! | `credentials` | what is drawn at random for a session |
//! | `slate` | the server's own picture for the time without a publisher |
//! | `session`, `error` | the names and results of sessions, and why there is none |

mod admission;
mod credentials;
mod directory;
mod error;
mod events;
mod handle;
mod layers;
mod limits;
mod listing;
mod policy;
mod reception;
mod session;
mod still;
mod slate;
mod subscription;
mod task;

use std::net::IpAddr;
use std::sync::Arc;

pub use directory::PublisherState;
pub use error::{CreateError, SessionError, StillError};
#[cfg(test)]
pub(crate) use events::Teller;
pub use events::{Events, StreamEvent};
pub use handle::Gateway;
pub(crate) use handle::Request;
pub use layers::{LayerChoice, LayerStatus, MediaLayers};
pub use limits::Limits;
pub use policy::{Priority, Rank, SecondPublisher, StreamPolicies, StreamPolicy};
pub use session::{Created, Description, IfMatch, Patched, SessionId, SessionKind};
pub use task::{Config, start};

use crate::ingest::verdict::Report;
use crate::shard::StreamCounters;
use crate::stream::{StreamName, TrackInfo};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The client's address, as far as the configured proxies are to be trusted.
    pub address: IpAddr,
    /// Whether it is a program on this machine beyond doubt: it connected over loopback, and nothing
    /// says that it asks for somebody else. No limit of one address holds for it.
    pub is_here: bool,
}

/// A live stream, as the API and the pages show it.
#[derive(Clone, Debug)]
pub struct StreamStatus {
    /// Its name.
    pub name: StreamName,
    /// Its tracks, in the order of the publisher's offer.
    pub tracks: Vec<TrackInfo>,
    /// How many WHEP sessions are connected to it.
    pub subscribers: usize,
    /// Who publishes it, the best first.
    pub publishers: Vec<PublisherStatus>,
    /// What leaves of it.
    pub counters: Arc<StreamCounters>,
}

/// One of the publishers of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct PublisherStatus {
    /// Its place among them.
    pub rank: Rank,
    /// How far it is.
    pub state: PublisherState,
    /// Whether it is what viewers get.
    pub on_air: bool,
    /// How it does; none before its media came.
    pub report: Option<Arc<Report>>,
}
