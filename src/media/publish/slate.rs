//! The slate: what viewers get while their broadcast is away. A broadcaster like the others, with a
//! picture of its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use super::{Error, Options, Publisher, Source};
use crate::rtp::{Codec, MediaKind};
use crate::stream::TrackInfo;

const PICTURE: &str = include_str!("../../../pipelines/slate-video.launch");

/// What slates look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlateSettings {
    picture: Arc<str>,
}

impl Default for SlateSettings {
    fn default() -> Self {
        Self::with_picture(PICTURE)
    }
}

impl SlateSettings {
    /// A slate with the picture of this pipeline, whose last element is named `out`.
    pub fn with_picture(pipeline: &str) -> Self {
        let picture = pipeline.into();
        Self { picture }
    }

    /// A slate for those who watch `tracks`: of the same codecs, to be sent to this machine. None
    /// where nothing would be seen. Nothing runs yet.
    ///
    /// # Errors
    /// When GStreamer lacks an element that is needed, or the pipeline can't be used.
    pub fn publisher(&self, tracks: &[TrackInfo]) -> Result<Option<Publisher>, Error> {
        let video = tracks.iter().find(|track| track.kind() == MediaKind::Video);
        let Some(video) = video else { return Ok(None) };
        let options = Options {
            video: video.codec,
            b_frames: false,
            audio: tracks.iter().any(|track| track.codec == Codec::Opus),
            bitrate: 500_000,
            width: 1280,
            height: 720,
            fps: 15,
            keyframe_interval: Duration::from_secs(2),
            local_addresses: vec![
                IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(Ipv6Addr::LOCALHOST),
            ],
        };
        let source = Source::Slate(Arc::clone(&self.picture));
        Publisher::new(&source, &options).map(Some)
    }
}
