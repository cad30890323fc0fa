//! Why a publisher fails, in words for the one who runs it.

use std::path::PathBuf;

use gstreamer as gst;
use gstreamer::glib;

use super::{CONNECT_TIMEOUT, START_TIMEOUT};
use crate::rtp::{Codec, MediaKind};

/// Why a publisher can't go on.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// GStreamer is not usable at all.
    #[error("GStreamer can't start: {0}")]
    Init(glib::Error),
    /// There is no such element.
    #[error(
        "{version} has no element `{element}`; install the plugin that has it (see deploy/install-deps.sh)",
        version = gst::version_string()
    )]
    NoElement {
        /// The name of its factory.
        element: &'static str,
    },
    /// The codec can be encoded here but not sent, or the other way round, or it is no video codec.
    #[error(
        "{version} can't send {codec} (it has no `{element}`); choose another codec",
        version = gst::version_string()
    )]
    Codec {
        /// The codec.
        codec: Codec,
        /// What is missing for it.
        element: &'static str,
    },
    /// A file or a device that can't be opened.
    #[error("can't open {path}: {reason}", path = .path.display())]
    Open {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        reason: std::io::ErrorKind,
    },
    /// A pipeline description can't be used: a fault of this program.
    #[error("the pipeline `{name}` can't be built: {reason}")]
    Pipeline {
        /// The name of the description.
        name: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// An element failed while it ran.
    #[error("{element} failed: {reason}")]
    Element {
        /// The name of the element.
        element: String,
        /// What it says.
        reason: String,
    },
    /// A file lacks a track.
    #[error("the source has no {0} track{advice}", advice = match .0 {
        MediaKind::Audio => "; publish it with --audio none",
        MediaKind::Video => "; only sources with pictures can be published",
    })]
    NoTrack(MediaKind),
    /// Nothing came out of the encoders in time.
    #[error("the source gave no picture or sound within {limit} s; check the device or the file",
        limit = START_TIMEOUT.as_secs())]
    NoMedia,
    /// ICE gathering did not end.
    #[error("no network address was found to send from; check the network interfaces")]
    NoCandidates,
    /// `webrtcbin` refused to take a step.
    #[error("{step} failed: {reason}")]
    Negotiation {
        /// Which step.
        step: &'static str,
        /// What it says.
        reason: String,
    },
    /// The answer takes none of what was offered.
    #[error("the answer is not usable: {reason}")]
    Answer {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// ICE or DTLS did not come up.
    #[error("no media connection within {limit} s; check that the server's UDP port can be reached",
        limit = CONNECT_TIMEOUT.as_secs())]
    NoConnection,
    /// The connection went down.
    #[error("the media connection was lost; the server has ended the session or can't be reached")]
    Lost,
}
