//! What viewers are told. Without readers there is nobody to tell, and nothing is done.

use tokio::sync::watch;

use super::Directory;
use crate::gateway::events::Presence;
use crate::gateway::{Events, SessionError, SessionId, SessionKind};
use crate::stream::StreamName;

impl Directory {
    /// The events of a viewer.
    pub(in crate::gateway) fn events(
        &mut self,
        name: &StreamName,
        id: SessionId,
    ) -> Result<Events, SessionError> {
        let session = self.session(SessionKind::Whep, name, id)?;
        let key = session.place.key;
        let notice = session.read_notice();
        let stream = self.streams.get_mut(name).ok_or(SessionError::NotFound)?;
        if let (Some(live), Some(session)) = (stream.live(), self.sessions.get(&key)) {
            session.tell_layers(&live.tracks, &stream.layers);
        }
        let present = Presence {
            active: stream.is_active(),
            viewers: stream.connected,
        };
        let presence = stream
            .presence
            .get_or_insert_with(|| watch::Sender::new(present))
            .subscribe();
        Ok(Events::new(presence, notice))
    }

    /// Whether some viewers are to be told of a new count.
    pub(in crate::gateway) fn is_recounted(&self) -> bool {
        !self.recounted.is_empty()
    }

    /// Tells the viewers of all streams that have a new count. To be called at most once a second.
    pub(in crate::gateway) fn tell_counts(&mut self) {
        for name in std::mem::take(&mut self.recounted) {
            let Some(stream) = self.streams.get(&name) else {
                continue;
            };
            if let Some(presence) = &stream.presence {
                let viewers = stream.connected;
                presence.send_if_modified(|presence| {
                    std::mem::replace(&mut presence.viewers, viewers) != viewers
                });
            }
        }
    }

    /// Tells every viewer to go on elsewhere; `{stream}` in `url` stands for the name of its stream.
    pub(in crate::gateway) fn send_away(&mut self, url: Option<&str>) {
        for session in self.sessions.values_mut() {
            let url = url.map(|url| url.replace("{stream}", session.stream.as_str()));
            session.send_away(url);
        }
    }

    /// Notes that the count of a stream has changed, if somebody reads it.
    pub(super) fn recount(&mut self, name: &StreamName) {
        let stream = self.streams.get(name);
        if stream.is_some_and(|stream| stream.presence.is_some()) {
            self.recounted.insert(name.clone());
        }
    }
}
