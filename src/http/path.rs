//! The variable parts of our URLs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::RequestPartsExt;
use axum::extract::{ConnectInfo, Path};
use axum::http::request::Parts;

use super::problem::Problem;
use crate::gateway::{Client, SessionId};
use crate::stream::StreamName;

/// The name in `/…/{stream}`.
pub(super) async fn stream(request: &mut Parts) -> Result<StreamName, Problem> {
    let Path(name) = request
        .extract::<Path<String>>()
        .await
        .map_err(|_| Problem::Path)?;
    name.parse().map_err(Problem::Name)
}

/// The names in `/…/{stream}/{session}`.
pub(super) async fn session(request: &mut Parts) -> Result<(StreamName, SessionId), Problem> {
    let (name, id) = stream_and_rest(request).await?;
    Ok((name, id.parse().map_err(|_| Problem::NotASession)?))
}

/// The name in `/…/{stream}/{rest}`, and the rest.
pub(super) async fn stream_and_rest(request: &mut Parts) -> Result<(StreamName, String), Problem> {
    let path = request.extract::<Path<(String, String)>>();
    let Path((name, rest)) = path.await.map_err(|_| Problem::Path)?;
    Ok((name.parse().map_err(Problem::Name)?, rest))
}

/// Who asks: the other end of the connection.
pub(super) fn client(request: &Parts) -> Client {
    let peer = request.extensions.get::<ConnectInfo<SocketAddr>>();
    Client {
        // Without a connection it was asked in process.
        address: peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.ip()),
    }
}
