//! A broadcaster made of GStreamer: a test picture, a file or a camera, sent by `webrtcbin`.
//!
//! It is a whole WebRTC stack that shares no code with the gateway's, which makes it the other side
//! of our tests. The SDP goes in and out as text: how it travels is the caller's business.
//! No step waits without a limit. Dropping a [`Publisher`] stops it.

mod av1;
mod description;
mod encoded;
mod encoder;
mod error;
mod pipeline;
mod slate;
mod stamp;
mod stats;
mod webrtc;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use tokio::sync::watch;

use crate::rtp::Codec;
use encoded::Encoded;
pub use error::Error;
use pipeline::Parts;
pub use slate::SlateSettings;
pub use stats::Stats;
use webrtc::Connection;

/// Starting a camera or an encoder, up to its first packet.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Making an offer and gathering host candidates, which needs no network.
const OFFER_TIMEOUT: Duration = Duration::from_secs(5);
/// ICE and DTLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the other side may send no receiver report. They are 7.5 s apart at most, whatever the
/// bit rate (RFC 3550, section 6.2: a minimum of 5 s, times at most 1.5).
const SILENCE: Duration = Duration::from_secs(10);

/// Where pictures and sound come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Colour bars with the time of day and a frame counter, and a tick each second.
    Test,
    /// A file of any kind that GStreamer decodes, at its own speed.
    File(PathBuf),
    /// A Video4Linux camera by its path, with the default microphone.
    Device(PathBuf),
    /// The camera and the microphone that GStreamer finds.
    AutoDevice,
    /// A picture by the text of its pipeline, whose last element is named `out`, and silence.
    Slate(Arc<str>),
}

impl Source {
    /// GStreamer's own message about a path that isn't there does not name it.
    fn check(&self) -> Result<(), Error> {
        match self {
            Self::File(path) | Self::Device(path) => match std::fs::metadata(path) {
                Ok(_) => Ok(()),
                Err(error) => Err(Error::Open {
                    path: path.clone(),
                    reason: error.kind(),
                }),
            },
            Self::Test | Self::AutoDevice | Self::Slate(_) => Ok(()),
        }
    }
}

/// What to send.
#[derive(Clone, Debug)]
pub struct Options {
    /// The video codec.
    pub video: Codec,
    /// Whether to send pictures in another order than they are shown; only H264.
    pub b_frames: bool,
    /// Whether to send sound, in Opus.
    pub audio: bool,
    /// Video bits per second.
    pub bitrate: u32,
    /// Width of the picture in pixels; even.
    pub width: u32,
    /// Height of the picture in pixels; even.
    pub height: u32,
    /// Pictures per second.
    pub fps: u32,
    /// The longest time between two keyframes. The gateway may ask for one at any time.
    pub keyframe_interval: Duration,
    /// Send from these addresses only, or from any if there is none. A loopback address has to be
    /// named here to be used at all.
    pub local_addresses: Vec<IpAddr>,
}

/// One publisher: its pipeline, and how far it has come.
pub struct Publisher {
    pipeline: gst::Pipeline,
    webrtc: gst::Element,
    progress: watch::Receiver<Progress>,
    encoded: Encoded,
    reports: Arc<AtomicU64>,
    silence: Duration,
}

impl Publisher {
    /// Puts the pipeline together. Nothing runs yet.
    ///
    /// # Errors
    /// When GStreamer lacks an element that is needed.
    pub fn new(source: &Source, options: &Options) -> Result<Self, Error> {
        gst::init().map_err(Error::Init)?;
        source.check()?;
        let (sender, progress) = watch::channel(Progress::default());
        let Parts {
            pipeline,
            webrtc,
            encoded,
        } = pipeline::build(source, options, &sender)?;
        Ok(Self {
            reports: webrtc::count_reports(&webrtc),
            silence: SILENCE,
            pipeline,
            webrtc,
            progress,
            encoded,
        })
    }

    /// Starts the source and the encoders and makes an offer with all candidates in it.
    ///
    /// # Errors
    /// When the source or an encoder fails, or no packet comes within 10 s.
    pub async fn offer(&mut self) -> Result<String, Error> {
        // The reason of a failed start is on the bus, and so in `progress`.
        let started = self.pipeline.set_state(gst::State::Playing);
        self.reached(START_TIMEOUT, Error::NoMedia, |p| p.lines_ready >= p.lines)
            .await?;
        started.map_err(|_| Error::NoMedia)?;
        webrtc::make_offer(&self.webrtc, OFFER_TIMEOUT).await?;
        self.reached(OFFER_TIMEOUT, Error::NoCandidates, |p| p.gathered)
            .await?;
        webrtc::local_description(&self.webrtc)
    }

    /// Takes the answer and waits until media can flow.
    ///
    /// # Errors
    /// When the answer can't be used, or there is no connection within 15 s.
    pub async fn connect(&mut self, answer: &str) -> Result<(), Error> {
        webrtc::accept_answer(&self.webrtc, answer, OFFER_TIMEOUT).await?;
        self.reached(CONNECT_TIMEOUT, Error::NoConnection, |p| {
            p.connection == Connection::Up
        })
        .await
    }

    /// Waits until the source is at its end.
    ///
    /// # Errors
    /// When the connection is lost, or the source or an encoder fails. A server that vanishes
    /// without a word is told by its silence: no receiver report for 10 s.
    pub async fn ended(&self) -> Result<(), Error> {
        let mut progress = self.progress.clone();
        let mut reports = 0;
        loop {
            let event = wait(&mut progress, |p| p.ended);
            if let Ok(event) = tokio::time::timeout(self.silence, event).await {
                return event;
            }
            let before = reports;
            reports = self.reports.load(Ordering::Relaxed);
            // Not every server reports; one that never did is not known to be silent.
            if reports == before && reports > 0 {
                return Err(Error::Lost);
            }
        }
    }

    /// What was sent, and what the other side reports of it.
    pub async fn stats(&self) -> Stats {
        let mut stats = stats::read(&self.webrtc, OFFER_TIMEOUT).await;
        self.encoded.add_to(&mut stats);
        stats
    }

    async fn reached(
        &mut self,
        limit: Duration,
        otherwise: Error,
        state: impl Fn(&Progress) -> bool,
    ) -> Result<(), Error> {
        tokio::time::timeout(limit, wait(&mut self.progress, state))
            .await
            .unwrap_or(Err(otherwise))
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // Nobody is left to tell of a failure, and the pipeline goes away whatever comes of it.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// How far a publisher has come, as the threads of GStreamer report it.
#[derive(Clone, Debug, Default)]
struct Progress {
    /// Media lines that were asked for.
    lines: usize,
    /// Media lines whose payloader has said what it sends.
    lines_ready: usize,
    gathered: bool,
    connection: Connection,
    ended: bool,
    /// The first failure; later ones mostly follow from it.
    failure: Option<Error>,
}

impl Progress {
    fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(error);
    }
}

async fn wait(
    progress: &mut watch::Receiver<Progress>,
    state: impl Fn(&Progress) -> bool,
) -> Result<(), Error> {
    let reached = progress
        .wait_for(|p| p.failure.is_some() || state(p))
        .await
        // The sender lives in the pipeline's callbacks, and the pipeline in the publisher.
        .map_err(|_| Error::Lost)?;
    match &reached.failure {
        Some(error) => Err(error.clone()),
        None => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod receiver;
#[cfg(test)]
mod tests;
