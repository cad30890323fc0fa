//! Still pictures of what is live: the keyframe from the publisher's shard, the decoding on a thread of its
//! own, the result kept for a while.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time;

use crate::config;
use crate::gateway::{Gateway, StillError};
use crate::http::{Thumbnail, ThumbnailError, Thumbnails};
use crate::media;
use crate::stream::{Still, StreamName};

/// Makes still pictures when they are asked for.
pub(super) struct Stills {
    gateway: Gateway,
    settings: config::Thumbnails,
    /// How many more may be made at once.
    making: Arc<Semaphore>,
    /// Only of streams that were live when they were asked for.
    kept: Mutex<HashMap<StreamName, Arc<Slot>>>,
}

/// The newest picture of a stream; who holds the lock makes the next.
type Slot = tokio::sync::Mutex<Option<Picture>>;

#[derive(Clone)]
struct Picture {
    bytes: Bytes,
    tag: String,
    made: Instant,
}

/// How long a keyframe is waited for, and between two looks for one.
const PATIENCE: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(100);
/// How long decoding may take.
const DECODING: Duration = Duration::from_secs(3);
/// How long a request waits for its turn.
const TURN: Duration = Duration::from_secs(2);

impl Stills {
    pub(super) fn new(gateway: Gateway, settings: config::Thumbnails) -> Self {
        Self {
            gateway,
            making: Arc::new(Semaphore::new(settings.at_once)),
            settings,
            kept: Mutex::default(),
        }
    }

    /// The place of a stream's picture, made if need be. The old ones of other streams are let go.
    fn slot(&self, stream: &StreamName) -> Arc<Slot> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let refresh = self.settings.refresh;
        kept.retain(|name, slot| {
            let unused = Arc::strong_count(slot) == 1;
            let picture = slot.try_lock();
            let old = picture.is_ok_and(|picture| {
                let made = picture.as_ref().map(|picture| picture.made);
                made.is_none_or(|made| Instant::now() - made > refresh)
            });
            name == stream || !(unused && old)
        });
        Arc::clone(kept.entry(stream.clone()).or_default())
    }

    /// The newest keyframe; one is asked for when there is none.
    async fn keyframe(&self, stream: &StreamName) -> Result<Still, ThumbnailError> {
        let until = time::Instant::now() + PATIENCE;
        loop {
            match self.gateway.still(stream.clone()).await {
                Ok(Some(still)) => return Ok(still),
                Ok(None) if time::Instant::now() < until => time::sleep(LOOK).await,
                Ok(None) => return Err(ThumbnailError::NoKeyframe(stream.clone())),
                Err(error) => return Err(refusal(error, stream)),
            }
        }
    }

    async fn make(&self, stream: &StreamName, still: Still) -> Result<Picture, ThumbnailError> {
        let turn = Arc::clone(&self.making).acquire_owned();
        let Ok(Ok(turn)) = time::timeout(TURN, turn).await else {
            return Err(ThumbnailError::Busy);
        };
        let size = u32::try_from(self.settings.size).unwrap_or(u32::MAX);
        let picture = tokio::task::spawn_blocking(move || {
            let picture = media::thumbnail::jpeg(&still, size, DECODING);
            // Not before it is done, whether somebody still waits for it or not.
            drop(turn);
            picture
        });
        match picture.await {
            Ok(Ok(bytes)) => {
                let mut hasher = DefaultHasher::new();
                bytes.hash(&mut hasher);
                let (tag, made) = (format!("{:016x}", hasher.finish()), Instant::now());
                Ok(Picture { bytes, tag, made })
            }
            Ok(Err(error)) => {
                tracing::warn!(%stream, %error, "no thumbnail");
                Err(ThumbnailError::Undecodable)
            }
            Err(_) => Err(ThumbnailError::Undecodable),
        }
    }

    fn answer(&self, picture: &Picture) -> Option<Thumbnail> {
        let age = Instant::now() - picture.made;
        let fresh = self.settings.refresh.checked_sub(age)?;
        Some(Thumbnail {
            picture: picture.bytes.clone(),
            tag: picture.tag.clone(),
            fresh,
        })
    }
}

fn refusal(error: StillError, stream: &StreamName) -> ThumbnailError {
    match error {
        StillError::Offline => ThumbnailError::Offline(stream.clone()),
        StillError::NoPicture => ThumbnailError::NoPicture(stream.clone()),
    }
}

#[async_trait::async_trait]
impl Thumbnails for Stills {
    async fn thumbnail(&self, stream: &StreamName) -> Result<Thumbnail, ThumbnailError> {
        if !self.settings.enabled {
            return Err(ThumbnailError::Off);
        }
        // Whether it is live is asked first, so that names of no stream leave nothing behind.
        let known = {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.get(stream).cloned()
        };
        let slot = match known {
            Some(slot) => slot,
            None => {
                self.gateway
                    .still(stream.clone())
                    .await
                    .map_err(|error| refusal(error, stream))?;
                self.slot(stream)
            }
        };
        // Those who wait ask the shard for nothing meanwhile.
        let turn = time::timeout(PATIENCE + TURN + DECODING, slot.lock()).await;
        let mut picture = turn.map_err(|_| ThumbnailError::Busy)?;
        if let Some(fresh) = picture.as_ref().and_then(|picture| self.answer(picture)) {
            return Ok(fresh);
        }
        *picture = None;
        let still = self.keyframe(stream).await?;
        let made = self.make(stream, still).await?;
        let answer = self.answer(&made);
        *picture = Some(made);
        answer.ok_or(ThumbnailError::Busy)
    }
}
