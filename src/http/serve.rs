//! From a bound listener to the router: connections, their time limits, and an orderly end.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use super::auth::LocalAddress;
use super::write_deadline::WriteDeadline;

/// Within this time a connection must have sent the head of its next request, so that slow or idle
/// clients don't hold sockets for ever.
const HEADER_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a client may take nothing of what is sent to it, so that one that doesn't read doesn't
/// keep segments in memory.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How often an idle HTTP/2 connection is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// How long requests in flight may take at the end.
const GRACE: Duration = Duration::from_secs(5);

/// How long to wait when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` over HTTP/1.1 and HTTP/2 (prior knowledge) until `shutdown` ends, then lets
/// requests in flight finish for some seconds. Handlers find the peer in `ConnectInfo<SocketAddr>`.
///
/// # Errors
///
/// None now: what happens on one connection, and a lack of file descriptors, end nothing.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    serve_for(listener, router, shutdown, HEADER_TIMEOUT, WRITE_TIMEOUT).await
}

/// [`serve`] with other time limits.
pub(super) async fn serve_for(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
    header_timeout: Duration,
    write_timeout: Duration,
) -> io::Result<()> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE);
    let connections = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, peer) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener) => accepted,
        };
        let router = router.clone();
        let local = stream.local_addr().ok();
        let asked = Arc::new(AtomicBool::new(false));
        let has_asked = Arc::clone(&asked);
        let service = service_fn(move |request| {
            asked.store(true, Ordering::Relaxed);
            answer(router.clone(), peer, local, request)
        });
        let stream = WriteDeadline::new(stream, write_timeout);
        let connection = builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            tokio::select! {
                result = connection => if let Err(error) = result {
                    tracing::debug!(%error, "connection ended early");
                },
                () = silence(&has_asked, header_timeout) => {
                    tracing::debug!("connection ended, as it asked for nothing");
                }
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, connections.shutdown())
        .await
        .is_err()
    {
        tracing::info!("requests in flight did not finish in time; closing their connections");
    }
    Ok(())
}

/// Ends when nothing was asked for in time. The protocols' own limits begin with the first byte.
async fn silence(has_asked: &AtomicBool, limit: Duration) {
    tokio::time::sleep(limit).await;
    if has_asked.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

async fn answer(
    router: Router,
    peer: SocketAddr,
    local: Option<SocketAddr>,
    mut request: Request<Incoming>,
) -> Result<Response, Infallible> {
    request.extensions_mut().insert(ConnectInfo(peer));
    if let Some(local) = local {
        request.extensions_mut().insert(LocalAddress(local.ip()));
    }
    router.oneshot(request).await
}

/// The next connection. An error of one connection is passed over; for others, which mean that
/// descriptors have run out, it waits until some are free again.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are small and whole: waiting for more to send only delays them.
                let _ = stream.set_nodelay(true);
                return (stream, peer);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "can't accept connections; raise the limit of open files");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}
