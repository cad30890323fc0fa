//! Tidegate: a low-latency WHIP/WHEP broadcast gateway.
//!
//! The modules, in the order in which a packet meets them:
//!
//! | module | what it is | kind |
//! |---|---|---|
//! | [`shard`] | one event loop per core: the UDP socket, timers, hand-over between cores | shell |
//! | [`transport`] | one WebRTC transport of one session: ICE-lite, DTLS, SRTP | pure |
//! | [`rtp`] | packets, sequence numbers, header extensions, codecs | pure |
//! | [`ingest`] | a publisher: loss repair, feedback, which track a packet belongs to | pure |
//! | [`stream`] | what a stream is: its name, tracks, packets, and the ring that keeps the newest | pure |
//! | [`egress::whep`] | a subscriber: rewriting, retransmission, sender reports | pure |
//! | [`egress::hls`] | segments, playlists and their store | pure |
//! | [`egress::dash`] | the manifest of the same segments | pure |
//! | [`media`] | the only user of GStreamer: remuxing for HLS, AAC and the ladder, thumbnails, the test publisher, the slate | shell |
//!
//! and around them the control plane:
//!
//! | module | what it is |
//! |---|---|
//! | [`sdp`] | offers in, answers out; trickle fragments (pure) |
//! | [`gateway`] | the one owner of the directory of streams and sessions |
//! | [`front`] | one TCP port: HTTP, HTTPS and ICE over TCP told apart; certificates |
//! | [`dvr`] | the past of streams on disk, for HLS |
//! | [`http`] | WHIP, WHEP, HLS and the pages, over axum |
//! | [`network`] | our addresses as clients reach them; STUN; which candidates a client gets |
//! | [`config`] | file, environment and flags to validated settings |
//! | [`telemetry`] | logs |
//! | [`cli`] | the commands `serve`, `publish`, `watch`, `check` and `config` |
//! | [`app`] | the composition root: start and shutdown order |
//!
//! # The contract of the pure state machines
//!
//! They own no socket and never read a clock. Inputs are `handle_*(now, …)`; after each input the
//! caller drains `poll_*` until it returns `None`, then sleeps until `poll_timeout` and calls
//! `handle_timeout(now)`. The same bytes at the same instants give the same outputs, which is what
//! lets a simulated network test them in virtual time.

pub mod shard;
pub mod transport;
pub mod rtp;
pub mod ingest;
pub mod stream;
pub mod egress;
pub mod media;
pub mod sdp;
pub mod gateway;
pub mod front;
pub mod network;
pub mod dvr;
pub mod http;
pub mod config;
pub mod telemetry;
pub mod cli;
pub mod app;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(test)]
mod simulation;
