//! HLS: samples in, CMAF segments and playlists out, all of it from memory.
//!
//! The order in which media passes:
//!
//! 1. [`reorder`]: packets back in order, losses given up after a while.
//! 2. (GStreamer depayloads them into samples, see [`crate::media::hls`].)
//! 3. [`timeline`]: RTP timestamps become times of one common clock.
//! 4. [`segmenter`]: cuts all renditions at the same instants, at keyframes.
//! 5. [`fmp4`]: bytes of init segments and fragments, [`mod@format`]: what a track is coded in.
//! 6. [`store`]: the segments of all streams, kept for players; [`playlist`] describes them.
//!
//! Pure: no GStreamer, no clock, no socket, no tokio.

pub mod av1;
pub mod fmp4;
pub mod format;
pub mod opus;
pub mod playlist;
pub mod reorder;
pub mod segmenter;
pub mod store;
pub mod timeline;

pub use format::Format;
pub use segmenter::{Sample, Segmenter};
pub use store::{Library, LibrarySettings, Presentation, Resource};
