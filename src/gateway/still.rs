//! Still pictures: who has the newest keyframe of a stream.

use tokio::sync::oneshot;

use super::StillError;
use super::handle::PendingStill;
use super::task::Task;
use crate::rtp::MediaKind;
use crate::shard::Message;
use crate::stream::{StreamName, TrackInfo};

impl Task {
    /// Asks the publisher's shard for the newest keyframe.
    pub(super) fn still(
        &self,
        stream: &StreamName,
    ) -> Result<(TrackInfo, PendingStill), StillError> {
        let live = self.directory.live(stream).ok_or(StillError::Offline)?;
        let mut tracks = live.tracks.iter();
        let track = tracks.find(|track| track.kind() == MediaKind::Video);
        let track = track.ok_or(StillError::NoPicture)?.clone();
        let (reply, packets) = oneshot::channel();
        self.send(
            live.publisher.shard,
            Message::Still(live.key, track.id, reply),
        );
        Ok((track, packets))
    }
}
