//! From connections to the router: their time limits, and an orderly end.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{Request, Version};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::sync::watch;
use tokio::time::timeout;
use tower::ServiceExt;

use super::auth::LocalAddress;
use super::connections::{ConnectionLimits, Connections};
use super::idle::{Activity, Admitted, InFlight};
use super::plain::{CamePlain, PlainHttp};
use super::unread::Unread;
use super::write_deadline::WriteDeadline;
use crate::front::{Connection, Front, Scheme};

/// Within this time a connection must have sent the head of its next request, so that slow or idle
/// clients don't hold sockets for ever. Over HTTP/2 the time counts while no request is in flight.
const HEADER_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a client may take nothing of what is sent to it, so that one that doesn't read doesn't
/// keep segments in memory.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How often an idle HTTP/2 connection is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// How long the rest of an answer may take over a connection that makes room for somebody new. Only HTTP/1.1 needs it, where
/// hyper may still have some of it when nothing is in flight. Short, as the connection counts no more.
const LEAVING: Duration = Duration::from_secs(1);

/// How long requests in flight may take at the end.
const GRACE: Duration = Duration::from_secs(5);

/// Serves `router` over HTTP/1.1 and HTTP/2 until `shutdown` ends, then lets requests in flight finish
/// for some seconds. Handlers find the peer in `ConnectInfo<SocketAddr>`, and a [`Scheme`]. What
/// happens on one connection ends no other, but where there are more than the `limits` the longest idle one makes room;
/// what can't be let in is closed at once.
pub async fn serve(
    front: Front,
    router: Router,
    plain: PlainHttp,
    limits: ConnectionLimits,
    shutdown: impl Future<Output = ()>,
) {
    let server = Server {
        router,
        plain,
        limits,
        header_timeout: HEADER_TIMEOUT,
        write_timeout: WRITE_TIMEOUT,
    };
    server.run(front, shutdown).await;
}

/// What is the same for all connections.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) router: Router,
    pub(super) plain: PlainHttp,
    pub(super) limits: ConnectionLimits,
    pub(super) header_timeout: Duration,
    pub(super) write_timeout: Duration,
}

impl Server {
    pub(super) async fn run(self, mut front: Front, shutdown: impl Future<Output = ()>) {
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_timeout);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE);
        let (end, ending) = watch::channel(());
        let mut established = Connections::new(self.limits);
        let mut shutdown = pin!(shutdown);
        loop {
            let connection = tokio::select! {
                () = &mut shutdown => break,
                connection = front.accept() => connection,
            };
            let Some(admitted) = established.admit(connection.peer.ip()) else {
                continue;
            };
            let (server, builder, ending) = (self.clone(), builder.clone(), ending.clone());
            tokio::spawn(async move {
                server.hold(&builder, connection, admitted, ending).await;
            });
        }
        // Nothing more gets in, and who is not quite in is turned away.
        drop((front, ending));
        let _ = end.send(());
        if timeout(GRACE, end.closed()).await.is_err() {
            tracing::info!("requests in flight did not finish in time; closing their connections");
        }
    }

    /// Answers what comes over one connection until that ends, or is to end.
    async fn hold(
        self,
        builder: &Builder<TokioExecutor>,
        connection: Connection,
        mut admitted: Admitted,
        mut ending: watch::Receiver<()>,
    ) {
        let (header_timeout, write_timeout) = (self.header_timeout, self.write_timeout);
        let origin = Origin::of(&connection);
        let (unread, activity) = (Unread::default(), admitted.activity.clone());
        let (followed, followed_activity) = (unread.clone(), activity.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let in_flight = followed_activity.begin(request.version());
            self.clone()
                .answer(origin, in_flight, followed.clone(), request)
        });
        let stream = WriteDeadline::new(connection.stream, write_timeout);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut silence = pin!(silence(&activity, header_timeout));
        let (mut is_ending, mut limit, mut idle_limit) = (false, write_timeout, header_timeout);
        loop {
            tokio::select! {
                result = connection.as_mut() => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "connection ended early");
                    }
                    return;
                }
                () = &mut silence => {
                    tracing::debug!("connection ended, as it asked for nothing");
                    return;
                }
                () = unread.stuck(limit) => {
                    if limit > write_timeout {
                        tracing::debug!("connection ended, as an answer was not read");
                        return;
                    }
                    // What else it has asked for may be somebody else's, behind a proxy: that is finished
                    // first, and what is asked from now on takes another connection.
                    limit = 2 * write_timeout;
                    connection.as_mut().graceful_shutdown();
                }
                () = activity.idle(idle_limit) => {
                    if idle_limit > header_timeout {
                        tracing::debug!("connection ended, as it was idle");
                        return;
                    }
                    // A client need not answer the GOAWAY.
                    idle_limit = 2 * header_timeout;
                    connection.as_mut().graceful_shutdown();
                }
                _ = &mut admitted.ended => {
                    tracing::debug!("connection ended, to make room for another one");
                    connection.as_mut().graceful_shutdown();
                    let time = if activity.is_http1() { LEAVING } else { Duration::ZERO };
                    let _ = timeout(time, connection).await;
                    return;
                }
                _ = ending.changed(), if !is_ending => {
                    is_ending = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    async fn answer(
        self,
        origin: Origin,
        in_flight: InFlight,
        unread: Unread,
        request: Request<Incoming>,
    ) -> Result<Response, Infallible> {
        // Over HTTP/1.1 the socket shows who does not read.
        let is_followed = request.version() == Version::HTTP_2;
        let response = self.respond(origin, request).await?;
        Ok(match is_followed {
            true => unread.follow(in_flight, response),
            false => in_flight.until_taken(response),
        })
    }

    async fn respond(
        self,
        origin: Origin,
        mut request: Request<Incoming>,
    ) -> Result<Response, Infallible> {
        let extensions = request.extensions_mut();
        if origin.scheme == Scheme::Http {
            extensions.insert(CamePlain {
                rule: self.plain,
                from_here: origin.is_here(),
            });
        }
        extensions.insert(ConnectInfo(origin.peer));
        extensions.insert(LocalAddress(origin.local.ip()));
        extensions.insert(origin.scheme);
        self.router.oneshot(request).await
    }
}

/// Where a connection comes from.
#[derive(Clone, Copy)]
struct Origin {
    scheme: Scheme,
    peer: SocketAddr,
    local: SocketAddr,
}

impl Origin {
    fn of(connection: &Connection) -> Self {
        Self {
            scheme: connection.scheme,
            peer: connection.peer,
            local: connection.local,
        }
    }

    /// Only this machine can connect to one of its addresses from the same address.
    fn is_here(&self) -> bool {
        let peer = self.peer.ip().to_canonical();
        peer.is_loopback() || peer == self.local.ip().to_canonical()
    }
}

/// Ends when nothing was asked for in time. The protocols' own limits begin with the first byte.
async fn silence(activity: &Activity, limit: Duration) {
    tokio::time::sleep(limit).await;
    if activity.has_asked() {
        std::future::pending::<()>().await;
    }
}
