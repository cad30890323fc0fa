//! `/hls/{stream}/{file}`: playlists and segments (RFC 8216) out of the memory of the packager.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;

use super::problem::Problem;
use super::range::{Wanted, wanted};
use super::{AppState, path};
use crate::egress::hls::{Library, Resource};
use crate::gateway::SessionKind;
use crate::stream::StreamName;

/// Where playlists and segments come from.
pub trait HlsSource: Send + Sync {
    /// The file `path` of `stream`, as it is now.
    fn resource(&self, stream: &StreamName, path: &str) -> HlsResource;
}

/// A file of a stream, or why there is none.
#[derive(Clone, Debug)]
pub enum HlsResource {
    /// Here it is.
    Found {
        /// For `Content-Type`.
        content_type: &'static str,
        /// The whole file.
        body: Bytes,
        /// How long caches may keep it; 0 for not without asking again.
        cache_seconds: u32,
    },
    /// The stream is live, but it has too few segments yet.
    NotYet,
    /// The stream can't be had by HLS, for this reason.
    Unavailable(String),
    /// The stream is live, but has no such file.
    NotFound,
    /// Nobody publishes the stream.
    Offline,
}

impl HlsSource for Library {
    fn resource(&self, stream: &StreamName, path: &str) -> HlsResource {
        let Some(presentation) = self.get(stream) else {
            return HlsResource::Offline;
        };
        match presentation.get(path) {
            Resource::Found {
                content_type,
                body,
                cache_seconds,
            } => HlsResource::Found {
                content_type,
                body,
                cache_seconds,
            },
            Resource::NotYet => HlsResource::NotYet,
            Resource::Unavailable(reason) => HlsResource::Unavailable(reason),
            Resource::NotFound => HlsResource::NotFound,
        }
    }
}

/// The routes of HLS.
pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/hls/{stream}/{*file}", get(file))
}

async fn file(State(state): State<AppState>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    match try_file(&state, &mut parts).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn try_file(state: &AppState, request: &mut Parts) -> Result<Response, Problem> {
    let (stream, file) = path::stream_and_rest(request).await?;
    state.authorize(SessionKind::Whep, &stream, request)?;
    match state.hls.resource(&stream, &file) {
        HlsResource::Found {
            content_type,
            body,
            cache_seconds,
        } => {
            let scope = if !state.tokens.play.ask(&stream) {
                "public"
            } else {
                "private"
            };
            let cache = match cache_seconds {
                0 => "no-cache".to_owned(),
                seconds => format!("{scope}, max-age={seconds}"),
            };
            let headers = [
                (header::CONTENT_TYPE, content_type.to_owned()),
                (header::CACHE_CONTROL, cache),
                (header::ACCEPT_RANGES, "bytes".to_owned()),
            ];
            Ok((headers, body_or_range(&request.headers, body)?).into_response())
        }
        HlsResource::NotYet => Err(Problem::HlsNotYet),
        HlsResource::Unavailable(reason) => Err(Problem::HlsUnavailable(reason)),
        HlsResource::NotFound => Err(Problem::HlsNotFound),
        HlsResource::Offline => Err(Problem::HlsOffline(stream)),
    }
}

fn body_or_range(headers: &HeaderMap, body: Bytes) -> Result<Response, Problem> {
    let range = headers.get(header::RANGE).and_then(|v| v.to_str().ok());
    let size = body.len();
    match range.map_or(Wanted::Whole, |range| wanted(range, size)) {
        Wanted::Whole => Ok(body.into_response()),
        Wanted::Nothing => Err(Problem::Range { size }),
        Wanted::Part(part) => {
            let content_range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
            let headers = [(header::CONTENT_RANGE, content_range)];
            Ok((StatusCode::PARTIAL_CONTENT, headers, body.slice(part)).into_response())
        }
    }
}
