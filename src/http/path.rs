//! The variable parts of our URLs.

use axum::RequestPartsExt;
use axum::extract::Path;
use axum::http::request::Parts;

use super::problem::Problem;
use crate::gateway::{SessionId, SessionKind};
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

/// The names in `/…/{stream}/{session}/events/{events}`.
pub(super) async fn event_stream(
    request: &mut Parts,
) -> Result<(StreamName, SessionId, SessionId), Problem> {
    let path = request.extract::<Path<(String, String, String)>>();
    let Path((name, session, events)) = path.await.map_err(|_| Problem::Path)?;
    let id = |text: String| text.parse().map_err(|_| Problem::NotASession);
    Ok((
        name.parse().map_err(Problem::Name)?,
        id(session)?,
        id(events)?,
    ))
}

/// The URL of a session. It is a path, so that it is right behind every proxy.
pub(super) fn of_session(kind: SessionKind, stream: &StreamName, id: SessionId) -> String {
    let protocol = match kind {
        SessionKind::Whip => "whip",
        SessionKind::Whep => "whep",
    };
    format!("/{protocol}/{stream}/{id}")
}

/// The name in `/…/{stream}/{rest}`, and the rest.
pub(super) async fn stream_and_rest(request: &mut Parts) -> Result<(StreamName, String), Problem> {
    let path = request.extract::<Path<(String, String)>>();
    let Path((name, rest)) = path.await.map_err(|_| Problem::Path)?;
    Ok((name.parse().map_err(Problem::Name)?, rest))
}
