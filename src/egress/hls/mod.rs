//! HLS: samples in, CMAF segments and playlists out, all of it from memory.
//!
//! The order in which media passes:
//!
//! 1. [`reorder`]: packets back in order, losses given up after a while.
//! 2. (GStreamer depayloads them into samples, see [`crate::media::hls`]; what it can't, [`av1`] and [`vp9`].)
//! 3. [`timeline`]: RTP timestamps become times of one common clock.
//! 4. [`segmenter`]: cuts all renditions into parts and segments at the same instants, at keyframes.
//! 5. [`fmp4`]: bytes of init segments and fragments, [`mod@format`]: what a track is coded in.
//! 6. [`store`]: the parts of all streams, kept for players; [`playlist`] describes them. A rendition is
//!    named by its [`RenditionId`].
//!
//! Pure: no GStreamer, no clock, no socket, no tokio.

pub mod av1;
pub mod fmp4;
pub mod format;
pub mod playlist;
pub mod rendition;
#[cfg(test)]
mod scenarios;
pub mod reorder;
pub mod segmenter;
pub mod store;
mod tags;
pub mod timeline;
pub mod vp9;
#[cfg(test)]
pub(crate) mod validator;

pub use format::Format;
pub use rendition::RenditionId;
pub use segmenter::{Part, Sample, Segmenter, Terms};
pub use store::{Answered, Directives, File, Library, LibrarySettings, Presentation, Resource};
