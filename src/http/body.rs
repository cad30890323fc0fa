//! Request bodies: read within bounds of size and time, and swept up when they are not wanted.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::Settings;
use super::problem::Problem;

/// An unwanted body is read up to this size, in bytes, before the refusal is sent.
const SWEEP_LIMIT: usize = 16 * 1024 * 1024;

/// An unwanted body is read for so long.
const SWEEP_TIME: Duration = Duration::from_secs(2);

/// Checks the media type of the body.
pub(super) fn require_type(
    headers: &HeaderMap,
    accepted: &'static str,
    header: HeaderName,
) -> Result<(), Problem> {
    match is_of_type(headers, accepted) {
        true => Ok(()),
        false => Err(Problem::ContentType { accepted, header }),
    }
}

/// Whether the body is of this media type; parameters and case don't matter (RFC 9110, section 8.3.1).
pub(super) fn is_of_type(headers: &HeaderMap, wanted: &str) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok());
    let essence = value.and_then(|v| v.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(wanted)
}

/// Whether the request has neither a body nor a type of one.
pub(super) fn is_absent(headers: &HeaderMap, body: &Body) -> bool {
    body.is_end_stream() && !headers.contains_key(header::CONTENT_TYPE)
}

/// The whole body.
pub(super) async fn read(
    headers: &HeaderMap,
    body: &mut Body,
    settings: &Settings,
) -> Result<Bytes, Problem> {
    let (limit, time) = (settings.max_body, settings.body_timeout);
    let announced = headers.get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|size| size > limit as u64) {
        return Err(Problem::BodyTooLarge { limit });
    }
    let all = async {
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Problem::BodyBroken)?.into_data() else {
                continue;
            };
            if whole.len() + data.len() > limit {
                return Err(Problem::BodyTooLarge { limit });
            }
            whole.extend_from_slice(&data);
        }
        Ok(whole.freeze())
    };
    timeout(time, all)
        .await
        .unwrap_or(Err(Problem::BodyTooSlow(time)))
}

/// The answer to a request whose body may still be on its way. The rest of it is read first, within
/// bounds: closing a socket with unread data resets it, and the client would not see why. A client
/// that said `Expect: 100-continue` holds its body back, and gets its answer at once.
pub(super) async fn answer(
    result: Result<Response, Problem>,
    headers: &HeaderMap,
    mut body: Body,
) -> Response {
    match result {
        Ok(response) => response,
        Err(problem) => {
            if !headers.contains_key(header::EXPECT) {
                let _ = timeout(SWEEP_TIME, sweep(&mut body)).await;
            }
            problem.into_response()
        }
    }
}

/// What a known URL says to a method that it doesn't take.
pub(super) async fn method_not_allowed(request: Request) -> Response {
    refuse(request, Problem::MethodNotAllowed).await
}

/// What an unknown URL says.
pub(super) async fn no_route(request: Request) -> Response {
    refuse(request, Problem::NoRoute).await
}

async fn refuse(request: Request, problem: Problem) -> Response {
    let (Parts { headers, .. }, body) = request.into_parts();
    answer(Err(problem), &headers, body).await
}

async fn sweep(body: &mut Body) {
    let mut size = 0;
    while let Some(Ok(frame)) = body.frame().await {
        size += frame.data_ref().map_or(0, Bytes::len);
        if size > SWEEP_LIMIT {
            return;
        }
    }
}
