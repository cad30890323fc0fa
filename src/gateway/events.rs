//! What a viewer's session is told while it lasts: the event extension of WHEP.
//!
//! States, not messages: whoever reads slowly finds the newest state, and nothing piles up. A stream
//! has one cell for all of its viewers and a session one for what concerns it alone; both are made
//! for the first who reads, so that sessions without readers cost nothing.

use std::sync::Arc;

use tokio::sync::watch;

use super::MediaLayers;

/// Something that a viewer is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// The stream is being published.
    Active,
    /// It is not, for now.
    Inactive,
    /// The layers of the session's tracks.
    Layers(Arc<[MediaLayers]>),
    /// The session ends; the viewer is to begin a new one.
    Reconnect {
        /// Where; none: where it began this one.
        url: Option<String>,
    },
    /// So many viewers are connected to the stream.
    ViewerCount(usize),
}

/// The events of one session: the present state first, then its changes.
#[derive(Debug)]
pub struct Events {
    stream: watch::Receiver<Presence>,
    session: watch::Receiver<Notice>,
    told: Told,
    /// Nothing changes any more.
    stream_ended: bool,
    session_ended: bool,
}

/// What all viewers of a stream are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Presence {
    pub(super) active: bool,
    pub(super) viewers: usize,
}

/// What one viewer is told.
#[derive(Clone, Debug, Default)]
pub(super) struct Notice {
    pub(super) layers: Option<Arc<[MediaLayers]>>,
    pub(super) reconnect: Option<Reconnect>,
}

/// An order to begin again, at `url` if there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reconnect {
    pub(super) url: Option<String>,
}

/// What was read of it.
#[derive(Debug, Default)]
struct Told {
    active: Option<bool>,
    viewers: Option<usize>,
    layers: Option<Arc<[MediaLayers]>>,
    reconnect: bool,
}

impl Events {
    pub(super) fn new(stream: watch::Receiver<Presence>, session: watch::Receiver<Notice>) -> Self {
        Self {
            stream,
            session,
            told: Told::default(),
            stream_ended: false,
            session_ended: false,
        }
    }

    /// The next event: at first the present state, one after another, then what changes. None when the
    /// session has ended. May be dropped while it waits; nothing is lost by that.
    pub async fn next(&mut self) -> Option<StreamEvent> {
        loop {
            let presence = *self.stream.borrow_and_update();
            if let Some(event) = self.told.next(presence, &self.session.borrow_and_update()) {
                return Some(event);
            }
            if self.session_ended {
                return None;
            }
            tokio::select! {
                changed = self.stream.changed(), if !self.stream_ended => {
                    self.stream_ended = changed.is_err();
                }
                changed = self.session.changed() => self.session_ended = changed.is_err(),
            }
        }
    }
}

impl Told {
    /// The first difference between what was told and what is.
    fn next(&mut self, presence: Presence, notice: &Notice) -> Option<StreamEvent> {
        if self.active.replace(presence.active) != Some(presence.active) {
            return Some(if presence.active {
                StreamEvent::Active
            } else {
                StreamEvent::Inactive
            });
        }
        if self.viewers.replace(presence.viewers) != Some(presence.viewers) {
            return Some(StreamEvent::ViewerCount(presence.viewers));
        }
        if notice.layers != self.layers {
            self.layers.clone_from(&notice.layers);
            if let Some(layers) = &self.layers {
                return Some(StreamEvent::Layers(Arc::clone(layers)));
            }
        }
        if let Some(Reconnect { url }) = &notice.reconnect
            && !std::mem::replace(&mut self.reconnect, true)
        {
            return Some(StreamEvent::Reconnect { url: url.clone() });
        }
        None
    }
}

/// For tests elsewhere: what a session's events tell.
#[cfg(test)]
pub(crate) struct Teller {
    stream: watch::Sender<Presence>,
    session: watch::Sender<Notice>,
}

#[cfg(test)]
impl Teller {
    /// Of a stream that is published or not, with `viewers` of them.
    pub(crate) fn new(active: bool, viewers: usize) -> Self {
        Self {
            stream: watch::Sender::new(Presence { active, viewers }),
            session: watch::Sender::default(),
        }
    }

    pub(crate) fn events(&self) -> Events {
        Events::new(self.stream.subscribe(), self.session.subscribe())
    }

    pub(crate) fn set(&self, active: bool, viewers: usize) {
        self.stream.send_replace(Presence { active, viewers });
    }

    pub(crate) fn send_away(&self, url: &str) {
        let url = Some(url.to_owned());
        self.session
            .send_modify(|notice| notice.reconnect = Some(Reconnect { url }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: Presence = Presence {
        active: true,
        viewers: 3,
    };

    #[tokio::test]
    async fn the_present_state_comes_first_and_then_what_changes() {
        let (stream, of_stream) = watch::channel(LIVE);
        let (session, of_session) = watch::channel(Notice::default());
        let mut events = Events::new(of_stream, of_session);
        assert_eq!(events.next().await, Some(StreamEvent::Active));
        assert_eq!(events.next().await, Some(StreamEvent::ViewerCount(3)));
        stream.send_modify(|presence| presence.active = false);
        assert_eq!(events.next().await, Some(StreamEvent::Inactive));
        session.send_modify(|notice| notice.reconnect = Some(Reconnect::default()));
        drop((stream, session));
        assert_eq!(
            events.next().await,
            Some(StreamEvent::Reconnect { url: None })
        );
        assert_eq!(events.next().await, None);
    }

    #[tokio::test]
    async fn a_slow_reader_finds_the_newest_state_alone() {
        let (stream, of_stream) = watch::channel(LIVE);
        let (_session, of_session) = watch::channel(Notice::default());
        let mut events = Events::new(of_stream, of_session);
        for viewers in 4..100 {
            stream.send_modify(|presence| presence.viewers = viewers);
        }
        assert_eq!(events.next().await, Some(StreamEvent::Active));
        assert_eq!(events.next().await, Some(StreamEvent::ViewerCount(99)));
        let next = std::pin::pin!(events.next());
        assert!(futures_are_pending(next));
    }

    /// Polls once.
    fn futures_are_pending(future: std::pin::Pin<&mut impl Future>) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        future.poll(&mut context).is_pending()
    }
}
