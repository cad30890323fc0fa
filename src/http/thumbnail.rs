//! `/streams/{stream}/thumbnail.jpg`: a still picture of what is live.

use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;

use super::problem::Problem;
use super::{AppState, etag, path};
use crate::gateway::SessionKind;
use crate::stream::StreamName;

/// Where still pictures come from.
#[async_trait::async_trait]
pub trait Thumbnails: Send + Sync {
    /// The picture of a stream.
    ///
    /// # Errors
    ///
    /// Why there is none now.
    async fn thumbnail(&self, stream: &StreamName) -> Result<Thumbnail, ThumbnailError>;
}

/// A still picture.
#[derive(Clone, Debug)]
pub struct Thumbnail {
    /// JPEG.
    pub picture: Bytes,
    /// Names it, without quotes.
    pub tag: String,
    /// How long it is good.
    pub fresh: Duration,
}

/// Why there is no still picture.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ThumbnailError {
    /// The configuration says so.
    #[error("this server makes no thumbnails; see `thumbnails.enabled`")]
    Off,
    /// Nobody publishes the stream.
    #[error("nobody publishes {0} now; try again when the broadcast has begun")]
    Offline(StreamName),
    /// There is no video track.
    #[error("{0} has no picture, only sound")]
    NoPicture(StreamName),
    /// The publisher has sent none.
    #[error("no keyframe of {0} has come in time; try again in a few seconds")]
    NoKeyframe(StreamName),
    /// As many as may be made at once are being made.
    #[error(
        "too many thumbnails are being made; try again in a second, or raise `thumbnails.at_once`"
    )]
    Busy,
    /// It can't be decoded, for a reason that the log has.
    #[error("the picture can't be decoded here; see the server's log")]
    Undecodable,
}

impl ThumbnailError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Off | Self::Offline(_) | Self::NoPicture(_) => StatusCode::NOT_FOUND,
            Self::NoKeyframe(_) | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Undecodable => StatusCode::NOT_IMPLEMENTED,
        }
    }

    /// When trying again makes sense, in seconds.
    pub(super) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Off | Self::NoPicture(_) | Self::Undecodable => None,
            Self::Busy => Some(1),
            Self::Offline(_) | Self::NoKeyframe(_) => Some(2),
        }
    }
}

/// The route of the picture.
pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/streams/{stream}/thumbnail.jpg", get(picture))
}

async fn picture(State(state): State<AppState>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    match try_picture(&state, &mut parts).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn try_picture(state: &AppState, request: &mut Parts) -> Result<Response, Problem> {
    let stream = path::stream(request).await?;
    state.authorize(SessionKind::Whep, &stream, request)?;
    let found = state.thumbnails.thumbnail(&stream).await;
    let Thumbnail {
        picture,
        tag,
        fresh,
    } = found.map_err(Problem::Thumbnail)?;
    let public = !state.tokens.play.ask(&stream);
    let scope = if public { "public" } else { "private" };
    let tag = format!("\"{tag}\"");
    let headers = [
        (header::CONTENT_TYPE, "image/jpeg".to_owned()),
        (
            header::CACHE_CONTROL,
            format!("{scope}, max-age={}", fresh.as_secs()),
        ),
        (header::ETAG, tag.clone()),
    ];
    if etag::is_known(&request.headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    Ok((headers, picture).into_response())
}
