//! The HLS branch of a stream: RTP packets in, segments in the [`Library`] out.
//!
//! One worker thread a stream does all of it: order, depayload (GStreamer where it must), cut, store.
//! The shard that feeds it never waits: [`HlsFeed`] is a bounded queue. It wakes the worker once a frame, as
//! waking it for every packet would cost more than all else that the branch does.

mod aac;
mod arrival;
mod assembly;
mod chain;
mod clock;
mod figures;
mod formats;
mod inbox;
mod keyframes;
mod ladder;
mod pause;
mod selection;
mod spatial;
mod description;
mod endings;
mod frame;
mod supervisor;
mod track;
mod transcodes;
mod worker;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use crate::egress::hls::store::{Recording, first_number};
use crate::egress::hls::{Library, RenditionId};
use crate::rtp::{Codec, MediaKind};
use crate::stream::{Packet, StreamName, TrackId, TrackInfo};
pub(super) use frame::{rtp as rtp_packet, rtp_caps};
use inbox::{Input, MANY, Shared, Wake};
pub use ladder::{LadderSettings, Rung};
pub use transcodes::Transcodes;

/// What a branch aims at.
#[derive(Clone, Debug)]
pub struct HlsSettings {
    /// The length of a segment, where the publisher's keyframes allow it; at least a second.
    pub segment_target: Duration,
    /// The length of a part.
    pub part_target: Duration,
    /// How long a missing packet is waited for.
    pub reorder_patience: Duration,
    /// Whether there is AAC beside Opus, made while somebody asks for it.
    pub aac: bool,
    /// How many layers of a simulcast are renditions at most; with 1 it is the best one only.
    pub layers: u8,
    /// How many VP8 streams may be encoded anew at once.
    pub transcodes: Transcodes,
    /// The smaller pictures that are made of those of a publisher with one layer.
    pub ladder: LadderSettings,
}

impl Default for HlsSettings {
    fn default() -> Self {
        Self {
            segment_target: Duration::from_secs(2),
            part_target: Duration::from_millis(500),
            reorder_patience: Duration::from_millis(250),
            aac: true,
            layers: RenditionId::LAYERS,
            transcodes: Transcodes::new(0),
            ladder: LadderSettings::default(),
        }
    }
}

/// Starts branches.
#[derive(Debug)]
pub struct HlsBranch;

impl HlsBranch {
    /// Starts the branch of a new publisher and returns at once; all else is done by a thread of its own.
    ///
    /// `keyframes` is called from that thread, at most twice a second, when the publisher should send
    /// a keyframe. A stream that HLS can't carry is marked so in the library, with the reason.
    pub fn start(
        settings: HlsSettings,
        stream: StreamName,
        tracks: Vec<TrackInfo>,
        library: &Library,
        keyframes: impl Fn(TrackId) + Send + Sync + 'static,
    ) -> HlsFeed {
        let first_number = first_number(SystemTime::now());
        let recording = EndOnDrop(library.record(&stream, first_number));
        let shared = Arc::new(Shared::default());
        let feed = Arc::clone(&shared);
        let video = tracks.iter().find(|track| track.kind() == MediaKind::Video);
        let layers = match video {
            // Encoding anew is dear: the best one is enough.
            Some(video) if video.codec == Codec::Vp8 => 1,
            _ => settings.layers.clamp(1, RenditionId::LAYERS),
        };
        let is_av1 = video.is_some_and(|video| video.codec == Codec::Av1);
        let parts_sources = layers > 1 && is_av1;
        let video = video.map(|track| track.id);
        let name = format!("hls-{stream}");
        let start = worker::Start {
            settings,
            stream,
            tracks,
            keyframes: Box::new(keyframes),
            wake: Wake(Arc::clone(&shared)),
        };
        let worker = std::thread::Builder::new()
            .name(name.chars().take(15).collect())
            .spawn(move || {
                worker::run(start, recording, &shared);
            });
        if let Err(error) = &worker {
            tracing::error!(%error, "no thread for HLS; raise the limit of threads");
        }
        HlsFeed {
            shared: feed,
            video,
            layers,
            parts_sources,
            worker: worker.ok(),
        }
    }
}

/// Where the shard puts the packets of a publisher. Dropping it ends the branch: the playlists end.
#[derive(Debug)]
pub struct HlsFeed {
    shared: Arc<Shared>,
    /// Its packets make up frames; those of sound are frames.
    video: Option<TrackId>,
    layers: u8,
    parts_sources: bool,
    worker: Option<JoinHandle<()>>,
}

impl HlsFeed {
    /// Gives a packet to the branch. Never blocks and allocates nothing; false when the queue was full and
    /// the packet is lost for HLS.
    pub fn push(&self, line: Line, packet: &Arc<Packet>) -> bool {
        let queue = &self.shared.inputs;
        let taken = queue.push(Input::Packet(line, Arc::clone(packet))).is_ok();
        if !taken {
            self.shared.overflow.fetch_add(1, Ordering::Relaxed);
        }
        let whole = packet.marker || Some(packet.track) != self.video;
        if whole || !taken || queue.len() > MANY {
            self.shared.ring();
        }
        taken
    }

    /// Tells of a sender report of the publisher: its RTP timestamp and NTP time of the same instant.
    pub fn sender_report(&self, track: TrackId, line: Line, rtp: u32, ntp: u64) {
        // The next report is as good, if the queue is full.
        let _ = self.shared.inputs.push(Input::Report {
            track,
            line,
            rtp,
            ntp,
        });
    }

    /// Whether the branch takes the layers of a source with spatial layers one by one. Not those of VP9: Chromium once
    /// showed nothing more after a change between them.
    pub fn parts_sources(&self) -> bool {
        self.parts_sources
    }

    /// Says that the picture has layers, best before the first packet: players choose among these, and no smaller
    /// pictures are made from then on. False when the queue was full, and nobody heard it.
    pub fn set_layered(&self, layers: Layers) -> bool {
        self.shared.inputs.push(Input::Layered(layers)).is_ok()
    }

    /// How many layers the branch takes at most.
    pub fn layers(&self) -> u8 {
        self.layers
    }

    /// How many packets found the queue full.
    pub fn overflow(&self) -> u64 {
        self.shared.overflow.load(Ordering::Relaxed)
    }

    /// Ends the branch and waits until its last segment is stored: for shutdown and tests, not for a shard.
    pub fn finish(mut self) {
        let worker = self.worker.take();
        drop(self);
        if let Some(worker) = worker
            && worker.join().is_err()
        {
            tracing::error!("the HLS branch panicked");
        }
    }
}

impl Drop for HlsFeed {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        self.shared.ring();
    }
}

/// Packets of a track with one numbering: all of them, or those of one layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Line(pub u8);

impl Line {
    /// The track, or the best layer of it: whatever that is, as one.
    pub const MAIN: Self = Self(0);
}

/// What the lines of a picture with layers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layers {
    /// Of a simulcast: sources with clocks of their own.
    Sources,
    /// Parts of one source, with one clock.
    Parts,
}

/// Ends the playlists however the worker ends.
#[derive(Debug)]
struct EndOnDrop(Recording);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end(std::time::Instant::now());
    }
}

#[cfg(test)]
pub(super) mod tests;
