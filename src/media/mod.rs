//! The only user of GStreamer: remuxing for HLS, and the test publisher.

pub mod hls;
pub mod publish;

use std::sync::OnceLock;

pub use hls::{HlsBranch, HlsFeed, HlsSettings};

/// GStreamer can't be used.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// The library did not start.
    #[error(
        "GStreamer did not start ({0}); check that GStreamer 1.22 or newer is installed with its base plugins"
    )]
    Start(String),
    /// A pipeline could not be built.
    #[error(
        "the pipeline `{name}` can't be built ({reason}); install the GStreamer plugins that it names (base, good, bad)"
    )]
    Pipeline {
        /// Its file in `pipelines/`, without the ending.
        name: &'static str,
        /// What GStreamer says.
        reason: String,
    },
    /// A pipeline has stopped.
    #[error("the pipeline `{name}` failed ({reason})")]
    Failed {
        /// Its file in `pipelines/`, without the ending.
        name: &'static str,
        /// What GStreamer says.
        reason: String,
    },
}

/// Starts GStreamer once for the whole process.
///
/// # Errors
///
/// [`MediaError::Start`], the same at every call.
pub fn init() -> Result<(), MediaError> {
    static STARTED: OnceLock<Result<(), MediaError>> = OnceLock::new();
    STARTED
        .get_or_init(|| gstreamer::init().map_err(|error| MediaError::Start(error.to_string())))
        .clone()
}
