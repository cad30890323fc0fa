//! The layers of the tracks of a stream: what viewers are told of them, and what they may choose.

use std::sync::Arc;

use super::{Directory, Place, Session};
use crate::gateway::{LayerChoice, LayerStatus, MediaLayers, SessionError, SessionId, SessionKind};
use crate::shard::{SessionKey, StreamKey};
use crate::stream::{StreamName, TrackId, TrackInfo};

/// The layers of some tracks.
pub(super) type Layers = std::collections::BTreeMap<TrackId, Arc<[LayerStatus]>>;

impl Directory {
    /// The layers of a track have changed, or their figures have.
    pub(in crate::gateway) fn set_layers(
        &mut self,
        broadcast: StreamKey,
        track: TrackId,
        layers: Arc<[LayerStatus]>,
    ) {
        // A broadcast has the number of its publisher's session.
        let publisher = self.sessions.get(&SessionKey(broadcast.0));
        let Some(stream) = publisher.and_then(|session| self.streams.get_mut(&session.stream))
        else {
            return;
        };
        let live = stream.live().filter(|live| live.key == broadcast);
        let Some(tracks) = live.map(|live| Arc::clone(&live.tracks)) else {
            return;
        };
        stream.layers.insert(track, layers);
        if stream.presence.is_none() {
            return; // nobody reads
        }
        for key in &stream.subscribers {
            if let Some(session) = self.sessions.get(key) {
                session.tell_layers(&tracks, &stream.layers);
            }
        }
    }

    /// Where the choice of a viewer is to be sent, if it can be granted. The index of an m-line, which
    /// the extension speaks of, becomes the `mid` that the shard knows; a `mid` is taken as well.
    pub(in crate::gateway) fn choose_layer(
        &mut self,
        name: &StreamName,
        id: SessionId,
        mut choice: LayerChoice,
    ) -> Result<(Place, LayerChoice), SessionError> {
        let session = self.session(SessionKind::Whep, name, id)?;
        // It is on no shard before it has answered, and nothing could keep its choice.
        if session.is_offered() {
            return Err(SessionError::NoLayer);
        }
        let place = session.place;
        if let Some(media) = &mut choice.media_id {
            let index = media.parse::<usize>().ok();
            match index.and_then(|index| session.mids.get(index)) {
                Some(mid) => media.clone_from(mid),
                None if session.mids.contains(media) => {}
                None => return Err(SessionError::NoLayer),
            }
        }
        let layers = self.streams.get(name).map(|stream| &stream.layers);
        let all: Vec<_> = layers
            .into_iter()
            .flat_map(|layers| layers.values())
            .flat_map(|layers| layers.iter().cloned())
            .collect();
        choice.check(&all)?;
        Ok((place, choice))
    }
}

impl Session {
    /// Tells those who read its events of the layers on its m-lines.
    pub(super) fn tell_layers(&self, tracks: &[TrackInfo], layers: &Layers) {
        let (Some(notice), Some(reception)) = (&self.notice, &self.reception) else {
            return;
        };
        let spec = reception.bind(tracks);
        let lines = spec.iter().flat_map(|spec| &spec.tracks);
        let told: Arc<[MediaLayers]> = lines
            .filter_map(|line| {
                let index = self.mids.iter().position(|mid| *mid == line.mid)?;
                Some(MediaLayers {
                    media: u8::try_from(index).ok()?,
                    mid: line.mid.clone(),
                    layers: layers.get(&line.track)?.to_vec(),
                })
            })
            .collect();
        notice.send_if_modified(|notice| {
            // Nothing is no news to who was told nothing.
            let changed = notice.layers.as_deref().unwrap_or_default() != &*told;
            if changed {
                notice.layers = Some(told);
            }
            changed
        });
    }
}
