//! The test broadcast: one session that sends until it is stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::{Method, Url};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::super::client::{Client, Request};
use super::super::evidence::Unanswered;
use super::observed::Observed;
use super::peer::{Direction, Peer};
use super::source::{PICTURES, SOUNDS, Source};
use crate::cli::signalling::{Endpoint, SignallingError};
use crate::cli::watch::PeerError;
use crate::rtp::Codec;

/// Why there is no broadcast.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PublicationError {
    #[error(transparent)]
    Signalling(#[from] SignallingError),
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("the server answered {0}")]
    Refused(String),
    #[error("{0}")]
    Unanswered(String),
    #[error("the media connection did not come about; check its UDP port and candidates")]
    NoConnection,
}

/// Packets on their way.
pub(crate) struct Sending {
    task: JoinHandle<()>,
    sent: Arc<AtomicU64>,
}

impl Sending {
    /// Sends what was negotiated, at its pace, until dropped.
    pub(crate) async fn start(peer: &Arc<Peer>) -> Self {
        let sent = Arc::new(AtomicU64::new(0));
        let (mut audio, mut video) = (None, None);
        for (track, mime, payload_type, ssrc) in peer.negotiated().await {
            let name = mime.rsplit('/').next().unwrap_or_default();
            let codec = Codec::from_name(name);
            let source = codec.and_then(|codec| Source::new(codec, payload_type, ssrc));
            match track {
                0 => audio = source,
                _ => video = source,
            }
        }
        let (peer, count) = (Arc::clone(peer), Arc::clone(&sent));
        let task = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_secs(1) / SOUNDS);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for number in 0_u64.. {
                tick.tick().await;
                let is_picture = number.is_multiple_of(u64::from(SOUNDS / PICTURES));
                let due = [(0, &mut audio, true), (1, &mut video, is_picture)];
                for (track, source, is_due) in due {
                    for packet in source.iter_mut().filter(|_| is_due).flat_map(Source::next) {
                        if peer.send(track, packet).await {
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            }
        });
        Self { task, sent }
    }

    /// RTP packets so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A broadcast for the sake of its viewers.
pub(crate) struct Publication {
    peer: Arc<Peer>,
    session: Url,
    sending: Sending,
}

impl Publication {
    /// Publishes, and waits until media flows. The session is in the client's books until
    /// [`Publication::stop`].
    pub(crate) async fn start(client: &Client, url: &Url) -> Result<Self, PublicationError> {
        let endpoint = Endpoint::new(url.as_str(), None)?;
        let mut peer = Peer::new(Direction::Send, &endpoint.loopback().await).await?;
        let offer = peer.offer().await?;
        let request = Request::new(Method::POST, url).body("application/sdp", offer);
        let response = client
            .send(request)
            .await
            .map_err(|Unanswered(reason)| PublicationError::Unanswered(reason))?;
        let session = response
            .location()
            .filter(|_| response.status == 201)
            .ok_or_else(|| PublicationError::Refused(response.describe()))?;
        let peer = Arc::new(peer);
        peer.accept(&response.text()).await?;
        if !connected(&mut peer.observed(), client.timeout()).await {
            peer.close().await;
            return Err(PublicationError::NoConnection);
        }
        let sending = Sending::start(&peer).await;
        Ok(Self {
            peer,
            session,
            sending,
        })
    }

    /// Ends it. What the server says to that is told by the client's clean-up.
    pub(crate) async fn stop(self, client: &Client) {
        drop(self.sending);
        let _ = client
            .send(Request::new(Method::DELETE, &self.session))
            .await;
        self.peer.close().await;
    }
}

/// Waits until media can flow.
pub(crate) async fn connected(observed: &mut watch::Receiver<Observed>, limit: Duration) -> bool {
    let connected = observed.wait_for(|observed| observed.connected.is_some() || observed.lost);
    let outcome = tokio::time::timeout(limit, connected).await;
    matches!(outcome, Ok(Ok(observed)) if observed.connected.is_some())
}
