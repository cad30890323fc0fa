//! The slates that run: each publishes one stream from inside of this process, like any other
//! publisher but for its rank, so that taking it and leaving it is the switching between publishers.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use tokio::sync::oneshot;

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

/// The slates of this server.
pub(super) struct Slates {
    settings: SlateSettings,
    gateway: WeakGateway,
    /// Dropping one ends it.
    running: HashMap<StreamName, oneshot::Sender<()>>,
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
                let (stop, stopped) = oneshot::channel();
                self.running.insert(name.clone(), stop);
                let (settings, gateway) = (self.settings.clone(), self.gateway.clone());
                tokio::spawn(async move {
                    tracing::info!(stream = %name, "the slate begins");
                    let make = move || settings.publisher(&tracks);
                    match show(make, &name, &gateway, stopped).await {
                        Ok(()) => tracing::info!(stream = %name, "the slate has ended"),
                        Err(error) => tracing::warn!(stream = %name, %error, "no slate"),
                    }
                });
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
}

/// Publishes the slate until `stopped` fires or is dropped.
async fn show(
    make: impl FnOnce() -> Result<Option<Publisher>, publish::Error> + Send + 'static,
    name: &StreamName,
    gateway: &WeakGateway,
    mut stopped: oneshot::Receiver<()>,
) -> Result<(), Error> {
    // Building, starting and stopping a pipeline may take a while.
    let Ok(made) = tokio::task::spawn_blocking(make).await else {
        return Ok(()); // the runtime ends
    };
    let mut publisher = made?.ok_or(Error::NoPicture)?;
    let result = tokio::select! {
        result = publish(&mut publisher, name, gateway) => result,
        _ = &mut stopped => Ok(()),
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
    if let Some(control) = gateway.upgrade() {
        let _ = control
            .delete(SessionKind::Whip, name.clone(), created.id)
            .await;
    }
    Ok(result?)
}
