//! Where clients can reach us: which addresses of this machine are of use, what the public one is, and
//! which ICE candidates a client gets.
//!
//! | file | what it holds | kind |
//! |---|---|---|
//! | `interface` | the addresses of this machine | shell |
//! | `stun` | one binding transaction with a STUN server, and its other side | pure |
//! | `search` | resolves names, looks at interfaces, asks the STUN server | shell |
//! | `announcement` | from what was found to what is announced, each with its reason | pure |
//! | `reason`, `scope` | why an address is announced or not; from where it can be reached | pure |
//! | `holder` | what limits for each address count a client as | pure |
//! | `candidates` | the candidates of an answer, by who asks | pure |
//!
//! The only importer of `if_addrs`. It binds sockets for questions to STUN servers and for nothing else.

mod announcement;
mod candidates;
mod holder;
mod interface;
mod reason;
mod scope;
mod search;
pub mod stun;

pub use announcement::{Announced, Announcement, Listening};
pub use candidates::Candidates;
pub use holder::holder;
pub use interface::Interface;
pub use reason::{LeftOut, Reason, Warning, WhyNot};
pub use scope::Scope;
pub use search::{Found, Mapping, Search, keep_current, put};
