//! The slates that run: each publishes one stream from inside of this process, like any other
//! publisher but for its rank, so that taking it and leaving it is the switching between publishers.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::directory::SlateOrder;
use super::handle::WeakGateway;
use super::{Client, CreateError, Gateway, Rank, SessionKind};
use crate::media::publish::{self, Publisher, SlateSettings};
use crate::sdp;
use crate::stream::StreamName;

/// Who asks for a slate's session: this program.
const OURSELVES: Client = Client {
    address: IpAddr::V4(Ipv4Addr::LOCALHOST),
    is_here: true,
};

/// After a failure it begins again so much later: an encoder or a port that was missing may be back,
/// and each try costs a pipeline.
const PAUSE: Duration = Duration::from_secs(10);

/// The slates of this server.
pub(super) struct Slates {
    settings: SlateSettings,
    gateway: WeakGateway,
    /// Dropping one ends it.
    running: HashMap<StreamName, watch::Sender<()>>,
}

impl Slates {
    pub(super) fn new(settings: SlateSettings, gateway: &Gateway) -> Self {
        Self {
            settings,
            gateway: gateway.downgrade(),
            running: HashMap::new(),
        }
    }

    pub(super) fn follow(&mut self, order: SlateOrder) {
        match order {
            SlateOrder::Start { name, tracks } => {
                let (stop, stopped) = watch::channel(());
                self.running.insert(name.clone(), stop);
                let (settings, gateway) = (self.settings.clone(), self.gateway.clone());
                let stream = name.clone();
                let run = move |stopped: watch::Receiver<()>| {
                    let (settings, tracks) = (settings.clone(), Arc::clone(&tracks));
                    let (stream, gateway) = (stream.clone(), gateway.clone());
                    let make = move || settings.publisher(&tracks);
                    async move { show(make, &stream, &gateway, stopped).await }
                };
                tokio::spawn(keep(name, run, stopped));
            }
            SlateOrder::Stop { name } => {
                self.running.remove(&name);
            }
        }
    }
}

/// Why there is no slate.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Publisher(#[from] publish::Error),
    #[error("its offer is not understood: {0}")]
    Offer(#[from] sdp::OfferError),
    #[error(transparent)]
    Create(#[from] CreateError),
    #[error("the broadcast has no picture that one could stand for")]
    NoPicture,
    #[error("its pipeline has come to its end")]
    Ended,
}

/// Runs the slate of a stream until the sender of `stopped` is dropped, again after a while when it
/// fails: it is needed still. One that fails is told of once.
async fn keep<F>(
    name: StreamName,
    mut run: impl FnMut(watch::Receiver<()>) -> F,
    mut stopped: watch::Receiver<()>,
) where
    F: Future<Output = Result<(), Error>>,
{
    tracing::info!(stream = %name, "the slate begins");
    let mut told = false;
    loop {
        match run(stopped.clone()).await {
            Ok(()) => break,
            // That stays so.
            Err(error @ Error::NoPicture) => {
                tracing::warn!(stream = %name, %error, "no slate");
                return;
            }
            Err(error) if told => tracing::debug!(stream = %name, %error, "no slate"),
            Err(error) => {
                tracing::warn!(stream = %name, %error, again_after = ?PAUSE, "no slate");
                told = true;
            }
        }
        tokio::select! {
            _ = stopped.changed() => break,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
    tracing::info!(stream = %name, "the slate has ended");
}

/// Publishes the slate until the sender of `stopped` is dropped.
async fn show(
    make: impl FnOnce() -> Result<Option<Publisher>, publish::Error> + Send + 'static,
    name: &StreamName,
    gateway: &WeakGateway,
    mut stopped: watch::Receiver<()>,
) -> Result<(), Error> {
    // Building, starting and stopping a pipeline may take a while.
    let Ok(made) = tokio::task::spawn_blocking(make).await else {
        return Ok(()); // the runtime ends
    };
    let mut publisher = made?.ok_or(Error::NoPicture)?;
    let result = tokio::select! {
        // One that is stopped has not failed, though it may be refused for that.
        biased;
        _ = stopped.changed() => Ok(()),
        result = publish(&mut publisher, name, gateway) => result,
    };
    let _ = tokio::task::spawn_blocking(move || drop(publisher)).await;
    result
}

async fn publish(
    publisher: &mut Publisher,
    name: &StreamName,
    gateway: &WeakGateway,
) -> Result<(), Error> {
    let offer = publisher.offer().await?;
    let offer = sdp::Offer::parse(offer.as_bytes(), &sdp::Limits::default())?;
    let Some(control) = gateway.upgrade() else {
        return Ok(());
    };
    let created = control
        .publish(name.clone(), offer, OURSELVES, Rank::Slate)
        .await?;
    drop(control);
    let result = match publisher.connect(&created.sdp).await {
        Ok(()) => publisher.ended().await,
        failed => failed,
    };
    // It has come to its end without being told to, and nothing comes of its session any more.
    let Some(control) = gateway.upgrade() else {
        return Ok(());
    };
    let _ = control
        .delete(SessionKind::Whip, name.clone(), created.id)
        .await;
    result?;
    Err(Error::Ended)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::runtime::Builder;

    use super::*;
    use crate::telemetry::capture::capture;

    /// Runs `code` with a clock that does not have to be waited for, and counts its warnings.
    fn warnings(code: impl Future<Output = ()>) -> usize {
        let mut runtime = Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        let ((), log) = capture(|| runtime.block_on(code));
        log.text().matches("WARN").count()
    }

    #[test]
    fn one_that_fails_is_tried_again_and_told_of_once() {
        let tries = Cell::new(0);
        let warned = warnings(async {
            let (stop, stopped) = watch::channel(());
            let run = |mut stopped: watch::Receiver<()>| {
                tries.set(tries.get() + 1);
                let fails = tries.get() < 4;
                async move {
                    if fails {
                        return Err(Error::Ended);
                    }
                    let _ = stopped.changed().await;
                    Ok(())
                }
            };
            let stopping = async {
                tokio::time::sleep(PAUSE * 5 / 2).await;
                assert_eq!(tries.get(), 3);
                tokio::time::sleep(PAUSE * 10).await;
                drop(stop);
            };
            tokio::join!(keep("demo".parse().unwrap(), run, stopped), stopping);
        });
        assert_eq!((tries.get(), warned), (4, 1));
    }

    #[test]
    fn one_that_is_needed_no_longer_is_not_tried_again() {
        let tries = Cell::new(0);
        let warned = warnings(async {
            let (stop, stopped) = watch::channel(());
            let run = |_| {
                tries.set(tries.get() + 1);
                async { Err(Error::Ended) }
            };
            let stopping = async {
                tokio::time::sleep(PAUSE / 2).await;
                drop(stop);
            };
            tokio::join!(keep("demo".parse().unwrap(), run, stopped), stopping);
        });
        assert_eq!((tries.get(), warned), (1, 1));
    }

    #[test]
    fn one_that_would_not_be_seen_is_not_tried_again() {
        let warned = warnings(async {
            let (_stop, stopped) = watch::channel(());
            let run = |_| async { Err(Error::NoPicture) };
            keep("demo".parse().unwrap(), run, stopped).await;
        });
        assert_eq!(warned, 1);
    }
}
