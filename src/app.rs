//! The composition root: the only file that knows every module. Start and shutdown order.
//!
//! Up: find our addresses, the certificate, bind the TCP ports, then the media port (one number for all),
//! the shards, the control plane, then serve.
//! Down: stop taking requests, close every session so that its peer sees it, end the threads.

mod hls;
mod media_path;
mod names;
mod ports;
mod streams;
mod thumbnails;

pub use ports::Addresses;
pub(crate) use ports::entrances;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use media_path::shard_config;
use thumbnails::Stills;
use tokio::sync::{mpsc, watch};

use crate::config::{Secret, Settings};
use crate::dvr::Dvr;
use crate::egress::hls::Library;
use crate::front::{Front, Tls, TlsError};
use crate::gateway;
use crate::http::{self, AppState, OriginsError, PlainHttp, Rules, Token, TokenError, Tokens};
use crate::media::publish::SlateSettings;
use crate::media::{self, MediaError};
use crate::network::{self, Announcement, Candidates, Found, Listening, Search};
use crate::rtp::Codec;
use crate::sdp::{CodecPolicy, Leniency};
use crate::shard::{self, ShardHandle, Shards};
use crate::transport::{Identity, IdentityError, Timeouts};

/// Why the gateway did not start or broke down.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address can't be used.
    #[error(
        "can't listen on {address} for {what}: {source}; choose another address with --listen or end what uses it"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// TCP or media.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// There is no certificate for HTTPS.
    #[error("no HTTPS: {0}")]
    Tls(#[from] TlsError),
    /// There is no certificate for DTLS.
    #[error("can't make the certificate for DTLS: {0}")]
    Identity(#[from] IdentityError),
    /// GStreamer, which HLS needs, does not work.
    #[error("{0}; or turn HLS off (`hls.enabled = false`)")]
    Media(#[from] MediaError),
    /// The pipeline of the slate can't be read.
    #[error("`streams.slate_pipeline`: can't read {}: {source}", path.display())]
    Slate {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A token can't be used.
    #[error("a configured token can't be used: {0}")]
    Token(#[from] TokenError),
    /// An origin can't be used.
    #[error("`http.cors_origins`: {0}")]
    Origins(#[from] OriginsError),
    /// A shard broke down; the log says why.
    #[error("a media thread broke down; see the log, and start the gateway again")]
    Shard,
}

/// Runs the gateway until `shutdown` ends. `listening` is told when requests are taken.
///
/// # Errors
///
/// See [`Error`]; whatever was started is stopped.
pub async fn run(
    settings: Settings,
    listening: impl FnOnce(&App),
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let app = App::start(&settings).await?;
    listening(&app);
    app.serve(shutdown).await
}

/// A gateway that is bound and takes media. HTTP waits for [`App::serve`].
pub struct App {
    front: Front,
    addresses: Addresses,
    plain: PlainHttp,
    state: AppState,
    library: Library,
    dvr: Option<Dvr>,
    shards: Shards,
    elsewhere: Option<IpAddr>,
}

impl App {
    /// Binds everything and starts the threads.
    ///
    /// # Errors
    ///
    /// See [`Error`]; whatever was started is stopped.
    pub async fn start(settings: &Settings) -> Result<Self, Error> {
        let tokens = tokens(settings)?;
        let http_settings = http::Settings::of(settings)?;
        let slate = streams::slate(settings)?;
        if settings.hls.enabled {
            media::init()?;
        }
        let identity = Arc::new(Identity::generate()?);
        let found = Search::from_media_port(&settings.media).run().await;
        let tls = ports::certificate(settings, &found)
            .map(|certificate| Tls::start(&certificate))
            .transpose()?;
        let (events, from_shards) = mpsc::unbounded_channel();
        let start = |media| Shards::start(&shard_config(settings, media), &identity, &events);
        let (listeners, shards) = ports::bind(settings, start).await?;
        let addresses = Addresses::of(listeners.entrances(), settings);
        let listening = Listening {
            udp: shards.local_address(),
            tcp: listeners.entrances().ice.first().copied(),
        };
        let ice = shards.handles();
        let ice = move |stream, bytes| shard::accept_tcp(&ice, stream, bytes);
        let front = Front::new(listeners, tls, Some(Arc::new(ice)), ports::limits(settings));

        let library = Library::new(hls::library_settings(settings));
        let dvr = hls::dvr(settings, &library);
        let (candidates, elsewhere) = announce(settings, found, listening);
        let gateway = gateway::start(
            gateway_config(settings, slate, candidates, &identity, &library),
            shards.handles(),
            from_shards,
        );
        let stills = Stills::new(gateway.clone(), settings.thumbnails.clone());
        let state = AppState {
            gateway,
            hls: Arc::new(library.clone()),
            thumbnails: Arc::new(stills),
            counters: snapshots(shards.handles()),
            tokens: Arc::new(tokens),
            settings: Arc::new(http_settings),
        };
        Ok(Self {
            front,
            addresses,
            plain: ports::plain_http(settings, addresses),
            state,
            library,
            dvr,
            shards,
            elsewhere,
        })
    }

    /// Where HTTP is served.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The address by which other machines reach this one best, as far as it is known.
    pub fn elsewhere(&self) -> Option<IpAddr> {
        self.elsewhere
    }

    /// The shards, whose counters may be read at any time.
    pub fn shards(&self) -> Arc<[ShardHandle]> {
        self.shards.handles()
    }

    /// Serves HTTP until `shutdown` ends, then stops in order.
    ///
    /// # Errors
    ///
    /// [`Error::Shard`] when a thread of the media side broke down.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let Self {
            front,
            plain,
            state,
            library,
            dvr,
            shards,
            ..
        } = self;
        let sweeper = tokio::spawn(sweep(library));
        let failed = shards.failed();
        let mut broken = false;
        let gateway = state.gateway.clone();
        let connections = state.settings.connections;
        let until = async {
            tokio::select! {
                () = shutdown => {}
                () = failed => broken = true,
            }
            // While HTTP still carries their events.
            gateway.drain().await;
        };
        http::serve(front, http::router(state), plain, connections, until).await;

        sweeper.abort();
        // The threads are joined off the runtime: it may still carry requests that wait for a shard.
        let stopped = tokio::task::spawn_blocking(move || {
            shards.stop();
            dvr.map(Dvr::stop)
        });
        let stopped = stopped.await;
        if stopped.is_err() {
            tracing::error!("the shards did not stop in order");
        }
        if broken {
            return Err(Error::Shard);
        }
        Ok(())
    }
}

/// Takes the playlists whose time is over out of the library.
async fn sweep(library: Library) {
    let mut every_second = tokio::time::interval(Duration::from_secs(1));
    loop {
        let now = every_second.tick().await;
        library.handle_timeout(now.into_std());
    }
}

/// Decides what clients are told, and keeps that current. The second is the best of it for a person elsewhere.
fn announce(
    settings: &Settings,
    found: Found,
    listening: Listening,
) -> (watch::Receiver<Candidates>, Option<IpAddr>) {
    let media = Arc::new(settings.media.clone());
    let announcement = Announcement::new(&media, &found, listening);
    for warning in &announcement.warnings {
        tracing::warn!("{warning}");
    }
    let best = announcement.announced.first();
    let elsewhere = best
        .map(|announced| announced.udp.ip())
        .filter(|ip| !ip.is_loopback());
    let (sender, candidates) = watch::channel(announcement.into());
    tokio::spawn(network::keep_current(media, listening, found, sender));
    (candidates, elsewhere)
}

fn gateway_config(
    settings: &Settings,
    slate: SlateSettings,
    candidates: watch::Receiver<Candidates>,
    identity: &Identity,
    library: &Library,
) -> gateway::Config {
    let limits = &settings.limits;
    gateway::Config {
        limits: gateway::Limits {
            sessions: limits.sessions,
            sessions_per_stream: limits.sessions_per_stream,
            sessions_per_address: limits.sessions_per_address,
            streams: limits.streams,
            publishers_per_stream: limits.publishers_per_stream,
            slates: limits.slates,
            half_open_sessions: limits.half_open_sessions,
            half_open_sessions_per_address: limits.half_open_sessions_per_address,
            answer_timeout: limits.answer_timeout,
        },
        streams: streams::policies(settings),
        slate,
        drain_url: settings.streams.drain_url.clone(),
        candidates,
        codecs: CodecPolicy {
            allowed: Codec::ALL.to_vec(),
            // No HLS player takes VP8, so a publisher that has a choice is asked for something else.
            deprioritized: if settings.hls.enabled {
                vec![Codec::Vp8]
            } else {
                Vec::new()
            },
        },
        leniency: Leniency {
            any_h264_profile: settings.compatibility.any_h264_profile,
            any_h264_packetization: settings.compatibility.any_h264_packetization,
            passive_setup: settings.compatibility.passive_setup,
        },
        audio_redundancy: settings.media.audio_redundancy,
        timeouts: Timeouts {
            connect: limits.connect_timeout,
            consent: limits.consent_timeout,
        },
        fingerprint: *identity.fingerprint(),
        hls: settings
            .hls
            .enabled
            .then(|| (hls::branch_settings(settings), library.clone())),
    }
}

fn snapshots(shards: Arc<[ShardHandle]>) -> Arc<dyn Fn() -> Vec<shard::Snapshot> + Send + Sync> {
    let snapshot = |shard: &ShardHandle| shard.counters().snapshot();
    Arc::new(move || shards.iter().map(snapshot).collect())
}

fn tokens(settings: &Settings) -> Result<Tokens, TokenError> {
    let token = |secret: &Secret| secret.expose().parse::<Token>();
    let every = |secret: &Option<Secret>| secret.iter().map(token).collect::<Result<Vec<_>, _>>();
    let auth = &settings.auth;
    let mut tokens = Tokens {
        publish: Rules {
            every_stream: every(&auth.publish_token)?,
            ..Rules::default()
        },
        play: Rules {
            every_stream: every(&auth.play_token)?,
            ..Rules::default()
        },
        metrics: auth.metrics_token.as_ref().map(token).transpose()?,
        ..Tokens::default()
    };
    for (stream, own) in &auth.streams {
        for (rules, secret) in [
            (&mut tokens.publish, &own.publish_token),
            (&mut tokens.backup, &own.backup_token),
            (&mut tokens.play, &own.play_token),
        ] {
            if secret.is_some() {
                rules.one_stream.insert(stream.clone(), every(secret)?);
            }
        }
    }
    Ok(tokens)
}
