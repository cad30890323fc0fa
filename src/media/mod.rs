//! The only user of GStreamer: remuxing for HLS, AAC and the transcoding ladder beside it, still pictures, the slate, and
//! the test publisher.

mod cpu;
pub mod hls;
mod keyframes;
pub mod publish;
pub mod thumbnail;

use std::sync::OnceLock;

pub use hls::{HlsBranch, HlsFeed, HlsSettings, LadderSettings, Layers, Line, Rung, Transcodes};

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
    /// None of the encoders is there that a pipeline can use.
    #[error(
        "the pipeline `{name}` needs an encoder, and GStreamer has neither `{}` nor `{}`; install one of them (plugins bad, ugly, libav)",
        elements[0], elements[1]
    )]
    NoEncoder {
        /// Its file in `pipelines/`, without the ending.
        name: &'static str,
        /// The encoders, the preferred one first.
        elements: [&'static str; 2],
    },
    /// There is no decoder for pictures that a ladder is to be made of.
    #[error(
        "GStreamer has no decoder for {codec}; install one of {elements:?} (plugins bad, libav)"
    )]
    NoDecoder {
        /// The codec.
        codec: &'static str,
        /// The decoders, the preferred one first.
        elements: Vec<&'static str>,
    },
    /// VP8 would have to be encoded anew, and that is not allowed.
    #[error(
        "no HLS player takes VP8; publish H264, watch by WHEP, or let the server encode it anew (`hls.vp8_transcodes`)"
    )]
    Vp8,
    /// VP8 would have to be encoded anew, and no more streams may be.
    #[error(
        "no HLS player takes VP8, and {limit} streams are encoded anew already; publish H264, watch by WHEP, or raise `hls.vp8_transcodes`"
    )]
    TooManyTranscodes {
        /// As many as may be.
        limit: usize,
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
